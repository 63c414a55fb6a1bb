"""Group C of tests/golden/checkpoints.py: names of keys."""

import json

import torch

from checkpoint_files import Python2, arrays, legacy, plain_pickle, tensors
from checkpoint_heads import merged
from checkpoint_networks import (
    TWO,
    Net,
    detectron2,
    hugging_face,
    prefixed,
    pytorch_cifar,
    renamed,
    sequential,
)
from checkpoint_wrappers import SGD, extra

# Caffe's colours: blue first, 0 to 255, only the mean is subtracted.
CAFFE = {"order": "BGR", "range": 255, "mean": (103.53, 116.28, 123.675), "std": (1, 1, 1)}
CAFFE_OPTIONS = ["--channel-order", "bgr", "--range", "255"]


def key_styles(table):
    table.group = "key styles"
    net = Net("keys_timm", **TWO, batches=True)
    config = {"architecture": "resnet_tiny", "num_classes": 5}
    table.add(
        "keys_timm",
        "timm: the keys of torchvision, safetensors",
        tensors(net.state(), {"format": "pt"}),
        net,
        ext=".safetensors",
        classify=True,
    )
    net = Net("keys_timm_folder", **TWO)
    table.add(
        "keys_timm_folder",
        "timm: the folder of push_to_hf_hub",
        {
            "model.safetensors": tensors(net.state(), {"format": "pt"}),
            "config.json": json.dumps(config).encode(),
        },
        net,
        ext="",
        classify=True,
    )
    net = Net("keys_transformers", **TWO, batches=True)
    table.add(
        "keys_transformers",
        "transformers: ResNetForImageClassification",
        tensors(hugging_face(net.state()), {"format": "pt"}),
        net,
        ext=".safetensors",
        classify=True,
    )
    net = Net("keys_transformers_model", **TWO)
    state = renamed(hugging_face(net.body), [(r"resnet\.(.*)", r"\1")])
    table.add(
        "keys_transformers_model", "transformers: ResNetModel", legacy(state), net, ext=".bin"
    )
    net = Net("keys_transformers_basic", kind="basic", depths=(1, 1), planes=(4, 6))
    table.add(
        "keys_transformers_basic",
        "transformers: resnet-18",
        legacy(hugging_face(net.state())),
        net,
        ext=".bin",
        classify=True,
    )
    numbered(table)
    of_detectron2(table)
    net = Net("keys_pytorch_cifar", **TWO, batches=True, kernel=3, stem_stride=1, pool="none")
    table.add(
        "keys_pytorch_cifar",
        "pytorch-cifar: shortcut. and linear., a 3x3 stem without a pool",
        legacy({"net": prefixed("module.", pytorch_cifar(net.state())), "acc": 93, "epoch": 199}),
        net,
        classify=True,
    )


def numbered(table):
    net = Net("keys_sequential", **TWO, batches=True)
    table.add(
        "keys_sequential",
        "Sequential(*list(resnet.children())[:-1])",
        legacy(sequential(net.body, 2)),
        net,
    )
    net = Net("keys_sequential_fc", **TWO)
    table.add(
        "keys_sequential_fc",
        "Sequential of all children: the classifier is the last number",
        legacy(sequential(net.state(), 2)),
        net,
        classify=True,
    )
    net = Net("keys_sequential_features", depths=(1, 1, 1), planes=(1, 2, 2))
    state = prefixed("features.", sequential(net.body, 3))
    state.update({"classifier.weight": net.weight, "classifier.bias": net.bias})
    table.add(
        "keys_sequential_features",
        "the same below features., and a classifier",
        legacy(state),
        net,
        classify=True,
    )
    net = Net("keys_sequential_0", **TWO)
    state = prefixed("0.", sequential(net.body, 2))
    state.update({"1.weight": net.weight, "1.bias": net.bias})
    table.add(
        "keys_sequential_0",
        "Sequential(backbone, Linear), where the backbone is numbered too",
        tensors(state),
        net,
        ext=".safetensors",
        classify=True,
    )
    net = Net("keys_sequential_of_resnet", **TWO)
    state = prefixed("0.", net.body)
    state.update({"2.weight": net.weight, "2.bias": net.bias})
    table.add(
        "keys_sequential_of_resnet",
        "Sequential(resnet, Flatten, Linear)",
        legacy(state),
        net,
        classify=True,
    )


def of_detectron2(table):
    options = ["--stride-in", "1x1", *CAFFE_OPTIONS]
    pixels = {
        "pixel_mean": torch.tensor(CAFFE["mean"]).view(3, 1, 1),
        "pixel_std": torch.ones(3, 1, 1),
    }
    net = Net("detectron2", **TWO, stride_in="1x1", scale=1 / 8)
    state = merged(
        pixels,
        prefixed("backbone.bottom_up.", detectron2(net.body)),
        extra(net, {"backbone.fpn_lateral2.weight": (4, 8, 1, 1), "roi_heads.box.weight": (4, 4)}),
    )
    table.add(
        "detectron2",
        "detectron2: model_final.pth of a detector",
        legacy({"model": state, "optimizer": SGD, "iteration": 89999}),
        net,
        options=options,
        notes=["roi_heads"],
        image=[CAFFE],
    )
    net = Net("detectron2_backbone", **TWO, scale=1 / 8)
    state = merged(detectron2(net.body), pixels)
    table.add(
        "detectron2_backbone",
        "detectron2: a backbone alone, with the stride in the 3x3",
        tensors(state),
        net,
        ext=".safetensors",
        options=["--stride-in", "3x3"],
    )
    for name, about, pickler, author in (
        ("detectron2_pickle", "detectron2: R-50.pkl, NumPy arrays", None, "torchvision"),
        ("detectron2_pickle_python2", "MSRA's R-50.pkl, from Python 2", Python2, "Caffe2"),
    ):
        net = Net(name, **TWO, stride_in="1x1", scale=1 / 8)
        state = detectron2(net.body)
        state.update({"stem.fc.weight": net.weight, "stem.fc.bias": net.bias})
        saved = {"model": arrays(state), "__author__": author, "matching_heuristics": True}
        table.add(
            name,
            about,
            plain_pickle(saved, pickler),
            net,
            ext=".pkl",
            options=options,
            classify=True,
            image=[CAFFE],
        )
    net = Net("caffe2_blobs")
    blobs = {
        "conv1_w": net.body["conv1.weight"],
        "res_conv1_bn_s": net.body["bn1.weight"],
        "res_conv1_bn_b": net.body["bn1.bias"],
        "res2_0_branch2a_w": net.body["layer1.0.conv1.weight"],
    }
    table.add(
        "caffe2_blobs",
        "Detectron 1: Caffe2's blobs, whose norms have no statistics",
        plain_pickle({"blobs": arrays(blobs), "cfg": "NUM_GPUS: 8\n"}, Python2),
        ext=".pkl",
        refused=["Caffe2"],
    )
    net = Net("caffe_resnet", **TWO, stride_in="1x1", pool="ceil", scale=1 / 8)
    caffe = {**CAFFE, "mean": (103.939, 116.779, 123.68)}
    table.add(
        "caffe_resnet",
        "ruotianluo/pytorch-resnet: Caffe's weights under torchvision's keys",
        legacy(net.state()),
        net,
        options=["--stride-in", "1x1", "--max-pool", "ceil", *CAFFE_OPTIONS],
        classify=True,
        image=[CAFFE, caffe],
    )
