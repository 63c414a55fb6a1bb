"""The workloads W1 to W6: five blocks and a network."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """A module's arguments and its input, NCHW; `options` are those of `bottleneck block`."""

    name: str
    what: str
    shape: tuple
    block: dict | None
    options: tuple = ()


WORKLOADS = [
    Workload("w1", "ResNet-50 layer1.1", (1, 256, 56, 56), {"inplanes": 256, "planes": 64}),
    Workload("w2", "ResNet-50 layer2.0", (1, 256, 56, 56),
             {"inplanes": 256, "planes": 128, "stride": 2}, ("--stride", "2")),
    Workload("w3", "ResNet-50 layer3.1", (1, 1024, 14, 14), {"inplanes": 1024, "planes": 256}),
    Workload("w4", "ResNeXt-50 32x4d layer2.1", (1, 512, 28, 28),
             {"inplanes": 512, "planes": 128, "groups": 32, "base_width": 4},
             ("--groups", "32", "--base-width", "4")),
    Workload("w5", "ResNet-50 layer4.1, dilation 2", (1, 2048, 28, 28),
             {"inplanes": 2048, "planes": 512, "dilation": 2}, ("--dilation", "2")),
    Workload("w6", "ResNet-50", (1, 3, 224, 224), None),
]
# Those of `cargo bench --bench training`.
TRAINED = ["w1", "w4", "w5"]
