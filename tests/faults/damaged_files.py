#!/usr/bin/env python3
"""Damages the files that the program writes and reads back, and runs it on them.

    python3 tests/faults/damaged_files.py [KIND,KIND...] [SECONDS_PER_KIND] [SEED]

Run scripts/faults first. For each kind of file, the script changes bytes at random. The program
must end within 60 seconds, without a panic, and with an exit code that is allowed for this kind.
With exit code 0, it must have written the bytes of an undisturbed run. Files that break this rule
are copied to target/faults/scratch/damaged-files/found.
"""

import hashlib
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common import DATA, GOLDEN, LAYERS, NETWORK, PROGRAM, Ended
from common import bottleneck, scratch, total, training, with_layer

SECONDS = 60
# A run that takes longer counts as slow.
SLOW = 20
# The maximum number of copied files per kind.
KEPT = 5
NUMBERS = [0, 1, 2, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]
TEXTS = [*NUMBERS, -1, 1e308, "1e999", "-0", "99999999999999999999999"]


# Changes of bytes. Each changes `content` at the place `at`.


def flip_bit(r: random.Random, content: bytearray, at: int) -> None:
    content[at] ^= 1 << r.randrange(8)


def set_byte(r: random.Random, content: bytearray, at: int) -> None:
    content[at] = r.randrange(256)


def remove(r: random.Random, content: bytearray, at: int) -> None:
    del content[at : at + r.choice([1, 4, 8, 64, 1000])]


def insert(r: random.Random, content: bytearray, at: int) -> None:
    content[at:at] = r.randbytes(r.choice([1, 4, 8, 100]))


def cut_off(r: random.Random, content: bytearray, at: int) -> None:
    del content[at:]


def set_u32(r: random.Random, content: bytearray, at: int) -> None:
    content[at : at + 4] = struct.pack("<I", r.choice(NUMBERS) & 0xFFFFFFFF)


def set_u64(r: random.Random, content: bytearray, at: int) -> None:
    content[at : at + 8] = struct.pack("<Q", r.choice(NUMBERS))


def change_number(r: random.Random, content: bytearray, at: int) -> None:
    """Replaces a number that is written in digits, wherever it is."""
    numbers = list(re.finditer(rb"\d+", bytes(content)))
    if numbers:
        number = r.choice(numbers)
        content[number.start() : number.end()] = str(r.choice(TEXTS)).encode()


def repeat(r: random.Random, content: bytearray, at: int) -> None:
    content[at:at] = bytes(content[at : at + r.randrange(1, 200)])


CHANGES = [
    flip_bit,
    set_byte,
    remove,
    insert,
    cut_off,
    set_u32,
    set_u64,
    change_number,
    repeat,
]


def damaged(r: random.Random, content: bytes) -> bytes:
    """The content with up to four changes, half of them near the beginning."""
    changed = bytearray(content)
    for _ in range(r.choice([1, 1, 2, 4])):
        if not changed:
            break
        at = r.randrange(len(changed))
        if r.random() < 0.5:
            at = min(at, r.randrange(1, 400)) % len(changed)
        r.choice(CHANGES)(r, changed, at)
    return bytes(changed)


