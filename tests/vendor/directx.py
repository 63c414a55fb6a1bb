#!/usr/bin/env python3
"""Kernels through DirectX's compilers, in Wine:

    python3 tests/vendor/directx.py MODEL... [OPTION...]

MODEL is 5_1 (FXC: Windows without dxcompiler.dll, so without subgroups and half precision), 6_0,
6_2 or 6_6 (DXC; what it compiles is validated).

--only FILE      only the kernels that a file lists
--out FOLDER     keep results there, MODEL.jsonl, and skip the kernels that they have
--timeout S      seconds for each kernel (60)

A kernel that does not compile must be in dx/exceptions.json, with the reason. The exit code
is 1 if one is not, or if an exception compiles.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import chips
import program
from stats import digest, recorded
from worker import Died, Worker

HERE = Path(__file__).resolve().parent
FOLDER = chips.CACHE / "directx"
MODELS = ["5_1", "6_0", "6_2", "6_6"]


def compiler(folder: Path, timeout: float) -> Worker:
    """compile.exe in Wine, with the files of a folder."""
    wine = {"WINEPREFIX": str(chips.CACHE / "wine"), "WINEDEBUG": "-all"}
    # Without a display, and without questions about what Wine could install.
    wine |= {"WINEDLLOVERRIDES": "mscoree,mshtml=", "DISPLAY": ""}
    argv = ["/usr/lib/wine/wine64", FOLDER / "compile.exe"]
    return Worker(argv, timeout, cwd=folder, env=os.environ | wine)


def compiled(model: str, kernels: dict[str, str], folder: Path, timeout: float):
    """Yields a result for each kernel. The first kernel waits for Wine to start."""
    name, worker = "fxc" if model == "5_1" else "dxc", None
    try:
        for kernel, entry in kernels.items():
            worker = worker or compiler(folder, timeout + 60)
            start = time.monotonic()
            try:
                result = json.loads(worker.ask(f"{name} cs_{model} {entry} {kernel}.hlsl", b"{"))
                worker.timeout = timeout
            except Died as error:
                worker.end()
                worker, result = None, {"error": str(error)}
            seconds = round(time.monotonic() - start, 2)
            yield result | {"file": f"{kernel}.hlsl", "model": model, "seconds": seconds}
    finally:
        if worker:
            worker.end()


def written(model: str, folder: Path) -> list[dict]:
    """Has the HLSL written; a line for each kernel."""
    return [json.loads(line) for line in program.run("hlsl", folder, model)]


def exception(model: str, kernel: str) -> dict | None:
    """Why a kernel does not compile, and a pattern of the error; None if it should compile."""
    for one in json.loads((HERE / "dx/exceptions.json").read_text()):
        if model in one["models"] and re.fullmatch(one["kernels"], kernel):
            return one
    return None


def one_model(model: str, given) -> int:
    """The number of results that are not as expected."""
    only = set(given.only.read_text().split()) if given.only else None
    out = given.out / f"{model}.jsonl" if given.out else None
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        lines = written(model, folder)
        kernels = {line["kernel"]: line["entry"] for line in lines if "entry" in line}
        if only is not None:
            if unknown := only - {line["kernel"] for line in lines}:
                sys.exit(f"{given.only}: no kernel {', '.join(sorted(unknown))}")
            kernels = {name: entry for name, entry in kernels.items() if name in only}
        version = hashlib.sha1((FOLDER / "compile.exe").read_bytes()).hexdigest()
        files = [folder / f"{name}.hlsl" for name in kernels]
        digests = {file.name: digest(file, version) for file in files}
        done = recorded(out, digests) if out else {}
        waiting = {name: entry for name, entry in kernels.items() if f"{name}.hlsl" not in done}
        start = time.monotonic()
        for result in compiled(model, waiting, folder, given.timeout):
            result["digest"] = digests[result["file"]]
            done[result["file"]] = result
            if out:
                with open(out, "a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")
        if given.keep:
            shutil.copytree(folder, given.keep, dirs_exist_ok=True)
    bad = 0
    for kernel in kernels:
        known, error = exception(model, kernel), done[f"{kernel}.hlsl"].get("error")
        if error and not (known and re.search(known["error"], error)):
            print(f"FAILED {model} {kernel}: {error}")
            bad += 1
        elif known and not error:
            print(f"COMPILES {model} {kernel}, but dx/exceptions.json says: {known['reason']}")
            bad += 1
    failed = sum("error" in done[f"{kernel}.hlsl"] for kernel in kernels)
    seconds = time.monotonic() - start
    print(
        f"{model}: {len(kernels)} kernels, {failed} do not compile, {bad} not as expected;"
        f" {sum('none' in line for line in lines)} cannot run on this model ({seconds:.0f} s)",
        flush=True,
    )
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", choices=MODELS)
    parser.add_argument("--only", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", type=Path, help="a folder for the HLSL")
    parser.add_argument("--timeout", type=float, default=60)
    given = parser.parse_args()
    if not (FOLDER / "compile.exe").exists():
        sys.exit("DirectX's compilers are missing: tests/vendor/setup directx")
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
    return 1 if sum(one_model(model, given) for model in given.models) else 0


if __name__ == "__main__":
    sys.exit(main())
