#!/usr/bin/env python3
"""Checks licences, sources, duplicates and advisories of all dependencies: cargo deny.

deny.toml is the configuration. Needs `cargo install cargo-deny`. The database of advisories is
fetched; where that fails, the other checks are made and the advisories are skipped.
"""

import shutil
import subprocess
import sys

from common import ROOT, total

CHECKS = ["licenses", "sources", "bans"]


def deny(*argv: str) -> subprocess.CompletedProcess:
    """What cargo deny prints."""
    return subprocess.run(
        ["cargo", "deny", "--color", "never", *argv], cwd=ROOT, capture_output=True, text=True
    )


def main() -> int:
    if not shutil.which("cargo-deny"):
        print("dependencies: SKIPPED, because cargo-deny is not installed")
        return total(0, "checks", 0)
    bad, checks = 0, list(CHECKS)
    if deny("fetch", "db").returncode == 0:
        checks.append("advisories")
    else:
        print("advisories: SKIPPED, because the database cannot be fetched here")
    for check in checks:
        ended = deny("check", check)
        bad += ended.returncode != 0
        print(f"{check}: {'right' if ended.returncode == 0 else 'VIOLATION'}")
        if ended.returncode != 0:
            print(ended.stderr)
    return total(len(checks), "checks", bad)


if __name__ == "__main__":
    sys.exit(main())
