"""Other forms of the loop of staged kernels, to compare what compilers make of them.

    python3 tests/vendor/variants.py IN_FOLDER OUT_FOLDER

IN_FOLDER has the texts that `vendor_kernels wgsl` writes. OUT_FOLDER gets NAME.FORM.wgsl and .spv:

early    loaded rows are masked where they are loaded, not where they are stored to workgroup memory
plain    a loop without conditions: the first stage is filled before it, and the last turn loads
         once more what it loaded before; only of 1x1 kernels
"""

import re
import sys
from pathlib import Path

import program

LOOP = re.compile(
    r"(?P<before>.*?)    for \(var step = first_step; step <= end_step; step \+= 1u\) \{\n"
    r"(?:        (?://|var ).*\n)*"
    r"        if step < end_step \{\n(?P<loads>.*?)\n        \}\n"
    r"        if step > first_step \{\n"
    r"            let stage = \(step - 1u\) % 2u;\n(?P<sums>.*?)\n        \}\n"
    r"        if step < end_step \{\n"
    r"            let stage = step % 2u;\n(?P<stores>.*?)\n        \}\n"
    r"(?:        //.*\n)*        workgroupBarrier\(\);\n    \}\n(?P<after>.*)",
    re.DOTALL,
)


def early(text: str) -> str:
    """The text with the masks at the loads."""
    keeps = re.findall(r"(keeps_row\d+) = ((?!false).*);", text)
    for name, condition in keeps:
        row = name.removeprefix("keeps_")
        text = re.sub(rf"{name} = (?!false).*;\n", "", text)
        text = re.sub(rf"select\(Word\(\), fetched_{row}, .*?{name}\)\)", f"fetched_{row}", text)
        load = rf"fetched_{row} = (src\[.*\]);"
        text = re.sub(load, rf"fetched_{row} = select(Word(), \1, vec4<bool>({condition}));", text)
        text = text.replace(f"own_k, {name})", f"own_k, {condition})")
    return text


def plain(part: dict[str, str]) -> str:
    """The text without conditions in the loop."""
    loads = re.sub(r"\b(fetched_\w+|keeps_\w+) = ", r"let \1 = ", part["loads"])
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
        text = file.read_text()
        forms = {"early": early(text)}
        if forms["early"] == text:
            sys.exit(f"{file.name}: its loads have another form than variants.py knows")
        if found := LOOP.fullmatch(text):
            forms["plain"] = plain(found.groupdict())
        elif "1x1" in file.name:
            sys.exit(f"{file.name}: its loop has another form than variants.py knows")
        for form, text in forms.items():
            wgsl = out / f"{file.stem}.{form}.wgsl"
            wgsl.write_text(text)
            spv = wgsl.with_suffix(".spv")
            program.run("compile", wgsl, spv, *extensions(file.stem))
            written.append(spv)
    return written


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
