//! Plans and recordings: what they promise of any chain of blocks, checked as data; one known block
//! to the last number; and a chain of 16 blocks as 16 command buffers in one submit.

use std::collections::BTreeSet;

use crate::common::exact::{EXACT_BUDGET, EXACT_NORMS, Growth, exact_block};
use crate::common::seeded::small_integers;
use crate::common::specs::{chains, config, norms};
use crate::common::{Outcome, targets};
use proptest::prelude::*;
use wgpu_bottleneck::gpu::{Executor, ExecutorOptions};
use wgpu_bottleneck::kernel::{Binding, Capabilities, candidates};
use wgpu_bottleneck::op::{Conv, Epilogue, Op, StepParams};
use wgpu_bottleneck::plan::{
    KernelChoice, Location, Plan, PlanKind, RecordedStep, Recording, Role, Scratch, Slot, Step,
    TensorId, TensorInfo,
};
use wgpu_bottleneck::tensor::{ChannelLayout, DType, Tolerance, compare};
use wgpu_bottleneck::wgpu::{Buffer, BufferDescriptor, BufferUsages};
use wgpu_bottleneck::{Block, BlockChain, Bottleneck, Gpu, HostTensor, LoadOptions, Shape, record};

type Check = Result<(), String>;

const KINDS: [PlanKind; 2] = [PlanKind::Fused, PlanKind::Unfused];

fn recorded(specs: &[Bottleneck], input: Shape, kind: PlanKind) -> Result<Recording, String> {
    recorded_with(KernelChoice::Ranked, specs, input, kind)
}

/// With the first candidates, none of which needs scratch: for what is said of the tensors' slots
/// alone.
fn recorded_plainly(
    specs: &[Bottleneck],
    input: Shape,
    kind: PlanKind,
) -> Result<Recording, String> {
    recorded_with(KernelChoice::Nth(0), specs, input, kind)
}

fn recorded_with(
    kernels: KernelChoice,
    specs: &[Bottleneck],
    input: Shape,
    kind: PlanKind,
) -> Result<Recording, String> {
    let options = LoadOptions { plan: kind, kernels, ..Default::default() };
    record(specs, input, &Capabilities::CORE, &options).map_err(|error| error.to_string())
}

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Every promise of a recording.
fn check(recording: &Recording, specs: &[Bottleneck]) -> Check {
    check_segments(recording, specs)?;
    check_tensors(&recording.plan)?;
    check_memory(recording)?;
    check_kernels(recording)
}

/// One segment per block, in order; every step in exactly one; as many steps as the kind of plan
/// says.
fn check_segments(recording: &Recording, specs: &[Bottleneck]) -> Check {
    let Recording { plan, segments, .. } = recording;
    expect(segments.len() == specs.len(), || {
        format!("{} segments of {} blocks", segments.len(), specs.len())
    })?;
    let steps: Vec<&Step> = recording.steps().map(|recorded| &recorded.step).collect();
    expect(steps == plan.steps.iter().collect::<Vec<_>>(), || {
        "segments and plan differ in their steps".to_owned()
    })?;
    let mut next = 0;
    for (index, (segment, spec)) in segments.iter().zip(specs).enumerate() {
        let steps = match (plan.kind, spec.has_downsample()) {
            (PlanKind::Fused, _) => 3,
            (PlanKind::Unfused, false) => 7,
            (PlanKind::Unfused, true) => 9,
        };
        let found = segment.steps.len();
        expect(found == steps, || format!("segment {index} has {found} steps, not {steps}"))?;
        let own = segment.block == index
            && segment.steps.iter().all(|recorded| recorded.step.block == index);
        expect(own, || format!("segment {index} has steps of another block"))?;
        expect(plan.blocks.get(index) == Some(&(next..next + steps)), || {
            format!("block {index} has another range")
        })?;
        next += steps;
    }
    expect(plan.blocks.len() == specs.len(), || format!("{} ranges", plan.blocks.len()))
}

