//! The rule that picks kernels, on a table: devices by layers. Nothing here needs a GPU.

use wgpu_bottleneck::kernel::{
    Access, Capabilities, Chip, DeviceKind, Kernel, Tile, candidates, select, select_for_runs,
};
use wgpu_bottleneck::network::ResNet;
use wgpu_bottleneck::network::plan_block;
use wgpu_bottleneck::plan::{KernelChoice, PlanKind};
use wgpu_bottleneck::tensor::DType;
use wgpu_bottleneck::{Bottleneck, LoadOptions, Shape, record_network};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Mesa's lavapipe as version 22.3 reports itself.
const LAVAPIPE: Capabilities = Capabilities {
    max_invocations: 1024,
    max_workgroup_x: 1024,
    max_workgroup_y: 1024,
    max_workgroup_bytes: 32 << 10,
    subgroup_size: Some(8),
    int64: true,
    f16: true,
    kind: DeviceKind::Software,
    ..Capabilities::CORE
};

/// The devices of the table.
const DEVICES: [(&str, Capabilities); 6] = [
    ("lavapipe", LAVAPIPE),
    ("llvmpipe GL", Capabilities { subgroup_size: None, int64: false, ..LAVAPIPE }),
    (
        "SwiftShader",
        Capabilities { max_invocations: 256, subgroup_size: Some(4), int64: false, ..LAVAPIPE },
    ),
    // 132 multiprocessors, subgroups of 32.
    (
        "H100",
        Capabilities {
            subgroup_size: Some(32),
            int64: true,
            kind: DeviceKind::Discrete,
            chip: Chip::AMPERE,
            ..LAVAPIPE
        },
    ),
    // Subgroups of 8, 16 or 32 lanes, as the driver likes.
    (
        "integrated",
        Capabilities {
            subgroup_size: None,
            int64: true,
            kind: DeviceKind::Integrated,
            chip: Chip::INTEL,
            ..LAVAPIPE
        },
    ),
    ("core limits", Capabilities::CORE),
];

