"""What a SPIR-V module needs of a device."""

import struct
from pathlib import Path

# Instructions, by their numbers in the specification (SPIR-V, section 3.49).
TYPE_INT, TYPE_FLOAT, TYPE_VECTOR, TYPE_ARRAY, TYPE_STRUCT, TYPE_POINTER = 21, 22, 23, 28, 30, 32
CONSTANT, SPEC_CONSTANT, VARIABLE = 43, 50, 59
WORKGROUP = 4


def workgroup_bytes(file: Path) -> int:
    """Bytes of workgroup memory. Specialisation constants have their default values."""
    data = file.read_bytes()
    words = struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])
    sizes: dict[int, int] = {}
    constants: dict[int, int] = {}
    pointees: dict[int, int] = {}
    total, at = 0, 5
    while at < len(words):
        op, length = words[at] & 0xFFFF, words[at] >> 16
        if length == 0:
            break
        operands = words[at + 1 : at + length]
        if op in (TYPE_INT, TYPE_FLOAT):
            sizes[operands[0]] = operands[1] // 8
        elif op == TYPE_VECTOR:
            sizes[operands[0]] = sizes.get(operands[1], 0) * operands[2]
        elif op in (CONSTANT, SPEC_CONSTANT):
            constants[operands[1]] = operands[2]
        elif op == TYPE_ARRAY:
            sizes[operands[0]] = sizes.get(operands[1], 0) * constants.get(operands[2], 1)
        elif op == TYPE_STRUCT:
            sizes[operands[0]] = sum(sizes.get(member, 0) for member in operands[1:])
        elif op == TYPE_POINTER and operands[1] == WORKGROUP:
            pointees[operands[0]] = operands[2]
        elif op == VARIABLE and operands[2] == WORKGROUP:
            total += sizes.get(pointees.get(operands[0], 0), 0)
        at += length
    return total
