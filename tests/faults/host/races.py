"""Concurrent runs with the same output."""

import os
import subprocess
import time

from common import environment
from suite import BLOCK, EMBED, IMAGES, TRAIN, Suite


def at_once(suite: Suite, argvs, more=None) -> list[tuple[int, str]]:
    """Starts all processes, and waits for them. Returns their codes and last lines."""
    env = environment(more)
    processes = [
        subprocess.Popen(
            argv, cwd=suite.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for argv in argvs
    ]
    ends = []
    for process in processes:
        _, err = process.communicate(timeout=240)
        lines = err.decode(errors="replace").splitlines()
        ends.append((process.returncode, lines[-1] if lines else ""))
    return ends


def tell(suite: Suite, name: str, ends, allowed, wrong: str | None) -> None:
    """Counts a group of processes. At least one must succeed."""
    codes = [code for code, _ in ends]
    fault = wrong
    if 0 not in codes or any(code not in allowed for code in codes):
        fault = f"exit codes {codes}"
    suite.tell(name, fault, codes, 0, "\n".join(line for _, line in ends))


def run(suite: Suite) -> None:
    start = time.time()
    cache = {"XDG_CACHE_HOME": str(suite.file("race-cache"))}
    ends = at_once(suite, [[*BLOCK, "same.safetensors"]] * 5, cache)
    whole = suite.file("same.safetensors").read_bytes() == suite.good
    left = [name for _, _, names in os.walk(suite.file("race-cache")) for name in names]
    left = [name for name in left if name.endswith(".part")]
    wrong = None if whole else "wrong bytes"
    wrong = wrong or suite.temporary_files() or (f"left {left}" if left else None)
    tell(suite, "5 runs of block, one output and cache", ends, (0,), wrong)
    ends = at_once(suite, [[*EMBED, "race.npy", IMAGES]] * 3)
    tell(suite, "3 runs of embed, one output", ends, (0, 2), suite.temporary_files())
    train = [*TRAIN, "--epochs", "3", "--batch", "6", "--checkpoint-every", "1", "--out", "race"]
    ends = at_once(suite, [train] * 2)
    lines = len(suite.file("race/log.csv").read_text().splitlines())
    wrong = None if lines == 4 else f"log.csv has {lines} lines"
    tell(suite, "2 runs of train, one --out", ends, (0, 2), wrong)
    print(f"races: {time.time() - start:.1f} s")