/// Each tensor is written once, before it is read; the input never, the output by the last step,
/// which nobody reads.
fn check_tensors(plan: &Plan) -> Check {
    let mut written = vec![false; plan.tensors.len()];
    let mut read = written.clone();
    written[plan.input.0] = true;
    for step in &plan.steps {
        for id in &step.inputs {
            expect(written[id.0], || format!("{step} reads tensor {} before it is written", id.0))?;
            expect(*id != plan.output, || format!("{step} reads the output"))?;
            read[id.0] = true;
        }
        let output = step.output;
        expect(output != plan.input, || format!("{step} writes the input"))?;
        expect(!written[output.0], || format!("{step} writes tensor {} again", output.0))?;
        written[output.0] = true;
        let shape =
            step.op.output_shape(&plan.input_shapes(step)).map_err(|error| error.to_string())?;
        let info = plan.tensor(output);
        expect(shape == info.shape, || format!("{step} gives {shape}, not {}", info.shape))?;
        expect(info.layout.channels() == shape.c, || {
            format!("{step}: a layout for other channels")
        })?;
    }
    expect(plan.steps.last().is_some_and(|step| step.output == plan.output), || {
        "the last step is not last".to_owned()
    })?;
    read[plan.output.0] = true;
    expect(read.iter().chain(&written).all(|&used| used), || "a tensor is not used".to_owned())
}

/// Walks the steps and keeps book of what each slot holds: a read finds what was written for it,
/// and scratch lies in no slot that its step reads or writes.
fn check_memory(recording: &Recording) -> Check {
    let Recording { plan, locations: places, slots, .. } = recording;
    expect(places.len() == plan.tensors.len(), || "places and tensors differ".to_owned())?;
    let mut holds: Vec<Option<TensorId>> = vec![None; slots.len()];
    for RecordedStep { step, scratch, .. } in recording.steps() {
        for &id in &step.inputs {
            let there = match places[id.0] {
                Location::Input => id == plan.input,
                Location::Output => false,
                Location::Slot(slot) => holds[slot] == Some(id),
            };
            expect(there, || format!("{step}: tensor {} is not at {:?}", id.0, places[id.0]))?;
            let shared = places[id.0] == places[step.output.0];
            expect(!shared, || format!("{step} reads and writes {:?}", places[id.0]))?;
        }
        match places[step.output.0] {
            Location::Slot(slot) => holds[slot] = Some(step.output),
            Location::Output => {
                expect(step.output == plan.output, || format!("{step} writes the output"))?
            }
            Location::Input => return Err(format!("{step} writes the input buffer")),
        }
        for &Scratch { slot, .. } in scratch {
            let shared = step
                .inputs
                .iter()
                .chain([&step.output])
                .any(|id| places[id.0] == Location::Slot(slot));
            expect(!shared, || {
                format!("{step} has scratch in slot {slot}, which it reads or writes")
            })?;
            holds[slot] = None;
        }
    }
    for (slot, Slot { bytes }) in slots.iter().enumerate() {
        let held = |(place, _): &(&Location, &TensorInfo)| **place == Location::Slot(slot);
        let tensors =
            places.iter().zip(&plan.tensors).filter(held).map(|(_, tensor)| tensor.bytes());
        let scratch =
            recording.steps().flat_map(|step| &step.scratch).filter(|scratch| scratch.slot == slot);
        let largest = tensors.chain(scratch.map(|scratch| scratch.bytes)).max();
        expect(largest == Some(*bytes), || {
            format!("slot {slot} has {bytes} bytes for {largest:?}")
        })?;
    }
    // x, and at most a step's two inputs, its output and its scratch, whatever the length of the
    // chain.
    expect(slots.len() <= 5, || format!("{} slots", slots.len()))
}

