#!/usr/bin/env python3
"""Staged kernels in f32 through NVIDIA's own assembler: python3 tests/vendor/ptx.py [KERNEL...]

The text of a kernel is rewritten as OpenCL C, which clang compiles to PTX, and ptxas to machine
code. So the front end is not that of NVIDIA's driver; registers, order and waits are ptxas'.
Without names: the 1x1 and 3x3 kernels of the tiles that the rule picks. `tests/vendor/setup ptxas`
gets ptxas, out of PyPI's package triton, and clang.

--arch A,B,...     sm_75, sm_86, sm_89, sm_90, sm_120 (all)

A line for each kernel and architecture has registers, spills, the instructions and multiply-adds of
one turn of the loop, and the multiply-adds between each load from memory and the first wait for it.
The exit code is 1 if fewer than 90 % of the turn's stand behind a load.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import chips
import loops
import program
from isa import sass

FOLDER = chips.CACHE / "ptxas"
ARCHITECTURES = ["sm_75", "sm_86", "sm_89", "sm_90", "sm_120"]
TILES = ["l16s16r4c1", "l16s16r8c1", "l16s16r4c2", "l16s16r8c2"]
LEAST_HIDDEN = 0.9
PRELUDE = """
struct mat { float4 c[4]; };
mat mat4(float4 a, float4 b, float4 c, float4 d) {
    mat m; m.c[0] = a; m.c[1] = b; m.c[2] = c; m.c[3] = d; return m;
}
float4 fma4(float4 a, float b, float4 c) {
    return (float4)(__builtin_fmaf(a.x, b, c.x), __builtin_fmaf(a.y, b, c.y),
        __builtin_fmaf(a.z, b, c.z), __builtin_fmaf(a.w, b, c.w));
}
float4 mac(mat m, float4 x, float4 acc) {
    return fma4(m.c[3], x.w, fma4(m.c[2], x.z, fma4(m.c[1], x.y, fma4(m.c[0], x.x, acc))));
}
float4 relu(float4 x) {
    int4 nan = (as_uint4(x) & (uint4)(0x7fffffffu)) > (uint4)(0x7f800000u);
    float4 z = (float4)(0.0f);
    return nan ? x : (x > z ? x : z);
}
uint umin(uint a, uint b) { return a < b ? a : b; }
float4 sel(float4 f, float4 t, int4 c) { return c ? t : f; }
uint sel(uint f, uint t, bool c) { return c ? t : f; }
#define unpack(x) (x)
#define staged_row(at) staged_rows[at]
#define staged_quad(at) mat4(staged_weights[at], staged_weights[(at) + TILE_COLUMNS], \
    staged_weights[(at) + 2u * TILE_COLUMNS], staged_weights[(at) + 3u * TILE_COLUMNS])
#define pack(x) (x)
#define params (*p)
"""
PIXELS = """
struct Pixel { uint item, y, x; };
#define pixel_at(row) pixel_of(p, row)
Pixel pixel_of(__global const Params* __restrict p, uint row) {
    uint line = row / p->out_width, item = line / p->out_height;
    Pixel r; r.item = item; r.y = line - item * p->out_height; r.x = row - line * p->out_width;
    return r;
}
"""
MAIN = """
__kernel __attribute__((reqd_work_group_size({x}, {y}, 1))) void run(
    __global const Params* __restrict p, __global const float4* __restrict src,
    __global const float4* __restrict weights, __global float4* __restrict dst) {{
    {local}
    const uint3 group = (uint3)((uint)__nvvm_read_ptx_sreg_ctaid_x(),
        (uint)__nvvm_read_ptx_sreg_ctaid_y(), (uint)__nvvm_read_ptx_sreg_ctaid_z());
    const uint3 local_ = (uint3)((uint)__nvvm_read_ptx_sreg_tid_x(),
        (uint)__nvvm_read_ptx_sreg_tid_y(), 0u);
{body}}}
"""
# WGSL as OpenCL C++, for what the staged kernels use.
REWRITES = [
    (r"workgroupBarrier\(\)", "__nvvm_bar_sync(0)"),
    (r"\bconst (\w+) =", r"const uint \1 ="),
    (r"\bfor \(var (\w+) =", r"for (uint \1 ="),
    (r"\b(?:let|var) (\w+) =", r"auto \1 ="),
    (r"vec4<f32>\(0\.0\)", "(float4)(0.0f)"),
    (r"vec4<u32>\(", "(uint4)("),
    (r"mat4x4<f32>\(", "mat4("),
    (r"Word\(\)", "(float4)(0.0f)"),
    (r",\s*\n\s*\)", ")"),
    (r"\bselect\(", "sel("),
    (r"\bmin\(", "umin("),
    (r"\bbias\(([^,]+), (\w+)\)", r"weights[(\1) * params.out_vec4 * 4u + (\2)]"),
    (r"\bif ([^{]+?) \{", r"if (\1) {"),
    (r"\blocal\.", "local_."),
]


def masks(text: str) -> str:
    """`vec4<bool>(...)` as OpenCL's masks."""
    begin = "vec4<bool>("
    while (at := text.find(begin)) >= 0:
        depth, end = 1, at + len(begin)
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        inner = text[at + len(begin) : end - 1]
        text = f"{text[:at]}((int4)(({inner}) ? -1 : 0)){text[end:]}"
    return text


