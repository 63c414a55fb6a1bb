//! The plans of a block, of a chain of blocks and of a whole network.

use crate::error::{Result, SpecError};
use crate::network::{BasicBlock, BlockSpec, Bottleneck, ResNet, Stem};
use crate::op::{Conv, Epilogue, Op};
use crate::plan::{Plan, PlanKind, Role, Step, TensorId, TensorInfo};
use crate::tensor::{ChannelLayout, Shape};

/// The plan of one block for an input of this shape.
///
/// # Errors
/// A [`ShapeError`](crate::error::ShapeError) if the input's channels differ from the block's
/// inplanes.
pub fn plan_block(block: &Bottleneck, input: Shape, kind: PlanKind) -> Result<Plan> {
    plan_chain(std::slice::from_ref(block), input, kind)
}

/// The plan of a chain of blocks.
///
/// # Errors
/// [`SpecError::EmptyChain`]; [`SpecError::Chain`] if a block does not accept the output of the
/// previous one; and as [`plan_block`].
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
    let mut planner = InferencePlanner::new(kind, input);
    let mut current = planner.input();
    for (index, block) in blocks.iter().enumerate() {
        planner.begin(format!("block{index}."));
        current = planner.bottleneck(block, current)?;
    }
    Ok(planner.finish(current, "output"))
}

/// The plan of a network: a plan block for the stem, one for each block, one for the head. The
/// output is `logits`, `[batch, classes, 1, 1]`, or, without classes, `pooled`, the mean of the
/// last map. The fetches of the plan are `stem`, the output of each stage (`layer1`, `layer2`, ...)
/// and, with classes, `pooled`.
///
/// # Errors
/// A [`ShapeError`](crate::error::ShapeError) if the input's channels differ from the stem's.
pub fn plan_network(network: &ResNet, input: Shape, kind: PlanKind) -> Result<Plan> {
    let mut planner = InferencePlanner::new(kind, input);
    planner.begin(String::new());
    let mut current = planner.stem(network.stem())?;
    planner.keep(current, "stem");
    for (stage, blocks) in network.stages().iter().enumerate() {
        for (index, block) in blocks.iter().enumerate() {
            planner.begin(format!("layer{}.{index}.", stage + 1));
            current = match block {
                BlockSpec::Bottleneck(block) => planner.bottleneck(block, current)?,
                BlockSpec::Basic(block) => planner.basic(block, current)?,
            };
        }
        planner.keep(current, &format!("layer{}", stage + 1));
    }
    planner.begin(String::new());
    let features = network.features();
    let dense = ChannelLayout::dense;
    current = planner.step(
        Role::AvgPool,
        Op::GlobalAvgPool { channels: features },
        &[current],
        dense(features),
    )?;
    if let Some(classes) = network.classes() {
        planner.keep(current, "pooled");
        let epilogue = Epilogue { bias: true, residual: false, relu: false };
        let linear = Op::Conv { conv: Conv::conv1x1(features, classes, 1), epilogue };
        current = planner.step(Role::Fc, linear, &[current], dense(classes))?;
    }
    Ok(planner.finish(current, if network.classes().is_some() { "logits" } else { "pooled" }))
}

/// A plan under construction.
struct InferencePlanner {
    plan: Plan,
    /// The prefix of the names of the current block's steps.
    name: String,
}

const FOLDED: Epilogue = Epilogue { bias: true, residual: false, relu: true };

impl InferencePlanner {
    fn new(kind: PlanKind, input: Shape) -> Self {
        let info = TensorInfo::pixels("input", input, ChannelLayout::dense(input.c));
        Self { plan: Plan::new(kind, info), name: String::new() }
    }

    fn input(&self) -> TensorId {
        self.plan.input
    }

    /// Starts a new block for the following steps.
    fn begin(&mut self, name: String) {
        let at = self.plan.steps.len();
        self.plan.blocks.push(at..at);
        self.name = name;
    }

    /// Names a tensor, and adds it to the fetches of the plan.
    fn keep(&mut self, tensor: TensorId, name: &str) {
        self.plan.tensors[tensor.0].name = name.to_owned();
        self.plan.fetches.push(tensor);
    }

    fn finish(mut self, output: TensorId, name: &str) -> Plan {
        self.plan.tensors[output.0].name = name.to_owned();
        self.plan.output = output;
        self.plan
    }

    /// Appends a step and the tensor that it writes.
    fn step(
        &mut self,
        role: Role,
        op: Op,
        inputs: &[TensorId],
        layout: ChannelLayout,
    ) -> Result<TensorId> {
        let plan = &mut self.plan;
        let shapes: Vec<Shape> = inputs.iter().map(|&id| plan.tensor(id).shape).collect();
        let shape = op.output_shape(&shapes)?;
        let output = TensorId(plan.tensors.len());
        let module = format!("{}{}", self.name, role.name());
        plan.tensors.push(TensorInfo::pixels(module.clone(), shape, layout));
        let block = plan.blocks.len().saturating_sub(1);
        plan.steps.push(Step {
            block,
            module,
            role,
            op,
            inputs: inputs.to_vec(),
            weights: None,
            output,
        });
        if let Some(range) = plan.blocks.last_mut() {
            range.end += 1;
        }
        Ok(output)
    }

