"""Makes the files of torch.save that tests/pth.rs reads, and what is in them.

    pip install torch numpy
    python tests/golden/pth.py

Writes tests/golden/pth/<case>.pth and, if the case is read, <case>.safetensors with every
floating-point tensor as f32, row-major, as PyTorch converts it; its metadata lists the tensors of
other types (`integers`) and the keys of everything else (`others`). A case without a safetensors
file must be refused. Values are drawn from a seed that is the CRC-32 of the case's name. The files
differ from run to run in a few bytes: the legacy format has addresses in it.
"""

import argparse
import json
import pathlib
import zlib
from collections import OrderedDict

import numpy as np
import torch
from torch import nn

FOLDER = pathlib.Path(__file__).resolve().parent / "pth"

# The legacy format and TorchScript store where the source of a class is: a name must do, not this
# machine's path.
lines_and_file = torch._sources.get_source_lines_and_file


def nameless(*args):
    lines, number, path = lines_and_file(*args)
    return lines, number, path and pathlib.Path(path).name


for module in (torch._sources, torch.serialization, torch.jit.frontend):
    module.get_source_lines_and_file = nameless


class Net(nn.Module):
    """Pickled whole, it is an object of a class that only this script has."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1, bias=False)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x):
        return self.bn(self.conv(x))


def draw(rng, *shape):
    return torch.from_numpy(np.asarray(rng.standard_normal(shape)).astype(np.float32))


def network(rng):
    """A small network with drawn weights; its state dict is an OrderedDict with _metadata."""
    net = Net()
    state = net.state_dict()
    for key, value in state.items():
        if value.is_floating_point():
            value.copy_(draw(rng, *value.shape))
        else:
            value.fill_(7)
    return net


def plain(rng):
    return network(rng).state_dict()


def odd_values(rng, dtype):
    """Numbers at the edges of each type, and one that must be rounded on the way to f32."""
    values = [0.0, -0.0, 1.0, -1.5, 1 / 3, 65504.0, 6e-8, 1e-40, 1e30, 1e300,
              float("inf"), float("-inf"), float("nan")]
    edges = torch.tensor(values, dtype=torch.float64).to(dtype)
    return {
        "edges": edges,
        "weight": draw(rng, 5, 3).to(dtype),
        "bias": (draw(rng, 4).double() / 3).to(dtype),
    }


def strided(rng):
    """Every way to lie in a storage other than row-major."""
    base = draw(rng, 6, 8)
    image = draw(rng, 2, 3, 4, 5)
    return {
        "transposed": base.t(),
        "permuted": image.permute(2, 0, 3, 1),
        "channels_last": image.contiguous(memory_format=torch.channels_last),
        "rows": base[1:4],
        "columns": base[:, 2:5],
        "steps": base[::2, 1::3],
        "element": base[3, 4],
        "diagonal": base.diagonal(),
        "expanded": draw(rng, 3, 1).expand(3, 4),
        "one_expanded": draw(rng, 1).expand(7),
        "ones": base[:1, :1].t(),
        "half": draw(rng, 4, 6).half().t(),
    }


def shared(rng):
    """Tied weights: the same tensor twice, and views that overlap in one storage."""
    base = draw(rng, 4, 5)
    return {"a": base, "b": base, "row": base[2], "flat": base.view(-1), "tail": base.view(-1)[13:]}


def sizes(rng):
    return {
        "zero_dim": draw(rng),
        "empty": torch.empty(0),
        "empty_middle": torch.empty(3, 0, 2),
        "one": draw(rng, 1),
        "deep": draw(rng, 1, 2, 1, 2, 1, 2),
    }


def parameters(rng):
    """Parameters as such, and with attributes of their own."""
    marked = nn.Parameter(draw(rng, 3))
    marked.note = "kept with the tensor"
    plain_marked = draw(rng, 4)
    plain_marked.note = {"a": 1}
    return OrderedDict(
        weight=nn.Parameter(draw(rng, 2, 3)), marked=marked, plain_marked=plain_marked
    )


def integers(rng):
    """Beside one float, every type that is kept but not read."""
    names = (
        "int8 uint8 int16 int32 int64 bool uint16 uint32 uint64 complex64 float8_e4m3fn float8_e5m2"
    ).split()
    return {
        "weight": draw(rng, 2),
        **{name: torch.ones(3, dtype=getattr(torch, name)) for name in names},
    }


def checkpoint(rng, key="model_state_dict"):
    """What a training script saves: weights, an optimizer after a step, and objects of classes that
    are not ours.
    """
    net = network(rng)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    net(draw(rng, 2, 3, 4, 4)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "best": np.float64(71.25),
        "args": argparse.Namespace(lr=0.1, data=pathlib.PurePosixPath("data"), devices={0, 1}),
        "optimizer": optimizer.state_dict(),
        key: net.state_dict(),
        "loss": torch.tensor(0.5),
        "rng": torch.get_rng_state()[:16].clone(),
        "big": 1 << 80,
    }


def beside(rng):
    """A state dict with keys that hold no tensors."""
    return {
        "weight": draw(rng, 2),
        "version": 2,
        "args": argparse.Namespace(a=1),
        "nothing": None,
        "inner": {"x": draw(rng, 1)},
    }


# fmt: off
READ = {
    "zip": plain,
    "half": lambda rng: odd_values(rng, torch.float16),
    "bfloat16": lambda rng: odd_values(rng, torch.bfloat16),
    "double": lambda rng: odd_values(rng, torch.float64),
    "strided": strided,
    "shared": shared,
    "sizes": sizes,
    "parameters": parameters,
    "integers": integers,
    "beside": beside,
    "checkpoint": checkpoint,
    "nested": lambda rng: {
        "model": {"state_dict": plain(rng), "name": "net"},
        "loss": torch.tensor(1.0),
    },
}
# Whatever is in them, these must not be read.
REFUSED = {
    "whole_model": network,
    "model_in_checkpoint": lambda rng: {"epoch": 1, "model": network(rng)},
    "tensor": lambda rng: draw(rng, 3),
    "list": lambda rng: [draw(rng, 3)],
    "no_tensors": lambda rng: {"epoch": 1, "lr": 0.5, "args": argparse.Namespace(a=1)},
}
# fmt: on

# Where a state dict stands in a checkpoint, as tests/golden/pth.py chose it for each case.
WITHIN = {"checkpoint": ["model_state_dict"], "nested": ["model", "state_dict"]}

FORMS = {
    "": {},
    "_protocol4": {"pickle_protocol": 4},
    "_legacy": {"_use_new_zipfile_serialization": False},
    "_legacy_protocol4": {"_use_new_zipfile_serialization": False, "pickle_protocol": 4},
}


def encode(tensors, metadata):
    """A safetensors file."""
    header, data = {"__metadata__": metadata}, b""
    for key, tensor in sorted(tensors.items()):
        raw = tensor.detach().contiguous().numpy().tobytes()
        header[key] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return len(text).to_bytes(8, "little") + text + data


def expect(name, saved):
    """Writes what must be read from a case."""
    for key in WITHIN.get(name, []):
        saved = saved[key]
    floats = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
    tensors = {key: value for key, value in saved.items() if isinstance(value, torch.Tensor)}
    read = {key: value.float() for key, value in tensors.items() if value.dtype in floats}
    metadata = {
        "integers": ",".join(sorted(tensors.keys() - read.keys())),
        "others": ",".join(sorted(saved.keys() - tensors.keys())),
    }
    (FOLDER / f"{name}.safetensors").write_bytes(encode(read, metadata))


def make():
    FOLDER.mkdir(exist_ok=True)
    for name, case in {**READ, **REFUSED}.items():
        saved = case(np.random.RandomState(zlib.crc32(name.encode())))
        for form, options in FORMS.items():
            # Every form of the cases that touch the containers most; one suffices for the others.
            if form and name not in (
                "zip",
                "half",
                "strided",
                "shared",
                "parameters",
                "checkpoint",
                "whole_model",
            ):
                continue
            if "legacy" in form and name == "integers":
                continue
            torch.save(saved, FOLDER / f"{name}{form}.pth", **options)
        if name in READ:
            expect(name, saved)
    rng = np.random.RandomState(1)
    torch.jit.save(torch.jit.script(network(rng)), FOLDER / "torchscript.pt")
    torch.serialization.set_crc32_options(False)
    torch.save(plain(np.random.RandomState(zlib.crc32(b"zip"))), FOLDER / "zip_no_checksums.pth")


if __name__ == "__main__":
    torch.manual_seed(0)
    make()
    for path in sorted(FOLDER.iterdir()):
        print(f"{path.name:40} {path.stat().st_size:7} bytes")
