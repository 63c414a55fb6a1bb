//! Recordings made by hand. A recording that would read or write outside its buffers, or compute a
//! result other than the reference's, is refused with the reason.

use wgpu_bottleneck::gpu::{Executor, ExecutorOptions};
use wgpu_bottleneck::kernel::{self, Capabilities, Kernel};
use wgpu_bottleneck::network::plan_network_training;
use wgpu_bottleneck::op::{Conv, Epilogue, KernelSize, Op, StepParams, TrainOp, WeightLayout};
use wgpu_bottleneck::plan::{
    Dispatch, KernelChoice, Location, MemoryBudget, Plan, RecordedStep, Recording, Scratch,
    Segment, Slot, TensorId, TensorInfo, Update, schedule,
};
use wgpu_bottleneck::tensor::{ChannelLayout, DType};
use wgpu_bottleneck::{
    BlockKind, Bottleneck, Gpu, LoadOptions, ResNet, Shape, TrainingOptions, record, reference,
};

use crate::common::seeded::small_integers;
use crate::common::{Outcome, targets};

fn device() -> &'static Gpu {
    &targets()[0].gpu
}

/// The first candidate for a plan of one step.
fn first_kernel(plan: &Plan) -> Option<Kernel> {
    kernel::candidates(&plan.problem(&plan.steps[0]), device().capabilities()).first().copied()
}

/// A recording of a plan of one step with this kernel, as if nothing in the plan were wrong.
fn by_hand(plan: Plan, kernel: Kernel) -> Recording {
    let (step, problem) = (plan.steps[0].clone(), plan.problem(&plan.steps[0]));
    let dispatches = Dispatch::all(&kernel, &problem, device().capabilities()).unwrap_or_default();
    let mut slots = Vec::new();
    let mut slot = |bytes: usize| {
        slots.push(Slot { bytes });
        slots.len() - 1
    };
    let mut locations = vec![Location::Input];
    for tensor in &plan.tensors[1..plan.output.0] {
        locations.push(Location::Slot(slot(tensor.bytes())));
    }
    locations.push(Location::Output);
    let scratch = kernel.scratch_bytes(&problem);
    let scratch = scratch.into_iter().map(|bytes| Scratch { slot: slot(bytes), bytes }).collect();
    let steps = vec![RecordedStep { step, kernel, reason: "by hand", dispatches, scratch }];
    Recording { plan, locations, slots, segments: vec![Segment { block: 0, steps }] }
}

fn shape(dims: [usize; 4]) -> Shape {
    let [n, c, h, w] = dims;
    Shape { n, c, h, w }
}

fn pixels(name: &str, dims: [usize; 4]) -> TensorInfo {
    TensorInfo::pixels(name, shape(dims), ChannelLayout::dense(dims[1]))
}

fn weights(conv: Conv, input: ChannelLayout) -> TensorInfo {
    let output = ChannelLayout::dense(conv.out_channels);
    TensorInfo::weights("weights", WeightLayout { conv, input, output })
}

/// Checks that a recording is refused with this message, by the check and by an executor.
fn assert_refused(recording: Recording, params: StepParams, expected: &str) {
    let gpu = device();
    let found = recording.check(gpu.capabilities()).map_err(|error| error.to_string());
    assert_eq!(found, Err(expected.to_owned()));
    let executor = Executor::new(gpu, recording, &[params], ExecutorOptions::default());
    assert_eq!(executor.err().map(|error| error.to_string()).as_deref(), Some(expected));
}

/// A layout of 4 channels and of no bytes, if the products wrapped.
fn wrapping_layout() -> ChannelLayout {
    // 4092 groups of `vec4s` are 1024 modulo 2^64: by the inverse of 1023.
    let mut inverse = 1u64;
    for _ in 0..6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(1023u64.wrapping_mul(inverse)));
    }
    let vec4s = 256u64.wrapping_mul(inverse) & ((1 << 62) - 1);
    let per_group = vec4s.wrapping_mul(4).wrapping_sub(1) as usize;
    assert_eq!(per_group.wrapping_mul(4092), 4);
    ChannelLayout { groups: 4092, per_group }
}

