//! The plans of a block and of a chain of blocks.

use crate::error::{Result, SpecError};
use crate::network::Bottleneck;
use crate::op::{Conv, Epilogue, Op};
use crate::plan::{Plan, PlanKind, Role, Step, TensorId, TensorInfo};
use crate::tensor::{ChannelLayout, Shape};

/// The plan of one block for an input of this shape.
///
/// # Errors
/// A [`ShapeError`](crate::error::ShapeError) when the input's channels are not the block's inplanes.
pub fn plan_block(block: &Bottleneck, input: Shape, kind: PlanKind) -> Result<Plan> {
    plan_chain(std::slice::from_ref(block), input, kind)
}

/// The plan of blocks behind one another.
///
/// # Errors
/// [`SpecError::EmptyChain`], [`SpecError::Chain`] when a block does not take what the one before it writes, and as
/// [`plan_block`].
pub fn plan_chain(blocks: &[Bottleneck], input: Shape, kind: PlanKind) -> Result<Plan> {
    if blocks.is_empty() {
        return Err(SpecError::EmptyChain.into());
    }
    for (index, pair) in blocks.windows(2).enumerate() {
        let (expected, found) = (pair[0].outplanes(), pair[1].inplanes());
        if expected != found {
            return Err(SpecError::Chain { block: index + 1, expected, found }.into());
        }
    }
    let info = TensorInfo { name: "input".to_owned(), shape: input, layout: ChannelLayout::dense(input.c) };
    let mut planner = Planner { block: 0, name: String::new(), tensors: vec![info], steps: Vec::new() };
    let (mut current, mut ranges) = (TensorId(0), Vec::new());
    for (index, block) in blocks.iter().enumerate() {
        (planner.block, planner.name) = (index, format!("block{index}."));
        let start = planner.steps.len();
        current = match kind {
            PlanKind::Fused => planner.fused(block, current)?,
            PlanKind::Unfused => planner.unfused(block, current)?,
        };
        ranges.push(start..planner.steps.len());
    }
    let Planner { mut tensors, steps, .. } = planner;
    tensors[current.0].name = "output".to_owned();
    Ok(Plan { kind, tensors, steps, blocks: ranges, input: TensorId(0), output: current, kept: Vec::new() })
}

/// A plan in the making.
struct Planner {
    block: usize,
    /// What the names of the block's steps begin with.
    name: String,
    tensors: Vec<TensorInfo>,
    steps: Vec<Step>,
}

impl Planner {
    /// Appends a step and the tensor that it writes.
    fn step(&mut self, role: Role, op: Op, inputs: &[TensorId], layout: ChannelLayout) -> Result<TensorId> {
        let shapes: Vec<Shape> = inputs.iter().map(|id| self.tensors[id.0].shape).collect();
        let shape = op.output_shape(&shapes)?;
        let output = TensorId(self.tensors.len());
        let module = format!("{}{}", self.name, role.name());
        let step = Step { block: self.block, module, role, op, inputs: inputs.to_vec(), output };
        self.tensors.push(TensorInfo { name: step.to_string(), shape, layout });
        self.steps.push(step);
        Ok(output)
    }

    /// Three steps: the norms are folded, and the last one adds the shortcut.
    fn fused(&mut self, block: &Bottleneck, input: TensorId) -> Result<TensorId> {
        let (inner, outer) = layouts(block);
        let relu = Epilogue { bias: true, residual: false, relu: true };
        let narrow = self.step(Role::Conv1, Op::Conv { conv: block.conv1(), epilogue: relu }, &[input], inner)?;
        let spatial = self.step(Role::Conv2, Op::Conv { conv: block.conv2(), epilogue: relu }, &[narrow], inner)?;
        let last = match block.downsample_conv() {
            Some(shortcut) => Op::JoinedConv { main: block.conv3(), shortcut, relu: true },
            None => Op::Conv { conv: block.conv3(), epilogue: Epilogue { residual: true, ..relu } },
        };
        self.step(Role::Conv3, last, &[spatial, input], outer)
    }

    /// Every operation its own step, in PyTorch's order.
    fn unfused(&mut self, block: &Bottleneck, input: TensorId) -> Result<TensorId> {
        let (inner, outer) = layouts(block);
        let plain = |conv: Conv| Op::Conv { conv, epilogue: Epilogue::default() };
        let norm = |channels, relu| Op::BatchNorm { channels, relu };
        let (width, outplanes) = (block.width(), block.outplanes());
        let x = self.step(Role::Conv1, plain(block.conv1()), &[input], inner)?;
        let x = self.step(Role::Bn1, norm(width, true), &[x], inner)?;
        let x = self.step(Role::Conv2, plain(block.conv2()), &[x], inner)?;
        let x = self.step(Role::Bn2, norm(width, true), &[x], inner)?;
        let x = self.step(Role::Conv3, plain(block.conv3()), &[x], outer)?;
        let x = self.step(Role::Bn3, norm(outplanes, false), &[x], outer)?;
        let shortcut = match block.downsample_conv() {
            Some(conv) => {
                let y = self.step(Role::Downsample, plain(conv), &[input], outer)?;
                self.step(Role::DownsampleBn, norm(outplanes, false), &[y], outer)?
            }
            None => input,
        };
        self.step(Role::Add, Op::Add { channels: outplanes, relu: true }, &[x, shortcut], outer)
    }
}

/// The layouts of the private tensors between a block's convolutions, padded per group, and of its output.
fn layouts(block: &Bottleneck) -> (ChannelLayout, ChannelLayout) {
    (ChannelLayout::grouped(block.width(), block.groups()), ChannelLayout::dense(block.outplanes()))
}
