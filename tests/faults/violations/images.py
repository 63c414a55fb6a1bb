"""Checks of hostile images, sizes larger than the memory, and endless files.

2: a chunk of a WebP file has a length of 4 GiB. 3: a palette of a PNG file makes the decoder panic.
8: pipes and devices in place of files. 9: inputs larger than the memory. 17: the TIFF decoder
prints a line.
"""

import json
import os
import resource
import shutil
import struct

from common import DATA, INPUTS, NETWORK, ROOT, bottleneck, limit, run, scratch

MUTATE = ROOT / "target/release/fuzz_mutate"


def address_space(size: int):
    """Limits the address space of a child to this number of bytes."""
    return limit(resource.RLIMIT_AS, size)


def embedded(folder, before=None) -> str | None:
    """Embeds `folder/images`. The error must name the file `bad*`; the others are embedded."""
    shutil.copy(DATA / "images/a.png", folder / "images")
    out = folder / "out.npy"
    ended = bottleneck("embed", *NETWORK, "--out", out, folder / "images", before=before)
    fault = ended.fault((3,))
    if fault:
        return fault
    if ".rs:" in ended.err:
        return f"a line of a dependency on stderr: {ended.err.strip()}"
    rows = json.loads((folder / "out.npy.json").read_text())["rows"]
    for row in rows:
        is_bad = os.path.basename(row["path"]).startswith("bad")
        if (row["status"] == "error") != is_bad:
            return f"{row['path']}: {row['status']} {row['error']}"
        if is_bad and "panicked" in row["error"]:
            return f"{row['path']}: {row['error']}"
    return None if len(rows) == 2 else f"{len(rows)} rows"


def images_folder(name: str):
    """A scratch folder with an empty folder `images`."""
    folder = scratch(name)
    (folder / "images").mkdir()
    return folder


def webp_of_4_gib() -> str | None:
    """Violation 2, with 3 GB of address space."""
    folder = images_folder("webp")
    shutil.copy(INPUTS / "webp-exif-of-4GiB.webp", folder / "images/bad.webp")
    return embedded(folder, before=address_space(3_000_000 * 1024))


def png_palettes() -> str | None:
    """Violation 3, in the program and in the library."""
    for name in ["png-plte-of-4-bytes.png", "png-plte-of-85-bytes.png"]:
        folder = images_folder("palette")
        shutil.copy(INPUTS / name, folder / "images/bad.png")
        fault = embedded(folder)
        if fault:
            return fault
    # Reads the files of the corpora, of which INPUTS is a part, and changes none.
    ended = run([str(MUTATE), "0", "image_png,image_webp"])
    return ended.fault((0,)) or ("a caught panic" if "caught" in ended.out else None)


def tiff(entries: list[tuple[int, int, int, int]]) -> bytes:
    """A TIFF with these entries: tag, type, count, value or offset."""
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 10) + b"\7\0" + directory + bytes(4)


def tiff_of_a_long_text() -> str | None:
    """Violation 17: a tag for a number has a text of 512 MiB."""
    short, long, text = 3, 4, 2
    entries = [
        (256, short, 1, 1),
        (257, short, 1, 1),
        (258, text, 1 << 29, 8),
        (259, short, 1, 1),
        (262, short, 1, 1),
        (273, long, 1, 8),
        (277, short, 1, 1),
        (279, long, 1, 1),
    ]
    folder = images_folder("tiff")
    (folder / "images/bad.tif").write_bytes(tiff(entries))
    return embedded(folder)


def endless_files() -> str | None:
    """Violation 8: the cache of pipelines, and `--tuned`."""
    folder = scratch("endless")
    argv = ["embed", *NETWORK, "--out", folder / "out.npy"]
    env = {"XDG_CACHE_HOME": str(folder / "cache")}
    limits = {"env": env, "before": address_space(8 << 30)}
    fault = bottleneck(*argv, DATA / "images", **limits).fault((0,))
    if fault:
        return f"with an empty cache: {fault}"
    kept = list((folder / "cache/wgpu-bottleneck/pipelines").glob("*"))
    if not kept:
        return "this device keeps no pipelines, so the check cannot run"
    kept[0].unlink()
    os.mkfifo(kept[0])
    fault = bottleneck(*argv, DATA / "images", **limits).fault((0,))
    if fault:
        return f"a pipe in the cache: {fault}"
    kept[0].unlink(missing_ok=True)
    with open(kept[0], "wb") as file:
        file.truncate(1 << 40)
    fault = bottleneck(*argv, DATA / "images", **limits).fault((0,))
    if fault:
        return f"a file of 1 TiB in the cache: {fault}"
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    for path in ["/dev/zero", pipe]:
        ended = bottleneck(*argv, f"--tuned={path}", DATA / "images", **limits)
        fault = ended.fault((2,))
        if fault:
            return f"--tuned={path}: {fault}"
    return None


def large_inputs() -> str | None:
    """Violation 9: options with sizes larger than the memory."""
    block = ["bench", "--quick", "--block", "--inplanes", "4", "--planes", "1", "--size"]
    for more, size in [(["100000x100000"], None), (["64x64", "--batch", "65536"], 5 << 30)]:
        before = address_space(size) if size else None
        fault = bottleneck(*block, *more, before=before, timeout=300).fault((2, 4))
        if fault:
            return f"{' '.join(more)}: {fault}"
    return None


# (number, name): check
CHECKS = {
    (2, "webp of 4 GiB"): webp_of_4_gib,
    (3, "png palettes"): png_palettes,
    (8, "endless files"): endless_files,
    (9, "large inputs"): large_inputs,
    (17, "tiff of a long text"): tiff_of_a_long_text,
}
