"""Group D of tests/golden/checkpoints.py: other objects in a file, element types and formats."""

import argparse
import collections
import datetime
import decimal
import enum
import fractions
import functools
import json
import pathlib
import uuid
from collections import OrderedDict

import numpy as np
import torch

from checkpoint_files import (
    arrays,
    filled,
    foreign,
    legacy,
    npy,
    place,
    plain_pickle,
    tensors,
    zipped,
)
from checkpoint_networks import TWO, Net


class Ordered(OrderedDict):
    """An OrderedDict of a package that is not installed."""


class Mode(enum.Enum):
    """An enum of a package that is not installed."""

    TRAIN = "train"


class Level(enum.IntEnum):
    HIGH = 3


for kind in (Ordered, Mode, Level):
    place(kind, f"project.utils.{kind.__name__}")


# What the legacy format cannot hold, and some of the others; its files are smaller.
ZIPPED = "complex conjugated float8 generator quantised storage".split()


def objects(table):
    table.group = "objects"
    for name, (about, beside) in besides().items():
        net = Net(f"with_{name}")
        saved = {"state_dict": net.state(), **beside}
        content = zipped(saved) if name in ZIPPED else legacy(saved)
        table.add(f"with_{name}", about, content, net, classify=True)
    containers(table)
    element_types(table)
    formats(table)


def besides():
    """What stands beside a state dict: description, entries."""
    itself = {"epoch": 3}
    itself["self"] = itself
    yacs = foreign("yacs.config.CfgNode", dict)(SOLVER={"LR": 0.1})
    yacs.__dict__.update({"__immutable__": False, "__deprecated_keys__": {}})
    omega = foreign("omegaconf.dictconfig.DictConfig")
    node = foreign("omegaconf.nodes.AnyNode")
    config = filled(omega, _metadata=None, _content={"lr": filled(node, _val=0.1)})
    generator = torch.Generator().manual_seed(1)
    return {
        "complex": ("complex tensors", {"fft": torch.ones(3, dtype=torch.complex64) * 1j}),
        "quantised": (
            "tensors of torch.quantize_per_tensor",
            {"scales": torch.quantize_per_tensor(torch.arange(4.0), 0.5, 1, torch.quint8)},
        ),
        "conjugated": (
            "a conjugated view and a negated one",
            {
                "conj": (torch.ones(3, dtype=torch.complex64) * 1j).conj(),
                "neg": torch._neg_view(torch.ones(3)),
            },
        ),
        "generator_state": (
            "states of random number generators",
            {
                "torch": generator.get_state()[:64].clone(),
                "numpy": ("MT19937", np.arange(4, dtype=np.uint32), 4, 0, 0.0),
                "python": (3, (1, 2, 3), None),
            },
        ),
        "optimizer": (
            "the state of AdamW, whose moments look like weights",
            {
                "optimizer": {
                    "state": {
                        index: {
                            "step": torch.tensor(3.0),
                            "exp_avg": torch.zeros(shape),
                            "exp_avg_sq": torch.zeros(shape),
                        }
                        for index, shape in enumerate(((4, 3, 7, 7), (4,), (4,)))
                    },
                    "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0, 1, 2]}],
                }
            },
        ),
        "numpy_scalars": (
            "NumPy scalars and arrays",
            {
                "best": np.float64(71.25),
                "step": np.int64(3),
                "flag": np.bool_(True),
                "history": np.array([1.0, 2.0]),
                "names": np.array(["a", "b"]),
            },
        ),
        "enums": ("enums of a package that is not installed", {"m": Mode.TRAIN, "l": Level.HIGH}),
        "paths": (
            "pathlib's paths",
            {"data": pathlib.PurePosixPath("data"), "windows": pathlib.PureWindowsPath("C:\\d")},
        ),
        "dates": (
            "dates and times",
            {
                "time": datetime.datetime(2024, 5, 1, 12, 30, tzinfo=datetime.timezone.utc),
                "day": datetime.date(2024, 5, 1),
                "took": datetime.timedelta(seconds=3),
            },
        ),
        "partial": (
            "functools.partial, functions and classes by name",
            {
                "norm": functools.partial(torch.nn.BatchNorm2d, eps=1e-3),
                "act": torch.nn.functional.relu,
                "len": len,
            },
        ),
        "namespace": (
            "argparse.Namespace with lists, sets and None",
            {"args": argparse.Namespace(lr=0.1, devices={0}, names=["a"], resume=None)},
        ),
        "itself": ("a dict that contains itself", {"state": itself}),
        "torch_types": (
            "torch.Size, dtype, device and layout",
            {
                "size": torch.Size([3, 224, 224]),
                "dtype": torch.bfloat16,
                "device": torch.device("cuda", 0),
                "layout": torch.strided,
            },
        ),
        "python_types": (
            "types of Python's library",
            {
                "default": collections.defaultdict(list, a=[1]),
                "counter": collections.Counter("ab"),
                "deque": collections.deque([1, 2], maxlen=3),
                "decimal": decimal.Decimal("0.1"),
                "fraction": fractions.Fraction(1, 3),
                "uuid": uuid.UUID(int=7),
                "range": range(3),
                "slice": slice(1, 2),
                "complex": 1 + 2j,
                "bytes": b"\x00\x01",
                "bytearray": bytearray(b"ab"),
                "frozen": frozenset([1]),
                "large": 1 << 90,
            },
        ),
        "sparse": (
            "a sparse tensor",
            {"graph": torch.sparse_coo_tensor([[0, 1], [1, 0]], [1.0, 2.0], (2, 2))},
        ),
        "storage": ("a bare storage", {"raw": torch.ones(3).untyped_storage()}),
        "float8": ("tensors of float8", {"q": torch.ones(3).to(torch.float8_e4m3fn)}),
        "yacs": ("yacs: a CfgNode", {"cfg": yacs}),
        "omegaconf": ("Hydra: an OmegaConf DictConfig", {"hyper_parameters": config}),
        "generator": ("a torch.Generator", {"rng": generator}),
    }


