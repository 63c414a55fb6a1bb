"""The units of torture.py: one command each, of at most a few minutes."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from common import LAYERS, LIBRARY, ROOT, with_layer

HERE = Path(__file__).resolve().parent
MUTATE = ROOT / "target/release/fuzz_mutate"
RECORDINGS = ROOT / "target/release/examples/faults_recordings"

PARTS = ["sweep", "others", "violations", "dropped", "field", "host", "dependencies", "kill"]
PARTS += ["damaged", "recordings", "fuzz", "soak"]
# The commands of the sweep at every point, and the numbers of units.
SWEPT = {"block": 2, "run": 4, "embed": 4, "owned": 6, "borrowed": 6, "train": 8}
# The other commands of the sweep: the runs of each, and the numbers of units.
OTHERS = {
    "block_train": (250, 2),
    "classify": (250, 2),
    "features": (250, 2),
    "selftest": (250, 4),
    "bench": (250, 4),
    "tune": (250, 4),
    "devices": (250, 1),
    "submits": (250, 2),
    "reuse": (250, 2),
}
DROPPED = ["embed", "classify", "features", "run", "block", "train", "owned", "borrowed", "submits"]
HOST = ["limits", "memory", "disks", "names", "races", "clocks"]
KILLED = ["embed", "train"]
NEED_LAYERS = {"sweep", "others", "violations", "dropped", "field"}
FUZZ_SECONDS = 300
SOAK_SECONDS = 1800


@dataclass
class Unit:
    """A command of a runner. Its last line has the counts: `total: N runs, M violations`."""

    part: str
    name: str
    argv: list
    # The expected time.
    seconds: float = 120
    env: dict[str, str] = field(default_factory=dict)

    def limit(self) -> float:
        """The time after which it is killed."""
        return 900 + 3 * self.seconds


def python(script: str, *argv) -> list:
    """The command line of a runner of this folder."""
    return ["python3", HERE / script, *argv]


def fuzz_targets() -> list[str]:
    """The names of the fuzz targets."""
    return subprocess.run(
        [MUTATE, "--list"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.split()


def fuzz(target: str, seconds: int, seed: int) -> list:
    """The mutating harness."""
    found = ROOT / "target/torture/findings" / target
    return [MUTATE, seconds, target, "--seed", seed, "--jobs", 1, "--keep", found]


def has_layers() -> bool:
    """Whether scripts/faults has built the layers."""
    return (LAYERS / "liblive.so").exists()


def possible(units: list[Unit]) -> list[Unit]:
    """The units that need no layer, unless the layers are built."""
    if has_layers():
        return units
    print(f"SKIPPED: {', '.join(sorted(NEED_LAYERS))}, as the layers are not built")
    return [unit for unit in units if unit.part not in NEED_LAYERS]


def soak(seconds: int, seed: int) -> Unit:
    """A soak, in which a layer counts the objects of Vulkan."""
    live = LAYERS / f"live-{seconds}.txt"
    argv = [LIBRARY, "soak", seconds]
    env = with_layer("VK_LAYER_live", LIVE=str(live)) if has_layers() else {}
    return Unit("soak", f"soak of {seconds} s, {seed}", argv, seconds + 10, env)


def in_round(number: int) -> list[Unit]:
    """The units of a round, from 1. Units without a seed run only in the first round."""
    units = []
    if number == 1:
        for command, parts in SWEPT.items():
            for part in range(parts):
                argv = python("sweep.py", command, "--jobs", 1, "--part", f"{part}/{parts}")
                units.append(Unit("sweep", f"sweep {command} {part}/{parts}", argv, 150))
    for command, (sample, parts) in OTHERS.items():
        for part in range(parts):
            more = ["--sample", sample, "--seed", number, "--part", f"{part}/{parts}"]
            argv = python("sweep.py", command, "--jobs", 1, *more)
            name = f"sweep {command} sample {number} {part}/{parts}"
            units.append(Unit("others", name, argv, 150))
    if number == 1:
        units.append(Unit("violations", "violations", python("violations"), 90))
        for command in DROPPED:
            argv = python("dropped.py", command, "--jobs", 1)
            units.append(Unit("dropped", f"dropped {command}", argv))
        units.append(Unit("field", "field", python("field.py"), 60))
        units.append(Unit("field", "field parts", python("field.py", "parts"), 120))
        for group in HOST:
            units.append(Unit("host", f"host {group}", python("host", group), 60))
        units.append(Unit("dependencies", "dependencies", python("dependencies.py"), 60))
    for kind in KILLED:
        argv = python("kill_and_resume.py", kind, 12, number)
        units.append(Unit("kill", f"kill {kind} {number}", argv, 150))
    argv = python("damaged_files.py", "all", 20, number)
    units.append(Unit("damaged", f"damaged {number}", argv, 270))
    argv = [RECORDINGS, 20000, number]
    units.append(Unit("recordings", f"recordings {number}", argv))
    for target in fuzz_targets():
        argv = fuzz(target, FUZZ_SECONDS, number)
        units.append(Unit("fuzz", f"fuzz {target} {number}", argv, FUZZ_SECONDS))
    units.append(soak(SOAK_SECONDS, number))
    return possible(units)


def short() -> list[Unit]:
    """The units of the short form; the longest come first."""
    units = [
        Unit("violations", "violations", python("violations")),
        Unit("recordings", "recordings", [RECORDINGS, 2000, 1]),
        soak(40, 1),
        Unit("field", "field", python("field.py")),
        Unit("damaged", "damaged", python("damaged_files.py", "all", 2)),
    ]
    for command in SWEPT:
        argv = python("sweep.py", command, "--sample", 60, "--jobs", 1)
        units.append(Unit("sweep", f"sweep {command}", argv))
    for group in HOST:
        units.append(Unit("host", f"host {group}", python("host", group)))
    for command in DROPPED:
        argv = python("dropped.py", command, "--sample", 4, "--jobs", 1)
        units.append(Unit("dropped", f"dropped {command}", argv))
    for kind in KILLED:
        units.append(Unit("kill", f"kill {kind}", python("kill_and_resume.py", kind, 3)))
    for target in fuzz_targets():
        units.append(Unit("fuzz", f"fuzz {target}", fuzz(target, 5, 1)))
    return possible(units)
