"""Writes the files of tests/golden/checkpoints.py, the same bytes in every run.

`Legacy` is the format of torch.save before PyTorch 1.6, `Python2` the same from Python 2, whose
strings are bytes. torch.save's own legacy files have addresses in them.
"""

import io
import json
import pickle
import struct
import sys
import types
from unittest import mock

import numpy as np
import safetensors.torch
import torch

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {
    "protocol_version": VERSION,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}


class Legacy(pickle._Pickler):
    def __init__(self, file):
        super().__init__(file, protocol=2)
        self.storages = {}

    def persistent_id(self, value):
        if not isinstance(value, torch.storage.TypedStorage):
            return None
        address = value._data_ptr()
        if address not in self.storages:
            self.storages[address] = (str(len(self.storages)), value)
        key, kind = self.storages[address][0], getattr(torch, value._pickle_storage_type())
        return ("storage", kind, key, "cpu", value._size(), None)


class Python2(Legacy):
    """Writes str as Python 2 does."""

    dispatch = dict(Legacy.dispatch)

    def save_text(self, value):
        raw = value if isinstance(value, bytes) else value.encode()
        head = struct.pack("<cB", b"U", len(raw)) if len(raw) < 256 else None
        self.write((head or struct.pack("<ci", b"T", len(raw))) + raw)
        self.memoize(value)

    dispatch[str] = save_text
    dispatch[bytes] = save_text


def legacy(saved, pickler=Legacy):
    file = io.BytesIO()
    for value in (MAGIC, VERSION, SYSTEM):
        pickler(file).dump(value)
    inner = pickler(file)
    inner.dump(saved)
    pickler(file).dump([key for key, _ in inner.storages.values()])
    for _, storage in inner.storages.values():
        file.write(struct.pack("<q", storage._size()))
        file.write(bytes(storage._untyped_storage.tolist()))
    return file.getvalue()


def zipped(saved, location=None, **options):
    """torch.save; `location` is the device that the file then states for every storage."""
    file = io.BytesIO()
    if location is None:
        torch.save(saved, file, **options)
    else:
        with mock.patch("torch.serialization.location_tag", lambda storage: location):
            torch.save(saved, file, **options)
    return file.getvalue()


def plain_pickle(saved, pickler=None):
    """A pickle of protocol 2 that names NumPy's modules as NumPy 1 does."""
    file = io.BytesIO()
    # The storages of a tensor are files of torch.save inside.
    with mock.patch("torch.save", lambda saved, file, **_: file.write(legacy(saved))):
        (pickler or (lambda file: pickle._Pickler(file, protocol=2)))(file).dump(saved)
    return file.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


def arrays(state):
    return {key: value.numpy() for key, value in state.items()}


def tensors(state, metadata=None):
    """A safetensors file, with its metadata sorted."""
    raw = safetensors.torch.save({k: v.contiguous().clone() for k, v in state.items()}, metadata)
    end = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:end])
    if metadata:
        header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    return raw[:8] + text.ljust(end - 8) + raw[end:]


def npy(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def foreign(path, base=object):
    """A class of a package that is not installed: pickles name it, and nothing can load it."""
    name = path.rsplit(".", 1)[1]
    return place(type(name, (base,), {}), path)


def place(made, path):
    """Makes pickles name a class so."""
    module, name = path.rsplit(".", 1)
    made.__module__, made.__name__, made.__qualname__ = module, name, name
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        inner = ".".join(parts[:end])
        sys.modules.setdefault(inner, types.ModuleType(inner))
    setattr(sys.modules[module], name, made)
    return made


def filled(kind, **values):
    """An object of a class of `foreign`."""
    made = kind.__new__(kind)
    made.__dict__.update(values)
    return made
