"""Full and read-only file systems, as file systems in memory that only the run sees.

Linux only: `unshare` makes the mounts. Where it may not, the group is skipped.
"""

import re
import subprocess

from suite import BLOCK, EMBED, IMAGES, TRAIN, TUNE, Suite

# Mounts a file system of $1 bytes at $2, makes it read-only if $3 is "ro", runs the rest, and
# prints the files that it left. 77: no mount.
SCRIPT = """
mount -t tmpfs -o "size=$1" tmpfs "$2" || exit 77
if [ "$3" = ro ]; then mount -o remount,ro "$2" || exit 77; fi
folder="$2"
shift 3
"$@"
code=$?
find "$folder" -type f -exec sha1sum {} + | sed "s|  $folder/|  |; s|^|left: |"
exit $code
"""
SIZES = ["4k", "16k", "64k", "16m"]
# Files that a failed run may leave: the next run resumes from them.
RESUMED = (".journal", "checkpoint.safetensors", "log.csv", "curves.svg", "images.jsonl")
RESUMED += ("config.json", ".lock")


def mounted(folder, size: str, access: str) -> list[str]:
    """The beginning of a command line that runs the rest with a file system at a folder."""
    own = ["unshare", "--user", "--map-root-user", "--mount", "--fork", "--kill-child"]
    own += ["sh", "-c", SCRIPT, "sh"]
    return [*own, size, str(folder), access]


def left(out: str) -> dict[str, str]:
    """The checksums of the files on the file system."""
    return {name: sum_ for sum_, name in re.findall(r"^left: (\w+)  (.*)$", out, re.MULTILINE)}


def run(suite: Suite) -> None:
    folder = suite.file("disk")
    folder.mkdir()
    try:
        works = subprocess.run([*mounted(folder, "4k", "rw"), "true"], capture_output=True)
        reason = works.stderr.decode(errors="replace").strip()
    except FileNotFoundError as error:
        works, reason = None, str(error)
    if works is None or works.returncode != 0:
        print(f"disks: SKIPPED, because no file system can be mounted here: {reason}")
        return
    train = [*TRAIN, "--epochs", "1", "--batch", "8", "--out", "disk/trained"]
    commands = {
        "block": [*BLOCK, "disk/out.safetensors"],
        "embed": [*EMBED, "disk/v.npy", IMAGES],
        "embed to parquet": [*EMBED, "disk/v.parquet", IMAGES],
        "train": train,
        "tune": [*TUNE, "--output", "disk/tuned.json"],
    }
    for name, argv in commands.items():
        good = None
        for size in reversed(SIZES):
            on_disk = mounted(folder, size, "rw") + argv
            is_largest = size == SIZES[-1]
            allowed = (0,) if is_largest else (0, 2)
            ended = suite.run(f"a disk of {size}: {name}", on_disk, allowed, timeout=120)
            found = left(ended.out)
            if is_largest:
                good = found
                empty = None if found else "no files on the largest disk"
                suite.tell(f"its results: {name}", empty, ended.code, 0)
            suite.tell(f"its files: {name}", wrong(good, found, ended.code), ended.code, 0)
        read_only = mounted(folder, "16m", "ro") + argv
        ended = suite.run(f"a disk that is read-only: {name}", read_only, (2,))
        suite.tell(f"its message: {name}", names_the_reason(ended.err), ended.code, 0)
    cache = mounted(folder, "16m", "ro") + [*BLOCK, "out-of-cache.safetensors"]
    env = {"XDG_CACHE_HOME": str(folder)}
    suite.run("a cache that is read-only", cache, (0,), env=env)
    cache = mounted(folder, "4k", "rw") + [*BLOCK, "out-of-cache.safetensors"]
    suite.run("a cache that is full", cache, (0,), env=env)


def wrong(good: dict[str, str], found: dict[str, str], code: int | None) -> str | None:
    """The fault of the files on a disk: results that are not whole, or temporary files."""
    for name, sum_ in found.items():
        base = name.rsplit("/", 1)[-1]
        if base.endswith(RESUMED):
            continue
        if base.startswith(".") or name not in good:
            return f"left {name}"
        if sum_ != good[name] and not base.startswith("tuned"):
            return f"wrong bytes in {name}"
    missing = [name for name in good if name not in found]
    return f"exit code 0 without {missing}" if code == 0 and missing else None


def names_the_reason(err: str) -> str | None:
    """The last line must say what cannot be written."""
    return None if re.search(r"error: .*[Rr]ead-only", err) else f"not the reason: {err[-200:]}"
