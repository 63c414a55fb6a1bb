"""Group A of tests/golden/checkpoints.py: heads, and what self-supervised training leaves."""

import argparse
from collections import OrderedDict

import torch

from checkpoint_files import legacy, tensors
from checkpoint_networks import CLASSES, TWO, Net, prefixed, sequential


def merged(*states):
    return OrderedDict(pair for state in states for pair in state.items())


def heads(table):
    table.group = "heads"
    classifiers(table)
    contrastive(table)
    distillation(table)
    unusual_heads(table)


def classifiers(table):
    net = Net("head_fc", **TWO, batches=True)
    table.add(
        "head_fc",
        "torchvision: state_dict() of a ResNet",
        legacy(net.state()),
        net,
        classify=True,
        image=[{}],
    )
    net = Net("head_fc_no_bias")
    state = net.state(bias=False)
    table.add(
        "head_fc_no_bias", "fc = Linear(bias=False)", legacy(state), net, classify=True, bias=False
    )
    for key, about in {
        "fc.1": "fc = Sequential(Dropout, Linear), as in fine-tuning tutorials",
        "last_linear": "pretrainedmodels (Cadene)",
        "classifier": "a module that names its linear layer classifier",
        "classifier.1": "classifier = Sequential(Dropout, Linear)",
        "head": "a module that names its linear layer head",
        "head.fc": "timm: ClassifierHead",
        "linear": "a module that names its linear layer linear",
    }.items():
        name = "head_" + key.replace(".", "_")
        net = Net(name)
        table.add(name, about, legacy(net.state(key)), net, classify=True)
    net = Net("head_one_class")
    net.weight, net.bias = net.weight[:1], net.bias[:1]
    table.add(
        "head_one_class",
        "a detector of one class, trained with BCEWithLogitsLoss; the probability is a sigmoid",
        legacy(net.state()),
        net,
        classify=True,
    )
    net = Net("head_none", batches=True)
    table.add("head_none", "a backbone whose fc is Identity", legacy(net.body), net)
    net = Net("head_linear_probe")
    state = merged(prefixed("backbone.", net.body), prefixed("probe.", net.state()))
    state = OrderedDict(
        (key.replace("probe.fc.", "probe."), value)
        for key, value in state.items()
        if not key.startswith("probe.") or ".fc." in key
    )
    table.add(
        "head_linear_probe",
        "a linear probe beside a frozen backbone, as in evaluations of CLIP and DINO",
        legacy(state),
        net,
        classify=True,
    )


def projector(net, key, width=6):
    """Linear, BatchNorm, ReLU, Linear: `key`.0, .1 and .3."""
    return merged(
        net.linear(f"{key}.0", width, net.features),
        net.batch_norm(f"{key}.1", width),
        net.linear(f"{key}.3", width, width),
    )


