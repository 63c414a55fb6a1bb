"""The GPUs whose compilers run without the GPU: the driver of each, and its settings.

    python3 tests/vendor/chips.py                      prints them
    python3 tests/vendor/chips.py run CHIP COMMAND...  what scripts/with-vendor-compilers does
    python3 tests/vendor/chips.py check CHIP COMMAND...  whether it can
    python3 tests/vendor/chips.py part CHIP            the part of tests/vendor/setup that it needs
"""

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wgpu-bottleneck"
CACHE = FOLDER / "vendor"
LIBRARIES = {"amd64": "usr/lib/x86_64-linux-gnu", "arm64": "usr/lib/aarch64-linux-gnu"}


class Chip(NamedTuple):
    """A GPU."""

    words: str
    # The names of Mesa's driver and of the shim that stands for its kernel driver.
    driver: str
    shim: str
    env: dict[str, str]
    # Drivers for arm64 run in qemu.
    architecture: str = "amd64"

    def libraries(self) -> Path:
        """The folder of the driver's libraries."""
        return CACHE / self.architecture / LIBRARIES[self.architecture]

    def icd(self) -> Path:
        """The driver."""
        return self.libraries() / f"libvulkan_{self.driver}.so"

    def shim_library(self) -> Path:
        """The shim. Debian has none for Intel."""
        name = f"lib{self.shim}_noop_drm_shim.so"
        return (CACHE if self.shim == "intel" else self.libraries()) / name


def amd(name: str, words: str) -> Chip:
    return Chip("AMD " + words, "radeon", "amdgpu", {"AMDGPU_GPU_ID": name})


def nvidia(chipset: str, words: str) -> Chip:
    env = {"NOUVEAU_CHIPSET": chipset, "NVK_I_WANT_A_BROKEN_VULKAN_DRIVER": "1"}
    return Chip("NVIDIA " + words, "nouveau", "nouveau", env)


def intel(name: str, words: str) -> Chip:
    return Chip("Intel " + words, "intel", "intel", {"INTEL_STUB_GPU_PLATFORM": name})


def adreno(name: str) -> Chip:
    env = {"FD_GPU_ID": name, "TU_DEBUG": "noconform"}
    return Chip(f"Qualcomm Adreno {name}", "freedreno", "freedreno", env)


def mali(gpu_id: str, words: str) -> Chip:
    env = {"PAN_GPU_ID": gpu_id, "PAN_I_WANT_A_BROKEN_VULKAN_DRIVER": "1"}
    return Chip("Arm Mali-" + words, "panfrost", "panfrost", env, "arm64")


M1 = Chip(
    "Apple M1 (Asahi's compiler, not Apple's)",
    "asahi",
    "asahi",
    {"HK_I_WANT_A_BROKEN_VULKAN_DRIVER": "1"},
)
BXS = Chip(
    "Imagination BXS-4-64",
    "powervr_mesa",
    "powervr",
    {"PVR_I_WANT_A_BROKEN_VULKAN_DRIVER": "1"},
    "arm64",
)

CHIPS = {
    "stoney": amd("stoney", "GCN 3 (Stoney)"),
    "polaris": amd("polaris10", "GCN 4 (Polaris 10, RX 480)"),
    "raven2": amd("raven2", "GCN 5 (Raven 2)"),
    "renoir": amd("renoir", "GCN 5 (Renoir)"),
    "vega20": amd("vega20", "GCN 5.1 (Vega 20, Radeon VII)"),
    "navi10": amd("navi10", "RDNA 1 (Navi 10, RX 5700)"),
    "navi21": amd("navi21", "RDNA 2 (Navi 21, RX 6900)"),
    "vangogh": amd("vangogh", "RDNA 2 (Van Gogh, Steam Deck)"),
    "navi31": amd("navi31", "RDNA 3 (Navi 31, RX 7900)"),
    "strix": amd("strix1", "RDNA 3.5 (Strix Point)"),
    "gfx1201": amd("gfx1201", "RDNA 4 (Navi 48, RX 9070)"),
    "pascal": nvidia("134", "Pascal (GP104, GTX 1080)"),
    "volta": nvidia("140", "Volta (GV100)"),
    "turing": nvidia("164", "Turing (TU104, RTX 2080)"),
    "ga100": nvidia("170", "Ampere (GA100, A100)"),
    "ampere": nvidia("172", "Ampere (GA102, RTX 3090)"),
    "ada": nvidia("192", "Ada (AD102, RTX 4090)"),
    "hopper": nvidia("180", "Hopper (GH100, H100)"),
    "blackwell": nvidia("1b2", "Blackwell (GB202, RTX 5090)"),
    "skl": intel("skl", "Gen9 (Skylake)"),
    "tgl": intel("tgl", "Xe-LP (Tiger Lake)"),
    "dg2": intel("dg2", "Xe-HPG (Arc A770)"),
    "mtl": intel("mtl", "Xe-LPG (Meteor Lake)"),
    "lnl": intel("lnl", "Xe2 (Lunar Lake)"),
    "bmg": intel("bmg", "Xe2 (Arc B580)"),
    "ptl": intel("ptl", "Xe3 (Panther Lake)"),
    "a618": adreno("618"),
    "a660": adreno("660"),
    "a740": adreno("740"),
    "a750": adreno("750"),
    "a830": adreno("830"),
    "m1": M1,
    "g52": mali("7212", "G52 (Bifrost)"),
    "g610": mali("a867", "G610 (Valhall)"),
    "g720": mali("c800:4", "G720 (5th generation)"),
    "bxs": BXS,
}
# A chip of each driver and generation that is compiled without qemu.
GENERATIONS = ["polaris", "vega20", "navi10", "navi21", "navi31", "gfx1201", "pascal", "turing"]
GENERATIONS += ["ampere", "ada", "hopper", "blackwell", "skl", "tgl", "dg2", "lnl", "ptl"]
GENERATIONS += ["a618", "a660", "a750", "a830", "m1"]


