"""Limits of the process: address space, open files, file size, stack."""

import resource
import signal

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
    def block(name: str, allowed: tuple[int, ...], before, **options) -> None:
        check = suite.whole_or_absent("out.safetensors")
        suite.run(name, [*BLOCK, "out.safetensors"], allowed, check, before=before, **options)

    for size in ADDRESS_SPACE:
        cache = suite.file(f"cache{size}")

        def in_the_compiler(ended, cache=cache) -> str | None:
            """Mesa's compiler does not check its allocations (upstream/mesa_compiler_...). A marker
            stands in the cache while the driver compiles.
            """
            compiled = ended.code == -signal.SIGSEGV and any(cache.rglob("*.compiling"))
            return "Mesa's compiler crashes if an allocation fails" if compiled else None

        # Mesa's OpenGL driver crashes in eglInitialize if an allocation fails.
        env = {"WGPU_BACKEND": "vulkan", "XDG_CACHE_HOME": str(cache)}
        before = limit(resource.RLIMIT_AS, size * MIB)
        name = f"address space of {size} MiB"
        block(name, (0, 2, 4), before, env=env, known=in_the_compiler)
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
