"""Makes small copies of the checkpoints that people publish, and what must come out of each.

    pip install torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 pillow==13.0.0
    pip install safetensors==0.8.0 timm==1.0.31 transformers==5.24.0
    python tests/golden/checkpoints.py            # writes tests/golden/checkpoints/
    python tests/golden/checkpoints.py --check    # also compares with the packages' own networks

Every file holds a ResNet of a few channels with seeded weights, or something that is none. The
vectors are computed in float64 and rounded to f32. checkpoints/README.md describes table.json. Two
runs write the same bytes.

The cases are in checkpoint_heads.py, checkpoint_wrappers.py, checkpoint_keys.py,
checkpoint_objects.py, checkpoint_variants.py, and below (files that are no checkpoint).
"""

import argparse
import gzip
import io
import pathlib
import shutil
import struct
import tarfile
import warnings
import zipfile
from importlib.metadata import version

import numpy as np
import torch
from PIL import Image

from checkpoint_files import legacy, npy, place, plain_pickle, tensors, zipped
from checkpoint_heads import heads
from checkpoint_keys import key_styles
from checkpoint_networks import Net, forward, hugging_face
from checkpoint_objects import objects
from checkpoint_table import Table
from checkpoint_variants import variants
from checkpoint_wrappers import wrappers

FOLDER = pathlib.Path(__file__).resolve().parent / "checkpoints"
PACKAGES = "torch torchvision numpy pillow safetensors timm transformers".split()


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 4, 7, 2, 3, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(4)

    def forward(self, x):
        return self.bn1(self.conv1(x))


def tiny():
    torch.manual_seed(0)
    return Tiny().eval()


def torchscript():
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(tiny(), torch.zeros(1, 3, 8, 8)), file)
    return file.getvalue()


def archive(entries, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as out:
        for name, raw in entries.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = method
            out.writestr(info, raw)
    return file.getvalue()


def packed_again(raw):
    """The same archive, compressed."""
    with zipfile.ZipFile(io.BytesIO(raw)) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    return archive(entries, zipfile.ZIP_DEFLATED)


def tape(name, raw):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as out:
        info = tarfile.TarInfo(name)
        info.size = len(raw)
        out.addfile(info, io.BytesIO(raw))
    return file.getvalue()


def npz(state):
    return archive({f"{key}.npy": npy(value.numpy()) for key, value in state.items()})


def png():
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def jpeg():
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()


LFS = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
    b"size 102530333\n"
)
HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body></body></html>\n"
XML = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
)
ONNX = b"\x08\x0a\x12\x07pytorch\x1a\x062.15.0\x22\x003:\x8e\x02\n\x1b\n\x05input\n\x0cconv1.weight"
HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(8) + b"\x08\x08\x00" + bytes(40)
TF_INDEX = bytes(64) + struct.pack("<Q", 0xDB4775248B80FB57)
TFLITE = b"\x1c\x00\x00\x00TFL3" + bytes(56)
GGUF = b"GGUF" + struct.pack("<IQQ", 3, 0, 0)


