"""Checks of devices: a Vulkan call fails while a device is created, used or dropped."""

from common import LIBRARY, layer, run, scratch
from commands import COMMANDS
from known_bugs import KNOWN_BUGS


def program(command: str, fault: str, codes=(4,), **env) -> str | None:
    """Runs a command while a call fails."""
    folder = scratch(f"violation-{command}")
    ended = run(COMMANDS[command].arguments(folder), layer(fault, **env))
    bad = ended.fault(codes)
    return bad and f"{command} with FAULT={fault}: {bad}"


def library(mode: str, fault: str, **env) -> str | None:
    """Uses the library while a call fails."""
    bad = run([LIBRARY, mode], layer(fault, **env)).fault((0, 4))
    for bug in KNOWN_BUGS:
        if bad and bug.covers(mode, fault, bad):
            print(f"   known bug with FAULT={fault}: {bug.cause}", flush=True)
            return None
    return bad and f"faults_library {mode} with FAULT={fault}: {bad}"


def first(found) -> str | None:
    """The first sentence of several checks."""
    return next((sentence for sentence in found if sentence), None)


def semaphore() -> str | None:
    """The first submit fails to create a semaphore: the destruction of the device crashed."""
    names = "block block_train run classify embed features selftest tune".split()
    checks = [lambda name=name: program(name, "SEM=3:odm") for name in names]
    checks += [lambda mode=mode: library(mode, "SEM=3:odm") for mode in ("owned", "borrowed")]
    return first(check() for check in checks)


def making_a_device() -> str | None:
    """Gpu::new runs out of memory: it panicked."""
    faults = [
        f"{point}={call}:odm"
        for point, calls in {"PIPE": 2, "SHADER": 2, "BUFFER": 3, "BIND": 3}.items()
        for call in range(1, calls + 1)
    ]
    faults += [f"{point}=1:odm" for point in ("POOL", "SETS", "PLAYOUT", "SLAYOUT", "CMDBUF")]
    faults += ["BEGIN=1:ohm"]
    return first(library("owned", fault) for fault in faults)


def destructor() -> str | None:
    """Waiting fails on a borrowed device: an error in a destructor reached the app's handler."""
    return first(library("borrowed", f"WAITS={call}:ohm") for call in (5, 6, 8))


def ending_a_command_buffer() -> str | None:
    """vkEndCommandBuffer fails: the drop of the device panicked."""
    found = [program("block", "END=8:odm", codes=(0, 4))]
    found += [library("owned", f"END={call}:odm") for call in (3, 8, 11, 28, 30)]
    return first(found)


def forgotten_loss() -> str | None:
    """A call gave a result after an earlier call reported the loss of the device."""
    return first(
        library("reuse", f"CMDBUF={call}:odm", FAULT_ONCE="1") for call in range(1, 9)
    ) or program("selftest", "BEGIN=55:ohm")


# (number, name): check
CHECKS = {
    (1, "signal after a failed semaphore"): semaphore,
    (4, "panic out of Gpu::new"): making_a_device,
    (5, "panic in a destructor on a borrowed device"): destructor,
    (6, "panic when a device is dropped"): ending_a_command_buffer,
    (12, "a result after the loss of the device"): forgotten_loss,
}
