"""Runs the program under the limits and oddities of a host: python3 tests/faults/host [GROUP,...]

Groups: limits, memory, names, races, clocks. Run scripts/faults first, or build the program and run
`tests/faults/prepare.py`. Without the fault layer, the group `memory` is skipped. The group
`clocks` needs gcc. The exit code is 1 if a run hangs, dies by a signal, panics, ends with an
unexpected exit code, or leaves a wrong file.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import clocks
import limits
import memory
import names
import races
from suite import Suite

GROUPS = {
    "limits": limits.run,
    "memory": memory.run,
    "names": names.run,
    "races": races.run,
    "clocks": clocks.run,
}


def main() -> int:
    suite = Suite()
    wanted = ",".join(sys.argv[1:])
    for name in wanted.split(",") if wanted else GROUPS:
        GROUPS[name](suite)
    print(f"{suite.runs} runs, {suite.bad} violations")
    return 1 if suite.bad else 0


sys.exit(main())
