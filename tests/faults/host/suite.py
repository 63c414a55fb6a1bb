"""Shared by the groups: the commands, and a report of one line per run."""

import time
from pathlib import Path

from common import DATA, GOLDEN, NETWORK, PROGRAM, run, scratch, temporary_files

BLOCK_FILE = GOLDEN / "plain.safetensors"
BLOCK = [PROGRAM, "block", "--weights", BLOCK_FILE, "--input", BLOCK_FILE, "--output"]
EMBED = [PROGRAM, "embed", *NETWORK, "--batch", "2", "--out"]
CLASSIFY = [PROGRAM, "classify", *NETWORK, "--batch", "2"]
IMAGES = DATA / "images"
SMALL_BLOCK = ["--quick", "--block", "--inplanes", "16", "--planes", "4"]
TUNE = [PROGRAM, "tune", *SMALL_BLOCK, "--size", "4x4"]
BENCH = [PROGRAM, "bench", *SMALL_BLOCK, "--size", "8x8", "--json"]
TRAIN = [
    *[PROGRAM, "train", "--data", DATA / "digits", "--model", "bottleneck", "--depths", "1"],
    *["--planes", "4", "--stem-planes", "4", "--size", "16", "--lr", "0.05"],
]


class Suite:
    """Counts the runs and the violations. All files are in `folder`."""

    def __init__(self) -> None:
        self.folder = scratch("host")
        self.runs = 0
        self.bad = 0
        self.run("an undisturbed run", [*BLOCK, "good.safetensors"], (0,))
        self.good = (self.folder / "good.safetensors").read_bytes()

    def run(self, name, argv, allowed=(0,), check=None, known=None, **options):
        """Runs the program. `check` returns the fault of its files, if any. `known` returns the
        name of a known bug that explains how the process ended, if any.
        """
        start = time.time()
        ended = run(list(argv), cwd=self.folder, **options)
        fault = ended.fault(allowed)
        if fault and known and (bug := known(ended)):
            print(f"known bug: {bug}", flush=True)
            fault = None
        if fault is None and check is not None:
            fault = check()
        self.tell(name, fault, ended.code, time.time() - start, ended.err)
        return ended

    def tell(self, name, fault, code, seconds, err="") -> None:
        """Counts and prints a run."""
        self.runs += 1
        self.bad += fault is not None
        lines = [line for line in err.splitlines() if "WARN llvmpipe" not in line]
        verdict = f"VIOLATION {fault}" if fault else "ok"
        print(f"{name:<44} code {code!s:<4} {seconds:5.1f} s {verdict} | {lines[-1:]}", flush=True)

    def file(self, name) -> Path:
        """A file of this suite."""
        return self.folder / name

    def temporary_files(self) -> str | None:
        """Temporary files that a run has left."""
        left = temporary_files(self.folder)
        return f"left {left}" if left else None

    def whole_or_absent(self, name: str):
        """A check: the file is complete or does not exist. It is removed afterwards."""

        def check() -> str | None:
            path = self.file(name)
            if path.exists():
                whole = path.read_bytes() == self.good
                path.unlink()
                if not whole:
                    return f"wrong bytes in {name}"
            return self.temporary_files()

        return check