def opencl(text: str) -> str:
    """A kernel's WGSL as OpenCL C++."""
    text = re.sub(r"//.*", "", text)
    members = re.search(r"struct Params \{(.*?)\}", text, re.DOTALL)[1]
    members = re.sub(r"(\w+): u32,", r"uint \1;", members)
    at = text.index("fn main(")
    constants = re.findall(r"const (\w+) = ([^;]+);", text[:at])
    arrays = re.findall(r"var<workgroup> (\w+): array<Word, (\d+)>;", text)
    x, y = re.search(r"@workgroup_size\((\d+), (\d+), 1\)", text).groups()
    body = text[text.index("{", at) + 1 : text.rindex("}")]
    for old, new in REWRITES:
        body = re.sub(old, new, body)
    return (
        PRELUDE
        + "".join(f"#define {name} ({value})\n" for name, value in constants)
        + f"struct Params {{{members}}};\n"
        + (PIXELS if "fn pixel_at" in text else "")
        + MAIN.format(
            x=x,
            y=y,
            local=" ".join(f"__local float4 {name}[{count}];" for name, count in arrays),
            body=masks(body),
        )
    )


def call(*argv) -> subprocess.CompletedProcess:
    """Runs a program; ends this one with its message if it fails."""
    done = subprocess.run([str(part) for part in argv], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{argv[0]}: {done.stderr[-1500:]}")
    return done


def assembled(source: str, arch: str, folder: Path) -> tuple[str, str]:
    """The machine code of a kernel as text, and what ptxas says of registers and spills."""
    file, ptx, cubin = folder / "run.cl", folder / "run.ptx", folder / "run.cubin"
    file.write_text(source)
    # clang 16 knows no later architecture; ptxas translates.
    target = arch if int(arch[3:]) <= 80 else "sm_80"
    options = ["-x", "cl", "-cl-std=clc++", "--target=nvptx64-nvidia-cuda", f"-march={target}"]
    options += ["-Xclang", "-finclude-default-header", "-O3", "-fno-unroll-loops", "-w", "-S"]
    call("clang-16", *options, "-o", ptx, file)
    said = call(FOLDER / "ptxas", "-v", "-O3", f"-arch={arch}", ptx, "-o", cubin).stderr
    code = call(FOLDER / "nvdisasm", "-c", "-hex", cubin).stdout
    used = re.findall(r"Used \d+ registers|\d+ bytes spill stores", said)
    return code, ", ".join(used)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kernels", nargs="*")
    parser.add_argument("--arch", default=",".join(ARCHITECTURES))
    given = parser.parse_intermixed_args()
    if not (FOLDER / "ptxas").exists():
        sys.exit("ptxas is missing: tests/vendor/setup ptxas")
    staged = [f"{conv}_staged_{tile}" for conv in ("conv1x1", "conv3x3") for tile in TILES]
    names = given.kernels or [f"{name}_bias_relu" for name in staged]
    bad = 0
    if unknown := set(names) - set(program.run("names")):
        parser.error(f"no kernel {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        program.run("wgsl", folder)
        for name in names:
            file = folder / f"{name}.wgsl"
            if not file.exists() or "_f16" in name:
                parser.error(f"{name} is no staged kernel in f32 with bias and ReLU")
            source = opencl(file.read_text())
            for arch in given.arch.split(","):
                code, used = assembled(source, arch, folder)
                turn = loops.hot(sass, code)
                counted = loops.count(sass, turn)
                found = sass.hidden(turn)
                few = [mads for mads in found if mads < LEAST_HIDDEN * counted["mad"]]
                bad += bool(few) or not found
                print(
                    f"{name} {arch}: {used}; {counted['mad']} multiply-adds of"
                    f" {counted['all']} instructions; behind loads: {found}",
                    flush=True,
                )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
