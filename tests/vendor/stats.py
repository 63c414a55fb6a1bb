"""What a chip's compiler says of kernels: a JSON line for each.

    scripts/vendor-stats CHIP [OPTION...] FILE.spv...
    scripts/vendor-stats CHIP --info

A line has the driver's own statistics; the same with one name for all drivers: `registers`,
`spills`, `occupancy`, and `counters`, the driver's names of these; `workgroup_bytes`, from the
SPIR-V; `loop`, the instructions of one turn of the loop with most multiply-adds, by their kinds;
and `hidden`, for each load from memory in this loop, the multiply-adds between the load and the
first wait for it. A kernel that does not compile has `error`: the compiler failed, the process
died, or it did not answer in time.

--out FILE       append the lines to a file, and skip the kernels that it has, with the same
                 contents and from the same version of the driver
--timeout S      seconds for each kernel (300)
--isa FOLDER     keep what the driver returns: FILE.spv.N.NAME.txt
--no-robust      without robust accesses, which wgpu enables
--constants ID=VALUE,...  --push BYTES     for the shaders of other projects
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import chips
import loops
from isa import PARSERS
from spirv import workgroup_bytes
from worker import Died, TooSlow, Worker

# The first word of SPIR-V.
SPIRV = b"\x03\x02\x23\x07"
# The names that drivers give to what they count, in the order in which they are looked for.
COUNTERS = {
    # AMD; NVIDIA; Intel; Qualcomm, Arm; Apple; Imagination.
    "registers": ["VGPRs", "Number of GPRs", "Max live registers", "Registers used", "GPRs"]
    + ["Temp count"],
    # AMD: subgroups on a SIMD; NVIDIA: on a multiprocessor; Qualcomm: on a core; Apple: threads.
    "occupancy": ["Subgroups per SIMD", "Max warps/SM", "Max Waves Per Core", "Threads"],
}
# These are added.
SPILLS = ["Spilled VGPRs", "Spilled SGPRs", "Spills to memory", "Spills", "STP Count"]
SPILLS += ["Spill count"]


class Options:
    """How kernels are compiled."""

    def __init__(self, timeout: float = 300, isa: Path | None = None, more: tuple = ()):
        self.timeout = timeout
        # A folder for what the driver returns.
        self.isa = isa
        # More options of vkstats.
        self.more = list(more)


def vkstats(chip: chips.Chip, argv: list) -> list[str]:
    """The command that compiles on a chip."""
    icd = chip.icd()
    if chip.architecture == "arm64":
        icd = f"/{icd.relative_to(chips.CACHE / chip.architecture)}"
    program = chips.CACHE / f"vkstats-{chip.architecture}"
    return chips.command(chip, [program, "--icd", icd, *argv])


def info(name: str) -> dict:
    """What a device says of itself."""
    chip = chips.CHIPS[name]
    done = subprocess.run(
        vkstats(chip, ["--info"]),
        env=chips.environment(chip),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise Died(f"exit code {done.returncode}: {done.stderr.strip()[-400:]}")
    return json.loads(lines[0])


def described(chip: chips.Chip, result: dict, isa: Path) -> dict:
    """A result with the counters that all drivers have, and the loop."""
    executables = result.get("executables") or [{}]
    its, counters = executables[-1], {}
    for name, known in COUNTERS.items():
        found = next((key for key in known if key in its), None)
        if found:
            result[name], counters[name] = its[found], found
    spilling = [key for key in SPILLS if key in its]
    if spilling:
        result["spills"], counters["spills"] = sum(its[key] for key in spilling), spilling
    result["counters"] = counters
    parser = PARSERS.get(chip.driver)
    if parser:
        name = f"{result['file']}.{len(executables) - 1}.{parser.REPRESENTATION}.txt"
        turn = loops.hot(parser, (isa / name).read_text(errors="replace"))
        result["loop"] = dict(loops.count(parser, turn))
        result["hidden"] = parser.hidden(turn)
    return result


def density(result: dict) -> float | None:
    """The share of multiply-adds in the vector arithmetic of the loop."""
    loop = result.get("loop", {})
    if not loop.get("mad") or loop.get("matrix"):
        return None
    return loop["mad"] / loop["alu"]


class Compilers:
    """Compiles on a chip. Where a compiler dies, another one tries the same kernel once more, as
    shims crash now and then.
    """

    def __init__(self, name: str, options: Options, isa: Path):
        self.chip, self.options, self.isa = chips.CHIPS[name], options, isa
        self.limit = info(name)["workgroup_bytes"]
        self.compiler: Worker | None = None

    def result(self, file: Path) -> dict:
        """What the driver says of a kernel, or the reason why it does not compile."""
        try:
            needed = workgroup_bytes(file)
        except (IndexError, OSError) as error:
            return {"error": f"no SPIR-V: {error}"}
        found = {"workgroup_bytes": needed}
        # Qualcomm's driver would end the process.
        if needed > self.limit:
            return found | {"error": f"{needed} bytes of workgroup memory; there are {self.limit}"}
        for attempt in (1, 2):
            try:
                return found | self.once(file)
            except Died as error:
                self.end()
                if attempt == 2 or isinstance(error, TooSlow):
                    return found | {"error": str(error)}
        raise AssertionError("unreachable")

    def once(self, file: Path) -> dict:
        """One attempt."""
        if not self.compiler:
            argv = vkstats(self.chip, [*self.options.more, "--isa", self.isa])
            env = chips.environment(self.chip)
            self.compiler = Worker(argv, self.options.timeout, env=env)
        return json.loads(self.compiler.ask(str(file), b'{"file"'))

    def end(self) -> None:
        """Ends the compiler."""
        if self.compiler:
            self.compiler.end()
            self.compiler = None


def stats(name: str, files, options: Options | None = None):
    """Yields what the driver says of each file."""
    chip, options = chips.CHIPS[name], options or Options()
    with tempfile.TemporaryDirectory() as folder:
        isa = options.isa or Path(folder)
        isa.mkdir(parents=True, exist_ok=True)
        compilers = Compilers(name, options, isa)
        try:
            for file in map(Path, files):
                result = {"chip": name} | compilers.result(file) | {"file": file.name}
                yield result if "error" in result else described(chip, result, isa)
                if not options.isa:
                    for text in isa.iterdir():
                        text.unlink()
        finally:
            compilers.end()


def digest(file: Path, version: str) -> str:
    """Names the contents of a file and a version of the compiler."""
    return hashlib.sha1(version.encode() + file.read_bytes()).hexdigest()[:16]


def code() -> str:
    """Names the contents of the programs that make a result."""
    here = Path(__file__).resolve().parent
    files = [*here.glob("isa/*.py"), *map(here.joinpath, ["loops.py", "spirv.py", "stats.py"])]
    files.append(here / "vkstats.c")
    return hashlib.sha1(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()


def recorded(out: Path, digests: dict[str, str]) -> dict[str, dict]:
    """The results that a file has of these contents. What ended without an answer is tried again.
    A line that was not written to its end is removed. A file of something else is refused.
    """
    if not out.exists():
        return {}
    text = out.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    lines = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            lines.append(json.loads(line))
            lines[-1]["file"]
        except (ValueError, TypeError, KeyError):
            sys.exit(f"{out}, line {number}: no result; choose another file")
    if whole != text:
        if not text[len(whole) :].startswith("{"):
            sys.exit(f"{out}: no results; choose another file")
        out.write_text(whole, encoding="utf-8")
    found = {}
    for one in lines:
        is_answer = not one.get("error", "").startswith(("died", "no answer"))
        if is_answer and digests.get(one["file"]) == one.get("digest"):
            found[one["file"]] = one
    return found


def resumed(name: str, files, options: Options, out: Path) -> dict[str, dict]:
    """The results of files by their names. A file has them too: what it has is not compiled."""
    version = f"{name} {info(name)['version']} {options.more} {code()}"
    digests = {file.name: digest(file, version) for file in files}
    found = recorded(out, digests)
    waiting = [file for file in files if file.name not in found]
    for result in stats(name, waiting, options):
        found[result["file"]] = result | {"digest": digests[result["file"]]}
        with open(out, "a", encoding="utf-8") as lines:
            lines.write(json.dumps(found[result["file"]]) + "\n")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("chip", choices=chips.CHIPS, metavar="CHIP")
    parser.add_argument("files", nargs="*", metavar="FILE.spv", type=Path)
    parser.add_argument("--info", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--isa", type=Path)
    parser.add_argument("--no-robust", action="store_true")
    parser.add_argument("--constants")
    parser.add_argument("--push")
    given = parser.parse_intermixed_args()
    if given.info:
        print(json.dumps(info(given.chip)))
    elif not given.files:
        parser.error("no files")
    for file in given.files:
        if not file.is_file() or file.read_bytes()[:4] != SPIRV:
            parser.error(f"{file} is not SPIR-V")
    if len({file.name for file in given.files}) < len(given.files):
        parser.error("two files have the same name")
    more = ["--no-robust"] if given.no_robust else []
    more += ["--constants", given.constants] if given.constants else []
    more += ["--push", given.push] if given.push else []
    options = Options(given.timeout, given.isa, tuple(more))
    if given.out:
        found = resumed(given.chip, given.files, options, given.out)
        return 1 if any("error" in result for result in found.values()) else 0
    bad = 0
    for result in stats(given.chip, given.files, options):
        bad += "error" in result
        print(json.dumps(result), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Died as error:
        sys.exit(f"vendor-stats: {error}")
