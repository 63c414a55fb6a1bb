"""Files of PNM, QOI, and TIFF with one sample per pixel, for pictures.py."""

import io
import struct

import numpy as np


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def binary(kind, values, largest):
    """A binary PGM or PPM of any largest value. Samples above 255 have two bytes."""
    height, width = values.shape[:2]
    data = values.astype("u1" if largest < 256 else ">u2").tobytes()
    return f"{kind}\n# a comment\n{width} {height}\n{largest}\n".encode() + data


def text(kind, values, largest):
    """A PGM or PPM as text, with comments before, between and after the samples."""
    height, width = values.shape[:2]
    rows = [" ".join(map(str, row.flatten())) for row in values]
    rows[3] += " # 1 2 3"
    rows[5] += "\t\r \n\n# a line\n"
    header = f"{kind} {width}#x\n {height} # y\n{largest}\n"
    return (header + "\n".join(rows) + "\n# end").encode()


def one_sample(width, height, depth, photometric, data, form=1, palette=(), order="<"):
    """A TIFF of one sample per pixel in one strip; `form` is 1 unsigned, 2 signed, 3 float."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, depth), (259, 3, 1), (262, 3, photometric),
            (273, 4, 0), (277, 3, 1), (278, 4, height), (279, 4, len(data)), (320, 3, palette),
            (339, 3, form)]
    tags = [tag for tag in tags if tag[2] != ()]
    end = 8 + 2 + 12 * len(tags) + 4
    colours = struct.pack(f"{order}{len(palette)}H", *palette)
    entries = b""
    for tag, kind, value in tags:
        if tag == 320:
            entries += struct.pack(order + "HHII", tag, kind, len(palette), end)
        elif kind == 3:
            entries += struct.pack(order + "HHIHH", tag, kind, 1, value, 0)
        else:
            value = end + len(colours) if tag == 273 else value
            entries += struct.pack(order + "HHII", tag, kind, 1, value)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    head = magic + struct.pack(order + "IH", 8, len(tags)) + entries + bytes(4)
    return head + colours + data


def packed(values, depth):
    """Rows of indices of less than eight bits, each row from a byte on."""
    bits = ((values[..., None] >> np.arange(depth)[::-1]) & 1).reshape(values.shape[0], -1)
    return np.packbits(bits.astype(np.uint8), axis=1).tobytes()


def more_files(noise, grey, rgba, palette, deep):
    w, h = noise.size
    y, x = np.mgrid[:h, :w]
    levels = np.asarray(noise)
    bits = grey.point(lambda v: 255 * (v > 99), "1")
    yield "rgb.ppm", saved(noise, "PPM")
    yield "grey.pgm", saved(grey, "PPM")
    yield "bits.pbm", saved(bits, "PPM")
    yield "grey16.pgm", binary("P5", deep[..., 1] * 2 + deep[..., 0].astype(int) % 3, 65535)
    # Above the largest value, too.
    yield "grey15.pgm", binary("P5", (x * y) % 20, 15)
    # Scaled by 65.535, so that 255 is reached at 4.
    yield "grey1000.pgm", binary("P5", (x + y) % 6, 1000)
    yield "grey_dark.pgm", binary("P5", (x * 9 + y) % 300, 65535)
    yield "rgb100.ppm", binary("P6", levels % 101, 100)
    yield "rgb1000.ppm", binary("P6", levels.astype(int) * 4, 1000)
    rows = ["".join(str(v) for v in row) for row in np.asarray(bits).astype(int)]
    rows[2] = " ".join(rows[2]) + " # 0 1"
    yield "text.pbm", (f"P1\n#c\n{w} {h}\n" + "\n".join(rows)).encode()
    yield "text15.pgm", text("P2", (x * y) % 16, 15)
    yield "text1000.pgm", text("P2", (x + y) % 6, 1000)
    yield "text255.ppm", text("P3", levels, 255)
    yield "text7.ppm", text("P3", levels % 8, 7)
    yield "rgb.qoi", saved(noise, "QOI")
    yield "rgba.qoi", saved(rgba, "QOI")
    yield "palette.tif", saved(palette, "TIFF")
    yield "palette_lzw.tif", saved(palette, "TIFF", compression="tiff_lzw")
    for depth in (1, 2, 4):
        colours = [(n * 7919 + 300) % 65536 for n in range(3 << depth)]
        indices = packed((x + 3 * y) % (1 << depth), depth)
        yield f"palette{depth}.tif", one_sample(w, h, depth, 3, indices, palette=colours)
    colours = [(n * 7919) % 65536 for n in range(768)]
    indices = levels[..., 0].tobytes()
    yield "palette_big.tif", one_sample(w, h, 8, 3, indices, palette=colours, order=">")
    floats = (x * 11.7 - y * 3.3 - 20).astype("<f4")
    floats[0, :5] = [np.nan, np.inf, -np.inf, 1e30, 254.9999]
    yield "float.tif", one_sample(w, h, 32, 1, floats.tobytes(), form=3)
    yield "float_white.tif", one_sample(w, h, 32, 0, floats.tobytes(), form=3)
    big = floats.astype(">f4").tobytes()
    yield "float_big.tif", one_sample(w, h, 32, 1, big, form=3, order=">")
    integers = x * 11 - y * 7 - 20
    integers[0, :2] = [-(2**31), 2**31 - 1]
    yield "int32.tif", one_sample(w, h, 32, 1, integers.astype("<i4").tobytes(), form=2)
    big = integers.astype(">i4").tobytes()
    yield "int32_big.tif", one_sample(w, h, 32, 1, big, form=2, order=">")
    yield "uint32.tif", one_sample(w, h, 32, 1, integers.astype("<i4").tobytes(), form=1)
    integers = np.clip(integers, -(2**15), 2**15 - 1)
    yield "int16.tif", one_sample(w, h, 16, 1, integers.astype("<i2").tobytes(), form=2)
    signed = levels[..., 1].view(np.int8)
    yield "int8.tif", one_sample(w, h, 8, 1, signed.tobytes(), form=2)
