"""A line of a program."""

from typing import NamedTuple


class Item(NamedTuple):
    """An instruction, or a label."""

    # The name of a label, None for an instruction.
    label: str | None
    # The mnemonic; empty for a label.
    name: str
    text: str
    # The label that a branch goes to.
    target: str | None = None


def label(name: str) -> Item:
    """The place that a branch goes to."""
    return Item(name, "", "")


def instruction(name: str, text: str, target: str | None = None) -> Item:
    """An instruction."""
    return Item(None, name, text, target)
