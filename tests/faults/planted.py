#!/usr/bin/env python3
"""Plants faults, one at a time, in a copy of the tree: python3 tests/faults/planted.py [NAME...]

The short form of torture.py must pass on the unchanged copy, and find each fault. The copy has its
own builds; six faults take an hour on two cores. The exit code is 1 if a fault is not found.
"""

import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from common import ROOT, total

COPY = ROOT / "target/torture/planted"


@dataclass(frozen=True)
class Plant:
    """A fault: a text of a file that is replaced."""

    name: str
    file: str
    old: str
    new: str


PLANTS = [
    Plant(
        "a panic in a destructor",
        "src/gpu/readback.rs",
        "inner.monitor.cleaning_up(&inner.device, || self.staging.buffer.unmap());",
        "let _ = inner; self.staging.buffer.unmap();",
    ),
    Plant(
        "an unchecked length",
        "src/cli/embed/journal.rs",
        "if length == 0 || u64::from(length) > self.length - self.at {",
        "if length == 0 {",
    ),
    Plant(
        "a lost error swallowed",
        "src/cli/each.rs",
        "        _ => (error.kind() == ErrorKind::Input)",
        "        Error::Gpu(GpuError::Lost { .. }) => Some(NoVector::Image(error.to_string())),\n"
        "        _ => (error.kind() == ErrorKind::Input)",
    ),
    Plant(
        "a leak of one buffer a run",
        "src/gpu/host_run.rs",
        "        let staging = &own.staging.buffer;\n",
        "        let staging = &own.staging.buffer;\n"
        "        let usage = wgpu::BufferUsages::STORAGE;\n"
        '        std::mem::forget(self.ready.gpu.buffer("leaked", 16, usage)?);\n',
    ),
    Plant(
        "a half-written file",
        "src/files/part.rs",
        "    write(file)?;\n    file.sync_all()",
        "    let _ = write(file);\n    file.sync_all()",
    ),
    Plant(
        "a journal that accepts a flipped bit",
        "src/cli/embed/journal.rs",
        "Ok((frame(&payload)? == *found).then_some(payload))",
        "Ok(Some(payload))",
    ),
]


def copy_tree() -> None:
    """Copies the files that git does not ignore, and the builds."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    for name in names.decode().split("\0"):
        source, target = ROOT / name, COPY / name
        if name and source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    if not (COPY / "target").exists():
        (COPY / "target").mkdir()
        for folder in ("release", "faults"):
            if (ROOT / "target" / folder).exists():
                shutil.copytree(ROOT / "target" / folder, COPY / "target" / folder, symlinks=True)
        (COPY / "target/release/.cargo-lock").unlink(missing_ok=True)


def plant(fault: Plant) -> None:
    """Changes the copy."""
    file = COPY / fault.file
    text = file.read_text()
    if text.count(fault.old) != 1:
        sys.exit(f"{fault.file} has not exactly one {fault.old!r}: update tests/faults/planted.py")
    file.write_text(text.replace(fault.old, fault.new))


def short_form() -> tuple[int, str]:
    """The exit code of the short form in the copy, and what it prints."""
    done = subprocess.run(
        ["scripts/torture", "short", "--stop"],
        cwd=COPY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def main() -> int:
    wanted = set(sys.argv[1:])
    if unknown := wanted - {fault.name for fault in PLANTS}:
        sys.exit(f"no fault {', '.join(sorted(unknown))}")
    COPY.mkdir(parents=True, exist_ok=True)
    copy_tree()
    code, said = short_form()
    if code != 0:
        print(said)
        sys.exit("the short form finds a violation without any planted fault")
    print("nothing planted: 0 violations", flush=True)
    missed = 0
    faults = [fault for fault in PLANTS if not wanted or fault.name in wanted]
    for fault in faults:
        start = time.time()
        plant(fault)
        code, said = short_form()
        shutil.copy2(ROOT / fault.file, COPY / fault.file)
        # A later change of the copy must have a later time, or cargo does not build it.
        (COPY / fault.file).touch()
        found = re.findall(r"^(.*): \d+ \w+, \d+ VIOLATIONS", said, re.MULTILINE)
        is_found = code == 1 and bool(found)
        missed += not is_found
        verdict = f"found by {', '.join(found)}" if is_found else f"NOT FOUND (exit code {code})"
        print(f"{fault.name}: {verdict} ({time.time() - start:.0f} s)", flush=True)
        for line in re.findall(r"^    .*$", said, re.MULTILINE)[-3:] if is_found else [said[-2000:]]:
            print(f"    {line.strip()[:200]}", flush=True)
    return total(len(faults), "faults", missed)


if __name__ == "__main__":
    sys.exit(main())
