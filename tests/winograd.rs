//! Winograd's convolutions: as near to f64 as they promise on any data, within their memory, and no
//! candidate where they would not be. Where NaN may spread to is the self test's to check
//! (src/selftest/nan_propagation.rs).

use crate::common::exact::check_recording;
use crate::common::seeded::Seeded;
use crate::common::{Outcome, Target, targets};
use wgpu_bottleneck::kernel::{Capabilities, DeviceKind, Kernel, Winograd, candidates};
use wgpu_bottleneck::op::{Conv, Epilogue, Op, StepParams};
use wgpu_bottleneck::plan::{
    KernelChoice, Location, MemoryBudget, Plan, PlanKind, Recording, Role, Step, TensorId,
    TensorInfo, schedule,
};
use wgpu_bottleneck::selftest::layouts;
use wgpu_bottleneck::{Bottleneck, Gpu, HostTensor, Shape, network, reference};

/// A convolution, the image that it is given, and the seed of both.
#[derive(Debug, Clone, Copy)]
struct Case {
    conv: Conv,
    epilogue: Epilogue,
    image: Shape,
    seed: u64,
}

/// A number between -1 and 1.
fn uniform(random: &mut Seeded) -> f32 {
    random.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0
}

impl Case {
    /// A convolution of the image; its residual, if any, is a 1x1 convolution of the image.
    fn plan(&self) -> Result<Plan, wgpu_bottleneck::Error> {
        let Self { conv, epilogue, image, .. } = *self;
        let op = Op::Conv { conv, epilogue };
        let (inputs, layout_out) = layouts(&op);
        let shape = conv.output_shape(image)?;
        let tensor = |name: &str, shape, layout| TensorInfo::pixels(name, shape, layout);
        let mut tensors = vec![tensor("input", image, inputs[0])];
        let mut steps = Vec::new();
        if epilogue.residual {
            let side = Conv::conv1x1(conv.in_channels, conv.out_channels, 1);
            tensors.push(tensor("side", shape, layout_out));
            let op = Op::Conv { conv: side, epilogue: Epilogue::default() };
            let (inputs, output) = (vec![TensorId(0)], TensorId(1));
            steps.push(Step {
                block: 0,
                module: "side".to_owned(),
                role: Role::Downsample,
                op,
                inputs,
                weights: None,
                output,
            });
        }
        let inputs = (0..tensors.len()).map(TensorId).collect();
        let output = TensorId(tensors.len());
        tensors.push(tensor("output", shape, layout_out));
        steps.push(Step {
            block: 0,
            module: "conv".to_owned(),
            role: Role::Conv2,
            op,
            inputs,
            weights: None,
            output,
        });
        let blocks = vec![0..steps.len(); 1];
        let (kind, input) = (PlanKind::Fused, TensorId(0));
        Ok(Plan {
            kind,
            tensors,
            steps,
            blocks,
            input,
            output,
            variables: Vec::new(),
            fetches: Vec::new(),
            updates: Vec::new(),
        })
    }

    fn params(&self, plan: &Plan) -> Vec<StepParams> {
        let mut random = Seeded::new(self.seed);
        let mut values =
            |count: usize| (0..count).map(|_| uniform(&mut random)).collect::<Vec<f32>>();
        let mut of = |step: &Step| match step.op {
            Op::Conv { conv, epilogue } => StepParams::Conv {
                weight: values(conv.weights()),
                bias: values(if epilogue.bias { conv.out_channels } else { 0 }),
            },
            _ => StepParams::None,
        };
        plan.steps.iter().map(&mut of).collect()
    }

