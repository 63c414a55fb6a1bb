"""Shared by the runners of this folder: paths, arguments, limits, and running the program.

A check is a function without arguments. It returns None if the violation does not reproduce, and
otherwise a sentence that describes it. It writes only to folders from `scratch()`.
"""

import os
import re
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "target/release/bottleneck"
LIBRARY = ROOT / "target/release/examples/faults_library"
LAYERS = ROOT / "target/faults"
GOLDEN = ROOT / "tests/golden"
INPUTS = ROOT / "tests/faults/inputs"
# Made by `prepare.py`: a small network, images, a folder of classes.
DATA = ROOT / "target/faults/data"

# Arguments: a small network without and with its preprocessing.
WEIGHTS = ["--weights", str(DATA / "network.safetensors")]
NETWORK = [*WEIGHTS, "--config", str(DATA / "preprocessing.json")]


def training(out: Path, epochs: int = 2) -> list:
    """The arguments that train a tiny network, in epochs of five batches."""
    network = ["--model", "bottleneck", "--depths", 1, "--planes", 4, "--stem-planes", 4]
    sizes = ["--size", 16, "--epochs", epochs, "--batch", 8, "--lr", 0.05]
    return ["train", *network, *sizes, "--data", DATA / "digits", "--out", out]


@dataclass
class Ended:
    """How a process ended. `code` is negative for a signal, None for a hang."""

    code: int | None
    out: str
    err: str

    def fault(self, allowed: tuple[int, ...]) -> str | None:
        """The fault of a run that hangs, dies by a signal, panics, or has another exit code."""
        last = " / ".join(self.err.strip().splitlines()[-3:])
        if self.code is None:
            return f"does not end: {last}"
        if self.code < 0:
            return f"signal {-self.code}: {last}"
        panics = r"panicked at|PANIC|bug in bottleneck|internal error|RUST_BACKTRACE"
        if re.search(panics, self.err + self.out):
            return f"a panic: {last}"
        if self.code not in allowed:
            return f"exit code {self.code}, not one of {allowed}: {last}"
        return None


def layer(fault: str, **more: str) -> dict[str, str]:
    """The environment in which a call fails: "SEM=3:odm" fails the third vkCreateSemaphore."""
    return with_layer("VK_LAYER_fault", FAULT=fault, **more)


def with_layer(name: str, **more: str) -> dict[str, str]:
    """The environment with a layer."""
    return {
        "VK_LAYER_PATH": str(LAYERS),
        "VK_INSTANCE_LAYERS": name,
        "WGPU_BACKEND": "vulkan",
        **more,
    }


def environment(more=None) -> dict:
    """The environment of the program, with more variables.

    Mesa's cache of compiled kernels stays the user's if a check sets XDG_CACHE_HOME: an empty cache
    of the program then does not mean that every kernel is compiled again.
    """
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    mesa = os.environ.get("MESA_SHADER_CACHE_DIR") or str(user)
    own = {"XDG_RUNTIME_DIR": "/tmp", "NO_COLOR": "1", "MESA_SHADER_CACHE_DIR": mesa}
    return {**os.environ, **own, **(more or {})}


def limit(kind: int, value: int):
    """A function that sets a limit (`resource.RLIMIT_...`) of the process that calls it."""
    return lambda: resource.setrlimit(kind, (value, value))


def run(argv, env=None, timeout=60, cwd=None, before=None) -> Ended:
    """Runs a process to its end. The child calls `before` before the program, to set limits."""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(env),
        cwd=cwd,
        preexec_fn=before,
    )
    code = None
    try:
        out, err = process.communicate(timeout=timeout)
        code = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    return Ended(code, out.decode(errors="replace"), err.decode(errors="replace"))


def bottleneck(*argv, **options) -> Ended:
    """Runs the program."""
    return run([str(PROGRAM), *map(str, argv)], **options)


def scratch(name: str) -> Path:
    """An empty folder for the files of a check. FAULTS_SCRATCH separates runners that run at the
    same time.
    """
    folder = ROOT / "target/faults" / os.environ.get("FAULTS_SCRATCH", "scratch") / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def total(count: int, what: str, violations: int) -> int:
    """Prints the last line of a runner, which torture.py reads. Returns the exit code."""
    print(f"total: {count} {what}, {violations} violations", flush=True)
    return 1 if violations else 0


def temporary_files(folder: Path) -> list[str]:
    """The names of the program's temporary files in a folder."""
    return [name for name in os.listdir(folder) if name.startswith(".bottleneck-")]
