//! Split-K: candidates where every slice has work, recorded as two dispatches with scratch between
//! them, and as near to the reference on any data as kernels that sum in one go. That they are
//! exact where f32 is, is tests/exactness.rs' and the self test's to check.

use crate::common::seeded::Seeded;
use crate::common::{Outcome, targets};
use wgpu_bottleneck::gpu::{Executor, ExecutorOptions};
use wgpu_bottleneck::kernel::{Capabilities, Family, candidates};
use wgpu_bottleneck::op::{Conv, Epilogue, Op, StepParams};
use wgpu_bottleneck::plan::{
    KernelChoice, Location, MemoryBudget, Plan, PlanKind, Recording, schedule,
};
use wgpu_bottleneck::selftest::layouts;
use wgpu_bottleneck::tensor::{DType, compare};
use wgpu_bottleneck::{Bottleneck, HostTensor, Shape, network, reference};

/// One convolution with bias and ReLU as a plan.
fn plan(op: Op, images: &[Shape]) -> Result<Plan, wgpu_bottleneck::Error> {
    plan_in(op, images, DType::F32)
}

/// The same of values of this type.
fn plan_in(op: Op, images: &[Shape], dtype: DType) -> Result<Plan, wgpu_bottleneck::Error> {
    let (inputs, output) = layouts(&op);
    let output = (op.output_shape(images)?, output);
    let inputs = images.iter().copied().zip(inputs).collect();
    Ok(Plan::single(&wgpu_bottleneck::kernel::Problem {
        op,
        inputs,
        output,
        dtype,
        output_dtype: dtype,
        weights_change: false,
        weights: None,
    }))
}

fn conv(conv: Conv) -> Op {
    Op::Conv { conv, epilogue: Epilogue { bias: true, residual: false, relu: true } }
}

/// Into how many slices the candidates cut K, each number once.
fn slices(
    op: Op,
    images: &[Shape],
    capabilities: &Capabilities,
) -> Result<Vec<u32>, wgpu_bottleneck::Error> {
    let plan = plan(op, images)?;
    let found = candidates(&plan.problem(&plan.steps[0]), capabilities);
    let mut slices: Vec<u32> =
        found.iter().filter(|k| k.is_split()).map(|kernel| kernel.k_slices).collect();
    slices.sort_unstable();
    slices.dedup();
    Ok(slices)
}

#[test]
fn candidates_where_every_slice_has_work() -> Outcome {
    let core = Capabilities::CORE;
    // Stages of 16 channels, at least four for each slice.
    for (channels, expected) in [
        (240, &[][..]),
        (241, &[4]),
        (496, &[4]),
        (497, &[4, 8]),
        (1008, &[4, 8]),
        (1009, &[4, 8, 16]),
        (2048, &[4, 8, 16]),
    ] {
        let image = Shape::new(1, channels, 7, 7)?;
        assert_eq!(
            slices(conv(Conv::conv1x1(channels, 64, 1)), &[image], &core)?,
            expected,
            "1x1 of {channels}"
        );
        assert_eq!(
            slices(conv(Conv::conv1x1(channels, 64, 2)), &[image], &core)?,
            expected,
            "1x1 of {channels}"
        );
    }
    // Nine taps have stages of their own.
    for (channels, expected) in
        [(16, &[][..]), (17, &[4]), (48, &[4]), (49, &[4, 8]), (113, &[4, 8, 16])]
    {
        let image = Shape::new(1, channels, 7, 7)?;
        let dilated = Conv::conv3x3(channels, 64, 2, 3, 1);
        assert_eq!(slices(conv(dilated), &[image], &core)?, expected, "3x3 of {channels}");
    }
    let grouped = Conv::conv3x3(256, 256, 1, 1, 2);
    assert!(slices(conv(grouped), &[Shape::new(1, 256, 7, 7)?], &core)?.is_empty());
    // The stages of both inputs.
    let joined = |main, shortcut| Op::JoinedConv {
        main: Conv::conv1x1(main, 64, 1),
        shortcut: Conv::conv1x1(shortcut, 64, 2),
        relu: true,
    };
    for (main, shortcut, expected) in
        [(120, 112, &[][..]), (128, 113, &[4]), (512, 1024, &[4, 8, 16])]
    {
        let images = [Shape::new(1, main, 7, 7)?, Shape::new(1, shortcut, 13, 14)?];
        assert_eq!(
            slices(joined(main, shortcut), &images, &core)?,
            expected,
            "joined of {main} and {shortcut}"
        );
    }
    // Planes of 49 pixels of 16 vec4s: 1032 vec4s with what keeps them apart.
    for (max_binding_bytes, expected) in [(8 * 1032 * 16, &[4, 8][..]), (8 * 1032 * 16 - 1, &[4])] {
        let limited = Capabilities { max_binding_bytes, ..core };
        let image = Shape::new(1, 2048, 7, 7)?;
        assert_eq!(slices(conv(Conv::conv1x1(2048, 64, 1)), &[image], &limited)?, expected);
    }
    Ok(())
}

