"""Makes the small inputs of the runners: images, a folder of classes, weights.

Writes them to target/faults/data. Needs the built program, but no packages: this file encodes PNG
itself.
"""

import json
import os
import random
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

from common import DATA, PROGRAM, environment, training


def png(path: Path, width: int, height: int, values: bytes) -> None:
    """An RGB image of 8 bits."""
    rows = b"".join(
        b"\0" + values[row * width * 3 : (row + 1) * width * 3] for row in range(height)
    )

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def tensor(path: Path, name: str, shape: list[int], values: list[float]) -> None:
    """A safetensors file of one f32 tensor."""
    data = struct.pack(f"<{len(values)}f", *values)
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, len(data)]}
    header = json.dumps({name: entry}).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def main() -> None:
    r = random.Random(1)
    for kind in range(3):
        folder = DATA / f"digits/c{kind}"
        folder.mkdir(parents=True, exist_ok=True)
        for image in range(14):
            values = bytes(int(r.random() * 90) + kind * 70 for _ in range(16 * 16 * 3))
            png(folder / f"{image:02}.png", 16, 16, values)
    images = DATA / "images"
    images.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate("abcde"):
        width, height = 41 - 3 * index, 30 + 7 * index
        png(images / f"{name}.png", width, height, r.randbytes(width * height * 3))
    count = 3 * 3 * 32 * 32
    values = [r.gauss(0, 1) for _ in range(count)]
    tensor(DATA / "input.safetensors", "input", [3, 3, 32, 32], values)
    preprocessing = {
        "architecture": "x",
        "input_size": [3, 32, 32],
        "crop_pct": 0.9,
        "crop_mode": "center",
        "interpolation": "bicubic",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "num_classes": 3,
    }
    (DATA / "preprocessing.json").write_text(json.dumps(preprocessing))
    network = DATA / "network.safetensors"
    if not network.exists():
        train(network)


def train(network: Path) -> None:
    """A network with three classes, trained for one epoch."""
    out = DATA / "trained"
    shutil.rmtree(out, ignore_errors=True)
    argv = [PROGRAM, *map(str, training(out, epochs=1))]
    subprocess.run(argv, check=True, env=environment(), capture_output=True)
    os.replace(out / "model.safetensors", network)


main()
