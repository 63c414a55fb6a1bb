#!/usr/bin/env python3
"""Tables of what the vendors' compilers make of our kernels: python3 tests/vendor/tables.py TABLE

registers    density, spills and occupancy of the kernels of most FLOPs, by chip
spills       the share of FLOPs in kernels that spill, by chip, precision and batch
hiding       multiply-adds behind each load: as it is, and in two other forms of the loop
bounds       what the tiles allow of the peak, by workgroup memory and issue
batch1       the same for the layers of ResNet-50 at batch 1, in f32, with the share of the tiles
             inside the maps; the exit code is 1 unless 80 % of the FLOPs reach 62 % of the peak,
             and two workgroups fit a multiprocessor or compute unit
hidden       the staged and matrix kernels that the rule picks on AMD's chips, from the files in
             benches/results/vendor: the exit code is 1 if fewer than 90 % of a turn's multiply-adds
             follow a load, or not all matrix multiply-adds

--richest    of spills: with the largest epilogue of each tile in place of each kernel's own

Results are kept in target/vendor, so that a table can be printed again.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import chips
import variants
from isa.radv import MATRIX_MADS
from picks import main_dispatch, picks
from program import ROOT, run
from stats import Options, density, resumed

WORK = ROOT / "target/vendor"
COLUMNS = ["vega20", "navi21", "navi31", "ampere", "turing:no-robust", "dg2", "lnl", "a660"]
COLUMNS += ["a750", "m1"]
ROWS = [
    "conv1x1_staged_l16s16r8c2_bias_relu",
    "conv1x1_staged_l8s8r8c2_bias_relu",
    "conv1x1_staged_l16s16r4c1_bias_relu",
    "conv1x1_l8s8r8c2_bias_relu",
    "conv1x1_l8s8r8c1_bias_relu",
    "conv3x3_staged_l16s16r8c2_bias_relu",
    "conv3x3_staged_l16s16r4c1_bias_relu",
    "conv1x1_staged_l16s16r8c2_f16_bias_relu",
    "conv1x1_staged_l16s16r4c1_f16_bias_relu",
    "conv1x1_staged_l16s16r8c1_bias_relu",
    "conv1x1_staged_l16s16r4c2_bias_relu",
]
# The chips of the table of spills, as which kind of device.
SPILLING = [("dg2", "discrete"), ("a660", "integrated"), ("a618", "integrated")]
SPILLING += [("a750", "integrated"), ("m1", "integrated"), ("navi31", "discrete")]
SPILLING += [("turing", "discrete")]
HIDING = ["vega20", "navi21", "navi31", "gfx1201", "a750", "turing", "turing:no-robust", "dg2"]
STAGED = ["conv1x1_staged_l16s16r4c1_bias_relu", "conv1x1_staged_l16s16r8c2_bias_relu"]
STAGED += ["conv3x3_staged_l16s16r8c2_bias_relu"]
MATRIX = ["conv1x1_matrix_l32s4r4c4_m16_f16_bias_relu"]
MATRIX += ["conv1x1_matrix_l32s4r2c2_m16_f16_bias_relu"]

# Multiply-adds a clock, bytes of workgroup memory a clock, and instructions issued a clock, of the
# unit that shares one workgroup memory. RDNA 3 at its dual rate. Vendors' documents; not measured.
UNITS = {
    "navi21": (64, 128, None),
    "navi31": (128, 128, None),
    "gfx1201": (128, 128, None),
    "ampere": (128, 128, 4),
    "ada": (128, 128, 4),
}
BOUNDS = ["navi21", "navi31", "ampere"]
BATCH1 = ["navi31", "gfx1201", "ampere", "ada"]
# The share of the peak, and the share of FLOPs that must reach it at batch 1.
LEAST_BOUND, LEAST_FLOPS = 0.62, 0.8
# The share of a turn's multiply-adds that must follow a load.
LEAST_HIDDEN = 0.9


def spirv(names: list[str]) -> list[Path]:
    """Writes kernels."""
    folder = WORK / "spirv"
    run("spirv", folder, *names)
    return [folder / f"{name}.spv" for name in names]


def measured(chip: str, files: list[Path]) -> dict[str, dict]:
    """What a chip's compiler says, by the names of kernels. `CHIP:no-robust` is without robust
    accesses.
    """
    name, _, more = chip.partition(":")
    out = WORK / f"{chip.replace(':', '-')}.jsonl"
    options = Options(300, None, (f"--{more}",) if more else ())
    found = resumed(name, files, options, out)
    return {file.stem: found[file.name] for file in files}


def cell(result: dict) -> str:
    """Density, occupancy and spills."""
    if "error" in result:
        return "error"
    share = density(result)
    words = [] if share is None else [f"{100 * share:.0f} %"]
    if "occupancy" in result:
        words.append(f"occ {result['occupancy']}")
    words.append(f"sp {result['spills']}")
    return " ".join(words)


def table(head: list[str], rows: list[list[str]]) -> None:
    """Prints Markdown."""
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join("---" for _ in head) + " |")
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def registers() -> None:
    files = spirv(ROWS)
    columns = {chip: measured(chip, files) for chip in COLUMNS}
    rows = [[name, *(cell(columns[chip][name]) for chip in COLUMNS)] for name in ROWS]
    table(["kernel", *COLUMNS], rows)


def without_epilogue(name: str) -> str:
    """The name of a kernel without what follows the sums."""
    return re.sub(r"(_bias|_residual|_relu)+$", "", name)


def spills(with_richest: bool) -> None:
    picks = [json.loads(line) for line in run("layers")]
    if with_richest:
        richest = {without_epilogue(name): name for name in run("richest")}
        for pick in picks:
            names = pick["dispatches"]
            pick["dispatches"] = [richest.get(without_epilogue(name), name) for name in names]
    rows = []
    for chip, device in SPILLING:
        its = [pick for pick in picks if pick["device"] == device]
        names = sorted({name for pick in its for name in pick["dispatches"]})
        found = measured(chip, spirv(names))
        row = [f"{chip}, {device}"]
        for dtype in ("f32", "f16"):
            for batch in (1, 8, 64):
                group = [p for p in its if (p["dtype"], p["batch"]) == (dtype, batch)]
                total = sum(pick["flops"] for pick in group)
                spilling = sum(
                    pick["flops"]
                    for pick in group
                    if any(found[name].get("spills", 0) for name in pick["dispatches"])
                )
                row.append(f"{100 * spilling / total:.0f} %" if total else "")
        rows.append(row)
    head = [f"{dtype}, batch {batch}" for dtype in ("f32", "f16") for batch in (1, 8, 64)]
    table(["chip, as", *head], rows)


def hiding() -> None:
    texts = WORK / "wgsl"
    run("wgsl", texts)
    names = STAGED + MATRIX
    for file in texts.glob("*.wgsl"):
        if file.stem not in names:
            file.unlink()
    forms = variants.write(texts, WORK / "spirv")
    files = spirv(names) + forms
    rows = []
    for chip in HIDING:
        # AMD's and Qualcomm's drivers abort where a chip has no such matrices.
        has_matrices = chip in ("navi31", "gfx1201")
        its = [file for file in files if has_matrices or "_matrix_" not in file.name]
        found = measured(chip, its)
        for name in names:
            if name in found:
                ways = [found.get(f"{name}{form}", {}) for form in ("", ".early", ".plain")]
                cells = [str(way.get("hidden", way.get("error", ""))) for way in ways]
                rows.append([chip, name, *cells])
    table(["chip", "kernel", "as it is", "early", "plain"], rows)


def bound(result: dict, chip: str) -> tuple[float, str]:
    """The share of the peak of multiply-adds that a loop can reach, and what limits it."""
    lanes, memory, issue = UNITS[chip]
    loop, width = result["loop"], result["executables"][-1]["subgroup"]
    words = loop.get("lds_load_words", 0) + loop.get("lds_store_words", 0)
    clocks = {"ALU": loop["alu"] * width / lanes, "LDS": words * 4 * width / memory}
    if issue:
        clocks["issue"] = loop["all"] / issue
    limit = max(clocks, key=clocks.__getitem__)
    return loop["mad"] * width / lanes / clocks[limit], limit


def bounds() -> None:
    names = ["conv1x1_staged_l16s16r4c1_bias_relu", "conv1x1_staged_l16s16r8c1_bias_relu"]
    names += ["conv1x1_staged_l16s16r8c2_bias_relu", "conv1x1_staged_l8s8r8c2_bias_relu"]
    files = spirv(names)
    found = {chip: measured(chip, files) for chip in BOUNDS}
    rows = []
    for name in names:
        loop = found["navi31"][name]["loop"]
        cells = [bound(found[chip][name], chip) for chip in BOUNDS]
        per_read = loop["mad"] * 4 / loop["lds_load_words"]
        rows.append([name, f"{per_read:.1f}", *(f"{100 * at:.0f} % ({by})" for at, by in cells)])
    table(["tile", "multiply-adds per vec4 read", *BOUNDS], rows)


def inside(name: str, output: list[int]) -> float:
    """The share of the tiles of a kernel that is inside the map."""
    x, y, rows, columns = map(int, re.search(r"_l(\d+)s(\d+)r(\d+)c(\d+)", name).groups())
    items, channels, height, width = output
    sizes = [(items * height * width, y * rows), (-(-channels // 4), x * columns)]
    share = 1.0
    for size, step in sizes:
        share *= size / (-(-size // step) * step)
    return share


def workgroups(result: dict) -> int:
    """The workgroups of 256 invocations that fit a multiprocessor or compute unit: the driver
    counts subgroups of 32 lanes on a multiprocessor, or on one of the two SIMDs of an RDNA compute
    unit, where one of 64 lanes counts twice.
    """
    units = 1 if "Max warps/SM" in result["executables"][-1] else 2
    return units * result["occupancy"] * 32 // 256


def batch1() -> int:
    rows, bad = [], 0
    for chip in BATCH1:
        steps = [
            step
            for step in picks(chip)
            if (step["network"], step["batch"], step["dtype"]) == ("resnet50", 1, "f32")
            if step["device"] == "as it is" and step["flops"]
        ]
        names = sorted({main_dispatch(step) for step in steps})
        found = measured(chip, spirv(names))
        total = sum(step["flops"] for step in steps)
        reached = fits = 0
        for step in steps:
            name = main_dispatch(step)
            result = found[name]
            share, limit = bound(result, chip) if "_staged_" in name else (0.0, "not staged")
            count = workgroups(result) if "_staged_" in name else 0
            count = min(count, 65536 // max(1, result["workgroup_bytes"]))
            reached += step["flops"] * (share >= LEAST_BOUND)
            fits += step["flops"] * (count >= 2)
            part = inside(name, step["output"])
            cells = [f"{100 * value:.0f} %" for value in (share, part, share * part)]
            rows.append([chip, step["step"], name, cells[0], limit, *cells[1:], str(count)])
        bad += reached < LEAST_FLOPS * total or fits < LEAST_FLOPS * total
        words = f"at least {100 * LEAST_BOUND:.0f} % on {100 * reached / total:.0f} % of FLOPs"
        rows.append([chip, "all", words, "", "", "", "", ""])
    head = ["chip", "layer", "kernel", "bound", "by", "inside", "product", "workgroups"]
    table(head, rows)
    return 1 if bad else 0


def hidden() -> int:
    rows, bad, seen = [], 0, 0
    for file in sorted((ROOT / "benches/results/vendor").glob("*.jsonl")):
        chip, *lines = map(json.loads, file.read_text().splitlines())
        if chips.CHIPS[chip["chip"]].driver != "radeon":
            continue
        for line in lines:
            name, loop = line.get("kernel", ""), line.get("loop", {})
            if not re.search("_(staged|matrix)_", name) or "grouped_staged" in name or not loop:
                continue
            seen += 1
            mads = loop.get("mad", 0) + MATRIX_MADS * loop.get("matrix", 0)
            share = min(line["hidden"], default=0) / mads
            is_few = share < (1 if loop.get("matrix") else LEAST_HIDDEN)
            bad += is_few
            if is_few:
                rows.append([chip["chip"], name, str(mads), str(line["hidden"])])
    table(["chip", "kernel", "multiply-adds", "behind loads"], rows)
    print(f"{bad} of {seen} kernels")
    return 1 if bad or not seen else 0


def main() -> int:
    tables = {"registers": registers, "spills": None, "hiding": hiding, "bounds": bounds}
    tables |= {"batch1": batch1, "hidden": hidden}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=tables)
    parser.add_argument("--richest", action="store_true")
    given = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    if given.table == "spills":
        spills(given.richest)
        return 0
    return tables[given.table]() or 0


if __name__ == "__main__":
    sys.exit(main())
