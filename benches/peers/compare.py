"""Runs the same graphs through this engine and others, in turn, and prints one table.
benches/peers/compare starts it.
"""

import argparse
import datetime
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from worker import ENGINES, TOLERANCE
from workloads import TRAINED, WORKLOADS

HERE = Path(__file__).resolve().parent
OURS, BURN = "bottleneck", "burn"
# What we are held to in half precision, as others are.
ROUGH = 1e-2
KNOWN = [OURS, *ENGINES, BURN]
# Between two turns, so that an engine's threads, which spin for a while, are asleep when the next
# one is timed.
PAUSE = 0.5


class Wrong(Exception):
    """An output that is not the reference's, or none."""


@functools.cache
def command(engine, train):
    """What starts an engine, with everything built that it needs."""
    if engine == OURS:
        # Of training only: for all else it is `bottleneck`, and built.
        cargo = ["cargo", "bench", "--quiet", "--bench", "training", "--no-run"]
        cargo += ["--message-format", "json"]
        built = subprocess.run(cargo, stdout=subprocess.PIPE, text=True)
        if built.returncode != 0:
            raise Wrong("does not build")
        messages = map(json.loads, built.stdout.splitlines())
        program = next(
            said["executable"]
            for said in messages
            if said.get("target", {}).get("name") == "training"
        )
        return [program, "--peer"]
    if engine == BURN:
        say(f"  {engine}: building it, which takes 12 to 22 minutes the first time ...")
        manifest, target = HERE / "burn" / "Cargo.toml", HERE / "burn" / "target"
        cargo = ["cargo", "build", "--release", "--quiet", "--locked"]
        cargo += ["--manifest-path", manifest, "--target-dir", target]
        if subprocess.run(cargo).returncode != 0:
            raise Wrong("does not build")
        return [target / "release" / "burn-peer", *["train"] * train]
    if engine == "onnxruntime-webgpu":
        # Few devices need this layer. On one that does, the worker says what is missing.
        layer = HERE / "layer"
        flags = ["-O2", "-Wall", "-shared", "-fPIC", "-o", layer / "libimage_indexing.so"]
        try:
            subprocess.run(["cc", *flags, layer / "image_indexing.c"], check=True)
        except (OSError, subprocess.CalledProcessError) as why:
            say(f"  {engine}: no layer: {why}")
    return [sys.executable, HERE / "worker.py", engine]


class Peer:
    """An engine in a process of its own."""

    def __init__(self, engine, folder, train):
        self.name = engine
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([*command(engine, train), folder], text=True, **pipes)
        self.told = self.answer()
        if "refused" in self.told:
            raise Wrong(self.told["refused"])

    def answer(self):
        # Engines print what they like between the lines of JSON.
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise Wrong(f"ended with {self.process.wait()}")

    def time(self, seconds):
        try:
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Wrong(f"ended with {self.process.wait()}") from None
        answer = self.answer()
        self.told["peak_mib"] = answer.get("peak_mib")
        return statistics.median(answer["ms"])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ours:
    """This engine: checked on the graph's own weights by `bottleneck block` or `run`, timed by
    `bottleneck bench`.
    """

    name = OURS

    def __init__(self, program, workload, batch, folder, further):
        self.bench = [program, "bench", "--preset", "peers-check", "--only", workload.name]
        self.bench += ["--batch", str(batch), "--json", *further]
        out = folder / "out.safetensors"
        files = ["--weights", folder / "weights.safetensors", "--input", folder / "in.safetensors"]
        files += ["--output", out]
        subcommand = "run" if workload.block is None else "block"
        command = [program, subcommand, *files, *workload.options, *further]
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        _, status, usage = os.wait4(process.pid, 0)
        first = time.perf_counter() - start
        if status != 0:
            raise Wrong(process.stderr.read().strip().splitlines()[-1])
        expected = np.load(folder / "expected.npy")
        (output,) = load_file(out).values()
        error = float(np.abs(output - expected).max() / np.abs(expected).max())
        if not error <= (ROUGH if "--precision" in further else TOLERANCE):
            raise Wrong(f"wrong: {error:.1e} of the largest value")
        self.version = subprocess.run(
            [program, "--version"], capture_output=True, text=True
        ).stdout.strip()
        self.told = {"error": error, "first_s": first, "peak_mib": usage.ru_maxrss / 1024}

    def time(self, _):
        done = subprocess.run(self.bench, capture_output=True, text=True)
        if done.returncode != 0:
            raise Wrong(done.stderr.strip().splitlines()[-1])
        report = json.loads(done.stdout)
        device = report["device"]
        self.told["version"] = f"{self.version}, {device['name']} ({device['driver']})"
        (workload,) = report["workloads"]
        for key in ("device_ms", "gpu_ms"):
            self.told.setdefault(key, []).append(workload[key])
        return workload["median_ms"]

    def close(self):
        for key in ("device_ms", "gpu_ms"):
            known = [value for value in self.told[key] if value is not None]
            self.told[key] = statistics.median(known) if known else None