def contrastive(table):
    queue = {
        "module.queue": torch.zeros(6, 8),
        "module.queue_ptr": torch.zeros(1, dtype=torch.long),
    }
    for version in (1, 2):
        name = f"moco_v{version}"
        q, k = Net(name), Net(name + "_k")

        def head(net, width=6):
            if version == 1:
                return net.linear("fc", width, net.features)
            return merged(
                net.linear("fc.0", net.features, net.features),
                net.linear("fc.2", width, net.features),
            )

        state = merged(
            prefixed("module.encoder_q.", merged(q.body, head(q))),
            prefixed("module.encoder_k.", merged(k.body, head(k))),
            queue,
        )
        saved = {
            "epoch": 200,
            "arch": "resnet_tiny",
            "state_dict": state,
            "optimizer": {"state": {}},
        }
        table.add(
            name,
            f"MoCo v{version}: the trained encoder and its momentum copy; linear evaluation takes "
            "encoder_q",
            legacy(saved),
            ext=".pth.tar",
            refused=["--prefix module.encoder_q.", "module.encoder_k."],
            hints=[
                (["--prefix", "module.encoder_q."], q),
                (["--prefix", "module.encoder_k."], k),
            ],
        )
    net = Net("moco_v2_query_only", batches=True)
    head = merged(
        net.linear("fc.0", net.features, net.features), net.linear("fc.2", 6, net.features)
    )
    table.add(
        "moco_v2_query_only",
        "MoCo v2 without the momentum encoder",
        legacy({"state_dict": prefixed("module.encoder_q.", merged(net.body, head))}),
        net,
        ext=".pth.tar",
        notes=["fc.0"],
    )
    base, momentum = Net("moco_v3"), Net("moco_v3_momentum")
    state = merged(
        prefixed("module.base_encoder.", merged(base.body, projector(base, "fc"))),
        prefixed("module.momentum_encoder.", merged(momentum.body, projector(momentum, "fc"))),
        base.linear("module.predictor.0", 6, 6),
    )
    table.add(
        "moco_v3",
        "MoCo v3: base_encoder and momentum_encoder",
        legacy({"epoch": 300, "arch": "resnet_tiny", "state_dict": state}),
        ext=".pth.tar",
        refused=["--prefix module.base_encoder.", "module.momentum_encoder."],
        hints=[
            (["--prefix", "module.base_encoder."], base),
            (["--prefix", "module.momentum_encoder."], momentum),
        ],
    )
    net = Net("simclr_fc")
    head = merged(
        net.linear("fc.0", net.features, net.features), net.linear("fc.2", 6, net.features)
    )
    table.add(
        "simclr_fc",
        "sthalles/SimCLR: the projection head is backbone.fc",
        legacy(
            {
                "epoch": 100,
                "arch": "resnet_tiny",
                "state_dict": prefixed("backbone.", merged(net.body, head)),
                "optimizer": {"state": {}, "param_groups": []},
            }
        ),
        net,
        ext=".pth.tar",
        notes=["fc.0"],
    )
    net = Net("simclr_projector")
    state = merged(
        prefixed("encoder.", net.body), net.linear("projector.0", 6, net.features, False)
    )
    state.update(net.linear("projector.2", 6, 6, False))
    table.add(
        "simclr_projector",
        "Spijkervet/SimCLR: encoder and projector",
        legacy(state),
        net,
        ext=".tar",
        notes=["projector"],
    )
    net = Net("simsiam")
    state = merged(
        prefixed("module.encoder.", merged(net.body, projector(net, "fc"))),
        net.linear("module.predictor.0", 4, 6, False),
        net.batch_norm("module.predictor.1", 4),
        net.linear("module.predictor.3", 6, 4),
    )
    table.add(
        "simsiam",
        "SimSiam: the projector is encoder.fc, and a predictor",
        legacy({"epoch": 100, "arch": "resnet_tiny", "state_dict": state}),
        net,
        ext=".pth.tar",
        notes=["predictor"],
    )
    net = Net("swav", **TWO)
    state = merged(
        prefixed("module.", net.body),
        prefixed("module.", projector(net, "projection_head")),
        net.linear("module.prototypes", 7, 6, False),
    )
    table.add(
        "swav",
        "SwAV: prototypes are no classes of images",
        legacy(state),
        net,
        ext=".pth.tar",
        notes=["projection_head", "prototypes"],
    )
    net = Net("supcon")
    state = merged(
        prefixed("encoder.module.", net.body),
        net.linear("head.0", net.features, net.features),
        net.linear("head.2", 6, net.features),
    )
    options = argparse.Namespace(batch_size=256, model="resnet50", temp=0.07)
    table.add(
        "supcon",
        "SupContrast: DataParallel around the encoder only",
        legacy({"opt": options, "model": state, "optimizer": {"state": {}}, "epoch": 1000}),
        net,
        notes=["head"],
    )


def distillation(table):
    online, target = Net("byol"), Net("byol_target")

    def byol(net):
        return merged(
            prefixed("encoder.", sequential(net.body)),
            prefixed("projetion.", projector(net, "net")),
        )

    table.add(
        "byol_keys",
        "yaox12/BYOL-PyTorch: two state dicts under two keys, numbered layers",
        legacy({"epoch": 300, "online_network": byol(online), "target_network": byol(target)}),
        ext=".pth.tar",
        refused=["--key online_network", "--key target_network"],
        hints=[(["--key", "online_network"], online), (["--key", "target_network"], target)],
    )
    online, target = Net("byol_learner"), Net("byol_learner_target")
    state = merged(
        prefixed("online_encoder.net.", online.body),
        prefixed("online_encoder.projector.", projector(online, "0")),
        prefixed("target_encoder.net.", target.body),
        prefixed("target_encoder.projector.", projector(target, "0")),
    )
    table.add(
        "byol_learner",
        "lucidrains/byol-pytorch: the whole learner",
        legacy(state),
        ext=".pt",
        refused=["--prefix online_encoder.net.", "target_encoder.net."],
        hints=[
            (["--prefix", "online_encoder.net."], online),
            (["--prefix", "target_encoder.net."], target),
        ],
    )
    net = Net("barlow_twins", batches=True)
    state = merged(
        prefixed("module.backbone.", net.body),
        prefixed("module.", projector(net, "projector")),
        net.batch_norm("module.bn", 6),
    )
    table.add(
        "barlow_twins",
        "Barlow Twins: checkpoint.pth with a projector and a loose norm",
        legacy({"epoch": 1000, "model": state, "optimizer": {"state": {}}}),
        net,
        notes=["projector"],
    )
    net = Net("vicreg")
    state = merged(
        prefixed("module.backbone.", net.body), prefixed("module.", projector(net, "projector"))
    )
    table.add(
        "vicreg",
        "VICReg: model.pth of a training run",
        legacy({"epoch": 100, "model": state, "optimizer": {"state": {}}}),
        net,
        notes=["projector"],
    )
    student, teacher = Net("dino"), Net("dino_teacher")

    def dino(net):
        return merged(
            prefixed("backbone.", net.body),
            net.linear("head.mlp.0", 6, net.features),
            net.linear("head.mlp.2", 4, 6),
            {"head.last_layer.weight_g": torch.ones(7, 1)},
            {"head.last_layer.weight_v": net.normal(7, 4)},
        )

    table.add(
        "dino",
        "DINO: student (below module.), teacher, optimizer, arguments",
        legacy(
            {
                "student": prefixed("module.", dino(student)),
                "teacher": dino(teacher),
                "optimizer": {"state": {}},
                "epoch": 300,
                "args": argparse.Namespace(arch="resnet50", out_dim=60000),
                "dino_loss": OrderedDict(center=torch.zeros(1, 7)),
            }
        ),
        refused=["--key teacher", "--key student"],
        hints=[(["--key", "teacher"], teacher), (["--key", "student"], student)],
    )
    net = Net("dino_teacher_only", batches=True)
    table.add(
        "dino_teacher_only",
        "DINO: only the teacher",
        legacy({"teacher": dino(net)}),
        net,
        notes=["head.mlp"],
    )


