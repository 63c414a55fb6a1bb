"""The table of tests/golden/checkpoints.py: cases, their files, and what they must give."""

import json
from collections import Counter

import numpy as np
import torch
from PIL import Image

from checkpoint_files import tensors, zipped
from checkpoint_networks import forward

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GRAY_MEAN, GRAY_STD = (0.449,), (0.226,)


def rounded(values):
    if values.dim() > 1:
        return [rounded(row) for row in values]
    return [float(f"{value:.9g}") for value in values.float().tolist()]


def picture():
    """40 x 30 pixels with another gradient in every channel, so that their order matters."""
    y, x = np.mgrid[0:30, 0:40]
    red = 255 * x / 39
    green = 127.5 + 127.5 * np.sin(x / 5 + y / 3)
    blue = 200 * (y / 29) ** 2 + 40 * ((x // 5 + y // 5) % 2)
    return Image.fromarray(np.stack([red, green, blue], -1).round().astype(np.uint8))


def prepared(image, order="RGB", range=1, mean=MEAN, std=STD):
    """torchvision's IMAGENET1K_V1 with Pillow. `mean` and `std` are in the network's order."""
    width, height = image.size
    short = min(width, height)
    size = [256 * side // short for side in (width, height)]
    image = image.convert("L" if order == "L" else "RGB").resize(size, Image.Resampling.BILINEAR)
    left, top = (round((side - 224) / 2) for side in size)
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32)
    pixels = pixels.reshape(224, 224, -1)[..., :: -1 if order == "BGR" else 1] / np.float32(255)
    values = (pixels * np.float32(range) - np.float32(mean)) / np.float32(std)
    return torch.from_numpy(values).permute(2, 0, 1)[None]


def apart(one, other):
    return (one - other).abs().max() > 1e-2 * one.abs().max()


class Table:
    def __init__(self, folder):
        self.folder, self.group, self.cases = folder, "", []
        rng = np.random.RandomState(1)
        self.inputs = {
            name: torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
            for name, shape in {"input": (2, 3, 33, 29), "input_gray": (2, 1, 33, 29)}.items()
        }
        self.image = picture()

    def result(self, net, options):
        x = self.inputs[self.of(net)]
        vector = net.pooled(x)
        # A test must see it if an option is ignored.
        default = {"kernel": net.settings["kernel"]}
        if net.settings != default:
            assert apart(vector, forward(net.body, x, **default)), net.settings
        return {"options": list(options), "vector": rounded(vector)}

    @staticmethod
    def of(net):
        return "input_gray" if net.body["conv1.weight"].shape[1] == 1 else "input"

    def add(
        self,
        name,
        about,
        content,
        net=None,
        ext=".pth",
        options=(),
        refused=None,
        classify=None,
        features=None,
        notes=(),
        hints=(),
        image=None,
        bias=True,
        file=None,
    ):
        """One case.

        `content` is the bytes of the file, a dict of them for a folder, an object for torch.save,
        or None for the file of another case. With `net` the file must give its vector, else
        `refused` has what the error must contain. `classify` is True for logits, or what the error
        must contain; unset, the error names `embed`. `hints` are pairs of options and a network.
        """
        self.write(file or name + ext, content)
        case = {"name": name, "group": self.group, "file": file or name + ext, "about": about}
        if net:
            case["input"] = self.of(net)
            case["embed"] = self.result(net, options)
        else:
            case["embed"] = {"refused": list(refused)}
        if classify is True:
            logits = net.logits(self.inputs[self.of(net)], bias)
            case["classify"] = {"options": list(options), "logits": rounded(logits)}
        else:
            default = ["embed"] if net else refused
            case["classify"] = {"refused": list(classify or default)}
        case["features"] = features or ("ok" if net else "refused")
        if notes:
            case["notes"] = list(notes)
        if hints:
            case["input"] = self.of(hints[0][1])
            case["hints"] = [self.result(net, options) for options, net in hints]
        if image:
            case["images"] = [self.of_image(net, way, classify, bias) for way in image]
        self.cases.append(case)

    def of_image(self, net, way, classify, bias):
        way = {"order": "RGB", "range": 1, "mean": MEAN, "std": STD, **way}
        x = prepared(self.image, **way)
        vector = net.pooled(x)
        found = {"preprocess": way, "image_vector": rounded(vector[0])}
        if way["order"] == "BGR":
            assert apart(vector, net.pooled(prepared(self.image, **{**way, "order": "RGB"})))
        if classify is True:
            probabilities = torch.softmax(net.logits(x, bias)[0], 0)
            assert probabilities.max() < 0.999, probabilities
            found["image_probabilities"] = rounded(probabilities)
        return found

    def write(self, file, content):
        if content is None:
            assert (self.folder / file).exists(), file
            return
        if not isinstance(content, (bytes, dict)) or self.is_state(content):
            content = zipped(content)
        files = content if isinstance(content, dict) else {"": content}
        for inner, raw in files.items():
            path = self.folder / file / inner
            assert not path.is_file(), path
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(raw)

    @staticmethod
    def is_state(content):
        """Whether a dict is to be saved, rather than a folder of files."""
        return isinstance(content, dict) and not (
            content and all(isinstance(value, bytes) for value in content.values())
        )

    def finish(self, versions):
        (self.folder / "input.safetensors").write_bytes(tensors(self.inputs))
        self.image.save(self.folder / "image.png")
        names = [case["name"] for case in self.cases]
        assert len(set(names)) == len(names), Counter(names).most_common(3)
        lines = ",\n".join(json.dumps(case) for case in self.cases)
        text = f'{{"made_with": {json.dumps(versions)},\n"cases": [\n{lines}\n]}}\n'
        (self.folder / "table.json").write_text(text)