def containers(table):
    net = Net("ordered_subclass")
    table.add(
        "ordered_subclass",
        "the state dict is an OrderedDict of a package that is not installed",
        legacy({"state_dict": Ordered(net.state())}),
        net,
        classify=True,
    )
    net = Net("parameters")
    state = net.state()
    for key, value in state.items():
        if "running" not in key:
            state[key] = torch.nn.Parameter(value)
    table.add(
        "parameters", "dict(named_parameters()) with buffers", legacy(state), net, classify=True
    )
    net = Net("config_in_state_dict")
    state = {**net.state(), "version": 2, "config": {"arch": "resnet_tiny"}, "nothing": None}
    table.add(
        "config_in_state_dict", "keys that hold no tensors", legacy(state), net, classify=True
    )
    net = Net("one_storage")
    state, flat, at = net.state(), torch.cat([v.flatten() for v in net.state().values()]), 0
    for key, value in state.items():
        state[key] = flat[at : at + value.numel()].view(value.shape)
        at += value.numel()
    table.add("one_storage", "all tensors are views of one storage", state, net, classify=True)
    net = Net("negated_weight")
    state = net.state()
    state["conv1.weight"] = torch._neg_view(-state["conv1.weight"])
    table.add("negated_weight", "a weight that is a negated view", state, net, classify=True)
    net = Net("channels_last")
    state = net.state()
    for key, value in state.items():
        if value.dim() == 4:
            state[key] = value.contiguous(memory_format=torch.channels_last)
    table.add("channels_last", "weights in channels_last order", legacy(state), net, classify=True)


