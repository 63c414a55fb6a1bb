#!/usr/bin/env python3
"""Kills `embed` and `train` at random moments, resumes them, and compares the results.

    python3 tests/faults/kill_and_resume.py [embed|train|all] [CYCLES] [SEED]

Run scripts/faults first. A cycle kills a run up to five times with SIGKILL, SIGTERM or SIGINT, each
time at another moment, and resumes it until it ends. Its files must then be byte-identical to the
files of an undisturbed run.
"""

import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from common import DATA, NETWORK, PROGRAM, environment, scratch, total, training

CYCLES = 6
# The maximum numbers of kills and of resumed runs per cycle.
KILLS = 5
ATTEMPTS = 40
SIGNALS = [signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT]


@dataclass
class Variant:
    """A command that is killed."""

    name: str
    # The arguments for a folder.
    arguments: list
    # The files of the result.
    results: list[str]
    # The exit codes of a run that ends by itself.
    codes: tuple[int, ...]


def embed_variants(base: Path) -> list[Variant]:
    """Sixty images, one of them damaged, in every output format."""
    images = base / "images"
    images.mkdir()
    for index in range(60):
        shutil.copy(DATA / f"images/{'abcde'[index % 5]}.png", images / f"{index:03}.png")
    (images / "010.png").write_text("not an image")
    variants = []
    for extension in ("npy", "parquet", "safetensors"):
        output = f"v.{extension}"
        names = [output, "v.npy.json"] if extension == "npy" else [output]
        argv = ["embed", *NETWORK, "--batch", 2, "--out", output, images]
        variants.append(Variant(extension, argv, names, (0, 3)))
    return variants


def train_variants(base: Path) -> list[Variant]:
    """Six epochs with a checkpoint after every step, of one batch or of two."""
    variants = []
    for accumulate in (1, 2):
        argv = training(Path("out"), epochs=6)
        argv += ["--crop", "0.7,1", "--flip", 0.5, "--accumulate", accumulate]
        argv += ["--checkpoint-every", 1]
        names = ["out/checkpoint.safetensors", "out/model.safetensors"]
        variants.append(Variant(f"accumulate {accumulate}", argv, names, (0,)))
    return variants


def start(variant: Variant, folder: Path, *more: str) -> subprocess.Popen:
    """Starts a run in a folder."""
    argv = [str(PROGRAM), *map(str, variant.arguments), *more]
    return subprocess.Popen(
        argv,
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def contents(variant: Variant, folder: Path) -> dict[str, bytes]:
    """The files of the result that exist."""
    paths = {name: folder / name for name in variant.results}
    return {name: path.read_bytes() for name, path in paths.items() if path.exists()}


class Cycle:
    """One run that is killed and resumed."""

    def __init__(self, r: random.Random, variant: Variant, folder: Path, seconds: float) -> None:
        self.r, self.variant, self.folder, self.seconds = r, variant, folder, seconds
        self.kills: Counter[str] = Counter()
        self.violations: list[str] = []

    def run(self, good: dict[str, bytes]) -> None:
        """Kills and resumes until the run ends by itself."""
        for attempt in range(ATTEMPTS):
            process = start(self.variant, self.folder, *(["--resume"] if attempt else []))
            if self.kills.total() < KILLS:
                limit = self.r.uniform(0.1, max(2.0, 0.7 * self.seconds))
            else:
                limit = 300
            try:
                _, said = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                self.kill(process)
                continue
            if process.returncode not in self.variant.codes:
                last = " / ".join(said.strip().splitlines()[-3:])
                self.violations.append(f"exit code {process.returncode}: {last}")
            break
        else:
            self.violations.append(f"no end after {ATTEMPTS} attempts")
        found = contents(self.variant, self.folder)
        for name in self.variant.results:
            if found.get(name) != good.get(name):
                self.violations.append(f"other bytes: {name}")
        hidden = [path.name for path in self.folder.rglob(".*")]
        if hidden:
            self.violations.append(f"left behind: {', '.join(hidden)}")

    def kill(self, process: subprocess.Popen) -> None:
        """Sends a signal. The process must end within a minute."""
        number = self.r.choice(SIGNALS)
        process.send_signal(number)
        self.kills[number.name] += 1
        try:
            _, said = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.violations.append(f"no end within 60 s of {number.name}")
            return
        if number == signal.SIGINT and process.returncode not in (130, *self.variant.codes):
            self.violations.append(f"exit code {process.returncode} after SIGINT: {said[-300:]}")
        if re.search("panicked|internal error", said):
            self.violations.append(f"a panic: {said[-300:]}")


def undisturbed(variant: Variant, folder: Path) -> tuple[dict[str, bytes], float]:
    """The files of an undisturbed run, and its seconds."""
    begun = time.time()
    process = start(variant, folder)
    _, said = process.communicate(timeout=300)
    assert process.returncode in variant.codes, said
    return contents(variant, folder), time.time() - begun


def check(kind: str, cycles: int, seed: int) -> int:
    """Runs the cycles of a command. Returns the number of violations."""
    base, r = scratch(f"kill-{kind}"), random.Random(seed)
    variants = {"embed": embed_variants, "train": train_variants}[kind](base)
    good = {}
    kills: Counter[str] = Counter()
    violations = 0
    for number in range(cycles):
        variant = variants[number % len(variants)]
        if variant.name not in good:
            folder = base / f"good-{variant.name}"
            folder.mkdir()
            good[variant.name] = undisturbed(variant, folder)
        files_of_good, seconds = good[variant.name]
        folder = base / f"cycle-{number}"
        folder.mkdir()
        cycle = Cycle(r, variant, folder, seconds)
        cycle.run(files_of_good)
        kills += cycle.kills
        violations += len(cycle.violations)
        for violation in cycle.violations:
            print(f"VIOLATION {kind}, cycle {number}, {variant.name}: {violation}", flush=True)
    print(f"{kind}: {cycles} cycles, kills {dict(kills)}, {violations} violations", flush=True)
    return violations


def main() -> int:
    kind = sys.argv[1] if len(sys.argv) > 1 else "all"
    cycles = int(sys.argv[2]) if len(sys.argv) > 2 else CYCLES
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    kinds = ["embed", "train"] if kind == "all" else [kind]
    violations = sum(check(kind, cycles, seed) for kind in kinds)
    return total(cycles * len(kinds), "cycles", violations)


if __name__ == "__main__":
    sys.exit(main())
