//! Training plans of a network, with its loss and its optimiser.

use super::layer::Forward;
use super::optimizer::Optimizer;
use super::planned_tensors::{PlannedLayer, PlannedLinear, PlannedParameter};
use super::planner::{TrainingPlanner, is_within};
use crate::error::{Result, SpecError};
use crate::network::{Norm, ResNet, Stem};
use crate::op::{Conv, Epilogue, LOSSES, Op, Scalar, TrainOp, WeightLayout};
use crate::plan::{Plan, TensorId, TensorInfo};
use crate::tensor::{ChannelLayout, Shape};

/// Maximum number of batches per step.
const MOST_BATCHES: usize = 1 << 16;

/// Options for training a network or a block. [`BlockTrainer`](crate::BlockTrainer) uses only
/// `bn_momentum`.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingOptions {
    /// The optimiser.
    pub optimizer: Optimizer,
    /// Parts that are not trained, by name prefix: `conv1`, `layer1`, `layer2.0.bn1`. Frozen norms
    /// use their running statistics, as in eval mode.
    pub frozen: Vec<String>,
    /// The share of a target that is distributed evenly over all classes: at least 0, below 1.
    pub label_smoothing: f64,
    /// Batches whose gradients are accumulated for one step.
    pub batches_per_step: usize,
    /// Whether the activations of blocks and stem are recomputed in the backward pass instead of
    /// being stored.
    pub recompute: bool,
    /// The weight of a batch's statistics in the running statistics: `momentum` of PyTorch's
    /// `BatchNorm2d`. With `None`, they are the mean over all batches so far, as with PyTorch's
    /// `momentum=None`; only [`BlockTrainer`](crate::BlockTrainer) supports this.
    pub bn_momentum: Option<f64>,
}

impl Default for TrainingOptions {
    /// [`Optimizer::sgd`], the whole network is trained, one batch per step, all activations are
    /// stored, PyTorch's momentum of 0.1 for the running statistics.
    fn default() -> Self {
        let frozen = Vec::new();
        Self {
            optimizer: Optimizer::sgd(),
            frozen,
            label_smoothing: 0.0,
            batches_per_step: 1,
            recompute: false,
            bn_momentum: Some(0.1),
        }
    }
}

/// A network's plan for one training batch, and its tensors. The plan's input is the images; its
/// output, `[batch, 2, 1, 1]`, is the loss of each image and the number of classes ranked above its
/// own.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkTrainingPlan {
    /// The plan.
    pub plan: Plan,
    /// Variable: the class indices of the images, `[batch, 1, 1, 1]`.
    pub targets: TensorId,
    /// Variable: the scalars that control the updates; see [`CONTROL`](crate::op::CONTROL).
    pub control: TensorId,
    /// The scores, `[batch, classes, 1, 1]`, a fetch of the plan.
    pub scores: TensorId,
    /// The convolutions and norms, in the order of their keys.
    pub layers: Vec<PlannedLayer>,
    /// The linear layer.
    pub linear: PlannedLinear,
    /// The trained parameters, from the last to the first.
    pub parameters: Vec<PlannedParameter>,
}

