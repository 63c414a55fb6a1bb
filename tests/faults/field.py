#!/usr/bin/env python3
"""Runs on GPUs as they fail in the field: python3 tests/faults/field.py [CHECK...] [--resnet18]

Before: scripts/faults. Each check uses a layer or a preload that makes the software driver behave
like another device. The exit code is 1 if a check fails. The check "parts" takes a minute and is
only made on request.
"""

import os
import re
import sys
import time
from pathlib import Path

from common import DATA, GOLDEN, LAYERS, LIBRARY, bottleneck, run, scratch, total, with_layer

BLOCK = ["block", "--weights", f"{GOLDEN}/plain.safetensors"]
BLOCK += ["--input", f"{GOLDEN}/plain.safetensors", "--verify"]
# The file that lists the kernels that a driver does not compile.
REFUSED = "wgpu-bottleneck/pipelines/*.refused.txt"


def field(cache: Path, **env: str) -> dict[str, str]:
    """The environment with the layer and an own cache."""
    return with_layer("VK_LAYER_field", XDG_CACHE_HOME=str(cache), **env)


def names(cache: Path) -> list[str]:
    """The kernels in the file of refused kernels."""
    return [name for file in cache.glob(REFUSED) for name in file.read_text().split()]


def slow_gl() -> str | None:
    """A wait longer than wgpu's limit on OpenGL is no loss."""
    folder = scratch("slow-gl")
    env = {"WGPU_BACKEND": "gl", "LD_PRELOAD": str(LAYERS / "libslow_gl.so"), "DELAY": "3"}
    ended = bottleneck(*BLOCK, "--output", folder / "out.safetensors", env=env, timeout=300)
    return ended.fault((0,))


def network() -> list[str]:
    """The arguments of a network and an input: the small one, or a ResNet-18."""
    if "--resnet18" not in sys.argv:
        return ["--weights", f"{DATA}/network.safetensors", "--input", f"{DATA}/input.safetensors"]
    folder = DATA / "resnet18"
    if not (folder / "model.safetensors").exists():
        train = ["train", "--data", f"{DATA}/digits", "--model", "resnet18", "--size", "32"]
        ended = bottleneck(*train, "--epochs", "1", "--batch", "4", "--out", folder, timeout=600)
        if ended.code != 0:
            sys.exit(f"no ResNet-18: {ended.err}")
    weights = folder / "model.safetensors"
    return ["--weights", str(weights), "--input", f"{DATA}/input.safetensors"]


def pipelines() -> str | None:
    """A kernel that the driver does not compile is left out, also by the next start."""
    folder = scratch("pipelines")
    argv = ["run", *network(), "--verify", "--output", folder / "out.safetensors"]
    failed, number = 0, 0
    while True:
        number += 1
        cache = folder / f"cache{number}"
        first = bottleneck(*argv, env=field(cache, PIPE=str(number)), timeout=300)
        if "field: pipeline" not in first.err:
            break
        failed += 1
        if "no device" in first.err and first.code == 4:
            # wgpu compiles two kernels when it creates a device.
            continue
        if first.code == 4 and "error: the driver does not compile the kernel" in first.err:
            # There is no other kernel, so the next start tries it again.
            again = bottleneck(*argv, env=field(cache, PIPE="9999"), timeout=300)
            if wrong := again.fault((0,)):
                return f"after PIPE={number}: {wrong}"
            continue
        if wrong := first.fault((0,)):
            return f"PIPE={number}: {wrong}"
        left_out = names(cache)
        if len(left_out) != 1 or f"the kernel {left_out[0]}:" not in first.err:
            return f"PIPE={number}: {left_out} is left out: {first.err}"
        again = bottleneck(*argv, env=field(cache, PIPE="9999"), timeout=300)
        if wrong := again.fault((0,)):
            return f"after PIPE={number}: {wrong}"
        if names(cache) != left_out or "does not compile" in again.err:
            return f"after PIPE={number}: {names(cache)}, {again.err}"
        listed = bottleneck("devices", env=field(cache))
        if left_out[0] not in listed.out or "delete" not in listed.out:
            return f"after PIPE={number}: devices does not list {left_out[0]}"
    return None if failed > 3 else f"only {failed} pipelines were seen"


def no_device() -> str | None:
    """The other adapters are listed, and the option picks one."""
    folder = scratch("no-device")
    env = field(folder / "cache", NODEV="1", WGPU_BACKEND="vulkan,gl")
    output = ["--output", folder / "out.safetensors"]
    ended = bottleneck(*BLOCK, *output, env=env)
    others = re.search(r"other adapters: (\d+): .*--adapter INDEX", ended.err)
    if ended.code != 4 or not others:
        return f"exit code {ended.code}: {ended.err}"
    advised = bottleneck(*BLOCK, *output, "--adapter", others.group(1), env=env)
    return advised.fault((0,))


