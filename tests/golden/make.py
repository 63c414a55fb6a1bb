"""Makes the golden files: Bottleneck blocks with the outputs PyTorch gives for them.

    pip install torch safetensors numpy
    python tests/golden/make.py

Writes tests/golden/<case>.safetensors and the demo files in src/cli/demo/, and prints a table. The
README.md next to this script describes the files. Weights and input are drawn as f32 from a seed
that is the CRC-32 of the case's name; the block then runs in float64 in eval mode on the CPU, and
only its output is rounded to f32.
"""

import json
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Callable

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

GOLDEN = Path(__file__).resolve().parent
DEMO = GOLDEN.parents[1] / "src" / "cli" / "demo"
INF, NAN = float("inf"), float("nan")


# The blocks, with the field names that make the keys of their state dicts.


class FrozenBatchNorm2d(nn.Module):
    """torchvision.ops.FrozenBatchNorm2d: four buffers and no num_batches_tracked."""

    def __init__(self, channels, eps=1e-5):
        super().__init__()
        self.eps = eps
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.ones(channels))

    def forward(self, x):
        buffers = self.weight, self.bias, self.running_mean, self.running_var
        w, b, mean, var = (t.reshape(1, -1, 1, 1) for t in buffers)
        scale = w * (var + self.eps).rsqrt()
        return x * scale + (b - mean * scale)


def conv1x1(inplanes, planes, stride=1):
    return nn.Conv2d(inplanes, planes, kernel_size=1, stride=stride, bias=False)


def conv3x3(inplanes, planes, stride=1, groups=1, dilation=1):
    return nn.Conv2d(
        inplanes, planes, 3, stride, padding=dilation, dilation=dilation, groups=groups, bias=False
    )


class Bottleneck(nn.Module):
    """torchvision.models.resnet.Bottleneck."""

    expansion = 4

    def __init__(
        self,
        inplanes,
        planes,
        stride=1,
        downsample=None,
        groups=1,
        base_width=64,
        dilation=1,
        norm_layer=nn.BatchNorm2d,
    ):
        super().__init__()
        width = int(planes * (base_width / 64.0)) * groups
        self.conv1 = conv1x1(inplanes, width)
        self.bn1 = norm_layer(width)
        self.conv2 = conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm_layer(width)
        self.conv3 = conv1x1(width, planes * self.expansion)
        self.bn3 = norm_layer(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class DeepLabBottleneck(Bottleneck):
    """DeepLab's form: one group of `planes` channels, BatchNorm2d throughout, and the dilation
    named `rate`.
    """

    def __init__(self, inplanes, planes, stride=1, downsample=None, rate=1):
        super().__init__(inplanes, planes, stride, downsample, dilation=rate)


# A case is a block, an input size, and what is unusual about its numbers.


@dataclass
class Case:
    name: str
    inplanes: int
    planes: int
    size: tuple  # rows, columns
    batch: int = 1
    stride: int = 1
    groups: int = 1
    base_width: int = 64
    dilation: int = 1  # DeepLab's rate
    form: str = "torchvision"
    downsample: bool | None = None  # None: where the shapes demand it
    norm: str = "batch"
    eps: float = 1e-5
    affine: bool = True
    tweak: Callable = lambda state, eps: None  # changes the state dict in place
    poke: tuple = ()  # (image, channel, row, column, value) written into the input
    folder: Path = GOLDEN

    def __post_init__(self):
        needed = self.stride != 1 or self.inplanes != 4 * self.planes
        if self.downsample is None:
            self.downsample = needed
        assert self.downsample or not needed, self.name

    def build(self):
        norm = {
            "batch": partial(nn.BatchNorm2d, eps=self.eps, affine=self.affine),
            "frozen": partial(FrozenBatchNorm2d, eps=self.eps),
            "identity": nn.Identity,
        }[self.norm]
        out = 4 * self.planes
        shortcut = (
            nn.Sequential(conv1x1(self.inplanes, out, self.stride), norm(out))
            if self.downsample
            else None
        )
        common = self.inplanes, self.planes, self.stride, shortcut
        if self.form == "deeplab":
            fixed = self.groups, self.base_width, self.norm, self.eps, self.affine
            assert fixed == (1, 64, "batch", 1e-5, True), self.name
            return DeepLabBottleneck(*common, rate=self.dilation)
        return Bottleneck(*common, self.groups, self.base_width, self.dilation, norm)

    def metadata(self):
        flag = {True: "true", False: "false"}
        return {
            "form": self.form,
            "inplanes": str(self.inplanes),
            "planes": str(self.planes),
            "stride": str(self.stride),
            "groups": str(self.groups),
            "base_width": str(self.base_width),
            "dilation": str(self.dilation),
            "downsample": flag[self.downsample],
            "norm": self.norm,
            "eps": repr(self.eps),
            "affine": flag[self.affine],
        }


# Numbers. RandomState's streams are frozen by numpy, so another version draws the same.


def draw(rng, key, shape):
    """One tensor of a state dict, chosen so that every layer's output stays near 1 and no statistic
    is trivial.
    """
    if key.endswith("num_batches_tracked"):
        return torch.tensor(rng.randint(1, 100_000), dtype=torch.int64)
    if key.endswith("running_mean"):
        values = 0.3 * rng.standard_normal(shape)
    elif key.endswith("running_var"):
        values = rng.uniform(0.3, 2.5, shape)
    elif key.endswith("bias"):
        values = 0.3 * rng.standard_normal(shape)
    elif len(shape) == 1:  # gamma
        values = rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
    else:  # a convolution: [out, in / groups, height, width]
        values = rng.standard_normal(shape) * np.sqrt(1.5 / np.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32))