/// Of matrix units too, for every side and width of a subgroup that has them.
#[test]
fn matrix_units_have_slices_too() -> Outcome {
    let image = Shape::new(1, 1100, 7, 7)?;
    for (side, lanes, expected) in
        [(16, 32, &[4, 8, 16][..]), (16, 8, &[4, 8, 16]), (8, 32, &[4, 8]), (8, 8, &[4, 8])]
    {
        let capabilities = Capabilities {
            subgroup_size: Some(lanes),
            f16: true,
            matrices_of_8: side == 8,
            matrices_of_16: side == 16,
            ..Capabilities::CORE
        };
        for at in [
            Conv::conv1x1(1100, 64, 1),
            Conv::conv1x1(1100, 64, 2),
            Conv::conv3x3(1100, 64, 1, 2, 1),
        ] {
            let plan = plan_in(conv(at), &[image], DType::F16)?;
            let found = candidates(&plan.problem(&plan.steps[0]), &capabilities);
            let mut slices: Vec<u32> = found
                .iter()
                .filter(|k| k.is_split() && k.matrix_side == side)
                .map(|kernel| kernel.k_slices)
                .collect();
            slices.sort_unstable();
            slices.dedup();
            assert_eq!(slices, expected, "{side}, {lanes} lanes, {}", at.name());
        }
    }
    Ok(())
}

/// Two blocks whose sums are long enough.
fn two_blocks() -> Result<Recording, wgpu_bottleneck::Error> {
    let block = Bottleneck::torchvision(1024, 256).build()?;
    let plan = network::plan_chain(&[block, block], Shape::new(1, 1024, 7, 7)?, PlanKind::Fused)?;
    schedule(
        plan,
        &Capabilities::CORE,
        &KernelChoice::Named("_k4".to_owned()),
        MemoryBudget::default(),
    )
}

#[test]
fn scratch_lies_where_nothing_lives() -> Outcome {
    let recording = two_blocks()?;
    recording.check(&Capabilities::CORE)?;
    assert_eq!((recording.segments.len(), recording.dispatch_count()), (2, 2 * 6));
    for step in recording.steps() {
        let families: Vec<Family> =
            step.dispatches.iter().map(|dispatch| dispatch.kernel.family).collect();
        assert_eq!(
            (families, step.scratch.len()),
            (vec![step.kernel.family, Family::SplitKSum], 1)
        );
    }
    type Spoil = fn(&mut Recording);
    let spoils: [(&str, Spoil); 3] = [
        ("on the input", |r| {
            let Location::Slot(slot) = r.locations[1] else { return };
            r.segments[0].steps[1].scratch[0].slot = slot;
        }),
        ("too small", |r| r.segments[0].steps[1].scratch[0].bytes -= 16),
        ("no sum", |r| drop(r.segments[0].steps[1].dispatches.pop())),
    ];
    for (what, spoil) in spoils {
        let mut spoiled = recording.clone();
        spoil(&mut spoiled);
        assert!(spoiled != recording && spoiled.check(&Capabilities::CORE).is_err(), "{what}");
    }
    Ok(())
}

/// Any data, within the tolerance of every other kernel, and the same bits twice.
#[test]
fn as_near_as_other_kernels() -> Outcome {
    let mut random = Seeded::new(3);
    let mut uniform = |_: usize| random.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0;
    for at in
        [Conv::conv1x1(1100, 70, 1), Conv::conv1x1(1100, 70, 2), Conv::conv3x3(150, 40, 1, 2, 1)]
    {
        let image = Shape::new(2, at.in_channels, 7, 6)?;
        let plan = plan(conv(at), &[image])?;
        let weight = (0..at.weights()).map(&mut uniform).collect();
        let params =
            [StepParams::Conv { weight, bias: (0..at.out_channels).map(&mut uniform).collect() }];
        let input = HostTensor::from_fn(image, &mut uniform);
        for target in targets() {
            let capabilities = target.gpu.capabilities();
            let kernels = candidates(&plan.problem(&plan.steps[0]), capabilities);
            for (nth, kernel) in kernels.iter().enumerate().filter(|(_, kernel)| kernel.is_split())
            {
                let choice = KernelChoice::Nth(nth);
                let recording =
                    schedule(plan.clone(), capabilities, &choice, MemoryBudget::default())?;
                let expected = reference::run(&recording, &params, &input)?;
                let tolerance = recording.tolerance();
                let mut executor =
                    Executor::new(&target.gpu, recording, &params, ExecutorOptions::default())?;
                let mut run = || -> Result<HostTensor, wgpu_bottleneck::Error> {
                    executor.poison()?;
                    executor.run(&input)
                };
                let (first, second) = (run()?, run()?);
                let comparison = compare(&expected, &first, tolerance);
                assert!(comparison.passed(), "{} on {}: {comparison}", kernel.name(), target.name);
                let same =
                    first.data().iter().zip(second.data()).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{} on {}: two runs differ", kernel.name(), target.name);
            }
        }
    }
    Ok(())
}