def interrupted() -> str | None:
    """The cache is ignored once after a process died while kernels were compiled."""
    folder = scratch("interrupted")
    cache = folder / "cache"
    output = ["--output", folder / "out.safetensors"]
    first = bottleneck(*BLOCK, *output, env=field(cache))
    files = list(cache.glob("wgpu-bottleneck/pipelines/*.bin"))
    if first.code != 0 or len(files) != 1:
        return f"no cache: {files}, {first.err}"
    files[0].with_suffix(".compiling").touch()
    said = [
        "is ignored this time" in bottleneck(*BLOCK, *output, env=field(cache)).err
        for _ in range(2)
    ]
    return None if said == [True, False] else f"said that the cache is ignored: {said}"


def lost() -> str | None:
    """A loss names the smaller batch and the watchdog; out of memory the smaller batch."""
    folder = scratch("lost")
    argv = ["run", *network(), "--batch", "2", "--output", folder / "out.safetensors"]
    ended = bottleneck(*argv, env=field(folder / "cache", LOST="3"))
    if ended.code != 4 or not re.search(r"try --batch 1: (Linux|macOS|Windows)", ended.err):
        return f"exit code {ended.code}: {ended.err}"
    argv[argv.index("--batch") + 1] = "1"
    return bottleneck(*argv, env=field(folder / "cache")).fault((0,))


def training_batch() -> str | None:
    """A batch that is too large names the batch and the accumulation that fit."""
    folder = scratch("batch")
    argv = ["train", "--data", f"{DATA}/digits", "--model", "bottleneck", "--depths", "1"]
    argv += ["--planes", "4", "--stem-planes", "4", "--size", "32", "--epochs", "1"]
    # A binding of 32 KiB holds two images of 32 x 32 pixels.
    env = field(folder / "cache", RANGE="32768")
    ended = bottleneck(*argv, "--batch", "12", "--out", folder / "a", env=env)
    pattern = r"the largest batch that fits is (\d+): try (--batch \d+ --accumulate \d+);"
    advice = re.search(pattern, ended.err)
    if not advice:
        return f"exit code {ended.code}: {ended.err}"
    advised = bottleneck(*argv, *advice.group(2).split(), "--out", folder / "a", env=env)
    return advised.fault((0,)) and f"{advice.group(2)}: {advised.err}"


def hidden() -> str | None:
    """`devices` and the warning about software say why a GPU may be missing."""
    folder = scratch("hidden")
    output = ["--output", folder / "out.safetensors"]
    variable = "WGPU_ALLOW_UNDERLYING_NONCOMPLIANT_ADAPTER"
    for argv in (["devices"], [*BLOCK, *output]):
        ended = bottleneck(*argv, env={**field(folder / "cache"), "container": "test"})
        for text in (f"{variable}=1", "selftest", "NVIDIA_DRIVER_CAPABILITIES=graphics"):
            if text not in ended.err:
                return f"{argv[0]} does not say {text}: {ended.err}"
    return bottleneck("devices", env={**field(folder / "cache"), variable: "1"}).fault((0,))


def parts() -> str | None:
    """The layer counts as many submits as are planned, on a device that it makes integrated."""
    env = field(scratch("parts") / "cache", TYPE="1", NAME="Integrated", LOG="1")
    start = time.time()
    ended = run([LIBRARY, "parts"], env, timeout=900)
    if wrong := ended.fault((0,)):
        return wrong
    between = ended.err.split("the run begins")[1].split("the run ends")[0]
    found = between.count("field: submit")
    runs, submits = map(int, re.search(r"(\d+) runs of (\d+) submits", ended.out).groups())
    print(f"   {runs} runs of {submits} submits; {found} counted, {time.time() - start:.0f} s")
    # A run also downloads a tensor.
    return None if found == runs * (submits + 1) else f"{found} submits, {ended.out}"


CHECKS = [slow_gl, pipelines, no_device, interrupted, lost, training_batch, hidden]


def main() -> int:
    wanted = [word for word in sys.argv[1:] if not word.startswith("--")]
    checks = [check for check in [*CHECKS, parts] if check.__name__ in wanted] or CHECKS
    bad = 0
    for check in checks:
        start = time.time()
        found = check()
        bad += found is not None
        print(f"{check.__name__}: {found or 'right'} ({time.time() - start:.1f} s)", flush=True)
    return total(len(checks), "checks", bad)


sys.exit(main())
