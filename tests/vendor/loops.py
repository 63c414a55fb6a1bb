"""The loop of a program that does most of its work."""

from collections import Counter

from isa.item import Item

# A matrix instruction weighs more than any number of multiply-adds of a loop.
MATRIX_WEIGHT = 1000


def blocks(parser, items: list[Item]) -> tuple[list[list[Item]], list[set[int]]]:
    """The basic blocks, and the blocks that may follow each."""
    found, places = [[]], {}
    for item in items:
        if item.label is not None:
            if found[-1]:
                found.append([])
            places[item.label] = len(found) - 1
        found[-1].append(item)
        if item.label is None and (item.target or parser.ends(item)):
            found.append([])
    following = []
    for index, block in enumerate(found):
        last = next((item for item in reversed(block) if item.label is None), None)
        to = set()
        if last and last.target in places:
            to.add(places[last.target])
        if not (last and parser.ends(last)) and index + 1 < len(found):
            to.add(index + 1)
        following.append(to)
    return found, following


def reachable(following: list[set[int]]) -> list[int]:
    """The blocks that may be reached from the first one."""
    found, waiting = {0}, [0]
    while waiting:
        for block in following[waiting.pop()] - found:
            found.add(block)
            waiting.append(block)
    return sorted(found)


def dominators(blocks_reached: list[int], before: list[set[int]]) -> list[set[int]]:
    """For each block, the blocks that every way from the first one to it meets."""
    found = [set(range(len(before))) for _ in before]
    found[0] = {0}
    has_changed = True
    while has_changed:
        has_changed = False
        for block in blocks_reached:
            if block == 0:
                continue
            known = [found[other] for other in before[block]]
            new = (set.intersection(*known) if known else set()) | {block}
            if new != found[block]:
                found[block], has_changed = new, True
    return found


def loops(following: list[set[int]]) -> dict[int, set[int]]:
    """The natural loops: the blocks of each, by its first block."""
    reached = reachable(following)
    before = [set() for _ in following]
    for block in reached:
        for to in following[block]:
            before[to].add(block)
    dominating = dominators(reached, before)
    found: dict[int, set[int]] = {}
    for block in reached:
        for head in following[block] & dominating[block]:
            body, waiting = {head, block}, [block] if block != head else []
            while waiting:
                for other in before[waiting.pop()] - body:
                    body.add(other)
                    waiting.append(other)
            found[head] = found.get(head, set()) | body
    return found


def longest_turn(all_blocks, following, head: int, body: set[int]) -> list[Item]:
    """The instructions of the longest way once around a loop, in their order."""
    best: dict[int, tuple[int, list[int]]] = {}

    def way(block: int, passed: frozenset[int]) -> tuple[int, list[int]]:
        if block in best:
            return best[block]
        inside = (following[block] & body) - {head} - passed
        ways = [way(to, passed | {block}) for to in inside]
        length, rest = max(ways, default=(0, []))
        best[block] = (len(all_blocks[block]) + length, [block, *rest])
        return best[block]

    return [item for block in way(head, frozenset())[1] for item in all_blocks[block]]


def count(parser, items: list[Item]) -> Counter:
    """The instructions by their kinds, and all of them."""
    total = Counter()
    for item in items:
        if item.label is None:
            total["all"] += 1
            total.update(parser.kinds(item))
    return total


def hot(parser, text: str) -> list[Item]:
    """One turn of the loop with most multiply-adds. A loop around such a loop does not count."""
    all_blocks, following = blocks(parser, list(parser.items(text)))
    found = loops(following)
    turns = {
        head: longest_turn(all_blocks, following, head, body) for head, body in found.items()
    }

    def weight(head: int) -> int:
        counted = count(parser, turns[head])
        return counted["mad"] + MATRIX_WEIGHT * counted["matrix"]

    weights = {head: weight(head) for head in found}
    best = None
    for head, body in found.items():
        inner = [other for other, its in found.items() if its < body]
        if any(weights[other] > weights[head] / 2 for other in inner):
            continue
        if best is None or weights[head] > weights[best]:
            best = head
    return [] if best is None else [item for item in turns[best] if item.label is None]
