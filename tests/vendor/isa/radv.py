"""AMD: what LLVM disassembles of the code of ACO, RADV's compiler."""

import re

from isa.item import Item, instruction, label

REPRESENTATION = "Assembly"
# A matrix instruction of 16 x 16 x 16 in a wave of 64: multiply-adds for each lane.
MATRIX_MADS = 256

INTEGER = r"_[iu](16|32|64)|lshl|lshr|and_|or_|bfe|add3|xad|mad_u|mul_lo|ashr"
# Words of 32 bits by the ends of names, the longest first.
WIDTHS = [("2st64_b64", 4), ("2st64_b32", 2), ("2_b64", 4), ("2_b32", 2), ("b128", 4), ("b96", 3)]
WIDTHS += [("b64", 2)]


def items(text: str):
    """The labels and instructions of a program."""
    for line in text.splitlines():
        code = line.split(";")[0].strip()
        if found := re.match(r"^(BB\d+):", code):
            yield label(found[1])
        elif re.match(r"^[a-z]\w+", code):
            branch = re.search(r"s_c?branch\S*\s+(BB\d+)", code)
            yield instruction(code.split()[0], code, branch[1] if branch else None)


def ends(item: Item) -> bool:
    """Whether the next instruction does not follow."""
    return item.name in ("s_branch", "s_endpgm", "s_setpc_b64")


def kinds(item: Item) -> dict[str, int]:
    """The kinds of an instruction, and how many of each it counts as."""
    name = item.name
    if name.startswith("v_dual_"):
        halves = [half.strip().split()[0] for half in item.text.split("::")]
        mads = sum(bool(re.match(r"v_dual_(fmac|fmaak|fmamk)", half)) for half in halves)
        return {"mad": mads, "dual": 1, "alu": 1}
    if re.match(r"v_(s?wmma|mfma)", name):
        return {"matrix": 1, "alu": 1}
    if re.match(r"v_pk_(fma|mad)_f16|v_pk_fma_f32|v_dot2", name):
        return {"mad": 2, "alu": 1}
    if re.match(r"v_(fma|mad)_mix", name):
        return {"mad": 1, "mix": 1, "alu": 1}
    if re.match(r"v_(fma|fmac|mac|mad|fmamk|fmaak|madmk|madak)_f(32|16)", name):
        return {"mad": 1, "alu": 1}
    if name.startswith("v_"):
        return {"alu": 1, other_alu(name): 1}
    if name.startswith("ds_"):
        words = next((words for end, words in WIDTHS if name.endswith(end)), 1)
        kind = "lds_load" if re.match(r"ds_(read|load)", name) else "lds_store"
        return {kind: 1, kind + "_words": words}
    if re.match(r"(buffer|global|flat|tbuffer|image)_", name):
        return {"mem_store" if "store" in name else "mem_load": 1}
    if re.match(r"s_(buffer_)?load", name):
        return {"scalar_load": 1}
    if name.startswith("s_barrier"):
        return {"barrier": 1}
    if re.match(r"s_(wait|delay|nop|clause|sendmsg|sleep)", name):
        return {"wait": 1}
    if re.match(r"s_c?branch", name):
        return {"branch": 1}
    return {"scalar": 1}


def other_alu(name: str) -> str:
    """The kind of a vector instruction that is no multiply-add."""
    if "_cvt" in name:
        return "convert"
    if re.match(r"v_(mov|swap|pack|perm)", name):
        return "move"
    return "integer" if re.search(INTEGER, name) else "float"


def hidden(body) -> list[int]:
    """For each load from memory, the multiply-adds between it and the first wait for it. Loads
    return in order, and a wait names how many may still be under way.
    """
    under_way, found, mads = [], [], 0
    for item in body:
        its = kinds(item)
        mads += its.get("mad", 0) + MATRIX_MADS * its.get("matrix", 0)
        if "mem_load" in its:
            under_way.append(mads)
        left = may_be_left(item.text)
        while left is not None and len(under_way) > left:
            found.append(mads - under_way.pop(0))
    return found + [mads - start for start in under_way]


def may_be_left(code: str) -> int | None:
    """The number of loads that a wait leaves under way, None if it is none for loads."""
    if found := re.search(r"vmcnt\((\d+)\)", code):
        return int(found[1])
    if found := re.match(r"s_wait_loadcnt_dscnt 0x([0-9a-f]+)", code):
        return int(found[1], 16) >> 8
    if found := re.match(r"s_wait_loadcnt 0x([0-9a-f]+)", code):
        return int(found[1], 16)
    return None