@dataclass
class Kind:
    """A kind of file."""

    # The undamaged file.
    content: bytes
    # Runs the program on a changed file. Also returns the fault of a result with exit code 0.
    run: Callable[[bytes], tuple[Ended, str | None]]
    # The allowed exit codes.
    codes: tuple[int, ...]


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def filled(folder: Path, content: dict[str, bytes]) -> None:
    """Makes a folder with these files only."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, its_content in content.items():
        (folder / name).write_bytes(its_content)


def difference(good: dict[str, bytes], found: dict[str, bytes]) -> str | None:
    """The names of the files that differ."""
    names = [name for name in {*good, *found} if good.get(name) != found.get(name)]
    return f"exit code 0 and other bytes: {', '.join(sorted(names))}" if names else None


# Outputs of embed, and its journal.


def embedding(out: Path, images: Path) -> list:
    return ["embed", *NETWORK, "--batch", 2, "--out", out, images]


def embed_kind(base: Path, extension: str, target: str) -> Kind:
    """A file that `embed --resume` reads next to its output, or the output."""
    output = f"v.{extension}"
    good_folder, folder = base / "good", base / "run"
    filled(good_folder, {})
    ended = bottleneck(*embedding(good_folder / output, DATA / "images"))
    assert ended.code == 0, ended.err
    good = contents(good_folder)

    def run(content: bytes) -> tuple[Ended, str | None]:
        filled(folder, {**good, target: content})
        ended = bottleneck(*embedding(folder / output, DATA / "images"), "--resume")
        return ended, difference(good, contents(folder))

    return Kind(good[target], run, (0, 2, 3))


def journal_kind(base: Path) -> Kind:
    """The journal of a killed run, without an output."""
    images, folder = base / "images", base / "run"
    filled(images, {})
    for index in range(24):
        shutil.copy(DATA / f"images/{'abcde'[index % 5]}.png", images / f"{index:02}.png")
    filled(base / "good", {})
    ended = bottleneck(*embedding(base / "good/v.npy", images))
    assert ended.code == 0, ended.err
    good = contents(base / "good")
    journal = killed_journal(base / "killed", images)

    def run(content: bytes) -> tuple[Ended, str | None]:
        filled(folder, {".v.npy.journal": content})
        ended = bottleneck(*embedding(folder / "v.npy", images), "--resume")
        return ended, difference(good, contents(folder))

    return Kind(journal, run, (0, 2))


def killed_journal(folder: Path, images: Path) -> bytes:
    """The journal of a run that is killed after some rows."""
    journal = folder / ".v.npy.journal"
    argv = [str(PROGRAM), *map(str, embedding(folder / "v.npy", images))]
    for _ in range(50):
        filled(folder, {})
        process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            if journal.exists() and journal.stat().st_size > 3000:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.001)
        if process.wait() != 0:
            return journal.read_bytes()
    raise RuntimeError("no run could be killed before its end")


# Files of train.


def train_kind(base: Path, target: str) -> Kind:
    """A file that `train --resume` reads: in the last of two epochs."""
    good_folder, folder = base / "good", base / "run"
    # The run is resumed after its first epoch.
    ended = bottleneck(*training(good_folder, epochs=1))
    assert ended.code == 0, ended.err
    start = contents(good_folder)
    ended = bottleneck(*training(good_folder, epochs=2), "--resume")
    assert ended.code == 0, ended.err
    results = ("checkpoint.safetensors", "model.safetensors")
    good = {name: (good_folder / name).read_bytes() for name in results}

    def run(content: bytes) -> tuple[Ended, str | None]:
        filled(folder, {**start, target: content})
        ended = bottleneck(*training(folder, epochs=2), "--resume")
        found = {name: its for name, its in contents(folder).items() if name in results}
        return ended, difference(good, found)

    return Kind(start[target], run, (0, 2))


# Tables of tune, and the files of the user's cache.


BLOCK = ["block", "--weights", GOLDEN / "plain.safetensors"]
BLOCK += ["--input", GOLDEN / "plain.safetensors", "--verify", "--output"]
TUNE = ["tune", "--quick", "--block", "--inplanes", 16, "--planes", 4, "--size", "8x8"]


def table_kind(base: Path) -> Kind:
    """A table that `--tuned=FILE` reads. A damaged one is ignored with a warning; a file that is no
    text is an error.
    """
    table, changed = base / "table.json", base / "changed.json"
    ended = bottleneck(*TUNE, "--output", table, timeout=300)
    assert ended.code == 0, ended.err

    def run(content: bytes) -> tuple[Ended, str | None]:
        changed.write_bytes(content)
        # `--verify` compares the result with the reference.
        return bottleneck(*BLOCK, base / "out", f"--tuned={changed}"), None

    return Kind(table.read_bytes(), run, (0, 2))


def cache_kind(base: Path, pattern: str, fill: list, *more: str, **env: str) -> Kind:
    """A file of the cache. A damaged one is ignored; results are always verified."""
    good = base / "good"
    ended = bottleneck(*fill, env={"XDG_CACHE_HOME": str(good), **env}, timeout=300)
    found = list((good / "wgpu-bottleneck").glob(pattern))
    assert len(found) == 1, f"{pattern}: {found}, {ended.err}"
    name, cache = found[0].relative_to(good), base / "cache"

    def run(content: bytes) -> tuple[Ended, str | None]:
        shutil.rmtree(cache, ignore_errors=True)
        shutil.copytree(good, cache)
        (cache / name).write_bytes(content)
        env = {"XDG_CACHE_HOME": str(cache)}
        return bottleneck(*BLOCK, base / "out", *more, env=env), None

    return Kind(found[0].read_bytes(), run, (0,))


def pipelines_kind(base: Path) -> Kind:
    """The compiled pipelines."""
    return cache_kind(base, "pipelines/*.bin", [*BLOCK, base / "out"])


def refused_kind(base: Path) -> Kind:
    """The names of kernels that the driver does not compile: here the third pipeline's."""
    env = with_layer("VK_LAYER_field", PIPE="3")
    return cache_kind(base, "pipelines/*.refused.txt", [*BLOCK, base / "out"], **env)


