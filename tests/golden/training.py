"""Makes the golden files of training mode: Bottleneck blocks with PyTorch's results for one batch,
forward and backward.

    pip install torch safetensors numpy
    python tests/golden/training.py

Writes tests/golden/training/<case>.safetensors, batchnorm.safetensors next to them and a copy of
one case in src/cli/demo/, and prints a table. The blocks are those of make.py.
Weights, input and the gradient of the output are drawn as f32; the block then runs in float64 in
training mode on the CPU, and the results are rounded to f32. The README.md next to this script
describes the files.
"""

import copy
import zlib

import numpy as np
import torch
from torch import nn

from make import CASES, DEMO, GOLDEN, draw, encode

FOLDER = GOLDEN / "training"
FAR = FOLDER / "far_from_zero"

# Large files that test no more than smaller ones, and cases that are unusual only in their running
# statistics.
LEFT_OUT = {
    "larger_map_33x29", "width26_groups1", "width26_groups2", "width26_groups8",
    "groups32_4_per_group_s2", "variance_tiny", "variance_tiny_downsample", "variance_zero",
    # A weight that is the only one of its channel does not change a norm's output: its gradient is
    # nothing but rounding.
    "planes1", "inplanes1_downsample", "width1",
}

# The case that the program's default run has a copy of.
DEMO_CASE = "deeplab_rate2_s2_downsample"

# Of a norm over so few values the gradient is next to nothing but what rounding leaves of it.
FEWEST_VALUES = 12

# No input of a ReLU is nearer to zero than this, or f32 might take another side than float64.
MARGIN = 1e-5

# The weight of a batch in the running statistics, turn by turn.
MOMENTA = (0.1, None, 0.01)


