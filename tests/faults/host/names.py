"""Names and variables with arbitrary bytes, links, and long names."""

import os
import shutil

from common import GOLDEN
from suite import BLOCK, CLASSIFY, EMBED, IMAGES, TUNE, Suite

# Not UTF-8, a line break, an escape sequence, an option, quotes.
ODD = [b"\xff\xfe.png", "ä\n\x1b[31m.png".encode(), b"-x.png", b"a b'\".png", b"\xc3.png"]
FOLDER = b"odd\xff"


def run(suite: Suite) -> None:
    files(suite)
    variables(suite)
    links(suite)
    long_names(suite)


def files(suite: Suite) -> None:
    folder = os.fsencode(suite.folder) + b"/" + FOLDER
    os.makedirs(folder, exist_ok=True)
    for name in ODD:
        shutil.copy(IMAGES / "a.png", folder + b"/" + name)
    for format in ("npy", "parquet", "safetensors"):
        suite.run(f"embed odd names as {format}", [*EMBED, f"odd.{format}", FOLDER])
    ended = suite.run("classify odd names", [*CLASSIFY, FOLDER])
    escape = "an escape sequence on stdout" if "\x1b" in ended.out else None
    suite.tell("classify odd names: stdout", escape, ended.code, 0)
    for option in ("--json", "--csv"):
        suite.run(f"classify odd names {option}", [*CLASSIFY, option, FOLDER])
    suite.run("an output that is not UTF-8", [*BLOCK, b"o\xff.safetensors"])


def variables(suite: Suite) -> None:
    output = [*BLOCK, "x.safetensors"]
    cache = os.fsencode(suite.folder) + b"/cache\xff"
    suite.run("a cache that is not UTF-8: block", output, env={"XDG_CACHE_HOME": cache})
    suite.run("a cache that is not UTF-8: tune", TUNE, (0, 1), env={"XDG_CACHE_HOME": cache})
    suite.run("RUST_LOG is invalid", output, env={"RUST_LOG": "[[["})
    for name in ("RUST_LOG", "WGPU_ADAPTER_NAME", "WGPU_BACKEND", "WGPU_POWER_PREF"):
        suite.run(f"{name} is not UTF-8", output, (2,), env={name: b"\xff\xfe"})


def links(suite: Suite) -> None:
    cases = [("good.safetensors", (0,)), ("/nowhere/x", (2,)), ("link.safetensors", (2,))]
    link = suite.file("link.safetensors")

    def stays() -> str | None:
        return None if link.is_symlink() else "the link was replaced"

    for target, allowed in cases:
        link.symlink_to(target)
        suite.run(f"a link to {target}", [*BLOCK, link.name], allowed, stays)
        link.unlink()


def long_names(suite: Suite) -> None:
    suite.run("a name of 255 bytes", [*BLOCK, "x" * 243 + ".safetensors"])
    suite.run("a name of 300 bytes", [*BLOCK, "x" * 300], (2,))
    embed = [*EMBED, "y" * 246 + ".npy", IMAGES]
    suite.run("embed to a name of 250 bytes", embed, (0, 2), suite.temporary_files)
    plain = GOLDEN / "plain.safetensors"
    suite.run("the output is the input", [*BLOCK, plain], (2,))