    /// With every kernel of Winograd's that the target can run: how many.
    fn check(&self, target: &Target) -> Result<usize, String> {
        let text = |error: wgpu_bottleneck::Error| error.to_string();
        let plan = self.plan().map_err(text)?;
        let (params, capabilities) = (self.params(&plan), target.gpu.capabilities());
        let mut random = Seeded::new(self.seed ^ 1);
        // As after a ReLU: no value is negative, so that nothing cancels for a reason of the
        // data's.
        let positive = self.seed.is_multiple_of(2);
        let input = HostTensor::from_fn(self.image, |_| {
            let value = uniform(&mut random);
            if positive { value.abs() } else { value }
        });
        let kernels = candidates(&plan.problem(&plan.steps[plan.steps.len() - 1]), capabilities);
        let mut expected = None;
        let mut count = 0;
        for (at, kernel) in
            kernels.iter().enumerate().filter(|(_, kernel)| kernel.winograd.is_some())
        {
            let choice = KernelChoice::Nth(at);
            let recording = schedule(plan.clone(), capabilities, &choice, MemoryBudget::UNBOUNDED)
                .map_err(text)?;
            if expected.is_none() {
                expected = Some(
                    reference::run(&recording, &params, &input)
                        .map_err(|error| error.to_string())?,
                );
            }
            let Some(expected) = &expected else { continue };
            let checked = check_recording(&target.gpu, recording, &params, &input, expected);
            checked.map_err(|error| {
                format!("{error}; {} on {}: {self:?}", kernel.name(), target.name)
            })?;
            count += 1;
        }
        Ok(count)
    }
}

fn epilogue(bits: usize) -> Epilogue {
    Epilogue { bias: bits & 1 != 0, residual: bits & 2 != 0, relu: bits & 4 != 0 }
}

#[test]
fn any_size_dilation_and_epilogue() -> Outcome {
    let (mut random, mut count) = (Seeded::new(11), 0);
    for at in 0..24 {
        let dilation = random.pick(&[1, 1, 2, 3, 4, 12]);
        let conv = Conv::conv3x3(1 + random.below(70), 1 + random.below(140), 1, dilation, 1);
        let (h, w) = (1 + random.below(19), 1 + random.below(19));
        let image = Shape::new(1 + random.below(3), conv.in_channels, h, w)?;
        let case = Case { conv, epilogue: epilogue(at % 8), image, seed: random.next() };
        for target in targets() {
            count += case.check(target)?;
        }
    }
    assert!(count > 48, "only {count} runs");
    Ok(())
}

#[test]
fn one_pixel_and_lines() -> Outcome {
    for (at, (h, w)) in [(1, 1), (1, 23), (23, 1), (2, 2), (4, 5)].into_iter().enumerate() {
        for dilation in [1, 2, 30] {
            let conv = Conv::conv3x3(5, 7, 1, dilation, 1);
            let image = Shape::new(2, 5, h, w)?;
            for target in targets() {
                Case { conv, epilogue: epilogue(7 - at), image, seed: at as u64 }.check(target)?;
            }
        }
    }
    Ok(())
}

/// The longest sums for which each is a candidate: F(4x4) up to 1024 channels, F(2x2) any.
#[test]
fn the_longest_sums() -> Outcome {
    for (channels, seed) in [(1024, 2), (1024, 3), (2048, 4)] {
        let conv = Conv::conv3x3(channels, 12, 1, 1, 1);
        let image = Shape::new(1, channels, 7, 6)?;
        Case { conv, epilogue: epilogue(5), image, seed }.check(&targets()[0])?;
    }
    Ok(())
}

/// Mesa's lavapipe.
const LAVAPIPE: Capabilities = Capabilities {
    max_invocations: 1024,
    max_workgroup_x: 1024,
    subgroup_size: Some(8),
    int64: true,
    f16: true,
    kind: DeviceKind::Software,
    ..Capabilities::CORE
};

/// Whether the candidates of a convolution of 7x7 pixels hold one of each of Winograd's.
fn found(conv: Conv, capabilities: &Capabilities) -> Result<[bool; 2], wgpu_bottleneck::Error> {
    let image = Shape::new(1, conv.in_channels, 7, 7)?;
    let plan = Case { conv, epilogue: Epilogue::default(), image, seed: 0 }.plan()?;
    let all = candidates(&plan.problem(&plan.steps[0]), capabilities);
    Ok(Winograd::ALL.map(|winograd| all.iter().any(|kernel| kernel.winograd == Some(winograd))))
}

