#!/usr/bin/env python3
"""Plants faults, one at a time, in a copy of the tree: python3 tests/faults/planted.py [NAME...]

The short form of torture.py must pass on the unchanged copy, and find each fault by a unit that is
made for it. It stops at the first violation. The copy has its own builds; six faults take half an
hour on two cores. The exit code is 1 if a fault is not found.
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
    # The units that may find it: a pattern of their names.
    by: str
    file: str
    old: str
    new: str


PLANTS = [
    Plant(
        "a panic in a destructor",
        "violations|sweep .*|dropped .*",
        "src/gpu/readback.rs",
        "inner.monitor.cleaning_up(&inner.device, || self.staging.buffer.unmap());",
        "let unmap = || self.staging.buffer.unmap();\n"
        '        inner.monitor.guarded(&inner.device, "cleaning up", unmap).unwrap();',
    ),
    Plant(
        "an unchecked length",
        "fuzz journal|damaged",
        "src/cli/embed/journal.rs",
        "if length == 0 || u64::from(length) > self.length - self.at {",
        "if length == 0 {",
    ),
    Plant(
        "a lost error swallowed",
        "sweep embed|dropped embed|violations|host memory",
        "src/cli/each.rs",
        "        _ => (error.kind() == ErrorKind::Input)",
        "        Error::Gpu(GpuError::Lost { .. }) => Some(NoVector::Image(error.to_string())),\n"
        "        _ => (error.kind() == ErrorKind::Input)",
    ),
    Plant(
        "a leak of one buffer a run",
        "soak .*",
        "src/gpu/host_run.rs",
        "        let staging = &own.staging.buffer;\n",
        "        let staging = &own.staging.buffer;\n"
        "        let usage = wgpu::BufferUsages::STORAGE;\n"
        '        std::mem::forget(self.ready.gpu.buffer("leaked", 16, usage)?);\n',
    ),
    Plant(
        "a half-written file",
        "host limits|host disks|violations",
        "src/files/part.rs",
        "    write(file)?;\n    file.sync_all()",
        "    let _ = write(file);\n    file.sync_all()",
    ),
    Plant(
        "a journal that accepts a flipped bit",
        "fuzz journal|damaged",
        "src/cli/embed/journal.rs",
        "Ok((frame(&payload)? == *found).then_some(payload))",
        "Ok(Some(payload))",
    ),
]


def tracked(root: Path) -> set[str]:
    """The files that git does not ignore."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=root, check=True, stdout=subprocess.PIPE).stdout
    return {name for name in names.decode().split("\0") if name and (root / name).exists()}


def copy_tree() -> None:
    """Copies the files that git does not ignore, and the builds. A file with the same bytes keeps
    its time, so that cargo does not build again, and another one gets a new time.
    """
    wanted = tracked(ROOT)
    for name in wanted:
        source, target = ROOT / name, COPY / name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            shutil.copymode(source, target)
    for path in COPY.rglob("*"):
        name = str(path.relative_to(COPY))
        if path.is_file() and not name.startswith("target/") and name not in wanted:
            path.unlink()
    if not (COPY / "target").exists():
        part = COPY / "target.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(ROOT / "target/release", part / "release", symlinks=True)
        (part / "release/.cargo-lock").unlink(missing_ok=True)
        part.rename(COPY / "target")


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
        # With a new time, or cargo does not build it again.
        shutil.copyfile(ROOT / fault.file, COPY / fault.file)
        found = re.findall(r"^(.*): \d+ \w+, \d+ VIOLATIONS", said, re.MULTILINE)
        is_found = code == 1 and any(re.fullmatch(fault.by, unit) for unit in found)
        missed += not is_found
        verdict = f"found by {', '.join(found)}" if is_found else f"NOT FOUND, {code}, {found}"
        print(f"{fault.name}: {verdict} ({time.time() - start:.0f} s)", flush=True)
        lines = re.findall(r"^    .*$", said, re.MULTILINE)[-3:] if is_found else [said[-2000:]]
        for line in lines:
            print(f"    {line.strip()[:200]}", flush=True)
    return total(len(faults), "faults", missed)


if __name__ == "__main__":
    sys.exit(main())
