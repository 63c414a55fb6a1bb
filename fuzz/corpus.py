#!/usr/bin/env python3
"""Writes the corpora, fuzz/corpus/TARGET. Run before:

    scripts/with-gpu scripts/faults
    cargo build --release --workspace --bin recordings

Then: scripts/with-gpu python3 fuzz/corpus.py. Files whose names begin with `bad` are refused, and
those with `any` may be. Flipped bits are not detected in those with `old`: they have no checksums.
"""

import json
import random
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORPUS, GOLDEN = ROOT / "fuzz/corpus", ROOT / "tests/golden"
sys.path.insert(0, str(ROOT / "tests/faults"))

from common import DATA, bottleneck, scratch  # noqa: E402
from damaged_files import filled, killed_journal  # noqa: E402

# Files that are copied. The goldens are further seeds of `fuzz_mutate`, but not of cargo-fuzz.
COPIED = {
    "pth_zip": ["pth/half.pth", "pth/shared_protocol4.pth", "pth/zip_no_checksums.pth"],
    "pth_legacy": ["pth/half_legacy.pth", "pth/shared_legacy_protocol4.pth"],
    "safetensors": ["pth/half.safetensors", "pth/shared.safetensors", "planes1.safetensors"],
    "config": ["trained/plain/config.json", "trained/huggingface/config.json"],
    "image_png": ["pictures/grey4.png", "pictures/palette_transparent.png", "pictures/turned.png"],
    "image_jpeg": ["pictures/grey.jpg", "pictures/progressive.jpg", "pictures/xmp_element.jpg"],
    "image_tiff": ["pictures/palette1.tif", "pictures/lzw.tif", "pictures/turned.tif"],
    "image_webp": ["pictures/lossy.webp", "pictures/alpha.webp", "pictures/turned.webp"],
    "image_gif": ["pictures/palette.gif", "pictures/animated.gif"],
    "image_bmp": ["pictures/palette.bmp", "pictures/565.bmp"],
    "image_pnm": ["pictures/bits.pbm", "pictures/grey15.pgm", "pictures/text.pbm"],
    "image_qoi": ["pictures/edges.qoi"],
}


def write(target: str, name: str, content: bytes) -> None:
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    (CORPUS / target / name).write_bytes(content)


