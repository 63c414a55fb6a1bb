#!/usr/bin/env python3
"""Runs the runners of this folder for some time, and counts.

    scripts/torture MINUTES [PART,PART...]    continues where the last run of this commit ended
    scripts/torture short                     what .ci/run runs

Parts: sweep, others, violations, dropped, field, host, kill, damaged, recordings, fuzz, soak,
dependencies. A part consists of units, each of which is one command of a few minutes; as many run
at the same time as there are cores. The counts of every finished unit are in
target/torture/COMMIT.jsonl, and its output in target/torture/COMMIT/. The first round repeats the
same units for every commit. Later rounds have other seeds. A unit begins only if it is expected to
end in time. The exit code is 1 if a unit of this commit has found a violation.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from common import ROOT, environment
from units import Unit, in_round, short

RECORDS = ROOT / "target/torture"
TOTAL = re.compile(r"^total: (\d+) (\w+), (\d+) violations$", re.MULTILINE)


def git(*argv: str, **env: str) -> str:
    """What git prints."""
    done = subprocess.run(
        ["git", *argv], cwd=ROOT, env={**os.environ, **env}, check=True, stdout=subprocess.PIPE
    )
    return done.stdout.decode().strip()


def commit() -> str:
    """The name of the commit; with changes, also a name of the changed files."""
    name = git("rev-parse", "--short=10", "HEAD")
    if not git("status", "--porcelain"):
        return name
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": f"{folder}/index"}
        git("read-tree", "HEAD", **index)
        git("add", "--all", **index)
        return f"{name}-{git('write-tree', **index)[:10]}"


@dataclass
class Record:
    """What a unit counted."""

    part: str
    unit: str
    count: int
    what: str
    violations: int
    seconds: float


class Runs:
    """Runs units, several at the same time."""

    def __init__(self, name: str, earlier: list[Record]):
        self.logs = RECORDS / name
        self.logs.mkdir(parents=True, exist_ok=True)
        self.file = RECORDS / f"{name}.jsonl"
        self.records = earlier
        self.lock = threading.Lock()
        self.stopped = False
        self.children: set[subprocess.Popen] = set()

    def one(self, unit: Unit, slot: int) -> Record | None:
        """Runs a unit. None if it was interrupted."""
        log = self.logs / f"{re.sub(r'[^a-z0-9]+', '-', unit.name)}.log"
        start = time.time()
        env = {**environment(unit.env), "FAULTS_SCRATCH": f"scratch{slot}"}
        with open(log, "wb") as out:
            child = subprocess.Popen(
                list(map(str, unit.argv)),
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            with self.lock:
                self.children.add(child)
            try:
                code = child.wait(timeout=unit.limit())
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                code = child.wait()
            with self.lock:
                self.children.discard(child)
        if self.stopped:
            return None
        said = log.read_text(errors="replace")
        totals = TOTAL.findall(said)
        count = sum(int(number) for number, _, _ in totals)
        what = totals[-1][1] if totals else "runs"
        violations = sum(int(number) for _, _, number in totals)
        # A runner that dies, or does not end, counts as one.
        if (code != 0 or not totals) and violations == 0:
            violations = 1
        record = Record(unit.part, unit.name, count, what, violations, time.time() - start)
        with self.lock:
            self.records.append(record)
            with open(self.file, "a", encoding="utf-8") as file:
                file.write(json.dumps(vars(record)) + "\n")
            print_unit(record, log, said)
        return record

    def all(self, units, seconds: float, stop: bool) -> None:
        """Runs the units that end within this time; with `stop`, until the first violation."""
        end, waiting = time.time() + seconds, list(units)

        def work(slot: int) -> None:
            while not self.stopped:
                with self.lock:
                    left = end - time.time()
                    fitting = [unit for unit in waiting if unit.seconds <= left]
                    if not fitting:
                        return
                    waiting.remove(fitting[0])
                record = self.one(fitting[0], slot)
                if record and record.violations and stop:
                    self.stop()

        slots = range(os.cpu_count() or 1)
        threads = [threading.Thread(target=work, args=(slot,)) for slot in slots]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends the units that run."""
        self.stopped = True
        with self.lock:
            for child in self.children:
                os.killpg(child.pid, signal.SIGKILL)


def print_unit(record: Record, log: Path, said: str) -> None:
    """A line for a unit, and the end of its output if it found a violation."""
    verdict = f"{record.violations} VIOLATIONS" if record.violations else "0 violations"
    counted = f"{record.count} {record.what}, {verdict}"
    print(f"{record.unit}: {counted} ({record.seconds:.0f} s)", flush=True)
    if skipped := re.findall(r"^.*SKIPPED.*$", said, re.MULTILINE):
        print("\n".join(f"    {line}" for line in skipped), flush=True)
    if record.violations:
        print(f"    {log.relative_to(ROOT)}:", flush=True)
        found = [line for line in said.splitlines() if re.search("BAD|VIOLATION|WRONG", line)]
        for line in (found or said.splitlines())[-12:]:
            print(f"    {line[:300]}", flush=True)


def print_counts(name: str, records: list[Record]) -> None:
    """The sums by part."""
    parts = defaultdict(list)
    for record in records:
        parts[record.part].append(record)
    print(f"\n{name}:")
    print(f"{'part':<14}{'units':>6}{'count':>12} {'of':<12}{'violations':>10}{'seconds':>9}")
    for part, its in parts.items():
        count, violations = sum(r.count for r in its), sum(r.violations for r in its)
        seconds = sum(r.seconds for r in its)
        what = its[-1].what
        print(f"{part:<14}{len(its):>6}{count:>12} {what:<12}{violations:>10}{seconds:>9.0f}")
    for record in records:
        if record.violations:
            print(f"violations: {record.unit}")


def rounds(done: set[str], wanted: set[str]):
    """The units that are left, of the first rounds that have any."""
    number = 1
    while True:
        left = [
            unit
            for unit in in_round(number)
            if unit.name not in done and (not wanted or unit.part in wanted)
        ]
        if left or number > 1000:
            return left
        number += 1


def long(options) -> int:
    """Continues the rounds of this commit."""
    name = commit()
    file = RECORDS / f"{name}.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    runs = Runs(name, [Record(**json.loads(line)) for line in lines])
    wanted = set(options.parts.split(",")) if options.parts else set()
    if unknown := wanted - {unit.part for unit in in_round(1)}:
        sys.exit(f"no part {', '.join(sorted(unknown))}")
    end = time.time() + 60 * float(options.minutes)
    while not runs.stopped:
        before = len(runs.records)
        units = rounds({record.unit for record in runs.records}, wanted)
        runs.all(units, end - time.time(), options.stop)
        # The next round, if there is time for a unit of it.
        if len(runs.records) == before or options.one_round:
            break
    print_counts(name, runs.records)
    return 1 if any(record.violations for record in runs.records) else 0


def short_form(options) -> int:
    """What .ci/run runs: the same units every time."""
    runs = Runs("short", [])
    runs.file.unlink(missing_ok=True)
    start = time.time()
    runs.all(short(), 3600, options.stop)
    print_counts(f"short form, {time.time() - start:.0f} s", runs.records)
    return 1 if any(record.violations for record in runs.records) else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("minutes", help="a number of minutes, or `short`")
    parser.add_argument("parts", nargs="?", help="only these parts, joined by commas")
    parser.add_argument("--stop", action="store_true", help="stop at the first violation")
    parser.add_argument("--one-round", action="store_true", help="no units of the next round")
    options = parser.parse_args()
    return short_form(options) if options.minutes == "short" else long(options)


if __name__ == "__main__":
    sys.exit(main())