def set_up(case, batch, momentum, seed):
    """The block in training mode, its state, its input and the gradient of its output."""
    rng = np.random.RandomState(seed)
    block = case.build().train()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum
    state = {key: draw(rng, key, tuple(value.shape)) for key, value in block.state_dict().items()}
    for key in state:
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(rng.randint(1, 20), dtype=torch.int64)
    case.tweak(state, case.eps)
    block.load_state_dict(state)
    x = torch.from_numpy(rng.standard_normal((batch, case.inplanes, *case.size)).astype(np.float32))
    rows, columns = ((size - 1) // case.stride + 1 for size in case.size)
    grad = torch.from_numpy(
        rng.standard_normal((batch, 4 * case.planes, rows, columns)).astype(np.float32)
    )
    return block, state, x, grad


def run(block, x, grad):
    """One batch: everything that comes of it, and how near a ReLU came to zero."""
    nearest = []
    hook = block.relu.register_forward_pre_hook(
        lambda _, inputs: nearest.append(inputs[0].abs().min().item())
    )
    x = x.clone().requires_grad_()
    out = block(x)
    out.backward(grad)
    hook.remove()
    found = {"out": out.detach(), "grad.input": x.grad}
    for key, parameter in block.named_parameters():
        found[f"grad.block.{key}"] = parameter.grad
    for key, value in block.named_buffers():
        if not isinstance(block.bn1, nn.BatchNorm2d):
            continue  # frozen ones stay as they are
        found[f"after.block.{key}"] = value.detach().clone()
    return found, min(nearest)


def rounded(tensor):
    return (tensor.float() if tensor.is_floating_point() else tensor).contiguous()


def make(case, index):
    """Writes one case's file and returns its line of the table."""
    rows, columns = ((size - 1) // case.stride + 1 for size in case.size)
    batch = max(case.batch, 2, -(-FEWEST_VALUES // (rows * columns)))
    momentum = MOMENTA[index % len(MOMENTA)]
    for attempt in range(1000):
        seed = zlib.crc32(f"{case.name} training {attempt}".encode())
        block, state, x, grad = set_up(case, batch, momentum, seed)
        single, _ = run(copy.deepcopy(block), x, grad)
        found, nearest = run(block.double(), x.double(), grad.double())
        if nearest > MARGIN:
            break
    assert nearest > MARGIN, case.name
    assert all(value.isfinite().all() for value in found.values()), case.name

    metadata = {**case.metadata(), "momentum": "none" if momentum is None else repr(momentum)}
    weights = {f"block.{key}": value for key, value in state.items()}
    tensors = {
        **weights,
        "input": x,
        "grad_out": grad,
        **{key: rounded(value) for key, value in found.items()},
    }
    path = FOLDER / f"{case.name}.safetensors"
    path.write_bytes(encode(tensors, metadata))
    if case.name == DEMO_CASE:
        (DEMO / "training.safetensors").write_bytes(path.read_bytes())

    def off(prefix):
        keys = [key for key in found if key.startswith(prefix) and found[key].is_floating_point()]
        return max(
            ((single[key].double() - found[key]).abs().max() / found[key].abs().max()).item()
            for key in keys
        )

    errors = f"f32 off {off('out'):.0e} out, {off('grad'):.0e} gradients"
    shape = "x".join(map(str, x.shape))
    size = path.stat().st_size / 1024
    return f"{case.name:34} {shape:14} {errors}  {size:5.1f} KiB  attempt {attempt}"


def far_from_zero():
    """Whole blocks on inputs whose mean is large compared with their deviation, and how far
    PyTorch's own f32 is off.
    """
    lines = []
    for name, mean in (
        ("plain_batch4", 50),
        ("plain_batch4", 1000),
        ("s2_odd_downsample", 50),
        ("s2_odd_downsample", 1000),
    ):
        case = next(case for case in CASES if case.name == name)
        seed = zlib.crc32(f"{name} mean {mean}".encode())
        block, state, x, grad = set_up(case, max(case.batch, 2), 0.1, seed)
        x += mean
        single, _ = run(copy.deepcopy(block), x, grad)
        found, _ = run(block.double(), x.double(), grad.double())
        metadata = {**case.metadata(), "momentum": "0.1"}
        kept = {"out": found["out"]}
        for key, value in found.items():
            if key.startswith("after.") and value.is_floating_point():
                kept[key] = value
        for key, value in kept.items():
            metadata[f"f32.{key}"] = repr(
                ((single[key].double() - value).abs().max() / value.abs().max()).item()
            )
        weights = {f"block.{key}": value for key, value in state.items()}
        tensors = {
            **weights,
            "input": x,
            "grad_out": grad,
            **{key: rounded(value) for key, value in kept.items()},
        }
        FAR.mkdir(exist_ok=True)
        (FAR / f"{name}_mean{mean}.safetensors").write_bytes(encode(tensors, metadata))
        lines.append(f"{name}, mean {mean:4}: f32 off {float(metadata['f32.out']):.0e}")
    return lines


def batchnorm():
    """The norm alone, on inputs whose mean is large beside their deviation."""
    rng = np.random.RandomState(zlib.crc32(b"batchnorm"))
    tensors, lines = {}, []
    for mean in (0, 50, 1000):
        norm = nn.BatchNorm2d(6).train()
        shape = (3, 6, 9, 7)
        values = mean + rng.uniform(0.5, 2.0, (1, 6, 1, 1)) * rng.standard_normal(shape)
        x = torch.from_numpy(values.astype(np.float32))
        grad = torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
        for parameter, low in ((norm.weight, 0.5), (norm.bias, -1.0)):
            parameter.data = torch.from_numpy(rng.uniform(low, 1.5, 6).astype(np.float32))
        for key, value in norm.named_parameters():
            tensors[f"{mean}.{key}"] = value.detach().clone()
        double = copy.deepcopy(norm).double()
        leaf = x.double().requires_grad_()
        out = double(leaf)
        out.backward(grad.double())
        single = norm(x)
        tensors |= {
            f"{mean}.input": x,
            f"{mean}.grad_out": grad,
            f"{mean}.out": rounded(out.detach()),
        }
        tensors |= {f"{mean}.grad.input": rounded(leaf.grad)}
        for key, value in double.named_parameters():
            tensors[f"{mean}.grad.{key}"] = rounded(value.grad)
        for key in ("running_mean", "running_var"):
            tensors[f"{mean}.after.{key}"] = rounded(getattr(double, key))
        error = ((single - out).abs().max() / out.abs().max()).item()
        lines.append(f"batchnorm, mean {mean:4}: f32 off {error:.0e}")
    (FOLDER / "batchnorm.safetensors").write_bytes(
        encode(tensors, {"eps": "1e-05", "momentum": "0.1"})
    )
    return lines


if __name__ == "__main__":
    torch.set_num_threads(1)  # one order of summation
    FOLDER.mkdir(exist_ok=True)
    print(f"torch {torch.__version__}")
    cases = [
        case
        for case in CASES
        if case.folder == GOLDEN and not case.poke and case.name not in LEFT_OUT
    ]
    for index, case in enumerate(cases):
        print(make(case, index))
    print("\n".join(batchnorm() + far_from_zero()))
    size = sum(path.stat().st_size for path in FOLDER.rglob("*.safetensors"))
    print(f"{len(cases)} blocks, {size / 2**20:.1f} MiB")
