"""Adds to processors.json what the image processors of the installed transformers make of pictures.

    pip install torch torchvision pillow numpy transformers==4.57.6
    python tests/golden/processors.py

A run writes the cases of one version of transformers and keeps those of the others. README.md
beside this script says which versions there are and what the file holds. Pictures and weights are
not stored: `pattern` of pictures.py and `tensor` of network.py make them.
"""

import json
import tempfile
import warnings
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
import transformers
from PIL import Image, __version__ as pillow_version
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as on_pictures
from torchvision.transforms.v2 import functional as on_tensors

from network import Network
from pictures import pattern

FILE = Path(__file__).resolve().with_name("processors.json")
FAMILIES = ["ConvNext", "ViT", "CLIP", "Bit"]
SUFFIXES = ["ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor"]
MODES = {2: InterpolationMode.BILINEAR, 3: InterpolationMode.BICUBIC}

# Side of the crop.
CROP = 32
# Width and height of a picture, and what its shorter side is resized to. Margins are 3 rows and 5
# columns, then 5 rows and 3 columns; then 5 rows and 3 columns are missing; then 3 rows are missing
# and 3 columns are to go. The longer sides come to 37.6, 37.96, 29.9 and 35.9 pixels, which are
# cut. Both sides shrink about alike, so that all versions of Pillow shrink them in one order.
PICTURES = [((86, 80), 35), ((71, 77), 35), ((61, 55), 27), ((57, 46), 29)]
KIND = "noise"
# What ConvNext divides 32 by, for 35.6, 27.8 and 29.6, which it cuts.
CROP_PCT = {35: 0.9, 27: 1.15, 29: 1.08}

# A crop that is off by a pixel moves the vector by more than FAR, and the resize of the other
# backend by less than NEAR, both as a share of the largest value. A test's bound lies between.
FAR, NEAR = 1e-2, 5e-4


class Tiny(Network):
    """Bottlenecks with depths [1, 1] and planes [4, 8] behind a stem of 5 planes."""

    def vector(self, pixels):
        """The mean of the last stage, in float64."""
        x = torch.from_numpy(pixels[None]).double()
        x = F.relu(self.norm(self.conv(x, "conv1", 5, 7, 2, 3), "bn1"))
        x = F.max_pool2d(x, 3, 2, 1)
        x = self.block(x, "layer1.0", 4, 1, 1)
        x = self.block(x, "layer2.0", 8, 2, 1)
        return x.mean((2, 3))[0].numpy()


NETWORK = Tiny((1, 1))


def processor_class(name):
    found = getattr(transformers, name, None)
    # What lacks a package it needs is a dummy.
    return None if getattr(found, "is_dummy", False) else found


def resized_size(size, short):
    """Height and width that a picture of this width and height is resized to."""
    width, height = size
    long = short * max(size) // min(size)
    return (short, long) if height < width else (long, short)


def settings(family, size, short):
    """What a processor is asked for; all else stays as it is."""
    crop = {"height": CROP, "width": CROP}
    if family == "ConvNext":
        return {"size": {"shortest_edge": CROP}, "crop_pct": CROP_PCT[short]}
    if family == "ViT":
        height, width = resized_size(size, short)
        size = {"height": height, "width": width}
        return {"size": size, "do_center_crop": True, "crop_size": crop}
    return {"size": {"shortest_edge": short}, "crop_size": crop}


def saved(processor):
    """The preprocessor_config.json that the processor writes."""
    with tempfile.TemporaryDirectory() as folder:
        processor.save_pretrained(folder)
        return json.loads((Path(folder) / "preprocessor_config.json").read_text())


def levels(pixels, processor):
    """The bytes that were normalised."""
    mean, std = (np.reshape(v, (3, 1, 1)) for v in (processor.image_mean, processor.image_std))
    values = (pixels.astype(np.float64) * std + mean) * 255
    assert np.abs(values - np.rint(values)).max() < 1e-3
    return np.rint(values).astype(np.uint8)


def normalized(picture, processor):
    """Bytes as torchvision normalises them."""
    tensor = on_pictures.to_tensor(picture.transpose(1, 2, 0).copy())
    mean, std = list(processor.image_mean), list(processor.image_std)
    return on_pictures.normalize(tensor, mean, std).numpy()


def resizes(image, size, resample):
    """The picture as each of the backends resizes it."""
    height, width = size
    pillow = np.asarray(image.resize((width, height), resample)).transpose(2, 0, 1)
    tensor = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
    mode = MODES[resample]
    tensor = on_tensors.resize(tensor, [height, width], interpolation=mode, antialias=True).numpy()
    assert (pillow != tensor).any()
    return {"pillow": pillow, "torchvision": tensor}


