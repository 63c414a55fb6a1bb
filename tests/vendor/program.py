"""Starts the example `vendor_kernels`, which writes kernels and lists what the rule picks."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = ROOT / "target/release/examples/vendor_kernels"


def built() -> Path:
    """The program. Ends this one if it is not built."""
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is missing: cargo build --release --example vendor_kernels")
    return PROGRAM


def run(*argv) -> list[str]:
    """The lines that the program prints."""
    done = subprocess.run([built(), *argv], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()