#[test]
fn candidates_only_where_they_are_right() -> Outcome {
    for (conv, expected) in [
        (Conv::conv3x3(64, 64, 1, 1, 1), [true, true]),
        (Conv::conv3x3(64, 64, 1, 12, 1), [true, true]),
        (Conv::conv3x3(64, 64, 2, 1, 1), [false, false]),
        (Conv::conv3x3(64, 64, 1, 1, 2), [false, false]),
        (Conv::conv1x1(64, 64, 1), [false, false]),
        (Conv::conv3x3(1024, 64, 1, 1, 1), [true, true]),
        (Conv::conv3x3(1025, 64, 1, 1, 1), [true, false]),
        // 36 x 1024 x 1024 x 4 bytes are more than a binding of 128 MiB, 16 x 1024 x 1024 x 4 are
        // not.
        (Conv::conv3x3(1024, 1024, 1, 1, 1), [true, false]),
    ] {
        assert_eq!(found(conv, &LAVAPIPE)?, expected, "{conv:?}");
    }
    // The transformed input of 7x7 pixels of 64 channels: 16 positions of 16 tiles, 264 vec4s
    // apart, and 36 of 4.
    let [f2x2, f4x4] = [16 * 264 * 16, 36 * 4 * 256];
    for (max_binding_bytes, expected) in [
        (f2x2, [true, true]),
        (f2x2 - 1, [false, true]),
        (f4x4, [false, true]),
        (f4x4 - 1, [false, false]),
    ] {
        let conv = Conv::conv3x3(64, 1, 1, 1, 1);
        assert_eq!(
            found(conv, &Capabilities { max_binding_bytes, ..LAVAPIPE })?,
            expected,
            "{max_binding_bytes}"
        );
    }
    Ok(())
}

/// Two blocks of ResNet-50's layer3.
fn two_blocks(budget: MemoryBudget) -> Result<Recording, wgpu_bottleneck::Error> {
    let block = Bottleneck::torchvision(1024, 256).build()?;
    let plan = network::plan_chain(&[block, block], Shape::new(1, 1024, 14, 14)?, PlanKind::Fused)?;
    schedule(plan, &LAVAPIPE, &KernelChoice::Ranked, budget)
}

#[test]
fn a_budget_rules_them_out() -> Outcome {
    let winograds = |recording: &Recording| {
        recording.steps().filter(|step| step.kernel.winograd.is_some()).count()
    };
    let unbounded = two_blocks(MemoryBudget::UNBOUNDED)?;
    // F(4x4): 36 values for 9.
    let each = 256 * 256 * (36 - 9) * 4;
    assert_eq!((winograds(&unbounded), unbounded.extra_weight_bytes()), (2, 2 * each));
    for (extra_weight_bytes, expected) in [(2 * each, 2), (2 * each - 1, 2), (each, 1), (0, 0)] {
        let recording = two_blocks(MemoryBudget { extra_weight_bytes })?;
        assert_eq!(winograds(&recording), expected, "{extra_weight_bytes}");
        assert!(recording.extra_weight_bytes() <= extra_weight_bytes);
    }
    let choice = KernelChoice::Named("winograd".to_owned());
    let plan = two_blocks(MemoryBudget::UNBOUNDED)?.plan;
    let none = schedule(plan.clone(), &LAVAPIPE, &choice, MemoryBudget { extra_weight_bytes: 0 });
    assert!(none.is_err(), "named beyond the budget");
    assert_eq!(winograds(&schedule(plan, &LAVAPIPE, &choice, MemoryBudget::UNBOUNDED)?), 2);
    Ok(())
}