def unusual_heads(table):
    net = Net("head_gem")
    table.add(
        "head_gem",
        "image retrieval: GeM pooling, whose exponent is pool.p, is not the mean",
        legacy(merged(net.body, {"pool.p": torch.tensor([3.0])})),
        refused=["pool.p", "GeM"],
        features="ok",
    )
    net = Net("head_metric_mlp")
    state = merged(
        net.body,
        net.linear("embedding.0", 6, net.features),
        net.batch_norm("embedding.1", 6),
        net.linear("embedding.3", 4, 6),
    )
    table.add(
        "head_metric_mlp",
        "metric learning: an MLP after the mean",
        legacy(state),
        net,
        classify=["embedding", "embed"],
        notes=["embedding.0"],
    )
    net = Net("head_two_tasks")
    state = merged(
        net.body, net.linear("fc_age", 6, net.features), net.linear("fc_gender", 2, net.features)
    )
    table.add(
        "head_two_tasks",
        "multi-task learning: two linear heads",
        legacy(state),
        net,
        classify=["fc_age", "fc_gender", "embed"],
        notes=["fc_age", "fc_gender"],
    )
    net = Net("head_bnneck")
    state = merged(
        prefixed("base.", net.body),
        net.batch_norm("bottleneck", net.features),
        net.linear("classifier", CLASSES, net.features, False),
    )
    table.add(
        "head_bnneck",
        "reid-strong-baseline: a norm (BNNeck) between the mean and the classifier",
        legacy(state),
        net,
        classify=["bottleneck", "embed"],
        notes=["bottleneck"],
    )
    net = Net("head_arcface")
    state = merged(
        prefixed("backbone.", net.body),
        {"margin.weight": net.normal(CLASSES, net.features)},
    )
    table.add(
        "head_arcface",
        "ArcFace: class centres of a cosine margin, no linear layer",
        legacy(state),
        net,
        classify=["margin.weight", "embed"],
        notes=["margin.weight"],
    )
    net = Net("head_fastai", **TWO)
    body = prefixed("0.", sequential(net.body, 2))
    state = merged(
        body,
        net.batch_norm("1.2", 2 * net.features),
        net.linear("1.4", 6, 2 * net.features, False),
        net.batch_norm("1.6", 6),
        net.linear("1.8", CLASSES, 6, False),
    )
    table.add(
        "head_fastai",
        "fastai: numbered layers below 0., and a head on the mean and maximum below 1.",
        legacy({"model": state, "opt": {"state": [], "hypers": []}}),
        net,
        notes=["1.4"],
    )
    net = Net("head_wrong_width")
    state = merged(net.body, net.linear("fc", CLASSES, 4 * net.features))
    table.add(
        "head_wrong_width",
        "fc on the flattened 2x2 map of small images, not on its mean",
        legacy(state),
        net,
        classify=["fc.weight", "embed"],
        notes=["fc.weight"],
    )
    net = Net("head_1x1_convolution")
    state = net.state()
    state["fc.weight"] = state["fc.weight"][:, :, None, None]
    table.add(
        "head_1x1_convolution",
        "a fully convolutional classifier: fc is a 1x1 convolution",
        tensors(state),
        net,
        ext=".safetensors",
        classify=True,
    )
