"""Writes network.json: PyTorch's results in float64 of whole networks with seeded weights. Python 3
with numpy and torch:

    python tests/golden/network.py

Weights are not stored: tests/networks.rs makes the same ones, bit for bit, from the names of the
tensors. For each network and input size it stores the largest absolute value and some values,
evenly spread, of the logits and of every feature map.
"""

import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

MASK = (1 << 64) - 1
VALUES = 48


def uniform(name, count):
    """`count` values in [0, 1) with 24 bits each: SplitMix64's output function over a counter that
    starts at the name's FNV-1a.
    """
    start = 0xCBF29CE484222325
    for byte in name.encode():
        start = ((start ^ byte) * 0x100000001B3) & MASK
    with np.errstate(over="ignore"):
        steps = np.arange(1, count + 1, dtype=np.uint64)
        z = np.uint64(start) + steps * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)


def tensor(name, shape):
    """A weight, in float32: convolutions keep the magnitude of their input, and the last norm of a
    block is small.
    """
    u = uniform(name, math.prod(shape))
    part = name.rsplit(".", 1)[1]
    if len(shape) > 1:
        scale = np.float32(math.sqrt(24.0 / math.prod(shape[1:])))
        values = (u - np.float32(0.5)) * scale
    elif part == "running_var" or (part == "weight" and ".bn3" not in name):
        values = u + np.float32(0.5)
    elif part == "weight":
        values = u * np.float32(0.25) + np.float32(0.125)
    else:
        values = (u - np.float32(0.5)) * np.float32(0.5)
    return torch.from_numpy(values.reshape(shape)).double()


class Network:
    """torchvision's ResNet in eval mode, straight from its definition; with DeepLab's rates of the
    last stage's blocks, the original's stride in conv1, and Caffe's max pool.
    """

    def __init__(self, depths, groups=1, width_per_group=64, replace=(False, False, False),
                 basic=False, multi_grid=None, stride_in_1x1=False, ceil_mode=False):
        self.depths, self.groups, self.width_per_group = depths, groups, width_per_group
        self.replace, self.basic, self.multi_grid = replace, basic, multi_grid
        self.stride_in_1x1, self.ceil_mode = stride_in_1x1, ceil_mode

    def conv(self, x, name, out, side, stride=1, padding=0, dilation=1, groups=1):
        weight = tensor(name + ".weight", (out, x.shape[1] // groups, side, side))
        return F.conv2d(x, weight, None, stride, padding, dilation, groups)

    def norm(self, x, name):
        get = lambda part: tensor(f"{name}.{part}", (x.shape[1],))
        return F.batch_norm(
            x, get("running_mean"), get("running_var"), get("weight"), get("bias"), False, 0.1, 1e-5
        )

    def basic_block(self, x, name, planes, stride):
        y = F.relu(self.norm(self.conv(x, name + ".conv1", planes, 3, stride, 1), name + ".bn1"))
        y = self.norm(self.conv(y, name + ".conv2", planes, 3, 1, 1), name + ".bn2")
        if stride != 1 or x.shape[1] != planes:
            x = self.norm(
                self.conv(x, name + ".downsample.0", planes, 1, stride), name + ".downsample.1"
            )
        return F.relu(y + x)

    def block(self, x, name, planes, stride, dilation):
        if self.basic:
            return self.basic_block(x, name, planes, stride)
        first, second = (stride, 1) if self.stride_in_1x1 else (1, stride)
        width = int(planes * (self.width_per_group / 64.0)) * self.groups
        y = F.relu(self.norm(self.conv(x, name + ".conv1", width, 1, first), name + ".bn1"))
        y = self.conv(y, name + ".conv2", width, 3, second, dilation, dilation, self.groups)
        y = F.relu(self.norm(y, name + ".bn2"))
        y = self.norm(self.conv(y, name + ".conv3", planes * 4, 1), name + ".bn3")
        if stride != 1 or x.shape[1] != planes * 4:
            x = self.norm(
                self.conv(x, name + ".downsample.0", planes * 4, 1, stride), name + ".downsample.1"
            )
        return F.relu(y + x)

    def run(self, x):
        x = F.relu(self.norm(self.conv(x, "conv1", 64, 7, 2, 3), "bn1"))
        maps = {"stem": F.max_pool2d(x, 3, 2, 0 if self.ceil_mode else 1, ceil_mode=self.ceil_mode)}
        x, dilation = maps["stem"], 1
        for stage, depth in enumerate(self.depths):
            stride, before = (1 if stage == 0 else 2), dilation
            if stage > 0 and self.replace[stage - 1]:
                dilation, stride = dilation * stride, 1
            for index in range(depth):
                first = index == 0
                rate = before if first else dilation
                if self.multi_grid and stage == len(self.depths) - 1:
                    rate = dilation * self.multi_grid[index]
                name = f"layer{stage + 1}.{index}"
                x = self.block(x, name, 64 << stage, stride if first else 1, rate)
            maps[f"layer{stage + 1}"] = x
        maps["pooled"] = x.mean((2, 3), keepdim=True)
        logits = F.linear(
            maps["pooled"].flatten(1),
            tensor("fc.weight", (1000, x.shape[1])),
            tensor("fc.bias", (1000,)),
        )
        return {**maps, "logits": logits}


NETWORKS = {
    "resnet50": Network((3, 4, 6, 3)),
    "resnext50_32x4d": Network((3, 4, 6, 3), groups=32, width_per_group=4),
    "wide_resnet50_2": Network((3, 4, 6, 3), width_per_group=128),
    "resnet50 at output stride 8": Network((3, 4, 6, 3), replace=(False, True, True)),
    "resnet18": Network((2, 2, 2, 2), basic=True),
    "resnet50 of DeepLab": Network((3, 4, 6, 3), replace=(False, False, True),
                                   multi_grid=(1, 2, 4)),
    "resnet50 of Caffe": Network((3, 4, 6, 3), stride_in_1x1=True, ceil_mode=True),
}
INPUTS = [(1, 224, 224), (1, 97, 131), (3, 64, 64)]


def main():
    cases = []
    for name, network in NETWORKS.items():
        for batch, height, width in INPUTS:
            shape = (batch, 3, height, width)
            image = (uniform("input", math.prod(shape)) - np.float32(0.5)) * np.float32(4)
            with torch.no_grad():
                found = network.run(torch.from_numpy(image.reshape(shape)).double())
            tensors = {}
            for key, value in found.items():
                flat = value.flatten()
                at = [index * flat.numel() // VALUES for index in range(VALUES)]
                values = [float(f"{flat[index].item():.9g}") for index in at]
                tensors[key] = {
                    "shape": list(value.shape),
                    "largest": float(f"{flat.abs().max():.9g}"),
                    "values": values,
                }
            cases.append({"network": name, "input": shape, "tensors": tensors})
            print(name, shape, tensors["logits"]["largest"], flush=True)
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    pathlib.Path(__file__).with_name("network.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
