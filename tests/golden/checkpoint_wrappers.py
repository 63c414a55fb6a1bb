"""Group B of tests/golden/checkpoints.py: what surrounds a network in a file."""

from collections import OrderedDict

import torch

from checkpoint_files import Python2, filled, foreign, legacy, plain_pickle, tensors
from checkpoint_heads import merged
from checkpoint_networks import (
    TWO,
    Net,
    prefixed,
    sequential,
)

SGD = {
    "state": {0: {"momentum_buffer": torch.ones(2, 4, 1, 1)}},
    "param_groups": [{"lr": 0.1, "momentum": 0.9, "params": [0]}],
}


def wrappers(table):
    table.group = "wrappers"
    outer_keys(table)
    averages(table)
    prefixes(table)
    frameworks(table)
    tasks(table)
    two_networks(table)


def outer_keys(table):
    for key, about, rest in (
        (
            "state_dict",
            "PyTorch's ImageNet example",
            {"epoch": 90, "arch": "resnet_tiny", "best_acc1": torch.tensor(76.1), "optimizer": SGD},
        ),
        ("model", "torchvision's reference scripts", {"epoch": 9, "optimizer": SGD}),
        ("model_state_dict", "PyTorch's tutorial on saving", {"epoch": 5, "loss": 0.4}),
        ("net", "pytorch-cifar's scripts", {"acc": 93.0, "epoch": 199}),
        ("network", "training scripts", {"step": 1000}),
        ("weights", "training scripts", {"version": "1.0"}),
        ("model_state", "training scripts", {"best": 0.9}),
        ("params", "BasicSR", {}),
        ("module", "DeepSpeed: mp_rank_00_model_states.pt", {"dp_world_size": 8, "ds_config": {}}),
    ):
        name = f"key_{key}"
        net = Net(name)
        saved = {**rest, key: net.state()}
        table.add(name, about, legacy(saved), net, classify=True)
    net = Net("key_four_deep")
    state = prefixed("_feature_blocks.", net.body)
    saved = {"classy_state_dict": {"base_model": {"model": {"trunk": state, "heads": {}}}}}
    table.add("key_four_deep", "VISSL: a state dict four keys deep", legacy(saved), net)
    net = Net("key_places365")
    saved = {
        "epoch": 94,
        "arch": "resnet_tiny",
        "state_dict": prefixed("module.", net.state()),
        "best_prec1": 55.2,
    }
    table.add(
        "key_places365",
        "Places365: written by Python 2, whose strings are bytes",
        legacy(saved, Python2),
        net,
        ext=".pth.tar",
        classify=True,
    )


def averages(table):
    for name, plain, average, about in (
        ("ema_timm", "state_dict", "state_dict_ema", "timm: weights and their average"),
        ("ema_lower", "state_dict", "ema_state_dict", "training scripts: weights and average"),
        ("ema_torchvision", "model", "model_ema", "torchvision's references: weights, average"),
    ):
        net, ema = Net(name), Net(name + "_average")
        state = ema.state()
        if average == "model_ema":
            state = prefixed("module.", state)
            state["n_averaged"] = torch.tensor(100)
        saved = {"epoch": 3, "arch": "resnet_tiny", plain: net.state(), average: state}
        table.add(
            name,
            about,
            legacy(saved),
            net,
            ext=".pth.tar",
            classify=True,
            notes=[average],
            hints=[(["--key", average], ema)],
        )
    net = Net("ema_only")
    table.add(
        "ema_only",
        "only the averaged weights",
        legacy({"model_ema": prefixed("module.", net.state())}),
        net,
        classify=True,
    )


def prefixes(table):
    abouts = {
        "module.": "DataParallel",
        "model.": "a wrapper with the attribute model",
        "_orig_mod.": "torch.compile",
        "module._orig_mod.": "DistributedDataParallel around torch.compile",
        "_orig_mod.module.": "torch.compile around DistributedDataParallel",
        "_fsdp_wrapped_module.": "FSDP",
        "net.": "a wrapper with the attribute net",
        "resnet.": "a wrapper with the attribute resnet",
        "backbone.": "a wrapper with the attribute backbone",
        "backbone.body.": "torchvision's IntermediateLayerGetter",
        "base_model.": "a wrapper with the attribute base_model",
        "feature_extractor.": "a wrapper with the attribute feature_extractor",
        "encoder.": "a wrapper with the attribute encoder",
        "encoder.model.": "an encoder with the attribute model",
        "model.backbone.": "a Lightning module around a wrapper",
        "features.": "a wrapper with the attribute features",
        "base.": "a wrapper with the attribute base",
        "trunk.": "pytorch-metric-learning",
        "timm_model.": "transformers' TimmWrapperModel",
        "model.module.vision.resnet.": "four levels",
        "image_tower_2.": "a name of one's own",
    }
    for index, (prefix, about) in enumerate(abouts.items()):
        name = "prefix_" + prefix.strip("._").replace(".", "_").replace("__", "_")
        net = Net(name)
        state = prefixed(prefix, net.state())
        if index % 2:
            table.add(name, about, tensors(state), net, ext=".safetensors", classify=True)
        else:
            table.add(name, about, legacy(state), net, classify=True)
    net = Net("prefix_radimagenet")
    table.add(
        "prefix_radimagenet",
        "RadImageNet: numbered layers below backbone.",
        legacy(prefixed("backbone.", sequential(net.body))),
        net,
        ext=".pt",
    )


