"""Writes tests/golden/family.json: what torchvision says of its ResNets.

    pip install torch torchvision
    python tests/golden/family.py

Per network: its arguments, the number of its parameters, its convolutions with stride, dilation and
groups, and the keys and shapes of its state dict, in order: in full for some, as a hash (64-bit
FNV-1a of the lines "key shape") for all. No weights are drawn or downloaded: the modules are built
on torch's `meta` device.
"""

import json
from pathlib import Path

import torch
import torchvision
from torchvision.models import resnet
from torchvision.ops import FrozenBatchNorm2d

NAMES = """resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d resnext101_32x8d
resnext101_64x4d wide_resnet50_2 wide_resnet101_2""".split()

# (name, arguments of torchvision's function). Dilated ones are DeepLab's at output stride 16 and 8,
# and one of FCN's layout.
CASES = [(name, {}) for name in NAMES] + [
    ("resnet50", {"replace_stride_with_dilation": [False, False, True]}),
    ("resnet50", {"replace_stride_with_dilation": [False, True, True]}),
    ("resnet101", {"replace_stride_with_dilation": [True, True, True]}),
    ("resnet101", {"replace_stride_with_dilation": [True, False, True]}),
    ("resnext50_32x4d", {"replace_stride_with_dilation": [False, True, False]}),
    ("resnet50", {"norm_layer": "FrozenBatchNorm2d"}),
    ("resnet18", {"norm_layer": "Identity"}),
    ("resnet50", {"num_classes": 2, "width_per_group": 32}),
]
IN_FULL = ("resnet18", "resnet50", "resnext50_32x4d")
NORMS = {"FrozenBatchNorm2d": FrozenBatchNorm2d, "Identity": torch.nn.Identity}


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def describe(name, arguments):
    given = dict(arguments)
    if "norm_layer" in given:
        given["norm_layer"] = NORMS[given["norm_layer"]]
    with torch.device("meta"):
        model = getattr(resnet, name)(**given)
    keys = [f"{key} {'x'.join(map(str, value.shape))}" for key, value in model.state_dict().items()]
    convs = [
        f"{key} {conv.stride[0]} {conv.dilation[0]} {conv.groups} {conv.padding[0]}"
        for key, conv in model.named_modules()
        if isinstance(conv, torch.nn.Conv2d)
    ]
    case = {
        "name": name,
        "arguments": arguments,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "keys": len(keys),
        "hash": fnv1a("".join(f"{key}\n" for key in keys)),
        "convs": convs,
    }
    if name in IN_FULL and not arguments:
        case["state_dict"] = keys
    return case


if __name__ == "__main__":
    cases = [describe(*case) for case in CASES]
    path = Path(__file__).resolve().parent / "family.json"
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    made_with = (
        f"torchvision {torchvision.__version__.split('+')[0]}, "
        f"torch {torch.__version__.split('+')[0]}"
    )
    path.write_text(f'{{"made_with":"{made_with}",\n"cases":[\n{lines}\n]}}\n')
    print(made_with, path.stat().st_size, "bytes")
    for case in cases:
        print(case["name"], case["arguments"], case["parameters"], case["keys"])
