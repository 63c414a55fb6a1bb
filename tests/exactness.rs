//! Exactness: where f32 cannot round, every kernel gives the reference's bits, stays within its memory and repeats itself:
//! whole blocks over random specifications and shapes, single operations with every epilogue, chains, and the largest
//! layers of the family, on every device, with runtime checks on and off.

mod common;

use common::exact::{
    EXACT_NORMS, GUARD, Growth, Kernels, check_blocks, check_kind, check_plan, check_recording, check_run, exact_block,
    sparse_integers,
};
use common::seeded::{Seeded, small_integers};
use common::specs::{Wish, chains, config, images, norms, wishes};
use common::{Outcome, targets};
use proptest::prelude::*;
use wgpu_bottleneck::gpu::Executor;
use wgpu_bottleneck::kernel::{Capabilities, Family, Tile, all_specialisations};
use wgpu_bottleneck::op::{Conv, Epilogue, KernelSize, Op, StepParams};
use wgpu_bottleneck::plan::{self, KernelChoice, Plan, PlanKind, Recording, Role, Step, TensorId, TensorInfo};
use wgpu_bottleneck::tensor::ChannelLayout;
use wgpu_bottleneck::{Block, Bottleneck, HostTensor, LoadOptions, Shape, network, reference};

/// A block and the image that it is given.
#[derive(Debug, Clone)]
struct Case {
    spec: Bottleneck,
    affine: bool,
    image: Shape,
    seed: u64,
}

impl Case {
    fn check(&self) -> Result<(), TestCaseError> {
        let block = exact_block(&self.spec, self.affine, Growth::for_chain(1), self.seed);
        let block = block.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let input = small_integers(self.image, self.seed ^ 1);
        check_blocks(&[block], &input, targets()).map_err(TestCaseError::fail)
    }
}

fn cases() -> impl Strategy<Value = Case> {
    (wishes(), any::<bool>(), images(), any::<u64>()).prop_map(|(wish, affine, (n, h, w), seed)| {
        let spec = wish.build();
        Case { spec, affine, image: Shape { n, c: spec.inplanes(), h, w }, seed }
    })
}

/// Tiles of the convolutions, each once.
fn conv_tiles() -> Vec<Tile> {
    let elementwise = [Family::BatchNormRelu, Family::ResidualAdd];
    let mut tiles = Vec::new();
    for kernel in all_specialisations() {
        if !elementwise.contains(&kernel.family) && !tiles.contains(&kernel.tile) {
            tiles.push(kernel.tile);
        }
    }
    tiles
}

/// An image side that a stride leaves `count` pixels of.
fn strided_side(count: usize, stride: usize) -> usize {
    (count - 1) * stride + 1
}

/// Pixels and channels one below, at and one above what a tile covers.
fn edge_cases() -> impl Strategy<Value = Case> {
    let deltas = -1isize..=1;
    let tile = prop::sample::select(conv_tiles());
    let shape = (1usize..=2, deltas.clone(), deltas.clone(), deltas);
    (tile, shape, 1usize..=2, any::<bool>(), any::<bool>(), norms(), any::<u64>()).prop_map(
        |(tile, (times, pixels, width, planes), stride, tall, downsample, norm, seed)| {
            let at = |edge: u32, delta: isize| (edge as usize).saturating_add_signed(delta).max(1);
            let pixels = at(tile.rows * tile.slices * times as u32, pixels);
            let spec = Wish {
                inplanes: None,
                planes: at(tile.lanes * tile.cols, planes).min(64),
                groups: 1,
                per_group: at(4 * tile.lanes * tile.cols, width),
                stride,
                dilation: 1,
                downsample,
                norm,
            }
            .build();
            let side = strided_side(pixels, spec.stride());
            let (h, w) = if tall { (side, 1) } else { (1, side) };
            Case { spec, affine: true, image: Shape { n: 1, c: spec.inplanes(), h, w }, seed }
        },
    )
}

proptest! {
    #![proptest_config(config(150))]
    #[test]
    fn random_blocks(case in cases()) {
        case.check()?;
    }
}

proptest! {
    #![proptest_config(config(48))]
    #[test]
    fn blocks_at_the_edges_of_tiles(case in edge_cases()) {
        case.check()?;
    }
}