def norms(state):
    """(norm's prefix, its convolution's key) for every norm in a state dict."""
    for key in state:
        if key.endswith("running_var"):
            prefix = key.removesuffix("running_var")
            yield (
                prefix,
                {"downsample.1.": "downsample.0."}.get(prefix, prefix.replace("bn", "conv"))
                + "weight",
            )


def negative_gamma(state, eps):
    for prefix, _ in norms(state):
        state[prefix + "weight"].abs_().neg_()


def zero_gamma(state, eps):
    """Every third channel."""
    for prefix, _ in norms(state):
        state[prefix + "weight"][::3] = 0.0


def zero_gamma_bn3(state, eps):
    """What zero_init_residual starts a network from."""
    state["bn3.weight"].zero_()


def variance(*values):
    """Gives every second channel one of these variances, and shrinks the weights before it so that
    its output stays near 1.
    """

    def tweak(state, eps):
        for prefix, conv in norms(state):
            var = state[prefix + "running_var"]
            for n, channel in enumerate(range(0, len(var), 2)):
                var[channel] = values[n % len(values)]
                deviation = float(var[channel] + eps) ** 0.5
                state[conv][channel] *= deviation
                state[prefix + "running_mean"][channel] *= deviation

    return tweak


# fmt: off
CASES = [
    # Sizes, batches and channel counts.
    Case("plain", 16, 4, (8, 8)),
    Case("plain_batch4", 32, 8, (6, 10), batch=4),
    Case("odd_7x5_batch5", 20, 5, (7, 5), batch=5),
    Case("odd_13x9_batch3", 24, 6, (13, 9), batch=3),
    Case("tall_17x3", 12, 3, (17, 3), batch=2),
    Case("row_1x19", 28, 7, (1, 19)),
    Case("pixel_1x1", 32, 8, (1, 1)),
    Case("pixel_1x1_batch5", 20, 5, (1, 1), batch=5),
    Case("pixel_1x1_s2_downsample", 12, 4, (1, 1), batch=3, stride=2),
    Case("planes1", 4, 1, (5, 6), batch=2),
    Case("larger_map_33x29", 8, 2, (33, 29)),
    Case("inplanes1_downsample", 1, 2, (6, 7)),
    Case("inplanes3_downsample", 3, 2, (9, 9), batch=2),
    Case("inplanes6_downsample", 6, 3, (7, 8)),
    Case("inplanes10_s2_downsample", 10, 5, (10, 7), batch=2, stride=2),
    Case("inplanes18_downsample", 18, 7, (5, 9), batch=3),
    Case("downsample_not_needed", 16, 4, (7, 7), batch=2, downsample=True),
    # Strides.
    Case("s2_even_downsample", 16, 8, (12, 8), batch=2, stride=2),
    Case("s2_odd_downsample", 16, 8, (13, 9), batch=2, stride=2),
    Case("s2_odd_inplanes_4x_planes", 20, 5, (11, 7), stride=2),
    Case("s3_downsample", 12, 6, (14, 11), batch=2, stride=3),
    Case("s3_2x2_downsample", 8, 4, (2, 2), batch=2, stride=3),
    # Dilation.
    Case("dilation2", 16, 4, (9, 10), dilation=2),
    Case("dilation4_odd_planes", 20, 5, (13, 11), batch=2, dilation=4),
    Case("dilation4_row_1x17", 16, 4, (1, 17), dilation=4),
    Case("dilation12_larger_than_image", 24, 6, (7, 5), batch=2, dilation=12),
    Case("dilation12_reaches_edges", 8, 2, (17, 15), dilation=12),
    Case("s2_dilation2_even", 16, 8, (12, 10), stride=2, dilation=2),
    Case("s2_dilation2_odd", 18, 6, (13, 11), batch=2, stride=2, dilation=2),
    Case("s3_dilation4", 10, 4, (17, 13), stride=3, dilation=4),
    # Groups and widths. Width = int(planes * base_width / 64) * groups.
    Case("groups2", 16, 4, (7, 6), groups=2),
    Case("groups2_odd_planes_s2", 12, 3, (9, 7), batch=2, groups=2, stride=2),
    Case("groups8_base64", 8, 2, (8, 7), batch=2, groups=8),
    Case("groups8_5_per_group", 20, 5, (7, 7), groups=8),
    Case("groups8_s2_dilation2", 16, 8, (11, 8), groups=8, base_width=32, stride=2, dilation=2),
    Case("groups32_depthwise", 64, 16, (7, 7), groups=32, base_width=4),
    Case("groups32_depthwise_s2_dilation2", 20, 16, (9, 9), groups=32, base_width=4, stride=2,
         dilation=2),
    Case("groups32_2_per_group", 128, 32, (5, 6), groups=32, base_width=4),
    Case("groups32_4_per_group_s2", 16, 64, (8, 8), groups=32, base_width=4, stride=2),
    Case("groups32_base64", 4, 1, (6, 5), batch=2, groups=32),
    Case("depthwise_odd", 12, 3, (9, 8), groups=9, base_width=22),
    Case("wide_base128", 16, 4, (7, 7), batch=2, base_width=128),
    Case("width1", 64, 16, (7, 5), base_width=4),
    Case("base26_truncated", 40, 20, (7, 6), base_width=26),  # 8.125 -> 8
    Case("width26_groups1", 256, 64, (7, 5), base_width=26),
    Case("width26_groups2", 256, 64, (5, 5), base_width=26, groups=2),
    Case("width26_groups2_s2", 24, 16, (9, 9), base_width=104, groups=2, stride=2),
    Case("width26_groups8", 16, 4, (7, 6), base_width=416, groups=8),
    # Norms.
    Case("gamma_all_negative", 16, 4, (7, 7), batch=2, downsample=True, tweak=negative_gamma),
    Case("gamma_zero_channels", 24, 6, (7, 6), tweak=zero_gamma),
    Case("gamma_zero_channels_downsample", 10, 5, (7, 6), stride=2, tweak=zero_gamma),
    Case("gamma_zero_bn3", 16, 4, (6, 6), tweak=zero_gamma_bn3),
    Case("variance_tiny", 20, 5, (7, 7), tweak=variance(1e-10, 1e-12)),
    Case("variance_tiny_downsample", 12, 6, (7, 7), stride=2, tweak=variance(1e-11, 1e-12, 1e-10)),
    Case("variance_zero", 16, 4, (7, 7), tweak=variance(0.0)),
    Case("variance_large", 16, 4, (7, 7), tweak=variance(1e6, 1e4)),
    Case("eps_1em3", 16, 4, (7, 7), batch=2, eps=1e-3, tweak=variance(1e-3)),
    Case("eps_1em6", 12, 4, (7, 7), stride=2, eps=1e-6, tweak=variance(1e-6)),
    Case("eps_1em12_variance_tiny", 16, 4, (6, 5), eps=1e-12, tweak=variance(1e-12, 1e-10)),
    Case("frozen", 16, 4, (7, 7), batch=2, norm="frozen"),
    Case("frozen_s2_downsample", 12, 6, (9, 7), stride=2, norm="frozen"),
    Case("frozen_variance_zero_eps_1em3", 16, 4, (6, 6), norm="frozen", eps=1e-3,
         tweak=variance(0.0)),
    Case("frozen_eps_zero", 16, 4, (6, 6), norm="frozen", eps=0.0),
    Case("identity", 16, 4, (7, 7), batch=2, norm="identity"),
    Case("identity_s2_downsample", 12, 6, (9, 7), stride=2, norm="identity"),
    Case("identity_groups2_dilation2", 20, 5, (9, 8), groups=2, dilation=2, norm="identity"),
    Case("affine_false", 16, 4, (7, 7), batch=2, affine=False),
    Case("affine_false_s2_downsample", 12, 6, (9, 7), stride=2, affine=False),
    # DeepLab's form.
    Case("deeplab_rate1", 16, 4, (8, 7), form="deeplab"),
    Case("deeplab_rate2", 24, 6, (9, 9), batch=2, dilation=2, form="deeplab"),
    Case("deeplab_rate4_downsample", 10, 5, (13, 9), dilation=4, form="deeplab"),
    Case("deeplab_rate2_s2_downsample", 16, 4, (13, 10), batch=2, stride=2, dilation=2,
         form="deeplab"),
    Case("deeplab_rate12_larger_than_image", 32, 8, (5, 7), dilation=12, form="deeplab"),
    # Numbers that are not finite.
    Case("nan_pixel", 16, 4, (9, 9), poke=((0, 5, 2, 3, NAN),)),
    # Most infinite pixels turn their whole neighbourhood into NaN. These channels are chosen by the
    # signs in conv1: nearly all reach only one to three channels of conv2's input as +inf, so that
    # infinities survive. Channel 15 of `infinities`, as -inf, reaches none of them and only the
    # shortcut.
    Case("infinities", 20, 5, (15, 11), batch=2, poke=(
        (0, 9, 2, 2, INF), (0, 5, 12, 8, -INF), (0, 1, 7, 5, INF), (0, 2, 7, 5, -INF),
        (1, 15, 0, 10, -INF), (1, 17, 14, 0, INF))),
    Case("infinities_grouped", 20, 5, (15, 11), batch=2, groups=2, poke=(
        (0, 15, 2, 2, -INF), (0, 8, 12, 8, INF), (0, 0, 7, 5, INF), (0, 3, 7, 5, -INF),
        (1, 16, 0, 10, -INF), (1, 14, 14, 0, INF))),
    # What the program's demo runs.
    Case("torchvision", 32, 16, (15, 15), batch=2, stride=2, folder=DEMO),
    Case("resnext", 16, 32, (14, 14), groups=32, base_width=4, folder=DEMO),
    Case("deeplab", 48, 12, (13, 13), dilation=2, form="deeplab", folder=DEMO),
]
# fmt: on


