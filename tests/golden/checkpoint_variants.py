"""Group E of tests/golden/checkpoints.py: other networks, supported or not."""

from collections import OrderedDict

import torch

from checkpoint_files import legacy, tensors
from checkpoint_heads import merged
from checkpoint_keys import CAFFE, CAFFE_OPTIONS
from checkpoint_networks import TWO, Net, prefixed, pytorch_cifar, renamed
from checkpoint_table import GRAY_MEAN, GRAY_STD


def variants(table):
    table.group = "variants"
    supported(table)
    refused(table)
    other_networks(table)


def supported(table):
    net = Net("cifar_stem", **TWO, batches=True, kernel=3, stem_stride=1, pool="none")
    table.add(
        "cifar_stem",
        "CIFAR: a 3x3 stem of stride 1 without a max pool",
        legacy(net.state()),
        net,
        classify=True,
    )
    net = Net("gray_stem", **TWO, channels=1)
    gray = {"order": "L", "mean": GRAY_MEAN, "std": GRAY_STD}
    table.add(
        "gray_stem",
        "one image channel",
        legacy(net.state()),
        net,
        classify=True,
        image=[gray],
    )
    net = Net("resnext", groups=2, depths=(1, 1), planes=(4, 6), base_width=32)
    table.add(
        "resnext", "ResNeXt: groups", tensors(net.state()), net, ".safetensors", classify=True
    )
    net = Net("wide", **TWO, base_width=128)
    table.add("wide", "Wide ResNet: base_width 128", legacy(net.state()), net, classify=True)
    net = Net("dilated", depths=(1, 2), planes=(2, 3), dilate=(True,))
    table.add(
        "dilated",
        "a network trained with replace_stride_with_dilation",
        legacy(net.state()),
        net,
        options=["--replace-stride-with-dilation", "true"],
        classify=True,
    )
    net = Net("bgr_255", **TWO, scale=1 / 8)
    table.add(
        "bgr_255",
        "torchvision's network on Caffe's colours",
        legacy(net.state()),
        net,
        options=CAFFE_OPTIONS,
        classify=True,
        image=[CAFFE],
    )
    net = Net("bgr", **TWO)
    table.add(
        "bgr",
        "trained on OpenCV's images without cvtColor: BGR of 0 to 1, ImageNet's mean as for RGB",
        legacy(net.state()),
        net,
        options=["--channel-order", "bgr"],
        classify=True,
        image=[
            {"order": "BGR"},
            {"order": "BGR", "mean": (0.406, 0.456, 0.485), "std": (0.225, 0.224, 0.229)},
        ],
    )
    net = Net("basic", kind="basic", depths=(1, 1), planes=(4, 6))
    table.add("basic", "resnet18: BasicBlock", legacy(net.state()), net, classify=True)
    net = Net(
        "basic_cifar",
        kind="basic",
        depths=(1, 1),
        planes=(4, 6),
        kernel=3,
        stem_stride=1,
        pool="none",
    )
    table.add(
        "basic_cifar",
        "pytorch-cifar: ResNet18",
        legacy({"net": pytorch_cifar(net.state()), "acc": 95.0, "epoch": 199}),
        net,
        classify=True,
    )
    net = Net("four_stages", depths=(2, 1, 1, 1), planes=(1, 2, 2, 4))
    table.add(
        "four_stages", "four stages", tensors(net.state()), net, ".safetensors", classify=True
    )
    net = Net("eps_1e-3", **TWO, eps=1e-3)
    for key, value in net.body.items():
        if key.endswith("running_var"):
            net.body[key] = value * 1e-2
    table.add(
        "eps_1e-3",
        "norms with another eps, as of networks converted from TensorFlow",
        legacy(net.state()),
        net,
        options=["--eps", "1e-3"],
        classify=True,
    )
    net = Net("frozen_norms", **TWO)
    table.add(
        "frozen_norms",
        "FrozenBatchNorm2d: no num_batches_tracked",
        legacy(net.state()),
        net,
        options=["--norm", "frozen"],
        classify=True,
    )


def changed(net, rules=(), drop=(), more=None):
    """The state dict with some keys renamed, dropped (if they contain a text) and added."""
    state = {key: value for key, value in net.state().items() if not any(d in key for d in drop)}
    return merged(renamed(state, rules), more or {})