/// An image whose size wraps to 0 bytes: kernels would read 2^31 vec4s beyond its buffer.
#[test]
fn sizes_that_wrap_are_refused() -> Outcome {
    let stride = (1 << 24) + (1 << 21);
    let conv = Conv::conv1x1(4, 4, stride.min(Conv::MAX_STEP));
    let (small, dense) = ([1, 4, 5, 5], ChannelLayout::dense(4));
    let op = Op::Train(TrainOp::WeightGrad { conv });
    let tensors =
        vec![pixels("image", small), pixels("gradient", [1, 4, 1, 1]), weights(conv, dense)];
    let mut plan = Plan::of_step(op, tensors, false);
    let kernel = first_kernel(&plan).ok_or("no kernel")?;
    by_hand(plan.clone(), kernel).check(device().capabilities())?;
    let side = 1 << 25;
    plan.tensors[0] = TensorInfo::pixels("image", shape([1, 4, side, side]), wrapping_layout());
    plan.tensors[1] = pixels("gradient", [1, 4, 2, 2]);
    plan.tensors[2] = weights(conv, wrapping_layout());
    assert_refused(
        by_hand(plan, kernel),
        StepParams::None,
        "recording, tensor image [1, 4, 33554432, 33554432]: its layout is for another number of \
         channels",
    );
    Ok(())
}

/// To a kernel, a dilation of 2^32 is 0: all taps would read the middle.
#[test]
fn a_dilation_beyond_32_bits_is_refused() -> Outcome {
    let conv = Conv::conv3x3(4, 4, 1, Conv::MAX_STEP, 1);
    let tensors = vec![pixels("image", [1, 4, 5, 5]), pixels("output", [1, 4, 5, 5])];
    let of = |conv| Op::Conv { conv, epilogue: Epilogue::default() };
    let mut plan = Plan::of_step(of(conv), tensors, false);
    let kernel = first_kernel(&plan).ok_or("no kernel")?;
    by_hand(plan.clone(), kernel).check(device().capabilities())?;
    let params = StepParams::Conv { weight: vec![1.0; 4 * 4 * 9], bias: Vec::new() };
    for dilation in [0, Conv::MAX_STEP + 1, 1 << 32] {
        plan.steps[0].op = of(Conv { dilation, ..conv });
        assert_refused(
            by_hand(plan.clone(), kernel),
            params.clone(),
            &format!(
                "conv3x3: stride 1, dilation {dilation}, groups 1 with 4 to 4 channels is not a \
                 valid convolution: stride and dilation must be from 1 to 16777216, and the groups \
                 must divide both numbers of channels"
            ),
        );
    }
    Ok(())
}

/// To a kernel, a stride of 2^32 is 0, by which it would divide.
#[test]
fn a_stride_beyond_32_bits_is_refused() -> Outcome {
    let dense = ChannelLayout::dense(4);
    let plan_of = |stride| {
        let conv = Conv::conv3x3(4, 4, stride, 1, 1);
        let (gradient, image) = (pixels("gradient", [1, 4, 1, 1]), pixels("image", [1, 4, 5, 5]));
        let op = Op::Train(TrainOp::InputGrad { conv, height: 5, width: 5 });
        Plan::of_step(op, vec![gradient, weights(conv, dense), image], true)
    };
    let good = plan_of(Conv::MAX_STEP);
    let kernel = first_kernel(&good).ok_or("no kernel")?;
    by_hand(good, kernel).check(device().capabilities())?;
    for stride in [0, Conv::MAX_STEP + 1, 1 << 32] {
        assert_refused(
            by_hand(plan_of(stride), kernel),
            StepParams::None,
            "recording, tensor weights [4, 4, 3, 3]: its convolution needs a stride and a dilation \
             from 1 to 16777216, and groups that divide both numbers of channels",
        );
    }
    Ok(())
}

/// A chain of two blocks for the device of the tests.
fn chain() -> Result<Recording, Box<dyn std::error::Error>> {
    let first = Bottleneck::torchvision(16, 4).stride(2).downsample(true).build()?;
    let second = Bottleneck::torchvision(16, 4).build()?;
    let options = LoadOptions { kernels: KernelChoice::Nth(0), ..Default::default() };
    Ok(record(&[first, second], Shape::new(2, 16, 9, 7)?, device().capabilities(), &options)?)
}

/// A batch of a small network's training.
fn training() -> Result<Recording, Box<dyn std::error::Error>> {
    let network = ResNet::builder(BlockKind::Bottleneck)
        .depths(vec![1, 1])
        .planes(vec![4, 8])
        .stem_planes(4)
        .classes(Some(5))
        .build()?;
    let options = TrainingOptions::default();
    let plan = plan_network_training(&network, Shape::new(2, 3, 16, 16)?, &options)?.plan;
    let choice = KernelChoice::Ranked;
    Ok(schedule(plan, device().capabilities(), &choice, MemoryBudget::default())?)
}

