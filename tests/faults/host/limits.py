"""Limits of the process: address space, open files, file size, stack."""

import resource

from common import limit
from suite import BLOCK, EMBED, IMAGES, TRAIN, TUNE, Suite

MIB = 1 << 20
ADDRESS_SPACE = [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1200, 1500]
# With a limit of 3, the dynamic linker cannot open a library.
OPEN_FILES = [4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 32]
FILE_SIZES = [0, 100, 4096, MIB]
# In KiB. With a limit of 64, the main thread overflows its stack while it parses arguments.
STACK = [256, 1024]


def run(suite: Suite) -> None:
    def block(name: str, allowed: tuple[int, ...], before, env=None) -> None:
        check = suite.whole_or_absent("out.safetensors")
        suite.run(name, [*BLOCK, "out.safetensors"], allowed, check, before=before, env=env)

    for size in ADDRESS_SPACE:
        # Mesa's OpenGL driver crashes in eglInitialize if an allocation fails.
        env = {"WGPU_BACKEND": "vulkan"}
        before = limit(resource.RLIMIT_AS, size * MIB)
        block(f"address space of {size} MiB", (0, 2, 4), before, env)
    for count in OPEN_FILES:
        block(f"{count} open files", (0, 2, 4), limit(resource.RLIMIT_NOFILE, count))
    for size in FILE_SIZES:
        before = limit(resource.RLIMIT_FSIZE, size)
        block(f"files of {size} bytes: block", (0, 2), before)
        name = f"files of {size} bytes"
        check = suite.temporary_files
        embed = [*EMBED, f"limited{size}.npy", IMAGES]
        suite.run(f"{name}: embed", embed, (0, 2), check, before=before)
        tune = [*TUNE, "--output", f"limited{size}.json"]
        suite.run(f"{name}: tune", tune, (0, 1, 2), check, before=before)
        train = [*TRAIN, "--epochs", "1", "--batch", "8", "--out", f"limited{size}"]
        suite.run(f"{name}: train", train, (0, 2), check, before=before)
    for size in STACK:
        block(f"stack of {size} KiB", (0, 2, 4), limit(resource.RLIMIT_STACK, size << 10))