def environment(chip: Chip) -> dict[str, str]:
    """The variables of a program on a chip. Nothing is cached, so that everything is compiled."""
    others = ("LD_", "VK_", "MESA_", "RADV_", "WGPU_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    runtime = {"MESA_SHADER_CACHE_DISABLE": "true", "XDG_RUNTIME_DIR": "/tmp"}
    return env | runtime | chip.env


def command(chip: Chip, argv: list) -> list[str]:
    """What starts a program: the dynamic loader of the driver's Debian, as the driver needs newer
    libraries than this one has.
    """
    for file in (chip.icd(), chip.shim_library()):
        if not file.exists():
            part = "intel" if chip.shim == "intel" else chip.architecture
            sys.exit(f"{file} is missing: tests/vendor/setup {part}")
    root, preload = CACHE / chip.architecture, [chip.shim_library()]
    if chip.architecture == "arm64":
        inside = [f"/{library.relative_to(root)}" for library in preload]
        emulator = [CACHE / "qemu-aarch64", "-L", root, "-E", "LD_PRELOAD=" + ":".join(inside)]
        return [str(part) for part in [*emulator, *argv]]
    if chip.shim == "nouveau":
        preload.insert(0, CACHE / "libnv_classes.so")
    loader = root / "usr/lib64/ld-linux-x86-64.so.2"
    options = ["--preload", " ".join(map(str, preload)), "--library-path", chip.libraries()]
    return [str(part) for part in [loader, *options, *argv]]


def manifest(name: str, chip: Chip) -> Path:
    """A file that tells the Vulkan loader the driver."""
    file = CACHE / f"icd-{name}.json"
    icd = {"library_path": str(chip.icd()), "api_version": "1.4.0"}
    text = json.dumps({"file_format_version": "1.0.0", "ICD": icd})
    if not file.exists() or file.read_text() != text:
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(text)
        part.rename(file)
    return file


def with_loader(name: str) -> dict[str, str]:
    """The variables with which a wgpu program finds this chip only."""
    file = str(manifest(name, CHIPS[name]))
    drivers = {"VK_DRIVER_FILES": file, "VK_ICD_FILENAMES": file, "WGPU_BACKEND": "vulkan"}
    # Some drivers are not conformant on some chips, and wgpu would hide these.
    drivers["WGPU_ALLOW_UNDERLYING_NONCOMPLIANT_ADAPTER"] = "1"
    return environment(CHIPS[name]) | drivers


def check(name: str, argv: list[str]) -> None:
    """Ends the program unless a chip can run a command."""
    if name not in CHIPS:
        sys.exit(f"no chip {name}; known: {', '.join(CHIPS)}")
    if CHIPS[name].architecture != "amd64":
        sys.exit(f"{name}: its driver is for arm64; only vendor-stats starts it, in qemu")
    if not argv:
        sys.exit(f"{name}: a command must follow")


def main() -> None:
    match sys.argv[1:]:
        case []:
            for name, chip in CHIPS.items():
                emulated = "" if chip.architecture == "amd64" else ", in qemu"
                print(f"{name:<10} {chip.words} ({chip.driver}{emulated})")
        case ["part", name] if name in CHIPS:
            print("intel" if CHIPS[name].shim == "intel" else CHIPS[name].architecture)
        case ["check", name, *argv]:
            check(name, argv)
        case ["run", name, *argv]:
            check(name, argv)
            whole = command(CHIPS[name], argv)
            os.execvpe(whole[0], whole, with_loader(name))
        case _:
            sys.exit(f"unknown arguments, or no such chip; known: {', '.join(CHIPS)}")


if __name__ == "__main__":
    main()