def refused(table):
    def add(name, about, words, more=None, sizes=None, **change):
        net = Net(name, **(sizes or {}))
        state = changed(net, more=more(net) if more else None, **change)
        table.add(name, about, legacy(state), refused=words)

    statistics = ("running_mean", "running_var")
    add("group_norm", "GroupNorm: a norm without statistics", ["GroupNorm"], drop=statistics)
    add(
        "instance_norm",
        "InstanceNorm without parameters: no tensors of norms",
        ["bn1.weight"],
        drop=("bn", "downsample.1"),
    )
    add(
        "resnet_d",
        "timm: resnet50d, three convolutions in the stem and averaged shortcuts",
        ["ResNet-D"],
        rules=[
            (r"conv1\.weight", "conv1.6.weight"),
            (r"(.*)downsample\.1\.(.*)", r"\1downsample.2.\2"),
            (r"(.*)downsample\.0\.(.*)", r"\1downsample.1.\2"),
        ],
        more=lambda net: {
            "conv1.0.weight": net.normal(4, 3, 3, 3),
            "conv1.3.weight": net.normal(4, 4, 3, 3),
        },
        sizes=TWO,
    )
    add(
        "squeeze_excitation",
        "timm: seresnet50",
        ["squeeze-and-excitation", "layer1.0.se."],
        more=lambda net: {
            "layer1.0.se.fc1.weight": net.normal(1, 8, 1, 1),
            "layer1.0.se.fc2.weight": net.normal(8, 1, 1, 1),
        },
    )
    add(
        "squeeze_excitation_cadene",
        "pretrainedmodels: se_resnet50, layer0 and se_module",
        ["squeeze-and-excitation"],
        more=lambda net: {"layer1.0.se_module.fc1.weight": net.normal(1, 8, 1, 1)},
    )
    add(
        "eca",
        "timm: ecaresnet",
        ["attention", "layer1.0.eca"],
        more=lambda net: {"layer1.0.eca.conv.weight": net.normal(1, 1, 3)},
    )
    add(
        "cbam",
        "CBAM: channel and spatial attention",
        ["attention", "layer1.0.cbam"],
        more=lambda net: {"layer1.0.cbam.channel.mlp.1.weight": net.normal(1, 8)},
    )
    add(
        "res2net",
        "Res2Net: several scales in a block",
        ["Res2Net"],
        rules=[
            (r"layer1\.0\.conv2\.(.*)", r"layer1.0.convs.0.\1"),
            (r"layer1\.0\.bn2\.(.*)", r"layer1.0.bns.0.\1"),
        ],
    )
    add(
        "resnest",
        "ResNeSt: split attention",
        ["ResNeSt"],
        rules=[(r"layer1\.0\.conv2\.(.*)", r"layer1.0.conv2.conv.\1")],
        more=lambda net: {"layer1.0.conv2.fc1.weight": net.normal(2, 2, 1, 1)},
    )
    add(
        "anti_aliased",
        "antialiased-cnns: filters before each stride",
        ["anti-alias"],
        rules=[(r"layer2\.0\.conv3\.(.*)", r"layer2.0.conv3.1.\1")],
        more=lambda net: {
            "maxpool.1.filt": torch.ones(4, 1, 4, 4),
            "layer2.0.conv3.0.filt": torch.ones(4, 1, 4, 4),
        },
        sizes=TWO,
    )
    add(
        "ibn",
        "IBN-Net: half of a norm is InstanceNorm",
        ["IBN"],
        rules=[(r"layer1\.0\.bn1\.(.*)", r"layer1.0.bn1.BN.\1")],
        more=lambda net: {
            "layer1.0.bn1.IN.weight": torch.ones(1),
            "layer1.0.bn1.IN.bias": torch.zeros(1),
        },
    )
    add(
        "deformable",
        "mmdetection: deformable convolutions",
        ["deformable"],
        more=lambda net: {"layer2.0.conv2_offset.bias": net.normal(18)},
        sizes=TWO,
    )
    add(
        "convolution_bias",
        "norms fused into convolutions: each has a bias",
        ["conv1.bias"],
        more=lambda net: {"conv1.bias": torch.ones(4)},
    )
    net = Net("blur_arch", **TWO)
    table.add(
        "blur_arch",
        "timm: resnetblur50, the keys of resnet50; only arch tells",
        legacy({"arch": "resnetblur50", "state_dict": net.state()}),
        refused=["resnetblur50", "anti-alias"],
    )
    net = Net("missing_convolution", **TWO)
    state = changed(net, drop=("layer2.0.conv1", "layer2.0.bn1"))
    table.add(
        "missing_convolution",
        "a convolution is missing",
        legacy(state),
        refused=["layer2.0.conv1.weight"],
    )
    net = Net("not_finite")
    state = net.state()
    state["layer1.0.conv2.weight"] = state["layer1.0.conv2.weight"].clone()
    state["layer1.0.conv2.weight"][0, 0, 0, 0] = float("nan")
    table.add(
        "not_finite",
        "training diverged: NaN in a weight",
        legacy(state),
        refused=["layer1.0.conv2.weight", "NaN"],
    )


