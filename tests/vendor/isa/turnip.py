"""Qualcomm: what ir3, Turnip's compiler, disassembles."""

import re

from isa.item import Item, instruction, label

REPRESENTATION = "IR3_Assembly"
FLAGS = re.compile(r"^((?:\([^)]*\)\s*)*)")


def items(text: str):
    """The labels and instructions. `(rpt3)` is four instructions, each with its own slot, and
    `(nop2)` two idle slots before an instruction.
    """
    for line in text.splitlines():
        whole = line.strip()
        flags = FLAGS.match(whole)[1]
        code = whole[len(flags) :]
        if found := re.match(r"^(l\d+):", code):
            yield label(found[1])
            continue
        found = re.match(r"^([a-z][\w.]*)", code)
        if not found or line.startswith((";", "@", "Native")):
            continue
        branch = re.search(r"#(l\d+)", code)
        for _ in range(1 + flag(flags, "rpt")):
            yield instruction(found[1], whole, branch[1] if branch else None)
        for _ in range(flag(flags, "nop")):
            yield instruction("nop", "nop")


def flag(flags: str, name: str) -> int:
    """The number of a flag, such as 3 for `(rpt3)`."""
    found = re.search(rf"\({name}(\d+)\)", flags)
    return int(found[1]) if found else 0


def ends(item: Item) -> bool:
    """Whether the next instruction does not follow."""
    return item.name in ("jump", "end")


def kinds(item: Item) -> dict[str, int]:
    """The kinds of an instruction, and how many of each it counts as."""
    name = item.name
    if re.match(r"mad\.f(32|16)", name):
        return {"mad": 1, "alu": 1}
    if name.startswith("ldl"):
        return {"lds_load": 1}
    if name.startswith("stl"):
        return {"lds_store": 1}
    if name.startswith(("isam", "ldib", "ldg", "ldc", "resinfo")):
        return {"mem_load": 1}
    if name.startswith(("stib", "stg")):
        return {"mem_store": 1}
    if name.startswith("bar"):
        return {"barrier": 1}
    branches = ("br", "jump", "getone", "predt", "predf", "prede", "end", "shps", "kill")
    if name.startswith(branches):
        return {"branch": 1}
    if name.startswith("nop"):
        return {"wait": 1}
    if name.startswith(("mov", "cov", "swz", "gat", "sct")):
        return {"move": 1, "alu": 1}
    return {"integer" if re.search(r"\.[us](32|16)|\.b", item.text) else "float": 1, "alu": 1}


def hidden(body) -> list[int]:
    """For each load from memory, the multiply-adds between it and the first wait for it. `(sy)`
    waits for all loads.
    """
    found, under_way, mads = [], [], 0
    for item in body:
        if re.match(r"(\([^)]*\)\s*)*\(sy\)", item.text) and under_way:
            found += [mads - start for start in under_way]
            under_way = []
        its = kinds(item)
        mads += its.get("mad", 0)
        if "mem_load" in its:
            under_way.append(mads)
    return found + [mads - start for start in under_way]
