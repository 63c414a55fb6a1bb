"""Holds networks that `bottleneck train` has just trained against PyTorch, command by command.

    pip install torch numpy pillow safetensors timm transformers
    cargo build --release
    python tests/golden/trained.py            # trains, runs every command on the result, compares
    python tests/golden/trained.py --write    # the same, and writes tests/golden/trained/

Four classes of stripes (periods 3, 6 and 12 pixels, and none), 48 x 48 pixels, 8 epochs. For each
way to train in RUNS: `train` writes a folder; `classify`, `embed`, `features`, `run` and
`train --init` read the folder, or a copy of its `model.safetensors` alone, with no other option;
PyTorch in float64 reads the same weights, and images that Pillow prepares as `train` does. The
settings of the PyTorch network come from RUNS, not from the configuration that `train` wrote.

timm opens the folder of a network that it knows (`local-dir:`) and builds its transform from the
configuration. `train --init` starts from a network of transformers with `downsample_in_bottleneck`.
The script prints one line per comparison and fails at the first difference beyond TOLERANCE.
"""

import argparse
import json
import math
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden/trained"
TOLERANCE = 1e-5
SIDE = 48
CLASSES = {"none": 0, "period03": 3, "period06": 6, "period12": 12}
TRAINING, VALIDATION, COMMITTED = 40, 10, 3
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
THIN = {"depths": [1, 1], "planes": [8, 12], "stem": 8}
# Values of a feature map that are stored.
SAMPLES = 40
# The colours of `features`, from the least value of a channel to its largest.
VIRIDIS = np.array(
    [
        list(bytes.fromhex(colour))
        for colour in (
            "440154",
            "482878",
            "3e4989",
            "31688e",
            "26828e",
            "1f9e89",
            "35b779",
            "6ece58",
            "b5de2b",
            "fde725",
        )
    ],
    float,
)


class Run:
    """A way to train: the arguments, and what they mean to PyTorch."""

    def __init__(
        self,
        *arguments,
        size=SIDE,
        eps=1e-5,
        norm="batch",
        replace=(False,),
        stride_in_1x1=False,
        ceil_mode=False,
        shape=THIN,
    ):
        self.arguments, self.size, self.eps, self.norm = list(arguments), size, eps, norm
        self.replace, self.stride_in_1x1, self.ceil_mode = replace, stride_in_1x1, ceil_mode
        self.shape = shape


RUNS = {
    "plain": Run(),
    "crops_at_224": Run("--size", "224", "--crop", "0.08,1", size=224),
    "dilated": Run("--replace-stride-with-dilation", "true", replace=(True,)),
    "eps": Run("--eps", "1e-2", eps=1e-2),
    "identity": Run("--norm", "identity", "--lr", "0.02", norm="identity"),
    "frozen": Run("--norm", "frozen", "--lr", "0.02", norm="frozen"),
    "caffe": Run("--stride-in", "1x1", "--max-pool", "ceil", stride_in_1x1=True, ceil_mode=True),
}


