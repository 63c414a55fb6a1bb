"""Makes the golden pictures: what Pillow and torchvision make of pictures and picture files.

    pip install pillow numpy torch torchvision
    python tests/golden/pictures.py

Writes tests/golden/pictures/. The README.md next to this script describes the files. The images
that are resized are not stored: `pattern` below and its twin in tests/pictures.rs make them from
integers.
"""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image, ImageOps, features, __version__ as pillow_version
from PIL.PngImagePlugin import PngInfo
from torchvision.transforms import functional as F
from torchvision.transforms.functional import InterpolationMode

from picture_formats import more_files

FOLDER = Path(__file__).resolve().parent / "pictures"
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def pattern(kind, width, height):
    """An image from integers: `noise`, `edges` (black and white, which sharp filters overshoot) or
    `smooth`.
    """
    x, y, c = np.meshgrid(
        *(np.arange(n, dtype=np.uint32) for n in (width, height, 3)), indexing="xy"
    )
    n = (x * np.uint32(73856093)) ^ (y * np.uint32(19349663)) ^ (c * np.uint32(83492791))
    n ^= n >> np.uint32(13)
    n *= np.uint32(0x5BD1E995)
    noise = (n ^ (n >> np.uint32(15))) & 255
    if kind == "noise":
        value = noise
    elif kind == "edges":
        value = ((x // 3 + y // 5 + c) % 2) * 255
    else:
        wave = (x * (3 + c) + y * (5 - c)) & 511
        value = np.minimum(wave, 511 - wave) * 7 // 8 + noise // 8
    return value.astype(np.uint8)


# The resizes.

FILTERS = {
    "nearest": InterpolationMode.NEAREST,
    "box": InterpolationMode.BOX,
    "bilinear": InterpolationMode.BILINEAR,
    "hamming": InterpolationMode.HAMMING,
    "bicubic": InterpolationMode.BICUBIC,
    "lanczos": InterpolationMode.LANCZOS,
}
# Width, height: photographs, primes, strong shrinks, enlargements, a pixel, exactly the target
# sizes, rows that end within a word, and tall ones, of which Pillow 13 shrinks the columns first.
SIZES = [(500, 375), (375, 500), (97, 131), (17, 300), (300, 17), (40, 30), (1, 1), (224, 224),
         (256, 256), (1023, 771), (227, 230), (1, 3), (270, 801)]
# The size to resize to (an int is the shorter side, None is no resize), and the crop as height and
# width.
PLANS = [
    (256, (224, 224)),
    (232, (224, 224)),
    (37, (32, 29)),
    ((50, 61), (50, 61)),
    ((33, 47), (20, 60)),
    (None, (224, 100)),
]


def resizes():
    cases = []
    for width, height in SIZES:
        for resize, crop in PLANS:
            for name, mode in FILTERS.items():
                for kind in ("noise", "edges") if name in ("bicubic", "lanczos") else ("noise",):
                    image = Image.fromarray(pattern(kind, width, height))
                    out = image if resize is None else F.resize(image, resize, mode)
                    out = F.center_crop(out, crop)
                    tensor = F.normalize(F.to_tensor(out), MEAN, STD)
                    pixels = np.asarray(out)
                    assert pixels.shape == (*crop, 3) and tensor.shape == (3, *crop)
                    cases.append({
                        "kind": kind,
                        "size": [width, height],
                        "resize": resize,
                        "crop": crop,
                        "filter": name,
                        "pixels_crc32": zlib.crc32(pixels.tobytes()),
                        "tensor_crc32": zlib.crc32(tensor.numpy().astype("<f4").tobytes()),
                        "middle": pixels[crop[0] // 2, crop[1] // 2].tolist(),
                    })
    return cases


# The files.


def png(width, height, depth, colour, rows, transparent=None):
    """A PNG of raw rows, for the kinds that Pillow does not write."""
    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    transparent = chunk(b"tRNS", transparent) if transparent else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + transparent
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def tiff(width, height, depth, photometric, samples, data, extra=None):
    """A TIFF of raw samples in one strip, for the same."""
    tags = [(256, 4, [width]), (257, 4, [height]), (258, 3, [depth] * samples), (259, 3, [1]),
            (262, 3, [photometric]), (273, 4, [0]), (277, 3, [samples]), (278, 4, [height]),
            (279, 4, [len(data)])]
    tags += [(338, 3, [extra])] if extra else []
    behind = 8 + 2 + 12 * len(tags) + 4
    bits = struct.pack(f"<{samples}H", *[depth] * samples)
    entries = b""
    for tag, kind, values in tags:
        value = {258: [behind], 273: [behind + len(bits)]}.get(tag, values)
        entries += struct.pack("<HHII", tag, kind, len(values), *value)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + bits + data


def bmp16(width, height, masks, values):
    """A BMP of sixteen bits a pixel; without masks of five bits a channel."""
    rows = b"".join(row.astype("<u2").tobytes() + bytes(-2 * width % 4) for row in values[::-1])
    extra = struct.pack(f"<{len(masks)}I", *masks)
    info = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, 16, 3 if masks else 0, len(rows), 0, 0, 0, 0
    )
    at = 14 + len(info) + len(extra)
    return b"BM" + struct.pack("<IHHI", at + len(rows), 0, 0, at) + info + extra + rows


def packed(values, depth):
    """Rows of grey levels of less than eight bits."""
    bits = ((values[..., None] >> np.arange(depth)[::-1]) & 1).reshape(values.shape[0], -1)
    return [row.tobytes() for row in np.packbits(bits.astype(np.uint8), axis=1)]


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def xmp(orientation, element=False):
    inner = (
        f"><tiff:Orientation>{orientation}</tiff:Orientation>"
        if element
        else f' tiff:Orientation="{orientation}">'
    )
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description'
        + inner
        + "</rdf:Description></x:xmpmeta>"
    ).encode()


def as_ycck(jpeg):
    """A CMYK JPEG that claims to hold YCCK: the same numbers, taken for another colour space."""
    at = jpeg.index(b"Adobe") + 11
    assert jpeg[at] == 0
    return jpeg[:at] + b"\2" + jpeg[at + 1:]


def files():
    w, h = 37, 26
    smooth = Image.fromarray(pattern("smooth", w, h))
    noise = Image.fromarray(pattern("noise", w, h))
    alpha = Image.fromarray(pattern("noise", w, h)[..., 1] // 128 * 255)
    rgba = noise.copy()
    rgba.putalpha(alpha)
    grey = noise.convert("L")
    wide = pattern("noise", 2 * w, h).astype(np.uint8)
    deep = np.ascontiguousarray(wide.reshape(h, w, 6))
    palette = noise.quantize(23)
    cmyk = Image.merge("CMYK", [*smooth.split(), grey])
    y, x = np.mgrid[:h, :w]

    yield "rgb.png", saved(noise, "PNG")
    yield "rgba.png", saved(rgba, "PNG")
    yield "grey.png", saved(grey, "PNG")
    yield "grey_alpha.png", saved(Image.merge("LA", [grey, alpha]), "PNG")
    yield "palette.png", saved(palette, "PNG")
    yield "palette_transparent.png", saved(palette, "PNG", transparency=3)
    yield "rgb_transparent.png", saved(noise, "PNG", transparency=noise.getpixel((3, 4)))
    yield "grey_transparent.png", saved(grey, "PNG", transparency=grey.getpixel((3, 4)))
    yield "black_and_white.png", saved(grey.point(lambda v: 255 * (v > 99), "1"), "PNG")
    yield "grey2.png", png(w, h, 2, 0, packed((x + y) % 4, 2))
    yield "grey4.png", png(w, h, 4, 0, packed((x * y) % 16, 4))
    yield "grey16.png", png(w, h, 16, 0, [row[:, :2].tobytes() for row in deep])
    yield (
        "grey16_dark.png",
        png(w, h, 16, 0, [((x[0] * 9 + i) % 300).astype(">u2").tobytes() for i in range(h)]),
    )
    yield "grey_alpha16.png", png(w, h, 16, 4, [row[:, :4].tobytes() for row in deep])
    yield "rgb16.png", png(w, h, 16, 2, [row.tobytes() for row in deep])
    yield (
        "rgba16.png",
        png(w, h, 16, 6, [np.concatenate([row, row[:, :2]], 1).tobytes() for row in deep]),
    )
    yield (
        "grey16_transparent.png",
        png(w, h, 16, 0, [row[:, :2].tobytes() for row in deep], deep[3, 4, :2].tobytes()),
    )
    yield "turned.png", saved(noise, "PNG", exif=exif(6))
    for orientation in range(1, 9):
        yield (
            f"orientation{orientation}.jpg",
            saved(
                smooth.resize((24, 16)), "JPEG", quality=95, subsampling=0, exif=exif(orientation)
            ),
        )
    yield "orientation_wrong.jpg", saved(smooth.resize((24, 16)), "JPEG", quality=95, exif=exif(9))
    for name, options in (
        ("attribute", {"xmp": xmp(6)}),
        ("element", {"xmp": xmp(5, True)}),
        ("beside_exif", {"xmp": xmp(6), "exif": exif(1)}),
    ):
        yield (
            f"xmp_{name}.jpg",
            saved(smooth.resize((24, 16)), "JPEG", quality=95, subsampling=0, **options),
        )
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp(8).decode())
    yield "xmp.png", saved(noise, "PNG", pnginfo=text)
    yield "xmp.webp", saved(noise, "WEBP", lossless=True, xmp=xmp(7))
    yield "xmp.tif", saved(noise, "TIFF", tiffinfo={700: xmp(3)})
    yield "444.jpg", saved(smooth, "JPEG", quality=90, subsampling=0)
    yield "422.jpg", saved(smooth, "JPEG", quality=90, subsampling=1)
    yield "420.jpg", saved(smooth, "JPEG", quality=90, subsampling=2)
    yield "420_noise.jpg", saved(noise, "JPEG", quality=90, subsampling=2)
    yield "progressive.jpg", saved(smooth, "JPEG", quality=90, progressive=True)
    yield "restarts.jpg", saved(smooth, "JPEG", quality=90, restart_marker_blocks=2)
    yield "grey.jpg", saved(smooth.convert("L"), "JPEG", quality=90)
    yield "rgb.jpg", saved(smooth, "JPEG", quality=90, keep_rgb=True)
    yield "cmyk.jpg", saved(cmyk, "JPEG", quality=95)
    yield "ycck.jpg", as_ycck(saved(cmyk, "JPEG", quality=95))
    yield "lossless.webp", saved(noise, "WEBP", lossless=True)
    yield "alpha.webp", saved(rgba, "WEBP", lossless=True, exact=True)
    yield "lossy.webp", saved(smooth, "WEBP", quality=90)
    yield "turned.webp", saved(noise, "WEBP", lossless=True, exif=exif(8))
    yield "palette.gif", saved(palette, "GIF")
    yield "transparent.gif", saved(palette, "GIF", transparency=3)
    yield "animated.gif", saved(palette, "GIF", save_all=True, append_images=[palette.rotate(180)])
    yield "rgb.bmp", saved(noise, "BMP")
    yield "palette.bmp", saved(palette, "BMP")
    yield "rgb.tif", saved(noise, "TIFF")
    yield "lzw.tif", saved(noise, "TIFF", compression="tiff_lzw")
    yield "deflate.tif", saved(rgba, "TIFF", compression="tiff_adobe_deflate")
    yield "grey.tif", saved(grey, "TIFF")
    yield "black_and_white.tif", saved(grey.point(lambda v: 255 * (v > 99), "1"), "TIFF")
    yield "cmyk.tif", saved(cmyk, "TIFF")
    yield "cmyk16.tif", tiff(w, h, 16, 5, 4, np.concatenate([deep, deep[::-1, :, :2]], 2).tobytes())
    yield "associated.tif", tiff(w, h, 8, 2, 4, deep[:, :, 1:5].tobytes(), extra=1)
    yield (
        "associated16.tif",
        tiff(w, h, 16, 2, 4, np.concatenate([deep, deep[::-1, :, :2]], 2).tobytes(), extra=1),
    )
    kind = [struct.pack("<HHII", 338, 3, 1, kind) for kind in (2, 1)]
    yield (
        "associated_deflate.tif",
        saved(rgba, "TIFF", compression="tiff_adobe_deflate").replace(*kind),
    )
    levels = (x * 2048 + y * 32 * 5 + x + y * 7) % 65536
    yield "555.bmp", bmp16(w, h, [], levels % 32768)
    yield "565.bmp", bmp16(w, h, [0xF800, 0x7E0, 0x1F], levels)
    yield "turned.tif", saved(noise, "TIFF", exif=exif(5))
    yield from more_files(noise, grey, rgba, palette, deep)
    yield "edges.qoi", saved(Image.fromarray(pattern("edges", w, h)), "QOI")
    yield "palette_turned.tif", saved(palette, "TIFF", exif=exif(6))


def decoded(data):
    """As torchvision's loader has it, and turned upright."""
    image = Image.open(io.BytesIO(data))
    return ImageOps.exif_transpose(image).convert("RGB")


def main():
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    listed = []
    for name, data in files():
        (FOLDER / name).write_bytes(data)
        rgb = decoded(data)
        entry = {"file": name, "size": rgb.size, "crc32": zlib.crc32(rgb.tobytes())}
        if name.endswith(".jpg") or name == "lossy.webp":
            entry["expected"] = name + ".png"
            rgb.save(FOLDER / entry["expected"], optimize=True)
        listed.append(entry)
    libjpeg = f"{features.version('jpg')}{' (turbo)' if features.check('libjpeg_turbo') else ''}"
    made_with = {
        "pillow": pillow_version,
        "torchvision": torchvision.__version__,
        "torch": torch.__version__,
        "libjpeg": libjpeg,
        "libwebp": features.version("webp"),
    }
    cases = resizes()
    lines = ",\n".join("  " + json.dumps(case) for case in cases)
    entries = ",\n".join("  " + json.dumps(entry) for entry in listed)
    text = (
        f'{{"made_with": {json.dumps(made_with)},\n'
        f'"resizes": [\n{lines}\n],\n"files": [\n{entries}\n]}}\n'
    )
    (FOLDER / "goldens.json").write_text(text)
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    print(f"{len(cases)} resizes, {len(listed)} files, {size} bytes; {made_with}")


if __name__ == "__main__":
    main()
