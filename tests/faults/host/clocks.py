"""Clocks that run backwards: a preloaded library sets them back after every third reading."""

import shutil
import subprocess
from pathlib import Path

from suite import BENCH, BLOCK, EMBED, IMAGES, TRAIN, TUNE, Suite

SOURCE = Path(__file__).resolve().with_name("backward_clock.c")


def run(suite: Suite) -> None:
    if not shutil.which("gcc"):
        print("clocks: SKIPPED, because gcc is missing")
        return
    library = suite.file("backward_clock.so")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    train = [*TRAIN, "--epochs", "1", "--batch", "8", "--out", "clock"]
    commands = [
        ("block", [*BLOCK, "clock.safetensors"], (0,)),
        ("embed", [*EMBED, "clock.npy", IMAGES], (0,)),
        ("bench", BENCH, (0, 4)),
        ("train", train, (0,)),
        ("tune", [*TUNE, "--output", "clock.json"], (0, 1)),
    ]
    for name, argv, allowed in commands:
        env = {"LD_PRELOAD": str(library)}
        suite.run(f"clocks run backwards: {name}", argv, allowed, env=env, timeout=90)