def element_types(table):
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        name = "dtype_" + str(dtype).removeprefix("torch.")
        net = Net(name)
        for key, value in net.body.items():
            net.body[key] = value.to(dtype).float()
        net.weight, net.bias = net.weight.to(dtype).float(), net.bias.to(dtype).float()
        state = OrderedDict((key, value.to(dtype)) for key, value in net.state().items())
        table.add(name, f"weights in {dtype}", legacy(state), net, classify=True)
    net = Net("dtype_float8")
    state = net.state()
    for key, value in state.items():
        if value.dim() == 4:
            state[key] = value.to(torch.float8_e4m3fn)
    table.add(
        "dtype_float8",
        "convolutions in float8 without their scales",
        tensors(state),
        ext=".safetensors",
        refused=["conv1.weight", "F8_E4M3"],
    )
    net = Net("dtype_quantised")
    state = net.state()
    for key, value in state.items():
        if value.dim() == 4:
            state[key] = torch.quantize_per_tensor(value, 0.02, 0, torch.qint8)
    table.add(
        "dtype_quantised",
        "torch.ao.quantization: quantised convolutions",
        state,
        refused=["conv1.weight", "quanti"],
    )
    net = Net("dtype_mixed")
    state = net.state()
    for key, value in net.body.items():
        if value.dim() == 4:
            state[key] = value.half()
            net.body[key] = value.half().float()
    table.add("dtype_mixed", "half convolutions, float norms", legacy(state), net, classify=True)


def formats(table):
    net = Net("format_cuda")
    table.add(
        "format_cuda",
        "saved from a GPU: every storage is at cuda:0",
        zipped(net.state(), "cuda:0"),
        net,
        classify=True,
    )
    net = Net("format_zip", batches=True)
    table.add(
        "format_zip", "torch.save since PyTorch 1.6", {"model": net.state()}, net, classify=True
    )
    net = Net("format_protocol4")
    table.add(
        "format_protocol4",
        "torch.save with pickle_protocol=4",
        zipped(net.state(), pickle_protocol=4),
        net,
        classify=True,
    )
    net = Net("format_legacy", **TWO, batches=True)
    table.add("format_legacy", "torch.save before 1.6", legacy(net.state()), net, classify=True)
    net = Net("format_safetensors_metadata", **TWO, batches=True)
    metadata = {"format": "pt", "epoch": "3", "ss_tag_frequency": json.dumps({"a": 1})}
    table.add(
        "format_safetensors_metadata",
        "safetensors with metadata of another program",
        tensors(net.state(), metadata),
        net,
        ext=".safetensors",
        classify=True,
    )
    net = Net("format_other_extension")
    table.add(
        "format_other_extension",
        "a file of torch.save with the extension safetensors",
        legacy(net.state()),
        net,
        ext=".safetensors",
        classify=True,
    )
    net = Net("format_numpy_pickle")
    table.add(
        "format_numpy_pickle",
        "a pickle of NumPy arrays without a dict around",
        plain_pickle(arrays(net.state())),
        net,
        ext=".pkl",
        classify=True,
    )
    sharded(table)
    state = Net("format_npy").body["conv1.weight"].numpy()
    table.add("format_npy", "one NumPy array", npy(state), ext=".npy", refused=["NumPy"])


def sharded(table):
    net = Net("sharded", **TWO)
    state = net.state()
    names = [f"model-0000{part}-of-00002.safetensors" for part in (1, 2)]
    parts = [OrderedDict(), OrderedDict()]
    for key, value in state.items():
        parts[not key.startswith(("conv1", "bn1", "layer1"))][key] = value
    size = sum(value.numel() * value.element_size() for value in state.values())
    where = {key: names[part] for part in (0, 1) for key in parts[part]}
    index = {"metadata": {"total_size": size}, "weight_map": where}
    folder = {
        name: tensors(part, {"format": "pt"}) for name, part in zip(names, parts, strict=True)
    }
    folder["model.safetensors.index.json"] = json.dumps(index, indent=1).encode()
    table.add(
        "sharded",
        "transformers: a folder with two shards and their index",
        folder,
        ext="",
        refused=["model.safetensors.index.json", "shard"],
    )
    table.add(
        "sharded_index",
        "the index of the shards",
        None,
        file="sharded/model.safetensors.index.json",
        refused=["index", "shard"],
    )
    table.add(
        "sharded_part",
        "the second of the shards: no stem",
        None,
        file=f"sharded/{names[1]}",
        refused=["conv1.weight"],
    )
    folder = {"__0_0.distcp": zipped({"a": torch.ones(2)}), ".metadata": plain_pickle({"a": 1})}
    table.add(
        "distributed_checkpoint",
        "torch.distributed.checkpoint: a folder of .distcp files",
        folder,
        ext="",
        refused=["distcp"],
    )
