//! The plan of a block in training mode: forward as one segment, the gradients as another.
//!
//! ```text
//! forward   conv1 | stats, norm + relu | conv2 | stats, norm + relu | conv3 | stats, norm | [downsample] | add + relu
//! backward  relu | bn3: sums, norm | conv3: weights, image | bn2: ... | conv2: ... | bn1: ... | conv1: weights, image + shortcut's
//! ```
//!
//! Weights, and what norms have, are tensors that the caller gives, and so is the gradient of the block's output. Gradients of weights lie
//! as the weights do. An image's gradient behind a convolution of stride 1 is a convolution by mirrored weights, for which all
//! forward kernels are candidates.

use super::{Bottleneck, Norm};
use crate::error::{Result, ShapeError};
use crate::op::{Conv, Epilogue, NORM_RUNNING, Op, Scalar, TrainOp, WeightLayout};
use crate::plan::{Plan, PlanKind, Role, Step, TensorId, TensorInfo};
use crate::tensor::{ChannelLayout, Shape};

/// A norm's tensors in a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedNorm {
    /// Its name: `bn1`, `downsample.1`.
    pub name: &'static str,
    /// Channels.
    pub channels: usize,
    /// Given: gamma and beta.
    pub affine: TensorId,
    /// Given: the running mean and variance, and the weight of the next batch in them.
    pub running: TensorId,
    /// What the running ones are after the batch; none for a norm that is frozen.
    pub running_after: Option<TensorId>,
    /// The gradients of gamma and beta, first and second of the numbers of each channel.
    pub sums: TensorId,
}

/// A convolution's tensors in a plan, and those of the norm behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedLayer {
    /// Its name: `conv1`, `downsample.0`.
    pub name: &'static str,
    /// Given: its weights.
    pub weight: TensorId,
    /// Their gradient.
    pub weight_grad: TensorId,
    /// The norm; none for [`Norm::Identity`].
    pub norm: Option<TrainedNorm>,
}

/// A block's plan in training mode, and where its tensors are.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockTraining {
    /// The plan: its input is the block's, its output the gradient of that.
    pub plan: Plan,
    /// What the block puts out.
    pub out: TensorId,
    /// Given: the gradient of that.
    pub grad_out: TensorId,
    /// The convolutions, in the order of their keys.
    pub layers: Vec<TrainedLayer>,
}

/// Plans a block in training mode.
///
/// # Errors
/// A [`ShapeError`](crate::error::ShapeError) when the input's channels are not the block's inplanes;
/// [`ShapeError::SingleValue`](crate::error::ShapeError::SingleValue) where a norm has one value per channel, of which there is no variance.
pub fn plan_block_training(block: &Bottleneck, input: Shape) -> Result<BlockTraining> {
    let mut planner = Planner::new(block.norm(), input);
    let inner = ChannelLayout::grouped(block.width(), block.groups());
    let outer = ChannelLayout::dense(block.outplanes());
    let x = planner.plan.input;
    planner.begin();
    let first = planner.forward(["conv1", "bn1"], block.conv1(), true, x, inner)?;
    let second = planner.forward(["conv2", "bn2"], block.conv2(), true, first.activation, inner)?;
    let third = planner.forward(["conv3", "bn3"], block.conv3(), false, second.activation, outer)?;
    let shortcut = match block.downsample_conv() {
        Some(conv) => Some(planner.forward(["downsample.0", "downsample.1"], conv, false, x, outer)?),
        None => None,
    };
    let branches = [third.activation, shortcut.as_ref().map_or(x, |shortcut| shortcut.activation)];
    let out = planner.step("out", Op::Add { channels: block.outplanes(), relu: true }, &branches, outer)?;
    planner.plan.kept.push(out);

    planner.begin();
    let shape = planner.plan.tensor(out).shape;
    let grad_out = planner.give(TensorInfo::pixels("grad_out", shape, outer));
    let gradient = Op::Train(TrainOp::ReluGrad { channels: block.outplanes() });
    let joined = planner.step("grad.add", gradient, &[grad_out, out], outer)?;
    let (second_grad, third_layer) = planner.backward(third, joined)?;
    let (first_grad, second_layer) = planner.backward(second, second_grad)?;
    let (shortcut_grad, shortcut_layer) = match shortcut {
        Some(shortcut) => planner.backward(shortcut, joined).map(|(gradient, layer)| (gradient, Some(layer)))?,
        None => (joined, None),
    };
    let (grad_input, first_layer) = planner.backward_and_add(first, first_grad, Some(shortcut_grad))?;
    planner.plan.tensors[grad_input.0].name = "grad.input".to_owned();
    planner.plan.output = grad_input;
    let layers = [first_layer, second_layer, third_layer].into_iter().chain(shortcut_layer).collect();
    Ok(BlockTraining { plan: planner.plan, out, grad_out, layers })
}

