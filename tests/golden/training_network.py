"""Makes the golden files of training networks: twenty steps of an optimiser on fixed images, as
PyTorch takes them in f32.

    pip install torch safetensors numpy
    python tests/golden/training_network.py

Writes tests/golden/training/networks/<case>.safetensors and prints a table. A file holds the state
dict before (`before.KEY`) and after (`after.KEY`), the images and their classes, and the loss of
each batch (`losses`); its metadata describes the network and the optimiser. Seeds are skipped until
the same run in float64, and runs whose parameters start some roundings away, all stay near it: if
the input of a ReLU is close to zero, or two pixels of a pool are almost equal, two implementations
in f32 may take different sides, and are far apart twenty steps later.
"""

import copy
import json

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from make import GOLDEN, Bottleneck, conv1x1, conv3x3

FOLDER = GOLDEN / "training" / "networks"
STEPS = 20
# How far off such runs may be: in a loss, and in the state at the end, as a share of each tensor's
# largest value.
NEAR = 2e-5, 2e-4
# How many runs begin some roundings away, and by what share of each parameter.
NUDGED, NUDGE = 10, 8e-7


class BasicBlock(nn.Module):
    def __init__(self, inplanes, planes, stride=1, downsample=None, **_):
        super().__init__()
        self.conv1, self.bn1 = conv3x3(inplanes, planes, stride), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv3x3(planes, planes), nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x):
        out = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(out + (x if self.downsample is None else self.downsample(x)))


class Network(nn.Module):
    """torchvision's ResNet with fewer planes."""

    def __init__(
        self, kind, depths, planes, stem, classes, groups=1, width_per_group=64, dilate=()
    ):
        super().__init__()
        block, expansion = (Bottleneck, 4) if kind == "Bottleneck" else (BasicBlock, 1)
        self.conv1, self.bn1 = nn.Conv2d(3, stem, 7, 2, 3, bias=False), nn.BatchNorm2d(stem)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inplanes, dilation, self.stages = stem, 1, len(depths)
        for stage, (depth, width) in enumerate(zip(depths, planes)):
            before, stride = dilation, 1 if stage == 0 else 2
            if stage > 0 and len(dilate) >= stage and dilate[stage - 1]:
                dilation, stride = dilation * stride, 1
            blocks = []
            for index in range(depth):
                step = stride if index == 0 else 1
                out = expansion * width
                shortcut = None
                if step != 1 or inplanes != out:
                    shortcut = nn.Sequential(conv1x1(inplanes, out, step), nn.BatchNorm2d(out))
                options = {
                    "groups": groups,
                    "base_width": width_per_group,
                    "dilation": before if index == 0 else dilation,
                }
                blocks.append(block(inplanes, width, step, shortcut, **options))
                inplanes = out
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inplanes, classes)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.fc(x.mean((2, 3)))


SGD = {"name": "sgd", "momentum": 0.9, "nesterov": False, "weight_decay": 1e-4, "decay_all": True}
ADAMW = {
    "name": "adamw",
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-8,
    "weight_decay": 1e-2,
    "decay_all": True,
}
THIN = {
    "kind": "Bottleneck",
    "depths": [1, 1, 1, 1],
    "planes": [6, 8, 10, 12],
    "stem": 10,
    "classes": 7,
}
CASES = {
    "thin": (THIN, SGD, {}),
    "nesterov_no_decay_of_norms": (
        THIN,
        {**SGD, "nesterov": True, "weight_decay": 5e-2, "decay_all": False},
        {},
    ),
    "resnext_dilated_smoothed": (
        {
            **THIN,
            "planes": [8, 8, 16, 16],
            "groups": 4,
            "width_per_group": 16,
            "dilate": [False, False, True],
        },
        SGD,
        {"smoothing": 0.1},
    ),
    "two_blocks_accumulated": ({**THIN, "depths": [2, 1, 2, 1]}, SGD, {"over": 2, "steps": 8}),
    "basic_adamw": (
        {**THIN, "kind": "BasicBlock", "planes": [8, 12, 16, 20]},
        ADAMW,
        {"rate": 0.002},
    ),
    "frozen_layer1": (THIN, SGD, {"frozen": ["conv1", "bn1", "layer1"]}),
}


