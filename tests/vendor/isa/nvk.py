"""NVIDIA by nouveau: what NAK, NVK's compiler, prints."""

import re

from isa.item import Item, instruction, label

REPRESENTATION = "NAK_assembly"
MATRIX_MADS = 256


def items(text: str):
    """The labels and instructions of a program: `block 3 L2 ... {`, then `r4 = ffma ...`."""
    for line in text.splitlines():
        code = line.strip()
        if found := re.match(r"^block\S* \d+ (L\d+)\b", code):
            yield label(found[1])
            continue
        plain = code.split("//")[0].strip()
        found = re.match(r"^(?:@!?\w+\s+)?(?:[^=]*?\s=\s*)?([a-z][\w.]*)", plain)
        if found and not plain.startswith("}"):
            branch = re.search(r"\bbra\b.*?\b(L\d+)\b", plain)
            # The comment has the barriers that it sets and waits for.
            yield instruction(found[1], code, branch[1] if branch else None)


def ends(item: Item) -> bool:
    """Whether the next instruction does not follow."""
    if item.text.startswith("@"):
        return False
    return item.name == "exit" or item.name == "bra" and " pT " in item.text


def kinds(item: Item) -> dict[str, int]:
    """The kinds of an instruction, and how many of each it counts as."""
    name, code = item.name, item.text.split("//")[0]
    if name.startswith("hfma2"):
        return {"mad": 2, "alu": 1}
    if re.match(r"ffma|hfma", name):
        return {"mad": 1, "alu": 1}
    if re.match(r"hmma|imma", name):
        return {"matrix": 1}
    if name.startswith("ldsm"):
        return {"lds_load": 1, "lds_load_words": 4}
    width = 4 if ".b128" in code else 2 if ".b64" in code else 1
    if name.startswith("lds") or name.startswith("ld.") and "shared" in code:
        return {"lds_load": 1, "lds_load_words": width}
    if name.startswith("sts") or name.startswith("st.") and "shared" in code:
        return {"lds_store": 1, "lds_store_words": width}
    if name.startswith("ldc"):
        return {"scalar_load": 1}
    if name in ("ld", "suld", "tld") or name.startswith(("ld.", "ldg", "suld")):
        return {"mem_load": 1}
    if name.startswith(("st.", "stg", "sust")):
        return {"mem_store": 1}
    if name.startswith("bar"):
        return {"barrier": 1}
    if name.startswith(("bra", "exit", "bsync", "bssy", "break", "warpsync", "ret")):
        return {"branch": 1}
    if name.startswith(("mov", "prmt", "sel", "copy", "r2ur", "swap")):
        return {"move": 1, "alu": 1}
    if name.startswith(("f2f", "i2f", "f2i", "hadd2.f32")):
        return {"convert": 1, "alu": 1}
    if name.startswith(("nop", "membar", "depbar", "cctl")):
        return {"wait": 1}
    integer = re.match(r"(i|l|sh|u|plop|pop|r2)", name)
    return {"integer" if integer else "float": 1, "alu": 1}


def hidden(body) -> list[int]:
    """For each load from memory, the multiply-adds between it and the first wait for it. A load
    sets one of six barriers (`wr:1`); an instruction waits for those in a mask (`wt=000010`).
    """
    found, mads, under_way = [], 0, {}
    for item in body:
        if waits := re.search(r"wt=(\d+)", item.text):
            for barrier, bit in enumerate(reversed(waits[1])):
                if bit == "1" and barrier in under_way:
                    found.append(mads - under_way.pop(barrier))
        its = kinds(item)
        mads += its.get("mad", 0) + MATRIX_MADS * its.get("matrix", 0)
        if "mem_load" in its and (sets := re.search(r"wr:(\d)", item.text)):
            under_way[int(sets[1])] = mads
    return found + [mads - start for start in under_way.values()]
