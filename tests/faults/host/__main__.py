"""Runs the program under the limits and oddities of a host: python3 tests/faults/host [GROUP,...]

Groups: limits, memory, disks, names, races, clocks. Run scripts/faults first, or build the program
and run `tests/faults/prepare.py`. Without the fault layer, the group `memory` is skipped. The group
`clocks` needs gcc. The exit code is 1 if a run hangs, dies by a signal, panics, ends with an
unexpected exit code, or leaves a wrong file.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import clocks
import disks
import limits
import memory
import names
import races
from suite import Suite

from common import total

GROUPS = {
    "limits": limits.run,
    "memory": memory.run,
    "disks": disks.run,
    "names": names.run,
    "races": races.run,
    "clocks": clocks.run,
}


def main() -> int:
    wanted = [name for name in ",".join(sys.argv[1:]).split(",") if name]
    if unknown := set(wanted) - set(GROUPS):
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; groups: {', '.join(GROUPS)}")
    suite = Suite()
    for name in wanted or GROUPS:
        GROUPS[name](suite)
    return total(suite.runs, "runs", suite.bad)


sys.exit(main())
