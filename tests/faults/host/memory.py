"""A device that runs out of memory permanently. Needs the fault layer."""

from common import LAYERS, layer
from suite import CLASSIFY, EMBED, IMAGES, Suite

# The first call that fails; all later calls of the function fail too.
POINTS = ["BUFFER=45", "ALLOC=2", "BUFFER=20", "MAP=2"]
OUTPUTS = ["v.npy", "v.npy.json", ".v.npy.journal"]


def run(suite: Suite) -> None:
    if not (LAYERS / "libfault.so").exists():
        print("memory: skipped, because the fault layer is not built")
        return
    for point in POINTS:
        env = layer(f"{point}:odm", FAULT_ALL="1")
        for name in OUTPUTS:
            suite.file(name).unlink(missing_ok=True)
        check = suite.temporary_files
        ended = suite.run(f"embed, {point}", [*EMBED, "v.npy", IMAGES], (0, 4), check, env=env)
        fails_if_fired(suite, f"embed, {point}: code", ended)
        ended = suite.run(f"classify, {point}", [*CLASSIFY, IMAGES], (0, 4), env=env)
        fails_if_fired(suite, f"classify, {point}: code", ended)


def fails_if_fired(suite: Suite, name: str, ended) -> None:
    """A violation if a call failed and the run succeeded. The layer reports the call on stderr."""
    fired = "fault: " in ended.err
    suite.tell(name, "success without memory" if fired and ended.code == 0 else None, ended.code, 0)
