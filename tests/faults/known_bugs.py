"""Faults that only a dependency can fix: narrow, one entry for each cause.

A sweep fails if a run ends badly and no entry covers it, and if an entry that it has tried covers
no run that ends badly: then the bug is fixed, and the entry goes.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownBug:
    """One cause, and the faults that show it."""

    cause: str
    # Where the fault lies, and the first version that was seen to have it.
    crate: str
    # The draft of the report, in the folder `upstream`.
    report: str
    # The commands of the sweep: a faulty drop of an app's device is not ours to prevent.
    commands: tuple[str, ...]
    # POINT=n:code, exactly.
    faults: tuple[str, ...]
    # What the run's last output must contain, or the signal that ends it.
    ends_with: str

    def covers(self, command: str, fault: str, ended: str) -> bool:
        """Whether this run is an instance of the bug."""
        return command in self.commands and fault in self.faults and self.ends_with in ended


KNOWN_BUGS: tuple[KnownBug, ...] = ()