def window(picture, origin):
    """The crop whose first pixel is at this row and column, black outside the picture."""
    padded = np.pad(picture, ((0, 0), (CROP, CROP), (CROP, CROP)))
    top, left = (place + CROP for place in origin)
    return padded[:, top : top + CROP, left : left + CROP]


def origins(picture):
    """Where a crop may begin that keeps all it can."""
    spare = [side - CROP for side in picture.shape[1:]]
    rows, columns = (range(min(0, margin), max(0, margin) + 1) for margin in spare)
    return [(top, left) for top in rows for left in columns]


def off(vector, other):
    return np.abs(vector - other).max() / np.abs(vector).max()


def case(name, size, resized, crops, options):
    """A case, or None where a crop is asked for and the class does not crop."""
    processor = processor_class(name)(**options)
    image = Image.fromarray(pattern(KIND, *size))
    pixels = processor(image, return_tensors="pt")["pixel_values"]
    assert pixels.dtype == torch.float32 and len(pixels) == 1
    pixels = pixels[0].numpy().copy()
    if crops and pixels.shape[1:] == resized:
        return None
    assert pixels.shape[1:] == ((CROP, CROP) if crops else resized)
    vector, data = NETWORK.vector(pixels), levels(pixels, processor)
    of_levels = lambda picture: NETWORK.vector(normalized(picture, processor))
    cut = lambda picture, origin: window(picture, origin) if crops else picture

    # Whose resize it is and where the crop begins: of all, the only ones that give these bytes.
    pictures = resizes(image, resized, int(processor.resample))
    seen = [
        (backend, origin)
        for backend, picture in pictures.items()
        for origin in (origins(picture) if crops else [None])
        if np.array_equal(cut(picture, origin), data)
    ]
    assert len(seen) == 1, f"{name}: {seen}"
    backend, origin = seen[0]
    # The classes on Pillow normalise as torchvision does, to the last bit; the others do not.
    exact = np.array_equal(pixels, normalized(data, processor))
    assert exact == (backend == "pillow"), f"{name} normalises in another way"

    near = max(off(vector, of_levels(cut(picture, origin))) for picture in pictures.values())
    assert near < NEAR, f"{name}: the other resize is off by {near}"
    if crops:
        steps = [(1, 0), (-1, 0), (0, 1), (0, -1)]
        moved = [(origin[0] + down, origin[1] + right) for down, right in steps]
        far = min(off(vector, of_levels(window(pictures[backend], place))) for place in moved)
        assert far > FAR, f"{name}: a crop that is off by a pixel is off by only {far}"
    moves = f"another resize {near:.1e}" + (f", a wrong crop {far:.1e}" if crops else "")
    print(f"{name}: {backend}, {resized} from {origin}; {moves}")
    return {
        "class": name,
        "transformers_version": transformers.__version__,
        "kind": KIND,
        "size": size,
        "resized": resized,
        "backend": backend,
        "crop_origin": origin,
        "pixels_crc32": zlib.crc32(pixels.astype("<f4").tobytes()) if exact else None,
        "config": saved(processor),
        "vector": [float(f"{value:.9g}") for value in vector.astype(np.float32)],
    }


def cases():
    for family in FAMILIES:
        plans = [
            (size, resized_size(size, short), True, settings(family, size, short))
            for size, short in PICTURES
        ]
        if family == "ViT":
            size, resized, _, options = plans[0]
            plans.insert(0, (size, resized, False, {"size": options["size"]}))
        for name in (family + suffix for suffix in SUFFIXES):
            if processor_class(name):
                yield from filter(None, (case(name, *plan) for plan in plans))


def order(version):
    return [int(part) for part in version.split(".")]


def main():
    warnings.simplefilter("ignore", FutureWarning)
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    version = transformers.__version__
    old = json.loads(FILE.read_text()) if FILE.exists() else {"made_with": {}, "cases": []}
    others = [case for case in old["cases"] if case["transformers_version"] != version]
    with torch.no_grad():
        new = sorted(others + list(cases()), key=lambda case: order(case["transformers_version"]))
    made_with = old["made_with"] | {
        version: {
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "pillow": pillow_version,
            "numpy": np.__version__,
        }
    }
    dump = lambda value: json.dumps(value, separators=(",", ":"))
    versions = sorted(made_with, key=order)
    heads = ",\n".join(f"{dump(key)}:{dump(made_with[key])}" for key in versions)
    lines = ",\n".join(map(dump, new))
    FILE.write_text(f'{{"made_with":{{\n{heads}\n}},\n"cases":[\n{lines}\n]}}\n')
    print(f"{len(new)} cases, {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
