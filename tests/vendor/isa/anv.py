"""Intel: what brw, ANV's compiler, disassembles."""

import re

from isa.item import Item, instruction, label

REPRESENTATION = "GEN_Assembly"
# What a `send` does is in the next line.
CONTINUED = re.compile(r"(\bsends?[^\n]*)\n\s+(?=\w+ MsgDesc|\w+ \w+ MsgDesc)")
BRANCHES = ("while", "if", "else", "break")


def items(text: str):
    """The labels and instructions: `LABEL0:`, `mad(16) ...`, `(+f0.0) while(16) JIP: LABEL0`."""
    for line in CONTINUED.sub(r"\1 ", text).splitlines():
        code = line.strip()
        if found := re.match(r"^(LABEL\d+):", code):
            yield label(found[1])
        elif found := re.match(r"^(?:\([^)]*\)\s*)?([a-z][\w.]*)\s*\(\d+\)", code):
            branch = re.search(r"JIP:\s*(LABEL\d+)", code) if found[1] in BRANCHES else None
            yield instruction(found[1], code, branch[1] if branch else None)
        elif code.startswith("sync nop"):
            yield instruction("sync", code)


def ends(item: Item) -> bool:
    """Whether the next instruction does not follow."""
    return item.name == "else" or item.name == "break" and not item.text.startswith("(")


def kinds(item: Item) -> dict[str, int]:
    """The kinds of an instruction, and how many of each it counts as."""
    name, code = item.name, item.text
    if name in ("mad", "mac", "dp4a"):
        is_float = re.search(r"g\d+(\.\d+)?<\d>H?F", code)
        return {"mad" if is_float else "integer": 1, "alu": 1}
    if name == "dpas":
        return {"matrix": 1}
    if name.startswith("send"):
        return of_send(code.lower())
    if name in ("while", "if", "else", "endif", "break", "cont", "halt", "jmpi"):
        return {"branch": 1}
    if name in ("sync", "nop", "wait"):
        return {"wait": 1}
    if name == "mov":
        return {"move": 1, "alu": 1}
    return {"float" if re.search(r"[>\d]H?F\b", code) else "integer": 1, "alu": 1}


def of_send(words: str) -> dict[str, int]:
    """The kinds of a message to another unit."""
    if "slm msgdesc" in words and "fence" not in words:
        width = re.search(r"d(?:16)?32, v(\d)", words)
        kind = "lds_load" if "load" in words else "lds_store"
        return {kind: 1, kind + "_words": int(width[1]) if width else 1}
    if "barrier" in words or "gateway" in words:
        return {"barrier": 1}
    if "fence" in words:
        return {"fence": 1}
    return {"mem_store" if "store" in words or "write" in words else "mem_load": 1}


def hidden(body) -> list[int]:
    """For each load from memory, the multiply-adds between it and the first wait for it. A load
    ends with a token, `$2 };`, and an instruction waits for `$2.dst`.
    """
    found, mads, under_way = [], 0, {}
    for item in body:
        for token in re.findall(r"\$(\d+)\.dst", item.text):
            found += [mads - start for start in under_way.pop(token, [])]
        its = kinds(item)
        mads += its.get("mad", 0)
        if "mem_load" in its and (token := re.search(r"\$(\d+) \};", item.text)):
            under_way.setdefault(token[1], []).append(mads)
    return found + [mads - start for starts in under_way.values() for start in starts]