/// Plans a training batch: forward pass, loss, gradients and optimiser steps.
///
/// # Errors
/// [`SpecError`] for a network without classes, invalid options, a name that matches no part, or
/// if nothing is left to train; a [`ShapeError`](crate::error::ShapeError) if the input's channels
/// differ from the stem's; [`ShapeError::SingleValue`](crate::error::ShapeError::SingleValue) if a
/// norm has one value per channel.
pub fn plan_network_training(
    network: &ResNet,
    input: Shape,
    options: &TrainingOptions,
) -> Result<NetworkTrainingPlan> {
    let classes = network.classes().ok_or(SpecError::NoClasses)?;
    check(network, options)?;
    let Parts { trained, first } = Parts::of(network, &options.frozen)?;
    let mut planner = TrainingPlanner::with_updates(
        network.norm(),
        input,
        &options.frozen,
        &options.optimizer,
        options.batches_per_step,
    );

    planner.begin("");
    let stem = planner.stem_forward(network.stem())?;
    let (mut x, mut blocks) = (stem.out, Vec::new());
    for (name, block) in network.blocks() {
        planner.begin(&format!("{name}."));
        let forward = planner.block_forward(block, x)?;
        x = forward.out;
        blocks.push((name, forward));
    }

    planner.begin("");
    let head = planner.head(network.features(), classes, x, options, first < trained.len() - 1)?;
    let mut gradient = head.gradient;
    for (at, (name, forward)) in blocks.iter().enumerate().rev() {
        // The stem is the first part, the linear layer the last.
        let part = at + 1;
        let Some(arrived) = gradient.take_if(|_| part >= first) else { break };
        planner.begin(&format!("{name}."));
        let again = if options.recompute { Some(planner.block_again(forward)?) } else { None };
        gradient =
            planner.block_backward(again.as_ref().unwrap_or(forward), arrived, part > first)?;
    }
    if let Some(arrived) = gradient.filter(|_| first == 0) {
        planner.begin("");
        planner.stem_backward(network.stem(), &stem, arrived, options.recompute)?;
    }
    let control = planner.updates.as_ref().map_or(planner.plan.input, |updates| updates.control);
    let TrainingPlanner { mut plan, layers, parameters, .. } = planner;
    plan.output = head.losses;
    plan.fetches.push(head.scores);
    let Head { targets, scores, linear, .. } = head;
    Ok(NetworkTrainingPlan { plan, targets, control, scores, layers, linear, parameters })
}

/// Checks the options.
fn check(network: &ResNet, options: &TrainingOptions) -> Result<(), SpecError> {
    options.optimizer.check()?;
    let wrong =
        |parameter, value, expected| Err(SpecError::Optimizer { parameter, value, expected });
    let smoothing = options.label_smoothing;
    if !(0.0..1.0).contains(&smoothing) {
        return wrong("label_smoothing", smoothing, "at least 0 and below 1");
    }
    if !(1..=MOST_BATCHES).contains(&options.batches_per_step) {
        return wrong("batches_per_step", options.batches_per_step as f64, "from 1 to 65536");
    }
    let keys = network.state_dict_shapes();
    let named = |prefix: &String| {
        keys.iter().any(|(key, _)| {
            key.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('.'))
        })
    };
    match options.frozen.iter().find(|prefix| !named(prefix)) {
        Some(prefix) => Err(SpecError::NoSuchPart { name: prefix.clone() }),
        None => Ok(()),
    }
}

/// The parts of a network (stem, blocks, linear layer) and which of them are trained.
struct Parts {
    /// For each part, whether anything in it is trained.
    trained: Vec<bool>,
    /// Index of the first trained part.
    first: usize,
}

impl Parts {
    fn of(network: &ResNet, frozen: &[String]) -> Result<Self, SpecError> {
        let is_frozen = |module: &str| is_within(module, frozen);
        let norms = matches!(network.norm(), Norm::BatchNorm2d { .. });
        let any = |conv: &str, norm: &str| !is_frozen(conv) || norms && !is_frozen(norm);
        let mut trained = vec![any("conv1", "bn1")];
        for (name, block) in network.blocks() {
            let part =
                |conv: &str, norm: &str| any(&format!("{name}.{conv}"), &format!("{name}.{norm}"));
            trained.push(block.layers().iter().any(|layer| part(layer.conv_name, layer.norm_name)));
        }
        trained.push(!is_frozen("fc"));
        let first = trained.iter().position(|&trained| trained).ok_or(SpecError::NothingToTrain)?;
        Ok(Self { trained, first })
    }
}

/// The forward pass of a stem.
struct StemForward {
    layer: Forward,
    out: TensorId,
}

/// The tensors of a plan's head.
struct Head {
    targets: TensorId,
    scores: TensorId,
    linear: PlannedLinear,
    losses: TensorId,
    /// The gradient of the last block's output, if wanted.
    gradient: Option<TensorId>,
}

impl TrainingPlanner {
    fn stem_forward(&mut self, stem: Stem) -> Result<StemForward> {
        let layout = ChannelLayout::dense(stem.planes);
        let layer = self.forward(["conv1", "bn1"], stem.conv(), true, self.plan.input, layout)?;
        if !stem.has_pool() {
            let out = layer.activation;
            return Ok(StemForward { layer, out });
        }
        let pool = Op::MaxPool { channels: stem.planes, windows: stem.pool };
        let out = self.step("maxpool", pool, &[layer.activation], layout)?;
        Ok(StemForward { layer, out })
    }

