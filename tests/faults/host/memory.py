"""A device that runs out of memory permanently. Needs the fault layer."""

from common import LAYERS, layer
from suite import CLASSIFY, EMBED, IMAGES, Suite

# The first call that fails; all later calls of the function fail too.
POINTS = ["BUFFER=30", "BUFFER=20", "ALLOC=1", "MAP=1"]
OUTPUTS = ["v.npy", "v.npy.json", ".v.npy.journal"]


def run(suite: Suite) -> None:
    if not (LAYERS / "libfault.so").exists():
        print("memory: SKIPPED, because the fault layer is not built")
        return
    for point in POINTS:
        env = layer(f"{point}:odm", FAULT_ALL="1")
        for name in OUTPUTS:
            suite.file(name).unlink(missing_ok=True)
        check = suite.temporary_files
        ended = suite.run(f"embed, {point}", [*EMBED, "v.npy", IMAGES], (4,), check, env=env)
        is_reported(suite, f"embed, {point}: the call", ended)
        ended = suite.run(f"classify, {point}", [*CLASSIFY, IMAGES], (4,), env=env)
        is_reported(suite, f"classify, {point}: the call", ended)


def is_reported(suite: Suite, name: str, ended) -> None:
    """The layer reports on stderr that the call failed."""
    suite.tell(name, None if "fault: " in ended.err else "no call failed", ended.code, 0)