/// Each kernel is a candidate, binds at most four storage buffers and is launched within the
/// limits.
fn check_kernels(recording: &Recording) -> Check {
    for recorded in recording.steps() {
        let step = &recorded.step;
        let possible = candidates(&recording.plan.problem(step), &Capabilities::CORE);
        expect(!recorded.dispatches.is_empty(), || format!("{step} is not dispatched"))?;
        for dispatch in &recorded.dispatches {
            let name = dispatch.kernel.name();
            expect(
                possible.iter().any(|kernel| kernel.dispatches().contains(&dispatch.kernel)),
                || format!("{step}: {name} is no candidate"),
            )?;
            let storage = dispatch
                .kernel
                .bindings()
                .iter()
                .filter(|binding| **binding != Binding::Params)
                .count();
            expect(storage <= 4, || format!("{step}: {name} binds {storage} storage buffers"))?;
            let limit = Capabilities::CORE.max_workgroups;
            let launched = dispatch.workgroups.iter().all(|count| (1..=limit).contains(count));
            expect(launched, || format!("{step}: {name} launches {:?}", dispatch.workgroups))?;
            let (_, bytes) = dispatch.kernel.host_params();
            expect(dispatch.params.len() == bytes, || {
                format!("{step}: {} bytes of Params", dispatch.params.len())
            })?;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(400))]
    #[test]
    fn recordings_keep_their_promises((specs, (n, h, w), _) in chains(), norm in norms()) {
        let input = Shape { n, c: specs[0].inplanes(), h, w };
        for kind in KINDS {
            for chain in [&specs[..], &specs[..1]] {
                let recording = recorded(chain, input, kind).map_err(TestCaseError::fail)?;
                check(&recording, chain).map_err(TestCaseError::fail)?;
                let mut unshared = recording.clone();
                unshared.unshare_slots();
                let scratch: usize = recording.steps().map(|step| step.scratch.len()).sum();
                prop_assert_eq!(unshared.slots.len(), recording.plan.tensors.len() - 2 + scratch);
                prop_assert_eq!(
                    recorded(chain, input, kind).map_err(TestCaseError::fail)?,
                    recording
                );
            }
        }
        // A plan does not depend on the norm: only its numbers do.
        let other = Bottleneck::torchvision(specs[0].inplanes(), specs[0].planes())
            .downsample(true)
            .norm_layer(norm);
        let other = other.build().map_err(|error| TestCaseError::fail(error.to_string()))?;
        let plain =
            Bottleneck::torchvision(specs[0].inplanes(), specs[0].planes()).downsample(true);
        let plain = plain.build().map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(
            recorded(&[other], input, PlanKind::Fused),
            recorded(&[plain], input, PlanKind::Fused)
        );
    }
}

/// A chain whose recording is then spoiled.
fn sample(kind: PlanKind) -> Result<(Vec<Bottleneck>, Recording), Box<dyn std::error::Error>> {
    let first = Bottleneck::torchvision(12, 4).stride(2).downsample(true).build()?;
    let specs = vec![first, Bottleneck::torchvision(16, 4).build()?];
    let recording = recorded(&specs, Shape::new(2, 12, 9, 9)?, kind)?;
    check(&recording, &specs)?;
    Ok((specs, recording))
}

#[test]
fn broken_promises_are_seen() -> Outcome {
    type Spoil = fn(&mut Recording);
    let spoils: [(&str, PlanKind, Spoil); 10] = [
        ("is not at", PlanKind::Fused, |r| r.locations[5] = r.locations[3]),
        ("reads and writes", PlanKind::Unfused, |r| r.locations[2] = r.locations[1]),
        ("bytes for", PlanKind::Fused, |r| r.slots[0].bytes -= 4),
        ("reads and writes Input", PlanKind::Fused, |r| r.locations[1] = Location::Input),
        ("differ in their steps", PlanKind::Fused, |r| r.segments[0].steps.swap(0, 1)),
        ("segments of", PlanKind::Fused, |r| drop(r.segments.pop())),
        ("before it is written", PlanKind::Fused, |r| {
            r.plan.steps[0].inputs[0] = TensorId(3);
            r.segments[0].steps[0].step.inputs[0] = TensorId(3);
        }),
        ("is no candidate", PlanKind::Fused, |r| {
            let other = r.segments[0].steps[1].dispatches[0].kernel;
            r.segments[0].steps[0].dispatches[0].kernel = other;
        }),
        ("writes the input buffer", PlanKind::Fused, |r| r.locations[4] = Location::Input),
        ("launches", PlanKind::Fused, |r| {
            r.segments[1].steps[2].dispatches[0].workgroups = [1, 0, 1]
        }),
    ];
    for (expected, kind, spoil) in spoils {
        let (specs, mut recording) = sample(kind)?;
        spoil(&mut recording);
        let said = check(&recording, &specs);
        assert!(
            said.as_ref().is_err_and(|said| said.contains(expected)),
            "\"{expected}\": {said:?}"
        );
    }
    Ok(())
}