class Network:
    """A ResNet of Bottlenecks in eval mode and float64, from a torchvision state dict."""

    def __init__(self, state, run):
        self.state, self.run_ = {key: value.double() for key, value in state.items()}, run

    def conv(self, x, name, stride=1, padding=0, dilation=1):
        return F.conv2d(x, self.state[name + ".weight"], None, stride, padding, dilation)

    def norm(self, x, name):
        if self.run_.norm == "identity":
            return x
        mean, var, weight, bias = (
            self.state[f"{name}.{part}"]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, self.run_.eps)

    def block(self, x, name, stride, dilation):
        first, second = (stride, 1) if self.run_.stride_in_1x1 else (1, stride)
        y = F.relu(self.norm(self.conv(x, name + ".conv1", first), name + ".bn1"))
        y = self.conv(y, name + ".conv2", second, dilation, dilation)
        y = F.relu(self.norm(y, name + ".bn2"))
        y = self.norm(self.conv(y, name + ".conv3"), name + ".bn3")
        if name + ".downsample.0.weight" in self.state:
            x = self.norm(self.conv(x, name + ".downsample.0", stride), name + ".downsample.1")
        return F.relu(y + x)

    def run(self, x):
        """Every feature map, `pooled` and `logits`."""
        x = F.relu(self.norm(self.conv(x.double(), "conv1", 2, 3), "bn1"))
        x = F.max_pool2d(x, 3, 2, 0 if self.run_.ceil_mode else 1, ceil_mode=self.run_.ceil_mode)
        maps, dilation = {"stem": x}, 1
        for stage, depth in enumerate(self.run_.shape["depths"]):
            stride, before = (1 if stage == 0 else 2), dilation
            if stage > 0 and self.run_.replace[stage - 1]:
                dilation, stride = dilation * 2, 1
            for index in range(depth):
                first = index == 0
                x = self.block(
                    x,
                    f"layer{stage + 1}.{index}",
                    stride if first else 1,
                    before if first else dilation,
                )
            maps[f"layer{stage + 1}"] = x
        pooled = x.mean((2, 3))
        logits = F.linear(pooled, self.state["fc.weight"], self.state["fc.bias"])
        return {**maps, "pooled": pooled, "logits": logits}


def stripes(period, random):
    """An image of stripes, or of noise where the period is 0, in two random colours."""
    angle, phase = random.uniform(0, math.pi), random.uniform(0, 2 * math.pi)
    y, x = np.mgrid[:SIDE, :SIDE]
    if period:
        along = x * math.cos(angle) + y * math.sin(angle)
        wave = 0.5 + 0.5 * np.sin(2 * math.pi * along / period + phase)
    else:
        wave = np.full((SIDE, SIDE), random.uniform(0.2, 0.8))
    low, high = random.uniform(0, 110, 3), random.uniform(140, 255, 3)
    values = low + wave[..., None] * (high - low) + random.normal(0, 6, (SIDE, SIDE, 1))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def write_images(folder, count, seed):
    random = np.random.default_rng(seed)
    for name, period in CLASSES.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            stripes(period, random).save(folder / name / f"{index:02}.png", optimize=True)