#[test]
fn scratch_lies_where_nothing_lives() -> Outcome {
    let recording = two_blocks(MemoryBudget::UNBOUNDED)?;
    recording.check(&LAVAPIPE)?;
    assert_eq!((recording.segments.len(), recording.dispatch_count()), (2, 2 * 5));
    for step in recording.steps().filter(|step| step.kernel.winograd.is_some()) {
        assert_eq!((step.dispatches.len(), step.scratch.len()), (3, 2));
    }
    // The block's input, conv1 and conv2, and two of scratch.
    assert!(recording.slots.len() <= 5, "{:?}", recording.slots);
    type Spoil = fn(&mut Recording);
    let spoils: [(&str, Spoil); 4] = [
        ("on another scratch", |r| {
            r.segments[0].steps[1].scratch[0].slot = r.segments[0].steps[1].scratch[1].slot
        }),
        ("on an input", |r| {
            let Location::Slot(slot) = r.locations[1] else { return };
            r.segments[0].steps[1].scratch[0].slot = slot;
        }),
        ("too small", |r| r.segments[0].steps[1].scratch[1].bytes -= 16),
        ("no transform", |r| drop(r.segments[0].steps[1].dispatches.remove(0))),
    ];
    for (what, spoil) in spoils {
        let mut spoiled = recording.clone();
        spoil(&mut spoiled);
        assert!(spoiled != recording && spoiled.check(&LAVAPIPE).is_err(), "{what}");
    }
    Ok(())
}

/// What a model takes of memory says what its transformed weights take.
#[test]
fn memory_tells_of_transformed_weights() -> Outcome {
    let gpu: &Gpu = &targets()[0].gpu;
    let conv = Conv::conv3x3(8, 8, 1, 1, 1);
    let case = Case { conv, epilogue: epilogue(5), image: Shape::new(1, 8, 9, 9)?, seed: 1 };
    let plan = case.plan()?;
    let params = case.params(&plan);
    for (name, extra) in
        [("winograd_l8s1r16c2_f2x2", 8 * 8 * 7 * 4), ("winograd_l8s1r16c2_f4x4", 8 * 8 * 27 * 4)]
    {
        let choice = KernelChoice::Named(name.to_owned());
        let recording =
            schedule(plan.clone(), gpu.capabilities(), &choice, MemoryBudget::UNBOUNDED)?;
        let kernels: Vec<String> = recording
            .steps()
            .flat_map(|step| step.kernel.dispatches())
            .map(|k| Kernel::name(&k))
            .collect();
        assert_eq!(kernels.len(), 3, "{kernels:?}");
        let options = wgpu_bottleneck::gpu::ExecutorOptions::default();
        let memory =
            wgpu_bottleneck::gpu::Executor::new(gpu, recording, &params, options)?.memory();
        assert_eq!(memory.extra_weights, extra, "{name}");
        assert!(memory.weights > extra, "{name}");
    }
    Ok(())
}

/// F(2x2) has 16 products for 36 multiplications, F(4x4) 36 for 144; other kernels carry out what
/// the convolution says.
#[test]
fn fewer_operations_are_executed_than_counted() -> Outcome {
    let plan = network::plan_block(
        &Bottleneck::torchvision(256, 64).build()?,
        Shape::new(1, 256, 56, 56)?,
        PlanKind::Fused,
    )?;
    let software = Capabilities { kind: DeviceKind::Software, ..Capabilities::CORE };
    let mut seen = std::collections::BTreeSet::new();
    for step in &plan.steps {
        let (problem, flops) = (plan.problem(step), plan.step_flops(step));
        for kernel in candidates(&problem, &software) {
            let share = match kernel.winograd {
                None => 1.0,
                Some(Winograd::F2x2) => 16.0 / 36.0,
                Some(Winograd::F4x4) => 36.0 / 144.0,
            };
            let executed = kernel.executed_flops(&problem) as f64;
            assert!(
                (executed - flops as f64 * share).abs() < 1.0,
                "{}: {executed} of {flops}",
                kernel.name()
            );
            seen.insert(kernel.winograd.map(|winograd| winograd.name()));
        }
    }
    assert_eq!(seen.len(), 3);
    Ok(())
}