/// Adds a copy of a tensor in another location.
fn add_tensor(recording: &mut Recording, location: Location) -> TensorId {
    let tensor = TensorInfo { name: "added".to_owned(), ..recording.plan.tensors[1].clone() };
    recording.plan.tensors.push(tensor);
    recording.locations.push(location);
    TensorId(recording.plan.tensors.len() - 1)
}

/// Changes the operation of a step, in the plan and in the segment.
fn change_conv(recording: &mut Recording, step: usize, change: fn(&mut Conv)) {
    let recorded = &mut recording.segments[0].steps[step].step;
    if let Op::Conv { conv, .. } = &mut recorded.op {
        change(conv);
    }
    recording.plan.steps[step] = recorded.clone();
}

type Spoil = fn(&mut Recording);

/// The part of a chain's recording that is wrong, and a part of the message.
const SPOILED_CHAINS: &[(Spoil, &str)] = &[
    (
        |r| {
            let layout = ChannelLayout::dense(4);
            let conv = Conv { groups: 0, ..Conv::conv1x1(4, 4, 1) };
            r.plan.tensors[1].weights = Some(WeightLayout { conv, input: layout, output: layout });
        },
        "its convolution needs a stride and a dilation from 1 to 16777216, and groups that divide",
    ),
    (
        |r| {
            let id = add_tensor(r, Location::Slot(99));
            r.plan.fetches.push(id);
            r.plan.variables.push(id);
        },
        "tensor added [2, 4, 9, 7]: it is in a slot that is missing or too small",
    ),
    (
        |r| {
            let id = add_tensor(r, Location::Slot(0));
            r.plan.fetches.push(id);
        },
        "tensor added [2, 4, 9, 7]: the output, a fetch or a variable that is not in its location",
    ),
    (
        |r| {
            let id = add_tensor(r, Location::Slot(0));
            r.plan.variables.push(id);
        },
        "tensor added [2, 4, 9, 7]: the output, a fetch or a variable that is not in its location",
    ),
    (
        |r| {
            let id = add_tensor(r, Location::Input);
            r.plan.variables.push(id);
        },
        "tensor added [2, 4, 9, 7]: a variable that is not in a slot",
    ),
    (|r| r.plan.fetches.push(TensorId(99)), "a variable, a fetch or an update is not in the plan"),
    (
        |r| r.plan.updates.push(Update { from: TensorId(1), to: TensorId(usize::MAX) }),
        "a variable, a fetch or an update is not in the plan",
    ),
    (|r| r.plan.input = TensorId(99), "input or output is not in the plan"),
    (|r| r.plan.output = TensorId(99), "input or output is not in the plan"),
    (|r| r.plan.output = r.plan.input, "input or output is not in the caller's buffer"),
    (
        |r| {
            r.slots[0].bytes = 1 << 16;
            r.locations[0] = Location::Slot(0);
        },
        "input or output is not in the caller's buffer",
    ),
    (|r| r.plan.blocks[0] = 0..usize::MAX, "the blocks are not consecutive ranges of steps"),
    (|r| r.plan.blocks.truncate(1), "the blocks do not contain every step"),
    (|r| r.segments.truncate(1), "its segments differ from the plan's blocks"),
    (|r| r.segments[1].block = 0, "its segments differ from the plan's blocks"),
    (|r| r.segments[0].steps.swap(0, 1), "its segments differ from the plan's blocks"),
    (|r| r.slots[0].bytes = usize::MAX, "a workspace slot needs 18446744073709551615 bytes"),
    (|r| r.plan.tensors[1].shape.h = 0, "it has no values"),
    (|r| r.plan.tensors[1].shape.h = 1 << 62, "its size overflows"),
    (
        |r| {
            let id = add_tensor(r, Location::Slot(0));
            r.plan.tensors[id.0].shape.h = 1 << 40;
        },
        "tensor added [2, 4, 1099511627776, 7] needs 246290604621824 bytes",
    ),
    (
        |r| r.plan.tensors[1].layout = ChannelLayout { groups: 0, per_group: 4 },
        "its layout is for another number of channels",
    ),
    (|r| change_conv(r, 0, |conv| conv.stride = 0), "stride 0"),
    (|r| change_conv(r, 0, |conv| conv.groups = 0), "groups 0"),
    (|r| change_conv(r, 0, |conv| conv.out_channels = usize::MAX), "overflows"),
    (|r| change_conv(r, 0, |conv| conv.kernel = KernelSize::Seven), "not a candidate"),
    (|r| r.plan.tensors[1].dtype = DType::F16, "a kernel that is not a candidate"),
    (
        // A later step writes its slot.
        |r| r.plan.fetches.push(TensorId(1)),
        "is not in its location after the run",
    ),
];