/// A layer on its way forward.
struct Forward {
    names: [&'static str; 2],
    conv: Conv,
    relu: bool,
    input: TensorId,
    weight: TensorId,
    /// What the convolution put out.
    sums: TensorId,
    norm: Option<ForwardNorm>,
    /// What norm and ReLU made of that.
    activation: TensorId,
}

struct ForwardNorm {
    affine: TensorId,
    running: TensorId,
    running_after: Option<TensorId>,
    coefficients: TensorId,
}

/// A plan in the making.
struct Planner {
    plan: Plan,
    norm: Norm,
}

impl Planner {
    fn new(norm: Norm, input: Shape) -> Self {
        let info = TensorInfo::pixels("input", input, ChannelLayout::dense(input.c));
        let (input, steps, blocks) = (TensorId(0), Vec::new(), Vec::new());
        let (given, kept, kind) = (Vec::new(), Vec::new(), PlanKind::Unfused);
        let plan = Plan { kind, tensors: vec![info], steps, blocks, input, output: input, given, kept };
        Self { plan, norm }
    }

    /// The steps that follow are a segment of their own.
    fn begin(&mut self) {
        let at = self.plan.steps.len();
        self.plan.blocks.push(at..at);
    }

    fn add(&mut self, info: TensorInfo) -> TensorId {
        self.plan.tensors.push(info);
        TensorId(self.plan.tensors.len() - 1)
    }

    /// A tensor that the caller gives.
    fn give(&mut self, info: TensorInfo) -> TensorId {
        let id = self.add(info);
        self.plan.given.push(id);
        id
    }

    fn shape(&self, id: TensorId) -> Shape {
        self.plan.tensor(id).shape
    }

    fn layout(&self, id: TensorId) -> ChannelLayout {
        self.plan.tensor(id).layout
    }

    /// Appends a step, and the tensor of pixels that it writes.
    fn step(&mut self, name: &str, op: Op, inputs: &[TensorId], layout: ChannelLayout) -> Result<TensorId> {
        self.step_by(name, op, inputs, None, layout)
    }

    /// [`Planner::step`] by weights that are a tensor.
    fn step_by(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[TensorId],
        weights: Option<TensorId>,
        layout: ChannelLayout,
    ) -> Result<TensorId> {
        let shapes: Vec<Shape> = inputs.iter().map(|&id| self.shape(id)).collect();
        let info = TensorInfo::pixels(name, op.output_shape(&shapes)?, layout);
        Ok(self.push(name, op, inputs, weights, info))
    }

    fn push(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[TensorId],
        weights: Option<TensorId>,
        info: TensorInfo,
    ) -> TensorId {
        let output = self.add(info);
        let (block, module) = (self.plan.blocks.len().saturating_sub(1), name.to_owned());
        self.plan.steps.push(Step {
            block,
            module,
            role: Role::Training,
            op,
            inputs: inputs.to_vec(),
            weights,
            output,
        });
        if let Some(range) = self.plan.blocks.last_mut() {
            range.end += 1;
        }
        output
    }