#[test]
fn an_executor_refuses_what_would_leave_its_tensors() -> Outcome {
    type Spoil = fn(&mut Recording);
    let spoils: [(&str, Spoil); 11] = [
        ("Params", |r| r.segments[0].steps[1].dispatches[0].params[4] += 1),
        ("workgroups", |r| r.segments[0].steps[1].dispatches[0].workgroups[1] += 1),
        ("kernel", |r| {
            r.segments[0].steps[1].dispatches[0].kernel =
                r.segments[0].steps[0].dispatches[0].kernel
        }),
        ("no dispatch", |r| r.segments[0].steps[1].dispatches.clear()),
        ("input", |r| r.segments[0].steps[1].step.inputs[0] = TensorId(99)),
        ("output", |r| r.segments[0].steps[1].step.output = TensorId(99)),
        ("slot size", |r| r.slots[0].bytes -= 4),
        ("slot", |r| r.locations[1] = Location::Slot(99)),
        ("input buffer", |r| r.locations[1] = Location::Input),
        ("layout", |r| r.plan.tensors[1].layout = ChannelLayout::dense(3)),
        ("shape", |r| r.plan.tensors[2].shape.w += 1),
    ];
    let (specs, recording) = sample(PlanKind::Fused)?;
    recording.check(&Capabilities::CORE)?;
    for (what, spoil) in spoils {
        let mut recording = recording.clone();
        spoil(&mut recording);
        assert!(recording.check(&Capabilities::CORE).is_err(), "{what}");
    }
    let gpu = &targets()[0].gpu;
    let input = recording.plan.tensor(recording.plan.input).shape;
    let recording = record(&specs, input, gpu.capabilities(), &LoadOptions::default())?;
    let blocks: Result<Vec<Block>, _> =
        specs.iter().map(|spec| exact_block(spec, true, Growth::for_chain(2), 1)).collect();
    let params = Block::params(&blocks?, &recording.plan)?;
    let mut other = params.clone();
    other[1] = StepParams::Conv { weight: vec![0.0; 9], bias: vec![0.0; 4] };
    for (params, fit) in [(&params[..], true), (&params[1..], false), (&other, false)] {
        let executor = Executor::new(gpu, recording.clone(), params, ExecutorOptions::default());
        assert_eq!(executor.is_ok(), fit, "{executor:?}");
    }
    Ok(())
}

/// ResNet-50's layer2.0.
fn layer2_0() -> Result<(Bottleneck, Shape), Box<dyn std::error::Error>> {
    Ok((
        Bottleneck::torchvision(256, 128).stride(2).downsample(true).build()?,
        Shape::new(1, 256, 56, 56)?,
    ))
}

#[test]
fn the_fused_plan_of_layer2_0() -> Outcome {
    let (spec, input) = layer2_0()?;
    let recording = recorded_plainly(&[spec], input, PlanKind::Fused)?;
    let tensor = |name: &str, c, side| -> Result<TensorInfo, Box<dyn std::error::Error>> {
        Ok(TensorInfo::pixels(name, Shape::new(1, c, side, side)?, ChannelLayout::dense(c)))
    };
    let epilogue = Epilogue { bias: true, residual: false, relu: true };
    let (main, shortcut) = (Conv::conv1x1(128, 512, 1), Conv::conv1x1(256, 512, 2));
    let ops = [
        (Role::Conv1, Op::Conv { conv: Conv::conv1x1(256, 128, 1), epilogue }, vec![TensorId(0)]),
        (
            Role::Conv2,
            Op::Conv { conv: Conv::conv3x3(128, 128, 2, 1, 1), epilogue },
            vec![TensorId(1)],
        ),
        (
            Role::Conv3,
            Op::JoinedConv { main, shortcut, relu: true },
            vec![TensorId(2), TensorId(0)],
        ),
    ];
    let step = |(at, (role, op, inputs)): (usize, (Role, Op, Vec<TensorId>))| Step {
        block: 0,
        module: format!("block0.{}", role.name()),
        role,
        op,
        inputs,
        weights: None,
        output: TensorId(at),
    };
    let expected = Plan {
        kind: PlanKind::Fused,
        tensors: vec![
            tensor("input", 256, 56)?,
            tensor("block0.conv1", 128, 56)?,
            tensor("block0.conv2", 128, 28)?,
            tensor("output", 512, 28)?,
        ],
        steps: (1..).zip(ops).map(step).collect(),
        blocks: std::iter::once(0..3).collect(),
        input: TensorId(0),
        output: TensorId(3),
        variables: Vec::new(),
        fetches: Vec::new(),
        updates: Vec::new(),
    };
    assert_eq!(recording.plan, expected);
    assert_eq!(
        recording.locations,
        [Location::Input, Location::Slot(0), Location::Slot(1), Location::Output]
    );
    assert_eq!(recording.slots, [Slot { bytes: 4 * 128 * 3136 }, Slot { bytes: 4 * 128 * 784 }]);
    Ok(())
}