#[test]
fn spoiled_chains_are_refused() -> Outcome {
    let good = chain()?;
    good.check(device().capabilities())?;
    for (spoil, expected) in SPOILED_CHAINS {
        assert_spoiled(&good, *spoil, expected);
    }
    Ok(())
}

fn assert_spoiled(good: &Recording, spoil: Spoil, expected: &str) {
    let mut recording = good.clone();
    spoil(&mut recording);
    let found = recording.check(device().capabilities()).map_err(|error| error.to_string());
    let found = found.err().unwrap_or_default();
    assert!(found.contains(expected), "expected \"{expected}\", found \"{found}\"");
}

#[test]
fn spoiled_training_is_refused() -> Outcome {
    let good = training()?;
    good.check(device().capabilities())?;
    let spoils: [(Spoil, &str); 4] = [
        (
            |r| {
                let id = r.plan.updates[0].to;
                let other = r.plan.updates[1].to;
                r.locations[id.0] = r.locations[other.0];
                let slots = r.slots.iter().map(|slot| slot.bytes).max().unwrap_or(0);
                r.slots.iter_mut().for_each(|slot| slot.bytes = slots);
            },
            "a variable that shares its slot with another",
        ),
        (|r| r.plan.updates[0].from = r.plan.updates[0].to, "an update that does not fit"),
        (
            |r| {
                let update = r.plan.updates[0];
                r.plan.updates.push(update);
            },
            "an update that does not fit its variable",
        ),
        (|r| r.plan.variables.truncate(1), "it reads a tensor before a step writes it"),
    ];
    for (spoil, expected) in spoils {
        assert_spoiled(&good, spoil, expected);
    }
    Ok(())
}

/// Sizes and limits that a caller passes in addition to the recording.
#[test]
fn other_limits_do_not_overflow() -> Outcome {
    let (gpu, recording) = (device(), chain()?);
    let none = Capabilities { max_workgroups: 0, ..*gpu.capabilities() };
    assert!(recording.check(&none).is_err());
    let endless = Capabilities { max_binding_bytes: u64::MAX, ..*gpu.capabilities() };
    let mut large = recording.clone();
    large.slots[0].bytes = (Capabilities::MAX_BINDING_BYTES + 1) as usize;
    let error = large.check(&endless).err().map(|error| error.to_string());
    let expected = "a workspace slot needs 2147483649 bytes, the device's limit is 2147483648";
    assert_eq!(error.as_deref(), Some(expected));
    let params: Vec<StepParams> = recording
        .steps()
        .map(|recorded| match recorded.step.op {
            Op::Conv { conv, .. } => StepParams::Conv {
                weight: vec![0.0; conv.weights()],
                bias: vec![0.0; conv.out_channels],
            },
            Op::JoinedConv { main, shortcut, .. } => StepParams::JoinedConv {
                main: vec![0.0; main.weights()],
                shortcut: vec![0.0; shortcut.weights()],
                bias: vec![0.0; main.out_channels],
            },
            _ => StepParams::None,
        })
        .collect();
    let options = ExecutorOptions { guard_bytes: u64::MAX - 3 };
    let error = Executor::new(gpu, recording, &params, options).err();
    assert!(error.is_some_and(|error| error.to_string().contains("the device's limit is")));
    Ok(())
}

/// Runs from host tensors whose input or output is weights.
#[test]
fn weights_are_packed_for_runs() -> Outcome {
    let conv = Conv::conv3x3(6, 5, 1, 1, 1);
    let layout =
        WeightLayout { conv, input: ChannelLayout::dense(6), output: ChannelLayout::dense(5) };
    let op = Op::Train(TrainOp::MirroredWeights { conv });
    let tensors =
        vec![TensorInfo::weights("weights", layout), TensorInfo::weights("out", layout.mirrored())];
    let plan = Plan::of_step(op, tensors, false);
    let kernel = first_kernel(&plan).ok_or("no kernel")?;
    let recording = by_hand(plan, kernel);
    let input = small_integers(conv.weight_shape(), 3);
    let expected = reference::run(&recording, &[StepParams::None], &input)?;
    let options = ExecutorOptions::default();
    let mut executor = Executor::new(device(), recording, &[StepParams::None], options)?;
    let found = executor.run(&input)?;
    assert_eq!(found, expected);
    Ok(())
}