/// Layers, and the kernel that a large GPU with matrix units of 16 x 16 takes, and an integrated
/// one with those of 8 x 8.
const OF_MATRIX_UNITS: &[(&str, [&str; 2])] = &[
    (
        "resnet50 layer1.1 conv1",
        ["conv1x1_matrix_l32s4r2c2_m16_f16", "conv1x1_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnet50 layer1.1 conv2",
        ["conv3x3_matrix_l32s2r1c2_m16_k4_f16", "conv3x3_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnet50 layer1.1 conv3",
        ["conv1x1_matrix_l32s4r2c2_m16_f16", "conv1x1_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnet50 layer2.1 conv1",
        ["conv1x1_matrix_l32s4r2c2_m16_k8_f16", "conv1x1_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnet50 layer2.1 conv2",
        ["conv3x3_matrix_l32s4r2c2_m16_k8_f16", "conv3x3_matrix_l32s2r2c2_m8_k4_f16"],
    ),
    (
        "resnet50 layer2.1 conv3",
        ["conv1x1_matrix_l32s4r2c2_m16_f16", "conv1x1_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnet50 layer3.1 conv1",
        ["conv1x1_matrix_l32s4r2c2_m16_k16_f16", "conv1x1_matrix_l32s2r2c2_m8_k4_f16"],
    ),
    (
        "resnet50 layer3.1 conv2",
        ["conv3x3_matrix_l32s4r2c2_m16_k16_f16", "conv3x3_matrix_l32s4r4c4_m8_k8_f16"],
    ),
    (
        "resnet50 layer3.1 conv3",
        ["conv1x1_matrix_l32s4r2c2_m16_f16", "conv1x1_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnet50 layer4.1 conv1",
        ["conv1x1_matrix_l32s4r2c2_m16_k16_f16", "conv1x1_matrix_l32s4r4c4_m8_k8_f16"],
    ),
    (
        "resnet50 layer4.1 conv2",
        ["conv3x3_matrix_l32s4r2c2_m16_k16_f16", "conv3x3_matrix_l32s4r4c4_m8_k8_f16"],
    ),
    (
        "resnet50 layer4.1 conv3",
        ["conv1x1_matrix_l32s4r2c2_m16_k8_f16", "conv1x1_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnext50 layer1.1 conv2",
        ["conv3x3_grouped_matrix_l32s2r4c1_m16_f16", "conv3x3_grouped_matrix_l32s2r4c2_m8_f16"],
    ),
    (
        "resnext50 layer2.1 conv2",
        ["conv3x3_grouped_matrix_l32s2r4c1_m16_f16", "conv3x3_grouped_matrix_l32s2r4c2_m8_f16"],
    ),
    (
        "resnext50 layer3.1 conv2",
        ["conv3x3_grouped_matrix_l32s2r4c1_m16_f16", "conv3x3_grouped_matrix_l32s2r4c2_m8_f16"],
    ),
    (
        "resnext50 layer4.1 conv2",
        ["conv3x3_grouped_matrix_l32s2r4c1_m16_f16", "conv3x3_grouped_matrix_l32s2r4c2_m8_f16"],
    ),
    (
        "resnet50 layer2.0 conv3",
        ["conv1x1_joined_matrix_l32s4r2c2_m16_f16", "conv1x1_joined_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnext50 layer2.0 conv2",
        ["conv3x3_grouped_matrix_l32s2r4c1_m16_f16", "conv3x3_grouped_matrix_l32s2r4c2_m8_f16"],
    ),
    (
        "resnet50 layer1.1 conv1, batch 64",
        ["conv1x1_matrix_l32s4r2c2_m16_f16", "conv1x1_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnet50 layer1.1 conv2, batch 64",
        ["conv3x3_matrix_l32s4r2c2_m16_f16", "conv3x3_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnet50 layer1.1 conv3, batch 64",
        ["conv1x1_matrix_l32s4r4c4_m16_f16", "conv1x1_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnet50 layer2.1 conv1, batch 64",
        ["conv1x1_matrix_l32s4r4c4_m16_f16", "conv1x1_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnet50 layer2.1 conv2, batch 64",
        ["conv3x3_matrix_l32s4r4c4_m16_f16", "conv3x3_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnet50 layer2.1 conv3, batch 64",
        ["conv1x1_matrix_l32s4r4c4_m16_f16", "conv1x1_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnet50 layer3.1 conv1, batch 64",
        ["conv1x1_matrix_l32s4r2c2_m16_f16", "conv1x1_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnet50 layer3.1 conv2, batch 64",
        ["conv3x3_matrix_l32s4r2c2_m16_f16", "conv3x3_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnet50 layer3.1 conv3, batch 64",
        ["conv1x1_matrix_l32s4r4c4_m16_f16", "conv1x1_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnet50 layer4.1 conv1, batch 64",
        ["conv1x1_matrix_l32s4r2c2_m16_f16", "conv1x1_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnet50 layer4.1 conv2, batch 64",
        ["conv3x3_matrix_l32s4r2c2_m16_f16", "conv3x3_matrix_l32s4r4c4_m8_f16"],
    ),
    (
        "resnet50 layer4.1 conv3, batch 64",
        ["conv1x1_matrix_l32s4r4c4_m16_f16", "conv1x1_matrix_l32s4r4c4_m8_f16"],
    ),
];

/// Layers, and the kernel that each device takes, in the order of `DEVICES`.
const TABLE: &[(&str, [&str; 6])] = &[
    (
        "resnet50 layer1.1 conv1",
        [
            "conv1x1_subgroup_l8s1r16c2_texture",
            "conv1x1_l8s1r16c2",
            "conv1x1_subgroup_l4s1r16c2",
            "conv1x1_staged_l16s16r8c1_k4",
            "conv1x1_staged_l16s16r8c1",
            "conv1x1_staged_l8s8r4c1_k4",
        ],
    ),
    (
        "resnet50 layer1.1 conv2",
        [
            "conv3x3_subgroup_l8s1r16c2_texture",
            "conv3x3_winograd_l8s1r16c2_f4x4",
            "conv3x3_winograd_subgroup_l4s1r16c2_f4x4",
            "conv3x3_staged_l16s16r8c1_k4",
            "conv3x3_staged_l16s16r8c1",
            "conv3x3_staged_l16s16r4c1_k8",
        ],
    ),
    (
        "resnet50 layer1.1 conv3",
        [
            "conv1x1_subgroup_l8s1r14c4_texture",
            "conv1x1_l8s1r16c2",
            "conv1x1_subgroup_l4s1r16c2",
            "conv1x1_staged_l16s16r8c1",
            "conv1x1_staged_l16s16r8c1",
            "conv1x1_staged_l16s16r4c1",
        ],
    ),
    (
        "resnet50 layer2.1 conv1",
        [
            "conv1x1_subgroup_l8s1r14c4_texture",
            "conv1x1_l8s1r16c2",
            "conv1x1_subgroup_l4s1r16c2",
            "conv1x1_staged_l16s16r4c2_k8",
            "conv1x1_staged_l16s16r8c1",
            "conv1x1_staged_l8s8r4c1_k4",
        ],
    ),
    (
        "resnet50 layer2.1 conv2",
        [
            "conv3x3_winograd_subgroup_l8s1r14c4_f4x4_texture",
            "conv3x3_winograd_l8s1r16c2_f4x4",
            "conv3x3_winograd_subgroup_l4s1r16c2_f4x4",
            "conv3x3_staged_l16s16r4c2_k8",
            "conv3x3_staged_l16s16r8c1",
            "conv3x3_staged_l16s16r4c1_k8",
        ],
    ),
    (
        "resnet50 layer2.1 conv3",
        [
            "conv1x1_subgroup_l8s1r14c4_texture",
            "conv1x1_l8s1r16c2",
            "conv1x1_subgroup_l4s1r16c2",
            "conv1x1_staged_l16s16r4c1",
            "conv1x1_staged_l16s16r8c1",
            "conv1x1_staged_l16s16r4c1",
        ],
    ),
    (
        "resnet50 layer3.1 conv1",
        [
            "conv1x1_subgroup_l8s1r14c4_texture",
            "conv1x1_l8s1r16c2",
            "conv1x1_subgroup_l4s1r16c2",
            "conv1x1_staged_l16s16r8c1_k16",
            "conv1x1_staged_l16s16r8c1_k4",
            "conv1x1_staged_l8s8r4c1_k8",
        ],
    ),
    (
        "resnet50 layer3.1 conv2",
        [
            "conv3x3_winograd_subgroup_l8s1r16c2_f4x4_texture",
            "conv3x3_winograd_l8s1r16c2_f4x4",
            "conv3x3_winograd_subgroup_l4s1r16c2_f4x4",
            "conv3x3_staged_l16s16r8c1_k16",
            "conv3x3_staged_l16s16r8c1_k4",
            "conv3x3_staged_l8s8r4c1_k8",
        ],
    ),
    (
        "resnet50 layer3.1 conv3",
        [
            "conv1x1_subgroup_l8s1r14c4_texture",
            "conv1x1_l8s1r16c2",
            "conv1x1_subgroup_l4s1r16c2",
            "conv1x1_staged_l16s16r8c1_k4",
            "conv1x1_staged_l16s16r8c1",
            "conv1x1_staged_l8s8r4c1_k4",
        ],
    ),
    (
        "resnet50 layer4.1 conv1",
        [
            "conv1x1_subgroup_l8s1r14c4_texture",
            "conv1x1_l8s1r16c2",
            "conv1x1_subgroup_l4s1r16c2",
            "conv1x1_staged_l16s16r4c2_k32",
            "conv1x1_staged_l16s16r4c1_k8",
            "conv1x1_staged_l16s16r4c1_k16",
        ],
    ),
    (
        "resnet50 layer4.1 conv2",
        [
            "conv3x3_winograd_subgroup_l8s1r16c2_f2x2_texture",
            "conv3x3_winograd_l8s1r16c2_f2x2",
            "conv3x3_winograd_subgroup_l4s1r16c2_f2x2",
            "conv3x3_staged_l16s16r4c2_k32",
            "conv3x3_staged_l16s16r4c1_k8",
            "conv3x3_staged_l16s16r4c1_k16",
        ],
    ),
    (
        "resnet50 layer4.1 conv3",
        [
            "conv1x1_subgroup_l8s1r14c4_texture",
            "conv1x1_l8s1r16c2",
            "conv1x1_subgroup_l4s1r16c2",
            "conv1x1_staged_l16s16r4c2_k8",
            "conv1x1_staged_l16s16r4c1",
            "conv1x1_staged_l16s16r4c1_k8",
        ],
    ),
    (
        "resnext50 layer1.1 conv2",
        [
            "conv3x3_grouped_slide_l8s1r7c1_texture",
            "conv3x3_grouped_window_l8s1r14c1",
            "conv3x3_grouped_window_l8s1r14c1",
            "conv3x3_grouped_staged_l8s8r4c1",
            "conv3x3_grouped_staged_l8s8r4c1",
            "conv3x3_grouped_staged_l8s8r4c1",
        ],
    ),
    (
        "resnext50 layer2.1 conv2",
        [
            "conv3x3_grouped_window_l8s1r14c2_texture",
            "conv3x3_grouped_window_l8s1r14c2",
            "conv3x3_grouped_window_l8s1r14c2",
            "conv3x3_grouped_l16s4r1c1",
            "conv3x3_grouped_staged_l8s4r4c1",
            "conv3x3_grouped_l16s4r1c1",
        ],
    ),
    (
        "resnext50 layer3.1 conv2",
        [
            "conv3x3_grouped_window_l8s1r14c2_texture",
            "conv3x3_grouped_window_l8s1r14c2",
            "conv3x3_grouped_window_l8s1r14c2",
            "conv3x3_grouped_l16s4r1c1",
            "conv3x3_grouped_window_l16s4r4c1",
            "conv3x3_grouped_l16s4r1c1",
        ],
    ),
    (
        "resnext50 layer4.1 conv2",
        [
            "conv3x3_grouped_window_l8s1r14c2_texture",
            "conv3x3_grouped_window_l8s1r7c2",
            "conv3x3_grouped_window_l8s1r7c2",
            "conv3x3_grouped_l16s4r1c1",
            "conv3x3_grouped_staged_l8s8r4c1",
            "conv3x3_grouped_l16s4r1c1",
        ],
    ),
    (
        "resnet50 layer2.0 conv3",
        [
            "conv1x1_joined_subgroup_l8s1r16c2_texture",
            "conv1x1_joined_l8s1r16c2",
            "conv1x1_joined_subgroup_l4s1r16c2",
            "conv1x1_joined_staged_l16s16r8c1_k4",
            "conv1x1_joined_staged_l16s16r8c1",
            "conv1x1_joined_staged_l16s16r4c1",
        ],
    ),
    (
        "resnext50 layer2.0 conv2",
        [
            "conv3x3_grouped_window_l8s1r14c2_texture_strided",
            "conv3x3_grouped_window_l8s1r14c2_strided",
            "conv3x3_grouped_window_l8s1r14c2_strided",
            "conv3x3_grouped_l16s4r1c1",
            "conv3x3_grouped_staged_l8s4r4c1_strided",
            "conv3x3_grouped_l16s4r1c1",
        ],
    ),
    (
        "resnet50 layer1.1 conv1, batch 64",
        [
            "conv1x1_subgroup_l8s1r16c2_texture",
            "conv1x1_l8s1r16c2",
            "conv1x1_subgroup_l4s1r16c2",
            "conv1x1_staged_l8s8r8c2",
            "conv1x1_staged_l16s16r8c1",
            "conv1x1_staged_l16s16r4c1",
        ],
    ),
    (
        "resnet50 layer1.1 conv2, batch 64",
        [
            "conv3x3_subgroup_l8s1r16c2_texture",
            "conv3x3_winograd_l8s1r16c2_f4x4",
            "conv3x3_winograd_subgroup_l4s1r16c2_f4x4",
            "conv3x3_staged_l8s8r8c2",
            "conv3x3_staged_l16s16r8c1",
            "conv3x3_staged_l16s16r4c1",
        ],
    ),
    (
        "resnet50 layer1.1 conv3, batch 64",
        [
            "conv1x1_subgroup_l8s1r14c4_texture",
            "conv1x1_l8s1r16c2",
            "conv1x1_subgroup_l4s1r16c2",
            "conv1x1_staged_l16s16r8c2",
            "conv1x1_staged_l16s16r8c1",
            "conv1x1_staged_l16s16r4c1",
        ],
    ),
    (
        "resnet50 layer2.1 conv1, batch 64",
        [
            "conv1x1_subgroup_l8s1r14c4_texture",
            "conv1x1_l8s1r16c2",
            "conv1x1_subgroup_l4s1r16c2",
            "conv1x1_staged_l16s16r8c2",
            "conv1x1_staged_l16s16r8c1",
            "conv1x1_staged_l16s16r4c1",
        ],
    ),
    (
        "resnet50 layer2.1 conv2, batch 64",
        [
            "conv3x3_winograd_subgroup_l8s1r14c4_f4x4_texture",
            "conv3x3_winograd_l8s1r16c2_f4x4",
            "conv3x3_winograd_subgroup_l4s1r16c2_f4x4",
            "conv3x3_staged_l16s16r8c2",
            "conv3x3_staged_l16s16r8c1",
            "conv3x3_staged_l16s16r4c1",
        ],
    ),
    (
        "resnet50 layer2.1 conv3, batch 64",
        [
            "conv1x1_subgroup_l8s1r14c4_texture",
            "conv1x1_l8s1r16c2",
            "conv1x1_subgroup_l4s1r16c2",
            "conv1x1_staged_l16s16r8c2",
            "conv1x1_staged_l16s16r8c1",
            "conv1x1_staged_l16s16r4c1",
        ],
    ),
    (
        "resnet50 layer3.1 conv1, batch 64",
        [
            "conv1x1_subgroup_l8s1r14c4_texture",
            "conv1x1_l8s1r16c2",
            "conv1x1_subgroup_l4s1r16c2",
            "conv1x1_staged_l16s16r8c2",
            "conv1x1_staged_l16s16r8c1",
            "conv1x1_staged_l16s16r4c1",
        ],
    ),
    (
        "resnet50 layer3.1 conv2, batch 64",
        [
            "conv3x3_winograd_subgroup_l8s1r14c4_f4x4_texture",
            "conv3x3_winograd_l8s1r16c2_f4x4",
            "conv3x3_winograd_subgroup_l4s1r16c2_f4x4",
            "conv3x3_staged_l16s16r8c2",
            "conv3x3_staged_l16s16r8c1",
            "conv3x3_staged_l16s16r4c1",
        ],
    ),
    (
        "resnet50 layer3.1 conv3, batch 64",
        [
            "conv1x1_subgroup_l8s1r14c4_texture",
            "conv1x1_l8s1r16c2",
            "conv1x1_subgroup_l4s1r16c2",
            "conv1x1_staged_l16s16r8c2",
            "conv1x1_staged_l16s16r8c1",
            "conv1x1_staged_l16s16r4c1",
        ],
    ),
    (
        "resnet50 layer4.1 conv1, batch 64",
        [
            "conv1x1_subgroup_l8s1r14c4_texture",
            "conv1x1_l8s1r16c2",
            "conv1x1_subgroup_l4s1r16c2",
            "conv1x1_staged_l16s16r8c2",
            "conv1x1_staged_l16s16r8c1",
            "conv1x1_staged_l16s16r4c1",
        ],
    ),
    (
        "resnet50 layer4.1 conv2, batch 64",
        [
            "conv3x3_winograd_subgroup_l8s1r16c2_f4x4_texture",
            "conv3x3_winograd_l8s1r16c2_f4x4",
            "conv3x3_winograd_subgroup_l4s1r16c2_f4x4",
            "conv3x3_staged_l16s16r8c2",
            "conv3x3_staged_l16s16r8c1",
            "conv3x3_staged_l16s16r4c1",
        ],
    ),
    (
        "resnet50 layer4.1 conv3, batch 64",
        [
            "conv1x1_subgroup_l8s1r14c4_texture",
            "conv1x1_l8s1r16c2",
            "conv1x1_subgroup_l4s1r16c2",
            "conv1x1_staged_l8s8r8c2",
            "conv1x1_staged_l16s16r8c1",
            "conv1x1_staged_l16s16r4c1",
        ],
    ),
];

/// A layer of the table: its name, its block, the block's input, and the step.
type Layer = (String, Bottleneck, Shape, usize);

fn layers() -> Result<Vec<Layer>, Box<dyn std::error::Error>> {
    let mut layers = Vec::new();
    for (net, groups, base_width) in [("resnet50", 1, 64), ("resnext50", 32, 4)] {
        for (stage, side) in [(1, 56), (2, 28), (3, 14), (4, 7)] {
            let planes = 32 << stage;
            let block = Bottleneck::torchvision(4 * planes, planes)
                .groups(groups)
                .base_width(base_width)
                .build()?;
            for (step, name) in ["conv1", "conv2", "conv3"].into_iter().enumerate() {
                if groups == 1 || name == "conv2" {
                    let image = Shape::new(1, 4 * planes, side, side)?;
                    layers.push((format!("{net} layer{stage}.1 {name}"), block, image, step));
                }
            }
        }
    }
    let strided = Bottleneck::torchvision(256, 128).stride(2).downsample(true);
    layers.push((
        "resnet50 layer2.0 conv3".to_owned(),
        strided.build()?,
        Shape::new(1, 256, 56, 56)?,
        2,
    ));
    let strided = strided.groups(32).base_width(4).build()?;
    layers.push(("resnext50 layer2.0 conv2".to_owned(), strided, Shape::new(1, 256, 56, 56)?, 1));
    for (stage, side) in [(1, 56), (2, 28), (3, 14), (4, 7)] {
        let planes = 32 << stage;
        let block = Bottleneck::torchvision(4 * planes, planes).build()?;
        let image = Shape::new(64, 4 * planes, side, side)?;
        for (step, name) in ["conv1", "conv2", "conv3"].into_iter().enumerate() {
            layers.push((format!("resnet50 layer{stage}.1 {name}, batch 64"), block, image, step));
        }
    }
    Ok(layers)
}

/// Family and tile, without the epilogue.
fn short(kernel: &Kernel) -> String {
    let name = kernel.name();
    name.split_inclusive('_')
        .take_while(|part| !["bias_", "bias"].contains(part))
        .collect::<String>()
        .trim_end_matches('_')
        .to_owned()
}

/// What devices take of the layers in this precision must be what a table says.
fn hold_against<const N: usize>(
    table: &[(&str, [&str; N])],
    devices: [Capabilities; N],
    precision: DType,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut found = Vec::new();
    for (name, block, image, step) in layers()? {
        let plan = plan_block(&block, image, PlanKind::Fused)?;
        let plan = if precision == DType::F16 { plan.in_half(&[], DType::F16)? } else { plan };
        let problem = plan.problem(&plan.steps[step]);
        let pick = |device: Capabilities| {
            let pick = select(&problem, &candidates(&problem, &device), &device);
            pick.map_or_else(|| "none".to_owned(), |(kernel, _)| short(&kernel))
        };
        found.push((name, devices.map(pick)));
    }
    let expected: Vec<(String, [String; N])> =
        table.iter().map(|(name, picks)| ((*name).to_owned(), picks.map(str::to_owned))).collect();
    let listing: String =
        found.iter().map(|(name, picks)| format!("    ({name:?}, {picks:?}),\n")).collect();
    assert!(found == expected, "the picks have changed:\n{listing}");
    Ok(())
}

#[test]
fn the_table() -> Outcome {
    hold_against(TABLE, DEVICES.map(|(_, device)| device), DType::F32)
}

/// In half precision on devices with matrix units.
#[test]
fn the_table_of_matrix_units() -> Outcome {
    let discrete = DEVICES[3].1;
    let integrated = Capabilities { matrices_of_8: true, kind: DeviceKind::Integrated, ..discrete };
    let devices = [Capabilities { matrices_of_16: true, ..discrete }, integrated];
    hold_against(OF_MATRIX_UNITS, devices, DType::F16)?;
    // Large batches fill any device.
    let cut = |(name, picks): &&(&str, [&str; 2])| {
        name.ends_with("batch 64") && picks.iter().any(|pick| pick.contains("_k"))
    };
    assert_eq!(OF_MATRIX_UNITS.iter().find(cut), None);
    Ok(())
}

#[test]
fn every_pick_has_a_reason_that_fits_the_device() -> Outcome {
    for (name, block, image, step) in layers()? {
        let plan = plan_block(&block, image, PlanKind::Fused)?;
        let problem = plan.problem(&plan.steps[step]);
        for (device, capabilities) in DEVICES {
            let candidates = candidates(&problem, &capabilities);
            let (kernel, reason) =
                select(&problem, &candidates, &capabilities).ok_or("no kernel")?;
            let sort =
                if capabilities.kind == DeviceKind::Software { "software" } else { "hardware" };
            assert!(
                candidates.contains(&kernel) && reason.starts_with(sort),
                "{name} on {device}: {reason}"
            );
            // The same question has the same answer.
            assert_eq!(select(&problem, &candidates, &capabilities), Some((kernel, reason)));
            assert_eq!(select(&problem, &[kernel], &capabilities), Some((kernel, "the only one")));
            assert_eq!(select(&problem, &[], &capabilities), None);
        }
    }
    Ok(())
}

/// K is cut into slices where tiles as large would leave hardware idle without, and never on a
/// software driver.
#[test]
fn k_is_cut_where_hardware_would_idle() -> Outcome {
    let mut cut = [0; 2];
    for (name, block, image, step) in layers()? {
        for (batch, cut) in [1, 64].into_iter().zip(&mut cut) {
            let plan = plan_block(&block, Shape { n: batch, ..image }, PlanKind::Fused)?;
            let problem = plan.problem(&plan.steps[step]);
            for (device, capabilities) in DEVICES {
                let mut candidates = candidates(&problem, &capabilities);
                let (kernel, reason) =
                    select(&problem, &candidates, &capabilities).ok_or("no kernel")?;
                if !kernel.is_split() {
                    continue;
                }
                let size = |Tile { workgroup_x, workgroup_y, rows_per_thread, cols_per_thread }| {
                    workgroup_x * workgroup_y * rows_per_thread * cols_per_thread
                };
                candidates.retain(|other| {
                    other.family == kernel.family
                        && !other.is_split()
                        && size(other.tile) >= size(kernel.tile)
                });
                let (whole, why) =
                    select(&problem, &candidates, &capabilities).ok_or("no kernel")?;
                *cut += 1;
                assert_ne!(capabilities.kind, DeviceKind::Software, "{name} on {device}");
                assert!(
                    reason.ends_with("so K is cut into slices"),
                    "{name} on {device}: {reason}"
                );
                assert!(
                    why.starts_with("hardware: too small to fill the device")
                        || why == "the only one",
                    "{name} on {device}: {whole:?}"
                );
            }
        }
    }
    assert!(cut[0] > 20 && cut[1] == 0, "{cut:?}");
    Ok(())
}

/// Few runs on a software driver get kernels that are soon compiled; many, and all on hardware, the
/// fastest.
#[test]
fn what_compiling_takes_counts_for_few_runs() -> Outcome {
    for (name, block, image, step) in layers()? {
        let plan = plan_block(&block, image, PlanKind::Fused)?;
        let problem = plan.problem(&plan.steps[step]);
        for (device, capabilities) in DEVICES {
            let candidates = candidates(&problem, &capabilities);
            let lasting = select(&problem, &candidates, &capabilities).ok_or("no kernel")?;
            let pick = |runs, compiled: &[Kernel]| {
                select_for_runs(&problem, &candidates, &capabilities, runs, compiled)
                    .ok_or("no kernel")
            };
            let time = |kernel: &Kernel| -> std::time::Duration {
                kernel.dispatches().iter().map(|stage| stage.compile_time(&capabilities)).sum()
            };
            assert_eq!(pick(u32::MAX, &[])?, lasting, "{name} on {device}: many runs");
            assert_eq!(
                pick(1, &lasting.0.dispatches())?,
                lasting,
                "{name} on {device}: one that is compiled anyway"
            );
            let (once, reason) = pick(1, &[])?;
            assert!(
                time(&once) <= time(&lasting.0),
                "{name} on {device}: {once:?} takes longer to compile"
            );
            if capabilities.kind != DeviceKind::Software {
                assert_eq!(
                    (once, reason),
                    lasting,
                    "{name} on {device}: compiling costs nothing known"
                );
            } else if device == "lavapipe" && name.starts_with("resnet50") && image.n == 1 {
                assert!(short(&once).ends_with("subgroup_l8s1r8c1_texture"), "{name}: {once:?}");
                assert_eq!(reason, "software: compiled quickly, for few runs");
            }
        }
    }
    Ok(())
}

/// A network's layers share the kernels that one of them has.
#[test]
fn few_runs_of_a_network_compile_few_kernels() -> Outcome {
    let network = ResNet::named("resnet50")?.build()?;
    let compiling = |kernels| -> Result<_, Box<dyn std::error::Error>> {
        let options = LoadOptions { kernels, ..LoadOptions::default() };
        let recording = record_network(&network, Shape::new(1, 3, 224, 224)?, &LAVAPIPE, &options)?;
        let steps = recording.segments.iter().flat_map(|segment| &segment.steps);
        let kernels: std::collections::HashSet<Kernel> =
            steps.flat_map(|step| step.kernel.dispatches()).collect();
        Ok(kernels.iter().map(|kernel| kernel.compile_time(&LAVAPIPE).as_secs_f64()).sum::<f64>())
    };
    let (once, often) = (compiling(KernelChoice::RankedFor(1))?, compiling(KernelChoice::Ranked)?);
    assert!(once < 0.25 * often, "{once} s to compile for one run, {often} s for many");
    assert!((compiling(KernelChoice::RankedFor(u32::MAX))? - often).abs() < 1e-9);
    Ok(())
}

#[test]
fn a_kernel_that_cannot_run_says_why() {
    let all = wgpu_bottleneck::kernel::all_specialisations();
    let why = |device: &Capabilities| -> std::collections::BTreeSet<&str> {
        all.iter().filter_map(|kernel| kernel.runs_on(device).err()).collect()
    };
    let subgroups = "not every subgroup has as many lanes as its tile";
    let matrices = "no matrix units for matrices of its side";
    assert_eq!(why(&LAVAPIPE), [subgroups, matrices, "too little workgroup memory"].into());
    let memory = "too little workgroup memory";
    let core = [subgroups, "no 64-bit integers", "no half precision", memory];
    assert_eq!(why(&Capabilities::CORE), core.into());
    let hardware = Capabilities { kind: DeviceKind::Discrete, ..LAVAPIPE };
    assert!(why(&hardware).contains("weights from a texture are for software drivers"));
    let tiny = Capabilities { max_invocations: 64, ..LAVAPIPE };
    assert!(why(&tiny).contains("the workgroup is too large"));
}

/// 512 output channels of a 3x3 convolution of 512 are 512 texels by 1153 lines.
#[test]
fn weights_too_large_for_a_texture_come_from_a_buffer() -> Outcome {
    let plan = plan_block(
        &Bottleneck::torchvision(2048, 512).build()?,
        Shape::new(1, 2048, 7, 7)?,
        PlanKind::Fused,
    )?;
    let problem = plan.problem(&plan.steps[1]);
    for (side, textures) in [(512, false), (1152, false), (1153, true), (8192, true)] {
        let device = Capabilities { max_texture_side: side, ..LAVAPIPE };
        let mut candidates = candidates(&problem, &device);
        // Winograd's weights are more lines.
        candidates.retain(|kernel| kernel.winograd.is_none());
        let (pick, _) = select(&problem, &candidates, &device).ok_or("no kernel")?;
        for kernel in candidates.iter().filter(|kernel| kernel.access == Access::Texture) {
            assert_eq!(kernel.weights_texture(&problem), Some([512, 1153]));
        }
        assert_eq!(
            candidates.iter().any(|kernel| kernel.access == Access::Texture),
            textures,
            "side {side}"
        );
        assert_eq!(
            pick.access,
            if textures { Access::Texture } else { Access::Vectors },
            "side {side}"
        );
    }
    Ok(())
}