#[test]
fn the_costs_of_layer2_0() -> Outcome {
    let (spec, input) = layer2_0()?;
    let recording = recorded(&[spec], input, PlanKind::Fused)?;
    let flops: Vec<u64> =
        recording.plan.steps.iter().map(|step| recording.plan.step_flops(step)).collect();
    assert_eq!(flops, [205_520_896, 231_211_008, 308_281_344]);
    assert_eq!(recording.plan.conv_flops(), 745_013_248);
    let bytes: Vec<u64> =
        recording.plan.steps.iter().map(|step| recording.plan.step_min_bytes(step)).collect();
    let (x, narrow, spatial, out) = (256 * 3136, 128 * 3136, 128 * 784, 512 * 784);
    let parameters = [256 * 128 + 128, 9 * 128 * 128 + 128, 512 * (128 + 256) + 512];
    // The strided shortcut reads a quarter of x.
    let traffic = [x + narrow, narrow + spatial, spatial + x / 4 + out];
    let expected: Vec<u64> =
        traffic.iter().zip(parameters).map(|(traffic, own)| 4 * (traffic + own)).collect();
    assert_eq!(bytes, expected);
    Ok(())
}

#[test]
fn the_unfused_plan_of_layer2_0() -> Outcome {
    let (spec, input) = layer2_0()?;
    let recording = recorded_plainly(&[spec], input, PlanKind::Unfused)?;
    let lines: Vec<String> = recording
        .plan
        .steps
        .iter()
        .map(|step| {
            let inputs: Vec<usize> = step.inputs.iter().map(|id| id.0).collect();
            let (shape, place) =
                (recording.plan.tensor(step.output).shape, recording.locations[step.output.0]);
            format!("{step} = {} {inputs:?} -> {} {shape} {place:?}", step.op.name(), step.output.0)
        })
        .collect();
    let expected = [
        "block0.conv1 = conv1x1 [0] -> 1 [1, 128, 56, 56] Slot(0)",
        "block0.bn1 = batchnorm_relu [1] -> 2 [1, 128, 56, 56] Slot(1)",
        "block0.conv2 = conv3x3 [2] -> 3 [1, 128, 28, 28] Slot(0)",
        "block0.bn2 = batchnorm_relu [3] -> 4 [1, 128, 28, 28] Slot(1)",
        "block0.conv3 = conv1x1 [4] -> 5 [1, 512, 28, 28] Slot(0)",
        "block0.bn3 = batchnorm_relu [5] -> 6 [1, 512, 28, 28] Slot(1)",
        "block0.downsample.0 = conv1x1 [0] -> 7 [1, 512, 28, 28] Slot(0)",
        "block0.downsample.1 = batchnorm_relu [7] -> 8 [1, 512, 28, 28] Slot(2)",
        "block0.add = residual_add [6, 8] -> 9 [1, 512, 28, 28] Output",
    ];
    assert_eq!(lines, expected);
    let fused = recorded(&[spec], input, PlanKind::Fused)?;
    assert_eq!(recording.plan.conv_flops(), fused.plan.conv_flops());
    Ok(())
}

/// ResNet-50's 16 blocks with a sixteenth of its planes, on a 16x16 image.
fn chain_of_16() -> Result<Vec<Bottleneck>, Box<dyn std::error::Error>> {
    let (mut specs, mut inplanes) = (Vec::new(), 4);
    for (stage, blocks) in [3, 4, 6, 3].into_iter().enumerate() {
        let planes = 4 << stage;
        for block in 0..blocks {
            let stride = if block == 0 && stage > 0 { 2 } else { 1 };
            let spec =
                Bottleneck::torchvision(inplanes, planes).stride(stride).downsample(block == 0);
            specs.push(spec.norm_layer(EXACT_NORMS[0]).build()?);
            inplanes = 4 * planes;
        }
    }
    Ok(specs)
}