proptest! {
    #![proptest_config(config(24))]
    #[test]
    fn random_chains((specs, (n, h, w), seed) in chains()) {
        let blocks: Result<Vec<Block>, _> = (seed..)
            .zip(&specs)
            .map(|(seed, spec)| exact_block(spec, true, Growth::for_chain(specs.len()), seed))
            .collect();
        let blocks = blocks.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let input = small_integers(Shape { n, c: specs[0].inplanes(), h, w }, seed ^ 1);
        check_blocks(&blocks, &input, targets()).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn maps_smaller_than_a_dilated_kernel() -> Outcome {
    for (side, dilation, groups) in
        [(1, 12, 1), (2, 2, 1), (3, 4, 3), (5, 12, 1), (11, 12, 8), (12, 12, 32), (13, 12, 2)]
    {
        let wish = Wish {
            inplanes: None,
            planes: 5,
            groups,
            per_group: 3,
            stride: 1,
            dilation,
            downsample: false,
            norm: EXACT_NORMS[0],
        };
        let spec = wish.build();
        let image = Shape::new(2, spec.inplanes(), side, side)?;
        let case = Case { spec, affine: true, image, seed: side as u64 };
        case.check().map_err(|error| format!("{case:?}: {error}"))?;
    }
    Ok(())
}

/// The largest layers of the family: ResNet-50's layer4.1 and layer4.0, wide_resnet101_2's layer4.1, resnext101_64x4d's layer4.1.
fn largest_layers() -> Result<Vec<(Bottleneck, Shape)>, Box<dyn std::error::Error>> {
    let layer4 = Bottleneck::torchvision(2048, 512).norm_layer(EXACT_NORMS[0]);
    let small = Shape::new(1, 2048, 7, 7)?;
    let first = Bottleneck::torchvision(1024, 512).stride(2).downsample(true).norm_layer(EXACT_NORMS[0]);
    Ok(vec![
        (layer4.build()?, small),
        (first.build()?, Shape::new(1, 1024, 14, 14)?),
        (layer4.base_width(128).build()?, small),
        (layer4.groups(64).base_width(4).build()?, small),
    ])
}

#[test]
fn largest_layers_with_every_kernel() -> Outcome {
    for (seed, (spec, image)) in (0..).zip(largest_layers()?) {
        let block = exact_block(&spec, true, Growth::for_chain(1), seed)?;
        let input = small_integers(image, seed);
        // Every candidate on the first device; what is taken by default on all of them.
        check_kind(std::slice::from_ref(&block), &input, PlanKind::Fused, Kernels::Every, &targets()[..1])
            .map_err(|error| format!("{spec:?}: {error}"))?;
        for kind in [PlanKind::Fused, PlanKind::Unfused] {
            check_kind(std::slice::from_ref(&block), &input, kind, Kernels::Ranked, targets())
                .map_err(|error| format!("{spec:?}: {error}"))?;
        }
    }
    Ok(())
}

#[test]
fn largest_map_of_the_family() -> Outcome {
    let spec = Bottleneck::torchvision(256, 64).norm_layer(EXACT_NORMS[0]).build()?;
    let block = exact_block(&spec, true, Growth::for_chain(1), 7)?;
    let input = small_integers(Shape::new(1, 256, 56, 56)?, 7);
    for kind in [PlanKind::Fused, PlanKind::Unfused] {
        check_kind(std::slice::from_ref(&block), &input, kind, Kernels::Ranked, targets())?;
    }
    Ok(())
}

const DENSE: Growth = Growth { terms: usize::MAX, halves: true, doubles: true };
const FEW: Growth = Growth { terms: 3, ..DENSE };

/// One operation, and the image that it is given. An operation of two inputs gets the other from a 1x1 convolution of the
/// image, so that the two differ.
#[derive(Debug, Clone, Copy)]
struct OpCase {
    op: Op,
    image: Shape,
    seed: u64,
}

impl OpCase {
    fn check(&self) -> Outcome {
        let mut random = Seeded::new(self.seed);
        let (plan, side) = self.plan()?;
        let mut params = Vec::new();
        if let Some(conv) = side {
            params.push(StepParams::Conv { weight: sparse_integers(&conv, FEW, &mut random), bias: Vec::new() });
        }
        params.push(op_params(&self.op, &mut random));
        let input = small_integers(self.image, self.seed ^ 1);
        check_plan(&plan, &params, &input, Kernels::Every, targets()).map_err(|error| format!("{self:?}: {error}"))?;
        Ok(())
    }

    /// The plan, and the convolution that makes the second input.
    fn plan(&self) -> Result<(Plan, Option<Conv>), Box<dyn std::error::Error>> {
        let (image, c) = (TensorId(0), self.image.c);
        let (layout_in, layout_out) = layouts(&self.op);
        let mut tensors = vec![TensorInfo { name: "input".to_owned(), shape: self.image, layout: layout_in }];
        let side = match self.op {
            Op::Conv { conv, epilogue } if epilogue.residual => {
                Some((Conv::conv1x1(c, conv.out_channels, conv.stride), layout_out))
            }
            Op::JoinedConv { main, shortcut, .. } => {
                Some((Conv::conv1x1(c, main.in_channels, shortcut.stride), ChannelLayout::dense(main.in_channels)))
            }
            Op::Add { channels, .. } => Some((Conv::conv1x1(c, channels, 1), layout_out)),
            _ => None,
        };
        let mut steps = Vec::new();
        let mut inputs = vec![image];
        if let Some((conv, layout)) = side {
            let shape = conv.output_shape(self.image)?;
            tensors.push(TensorInfo { name: "side".to_owned(), shape, layout });
            let op = Op::Conv { conv, epilogue: Epilogue::default() };
            steps.push(Step { block: 0, role: Role::Downsample, op, inputs: vec![image], output: TensorId(1) });
            inputs.push(TensorId(1));
        }
        if matches!(self.op, Op::JoinedConv { .. }) {
            inputs.reverse();
        }
        let shapes: Vec<Shape> = inputs.iter().map(|id| tensors[id.0].shape).collect();
        let output = TensorId(tensors.len());
        tensors.push(TensorInfo {
            name: "output".to_owned(),
            shape: self.op.output_shape(&shapes)?,
            layout: layout_out,
        });
        steps.push(Step { block: 0, role: Role::Conv1, op: self.op, inputs, output });
        let blocks = vec![0..steps.len(); 1];
        Ok((Plan { kind: PlanKind::Fused, tensors, steps, blocks, input: image, output }, side.map(|(conv, _)| conv)))
    }
}

/// The layouts of the image and the output: groups padded apart where the operation has them.
fn layouts(op: &Op) -> (ChannelLayout, ChannelLayout) {
    match *op {
        Op::Conv { conv, .. } => (
            ChannelLayout::grouped(conv.in_channels, conv.groups),
            ChannelLayout::grouped(conv.out_channels, conv.groups),
        ),
        Op::JoinedConv { main, shortcut, .. } => {
            (ChannelLayout::dense(shortcut.in_channels), ChannelLayout::dense(main.out_channels))
        }
        Op::BatchNorm { channels, .. } | Op::Add { channels, .. } => {
            (ChannelLayout::dense(channels), ChannelLayout::dense(channels))
        }
        _ => unreachable!("an operation that this test does not know"),
    }
}

fn op_params(op: &Op, random: &mut Seeded) -> StepParams {
    let quarters =
        |count: usize, random: &mut Seeded| (0..count).map(|_| random.below(33) as f32 / 4.0 - 4.0).collect();
    match op {
        Op::Conv { conv, epilogue } => StepParams::Conv {
            weight: sparse_integers(conv, DENSE, random),
            bias: if epilogue.bias { quarters(conv.out_channels, random) } else { Vec::new() },
        },
        Op::JoinedConv { main, shortcut, .. } => StepParams::JoinedConv {
            main: sparse_integers(main, DENSE, random),
            shortcut: sparse_integers(shortcut, DENSE, random),
            bias: quarters(main.out_channels, random),
        },
        Op::BatchNorm { channels, .. } => StepParams::Affine {
            scale: (0..*channels).map(|_| random.sign() * random.pick(&[0.5, 1.0, 2.0])).collect(),
            shift: quarters(*channels, random),
        },
        _ => StepParams::None,
    }
}

/// Every combination of bias, residual and ReLU.
fn epilogues() -> impl Iterator<Item = Epilogue> {
    (0..8).map(|bits| Epilogue { bias: bits & 1 != 0, residual: bits & 2 != 0, relu: bits & 4 != 0 })
}

/// Where an operation's sizes come from: half of them at the edges of one of its family's tiles.
struct Sizes {
    random: Seeded,
    tiles: Vec<Tile>,
}

impl Sizes {
    fn new(family: Family) -> Self {
        let tiles =
            all_specialisations().into_iter().filter(|kernel| kernel.family == family).map(|k| k.tile).collect();
        Self { random: Seeded::new(family as u64), tiles }
    }

    /// Batch, height and width of an output.
    fn output(&mut self) -> (usize, usize, usize) {
        let random = &mut self.random;
        let tile = random.pick(&self.tiles);
        let edge = ((tile.rows * tile.slices) as usize + random.below(3)).saturating_sub(1).max(1);
        match random.below(4) {
            0 => (1, 1, edge),
            1 => (1, edge, 1),
            2 => (1 + random.below(5), 1, 1),
            _ => (1 + random.below(5), 1 + random.below(9), 1 + random.below(9)),
        }
    }

    fn image(&mut self, channels: usize, stride: usize) -> Shape {
        let (n, h, w) = self.output();
        // Pixels behind the last one that the stride reaches change nothing.
        let extra = self.random.below(stride);
        Shape { n, c: channels, h: strided_side(h, stride) + extra, w: strided_side(w, stride) + extra }
    }

    fn channels(&mut self) -> usize {
        let tile = self.random.pick(&self.tiles);
        let edge = (4 * tile.lanes * tile.cols) as usize + self.random.below(3) - 1;
        if self.random.below(2) == 0 { edge } else { 1 + self.random.below(40) }
    }

    fn few_channels(&mut self) -> usize {
        1 + self.random.below(40)
    }

    fn seed(&mut self) -> u64 {
        self.random.next()
    }
}

#[test]
fn conv1x1_with_every_epilogue() -> Outcome {
    let mut sizes = Sizes::new(Family::Conv1x1);
    for epilogue in epilogues() {
        for stride in [1, 1, 2, 3] {
            let conv = Conv::conv1x1(sizes.few_channels(), sizes.channels(), stride);
            let image = sizes.image(conv.in_channels, stride);
            OpCase { op: Op::Conv { conv, epilogue }, image, seed: sizes.seed() }.check()?;
        }
    }
    Ok(())
}

#[test]
fn conv3x3_with_every_epilogue() -> Outcome {
    let mut sizes = Sizes::new(Family::Conv3x3);
    for epilogue in epilogues() {
        for (stride, dilation) in [(1, 1), (2, 1), (1, 2), (4, 12)] {
            let conv = Conv::conv3x3(sizes.few_channels(), sizes.channels(), stride, dilation, 1);
            let image = sizes.image(conv.in_channels, stride);
            OpCase { op: Op::Conv { conv, epilogue }, image, seed: sizes.seed() }.check()?;
        }
    }
    Ok(())
}

#[test]
fn grouped_conv3x3_with_every_epilogue() -> Outcome {
    let mut sizes = Sizes::new(Family::Conv3x3Grouped);
    for epilogue in epilogues() {
        // In and out channels of a group differ only here: a block has as many.
        for (groups, input, output) in [(2, 26, 26), (3, 5, 2), (8, 4, 8), (32, 1, 1), (2, 33, 30)] {
            let (stride, dilation) = (1 + sizes.random.below(3), 1 + sizes.random.below(4));
            let conv = Conv::conv3x3(groups * input, groups * output, stride, dilation, groups);
            let image = sizes.image(conv.in_channels, stride);
            OpCase { op: Op::Conv { conv, epilogue }, image, seed: sizes.seed() }.check()?;
        }
    }
    Ok(())
}

#[test]
fn joined_convolutions_with_and_without_relu() -> Outcome {
    let mut sizes = Sizes::new(Family::Conv1x1Joined);
    for relu in [false, true] {
        for stride in [1, 1, 2, 2, 3, 4] {
            let out = sizes.channels();
            let main = Conv::conv1x1(sizes.few_channels(), out, 1);
            let shortcut = Conv::conv1x1(sizes.few_channels(), out, stride);
            let image = sizes.image(shortcut.in_channels, stride);
            OpCase { op: Op::JoinedConv { main, shortcut, relu }, image, seed: sizes.seed() }.check()?;
        }
    }
    Ok(())
}

#[test]
fn norms_and_additions_with_and_without_relu() -> Outcome {
    let mut sizes = Sizes::new(Family::BatchNormRelu);
    for relu in [false, true] {
        for vec4s in [1, 63, 64, 65, 128, 129] {
            // A vec4 per pixel, so that the tile of an elementwise kernel ends at 64 pixels.
            let image = Shape::new(1, 1 + sizes.random.below(4), 1, vec4s)?;
            let channels = image.c;
            OpCase { op: Op::BatchNorm { channels, relu }, image, seed: sizes.seed() }.check()?;
            OpCase { op: Op::Add { channels, relu }, image, seed: sizes.seed() }.check()?;
            let channels = sizes.few_channels();
            let image = sizes.image(channels, 1);
            OpCase { op: Op::BatchNorm { channels, relu }, image, seed: sizes.seed() }.check()?;
            OpCase { op: Op::Add { channels, relu }, image, seed: sizes.seed() }.check()?;
        }
    }
    Ok(())
}

#[test]
fn a_dense_convolution_writes_groups_padded_apart() -> Outcome {
    let mut sizes = Sizes::new(Family::Conv1x1);
    for (groups, per_group) in [(2, 26), (32, 1), (3, 5), (8, 7)] {
        let conv = Conv { kernel: KernelSize::One, ..Conv::conv1x1(sizes.few_channels(), groups * per_group, 1) };
        let image = sizes.image(conv.in_channels, 1);
        let case = OpCase { op: Op::Conv { conv, epilogue: Epilogue::default() }, image, seed: sizes.seed() };
        let (mut plan, _) = case.plan()?;
        plan.tensors[plan.output.0].layout = ChannelLayout::grouped(conv.out_channels, groups);
        let params = [op_params(&case.op, &mut Seeded::new(case.seed))];
        let input = small_integers(image, case.seed);
        check_plan(&plan, &params, &input, Kernels::Every, targets()).map_err(|error| format!("{case:?}: {error}"))?;
    }
    Ok(())
}

/// A fused block and what the reference says of it, for the test of the checks.
fn sample() -> Result<(Block, HostTensor, HostTensor), Box<dyn std::error::Error>> {
    let spec = Bottleneck::torchvision(4, 1).norm_layer(EXACT_NORMS[0]).build()?;
    let block = exact_block(&spec, true, Growth::for_chain(1), 3)?;
    let input = small_integers(Shape::new(1, 4, 5, 5)?, 3);
    let options = LoadOptions::default();
    let recording = wgpu_bottleneck::record(&[spec], input.shape(), &Capabilities::CORE, &options)?;
    let params = Block::params(std::slice::from_ref(&block), &recording.plan)?;
    let expected = reference::run(&recording, &params, &input)?;
    Ok((block, input, expected))
}

#[test]
fn the_checks_find_what_is_wrong() -> Outcome {
    let (block, input, expected) = sample()?;
    let target = &targets()[0];
    let plan = network::plan_block(block.spec(), input.shape(), PlanKind::Fused)?;
    let params = Block::params(&[block], &plan)?;
    let recording = plan::schedule(plan, target.gpu.capabilities(), &KernelChoice::Nth(0))?;
    let check = |recording: &Recording, expected: &HostTensor| {
        check_recording(&target.gpu, recording.clone(), &params, &input, expected)
    };
    check(&recording, &expected)?;

    let wrong = HostTensor::from_fn(expected.shape(), |at| expected.data()[at] + if at == 99 { 0.25 } else { 0.0 });
    let said = check(&recording, &wrong);
    assert!(said.as_ref().is_err_and(|said| said.contains("first beyond")), "a wrong number: {said:?}");

    // A kernel that is told of one row more than there is writes it into the guard band.
    for step in 0..3 {
        let mut long = recording.clone();
        let dispatch = &mut long.segments[0].steps[step].dispatches[0];
        let (members, _) = dispatch.kernel.host_params();
        let (_, at) = members.iter().find(|(name, _)| *name == "rows").ok_or("no member rows")?;
        assert_eq!(dispatch.params[*at..][..4], 25u32.to_le_bytes());
        dispatch.params[*at..][..4].copy_from_slice(&26u32.to_le_bytes());
        long.unshare_slots();
        // SAFETY: the row too many lies in the guard band of the tensor, inside its binding.
        let mut executor = unsafe { Executor::new_unchecked(&target.gpu, long, &params, GUARD)? };
        let said = check_run(&mut executor, &input, &expected);
        assert!(said.as_ref().is_err_and(|said| said.contains("behind the end")), "a row too many: {said:?}");
    }
    Ok(())
}

#[test]
fn inexact_numbers_are_refused() -> Outcome {
    let spec = Bottleneck::torchvision(256, 64).norm_layer(EXACT_NORMS[0]).build()?;
    let block = exact_block(&spec, true, DENSE, 3)?;
    let input = small_integers(Shape::new(1, 256, 3, 3)?, 3);
    let huge = HostTensor::from_fn(input.shape(), |at| input.data()[at] * 4096.0 + 1.0);
    let said = check_kind(&[block], &huge, PlanKind::Fused, Kernels::Ranked, &targets()[..1]);
    assert!(said.as_ref().is_err_and(|said| said.starts_with("not exact")), "{said:?}");
    Ok(())
}
