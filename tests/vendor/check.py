#!/usr/bin/env python3
"""The kernels that the rule picks, through four vendors' compilers and DirectX's, against what is
expected: python3 tests/vendor/check.py [OPTION...]

For each chip, the 60 kernels with the most FLOPs of four networks must compile. None may spill
registers unless expected.json lists it. The share of multiply-adds in the vector arithmetic of the
main loop may fall by two points, and no load may be followed by fewer multiply-adds before the
first wait for it than expected.json says. These limits are for one version of each driver: with
another one, a kernel that is worse is printed, and does not fail.

--chips A,B      only these
--plant NAME     with a fault in the shaders: spill or early
--self-test      that both faults are found
--update         writes expected.json
--no-directx     without DirectX's compilers
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import program
from picks import main_dispatch, picks
from stats import Options, density, info, stats

HERE = Path(__file__).resolve().parent
EXPECTED = HERE / "expected.json"
CHIPS = ["navi31", "turing", "dg2", "a750"]
MOST_KERNELS = 60
TIMEOUT = 120
# The share of multiply-adds may fall by this.
TOLERANCE = 0.02


@dataclass(frozen=True)
class Plant:
    """A fault: a text of a file of shaders/ that is replaced. It must be found on this chip, in a
    kernel with this name, by this sentence.
    """

    chip: str
    kernel: str
    found: str
    file: str
    find: str
    replace: str


LOOP = "    for (var step = first_step; step <= end_step; step += 1u) {\n"
LOAD = "weights[weight_k${g} * params.out_vec4 * 4u + weight_at${g}]"
LIVE = range(40)
PLANTS = {
    # Forty vectors that live as long as the loop.
    "spill": Plant(
        "dg2",
        "conv1x1_staged_l16s16r4c1_bias_relu",
        "spills",
        "conv1x1_staged",
        LOOP,
        "".join(f"    var live{i} = vec4<f32>(f32(local.x + {i}u));\n" for i in LIVE)
        + LOOP
        + "".join(f"        live{i} = live{i} * live{i} + vec4<f32>(0.5);\n" for i in LIVE)
        + "".join(f"        acc0_0 += live{i};\n" for i in LIVE),
    ),
    # The weights of the next step are used where they are loaded.
    "early": Plant(
        "navi31",
        "conv1x1_staged_l16s16r4c1_bias_relu",
        "multiply-adds behind loads",
        "shared/staged_weights",
        f"fetched_weight${{g}} = {LOAD};",
        f"fetched_weight${{g}} = select(Word(), {LOAD}, vec4<bool>(quads_left > 0u));",
    ),
}


def most_used(chip: str) -> list[str]:
    """The names of the kernels with the most FLOPs."""
    flops = Counter()
    for step in picks(chip):
        flops[main_dispatch(step)] += step["flops"]
    return [name for name, _ in flops.most_common(MOST_KERNELS)]


def summary(result: dict) -> dict:
    """What expected.json has of a kernel."""
    its = {"spills": result.get("spills", 0)}
    share = density(result)
    if share is not None:
        its["density"] = round(share, 3)
    # Not where registers are spilled, as they are loaded again.
    if not its["spills"] and any(result.get("loop", {}).get(kind) for kind in ("mad", "matrix")):
        its["hidden"] = sorted(result["hidden"])
    return its


def worse(found: dict, expected: dict | None) -> list[str]:
    """How a kernel is worse than expected. A kernel that is not expected must not spill."""
    expected = expected or {"spills": 0}
    why = []
    if found["spills"] > expected["spills"]:
        why.append(f"spills {found['spills']} registers, {expected['spills']} expected")
    elif missing := expected.keys() - found.keys():
        why.append(f"no {', '.join(sorted(missing))}: its main loop was not recognised")
    elif len(found.get("hidden", [])) < len(expected.get("hidden", [])):
        why.append(f"{len(found['hidden'])} loads, {len(expected['hidden'])} expected")
    if found.get("density", 1) < expected.get("density", 0) - TOLERANCE:
        share, floor = 100 * found["density"], 100 * expected["density"]
        why.append(f"{share:.0f} % of its arithmetic are multiply-adds, {floor:.0f} % expected")
    pairs = zip(found.get("hidden", []), expected.get("hidden", []), strict=False)
    if early := [(its, floor) for its, floor in pairs if its < floor]:
        why.append("multiply-adds behind loads: " + ", ".join(f"{a} of {b}" for a, b in early))
    return why


def one_chip(chip: str, patch: list[str], expected: dict | None) -> tuple[dict, int]:
    """What the compiler makes of the picks, and how many are worse than expected."""
    start, bad, found = time.monotonic(), 0, {}
    version = info(chip)["version"]
    is_other = expected is not None and expected["version"] != version
    if is_other:
        print(f"{chip}: expected.json is for {expected['version']}, and this is {version}")
    with tempfile.TemporaryDirectory() as text:
        folder, names = Path(text), most_used(chip)
        program.run(*patch, "spirv", folder, *names)
        files = [folder / f"{name}.spv" for name in names]
        for name, result in zip(names, stats(chip, files, Options(TIMEOUT)), strict=True):
            if "error" in result:
                why = [f"does not compile: {result['error']}"]
                bad += 1
            else:
                found[name] = summary(result)
                why = worse(found[name], expected["kernels"].get(name)) if expected else []
                bad += bool(why) and not is_other
            for reason in why:
                print(f"WORSE {chip} {name}: {reason}")
    spilling = sum(its["spills"] > 0 for its in found.values())
    print(
        f"{chip}: {len(names)} kernels, {bad} worse than expected, {spilling} spill"
        f" ({time.monotonic() - start:.0f} s)",
        flush=True,
    )
    return {"version": version, "kernels": found}, bad


def self_test(expected: dict) -> int:
    """The number of faults that are not found."""
    missed = 0
    for name, fault in PLANTS.items():
        with tempfile.TemporaryDirectory() as text:
            patch = ["--patch", fault.file, fault.find, fault.replace]
            program.run(*patch, "spirv", text, fault.kernel)
            file = Path(text) / f"{fault.kernel}.spv"
            result = next(stats(fault.chip, [file], Options(TIMEOUT)))
        why = worse(summary(result), expected[fault.chip]["kernels"][fault.kernel])
        is_found = any(fault.found in reason for reason in why)
        missed += not is_found
        print(f"planted: {name}: {'found: ' if is_found else 'NOT FOUND'}{'; '.join(why)}")
    return missed


def write(expected: dict) -> None:
    """Writes expected.json, a line for each kernel."""
    parts = []
    for chip, its in expected.items():
        kernels = its["kernels"].items()
        lines = ",\n".join(f"   {json.dumps(name)}: {json.dumps(one)}" for name, one in kernels)
        head = f' "{chip}": {{\n  "version": {json.dumps(its["version"])},\n'
        parts.append(f'{head}  "kernels": {{\n{lines}\n  }}\n }}')
    EXPECTED.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def with_directx(names: set[str]) -> int:
    """The kernels that do not compile."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as only:
        only.write("\n".join(sorted(names)))
        only.flush()
        argv = ["python3", HERE / "directx.py", "5_1", "6_0", "6_2", "--only", only.name]
        return subprocess.run(argv, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chips", default=",".join(CHIPS))
    parser.add_argument("--plant", choices=PLANTS)
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--no-directx", action="store_true")
    given = parser.parse_args()
    patch = []
    if given.plant:
        fault = PLANTS[given.plant]
        patch = ["--patch", fault.file, fault.find, fault.replace]
    expected = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
    if given.self_test:
        return 1 if self_test(expected) else 0
    if unknown := set(given.chips.split(",")) - (set(CHIPS) if given.update else set(expected)):
        parser.error(f"no {', '.join(sorted(unknown))}; there are {', '.join(CHIPS)}")
    bad, names = 0, set()
    for chip in given.chips.split(","):
        limits = None if given.update else expected[chip]
        found, worse_here = one_chip(chip, patch, limits)
        expected[chip], bad, names = found, bad + worse_here, names | set(found["kernels"])
    if given.update:
        if bad:
            return 1
        write(expected)
        return 0
    if not given.no_directx and not given.plant:
        bad += with_directx(names)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
