//! The kernels that the rule picks.

use serde_json::json;
use wgpu_bottleneck::kernel::{Capabilities, DeviceKind, Kernel, candidates, select};
use wgpu_bottleneck::network::{BottleneckBuilder, plan_block, plan_network};
use wgpu_bottleneck::plan::{Plan, PlanKind, Step};
use wgpu_bottleneck::tensor::DType;
use wgpu_bottleneck::{Bottleneck, ResNet, Shape};

use crate::Outcome;
use crate::device::Devices;

const BATCHES: [usize; 3] = [1, 8, 64];

/// The networks, and the sides of their images. DeepLab's backbone of output stride 8 has maps of
/// 65 x 65 for images of 513 x 513.
fn networks() -> Outcome<Vec<(&'static str, ResNet, usize)>> {
    let named = |name| -> Outcome<ResNet> { Ok(ResNet::named(name)?.build()?) };
    let dilated = ResNet::named("resnet50")?.replace_stride_with_dilation([false, true, true]);
    Ok(vec![
        ("resnet50", named("resnet50")?, 224),
        ("resnext50_32x4d", named("resnext50_32x4d")?, 224),
        ("wide_resnet50_2", named("wide_resnet50_2")?, 224),
        ("deeplab_resnet50", dilated.classes(None).build()?, 513),
    ])
}

/// The picks for whole networks, every step of each.
pub fn of_networks(devices: &Devices) -> Outcome {
    for (network, resnet, side) in networks()? {
        for batch in BATCHES {
            let input = Shape::new(batch, 3, side, side)?;
            let plan = plan_network(&resnet, input, PlanKind::Fused)?;
            for dtype in [DType::F32, DType::F16] {
                let plan = in_precision(plan.clone(), dtype)?;
                for (device, capabilities) in devices {
                    if dtype == DType::F16 && !capabilities.f16 {
                        continue;
                    }
                    for step in &plan.steps {
                        let pick = pick(&plan, step, capabilities);
                        let Some((kernel, reason)) = pick else {
                            return Err(
                                format!("no kernel for {} of {network}", step.module).into()
                            );
                        };
                        println!(
                            "{}",
                            json!({
                                "network": network, "batch": batch, "dtype": dtype.name(),
                                "device": device, "step": step.module, "kernel": kernel.name(),
                                "dispatches": names(&kernel), "reason": reason,
                                "flops": flops(&plan, step),
                                "output": plan.tensor(step.output).shape.dims(),
                            })
                        );
                    }
                }
            }
        }
    }
    Ok(())
}

fn in_precision(plan: Plan, dtype: DType) -> Outcome<Plan> {
    Ok(if dtype == DType::F16 { plan.in_half(&[], DType::F16)? } else { plan })
}

/// The rule does not look at memory: tensors may be larger than a binding.
fn pick(plan: &Plan, step: &Step, capabilities: &Capabilities) -> Option<(Kernel, &'static str)> {
    let problem = plan.problem(step);
    select(&problem, &candidates(&problem, capabilities), capabilities)
}

fn flops(plan: &Plan, step: &Step) -> u64 {
    step.op.flops(plan.tensor(step.output).shape)
}

fn names(kernel: &Kernel) -> Vec<String> {
    kernel.dispatches().iter().map(Kernel::name).collect()
}

/// 32 KiB of workgroup memory, 1024 invocations, f16, and more than one subgroup size.
const GPU: Capabilities = Capabilities {
    max_invocations: 1024,
    max_workgroup_x: 1024,
    max_workgroup_y: 1024,
    max_workgroup_bytes: 32 << 10,
    f16: true,
    ..Capabilities::CORE
};

/// Kinds of devices.
const KINDS: [(&str, Capabilities); 4] = [
    ("discrete", GPU),
    (
        "discrete, with matrix units",
        Capabilities {
            subgroup_size: Some(32),
            matrices_of_16: true,
            max_workgroup_bytes: 48 << 10,
            ..GPU
        },
    ),
    ("integrated", Capabilities { kind: DeviceKind::Integrated, ..GPU }),
    ("core limits", Capabilities::CORE),
];

/// The convolutions of a block with this input.
type Layers = (String, Bottleneck, Shape);

/// The first and the second block of each stage of ResNet-50 and ResNeXt-50, and the dilated blocks
/// of DeepLab.
fn layers() -> Outcome<Vec<Layers>> {
    let mut layers = Vec::new();
    for (network, groups, base_width) in [("resnet50", 1, 64), ("resnext50", 32, 4)] {
        for (stage, side, first_side) in [(1, 56, 56), (2, 28, 56), (3, 14, 28), (4, 7, 14)] {
            let planes = 32 << stage;
            let inputs = if stage == 1 { 64 } else { 2 * planes };
            let of = |block: BottleneckBuilder| block.groups(groups).base_width(base_width).build();
            let block = of(Bottleneck::torchvision(4 * planes, planes))?;
            let image = Shape::new(1, 4 * planes, side, side)?;
            layers.push((format!("{network} layer{stage}.1"), block, image));
            let first = Bottleneck::torchvision(inputs, planes).downsample(true);
            let block = of(first.stride(if stage == 1 { 1 } else { 2 }))?;
            let image = Shape::new(1, inputs, first_side, first_side)?;
            layers.push((format!("{network} layer{stage}.0"), block, image));
        }
    }
    for (stage, dilation) in [(3, 2), (4, 4)] {
        let planes = 32 << stage;
        let block = Bottleneck::torchvision(4 * planes, planes).dilation(dilation).build()?;
        let image = Shape::new(1, 4 * planes, 65, 65)?;
        layers.push((format!("deeplab layer{stage}.1"), block, image));
    }
    Ok(layers)
}

/// The picks for single layers, which do not depend on the chip.
pub fn of_layers() -> Outcome {
    for (name, block, image) in layers()? {
        for batch in BATCHES {
            let whole = plan_block(&block, Shape { n: batch, ..image }, PlanKind::Fused)?;
            for dtype in [DType::F32, DType::F16] {
                let plan = in_precision(whole.clone(), dtype)?;
                // The downsample is joined to the last convolution.
                let steps = plan.steps.iter().filter(|step| flops(&plan, step) > 0);
                for step in steps {
                    for (device, capabilities) in KINDS {
                        if dtype == DType::F16 && !capabilities.f16 {
                            continue;
                        }
                        let Some((kernel, _)) = pick(&plan, step, &capabilities) else { continue };
                        println!(
                            "{}",
                            json!({
                                "layer": format!("{name} {}", step.module), "batch": batch,
                                "dtype": dtype.name(), "device": device, "kernel": kernel.name(),
                                "dispatches": names(&kernel), "flops": flops(&plan, step),
                            })
                        );
                    }
                }
            }
        }
    }
    Ok(())
}