def optimizer_of(network, about, rate):
    """Norms and biases apart, where they do not decay."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.dim() > 1]
    others = [parameter for parameter in trained if parameter.dim() <= 1]
    decay = about["weight_decay"]
    groups = [
        {"params": matrices, "weight_decay": decay},
        {"params": others, "weight_decay": decay if about["decay_all"] else 0.0},
    ]
    if about["name"] == "sgd":
        return torch.optim.SGD(
            groups, lr=rate, momentum=about["momentum"], nesterov=about["nesterov"]
        )
    return torch.optim.AdamW(
        groups, lr=rate, betas=(about["beta1"], about["beta2"]), eps=about["eps"]
    )


def freeze(network, prefixes):
    """What is frozen keeps its parameters, and its norms are in eval mode."""
    for name, module in network.named_modules():
        if any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes):
            module.eval()
            for parameter in module.parameters():
                parameter.requires_grad_(False)


def run(network, pictures, classes, about, run_options):
    """The loss of each batch."""
    network.train()
    freeze(network, run_options.get("frozen", []))
    rate, over = run_options.get("rate", 0.004), run_options.get("over", 1)
    optimizer = optimizer_of(network, about, rate)
    loss_of = nn.CrossEntropyLoss(label_smoothing=run_options.get("smoothing", 0.0))
    losses = []
    steps = run_options.get("steps", STEPS)
    for step in range(steps):
        # A cosine, as schedules have it.
        for group in optimizer.param_groups:
            group["lr"] = rate * 0.5 * (1 + np.cos(np.pi * step / steps))
        optimizer.zero_grad()
        for part in range(over):
            at = (step * over + part) % len(pictures)
            loss = loss_of(network(pictures[at]), classes[at])
            (loss / over).backward()
            losses.append(loss.item())
        optimizer.step()
    return np.array(losses)


def attempt(seed, network_options, about, run_options):
    """The file's tensors, and how far the other runs are from them."""
    torch.manual_seed(seed)
    rng = np.random.RandomState(seed)
    network = Network(**network_options)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    before = {f"before.{key}": value.clone() for key, value in network.state_dict().items()}
    pictures = torch.from_numpy(rng.standard_normal((2, 8, 3, 34, 30)).astype(np.float32))
    classes = torch.from_numpy(rng.randint(0, network_options["classes"], (2, 8)))
    others = [(copy.deepcopy(network).double(), pictures.double())]
    for _ in range(NUDGED):
        nudged = copy.deepcopy(network)
        for parameter in nudged.parameters():
            parameter.data *= 1 + NUDGE * torch.from_numpy(
                rng.standard_normal(tuple(parameter.shape)).astype(np.float32)
            )
        others.append((nudged, pictures))
    losses = run(network, pictures, classes, about, run_options)
    after = {f"after.{key}": value.clone() for key, value in network.state_dict().items()}
    data = {"pictures": pictures.reshape(16, 3, 34, 30), "classes": classes.reshape(16).float()}
    tensors = {**before, **after, **data, "losses": torch.from_numpy(losses).float()}
    loss_off, state_off = 0.0, 0.0
    for other, inputs in others:
        loss_off = max(
            loss_off, np.abs(losses - run(other, inputs, classes, about, run_options)).max()
        )
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                apart = (value.double() - other.state_dict()[key].double()).abs().max()
                apart /= value.abs().max().clamp_min(1e-30)
                state_off = max(state_off, float(apart))
        if not (loss_off < NEAR[0] and state_off < NEAR[1]):
            break
    return {key: value.contiguous() for key, value in tensors.items()}, losses, loss_off, state_off


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for number, (name, (network_options, about, run_options)) in enumerate(CASES.items()):
        for seed in range(1000 * number, 1000 * number + 1000):
            tensors, losses, loss_off, state_off = attempt(
                seed, network_options, about, run_options
            )
            if loss_off < NEAR[0] and state_off < NEAR[1]:
                break
        else:
            raise SystemExit(f"{name}: no seed will do")
        metadata = {
            "network": json.dumps(network_options),
            "optimizer": json.dumps(about),
            "run": json.dumps(run_options),
        }
        save_file(tensors, FOLDER / f"{name}.safetensors", metadata)
        first, last = losses[0], losses[-1]
        print(
            f"{name:30} seed {seed}: losses {first:.4f} to {last:.4f}, "
            f"f32 off by {loss_off:.1e}, state {state_off:.1e}"
        )


if __name__ == "__main__":
    main()
