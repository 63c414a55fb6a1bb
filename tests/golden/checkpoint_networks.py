"""The tiny ResNets of tests/golden/checkpoints.py: seeded weights, PyTorch's results, other keys.

`Net` draws the weights of a network under torchvision's keys, and runs them in float64. Functions
at the end rename the keys as other projects name them.
"""

import re
import zlib
from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F

EPS = 1e-5
CLASSES = 5
# The sizes of a network of two stages, so that one strides.
TWO = {"depths": (1, 1), "planes": (2, 3)}


class Net:
    """A ResNet. `body` has all tensors but the classifier's; `weight` and `bias` are that."""

    def __init__(
        self,
        name,
        depths=(1,),
        planes=(2,),
        stem=2,
        kind="bottleneck",
        channels=3,
        groups=1,
        base_width=64,
        kernel=7,
        classes=CLASSES,
        batches=False,
        scale=1.0,
        **settings,
    ):
        self.rng = np.random.RandomState(zlib.crc32(name.encode()))
        self.settings = {"kernel": kernel, **settings}
        self.batches, self.body = batches, OrderedDict()
        # `scale` makes the stem and the classifier smaller, for inputs of 0 to 255.
        self.conv("conv1", stem, channels, kernel, scale)
        self.norm("bn1", stem)
        inplanes = stem
        for stage, (depth, plane) in enumerate(zip(depths, planes, strict=True), 1):
            for block in range(depth):
                stride = 2 if stage > 1 and block == 0 else 1
                at = f"layer{stage}.{block}"
                if kind == "basic":
                    layers, outplanes = [(plane, inplanes, 3), (plane, plane, 3)], plane
                else:
                    width, outplanes = int(plane * base_width / 64) * groups, 4 * plane
                    layers = [(width, inplanes, 1), (width, width // groups, 3)]
                    layers.append((outplanes, width, 1))
                for index, (out, into, side) in enumerate(layers, 1):
                    self.conv(f"{at}.conv{index}", out, into, side)
                    self.norm(f"{at}.bn{index}", out)
                if stride != 1 or inplanes != outplanes:
                    self.conv(f"{at}.downsample.0", outplanes, inplanes, 1)
                    self.norm(f"{at}.downsample.1", outplanes)
                inplanes = outplanes
        self.features = inplanes
        self.weight = self.normal(classes, inplanes) * 0.5 * scale
        self.bias = self.normal(classes) * 0.5

    def normal(self, *shape):
        return torch.from_numpy(np.asarray(self.rng.standard_normal(shape)).astype(np.float32))

    def uniform(self, low, high, *shape):
        return torch.from_numpy(self.rng.uniform(low, high, shape).astype(np.float32))

    def conv(self, key, out, into, side, scale=1.0):
        deviation = (2 / (into * side * side)) ** 0.5
        self.body[f"{key}.weight"] = self.normal(out, into, side, side) * deviation * scale

    def norm(self, key, planes):
        self.body[f"{key}.weight"] = self.uniform(0.5, 1.5, planes)
        self.body[f"{key}.bias"] = self.uniform(-0.25, 0.25, planes)
        self.body[f"{key}.running_mean"] = self.uniform(-0.25, 0.25, planes)
        self.body[f"{key}.running_var"] = self.uniform(0.5, 1.5, planes)
        if self.batches:
            self.body[f"{key}.num_batches_tracked"] = torch.tensor(1000)

    def linear(self, key, out, into, bias=True):
        """Tensors of another linear layer, e.g. of a projection head."""
        tensors = OrderedDict({f"{key}.weight": self.normal(out, into) * 0.5})
        if bias:
            tensors[f"{key}.bias"] = self.normal(out) * 0.1
        return tensors

    def batch_norm(self, key, planes):
        """Tensors of another norm."""
        kept, self.body = self.body, OrderedDict()
        self.norm(key, planes)
        made, self.body = self.body, kept
        return made

    def state(self, fc="fc", bias=True):
        """The state dict, with the classifier under this key."""
        state = OrderedDict(self.body)
        state[f"{fc}.weight"] = self.weight
        if bias:
            state[f"{fc}.bias"] = self.bias
        return state

    def pooled(self, x):
        """The mean of the last feature map, in float64."""
        return forward(self.body, x, **self.settings)

    def logits(self, x, bias=True):
        return F.linear(self.pooled(x), self.weight.double(), self.bias.double() if bias else None)


def forward(
    body,
    x,
    kernel=7,
    stem_stride=2,
    pool="padded",
    stride_in="3x3",
    dilate=(),
    eps=EPS,
):
    """A ResNet's last feature map, averaged: torchvision's arithmetic, in float64.

    `dilate` says of each stage whether its stride becomes a dilation, as torchvision's
    `replace_stride_with_dilation` does from the second stage on.
    """
    state = {key: value.double() for key, value in body.items()}

    def norm(key, x):
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{key}.{name}"] for name in names), eps=eps)

    x = F.conv2d(x.double(), state["conv1.weight"], stride=stem_stride, padding=kernel // 2)
    x = F.relu(norm("bn1", x))
    if pool == "padded":
        x = F.max_pool2d(x, 3, 2, 1)
    elif pool == "ceil":
        x = F.max_pool2d(x, 3, 2, 0, ceil_mode=True)
    dilation, stage = 1, 1
    while f"layer{stage}.0.conv1.weight" in state:
        before = dilation
        replaced = stage > 1 and stage - 2 < len(dilate) and dilate[stage - 2]
        dilation *= 2 if replaced else 1
        stage_stride = 1 if stage == 1 or replaced else 2
        block = 0
        while f"layer{stage}.{block}.conv1.weight" in state:
            at = f"layer{stage}.{block}"
            rate = before if block == 0 else dilation
            stride = stage_stride if block == 0 else 1
            x = run_block(state, at, x, norm, stride, rate, stride_in)
            block += 1
        stage += 1
    return x.mean((2, 3))


def run_block(state, at, x, norm, stride, rate, stride_in):
    shortcut = x
    if f"{at}.downsample.0.weight" in state:
        shortcut = F.conv2d(x, state[f"{at}.downsample.0.weight"], stride=stride)
        shortcut = norm(f"{at}.downsample.1", shortcut)
    if f"{at}.conv3.weight" not in state:
        x = F.conv2d(x, state[f"{at}.conv1.weight"], stride=stride, padding=1)
        x = F.conv2d(F.relu(norm(f"{at}.bn1", x)), state[f"{at}.conv2.weight"], padding=1)
        return F.relu(norm(f"{at}.bn2", x) + shortcut)
    first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
    x = F.relu(norm(f"{at}.bn1", F.conv2d(x, state[f"{at}.conv1.weight"], stride=first)))
    weight = state[f"{at}.conv2.weight"]
    x = F.conv2d(
        x,
        weight,
        stride=second,
        padding=rate,
        dilation=rate,
        groups=weight.shape[0] // weight.shape[1],
    )
    x = F.conv2d(F.relu(norm(f"{at}.bn2", x)), state[f"{at}.conv3.weight"])
    return F.relu(norm(f"{at}.bn3", x) + shortcut)


def prefixed(prefix, state):
    return OrderedDict((prefix + key, value) for key, value in state.items())


def renamed(state, rules):
    """Every key after the first rule that matches its whole text; others are kept."""

    def name(key):
        for pattern, new in rules:
            found = re.fullmatch(pattern, key)
            if found:
                return new(found) if callable(new) else found.expand(new)
        return key

    return OrderedDict((name(key), value) for key, value in state.items())


def sequential(state, stages=1):
    """Keys of nn.Sequential(*resnet.children()): 0 conv1, 1 bn1, 2 ReLU, 3 max pool, 4 layer1."""
    layer = (r"layer(\d)\.(.*)", lambda found: f"{int(found[1]) + 3}.{found[2]}")
    head = (r"fc\.(.*)", rf"{stages + 5}.\1")
    return renamed(state, [(r"conv1\.(.*)", r"0.\1"), (r"bn1\.(.*)", r"1.\1"), layer, head])


def hugging_face(state):
    """Keys of transformers' ResNetForImageClassification."""

    def layer(found):
        stage, block, rest = int(found[1]) - 1, found[2], found[3]
        kind, part = rest.rsplit(".", 1)
        if kind.startswith("downsample"):
            inner = "shortcut." + ("convolution" if kind.endswith("0") else "normalization")
        else:
            name = "convolution" if kind.startswith("conv") else "normalization"
            inner = f"layer.{int(kind[-1]) - 1}.{name}"
        return f"resnet.encoder.stages.{stage}.layers.{block}.{inner}.{part}"

    stem = "resnet.embedder.embedder."
    return renamed(
        state,
        [
            (r"conv1\.(.*)", stem + r"convolution.\1"),
            (r"bn1\.(.*)", stem + r"normalization.\1"),
            (r"layer(\d)\.(\d+)\.(.*)", layer),
            (r"fc\.(.*)", r"classifier.1.\1"),
        ],
    )


def detectron2(state):
    """Keys of detectron2's ResNet; its frozen norms have no counter."""

    def layer(found):
        at, rest = f"res{int(found[1]) + 1}.{found[2]}", found[3]
        rest = rest.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        return f"{at}." + re.sub(r"^bn(\d)", r"conv\1.norm", rest)

    rules = [
        (r"conv1\.(.*)", r"stem.conv1.\1"),
        (r"bn1\.(.*)", r"stem.conv1.norm.\1"),
        (r"layer(\d)\.(\d+)\.(.*)", layer),
    ]
    state = OrderedDict((key, value) for key, value in state.items() if "num_batches" not in key)
    return renamed(state, rules)


def pytorch_cifar(state):
    """Keys of github.com/kuangliu/pytorch-cifar."""
    return renamed(state, [(r"(.*\.)downsample(\..*)", r"\1shortcut\2"), (r"fc(.*)", r"linear\1")])
