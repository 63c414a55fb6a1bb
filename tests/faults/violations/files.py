"""Checks of training files, and of the exit codes of failed devices."""

import csv
import json
import struct
import subprocess
import time
from pathlib import Path

from common import (
    DATA,
    NETWORK,
    PROGRAM,
    Ended,
    bottleneck,
    environment,
    layer,
    scratch,
    training,
)


def read_safetensors(path: Path) -> tuple[dict, bytes]:
    """The header and the data of a file."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write_safetensors(path: Path, header: dict, data: bytes) -> None:
    """Writes a file from its header and data."""
    text = json.dumps(header, separators=(",", ":")).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def refused(out: Path, what: str) -> str | None:
    """Resumes a run whose checkpoint must be refused."""
    ended = bottleneck(*training(out), "--resume")
    if fault := ended.fault((2,)):
        return f"{what}: {fault}"
    if "checkpoint.safetensors" not in ended.err:
        return f"{what}: the error does not name the file: {ended.err}"
    return None


def damaged_checkpoints() -> str | None:
    """Impossible numbers, and flipped bits."""
    out = scratch("damaged-checkpoints") / "out"
    if fault := bottleneck(*training(out)).fault((0,)):
        return fault
    path = out / "checkpoint.safetensors"
    (header, data), good = read_safetensors(path), path.read_bytes()
    not_a_number = struct.unpack("<Q", struct.pack("<d", float("nan")))[0]
    largest = 2**64 - 1
    numbers = [("batch", 999), ("batch", largest), ("steps", largest), ("losses", not_a_number)]
    for key, number in [*numbers, ("epoch", 3), ("place", largest), ("pictures", largest)]:
        # Without a checksum, as in version 0.1.0, so that only the number is wrong.
        texts = {name: text for name, text in header["__metadata__"].items() if name != "checksum"}
        texts[key] = str(number)
        write_safetensors(path, {**header, "__metadata__": texts}, data)
        if found := refused(out, f"{key} {number}"):
            return found
    for place in range(3, len(good), len(good) // 40):
        damaged = bytearray(good)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        if found := refused(out, f"a flipped bit in byte {place}"):
            return found
    return None


def embed(out: Path, env: dict[str, str] | None = None, *options) -> Ended:
    """Embeds the images one by one."""
    argv = ["embed", *NETWORK, "--batch", 1, "--out", out, *options, DATA / "images"]
    return bottleneck(*argv, env=env)


def classify(env: dict[str, str] | None = None) -> Ended:
    """Classifies the images one by one."""
    return bottleneck("classify", *NETWORK, "--batch", 1, "--csv", DATA / "images", env=env)


def calls(folder: Path, points: list[str]) -> list[tuple[str, int]]:
    """The calls of these points in an undisturbed `embed`: the last six of each."""
    counts = folder / "counts"
    embed(folder / "counted.npy", layer("SUBMIT=0:lost", FAULT_COUNT=str(counts)))
    found = []
    for line in counts.read_text().splitlines():
        point, count = line.split()
        if point in points:
            found += [(point, call) for call in range(max(1, int(count) - 5), int(count) + 1)]
    return found


def device_failures() -> str | None:
    """The device runs out of memory while images are embedded or classified one by one."""
    folder = scratch("device-failures")
    whole, classes = folder / "whole.npy", classify()
    embed(whole)
    # The number of runs in which one of the five images had no row.
    left_out = 0
    for point, call in calls(folder, ["ALLOC", "BUFFER", "BIND", "IMAGE", "CMDBUF", "BEGIN"]):
        fault = f"{point}={call}:odm"
        out = folder / f"{point}-{call}.npy"
        ended = embed(out, layer(fault))
        if found := ended.fault((0, 4)):
            return f"embed, {fault}: {found}"
        rows = json.loads(out.with_suffix(".npy.json").read_text())["rows"] if out.exists() else []
        if any(row["status"] == "error" for row in rows):
            return f"embed, {fault}: a row has an error: {rows}"
        left_out += ended.code == 4 and len(rows) == 4
        if found := embed(out, None, "--resume").fault((0,)):
            return f"embed --resume after {fault}: {found}"
        if out.read_bytes() != whole.read_bytes():
            return f"embed, {fault}: other vectors"
        ended = classify(layer(fault))
        if found := ended.fault((0, 4)):
            return f"classify, {fault}: {found}"
        if any(row["error"] for row in csv.DictReader(ended.out.splitlines())):
            return f"classify, {fault}: a row has an error: {ended.out}"
        if ended.code == 0 and ended.out != classes.out:
            return f"classify, {fault}: other classes"
    return None if left_out else "no fault left out a single image, with the others computed"


def failures_of_checks() -> str | None:
    """A failed device is not a failed check of `selftest` or `tune`."""
    out = scratch("failures-of-checks") / "table.json"
    block = ["--block", "--inplanes", 16, "--planes", 4, "--size", "8x8"]
    commands = {
        "selftest": (["selftest", "--kernel", "conv1x1"], ["BEGIN=55:ohm", "SUBMIT=20:lost"]),
        "tune": (
            ["tune", "--quick", *block, "--output", out],
            ["IMAGE=4:odm", "BUFFER=30:odm", "ALLOC=9:odm", "SUBMIT=20:lost"],
        ),
    }
    for name, (argv, faults) in commands.items():
        for fault in faults:
            if found := bottleneck(*argv, env=layer(fault), timeout=120).fault((0, 4)):
                return f"{name}, {fault}: {found}"
    return None


def two_runs_in_one_folder() -> str | None:
    """The second run is refused at once, and does not affect the first run."""
    folder = scratch("two-runs")
    epochs = 60
    if fault := bottleneck(*training(folder / "alone", epochs)).fault((0,)):
        return fault
    argv = [str(PROGRAM), *map(str, training(folder / "out", epochs))]
    first = subprocess.Popen(argv, env=environment(), stderr=subprocess.DEVNULL)
    try:
        checkpoint = folder / "out/checkpoint.safetensors"
        while not checkpoint.exists() and first.poll() is None:
            time.sleep(0.01)
        second = bottleneck(*training(folder / "out", epochs), "--resume", timeout=10)
        if first.poll() is not None:
            return "the first run ended before the second one began"
        if fault := second.fault((2,)):
            return f"the second run: {fault}"
        if "another run is writing to this folder" not in second.err:
            return f"the second run does not say why: {second.err}"
        code = first.wait(timeout=60)
    finally:
        first.kill()
    if code != 0:
        return f"the first run: exit code {code}"
    for name in ("checkpoint.safetensors", "model.safetensors"):
        if (folder / "alone" / name).read_bytes() != (folder / "out" / name).read_bytes():
            return f"the first run wrote another {name}"
    return None


def equal_checkpoints() -> str | None:
    """Two equal runs write the same bytes."""
    folder = scratch("equal-checkpoints")
    for out in ("first", "second"):
        if fault := bottleneck(*training(folder / out)).fault((0,)):
            return fault
    for name in ("checkpoint.safetensors", "model.safetensors"):
        if (folder / "first" / name).read_bytes() != (folder / "second" / name).read_bytes():
            return f"{name} differs"
    return None


# (number, name): check
CHECKS = {
    (10, "damaged checkpoints"): damaged_checkpoints,
    (11, "device failures of images"): device_failures,
    (11, "device failures of checks"): failures_of_checks,
    (13, "two runs in one folder"): two_runs_in_one_folder,
    (18, "checkpoints of equal runs"): equal_checkpoints,
}
