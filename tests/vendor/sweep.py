#!/usr/bin/env python3
"""Kernels through the compilers of many chips: python3 tests/vendor/sweep.py [OPTION...] [CHIP...]

Without chips, one of each driver and generation that needs no emulator. By default the kernel with
the largest epilogue of each tile. Kernels for software drivers (subgroups of 4 or 8 lanes, weights
from textures) are only among --all. Results are kept in target/vendor/sweep/CHIP.jsonl: a run
continues where the last one ended, and compiles what has changed since.

--all         every kernel
--timeout S   seconds for each kernel (300)

A kernel that does not compile must have a reason in EXPLAINED. The exit code is 1 if one has none.
"""

import argparse
import re
import shutil
import sys
import time
from pathlib import Path

import chips
import program
from stats import Options, resumed
from tables import WORK

# Patterns of the chip, the kernel and the error, and why the library does not meet it.
EXPLAINED = [
    (
        r".*",
        r".*",
        r"\d+ bytes of workgroup memory; there are \d+",
        "Kernel::runs_on refuses a kernel with more workgroup memory than the device has",
    ),
    (
        r"(?!navi31|strix|gfx1201|turing|ga100|ampere|ada|hopper|blackwell).*",
        r".*_m(8|16)_.*",
        r"died: .*|the pipeline: .*|the shader module: .*",
        "a kernel with matrix units is no candidate on a device that reports none of its shape",
    ),
]


def reason(chip: str, kernel: str, error: str) -> str | None:
    """Why the library does not meet a failure."""
    for of_chip, of_kernel, of_error, why in EXPLAINED:
        matches = re.fullmatch(of_chip, chip) and re.fullmatch(of_kernel, kernel)
        if matches and re.match(of_error, error):
            return why
    return None


def spirv(names: list[str], folder: Path) -> list[Path]:
    """Writes kernels; without names, all."""
    shutil.rmtree(folder, ignore_errors=True)
    program.run("spirv", folder, *names)
    return sorted(folder.glob("*.spv"))


def one_chip(chip: str, files: list[Path], timeout: float) -> int:
    """The number of failures without a reason."""
    start = time.monotonic()
    results = resumed(chip, files, Options(timeout), WORK / "sweep" / f"{chip}.jsonl")
    failed = {name: one["error"] for name, one in results.items() if "error" in one}
    reasons: dict[str, int] = {}
    bad = 0
    for file, error in failed.items():
        why = reason(chip, file.removesuffix(".spv"), error)
        if why:
            reasons[why] = reasons.get(why, 0) + 1
        else:
            bad += 1
            print(f"FAILED {chip} {file}: {error[:200]}")
    explained = "".join(f"; {count}: {why}" for why, count in reasons.items())
    seconds = time.monotonic() - start
    print(f"{chip}: {len(files)} kernels, {bad} fail{explained} ({seconds:.0f} s)", flush=True)
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("chips", nargs="*")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--timeout", type=float, default=300)
    given = parser.parse_intermixed_args()
    if unknown := set(given.chips) - set(chips.CHIPS):
        parser.error(f"no chip {', '.join(sorted(unknown))}")
    (WORK / "sweep").mkdir(parents=True, exist_ok=True)
    names = [] if given.all else program.run("richest")
    files = spirv(names, WORK / ("all-kernels" if given.all else "richest"))
    chosen = given.chips or chips.GENERATIONS
    return 1 if sum(one_chip(chip, files, given.timeout) for chip in chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
