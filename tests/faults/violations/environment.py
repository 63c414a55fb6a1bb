"""Checks of the file size limit, killed runs, environment variables, and links as outputs."""

import os
import resource
import signal
import subprocess
import time
from pathlib import Path

from common import GOLDEN, PROGRAM, bottleneck, limit, scratch, temporary_files

BLOCK = GOLDEN / "plain.safetensors"


def block(output: Path, **options):
    """Runs `bottleneck block` on a golden block."""
    return bottleneck("block", "--weights", BLOCK, "--input", BLOCK, "--output", output, **options)


def file_size_limit() -> str | None:
    """SIGXFSZ ended the process, and a temporary file stayed."""
    folder = scratch("file_size_limit")
    for size in (0, 100):
        ended = block(folder / "out", before=limit(resource.RLIMIT_FSIZE, size))
        if fault := ended.fault((2,)):
            return fault
        if "out: " not in ended.err or "file size limit" not in ended.err:
            return f"the error does not name the file and the limit: {ended.err}"
        if left := os.listdir(folder):
            return f"left {left}"
    return None


def killed_runs() -> str | None:
    """The temporary files of killed runs had random names, and accumulated."""
    folder = scratch("killed_runs")
    argv = ["shaders", "--target", "wgsl", "--kernel", "conv1x1", "--out", folder]
    kills = 0
    for _ in range(20):
        process = subprocess.Popen(
            [PROGRAM, *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and not temporary_files(folder):
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += bool(temporary_files(folder))
        if kills == 2:
            break
    if kills == 0:
        return "no run could be killed while it had a temporary file"
    ended = bottleneck(*argv)
    return ended.fault((0,)) or (f"left {left}" if (left := temporary_files(folder)) else None)


def variables() -> str | None:
    """A variable that is not UTF-8 was ignored without a message."""
    folder = scratch("variables")
    for name in ("WGPU_BACKEND", "WGPU_ADAPTER_NAME", "WGPU_POWER_PREF", "RUST_LOG"):
        ended = block(folder / "out", env={name: b"\xff\xfe"})
        if fault := ended.fault((2,)):
            return f"{name}: {fault}"
        if f"{name}=\\xff\\xfe is not valid" not in ended.err:
            return f"the error does not name {name}: {ended.err}"
    return None


def links() -> str | None:
    """A link as output was replaced by a file, unless it led to an existing file."""
    folder = scratch("links")
    (folder / "there").write_text("old")
    cases = {
        "there": (0,),
        "new": (0,),
        "missing/new": (2,),
        "link": (2,),
    }
    for target, allowed in cases.items():
        link = folder / "link"
        link.symlink_to(target)
        ended = block(link)
        if fault := ended.fault(allowed):
            return f"a link to {target}: {fault}"
        if not link.is_symlink():
            return f"a link to {target} was replaced by a file"
        if allowed == (0,) and (folder / target).stat().st_size < 1000:
            return f"a link to {target} was not followed"
        link.unlink()
    return None


# (number, name): check
CHECKS = {
    (14, "file size limit"): file_size_limit,
    (14, "killed runs"): killed_runs,
    (15, "variables that are not UTF-8"): variables,
    (16, "links as outputs"): links,
}