def no_checkpoints(table):
    table.group = "no checkpoint"

    def add(name, about, content, words, ext=".pth"):
        table.add(name, about, content, ext=ext, refused=words)

    place(Tiny, "models.resnet.Tiny")
    net = Net("not_a_checkpoint")
    whole = zipped(net.state())
    old = legacy(net.state())
    safe = tensors(net.state())
    add("git_lfs_pointer", "a clone without git lfs pull", LFS, ["Git LFS"], ".safetensors")
    add("git_lfs_pointer_pth", "the same, .pth", LFS, ["Git LFS"])
    add("html", "a download that is a page of an error", HTML, ["HTML"])
    add("html_safetensors", "the same, .safetensors", HTML, ["HTML"], ".safetensors")
    add("xml", "a download that was denied by S3", XML, ["XML"])
    add("json", "the answer of a server, or a configuration", b'{"error": "gone"}\n', ["JSON"])
    add("text", "a text file", b"resnet50\n", ["text"])
    add("empty", "an empty file", b"", ["empty"])
    add("empty_safetensors", "an empty file", b"", ["empty"], ".safetensors")
    add("zeros", "a download whose disk was full", bytes(4096), ["zero"])
    add("onnx", "ONNX", ONNX, ["ONNX"], ".onnx")
    add("hdf5", "Keras: HDF5", HDF5, ["HDF5"], ".h5")
    add(
        "tensorflow_index",
        "TensorFlow: the index of a checkpoint",
        TF_INDEX,
        ["TensorFlow"],
        ".index",
    )
    add("tflite", "TensorFlow Lite", TFLITE, ["TensorFlow Lite"], ".tflite")
    add("gguf", "GGUF", GGUF, ["GGUF"], ".gguf")
    add("gzip", "a checkpoint packed by gzip", gzip.compress(whole, mtime=0), ["gzip"], ".pth.gz")
    add("tar", "a tar archive around a checkpoint", tape("resnet50.pth", old), ["tar"], ".tar")
    add(
        "zip_around",
        "a zip archive around a checkpoint",
        archive({"resnet50.pth": old}),
        ["zip", "resnet50.pth"],
        ".zip",
    )
    add(
        "zip_packed",
        "a checkpoint unzipped and zipped again, compressed",
        packed_again(whole),
        ["compress"],
    )
    add("npz", "NumPy: an archive of arrays", npz(net.state()), ["NumPy"], ".npz")
    add("png", "an image", png(), ["PNG"])
    add("jpeg", "an image", jpeg(), ["JPEG"])
    add("torchscript", "torch.jit.save", torchscript(), ["TorchScript"], ".pt")
    add("whole_model", "torch.save(model)", zipped(tiny()), ["models.resnet.Tiny", "state_dict()"])
    add(
        "whole_model_legacy",
        "torch.save(model) before 1.6",
        legacy(tiny()),
        ["models.resnet.Tiny", "state_dict()"],
    )
    add(
        "whole_model_inside",
        "YOLOv5: a whole model in a dict",
        {"epoch": 3, "model": tiny(), "ema": None},
        ["models.resnet.Tiny", "state_dict()"],
        ".pt",
    )
    add("truncated", "an interrupted download", whole[: len(whole) // 2], ["truncated"])
    add("truncated_legacy", "an interrupted download", old[: len(old) // 2], ["truncated"])
    add(
        "truncated_safetensors",
        "an interrupted download",
        safe[: len(safe) // 2],
        ["truncated"],
        ".safetensors",
    )
    add(
        "optimizer_only",
        "only the state of an optimizer",
        {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        ["optimizer"],
    )
    add("tensor", "one tensor", torch.ones(3), ["tensor"])
    add("list", "a list of arrays, as of federated learning", [torch.ones(3)], ["list"])
    add("number", "a number", 3, ["an int"])
    add(
        "vectors",
        "a pickle of features, no weights",
        plain_pickle({"a.jpg": [0.1, 0.2]}),
        ["tensor"],
        ".pkl",
    )
    add(
        "pickle_dump",
        "pickle.dump(state_dict), not torch.save",
        plain_pickle(
            {"conv1.weight": net.body["conv1.weight"], "bn1.weight": net.body["bn1.weight"]}
        ),
        ["torch.save"],
        ".pkl",
    )
    add(
        "scheduler",
        "accelerate: scheduler.bin",
        {"last_epoch": 3, "_last_lr": [0.1]},
        ["tensor"],
        ".bin",
    )
    add("hostile", "a pickle that would run a command", hostile(), ["os.system"])


def hostile():
    """A file of torch.save that calls os.system when it is loaded; the test must not run it."""
    call = b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01cos\nsystem\nq\x02X\x04\x00\x00\x00trueq\x03"
    call += b"\x85q\x04Rq\x05s."
    return archive(
        {"archive/data.pkl": call, "archive/byteorder": b"little", "archive/version": b"3\n"}
    )


def check(table):
    """Compares `forward` and the renamed keys with torchvision, timm and transformers."""
    import timm
    import torchvision
    from transformers import ResNetConfig, ResNetForImageClassification

    x = table.inputs["input"].double()
    for make, options in (
        (torchvision.models.resnet18, {}),
        (
            lambda **o: torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, **o),
            {"layers": [1, 2, 1, 1], "replace_stride_with_dilation": [False, True, True]},
        ),
        (
            lambda **o: timm.models.resnet.ResNet(timm.models.resnet.Bottleneck, **o),
            {"layers": [1, 1, 1, 1], "cardinality": 2, "base_width": 16},
        ),
    ):
        torch.manual_seed(0)
        model = make(**options).double().eval()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_var.uniform_(0.5, 1.5)
                module.running_mean.uniform_(-0.2, 0.2)
        state = model.state_dict()
        body = {key: value for key, value in state.items() if not key.startswith("fc.")}
        dilate = options.get("replace_stride_with_dilation", ())
        pooled = forward(body, x, dilate=dilate)
        logits = pooled @ state["fc.weight"].T + state["fc.bias"]
        assert torch.allclose(logits, model(x), rtol=1e-9, atol=1e-9), make
    for kind, hidden, planes in (("bottleneck", [8, 16], (2, 4)), ("basic", [4, 6], (4, 6))):
        config = ResNetConfig(
            embedding_size=4, hidden_sizes=hidden, depths=[1, 1], layer_type=kind, num_labels=5
        )
        model = ResNetForImageClassification(config).double().eval()
        net = Net("check", kind=kind, depths=(1, 1), planes=planes, stem=4, batches=True)
        model.load_state_dict(hugging_face(net.state()))
        assert torch.allclose(model(x).logits, net.logits(x), rtol=1e-9, atol=1e-9), kind
    print("torchvision, timm and transformers agree")


def check_files(table):
    """Loads every file of PyTorch with PyTorch."""
    loaded = 0
    for case in table.cases:
        path = FOLDER / case["file"]
        if path.is_dir() or case["group"] == "no checkpoint":
            continue
        raw = path.read_bytes()
        if raw[:2] == b"PK" or raw[2:4] == b"\x8a\x0a":
            torch.load(io.BytesIO(raw), map_location="cpu", weights_only=False)
            loaded += 1
    print(f"PyTorch loads {loaded} files")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    readme = (FOLDER / "README.md").read_text() if (FOLDER / "README.md").exists() else None
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    if readme:
        (FOLDER / "README.md").write_text(readme)
    table = Table(FOLDER)
    with torch.no_grad():
        for group in (heads, wrappers, key_styles, objects, variants, no_checkpoints):
            group(table)
        table.finish({name: version(name) for name in PACKAGES})
        if args.check:
            check(table)
            check_files(table)
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    groups = {}
    for case in table.cases:
        groups[case["group"]] = groups.get(case["group"], 0) + 1
    print(f"{len(table.cases)} cases {groups}, {len(files)} files, {size} bytes")


if __name__ == "__main__":
    main()