def prepared(path, size, mean=MEAN, std=STD, resample=Image.BILINEAR):
    """As `train` prepares an image for validation: stretched to a square, normalised in float32."""
    image = Image.open(path).convert("RGB").resize((size, size), resample)
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255)
    return (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


class Checks:
    """The program, and what it says against what is expected."""

    def __init__(self, program):
        self.program, self.lines = program, []

    def bottleneck(self, *arguments):
        command = [str(self.program), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
        return done

    def near(self, what, found, expected, tolerance=TOLERANCE):
        found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
        assert found.shape == expected.shape, (what, found.shape, expected.shape)
        error = np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30)
        self.say(f"{what}: off by {error:.1e} of the largest value", error <= tolerance)

    def same(self, what, found, expected):
        self.say(f"{what}: {found}", found == expected, f", expected {expected}")

    def say(self, line, good, why=""):
        print(("ok    " if good else "WRONG ") + line + ("" if good else why), flush=True)
        self.lines.append(line)
        if not good:
            raise SystemExit("the program and PyTorch differ")


def images_of(folder):
    """The images of a folder in the program's order, and the class of each."""
    paths = [
        (path, index)
        for index, name in enumerate(sorted(CLASSES))
        for path in sorted((folder / name).iterdir())
    ]
    return [path for path, _ in paths], [index for _, index in paths]


def train_arguments(run):
    depths, planes = (",".join(map(str, run.shape[key])) for key in ("depths", "planes"))
    usual = {
        "--model": "bottleneck",
        "--depths": depths,
        "--planes": planes,
        "--stem-planes": run.shape["stem"],
        "--size": SIDE,
        "--epochs": 8,
        "--batch": 16,
        "--lr": 0.1,
        "--warmup": 1,
        "--crop": "0.5,1",
        "--seed": 1,
    }
    for name in run.arguments[::2]:
        usual.pop(name, None)
    return [str(part) for pair in usual.items() for part in pair] + run.arguments


def freeze(*parts):
    return [argument for part in parts for argument in ("--freeze", part)]


def by_class(verdicts):
    """The probabilities of `classify --json`, in the order of the classes."""
    in_order = (
        sorted(verdict["classes"], key=lambda guess: guess["class"]) for verdict in verdicts
    )
    return [[guess["probability"] for guess in guesses] for guesses in in_order]


def log_of(folder):
    lines = [line.split(",") for line in (folder / "log.csv").read_text().splitlines()]
    return dict(zip(lines[0], lines[-1]))


def follow(checks, name, run, out, images, work):
    """Runs every command on what `train` wrote. Returns PyTorch's outputs."""
    paths, classes = images_of(images)
    network = Network(load_file(out / "model.safetensors"), run)
    inputs = torch.stack([prepared(path, run.size) for path in paths])
    expected = {key: value.numpy() for key, value in network.run(inputs).items()}
    log = log_of(out)
    logits = torch.from_numpy(expected["logits"])
    loss = F.cross_entropy(logits, torch.tensor(classes)).item()
    checks.near(f"{name}: validation loss of train", float(log["validation_loss"]), loss)
    right = round(float(log["validation_accuracy"]) * len(paths))
    checks.same(
        f"{name}: right by PyTorch", int((logits.argmax(1).numpy() == classes).sum()), right
    )

    alone = work / f"{name}-alone"
    alone.mkdir()
    shutil.copy(out / "model.safetensors", alone / "m.safetensors")
    for source in [out / "model.safetensors", out, alone / "m.safetensors"]:
        label = f"{name}: {source.relative_to(work)}"
        said = json.loads(
            checks.bottleneck("classify", "--weights", source, "--json", images).stdout
        )
        checks.same(
            f"{label}: images in order", [v["picture"] for v in said] == list(map(str, paths)), True
        )
        first = [verdict["classes"][0] for verdict in said]
        found = sum(guess["class"] == wanted for guess, wanted in zip(first, classes))
        checks.same(f"{label}: right by classify of {len(paths)}", found, right)
        names = sorted(CLASSES)
        checks.same(
            f"{label}: class names", all(g["label"] == names[g["class"]] for g in first), True
        )
        checks.near(f"{label}: probabilities", by_class(said), logits.softmax(1))
        vectors = work / "vectors.npy"
        checks.bottleneck("embed", "--weights", source, "--out", vectors, images)
        checks.near(f"{label}: embed", np.load(vectors), expected["pooled"])
        vectors.unlink()
        (work / "vectors.npy.json").unlink()
        save_file({"input": inputs}, work / "in.safetensors")
        checks.bottleneck(
            "run",
            "--weights",
            source,
            "--input",
            work / "in.safetensors",
            "--output",
            work / "out.safetensors",
            "--features",
        )
        for key, value in load_file(work / "out.safetensors").items():
            checks.near(f"{label}: run: {key}", value, expected[key])
        maps = work / "maps"
        checks.bottleneck(
            "features", "--weights", source, "--picture", paths[-1], "--png", maps, "--channels", 1
        )
        check_maps(checks, label, maps, run, paths[-1], {k: v[-1] for k, v in expected.items()})
        shutil.rmtree(maps)
        again = work / f"{name}-again"
        frozen = freeze("conv1", *([] if run.norm == "identity" else ["bn1"]), "layer1", "layer2")
        checks.bottleneck(
            "train",
            "--data",
            images,
            "--validation",
            images,
            "--out",
            again,
            "--init",
            source,
            *frozen,
            "--batch",
            8,
            "--lr",
            0,
            "--epochs",
            1,
        )
        checks.near(
            f"{label}: train --init: validation loss", float(log_of(again)["validation_loss"]), loss
        )
        shutil.rmtree(again)
    return expected, loss, right


def check_maps(checks, label, maps, run, path, expected):
    """The files of `features`: the network's input, and the channel with the largest variance."""
    seen = np.array(Image.open(path).convert("RGB").resize((run.size, run.size), Image.BILINEAR))
    overview = np.array(Image.open(maps / "overview.png").convert("RGB"))
    shown = overview[2 : 2 + run.size, 2 : 2 + run.size]
    checks.same(f"{label}: features: the image as it is seen", bool((shown == seen).all()), True)
    for key in ("stem", "layer1", "layer2"):
        channels = expected[key]
        channel = max(channels, key=lambda c: c.var())
        share = (channel - channel.min()) / max(channel.max() - channel.min(), 1e-30)
        sheet = np.array(Image.open(maps / f"{key}.png").convert("RGB")).astype(int)
        height, width = channel.shape
        scale = (sheet.shape[1] - 4) // width
        tile = sheet[2 : 2 + height * scale : scale, 2 : 2 + width * scale : scale]
        wanted = colours(share)
        off = np.abs(tile - wanted).max()
        checks.say(f"{label}: features: {key}.png: off by {off} of 255 levels", off <= 1)


def colours(share):
    """The colours of `features` for numbers from 0 to 1."""
    place = share * (len(VIRIDIS) - 1)
    at = np.minimum(place.astype(int), len(VIRIDIS) - 2)
    part = (place - at)[..., None]
    return np.round(VIRIDIS[at] + (VIRIDIS[at + 1] - VIRIDIS[at]) * part).astype(int)


def check_timm(checks, data, validation, work):
    """Networks with names: timm opens the folder and computes the same with its own transform."""
    import timm
    from timm.data import create_transform, resolve_data_config

    for name, arguments in {
        "resnet18": ["--model", "resnet18"],
        "resnet50 at output stride 8": [
            "--model",
            "resnet50",
            "--replace-stride-with-dilation",
            "false,true,true",
        ],
    }.items():
        out = work / name.replace(" ", "-")
        checks.bottleneck(
            "train",
            "--data",
            data,
            "--validation",
            validation,
            "--out",
            out,
            *arguments,
            "--size",
            48,
            "--epochs",
            1,
            "--batch",
            32,
            "--lr",
            0.01,
        )
        model = timm.create_model(f"local-dir:{out}", pretrained=True).eval().double()
        transform = create_transform(**resolve_data_config(model.pretrained_cfg))
        paths, _ = images_of(validation)
        inputs = torch.stack(
            [transform(Image.open(path).convert("RGB")) for path in paths]
        ).double()
        with torch.no_grad():
            expected = model(inputs).softmax(1)
        said = json.loads(
            checks.bottleneck("classify", "--weights", out, "--json", validation).stdout
        )
        checks.near(f"timm's {name} of local-dir: probabilities", by_class(said), expected)
        checks.same(
            f"timm's {name}: label names",
            list(model.pretrained_cfg["label_names"]),
            sorted(CLASSES),
        )


def hugging_face(folder, **config):
    """A ResNet of transformers with random weights and statistics, saved in a folder."""
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(5)
    names = dict(enumerate(sorted(CLASSES)))
    model = ResNetForImageClassification(
        ResNetConfig(
            embedding_size=8,
            hidden_sizes=[16, 32],
            depths=[1, 1],
            layer_type="bottleneck",
            id2label=names,
            **config,
        )
    ).eval()
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif key.endswith(("running_mean", "bias")):
                value.uniform_(-0.25, 0.25)
    model.save_pretrained(folder)
    return model.double()


def check_hugging_face(checks, validation, work):
    """`train --init` of a frozen network of transformers' whose first convolutions stride."""
    folder = work / "hf"
    model = hugging_face(folder, downsample_in_bottleneck=True)
    paths, classes = images_of(validation)
    inputs = torch.stack([prepared(path, SIDE) for path in paths]).double()
    with torch.no_grad():
        logits = model(inputs).logits
    loss = F.cross_entropy(logits, torch.tensor(classes)).item()
    out = work / "of-hf"
    arguments = [
        "--data",
        validation,
        "--validation",
        validation,
        "--out",
        out,
        "--init",
        folder,
        "--size",
        SIDE,
        "--batch",
        "8",
        "--lr",
        0,
        "--epochs",
        1,
    ]
    arguments += freeze("conv1", "bn1", "layer1", "layer2")
    checks.bottleneck("train", *arguments)
    checks.near(
        "transformers' downsample_in_bottleneck: train --init: validation loss",
        float(log_of(out)["validation_loss"]),
        loss,
    )
    return folder, loss


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/bottleneck")
    parser.add_argument("--write", action="store_true", help="write tests/golden/trained/")
    parser.add_argument("--only", help="the runs whose name contains this, and nothing else")
    args = parser.parse_args()
    checks = Checks(args.program)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        work = Path(folder)
        write_images(work / "train", TRAINING, 1)
        write_images(work / "val", VALIDATION, 2)
        golden = {}
        for name, run in RUNS.items():
            if args.only and args.only not in name:
                continue
            out = work / name
            checks.bottleneck(
                "train",
                "--data",
                work / "train",
                "--validation",
                work / "val",
                "--out",
                out,
                *train_arguments(run),
            )
            _, loss, right = follow(checks, name, run, out, work / "val", work)
            golden[name] = (out, run)
        if not args.only:
            check_timm(checks, work / "train", work / "val", work)
            folder, _ = check_hugging_face(checks, work / "val", work)
            if args.write:
                write_goldens(golden, folder, work)
    print(f"{len(checks.lines)} comparisons, none beyond {TOLERANCE}")


def write_goldens(golden, hugging_face_folder, work):
    """What the tests read: some images, what `train` wrote, and PyTorch's outputs for them."""
    shutil.rmtree(GOLDEN, ignore_errors=True)
    for name in CLASSES:
        (GOLDEN / "images" / name).mkdir(parents=True)
        for index in range(COMMITTED):
            shutil.copy(work / "val" / name / f"{index:02}.png", GOLDEN / "images" / name)
    paths, classes = images_of(GOLDEN / "images")
    cases = {}
    for name, (out, run) in golden.items():
        (GOLDEN / name).mkdir()
        for file in ("model.safetensors", "config.json"):
            shutil.copy(out / file, GOLDEN / name)
        network = Network(load_file(out / "model.safetensors"), run)
        found = network.run(torch.stack([prepared(path, run.size) for path in paths]))
        cases[name] = {
            "size": run.size,
            "arguments": train_arguments(run),
            "loss": F.cross_entropy(found["logits"], torch.tensor(classes)).item(),
            "right": int((found["logits"].argmax(1) == torch.tensor(classes)).sum()),
            "logits": rounded(found["logits"].flatten()),
            "pooled": rounded(found["pooled"].flatten()),
            "maps": {
                key: {"shape": list(value.shape), "values": sampled(value)}
                for key, value in found.items()
                if key not in ("logits", "pooled")
            },
        }
    # A name with the same keys and another arithmetic, and one that only contains it.
    state = load_file(golden["plain"][0] / "model.safetensors")
    for arch in ("resnetblur50", "my_resnetblur50"):
        torch.save({"epoch": 8, "arch": arch, "state_dict": state}, GOLDEN / f"arch_{arch}.pth")
    (GOLDEN / "huggingface").mkdir()
    for file in ("model.safetensors", "config.json"):
        shutil.copy(hugging_face_folder / file, GOLDEN / "huggingface")
    model = hugging_face(work / "hf-again", downsample_in_bottleneck=True)
    logits = model(torch.stack([prepared(path, SIDE) for path in paths]).double()).logits
    loss = F.cross_entropy(logits, torch.tensor(classes)).item()
    cases["huggingface"] = {"size": SIDE, "loss": loss, "logits": rounded(logits.flatten())}
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items())
    (GOLDEN / "expected.json").write_text("{\n" + text + "\n}\n")


def rounded(values):
    return [float(f"{value:.9g}") for value in values.tolist()]


def sampled(value):
    flat = value.flatten()
    return rounded(flat[[index * flat.numel() // SAMPLES for index in range(SAMPLES)]])


if __name__ == "__main__":
    main()