def other_networks(table):
    net = Net("others")

    def add(name, about, words, shapes, prefix=""):
        table.add(name, about, legacy(prefixed(prefix, extra(shapes))), refused=words)

    def extra(shapes):
        return OrderedDict((key, net.normal(*shape)) for key, shape in shapes.items())

    add(
        "resnet_3d",
        "MedicalNet: convolutions in three dimensions",
        ["3D", "conv1.weight"],
        {
            "conv1.weight": (4, 1, 7, 7, 7),
            "bn1.weight": (4,),
            "bn1.bias": (4,),
            "bn1.running_mean": (4,),
            "bn1.running_var": (4,),
            "layer1.0.conv1.weight": (2, 4, 1, 1, 1),
            "layer1.0.conv2.weight": (2, 2, 3, 3, 3),
            "layer1.0.conv3.weight": (8, 2, 1, 1, 1),
        },
        "module.",
    )
    add(
        "pre_activation",
        "timm: resnetv2_50x1_bit, norms before convolutions",
        ["pre-activation"],
        {
            "stem.conv.weight": (4, 3, 7, 7),
            "stages.0.blocks.0.norm1.weight": (4,),
            "stages.0.blocks.0.norm1.bias": (4,),
            "stages.0.blocks.0.conv1.weight": (2, 4, 1, 1),
            "stages.0.blocks.0.downsample.conv.weight": (8, 4, 1, 1),
            "norm.weight": (8,),
            "norm.bias": (8,),
            "head.fc.weight": (5, 8, 1, 1),
        },
    )
    add(
        "pre_activation_cifar",
        "pytorch-cifar: PreActResNet, bn1 of a block has its input channels and the stem none",
        ["pre-activation"],
        {
            "conv1.weight": (4, 3, 3, 3),
            **{
                f"layer1.0.bn1.{part}": (4,)
                for part in ("weight", "bias", "running_mean", "running_var")
            },
            "layer1.0.conv1.weight": (2, 4, 1, 1),
            **{
                f"layer1.0.bn2.{part}": (2,)
                for part in ("weight", "bias", "running_mean", "running_var")
            },
            "layer1.0.conv2.weight": (2, 2, 3, 3),
            **{
                f"layer1.0.bn3.{part}": (2,)
                for part in ("weight", "bias", "running_mean", "running_var")
            },
            "layer1.0.conv3.weight": (8, 2, 1, 1),
            "layer1.0.shortcut.0.weight": (8, 4, 1, 1),
            "linear.weight": (5, 8),
            "linear.bias": (5,),
        },
    )
    add(
        "clip_resnet",
        "CLIP: RN50's image tower, three convolutions and an attention pool",
        ["attnpool"],
        {
            "visual.conv1.weight": (2, 3, 3, 3),
            "visual.conv2.weight": (2, 2, 3, 3),
            "visual.conv3.weight": (4, 2, 3, 3),
            "visual.bn1.weight": (2,),
            "visual.layer1.0.conv1.weight": (2, 4, 1, 1),
            "visual.layer1.0.conv2.weight": (2, 2, 3, 3),
            "visual.layer1.0.conv3.weight": (8, 2, 1, 1),
            "visual.attnpool.positional_embedding": (50, 8),
            "visual.attnpool.q_proj.weight": (8, 8),
            "token_embedding.weight": (10, 8),
            "transformer.resblocks.0.attn.in_proj_weight": (24, 8),
        },
    )
    add(
        "vit",
        "timm: a vision transformer",
        ["ViT"],
        {
            "cls_token": (1, 1, 8),
            "pos_embed": (1, 5, 8),
            "patch_embed.proj.weight": (8, 3, 4, 4),
            "blocks.0.norm1.weight": (8,),
            "blocks.0.attn.qkv.weight": (24, 8),
            "blocks.0.mlp.fc1.weight": (16, 8),
            "head.weight": (5, 8),
        },
    )
    add(
        "convnext",
        "torchvision: ConvNeXt",
        ["ConvNeXt"],
        {
            "features.0.0.weight": (4, 3, 4, 4),
            "features.1.0.layer_scale": (4, 1, 1),
            "features.1.0.block.0.weight": (4, 1, 7, 7),
            "features.1.0.block.3.weight": (16, 4),
            "classifier.2.weight": (5, 4),
        },
    )
    add(
        "convnext_timm",
        "timm: ConvNeXt",
        ["ConvNeXt"],
        {
            "stem.0.weight": (4, 3, 4, 4),
            "stages.0.blocks.0.gamma": (4,),
            "stages.0.blocks.0.conv_dw.weight": (4, 1, 7, 7),
            "stages.0.blocks.0.mlp.fc1.weight": (16, 4),
            "head.fc.weight": (5, 4),
        },
    )
    add(
        "efficientnet",
        "timm: EfficientNet",
        ["ResNet", "conv_stem.weight"],
        {
            "conv_stem.weight": (4, 3, 3, 3),
            "bn1.weight": (4,),
            "blocks.0.0.conv_dw.weight": (4, 1, 3, 3),
            "blocks.0.0.se.conv_reduce.weight": (1, 4, 1, 1),
            "classifier.weight": (5, 4),
        },
    )
    add(
        "vgg",
        "torchvision: VGG",
        ["ResNet", "features.0.weight"],
        {
            "features.0.weight": (4, 3, 3, 3),
            "features.0.bias": (4,),
            "features.2.weight": (4, 4, 3, 3),
            "classifier.0.weight": (8, 4),
        },
    )
    add(
        "adapter_only",
        "a LoRA adapter: no network",
        ["ResNet", "lora_A"],
        {
            "base_model.model.layer1.0.conv1.lora_A.weight": (2, 4, 1, 1),
            "base_model.model.layer1.0.conv1.lora_B.weight": (2, 2, 1, 1),
        },
    )
    add("head_only", "only a classifier", ["ResNet", "fc.weight"], {"fc.weight": (5, 8)})
