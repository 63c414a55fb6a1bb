#!/usr/bin/env python3
"""ggml's kernels through the same compilers: python3 tests/vendor/ggml.py [--out FILE]

The shaders come from the sources of a crate. Debian's glslc compiles them with the options of
ggml's build. Specialisation constants have the values that ggml uses for each vendor without matrix
units (`ggml_vk_load_shaders` in ggml-vulkan.cpp). A cell of the table has the same content as a
cell of `tables.py registers`. The last rows show our densest staged tile that does not spill. The
exit code is 1 if a convolution of ggml is at least as dense as this tile.

--out FILE    also writes the results as JSON lines
--same        the same constants for every vendor: unrolled, no collectives, subgroups of 32
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import chips
import program
from stats import Options, density, stats
from tables import WORK, cell, table

# The crate whose package contains ggml's Vulkan backend.
CRATE, VERSION = "llama-cpp-sys-2", "0.1.161"
SHADERS = "llama.cpp/ggml/src/ggml-vulkan/vulkan-shaders"
# Bytes of push constants, at least as many as the shaders declare.
PUSHED = 128
MANIFEST = f"""[package]
name = "fetch"
version = "0.0.0"
edition = "2021"
[lib]
path = "lib.rs"
[dependencies]
{CRATE} = "={VERSION}"
"""

CONV = {"A_TYPE": "float", "B_TYPE": "float", "D_TYPE": "float", "USE_COLLECTIVES": "1"}
MATMUL = {
    "ACC_TYPE": "float",
    "ACC_TYPEV2": "vec2",
    "ACC_TYPE_VEC4": "vec4",
    "FLOAT_TYPE": "float",
    "FLOAT_TYPEV2": "vec2",
    "FLOAT_TYPEV4": "vec4",
    "FLOAT_TYPEV8": "mat2x4",
    "DATA_A_F32": "1",
    "LOAD_VEC_A": "4",
    "LOAD_VEC_B": "4",
    "B_TYPE": "vec4",
    "B_TYPE_SCALAR": "float",
    "B_TYPEV4": "vec4",
    "D_TYPE": "float",
}


@dataclass(frozen=True)
class Vendor:
    """How ggml specialises its convolution of 128 x 128 outputs for a vendor."""

    chip: str
    padding: int
    collectives: int
    unrolled: bool
    warp: int


VENDORS = [
    Vendor("navi31", 4, 0, False, 64),
    Vendor("dg2", 0, 0, False, 32),
    Vendor("a750", 4, 1, True, 64),
    Vendor("turing:no-robust", 4, 0, True, 32),
]


def sources() -> Path:
    """The folder of the shaders; fetched once."""
    folder = chips.CACHE / f"ggml-{VERSION}"
    if not folder.exists():
        with tempfile.TemporaryDirectory() as text:
            work = Path(text)
            (work / "Cargo.toml").write_text(MANIFEST)
            (work / "lib.rs").touch()
            vendor = ["cargo", "vendor", "--quiet", "--versioned-dirs", "crates"]
            subprocess.run(vendor, cwd=work, check=True, stdout=subprocess.DEVNULL)
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(work / f"crates/{CRATE}-{VERSION}" / SHADERS, part)
            part.rename(folder)
    return folder


def glslc(shader: str, defines: dict[str, str], out: Path) -> Path:
    """Compiles a shader."""
    root = chips.CACHE / "amd64"
    program = [root / "usr/lib64/ld-linux-x86-64.so.2", "--library-path"]
    program += [root / chips.LIBRARIES["amd64"], root / "usr/bin/glslc"]
    options = ["-fshader-stage=compute", "--target-env=vulkan1.2", "-O", sources() / shader]
    options += [f"-D{name}={value}" for name, value in defines.items()]
    subprocess.run([*program, *options, "-o", out], check=True)
    return out


def conv_constants(vendor: Vendor, side: int, is_aligned: bool) -> str:
    """Of conv2d_mm.comp: the workgroup, the block, and a convolution with stride 1."""
    pad = side // 2
    block = [256, 128, 16, 128, 8, vendor.collectives, vendor.padding]
    values = [*block, 1, 1, pad, pad, 1, 1, side, side, int(is_aligned), 0]
    return ",".join(f"{index}={value}" for index, value in enumerate(values))


def matmul_constants(vendor: Vendor) -> str:
    """Of mul_mm.comp: blocks of 64 x 64, 4 x 8 outputs of an invocation."""
    values = [128, 64, 64, 16, vendor.warp, 32, 2, 4, 2, 1, vendor.warp, 1]
    return ",".join(f"{index}={value}" for index, value in enumerate(values))


def kernels(vendor: Vendor, folder: Path):
    """Yields the names, files and constants of a vendor's kernels."""
    conv = {**CONV, "UNROLL": "[[unroll]]" if vendor.unrolled else ""}
    name = "conv2d_unrolled" if vendor.unrolled else "conv2d"
    for side in (1, 3):
        for is_aligned in (False, True):
            file = glslc("conv2d_mm.comp", conv, folder / f"{name}.spv")
            words = ", aligned" if is_aligned else ""
            constants = conv_constants(vendor, side, is_aligned)
            yield f"conv2d_mm 128x128x16, {side}x{side}{words}", file, constants
    file = glslc("mul_mm.comp", MATMUL, folder / "mul_mm.spv")
    yield "mul_mm f32 64x64", file, matmul_constants(vendor)


def ours(chip: str, side: int, options: Options) -> dict:
    """What the compiler makes of our densest staged tile that does not spill."""
    pattern = re.compile(rf"conv{side}x{side}_staged_l\d+s\d+r\d+c\d+_bias_relu")
    names = [name for name in program.run("names") if pattern.fullmatch(name)]
    folder = WORK / "spirv"
    program.run("spirv", folder, *names)
    found = stats(chip, [folder / f"{name}.spv" for name in names], options)
    usable = [result for result in found if result.get("spills") == 0]
    return max(usable, key=lambda result: density(result) or 0)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("--same", action="store_true")
    given = parser.parse_args()
    folder = WORK / "ggml"
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[str]] = {}
    lines, own_rows, bad = [], {1: [], 3: []}, 0
    for vendor in VENDORS:
        if given.same:
            vendor = Vendor(vendor.chip, 4, 0, True, 32)
        chip, _, more = vendor.chip.partition(":")
        theirs = {1: [], 3: []}
        for name, file, constants in kernels(vendor, folder):
            options = ["--push", PUSHED, "--constants", constants]
            options += [f"--{more}"] if more else []
            result = next(stats(chip, [file], Options(300, None, tuple(map(str, options)))))
            rows.setdefault(name, []).append(cell(result))
            lines.append(json.dumps({"kernel": name, "version": VERSION} | result))
            for side, shares in theirs.items():
                if f" {side}x{side}" in name:
                    shares.append(density(result) or 0)
        for side, shares in theirs.items():
            best = ours(chip, side, Options(300, None, (f"--{more}",) if more else ()))
            tile = re.search(r"_(l\d+s\d+r\d+c\d+)_", best["file"])[1]
            own_rows[side].append(f"{cell(best)} ({tile})")
            bad += density(best) <= max(shares)
    if given.out:
        given.out.write_text("\n".join(lines) + "\n")
    listed = [[name, *cells] for name, cells in rows.items()]
    listed += [[f"ours, {side}x{side}", *cells] for side, cells in own_rows.items()]
    table(["kernel", *(vendor.chip for vendor in VENDORS)], listed)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