def frameworks(table):
    net = Net("lightning", batches=True)
    attributes = foreign("lightning.fabric.utilities.data.AttributeDict", dict)(lr=0.1, arch="r50")
    saved = {
        "epoch": 2,
        "global_step": 300,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": prefixed("model.", net.state()),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 3}}}},
        "callbacks": {
            "ModelCheckpoint{'monitor': 'val_loss', 'mode': 'min'}": {
                "best_model_score": torch.tensor(0.3),
                "best_model_path": "last.ckpt",
            }
        },
        "optimizer_states": [SGD],
        "lr_schedulers": [{"last_epoch": 2, "_last_lr": [0.1]}],
        "hparams_name": "kwargs",
        "hyper_parameters": attributes,
    }
    table.add("lightning", "Lightning: .ckpt", saved, net, ext=".ckpt", classify=True)
    net = Net("lightning_metrics")
    state = merged(
        prefixed("model.", net.state()),
        {"criterion.weight": torch.ones(5), "val_acc.confmat": torch.zeros(5, 5)},
    )
    table.add(
        "lightning_metrics",
        "Lightning: a weighted loss and a metric beside the network",
        legacy({"state_dict": state, "global_step": 3, "hyper_parameters": {"lr": 0.1}}),
        net,
        ext=".ckpt",
        classify=True,
        notes=["criterion.weight"],
    )
    net = Net("accelerate")
    table.add(
        "accelerate",
        "accelerate: a folder with pytorch_model.bin and states of the training",
        {
            "pytorch_model.bin": legacy(net.state()),
            "scheduler.bin": legacy({"last_epoch": 3}),
            "random_states_0.pkl": plain_pickle({"step": 3}),
        },
        net,
        ext="",
        classify=True,
    )
    net = Net("mmpretrain")
    history = foreign("mmengine.logging.history_buffer.HistoryBuffer")
    hub = {"log_scalars": OrderedDict({"train/lr": filled(history, _max_length=3)})}
    saved = {
        "meta": {"epoch": 100, "mmengine_version": "0.8.0", "dataset_meta": {"CLASSES": ["a"]}},
        "message_hub": hub,
        "state_dict": merged(
            prefixed("backbone.", net.body),
            {"head.fc.weight": net.weight, "head.fc.bias": net.bias},
        ),
    }
    table.add("mmpretrain", "mmpretrain: backbone., head.fc. and meta", saved, net, classify=True)
    net = Net("mmpretrain_data_preprocessor", batches=True)
    state = merged(
        prefixed("backbone.", net.body), {"head.fc.weight": net.weight, "head.fc.bias": net.bias}
    )
    state["data_preprocessor.mean"] = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    state["data_preprocessor.std"] = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    table.add(
        "mmpretrain_data_preprocessor",
        "mmengine: with the buffers of its data preprocessor",
        legacy({"meta": {}, "state_dict": state}),
        net,
        classify=True,
        notes=["data_preprocessor"],
    )


FPN = {"fpn.inner_blocks.0.0.weight": (4, 8, 1, 1), "fpn.layer_blocks.0.0.weight": (4, 4, 3, 3)}


def extra(net, shapes):
    return {key: net.normal(*shape) for key, shape in shapes.items()}


