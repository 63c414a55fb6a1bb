//! Single operations, as plans made by hand: every kernel family with every epilogue.

use wgpu_bottleneck::Shape;
use wgpu_bottleneck::kernel::{Family, Tile, all_specialisations};
use wgpu_bottleneck::op::{Conv, Epilogue, KernelSize, Op, StepParams};
use wgpu_bottleneck::plan::{Plan, PlanKind, Role, Step, TensorId, TensorInfo};
use wgpu_bottleneck::selftest::{exact_params, layouts};
use wgpu_bottleneck::tensor::ChannelLayout;

use super::strided_side;
use crate::common::exact::{DENSE, Growth, Kernels, check_plan, sparse_integers};
use crate::common::seeded::{Seeded, small_integers};
use crate::common::{Outcome, targets};

/// For the convolution that makes a second input.
const FEW: Growth = Growth { terms: 3, ..DENSE };

/// One operation, and the image that it is given. An operation of two inputs gets the other from a
/// 1x1 convolution of the image, so that the two differ.
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
            params.push(StepParams::Conv {
                weight: sparse_integers(&conv, FEW, &mut random),
                bias: Vec::new(),
            });
        }
        params.push(exact_params(&self.op, &mut random));
        let input = small_integers(self.image, self.seed ^ 1);
        check_plan(&plan, &params, &input, Kernels::Every, targets())
            .map_err(|error| format!("{self:?}: {error}"))?;
        Ok(())
    }

    /// The plan, and the convolution that makes the second input.
    #[expect(clippy::too_many_lines, reason = "a table: one arm per operation")]
    fn plan(&self) -> Result<(Plan, Option<Conv>), Box<dyn std::error::Error>> {
        let (image, c) = (TensorId(0), self.image.c);
        let (layout_in, layout_out) = image_and_output(&self.op);
        let mut tensors = vec![TensorInfo::pixels("input", self.image, layout_in)];
        let side = match self.op {
            Op::Conv { conv, epilogue } if epilogue.residual => {
                Some((Conv::conv1x1(c, conv.out_channels, conv.stride), layout_out))
            }
            Op::JoinedConv { main, shortcut, .. } => Some((
                Conv::conv1x1(c, main.in_channels, shortcut.stride),
                ChannelLayout::dense(main.in_channels),
            )),
            Op::Add { channels, .. } => Some((Conv::conv1x1(c, channels, 1), layout_out)),
            _ => None,
        };
        let mut steps = Vec::new();
        let mut inputs = vec![image];
        if let Some((conv, layout)) = side {
            let shape = conv.output_shape(self.image)?;
            tensors.push(TensorInfo::pixels("side", shape, layout));
            let op = Op::Conv { conv, epilogue: Epilogue::default() };
            steps.push(Step {
                block: 0,
                module: "side".to_owned(),
                role: Role::Downsample,
                op,
                inputs: vec![image],
                weights: None,
                output: TensorId(1),
            });
            inputs.push(TensorId(1));
        }
        if matches!(self.op, Op::JoinedConv { .. }) {
            inputs.reverse();
        }
        let shapes: Vec<Shape> = inputs.iter().map(|id| tensors[id.0].shape).collect();
        let output = TensorId(tensors.len());
        tensors.push(TensorInfo::pixels("output", self.op.output_shape(&shapes)?, layout_out));
        steps.push(Step {
            block: 0,
            module: "op".to_owned(),
            role: Role::Conv1,
            op: self.op,
            inputs,
            weights: None,
            output,
        });
        let blocks = vec![0..steps.len(); 1];
        Ok((
            Plan {
                kind: PlanKind::Fused,
                tensors,
                steps,
                blocks,
                input: image,
                output,
                variables: Vec::new(),
                fetches: Vec::new(),
                updates: Vec::new(),
            },
            side.map(|(conv, _)| conv),
        ))
    }
}

/// The layouts of the image and the output.
fn image_and_output(op: &Op) -> (ChannelLayout, ChannelLayout) {
    let (inputs, output) = layouts(op);
    // The image is what a joined convolution's shortcut reads.
    (inputs[usize::from(matches!(op, Op::JoinedConv { .. }))], output)
}

/// Every combination of bias, residual and ReLU.
fn epilogues() -> impl Iterator<Item = Epilogue> {
    (0..8).map(|bits| Epilogue {
        bias: bits & 1 != 0,
        residual: bits & 2 != 0,
        relu: bits & 4 != 0,
    })
}

/// Where an operation's sizes come from: half of them at the edges of one of its family's tiles.
struct Sizes {
    random: Seeded,
    tiles: Vec<Tile>,
}

impl Sizes {
    fn new(family: Family) -> Self {
        let tiles = all_specialisations()
            .into_iter()
            .filter(|kernel| kernel.family == family)
            .map(|k| k.tile)
            .collect();
        Self { random: Seeded::new(family as u64), tiles }
    }

    /// Batch, height and width of an output.
    fn output(&mut self) -> (usize, usize, usize) {
        let random = &mut self.random;
        let tile = random.pick(&self.tiles);
        let edge = ((tile.rows_per_thread * tile.workgroup_y) as usize + random.below(3))
            .saturating_sub(1)
            .max(1);
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
        Shape {
            n,
            c: channels,
            h: strided_side(h, stride) + extra,
            w: strided_side(w, stride) + extra,
        }
    }

    fn channels(&mut self) -> usize {
        let tile = self.random.pick(&self.tiles);
        let edge =
            (4 * tile.workgroup_x * tile.cols_per_thread) as usize + self.random.below(3) - 1;
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
        for (groups, input, output) in [(2, 26, 26), (3, 5, 2), (8, 4, 8), (32, 1, 1), (2, 33, 30)]
        {
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
            OpCase { op: Op::JoinedConv { main, shortcut, relu }, image, seed: sizes.seed() }
                .check()?;
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
        let conv = Conv {
            kernel: KernelSize::One,
            ..Conv::conv1x1(sizes.few_channels(), groups * per_group, 1)
        };
        let image = sizes.image(conv.in_channels, 1);
        let case = OpCase {
            op: Op::Conv { conv, epilogue: Epilogue::default() },
            image,
            seed: sizes.seed(),
        };
        let (mut plan, _) = case.plan()?;
        plan.tensors[plan.output.0].layout = ChannelLayout::grouped(conv.out_channels, groups);
        let params = [exact_params(&case.op, &mut Seeded::new(case.seed))];
        let input = small_integers(image, case.seed);
        check_plan(&plan, &params, &input, Kernels::Every, targets())
            .map_err(|error| format!("{case:?}: {error}"))?;
    }
    Ok(())
}
