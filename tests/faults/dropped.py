#!/usr/bin/env python3
"""Lets work never run: python3 tests/faults/dropped.py COMMAND[,COMMAND] [options]

Before: scripts/faults. For each command, the n-th submit signals without running, for every n; then
the n-th command buffer is left out of its submit, while every command buffer changes the number of
its run, as on Metal. Each run must end as in sweep.py: with exit code 4, or with 0 and the outputs
of an undisturbed run. The exit code is 1 if a run ends otherwise.
"""

import argparse
import concurrent.futures
import os
import random
import re
import sys
import time
from collections import Counter

from commands import COMMANDS
from common import total, with_layer
from sweep import Sweep

COMMON = "embed,classify,features,run,block,train,owned,borrowed,submits"
EVERY = {"BOTTLENECK_PROVE_EVERY_COMMAND_BUFFER": "1"}


def drop(name: str, what: str, options) -> tuple[int, int]:
    """Drops the submits, or the command buffers, of a command in turn. Returns the numbers of runs
    and of violations.
    """
    start = time.time()
    every = EVERY if what == "DROP_BUFFER" else {}
    subject = Sweep(name, with_layer("VK_LAYER_field", **every))
    logged, _, _ = subject.run({"LOG": "1"})
    submits = re.findall(r"field: submit \d+: (\d+) command buffers", logged.err)
    count = len(submits) if what == "DROP" else sum(map(int, submits))
    if count == 0:
        sys.exit(f"{name}: the layer saw no submit")
    runs = list(range(1, count + 1))
    if options.sample and count > options.sample:
        runs = random.Random(options.seed).sample(runs, options.sample)

    def one(number: int):
        ended, found, _ = subject.run({what: str(number)})
        fired = "is not run" in ended.err
        return number, ended, fired, subject.fault_of(ended, found)

    bad, fired_count, codes = 0, 0, Counter()
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for number, ended, fired, wrong in pool.map(one, runs):
            codes[ended.code] += 1
            fired_count += fired
            wrong = wrong or (None if fired else "nothing was dropped")
            if wrong:
                bad += 1
                print(f"  BAD {name} {what}={number}: {wrong}", flush=True)
    took = f"{time.time() - start:.0f} s"
    print(
        f"{name} {what}: {len(runs)} of {count} runs, {fired_count} dropped, {bad} bad, "
        f"exit codes {dict(codes)}, {took}",
        flush=True,
    )
    return len(runs), bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="?", default=COMMON, help=", ".join(COMMANDS))
    parser.add_argument("--sample", type=int, help="at most this many runs of each, at random")
    parser.add_argument("--seed", type=int, default=1, help="of the choice (1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at the same time")
    options = parser.parse_args()
    names = options.commands.split(",")
    results = [drop(name, what, options) for name in names for what in ("DROP", "DROP_BUFFER")]
    return total(sum(runs for runs, _ in results), "runs", sum(bad for _, bad in results))


sys.exit(main())