def measure(workload, batch, folder, options, further):
    """Every engine on one workload, in turn."""
    say(f"{workload.name}, batch {batch}: {workload.what} ...")
    # In a process of its own: what is large here when a process begins counts as that one's memory.
    train = ["train"] * options.train
    subprocess.run(
        [sys.executable, HERE / "graphs.py", workload.name, str(batch), folder, *train], check=True
    )
    running, rows = [], {}
    for engine in options.engines:
        try:
            if engine == OURS and not options.train:
                running.append(Ours(options.bottleneck, workload, batch, folder, further))
            else:
                running.append(Peer(engine, folder, options.train))
        except Wrong as why:
            say(f"  {engine}: left out: {why}")
            rows[engine] = {"left_out": str(why)}
    times = {one.name: [] for one in running}
    for turn in range(options.rounds):
        # Everyone comes first once.
        first = turn % max(len(running), 1)
        for one in running[first:] + running[:first]:
            time.sleep(PAUSE)
            try:
                times[one.name].append(one.time(options.seconds))
            except Wrong as why:
                # The others' times are worth something without it.
                say(f"  {one.name}: left out in turn {turn + 1}: {why}")
                rows[one.name] = {"left_out": f"in turn {turn + 1}: {why}"}
                running.remove(one)
    ours = None if OURS in rows else times.get(OURS)
    for one in running:
        one.close()
        ratios = [theirs / our for theirs, our in zip(times[one.name], ours)] if ours else None
        rows[one.name] = {
            **one.told,
            "ms": statistics.median(times[one.name]),
            "rounds_ms": times[one.name],
            "ratio": ratios and statistics.median(ratios),
            "ratios": ratios,
        }
    return rows


def table(results, engines):
    """Markdown: a row for each engine; milliseconds, and how many times ours that is."""
    lines = ["| engine | " + " | ".join(results) + " |", "| --- |" + " --- |" * len(results)]
    for engine in engines:
        cells = []
        for rows in results.values():
            row = rows[engine]
            if "left_out" in row:
                cells.append("-")
            elif engine == OURS or row["ratio"] is None:
                cells.append(f"{row['ms']:.1f}")
            else:
                cells.append(f"{row['ms']:.1f} ({row['ratio']:.2f} x)")
        lines.append(f"| {engine} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def notes(results, engines):
    """What each engine said of itself, and why it was left out."""
    for engine in engines:
        said = {}
        for name, rows in results.items():
            what = rows[engine].get("left_out") or rows[engine]["version"]
            said.setdefault(what, []).append(name)
        yield f"- {engine}: " + "; ".join(
            f"{what} ({', '.join(names)})" if len(said) > 1 else what
            for what, names in said.items()
        )


def say(text):
    print(text, file=sys.stderr, flush=True)


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    words = lambda text: text.split(",")
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Other arguments go to `bottleneck`, for example --adapter llvmpipe.",
    )
    parser.add_argument(
        "--bottleneck",
        type=Path,
        default=Path("target/release/bottleneck"),
        help="the program (default: %(default)s)",
    )
    parser.add_argument(
        "--train",
        action="store_true",
        help="a training step, of the engines and workloads that have one",
    )
    parser.add_argument("--engines", type=words, help="which, with commas (default: all)")
    parser.add_argument("--workloads", type=words, help="which, with commas (default: all)")
    parser.add_argument(
        "--batch",
        type=lambda text: [int(n) for n in words(text)],
        help="batch sizes (default: 1; with --train 4)",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=5,
        help="how often each engine's turn comes (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=1.0,
        help="how long a turn is at least (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, help="a file for everything that was measured")
    options, further = parser.parse_known_args()
    if options.train and further:
        parser.error(f"--train knows no {further[0]}")
    engines = [OURS, BURN] if options.train else KNOWN
    names = TRAINED if options.train else [workload.name for workload in WORKLOADS]
    options.engines, options.workloads = options.engines or engines, options.workloads or names
    options.batch = options.batch or [4 if options.train else 1]
    for what, wanted, known in (
        ("engine", options.engines, engines),
        ("workload", options.workloads, names),
    ):
        unknown = [name for name in wanted if name not in known]
        if unknown:
            parser.error(f"no {what} {', '.join(unknown)}; there are {', '.join(known)}")

    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        for workload in WORKLOADS:
            for batch in options.batch if workload.name in options.workloads else []:
                folder = Path(temporary) / f"{workload.name}-{batch}"
                name = workload.name if batch == 1 else f"{workload.name} batch {batch}"
                results[name] = measure(workload, batch, folder, options, further)
    machine = f"{processor()}, {os.cpu_count()} cores"
    command = " ".join(["benches/peers/compare", *sys.argv[1:]])
    print(f"Date: {datetime.date.today()}. Machine: {machine}. Command: `{command}`.\n")
    timed = (
        "of a training step, from device to device"
        if options.train
        else "from host array to host array"
    )
    print(
        f"Milliseconds {timed}, the median of the turns, "
        "and in brackets the median ratio to ours of the same turn.\n"
    )
    print(table(results, options.engines), end="\n\n")
    print("\n".join(notes(results, options.engines)))
    if options.json:
        report = {
            "date": str(datetime.date.today()),
            "machine": machine,
            "command": command,
            "workloads": results,
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
