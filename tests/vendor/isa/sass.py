"""NVIDIA by its own assembler: what nvdisasm prints, with the encoding (`-c -hex`)."""

import re

from isa.item import Item, instruction, label


# An address in a comment, a predicate, and an instruction.
CODE = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+((?:@!?U?P\w+\s+)?([A-Z][\w.]*).*?);")


def items(text: str):
    """The labels and instructions of a program. The text of an instruction ends with the upper half
    of its encoding, which is on the next line.
    """
    lines = iter(text.splitlines())
    for line in lines:
        if found := re.match(r"^\s*(\.L_x_\d+):", line):
            yield label(found[1])
        elif found := CODE.match(line):
            upper = re.search(r"0x[0-9a-f]{16}", next(lines, ""))
            branch = re.search(r"BRA.*?(\.L_x_\d+)", found[1])
            code = f"{found[1]} {upper[0] if upper else '0x0'}"
            yield instruction(found[2], code, branch[1] if branch else None)


def ends(item: Item) -> bool:
    """Whether the next instruction does not follow."""
    return not item.text.startswith("@") and item.name.split(".")[0] in ("BRA", "EXIT", "RET")


def kinds(item: Item) -> dict[str, int]:
    """The kinds of an instruction."""
    name = item.name.split(".")[0]
    known = {
        "FFMA": {"mad": 1, "alu": 1},
        "LDG": {"mem_load": 1},
        "LD": {"mem_load": 1},
        "STG": {"mem_store": 1},
        "LDS": {"lds_load": 1},
        "STS": {"lds_store": 1},
        "BAR": {"barrier": 1},
        "MOV": {"move": 1, "alu": 1},
    }
    return known.get(name, {"other": 1})


def hidden(body) -> list[int]:
    """For each load from memory, the multiply-adds between the load and the first wait for it. An
    instruction has 128 bits. Bits 110 to 112 are the index of the barrier that it sets (7: none).
    Bits 116 to 121 are a mask of the barriers that it waits for.
    """
    found, mads, under_way = [], 0, {}
    for item in body:
        upper = int(item.text.rsplit(" ", 1)[1], 16)
        sets, waits = upper >> 46 & 7, upper >> 52 & 0x3F
        for barrier in [barrier for barrier in under_way if waits >> barrier & 1]:
            found += [mads - start for start in under_way.pop(barrier)]
        its = kinds(item)
        mads += its.get("mad", 0)
        if "mem_load" in its and sets != 7:
            under_way.setdefault(sets, []).append(mads)
    return found + [mads - start for starts in under_way.values() for start in starts]
