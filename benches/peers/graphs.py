"""The workloads as torch modules with seeded weights, as ONNX, and as what `bottleneck` reads.

    python graphs.py w1 BATCH FOLDER
    python graphs.py w1 BATCH FOLDER train

Every norm has different statistics, so that none can be left out unnoticed; nothing is folded, so
that each engine treats a norm as it does for its users.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
import torchvision
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch import nn
from torchvision.models.resnet import Bottleneck

from workloads import WORKLOADS

OPSET = 17


def module(workload):
    """The module in f32, in eval mode."""
    torch.manual_seed(int(workload.name[1:]))
    if workload.block is None:
        net = torchvision.models.resnet50()
    else:
        inplanes, out = workload.block["inplanes"], workload.block["planes"] * Bottleneck.expansion
        stride = workload.block.get("stride", 1)
        downsample = None
        if stride != 1 or inplanes != out:
            downsample = nn.Sequential(
                nn.Conv2d(inplanes, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )
        net = Bottleneck(**workload.block, downsample=downsample)
    for name, part in net.named_modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(part, nn.BatchNorm2d):
            # The last norm of a branch is small, so that sixteen additions do not grow.
            scale = 0.25 if name.endswith("bn3") else 1.0
            nn.init.uniform_(part.weight, 0.5 * scale, 1.5 * scale)
            nn.init.normal_(part.bias, 0.0, 0.1)
            nn.init.normal_(part.running_mean, 0.0, 0.1)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    return net.eval()


def inputs(workload, batch):
    """What a block is given comes out of a ReLU; a network is given a normalised image."""
    generator = torch.Generator().manual_seed(100 + int(workload.name[1:]))
    x = torch.randn((batch, *workload.shape[1:]), generator=generator)
    return x if workload.block is None else torch.relu(x)


class Writer:
    """Writes a module as ONNX, node by node."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def add(self, op, operands, **attributes):
        output = f"v{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op, operands, [output], name=f"n{len(self.nodes)}", **attributes)
        )
        return output

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value.detach().numpy(), name))
        return name

    def conv(self, x, conv):
        pads, dilations, strides = list(conv.padding) * 2, list(conv.dilation), list(conv.stride)
        weight = self.constant(conv.weight)
        return self.add(
            "Conv",
            [x, weight],
            kernel_shape=list(conv.kernel_size),
            pads=pads,
            strides=strides,
            dilations=dilations,
            group=conv.groups,
        )

    def norm(self, x, norm):
        values = [
            self.constant(value)
            for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        ]
        return self.add("BatchNormalization", [x, *values], epsilon=norm.eps)

    def block(self, x, block):
        y = self.add("Relu", [self.norm(self.conv(x, block.conv1), block.bn1)])
        y = self.add("Relu", [self.norm(self.conv(y, block.conv2), block.bn2)])
        y = self.norm(self.conv(y, block.conv3), block.bn3)
        shortcut = (
            x
            if block.downsample is None
            else self.norm(self.conv(x, block.downsample[0]), block.downsample[1])
        )
        return self.add("Relu", [self.add("Add", [y, shortcut])])

    def network(self, x, net):
        x = self.add("Relu", [self.norm(self.conv(x, net.conv1), net.bn1)])
        x = self.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            for block in stage:
                x = self.block(x, block)
        x = self.add("Flatten", [self.add("GlobalAveragePool", [x])])
        return self.add(
            "Gemm", [x, self.constant(net.fc.weight), self.constant(net.fc.bias)], transB=1
        )

    def model(self, output, shape, output_shape):
        graph = helper.make_graph(
            self.nodes, "graph",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, output_shape)],
            self.constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8
        )
        onnx.checker.check_model(model)
        return model


def write(workload, batch, folder):
    """Writes graph.onnx, weights.safetensors, in.safetensors, input.npy and expected.npy (float64)
    into a folder, and pnnx's conversion of the graph for ncnn, if it succeeds.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    net, x = module(workload), inputs(workload, batch)
    with torch.no_grad():
        expected = net.double()(x.double())
    net = net.float()
    writer = Writer()
    output = writer.network("input", net) if workload.block is None else writer.block("input", net)
    onnx.save(writer.model(output, list(x.shape), list(expected.shape)), folder / "graph.onnx")
    save_file(
        {key: value.contiguous() for key, value in net.state_dict().items()},
        folder / "weights.safetensors",
    )
    save_file({"input": x.contiguous()}, folder / "in.safetensors")
    np.save(folder / "input.npy", x.numpy())
    np.save(folder / "expected.npy", expected.numpy())
    # ncnn has no batches, and pnnx takes shapes from the graph: one of a single image. Weights stay
    # f32, as for all engines here.
    one = [1, *x.shape[1:]]
    onnx.save(writer.model(output, one, [1, *expected.shape[1:]]), folder / "single.onnx")
    command = [
        Path(sys.executable).parent / "pnnx",
        "single.onnx",
        f"inputshape=[{','.join(map(str, one))}]",
        "fp16=0",
    ]
    subprocess.run(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )


def write_step(workload, batch, folder):
    """Writes weights.safetensors and step.safetensors into a folder: a training step's input and
    the gradient of its output, and the results in float64, rounded to f32: the output and the
    gradients of the input and of every parameter.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    net, x = module(workload), inputs(workload, batch)
    save_file(
        {key: value.contiguous() for key, value in net.state_dict().items()},
        folder / "weights.safetensors",
    )
    net, wide = net.double().train(), x.double().requires_grad_()
    out = net(wide)
    generator = torch.Generator().manual_seed(200 + int(workload.name[1:]))
    grad_out = torch.randn(out.shape, generator=generator)
    out.backward(grad_out.double())
    tensors = {"input": x, "grad_out": grad_out, "out": out.detach(), "grad.input": wide.grad}
    tensors |= {f"grad.{key}": parameter.grad for key, parameter in net.named_parameters()}
    save_file(
        {key: value.float().contiguous() for key, value in tensors.items()},
        folder / "step.safetensors",
    )


if __name__ == "__main__":
    name, batch, folder, *train = sys.argv[1:]
    make = write_step if train else write
    make(next(workload for workload in WORKLOADS if workload.name == name), int(batch), folder)