    /// A convolution and its norm, folded or not.
    fn conv_norm(
        &mut self,
        (role, norm_role): (Role, Role),
        conv: Conv,
        relu: bool,
        input: TensorId,
        layout: ChannelLayout,
    ) -> Result<TensorId> {
        match self.plan.kind {
            PlanKind::Fused => self.step(
                role,
                Op::Conv { conv, epilogue: Epilogue { relu, ..FOLDED } },
                &[input],
                layout,
            ),
            PlanKind::Unfused => {
                let x = self.step(
                    role,
                    Op::Conv { conv, epilogue: Epilogue::default() },
                    &[input],
                    layout,
                )?;
                self.step(
                    norm_role,
                    Op::BatchNorm { channels: conv.out_channels, relu },
                    &[x],
                    layout,
                )
            }
        }
    }

    /// Convolution, norm, ReLU and, if the stem has one, the pool.
    fn stem(&mut self, stem: Stem) -> Result<TensorId> {
        let layout = ChannelLayout::dense(stem.planes);
        let (roles, conv) = ((Role::Stem, Role::StemBn), stem.conv());
        let x = self.conv_norm(roles, conv, true, self.plan.input, layout)?;
        if !stem.has_pool() {
            return Ok(x);
        }
        self.step(
            Role::MaxPool,
            Op::MaxPool { channels: stem.planes, windows: stem.pool },
            &[x],
            layout,
        )
    }

    fn bottleneck(&mut self, block: &Bottleneck, input: TensorId) -> Result<TensorId> {
        match self.plan.kind {
            PlanKind::Fused => self.fused(block, input),
            PlanKind::Unfused => self.unfused(block, input),
        }
    }

    /// Two 3x3 convolutions. The shortcut is a separate step, added by the second convolution or,
    /// unfused, after its norm.
    fn basic(&mut self, block: &BasicBlock, input: TensorId) -> Result<TensorId> {
        let layout = ChannelLayout::dense(block.outplanes());
        let x = self.conv_norm((Role::Conv1, Role::Bn1), block.conv1(), true, input, layout)?;
        let shortcut = match block.downsample_conv() {
            Some(conv) => {
                self.conv_norm((Role::Downsample, Role::DownsampleBn), conv, false, input, layout)?
            }
            None => input,
        };
        match self.plan.kind {
            PlanKind::Fused => {
                let last = Op::Conv {
                    conv: block.conv2(),
                    epilogue: Epilogue { residual: true, ..FOLDED },
                };
                self.step(Role::Conv2, last, &[x, shortcut], layout)
            }
            PlanKind::Unfused => {
                let x =
                    self.conv_norm((Role::Conv2, Role::Bn2), block.conv2(), false, x, layout)?;
                self.step(
                    Role::Add,
                    Op::Add { channels: block.outplanes(), relu: true },
                    &[x, shortcut],
                    layout,
                )
            }
        }
    }

    /// Three steps: the norms are folded, and the last one adds the shortcut.
    fn fused(&mut self, block: &Bottleneck, input: TensorId) -> Result<TensorId> {
        let (inner, outer) = layouts(block);
        let narrow = self.step(
            Role::Conv1,
            Op::Conv { conv: block.conv1(), epilogue: FOLDED },
            &[input],
            inner,
        )?;
        let spatial = self.step(
            Role::Conv2,
            Op::Conv { conv: block.conv2(), epilogue: FOLDED },
            &[narrow],
            inner,
        )?;
        let last = match block.downsample_conv() {
            Some(shortcut) => Op::JoinedConv { main: block.conv3(), shortcut, relu: true },
            None => {
                Op::Conv { conv: block.conv3(), epilogue: Epilogue { residual: true, ..FOLDED } }
            }
        };
        self.step(Role::Conv3, last, &[spatial, input], outer)
    }

    /// Every operation as a separate step, in PyTorch's order.
    fn unfused(&mut self, block: &Bottleneck, input: TensorId) -> Result<TensorId> {
        let (inner, outer) = layouts(block);
        let x = self.conv_norm((Role::Conv1, Role::Bn1), block.conv1(), true, input, inner)?;
        let x = self.conv_norm((Role::Conv2, Role::Bn2), block.conv2(), true, x, inner)?;
        let x = self.conv_norm((Role::Conv3, Role::Bn3), block.conv3(), false, x, outer)?;
        let shortcut = match block.downsample_conv() {
            Some(conv) => {
                self.conv_norm((Role::Downsample, Role::DownsampleBn), conv, false, input, outer)?
            }
            None => input,
        };
        self.step(
            Role::Add,
            Op::Add { channels: block.outplanes(), relu: true },
            &[x, shortcut],
            outer,
        )
    }
}

/// The layouts of the private tensors between a block's convolutions, padded per group, and of its
/// output.
fn layouts(block: &Bottleneck) -> (ChannelLayout, ChannelLayout) {
    (ChannelLayout::grouped(block.width(), block.groups()), ChannelLayout::dense(block.outplanes()))
}