def cached_table_kind(base: Path) -> Kind:
    """The table of the device."""
    return cache_kind(base, "tuning/*.json", TUNE, "--tuned")


KINDS: dict[str, Callable[[Path], Kind]] = {
    "journal": journal_kind,
    "npy": lambda base: embed_kind(base, "npy", "v.npy"),
    "json": lambda base: embed_kind(base, "npy", "v.npy.json"),
    "parquet": lambda base: embed_kind(base, "parquet", "v.parquet"),
    "safetensors": lambda base: embed_kind(base, "safetensors", "v.safetensors"),
    "checkpoint": lambda base: train_kind(base, "checkpoint.safetensors"),
    "images": lambda base: train_kind(base, "images.jsonl"),
    "log": lambda base: train_kind(base, "log.csv"),
    "table": table_kind,
    "cached_table": cached_table_kind,
    "pipelines": pipelines_kind,
    "refused": refused_kind,
}


def check(name: str, seconds: float, seed: int, base: Path) -> tuple[int, int]:
    """Damages files of a kind for this long. Returns the numbers of files and of violations."""
    folder = base / name
    folder.mkdir()
    r, kind = random.Random(seed), KINDS[name](folder)
    codes, violations, slow = Counter(), 0, 0
    end = time.time() + seconds
    while time.time() < end:
        content, start = damaged(r, kind.content), time.time()
        ended, wrong = kind.run(content)
        slow += time.time() - start > SLOW
        codes[ended.code] += 1
        found = ended.fault(kind.codes) or (wrong if ended.code == 0 else None)
        if found:
            violations += 1
            path = base / "found" / f"{name}-{hashlib.sha1(content).hexdigest()[:8]}"
            if violations <= KEPT:
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            print(f"VIOLATION {name}: {found} ({path})", flush=True)
    totals = f"{codes.total()} files, {violations} violations, {slow} slow"
    print(f"{name}: {totals}, codes {dict(codes)}", flush=True)
    return codes.total(), violations


def main() -> int:
    wanted = sys.argv[1] if len(sys.argv) > 1 else "all"
    names = list(KINDS) if wanted == "all" else wanted.split(",")
    if wanted == "all" and not (LAYERS / "libfield.so").exists():
        print("refused: SKIPPED, because the layers are not built")
        names.remove("refused")
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    base = scratch("damaged-files")
    results = [check(name, seconds, seed, base) for name in names]
    return total(sum(files for files, _ in results), "files", sum(bad for _, bad in results))


if __name__ == "__main__":
    sys.exit(main())