    /// A convolution, its norm, and ReLU or not.
    fn forward(
        &mut self,
        names: [&'static str; 2],
        conv: Conv,
        relu: bool,
        input: TensorId,
        layout: ChannelLayout,
    ) -> Result<Forward> {
        let [conv_name, norm_name] = names;
        let weights = WeightLayout { conv, input: self.layout(input), output: layout };
        let weight = self.give(TensorInfo::weights(format!("{conv_name}.weight"), weights));
        let has_norm = self.norm.eps().is_some();
        let epilogue = Epilogue { relu: relu && !has_norm, ..Epilogue::default() };
        let sums = self.step_by(conv_name, Op::Conv { conv, epilogue }, &[input], Some(weight), layout)?;
        let Some(eps) = self.norm.eps() else {
            return Ok(Forward { names, conv, relu, input, weight, sums, norm: None, activation: sums });
        };
        let norm = self.norm_forward(norm_name, sums, Scalar::new(eps), layout)?;
        let apply = Op::Train(TrainOp::NormApply { channels: conv.out_channels, relu });
        let activation = self.step(norm_name, apply, &[sums, norm.coefficients], layout)?;
        Ok(Forward { names, conv, relu, input, weight, sums, norm: Some(norm), activation })
    }

    /// The coefficients of a norm, and what becomes of its running statistics.
    fn norm_forward(&mut self, name: &str, sums: TensorId, eps: Scalar, layout: ChannelLayout) -> Result<ForwardNorm> {
        let image = self.shape(sums);
        let (channels, count) = (image.c, image.pixels());
        let pair = Shape { n: 1, c: channels, h: 1, w: 2 };
        let affine = self.give(TensorInfo::pixels(format!("{name}.affine"), pair, layout));
        let shape = Shape { w: NORM_RUNNING, ..pair };
        let running = self.give(TensorInfo::pixels(format!("{name}.running"), shape, layout));
        let frozen = matches!(self.norm, Norm::FrozenBatchNorm2d { .. });
        let label = format!("{name}.stats");
        if frozen {
            let op = Op::Train(TrainOp::NormFrozen { channels, eps });
            let coefficients = self.step(&label, op, &[running, affine], layout)?;
            return Ok(ForwardNorm { affine, running, running_after: None, coefficients });
        }
        if count < 2 {
            return Err(ShapeError::SingleValue { norm: name.to_owned(), found: image.dims().to_vec() }.into());
        }
        let op = Op::Train(TrainOp::NormStats { channels, eps });
        let coefficients = self.step(&label, op, &[sums, affine], layout)?;
        let op = Op::Train(TrainOp::RunningStats { channels, count });
        let after = self.step(&format!("{name}.running"), op, &[coefficients, running], layout)?;
        self.plan.kept.push(after);
        Ok(ForwardNorm { affine, running, running_after: Some(after), coefficients })
    }

    /// A layer's gradients: of its input, and of its parameters.
    fn backward(&mut self, layer: Forward, gradient: TensorId) -> Result<(TensorId, TrainedLayer)> {
        self.backward_and_add(layer, gradient, None)
    }

    /// [`Planner::backward`], and another gradient of the same input added.
    fn backward_and_add(
        &mut self,
        layer: Forward,
        mut gradient: TensorId,
        other: Option<TensorId>,
    ) -> Result<(TensorId, TrainedLayer)> {
        let Forward { names: [conv_name, norm_name], conv, relu, input, weight, sums, norm, activation } = layer;
        let (channels, layout) = (conv.out_channels, self.layout(sums));
        let norm = match norm {
            Some(ForwardNorm { affine, running, running_after, coefficients }) => {
                let op = TrainOp::NormGradSums { channels, relu, batch: running_after.is_some() };
                let inputs = [sums, gradient, coefficients];
                let total = self.step(&format!("grad.{norm_name}.sums"), Op::Train(op), &inputs, layout)?;
                self.plan.kept.push(total);
                let op = Op::Train(TrainOp::NormGrad { channels, relu });
                gradient = self.step(&format!("grad.{norm_name}"), op, &[sums, gradient, total], layout)?;
                Some(TrainedNorm { name: norm_name, channels, affine, running, running_after, sums: total })
            }
            None => {
                if relu {
                    let op = Op::Train(TrainOp::ReluGrad { channels });
                    gradient = self.step(&format!("grad.{conv_name}.relu"), op, &[gradient, activation], layout)?;
                }
                None
            }
        };
        let weight_grad = self.weight_grad(conv_name, conv, input, gradient);
        let grad_input = self.input_grad(conv_name, conv, input, weight, gradient, other)?;
        Ok((grad_input, TrainedLayer { name: conv_name, weight, weight_grad, norm }))
    }

    fn weight_grad(&mut self, name: &str, conv: Conv, input: TensorId, gradient: TensorId) -> TensorId {
        let label = format!("grad.{name}.weight");
        let layout = WeightLayout { conv, input: self.layout(input), output: self.layout(gradient) };
        let info = TensorInfo::weights(label.clone(), layout);
        let id = self.push(&label, Op::Train(TrainOp::WeightGrad { conv }), &[input, gradient], None, info);
        self.plan.kept.push(id);
        id
    }

    /// The gradient of a convolution's image: by the mirrored weights and a forward kernel where the stride is 1.
    fn input_grad(
        &mut self,
        name: &str,
        conv: Conv,
        input: TensorId,
        weight: TensorId,
        gradient: TensorId,
        other: Option<TensorId>,
    ) -> Result<TensorId> {
        let (image, layout) = (self.shape(input), self.layout(input));
        let label = format!("grad.{name}");
        if conv.stride == 1 {
            let mirrored = WeightLayout { conv, input: layout, output: self.layout(gradient) }.mirrored();
            let info = TensorInfo::weights(format!("{name}.mirrored"), mirrored);
            let op = Op::Train(TrainOp::MirroredWeights { conv });
            let mirrored_weight = self.push(&format!("{name}.mirrored"), op, &[weight], None, info);
            let epilogue = Epilogue { residual: other.is_some(), ..Epilogue::default() };
            let inputs: Vec<TensorId> = [gradient].into_iter().chain(other).collect();
            let op = Op::Conv { conv: conv.mirrored(), epilogue };
            return self.step_by(&label, op, &inputs, Some(mirrored_weight), layout);
        }
        let op = Op::Train(TrainOp::InputGrad { conv, height: image.h, width: image.w });
        let own = self.step_by(&label, op, &[gradient], Some(weight), layout)?;
        match other {
            Some(other) => {
                self.step(&format!("{label}.add"), Op::Add { channels: image.c, relu: false }, &[own, other], layout)
            }
            None => Ok(own),
        }
    }
}
