#!/usr/bin/env python3
"""Fails one Vulkan call after another: python3 tests/faults/sweep.py COMMAND[,COMMAND] [options]

Run scripts/faults first. For each command, point and error, the n-th call fails, for n from 1 to
the number of calls of an undisturbed run, at most --calls. A run must end with exit code 4, or with
exit code 0 and the outputs of an undisturbed run; if a kernel did not compile, another kernel
computes the outputs, and they are not compared. It must not die by a signal, panic, take longer
than 60 seconds, or leave a file that an undisturbed run does not write. Files that differ between
two undisturbed runs are not compared. The exit code is 1 if a run breaks these rules and no entry
of known_bugs.py covers it, or if an entry does not reproduce.
"""

import argparse
import concurrent.futures
import hashlib
import itertools
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from commands import COMMANDS, Command
from common import Ended, run, scratch, total, with_layer
from known_bugs import KNOWN_BUGS
from points import POINTS

# Lock files may remain after a failure: the next run reuses them.
IGNORED = (".lock",)


def files(folder: Path) -> dict[str, str]:
    """The checksum of each file."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha1(path.read_bytes()).hexdigest() for path in found
    }


class Sweep:
    """The runs of one command."""

    def __init__(self, name: str, undisturbed: dict[str, str]):
        self.name = name
        self.command: Command = COMMANDS[name]
        self.folder = scratch(f"sweep-{name}")
        self.numbers = itertools.count()
        self.undisturbed = undisturbed
        self.good, self.files, _ = self.run({"FAULT_COUNT": str(self.folder / "counts")})
        again, files_again, _ = self.run({})
        if self.good.code != 0:
            sys.exit(f"{name}: an undisturbed run fails: {self.good.err}")
        self.same_output = again.out == self.good.out
        self.stable = {
            file: sum_ for file, sum_ in self.files.items() if files_again.get(file) == sum_
        }

    def counts(self) -> dict[str, int]:
        """How often each point was called in the first run."""
        lines = (self.folder / "counts").read_text().splitlines()
        return {point: int(count) for point, count in map(str.split, lines)}

    def run(self, env: dict[str, str]) -> tuple[Ended, dict[str, str], bool]:
        """One run: how it ended, its files, and whether the fault was injected."""
        out = self.folder / f"run{next(self.numbers)}"
        out.mkdir()
        said = out.with_suffix(".said")
        # Each run has an empty cache: it stores the names of kernels that do not compile.
        cache = out.with_suffix(".cache")
        env = {**self.undisturbed, **env, "XDG_CACHE_HOME": str(cache), "FAULT_SAY": str(said)}
        ended = run(self.command.arguments(out), env)
        found, fired = files(out), said.exists()
        shutil.rmtree(out)
        shutil.rmtree(cache, ignore_errors=True)
        said.unlink(missing_ok=True)
        return ended, found, fired

    def jobs(self, points: list[str], most: int) -> list[str]:
        """The faults to inject."""
        counts = self.counts()
        return [
            f"{point}={call}:{error}"
            for point, errors in POINTS.items()
            if point in points
            for error in errors
            for call in range(1, min(most, counts[point]) + 1)
        ]

    def fault_of(self, ended: Ended, found: dict[str, str]) -> str | None:
        """The fault of a disturbed run, if any."""
        bad = ended.fault(self.command.codes)
        if bad:
            return bad
        if ended.code == 0 and "does not compile the kernel" in ended.err:
            # Another kernel has other last bits; field.py verifies such runs.
            return None
        if ended.code == 0:
            different = [file for file, sum_ in self.stable.items() if found.get(file) != sum_]
            if different:
                return f"exit code 0 and another {different[0]}"
            if self.command.prints_result and self.same_output and ended.out != self.good.out:
                return "exit code 0 and another stdout"
            return None
        if "error:" not in ended.err + ended.out:
            return "no error line"
        for file, sum_ in found.items():
            name = Path(file).name
            if name in self.command.resumes_from or name.endswith(IGNORED):
                continue
            if file not in self.files:
                return f"left {file}"
            if file in self.stable and self.stable[file] != sum_:
                return f"left another {file}"
        return None


def chosen(jobs: list[str], options) -> list[str]:
    """The faults of this run: a random sample, or one part of several."""
    if options.sample and len(jobs) > options.sample:
        jobs = random.Random(options.seed).sample(jobs, options.sample)
    part, parts = options.part
    return jobs[part::parts]


def sweep(name: str, options) -> tuple[int, int]:
    """Sweeps a command: the numbers of runs and of violations."""
    subject, start = Sweep(name, with_layer("VK_LAYER_fault")), time.time()
    counted = {point: count for point, count in subject.counts().items() if count}
    print(f"{name}: calls {counted}, {len(subject.stable)} files to compare", flush=True)
    jobs = chosen(subject.jobs(options.points or list(POINTS), options.calls), options)

    def one(fault: str):
        more = {"FAULT_ONCE": "1"} if options.once else {"FAULT_ALL": "1"} if options.all else {}
        ended, found, fired = subject.run({"FAULT": fault, **more})
        return fault, ended, subject.fault_of(ended, found), fired

    bad, seen, codes, fired_count = 0, set(), Counter(), 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for fault, ended, wrong, fired in pool.map(one, jobs):
            codes[ended.code] += 1
            fired_count += fired
            if not wrong:
                continue
            known = [
                index for index, bug in enumerate(KNOWN_BUGS) if bug.covers(name, fault, wrong)
            ]
            seen.update(known)
            bad += not known
            label = "known" if known else "BAD"
            print(f"  {label} {name} FAULT={fault}: {wrong}", flush=True)
            if options.log:
                record = {"command": name, "fault": fault, "wrong": wrong, "err": ended.err}
                with open(options.log, "a", encoding="utf-8") as log:
                    log.write(json.dumps(record) + "\n")
    took = f"{time.time() - start:.0f} s"
    print(
        f"{name}: {len(jobs)} runs, {fired_count} faults injected, {bad} bad, "
        f"exit codes {dict(codes)}, {took}",
        flush=True,
    )
    expected = {
        index
        for index, bug in enumerate(KNOWN_BUGS)
        if name in bug.commands and set(bug.faults) & set(jobs)
    }
    for index in expected - seen:
        print(f"  known bug no longer reproduces with {name}: {KNOWN_BUGS[index].cause}")
    return len(jobs), bad + len(expected - seen)


def part_of(text: str) -> tuple[int, int]:
    """A part of several, such as 0/4: every fourth fault, from the first one on."""
    part, parts = map(int, text.split("/"))
    if not 0 <= part < parts:
        raise argparse.ArgumentTypeError(f"{text}: expected 0/N to (N-1)/N")
    return part, parts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", help=", ".join(COMMANDS))
    parser.add_argument("--points", type=lambda text: text.split(","), help="only these points")
    parser.add_argument("--calls", type=int, default=40, help="fail calls 1 to this (40)")
    parser.add_argument("--sample", type=int, help="a random choice of this many runs")
    parser.add_argument("--seed", type=int, default=1, help="the seed of this choice (1)")
    parser.add_argument("--part", type=part_of, default=(0, 1), help="every N-th fault: 0/N")
    parser.add_argument("--once", action="store_true", help="only the one call fails")
    parser.add_argument("--all", action="store_true", help="every later call fails too")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at the same time")
    parser.add_argument("--log", help="appends bad runs to this file, as JSON Lines")
    options = parser.parse_args()
    results = [sweep(name, options) for name in options.commands.split(",")]
    return total(sum(runs for runs, _ in results), "runs", sum(bad for _, bad in results))


if __name__ == "__main__":
    sys.exit(main())
