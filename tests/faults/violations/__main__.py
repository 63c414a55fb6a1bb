"""Runs the checks of every violation, in order: python3 tests/faults/violations [NUMBER...]

Faults that were injected into Vulkan, files or the host found 18 violations. A check repeats the
command of a violation. Run scripts/faults first. The exit code is 1 if a violation reproduces.
Known bugs of dependencies are reported and do not count.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import devices
import environment
import files
import images
import recordings

from common import total


def main() -> int:
    wanted = {int(number) for number in sys.argv[1:]}
    checks = sorted(
        check
        for room in (devices, environment, files, images, recordings)
        for check in room.CHECKS.items()
    )
    bad = runs = 0
    for (number, name), check in checks:
        if wanted and number not in wanted:
            continue
        start = time.time()
        found = check()
        bad += found is not None
        runs += 1
        took = f"{time.time() - start:.1f} s"
        print(f"{number:>2} {name}: {found or 'does not reproduce'} ({took})", flush=True)
    return total(runs, "checks", bad)


sys.exit(main())
