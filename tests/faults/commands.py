"""The runs of the sweep: commands of the program, and uses of the library."""

from dataclasses import dataclass, field
from pathlib import Path

from common import DATA, GOLDEN, LIBRARY, NETWORK, PROGRAM, WEIGHTS

IMAGES = [*NETWORK, "--batch", "2"]
SMALL_BLOCK = ["--quick", "--block", "--inplanes", "16", "--planes", "4", "--size", "8x8"]
SMALL_NETWORK = ["--model", "bottleneck", "--depths", "1", "--planes", "4", "--stem-planes", "4"]


@dataclass
class Command:
    """A run. OUT in an argument is the folder for its files."""

    program: Path
    argv: list[str]
    # Whether stdout is a result that must not differ.
    prints_result: bool = False
    # The allowed exit codes of a disturbed run.
    codes: tuple[int, ...] = (0, 4)
    # Files that may exist after a failure: a later run resumes from them.
    resumes_from: tuple[str, ...] = field(default=())

    def arguments(self, out: Path) -> list[str]:
        """The command line with the folder for its files."""
        return [str(self.program)] + [word.replace("OUT", str(out)) for word in self.argv]


def program(*argv: str, **more) -> Command:
    """A command of `bottleneck`."""
    return Command(PROGRAM, list(argv), **more)


def block(name: str) -> list[str]:
    """A golden block with its input."""
    file = f"{GOLDEN}/{name}.safetensors"
    return ["--weights", file, "--input", file, "--output", "OUT/output.safetensors"]


TRAIN = ["train", "--data", f"{DATA}/digits", *SMALL_NETWORK, "--size", "16", "--crop", "0.7,1"]
TRAIN += ["--flip", "0", "--epochs", "2", "--batch", "8", "--lr", "0.05"]
TRAIN += ["--checkpoint-every", "2", "--out", "OUT/trained"]

COMMANDS = {
    "block": program("block", *block("s2_odd_downsample"), "--stride", "2"),
    "block_train": program("block", "--train", *block("plain")),
    "run": program(
        *["run", *WEIGHTS, "--input", f"{DATA}/input.safetensors", "--features", "--batch", "2"],
        *["--output", "OUT/output.safetensors"],
    ),
    "classify": program("classify", *IMAGES, "--json", f"{DATA}/images", prints_result=True),
    "embed": program(
        *["embed", *IMAGES, "--out", "OUT/vectors.npy", f"{DATA}/images"],
        resumes_from=(".vectors.npy.journal",),
    ),
    "features": program(
        *["features", *NETWORK, "--image", f"{DATA}/images/a.png", "--png", "OUT/maps"],
    ),
    "train": program(
        *TRAIN,
        resumes_from=("checkpoint.safetensors", "log.csv", "curves.svg", "config.json"),
    ),
    "selftest": program("selftest", "--kernel", "convert", "--json"),
    "bench": program("bench", *SMALL_BLOCK, "--json"),
    "tune": program("tune", *SMALL_BLOCK, "--output", "OUT/tuned.json"),
    "devices": program("devices", "--json"),
    "owned": Command(LIBRARY, ["owned"]),
    "borrowed": Command(LIBRARY, ["borrowed"]),
    "submits": Command(LIBRARY, ["submits"]),
    "reuse": Command(LIBRARY, ["reuse"]),
}
