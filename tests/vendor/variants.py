"""Other forms of the loop of staged kernels, to compare what compilers make of them.

    python3 tests/vendor/variants.py IN_FOLDER OUT_FOLDER

IN_FOLDER has the texts that `vendor_kernels wgsl` writes. OUT_FOLDER gets NAME.FORM.wgsl and .spv:

late     loaded rows are masked where they are stored to workgroup memory, not where they are loaded
plain    late, and a loop without conditions: the first stage is filled before it, and the last turn
         loads once more what it loaded before
"""

import re
import sys
from pathlib import Path

import program

LOOP = re.compile(
    r"(?P<before>.*?)    for \(var step = first_step; step <= end_step; step \+= 1u\) \{\n"
    r"(?P<variables>(?:        var fetched.*\n)*)"
    r"        if step < end_step \{\n(?P<loads>.*?)\n        \}\n"
    r"        if step > first_step \{\n"
    r"            let stage = \(step - 1u\) % 2u;\n(?P<sums>.*?)\n        \}\n"
    r"        if step < end_step \{\n"
    r"            let stage = step % 2u;\n(?P<stores>.*?)\n        \}\n"
    r"(?:        //.*\n)*        workgroupBarrier\(\);\n    \}\n(?P<after>.*)",
    re.DOTALL,
)


def late(part: dict[str, str]) -> dict[str, str]:
    """The loads and stores with the masks at the stores."""
    masked = r"fetched_row(\d+) = select\(Word\(\), (src\[.*?\]), (\w+)\);"
    loads = re.sub(masked, r"fetched_row\1 = \2;\n            mask\1 = \3;", part["loads"])
    # Of staged kernels, `staged_rows[...] = fetched_row0;`, of matrix kernels
    # `stage_row(..., fetched_row0);`.
    masked = r"\1select(Word(), fetched_row\2, mask\2)\3"
    stores = re.sub(r"(= |, )fetched_row(\d+)(;|\))", masked, part["stores"])
    rows = sorted(set(re.findall(r"mask(\d+) =", loads)))
    masks = "".join(f"        var mask{row} = vec4<bool>(false);\n" for row in rows)
    return part | {"loads": loads, "stores": stores, "variables": part["variables"] + masks}


def joined(part: dict[str, str]) -> str:
    """The text of a kernel with these parts."""
    return (
        part["before"]
        + "    for (var step = first_step; step <= end_step; step += 1u) {\n"
        + part["variables"]
        + "        if step < end_step {\n"
        + part["loads"]
        + "\n        }\n        if step > first_step {\n"
        + "            let stage = (step - 1u) % 2u;\n"
        + part["sums"]
        + "\n        }\n        if step < end_step {\n            let stage = step % 2u;\n"
        + part["stores"]
        + "\n        }\n        workgroupBarrier();\n    }\n"
        + part["after"]
    )


def plain(part: dict[str, str]) -> str:
    """The text without conditions in the loop."""
    loads = re.sub(r"\b(fetched_\w+|mask\d+) = ", r"let \1 = ", part["loads"])
    stores = part["stores"]
    return (
        part["before"]
        + f"    {{\n            let step = first_step;\n{loads}\n"
        + f"            let stage = step % 2u;\n{stores}\n    }}\n    workgroupBarrier();\n"
        + "    for (var now = first_step; now < end_step; now += 1u) {\n"
        + f"            let step = min(now + 1u, end_step - 1u);\n{loads}\n"
        + f"        {{\n            let stage = now % 2u;\n{part['sums']}\n        }}\n"
        + f"        {{\n            let stage = (now + 1u) % 2u;\n{stores}\n        }}\n"
        + f"        workgroupBarrier();\n    }}\n{part['after']}"
    )


def extensions(name: str) -> list[str]:
    """The extensions that a kernel of this name uses."""
    side = re.search(r"_m(\d+)_", name)
    half = ["f16"] if "_f16" in name else []
    return half + (["subgroups", f"matrices={side[1]}"] if side else [])


def write(source: Path, out: Path) -> list[Path]:
    """Writes the forms of the kernels in a folder."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for file in sorted(source.glob("*.wgsl")):
        found = LOOP.fullmatch(file.read_text())
        if not found:
            sys.exit(f"{file.name}: its loop has another form than variants.py knows")
        forms = late(found.groupdict())
        for form, text in (("late", joined(forms)), ("plain", plain(forms))):
            wgsl = out / f"{file.stem}.{form}.wgsl"
            wgsl.write_text(text)
            spv = wgsl.with_suffix(".spv")
            program.run("compile", wgsl, spv, *extensions(file.stem))
            written.append(spv)
    return written


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