    fn stem_backward(
        &mut self,
        stem: Stem,
        forward: &StemForward,
        gradient: TensorId,
        recompute: bool,
    ) -> Result<()> {
        let layer = match recompute {
            true => self.forward_again(&forward.layer, self.plan.input, true)?,
            false => forward.layer.clone(),
        };
        if !stem.has_pool() {
            self.backward(&layer, gradient, None, false)?;
            return Ok(());
        }
        let op = Op::Train(TrainOp::MaxPoolGrad { channels: stem.planes, windows: stem.pool });
        let layout = self.layout(gradient);
        let gradient = self.step("grad.maxpool", op, &[layer.activation, gradient], layout)?;
        self.backward(&layer, gradient, None, false)?;
        Ok(())
    }

    /// The mean of each map, the linear layer, the loss, and the gradients of all of them.
    fn head(
        &mut self,
        features: usize,
        classes: usize,
        x: TensorId,
        options: &TrainingOptions,
        wanted: bool,
    ) -> Result<Head> {
        let (wide, narrow) = (ChannelLayout::dense(features), ChannelLayout::dense(classes));
        let pooled = self.step("avgpool", Op::GlobalAvgPool { channels: features }, &[x], wide)?;
        let conv = Conv::conv1x1(features, classes, 1);
        let weights = WeightLayout { conv, input: wide, output: narrow };
        let weight = self.variable(TensorInfo::weights("fc.weight", weights));
        let shape = Shape { n: 1, c: classes, h: 1, w: 1 };
        let bias = self.variable(TensorInfo::pixels("fc.bias", shape, narrow));
        let linear = Op::Conv { conv, epilogue: Epilogue::default() };
        let sums = self.step_by("fc", linear, &[pooled], Some(weight), narrow)?;
        let add = Op::Train(TrainOp::AddBias { channels: classes });
        let scores = self.step("scores", add, &[sums, bias], narrow)?;

        let batch = self.shape(x).n;
        let shape = Shape { n: batch, c: 1, h: 1, w: 1 };
        let targets = self.variable(TensorInfo::pixels("targets", shape, ChannelLayout::dense(1)));
        let smoothing = Scalar::new(options.label_smoothing);
        let op = Op::Train(TrainOp::CrossEntropy { classes, smoothing });
        let losses = self.step("losses", op, &[scores, targets], ChannelLayout::dense(LOSSES))?;
        if let Some(control) = self.updates.as_ref().map(|updates| updates.control) {
            let gated = self.step(
                "gate",
                Op::Train(TrainOp::Gate),
                &[losses, control],
                ChannelLayout::dense(1),
            )?;
            if let Some(updates) = &mut self.updates {
                updates.gated = Some(gated);
            }
        }
        let count = batch.saturating_mul(options.batches_per_step);
        let op = Op::Train(TrainOp::CrossEntropyGrad { classes, smoothing, count });
        let gradient = self.step("grad.scores", op, &[scores, targets], narrow)?;
        if !self.is_frozen("fc") {
            let op = Op::Train(TrainOp::BiasGrad { channels: classes });
            let bias_grad = self.step("grad.fc.bias", op, &[gradient], narrow)?;
            self.gradient_of("fc.bias", bias, bias_grad, true, false)?;
            let weight_grad = self.weight_grad("fc", conv, pooled, gradient);
            self.gradient_of("fc.weight", weight, weight_grad, true, true)?;
        }
        let gradient = match wanted {
            true => {
                let pooled_grad = self.input_grad("fc", conv, pooled, weight, gradient, None)?;
                let Shape { h: height, w: width, .. } = self.shape(x);
                let op = Op::Train(TrainOp::AvgPoolGrad { channels: features, height, width });
                Some(self.step("grad.avgpool", op, &[pooled_grad], wide)?)
            }
            false => None,
        };
        Ok(Head { targets, scores, linear: PlannedLinear { weight, bias }, losses, gradient })
    }
}
