#!/usr/bin/env python3
"""Writes the kernels that the ranking rule selects on each chip, with the compiler's statistics:

    python3 tests/vendor/picks.py OUT_FOLDER CHIP...
    python3 tests/vendor/picks.py --summary OUT_FOLDER

The library reports the capabilities of the device. For a driver that runs in qemu, they are derived
from the output of `vkstats --info`. OUT_FOLDER/CHIP.jsonl begins with a line about the
device. Then comes a line for each kernel that is picked, and a line for each network, batch and
precision with the kernels' FLOPs. --summary prints a table of all files.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import chips
import program
from stats import Options, density, info, stats

TIMEOUT = 300


def picks(chip: str, about: dict | None = None) -> list[dict]:
    """The picks for the steps of four networks. In qemu, the device must be described."""
    if chips.CHIPS[chip].architecture == "amd64":
        argv = chips.command(chips.CHIPS[chip], [program.built(), "picks"])
        done = subprocess.run(argv, env=chips.with_loader(chip), capture_output=True, text=True)
    else:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(about, file)
            file.flush()
            argv = [program.built(), "picks", "--info", file.name]
            done = subprocess.run(argv, capture_output=True, text=True)
    # Shims print the requests that they do not know.
    if done.returncode != 0:
        sys.exit(f"{chip}: no picks: {done.stderr[-1000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def main_dispatch(step: dict) -> str:
    """The dispatch of a step that does its multiply-adds: not the one that transforms inputs for
    Winograd, or that sums slices of K.
    """
    for dispatch in step["dispatches"]:
        if not dispatch.startswith(("winograd_", "split_k_sum")):
            return dispatch
    return step["dispatches"][0]


def by_run(steps: list[dict]) -> dict[tuple, Counter]:
    """FLOPs by kernel, of each network, batch, precision and device. The other dispatches of a step
    count none.
    """
    found = defaultdict(Counter)
    for step in steps:
        key = (step["network"], step["batch"], step["dtype"], step["device"])
        for kernel in step["dispatches"]:
            found[key][kernel] += 0
        found[key][main_dispatch(step)] += step["flops"]
    return found


def kernel_line(result: dict) -> dict:
    """The statistics of a kernel, without the driver's own."""
    line = {"kernel": result["file"].removesuffix(".spv")}
    kept = ["error", "registers", "spills", "occupancy", "workgroup_bytes"]
    line |= {name: result[name] for name in kept if name in result}
    if share := density(result):
        line["density"] = round(share, 3)
    if result.get("loop", {}).get("mad") or result.get("loop", {}).get("matrix"):
        line["loop"] = result["loop"]
        line["hidden"] = result["hidden"]
    return line


def write(chip: str, folder: Path) -> None:
    """Writes the file of a chip."""
    about = info(chip)
    runs = by_run(picks(chip, about))
    names = sorted({name for flops in runs.values() for name in flops})
    with tempfile.TemporaryDirectory() as text:
        spirv = Path(text)
        program.run("spirv", spirv, *names)
        files = [spirv / f"{name}.spv" for name in names]
        kernels = [kernel_line(result) for result in stats(chip, files, Options(TIMEOUT))]
    device = {"chip": chip, "words": chips.CHIPS[chip].words}
    device |= {name: about[name] for name in ("device", "driver", "version")}
    lines = [device, *kernels]
    for (network, batch, dtype, kind), flops in runs.items():
        run = {"network": network, "batch": batch, "dtype": dtype, "as": kind}
        lines.append(run | {"flops": dict(flops.most_common())})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{chip}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    failed = sum("error" in kernel for kernel in kernels)
    print(f"{chip}: {len(kernels)} kernels, {failed} do not compile", flush=True)


def summary(folder: Path) -> None:
    """Prints the kernels, and the share of FLOPs in kernels that spill or do not compile, by chip.
    """
    print("| chip | kernels | fail | spill | FLOPs of these: f32 batch 1, 8, 64 | f16 |")
    print("| --- | --- | --- | --- | --- | --- |")
    files = [name for name in chips.CHIPS if (folder / f"{name}.jsonl").exists()]
    if not files:
        sys.exit(f"{folder} has no file of a chip")
    for name in files:
        file = folder / f"{name}.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        kernels = {line["kernel"]: line for line in lines if "kernel" in line}
        if not kernels or lines[0].get("chip") != name or not any("flops" in it for it in lines):
            sys.exit(f"{file} is not the complete file of {name}")
        spilling = {kernel for kernel, its in kernels.items() if its.get("spills")}
        failing = {kernel for kernel, its in kernels.items() if "error" in its}
        poor = spilling | failing
        shares = {"f32": [], "f16": []}
        for dtype, found in shares.items():
            for batch in (1, 8, 64):
                runs = [
                    line["flops"]
                    for line in lines
                    if line.get("dtype") == dtype and line["batch"] == batch
                    if line["as"] == "as it is"
                ]
                total = sum(sum(flops.values()) for flops in runs)
                bad = sum(n for flops in runs for kernel, n in flops.items() if kernel in poor)
                found.append(f"{100 * bad / total:.0f} %" if total else "none")
        row = [lines[0]["words"], len(kernels), len(failing), len(spilling)]
        row += [", ".join(found) for found in shares.values()]
        print("| " + " | ".join(map(str, row)) + " |")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("chips", nargs="*")
    parser.add_argument("--summary", action="store_true")
    given = parser.parse_intermixed_args()
    if unknown := set(given.chips) - set(chips.CHIPS):
        parser.error(f"no chip {', '.join(sorted(unknown))}")
    if not given.chips and not given.summary:
        parser.error("no chip")
    for chip in given.chips:
        write(chip, given.folder)
    if given.summary:
        summary(given.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