def tasks(table):
    """Networks of detection and segmentation around a backbone."""
    four = {"depths": (2, 1, 1, 1), "planes": (1, 2, 3, 4)}
    net = Net("deeplabv3", dilate=(False, True, True), **four)
    head = {
        "classifier.0.convs.0.0.weight": (4, 16, 1, 1),
        "classifier.0.convs.1.0.weight": (4, 16, 3, 3),
        "classifier.4.weight": (5, 4, 1, 1),
        "aux_classifier.0.weight": (4, 12, 3, 3),
        "aux_classifier.4.weight": (5, 4, 1, 1),
    }
    options = ["--replace-stride-with-dilation", "false,true,true"]
    table.add(
        "deeplabv3",
        "torchvision: deeplabv3_resnet50, whose last two stages are dilated",
        legacy(merged(prefixed("backbone.", net.body), extra(net, head))),
        net,
        options=options,
        notes=["classifier", "aux_classifier"],
    )
    table.add(
        "deeplabv3_unset",
        "the same without the option: the shapes do not show the dilation, the head suggests it",
        None,
        file="deeplabv3.pth",
        refused=["--replace-stride-with-dilation false,true,true"],
        features="refused",
        hints=[(options, net)],
    )
    net = Net("mmsegmentation", **TWO)
    head = {
        "decode_head.conv_seg.weight": (5, 4, 1, 1),
        "decode_head.psp_modules.0.1.conv.weight": (4, 16, 1, 1),
        "auxiliary_head.conv_seg.weight": (5, 4, 1, 1),
    }
    state = merged(prefixed("backbone.", net.body), extra(net, head))
    table.add(
        "mmsegmentation",
        "mmsegmentation: UPerNet, whose backbone is not dilated",
        legacy({"meta": {"CLASSES": ("road", "car"), "mmseg_version": "0.5"}, "state_dict": state}),
        net,
        notes=["decode_head"],
    )
    net = Net("faster_rcnn", **TWO)
    head = {
        "rpn.head.conv.0.0.weight": (4, 4, 3, 3),
        "roi_heads.box_predictor.cls_score.weight": (5, 4),
        **{"backbone." + key: shape for key, shape in FPN.items()},
    }
    table.add(
        "faster_rcnn",
        "torchvision: fasterrcnn_resnet50_fpn, frozen norms",
        legacy(merged(prefixed("backbone.body.", net.body), extra(net, head))),
        net,
        notes=["backbone.fpn", "roi_heads", "rpn"],
    )
    net = Net("detr", **TWO)
    head = {"transformer.encoder.layers.0.linear1.weight": (4, 4), "class_embed.weight": (6, 4)}
    table.add(
        "detr",
        "DETR: the backbone below backbone.0.body.",
        legacy({"model": merged(prefixed("backbone.0.body.", net.body), extra(net, head))}),
        net,
        notes=["transformer"],
    )
    net = Net("detr_transformers")
    head = {"model.encoder.layers.0.fc1.weight": (4, 4), "class_labels_classifier.weight": (6, 4)}
    prefix = "model.backbone.conv_encoder.model."
    table.add(
        "detr_transformers",
        "transformers: DetrForObjectDetection",
        tensors(merged(prefixed(prefix, net.body), extra(net, head)), {"format": "pt"}),
        net,
        ext=".safetensors",
        notes=["model.encoder"],
    )
    net = Net("unet")
    head = {
        "decoder.blocks.0.conv1.0.weight": (4, 16, 3, 3),
        "segmentation_head.0.weight": (1, 4, 3, 3),
    }
    table.add(
        "unet",
        "segmentation_models_pytorch: U-Net",
        legacy(merged(prefixed("encoder.", net.body), extra(net, head))),
        net,
        notes=["decoder", "segmentation_head"],
    )
    net = Net("pose_resnet")
    head = {"deconv_layers.0.weight": (16, 4, 4, 4), "final_layer.weight": (17, 4, 1, 1)}
    table.add(
        "pose_resnet",
        "human-pose-estimation.pytorch: upsampling layers after the network",
        legacy(merged(net.body, extra(net, head))),
        net,
        notes=["deconv_layers", "final_layer"],
    )


def two_networks(table):
    student, teacher = Net("two_keys"), Net("two_keys_teacher", planes=(3,))
    table.add(
        "two_keys",
        "distillation: two networks under two keys",
        legacy({"student": student.state(), "teacher": teacher.state(), "epoch": 3}),
        refused=["--key student", "--key teacher"],
        hints=[(["--key", "student"], student), (["--key", "teacher"], teacher)],
    )
    student, teacher = Net("two_prefixes"), Net("two_prefixes_teacher", planes=(3,))
    state = merged(prefixed("student.", student.state()), prefixed("teacher.", teacher.state()))
    table.add(
        "two_prefixes",
        "distillation: two networks in one state dict",
        tensors(state),
        ext=".safetensors",
        refused=["--prefix student.", "--prefix teacher."],
        hints=[(["--prefix", "student."], student), (["--prefix", "teacher."], teacher)],
    )
    rgb, depth = Net("two_branches"), Net("two_branches_depth", channels=1)
    state = merged(prefixed("rgb_net.", rgb.body), prefixed("depth_net.", depth.body))
    table.add(
        "two_branches",
        "fusion of colour and depth: two stems of different channels",
        legacy(state),
        refused=["--prefix rgb_net.", "--prefix depth_net."],
        hints=[(["--prefix", "rgb_net."], rgb)],
    )