def kinds(x):
    """Per value: 0 finite, 1 NaN, 2 +inf, 3 -inf."""
    return x.isnan() * 1 + x.isposinf() * 2 + x.isneginf() * 3


def encode(tensors, metadata):
    """A safetensors file whose metadata is sorted; safetensors itself writes it in an order that
    changes from run to run.
    """
    data = save(tensors, metadata)
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(metadata.items()))
    return data[:8] + json.dumps(header, separators=(",", ":")).encode().ljust(end - 8) + data[end:]


def make(case):
    """Writes one case's file and returns its line of the table."""
    rng = np.random.RandomState(zlib.crc32(case.name.encode()))
    block = case.build().eval()
    state = {key: draw(rng, key, tuple(value.shape)) for key, value in block.state_dict().items()}
    case.tweak(state, case.eps)
    block.load_state_dict(state)

    x = torch.from_numpy(
        rng.standard_normal((case.batch, case.inplanes, *case.size)).astype(np.float32)
    )
    for *at, value in case.poke:
        x[tuple(at)] = value

    with torch.no_grad():
        single = block(x.clone())
        out = block.double()(x.double()).float()
    if case.poke:  # which values are NaN or infinite must not hang on the precision, nor on 0 * inf
        assert torch.equal(kinds(single), kinds(out)), case.name
        assert all((value != 0).all() for value in state.values()), case.name
        found = set(kinds(out).unique().tolist())
        assert found == ({0, 1} if case.name == "nan_pixel" else {0, 1, 2}), (case.name, found)
    else:
        assert out.isfinite().all() and 0.5 < out.max() < 200, (case.name, out.max())

    path = case.folder / f"{case.name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode({**state, "input": x, "out": out.contiguous()}, case.metadata()))

    finite = out[out.isfinite()]
    error = (single - out)[out.isfinite()].abs().max() / finite.max()
    shapes = " -> ".join("x".join(map(str, t.shape)) for t in (x, out))
    params = " ".join(f"{key}={value}" for key, value in case.metadata().items() if key != "form")
    size = path.stat().st_size / 1024
    line = (
        f"{case.name:34} {case.form:11} {shapes:28} max {finite.max():5.2f} "
        f"f32 off {error:.0e} {size:5.1f} KiB  {params}"
    )
    if case.poke:
        line += f"  ({finite.numel()} finite, {out.isnan().sum()} NaN, {out.isposinf().sum()} inf)"
    return line


if __name__ == "__main__":
    torch.set_num_threads(1)  # one order of summation
    assert len({case.name for case in CASES}) == len(CASES)
    print(f"torch {torch.__version__}")
    for case in CASES:
        print(make(case))
