#!/usr/bin/env python3
"""Runs the runners of this folder for some time, and counts.

    scripts/torture MINUTES [PART,PART...]    continues where the last run of this commit ended
    scripts/torture short                     what .ci/run runs

`units.py` has the parts. A part consists of units, each of which is one command of a few minutes.
As many run at the same time as there are cores. The counts of every finished unit are in
target/torture/COMMIT.jsonl, and its output in target/torture/COMMIT/. The first round repeats the
same units for every commit. Later rounds have other seeds. A unit begins only if it is expected to
end in time. The exit code is 1 if a unit of this commit has found a violation.
"""

import argparse
import contextlib
import fcntl
import json
import math
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
from units import PARTS, Unit, in_round, short

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
        try:
            code = self.process(unit, slot, log)
        except OSError as error:
            code = None
            log.write_text(f"VIOLATION: {error}\n")
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
            # What was skipped is tried again.
            if count or violations:
                with open(self.file, "a", encoding="utf-8") as file:
                    file.write(json.dumps(vars(record)) + "\n")
            print_unit(record, log, said)
        return record

    def process(self, unit: Unit, slot: int, log: Path) -> int | None:
        """Runs the command of a unit. Returns its exit code; None if it was stopped."""
        env = {**environment(unit.env), "FAULTS_SCRATCH": f"scratch{slot}"}
        with open(log, "wb") as out:
            with self.lock:
                if self.stopped:
                    return None
                child = subprocess.Popen(
                    list(map(str, unit.argv)),
                    cwd=ROOT,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self.children.add(child)
            try:
                return child.wait(timeout=unit.limit())
            except subprocess.TimeoutExpired:
                kill(child)
                return child.wait()
            finally:
                with self.lock:
                    self.children.discard(child)

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
        with self.lock:
            self.stopped = True
            for child in self.children:
                kill(child)


def kill(child: subprocess.Popen) -> None:
    """Ends a runner and the processes that it started."""
    with contextlib.suppress(ProcessLookupError):
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


def records(file: Path) -> list[Record]:
    """The records of earlier runs. A line that was not written to its end is removed."""
    if not file.exists():
        return []
    text = file.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.write_text(whole, encoding="utf-8")
    return [Record(**json.loads(line)) for line in whole.splitlines()]


def long(options) -> int:
    """Continues the rounds of this commit."""
    name = commit()
    runs = Runs(name, records(RECORDS / f"{name}.jsonl"))
    wanted = set(options.parts.split(",")) if options.parts else set(PARTS)
    if unknown := wanted - set(PARTS):
        sys.exit(f"no part {', '.join(sorted(unknown))}; parts: {', '.join(PARTS)}")
    end = time.time() + 60 * float(options.minutes)
    done, number, is_idle = {record.unit for record in runs.records}, 0, False
    while not runs.stopped and time.time() < end:
        number += 1
        of_round = [unit for unit in in_round(number) if unit.part in wanted]
        units = [unit for unit in of_round if unit.name not in done]
        before = len(runs.records)
        runs.all(units, end - time.time(), options.stop)
        was_idle, is_idle = is_idle, bool(units) and len(runs.records) == before
        # Nothing of two rounds ends in time, or nothing of the parts has a seed.
        if (is_idle and was_idle) or not of_round or options.one_round:
            break
    print_counts(name, runs.records)
    done = {record.unit for record in runs.records}
    left = [unit for unit in in_round(1) if unit.part in wanted and unit.name not in done]
    for unit in left:
        print(f"not run: {unit.name}, {math.ceil(unit.seconds / 60)} minutes")
    return 1 if any(record.violations for record in runs.records) else 0


def short_form(options) -> int:
    """What .ci/run runs: the same units every time."""
    runs = Runs("short", [])
    runs.file.unlink(missing_ok=True)
    start, units = time.time(), short()
    runs.all(units, math.inf, options.stop)
    print_counts(f"short form, {time.time() - start:.0f} s", runs.records)
    missing = {unit.name for unit in units} - {record.unit for record in runs.records}
    if missing and not runs.stopped:
        print(f"not run: {', '.join(sorted(missing))}")
    bad = any(record.violations for record in runs.records)
    return 1 if bad or missing else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("minutes", help="a number of minutes, or `short`")
    parser.add_argument("parts", nargs="?", help="only these parts, joined by commas")
    parser.add_argument("--stop", action="store_true", help="stop at the first violation")
    parser.add_argument("--one-round", action="store_true", help="no units of the next round")
    options = parser.parse_args()
    # Ends like Ctrl-C, so that no runner outlives this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.minutes == "short" and options.parts:
        parser.error("the short form has no parts")
    with open(RECORDS / "lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("another run uses the same folders: wait for it")
        return short_form(options) if options.minutes == "short" else long(options)


if __name__ == "__main__":
    RECORDS.mkdir(parents=True, exist_ok=True)
    sys.exit(main())
