"""What the runners of this folder share: running the program, the layers, small inputs.

A check is a function without arguments. It returns None if the violation does not reproduce, and
otherwise a sentence that says what happened. It writes only below `scratch()`.
"""

import os
import re
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


@dataclass
class Ended:
    """How a process ended. `code` is negative for a signal, None for a hang."""

    code: int | None
    out: str
    err: str

    def fault(self, allowed: tuple[int, ...]) -> str | None:
        """What no run may do: hang, die by a signal, panic, or end with another exit code."""
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
    return {
        "VK_LAYER_PATH": str(LAYERS),
        "VK_INSTANCE_LAYERS": "VK_LAYER_fault",
        "WGPU_BACKEND": "vulkan",
        "FAULT": fault,
        **more,
    }


def run(argv, env=None, timeout=60, cwd=None, before=None) -> Ended:
    """Runs a process to its end. `before` runs in the child before the program, to set limits."""
    env = {**os.environ, "XDG_RUNTIME_DIR": "/tmp", "NO_COLOR": "1", **(env or {})}
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
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
    """An empty folder for the files of a check."""
    folder = ROOT / "target/faults/scratch" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
