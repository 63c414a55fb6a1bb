"""Faults that only a dependency can fix: narrow entries, one for each cause.

A sweep fails if no entry covers a bad run. It also fails if a fault of an entry was tried and the
entry covers no bad run. Then the bug is fixed: remove the entry. A change of the calls that the
library makes moves the points: `sweep.py borrowed --points END` prints them.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class KnownBug:
    """One cause, and the faults that show it."""

    cause: str
    # The crates with the bug, and the latest version in which it was observed.
    crates: str
    # The draft of the report, in the folder `upstream`.
    report: str
    # The commands of the sweep that show it.
    commands: tuple[str, ...]
    # POINT=n:code, exactly.
    faults: tuple[str, ...]
    # A pattern that the sweep's finding must match.
    finding: str

    def covers(self, command: str, fault: str, finding: str) -> bool:
        """Whether this run is an instance of the bug."""
        return (
            command in self.commands
            and fault in self.faults
            and re.search(self.finding, finding) is not None
        )


def each(point: str, calls: tuple[int, ...], *codes: str) -> tuple[str, ...]:
    """The faults of a point."""
    return tuple(f"{point}={call}:{code}" for call in calls for code in codes)


# All three occur only on the device of an app. A device of the library is created within
# gpu/contain.rs, and is never dropped after it is lost.
KNOWN_BUGS = (
    KnownBug(
        cause="the app's request_device panics if wgpu runs out of memory",
        crates="wgpu, wgpu-core, wgpu-hal 30.0.2",
        report="request_device_panics_without_memory.md",
        commands=("borrowed",),
        faults=(
            *each("PIPE", (1, 2), "odm", "ohm", "init"),
            *each("SHADER", (1, 2), "odm", "ohm"),
            *each("POOL", (2, 3), "odm", "ohm"),
            *each("SETS", (1,), "odm", "ohm"),
            *each("BUFFER", (2, 3), "odm", "ohm"),
            *each("BIND", (2, 3), "odm"),
            *each("PLAYOUT", (1, 2), "odm"),
            *each("SLAYOUT", (3, 4, 5, 6, 7), "odm"),
            *each("CMDBUF", (1,), "odm", "ohm"),
            *each("BEGIN", (1,), "odm", "ohm"),
        ),
        finding="buckets are not empty|queue.rs:503:22: called `Result::unwrap",
    ),
    KnownBug(
        cause="dropping the app's queue destroys a semaphore twice after a failed first submit",
        crates="wgpu-hal 30.0.2",
        report="queue_drop_destroys_a_semaphore_twice.md",
        commands=("borrowed",),
        faults=("SEM=3:odm",),
        finding="signal 11",
    ),
    KnownBug(
        cause="dropping the app's device panics after vkEndCommandBuffer has failed",
        crates="wgpu-core 30.0.2",
        report="drop_after_a_failed_end_encoding_panics.md",
        commands=("borrowed",),
        faults=each("END", (3, 11, 28, 36, 39), "odm", "ohm"),
        finding="command.rs:170:9: assertion `left != right` failed",
    ),
)