def compact(value) -> bytes:
    """JSON as the program writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def configurations() -> None:
    hugging_face = {
        "image_processor_type": "ConvNextImageProcessor",
        "crop_pct": 0.875,
        "do_normalize": True,
        "do_resize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "resample": 3,
        "size": {"shortest_edge": 224},
        "transformers_version": "4.57.6",
    }
    write("config", "preprocessor_config.json", compact(hugging_face))
    timm = {"input_size": [3, 224, 224], "crop_pct": 0.95, "interpolation": "bicubic"}
    write("config", "timm.json", compact({"architecture": "resnet50", "pretrained_cfg": timm}))


# Journals.


def record(payload: bytes) -> bytes:
    return struct.pack("<II", len(payload), zlib.crc32(payload)) + payload


def row(path: str, values: bytes, kind: int, stamp: bytes = b"") -> bytes:
    name = path.encode()
    return record(bytes([kind]) + stamp + struct.pack("<I", len(name)) + name + values)


def journals() -> None:
    folder = scratch("corpus-journal")
    filled(folder / "images", {})
    for index in range(24):
        shutil.copy(DATA / f"images/{'abcde'[index % 5]}.png", folder / f"images/{index:02}.png")
    journal = killed_journal(folder / "killed", folder / "images")
    magic, rest = journal[: journal.index(b"\n") + 1], journal[journal.index(b"\n") + 1 :]
    payloads = []
    while len(rest) >= 8 and len(payloads) < 6:
        length = struct.unpack_from("<I", rest)[0]
        payloads.append(rest[8 : 8 + length])
        rest = rest[8 + length :]
    killed = magic + record(payloads[0])
    for payload in payloads[1:]:
        # A row with a stamp. The paths of this machine are not part of the corpus.
        if payload[0] == 4:
            length = struct.unpack_from("<I", payload, 17)[0]
            name = payload[21 : 21 + length].decode().rsplit("/", 1)[1]
            killed += row(f"images/{name}", payload[21 + length :], 4, payload[1:17])
        else:
            killed += record(payload)
    write("journal", "killed", killed)
    about = {**json.loads(payloads[0]), "length": 3}
    vector, stamp = struct.pack("<3f", 1.5, -0.0, 3e38), struct.pack("<qq", 990, 1 << 60)
    begun, removed = record(b"\2"), record(b"\3a.png")
    rows = row("a.png", vector, 0) + row("b.png", b"not an image", 1)
    rows += begun + row("c.png", vector, 4, stamp) + removed + row("d.png", b"bad", 5, stamp)
    start = magic + record(compact(about))
    write("journal", "every-record", start + rows + row("a.png", vector[::-1], 1))
    write("journal", "bad-without-rows", start)
    write("journal", "bad-begun-missing", start + row("a.png", vector, 0))


# Files of `train`.


def stamped(content: bytes) -> bytes:
    """With the checksum, which is computed with zeros in its place."""
    place = b'"checksum":"00000000"'
    assert content.count(place) == 1
    return content.replace(place, b'"checksum":"%08x"' % zlib.crc32(content))


def checkpoint(content: bytes, **changes) -> bytes:
    """The checkpoint with other texts; those that are None are removed."""
    length = struct.unpack_from("<Q", content)[0]
    header = json.loads(content[8 : 8 + length])
    texts = {**header["__metadata__"], "checksum": "00000000", **changes}
    header["__metadata__"] = {key: text for key, text in texts.items() if text is not None}
    changed = compact(header)
    changed += b" " * (-len(changed) % 8)
    changed = struct.pack("<Q", len(changed)) + changed + content[8 + length :]
    return changed if changes.get("checksum", "") is None else stamped(changed)


def training() -> None:
    out = scratch("corpus-training") / "run"
    network = ["--model", "bottleneck", "--depths", 1, "--planes", 1, "--stem-planes", 1]
    sizes = ["--size", 16, "--epochs", 2, "--batch", 8, "--lr", 0.05]
    ended = bottleneck("train", *network, *sizes, "--data", DATA / "digits", "--out", out)
    assert ended.code == 0, ended.err
    content = (out / "checkpoint.safetensors").read_bytes()
    few = {"kernels": '["conv7x7_l8s1r4c1","norm_stats_l8s1r1c1"]', "device": "device"}
    write("training_checkpoint", "after-two-epochs", checkpoint(content, **few))
    losses = struct.unpack("<Q", struct.pack("<d", 2.25))[0]
    numbers = {"epoch": "1", "batch": "2", "batches": "2", "pictures": "16", "right": "5"}
    within = {**few, **numbers, "losses": str(losses), "steps": "7", "place": "16"}
    write("training_checkpoint", "within-an-epoch", checkpoint(content, **within))
    left_out = {**within, "place": "17", "format": "wgpu-bottleneck training 2"}
    write("training_checkpoint", "with-images-left-out", checkpoint(content, **left_out))
    old = {**few, "checksum": None, "place": None}
    write("training_checkpoint", "old-without-checksum", checkpoint(content, **old))
    write("training_checkpoint", "bad-steps", checkpoint(content, **{**within, "steps": "8"}))
    image_lists()


def image_lists() -> None:
    images = [["a/1.png", 0], ["b/2.png", 1], ["b/%FF.png", 1]]
    part = {"folder": "/photos", "images": images, "unreadable": [["a/empty.png", "empty\n"]]}
    header = {"format": "wgpu-bottleneck images 1", "classes": ["a", "b"], "training": part}
    header["validation"] = {**part, "folder": "/other"}
    lines = [header]
    for kind, image, place in [("training", 2, 7), ("validation", 0, 0), ("training", 0, 1)]:
        reason = f'bad "{image}"'
        out = {"part": kind, "image": image, "epoch": 1, "place": place, "reason": reason}
        lines.append(out)
    stamps = [stamped(compact({**line, "checksum": "00000000"})) + b"\n" for line in lines]
    write("image_list", "two-parts", b"".join(stamps))
    alone = {**header, "validation": None}
    first = stamped(compact({**alone, "checksum": "00000000"})) + b"\n"
    write("image_list", "unfinished-line", first + stamps[1][:50])
    write("image_list", "old-without-checksum", b"".join(compact(line) + b"\n" for line in lines))


def tables() -> None:
    """Tables of the device and the version in fuzz/src/configs.rs."""
    device = {"name": "device", "backend": "vulkan", "driver": "driver 1", "runtime_checks": False}
    shape = "conv 1x1, 16 to 4 channels, 8 x 8"
    kernels = [{"kernel": "conv1x1_l8s1r8c1", "us": 12.5}, {"kernel": "conv1x1_staged", "us": 30.0}]
    times = {"shape": shape, "rule": "conv1x1_staged", "clock": "gpu", "candidates": kernels}
    unsound = {**times, "shape": "unsound", "candidates": kernels[::-1], "clock": "host"}
    table = {"schema": "wgpu-bottleneck tuning 1", "version": "fuzz", "device": device}
    table["shapes"] = [times, unsound]
    write("tuning_table", "table.json", compact(table))
    write("tuning_table", "empty.json", compact({**table, "shapes": []}))
    other = {**device, "runtime_checks": True}
    write("tuning_table", "bad-device.json", compact({**table, "device": other}))


def recordings() -> None:
    """Random bytes: which of them make an accepted recording depends on the kernels."""
    r, folder = random.Random(1), scratch("corpus-recordings")
    for index in range(2000):
        (folder / f"{index:04}").write_bytes(bytes([r.randrange(3)]) + r.randbytes(31))
    argv = [str(ROOT / "target/release/recordings"), *map(str, sorted(folder.iterdir()))]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    # The changes of accepted recordings, with the last file that makes each of them.
    found, path = {}, ""
    for line in text.splitlines():
        if line.startswith(" "):
            found[line.strip()] = path
        else:
            path = line.rsplit(": ", 1)[0]
    write("recordings", "unchanged", bytes(4))
    for index, changes in enumerate(sorted(found)[:: max(len(found) // 30, 1)]):
        write("recordings", f"any-{index:02}", Path(found[changes]).read_bytes())


def main() -> None:
    shutil.rmtree(CORPUS, ignore_errors=True)
    for target, paths in COPIED.items():
        for path in paths:
            write(target, path.replace("/", "-"), (GOLDEN / path).read_bytes())
    configurations()
    journals()
    training()
    tables()
    recordings()
    sizes = [path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()]
    print(f"{len(sizes)} files, {sum(sizes)} bytes")


main()