/// An app's buffer of this many bytes.
fn app_buffer(gpu: &Gpu, bytes: u64) -> Buffer {
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
    gpu.device().create_buffer(&BufferDescriptor {
        label: None,
        size: bytes,
        usage,
        mapped_at_creation: false,
    })
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// What lies in an output buffer.
fn read_output(
    executor: &Executor,
    output: &Buffer,
) -> Result<HostTensor, Box<dyn std::error::Error>> {
    let plan = &executor.recording().plan;
    let info = plan.tensor(plan.output);
    let bytes = executor.gpu().download(output)?;
    let values: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Ok(HostTensor::from_nhwc(info.shape, info.layout, &values)?)
}

/// Records 16 command buffers and submits them at once, twice; the second run finds the workspace
/// of the first.
fn submit_twice(model: &BlockChain, image: &HostTensor, expected: &HostTensor) -> Outcome {
    let executor = model.executor();
    let (gpu, output_bytes) = (executor.gpu(), executor.output_bytes());
    let (input, output) = (app_buffer(gpu, executor.input_bytes()), app_buffer(gpu, output_bytes));
    let upload = bytes_of(&image.to_nhwc(ChannelLayout::dense(image.shape().c))?);
    gpu.queue().write_buffer(&input, 0, &upload);
    let bound = model.bind(&input, &output)?;
    for _ in 0..2 {
        gpu.queue().write_buffer(&output, 0, &bytes_of(&vec![f32::NAN; output_bytes as usize / 4]));
        let commands = bound.record()?;
        assert_eq!(commands.len(), 16);
        gpu.queue().submit(commands);
        let comparison = compare(expected, &read_output(executor, &output)?, Tolerance::EXACT);
        assert!(comparison.passed(), "{}: {comparison}", gpu.describe());
    }
    assert_eq!(gpu.download(&input)?, upload, "the input was modified");
    Ok(())
}

#[test]
fn sixteen_blocks_are_sixteen_command_buffers_in_one_submit() -> Outcome {
    let specs = chain_of_16()?;
    let blocks: Result<Vec<Block>, _> = (0..)
        .zip(&specs)
        .map(|(seed, spec)| exact_block(spec, true, Growth::for_chain(16), seed))
        .collect();
    let blocks = blocks?;
    let image = small_integers(Shape::new(2, 4, 16, 16)?, 16);
    for kind in KINDS {
        check(&recorded(&specs, image.shape(), kind)?, &specs)?;
        for target in targets() {
            let options = LoadOptions { plan: kind, budget: EXACT_BUDGET, ..Default::default() };
            let mut model = BlockChain::load(&target.gpu, &blocks, image.shape(), &options)?;
            assert_eq!(model.recording().segments.len(), 16);
            let (expected, bound) = model.reference_with_bound(&image)?;
            assert!(bound.is_exact(), "the worst sum has {} units", bound.worst);
            let distinct: BTreeSet<u32> =
                expected.data().iter().map(|value| value.to_bits()).collect();
            assert!(distinct.len() > 100, "only {} different values", distinct.len());
            assert!(
                compare(&expected, &model.run(&image)?, Tolerance::EXACT).passed(),
                "run on {}",
                target.name
            );
            submit_twice(&model, &image, &expected)?;
        }
    }
    Ok(())
}

#[test]
fn slots_hold_the_padding_of_their_tensors() -> Outcome {
    // 2 groups of 26 channels: 28 each on the device.
    let spec = Bottleneck::torchvision(256, 64).base_width(26).groups(2).build()?;
    let recording = recorded_plainly(&[spec], Shape::new(1, 256, 3, 3)?, PlanKind::Fused)?;
    assert_eq!(recording.plan.tensors[1].layout, ChannelLayout { groups: 2, per_group: 26 });
    assert_eq!(recording.slots, [Slot { bytes: 4 * 9 * 56 }, Slot { bytes: 4 * 9 * 56 }]);
    assert_eq!(recording.workspace_bytes(), 2 * 4 * 9 * 56);
    assert_eq!(ChannelLayout::dense(3).bytes(Shape::new(1, 3, 1, 1)?, DType::F32), 16);
    Ok(())
}
