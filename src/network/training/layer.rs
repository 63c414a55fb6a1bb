//! A convolution and its norm in training: forward pass and gradients.

use super::planned_tensors::{PlannedLayer, PlannedNorm};
use super::planner::TrainingPlanner;
use crate::error::{Result, ShapeError};
use crate::network::Norm;
use crate::op::{Conv, Epilogue, NORM_RUNNING, Op, Scalar, TrainOp, WeightLayout};
use crate::plan::{TensorId, TensorInfo, Update};
use crate::tensor::{ChannelLayout, Shape};

/// The forward pass of a layer.
#[derive(Clone)]
pub(super) struct Forward {
    conv: Conv,
    relu: bool,
    input: TensorId,
    /// The convolution's output.
    pub(super) sums: TensorId,
    pub(super) coefficients: Option<TensorId>,
    /// The output of norm and ReLU; the convolution's output if they are not applied.
    pub(super) activation: TensorId,
    /// Its index in the planner's layers.
    layer: usize,
}

impl TrainingPlanner {
    /// A convolution, its norm, and optionally ReLU.
    pub fn forward(
        &mut self,
        names: [&str; 2],
        conv: Conv,
        relu: bool,
        input: TensorId,
        layout: ChannelLayout,
    ) -> Result<Forward> {
        let layer = self.convolve(names, conv, relu, input, layout)?;
        self.applied(names[1], layer)
    }

    /// A convolution, and the coefficients of its norm, without applying it.
    pub fn convolve(
        &mut self,
        [conv_name, norm_name]: [&str; 2],
        conv: Conv,
        relu: bool,
        input: TensorId,
        layout: ChannelLayout,
    ) -> Result<Forward> {
        let weights = WeightLayout { conv, input: self.layout(input), output: layout };
        let name = format!("{}{conv_name}", self.prefix);
        let weight = self.variable(TensorInfo::weights(format!("{name}.weight"), weights));
        let norm = match self.norm {
            Norm::Identity => None,
            _ => Some(self.norm_tensors(norm_name, conv.out_channels, layout)),
        };
        let layer = self.layers.len();
        self.layers.push(PlannedLayer { name, weight, weight_grad: None, norm });
        self.convolve_of(layer, [conv_name, norm_name], conv, relu, input, layout)
    }

    /// The layer with its norm applied, if it has one.
    pub fn applied(&mut self, norm_name: &str, mut layer: Forward) -> Result<Forward> {
        if let Some(coefficients) = layer.coefficients {
            layer.activation =
                self.apply(norm_name, [layer.sums, coefficients], None, layer.relu)?;
        }
        Ok(layer)
    }

    /// Applies a norm by its coefficients, with an optional residual and optional ReLU.
    pub fn apply(
        &mut self,
        name: &str,
        [sums, coefficients]: [TensorId; 2],
        residual: Option<TensorId>,
        relu: bool,
    ) -> Result<TensorId> {
        let (channels, layout) = (self.shape(sums).c, self.layout(sums));
        let op = Op::Train(TrainOp::NormApply { channels, residual: residual.is_some(), relu });
        let inputs: Vec<TensorId> = [sums, coefficients].into_iter().chain(residual).collect();
        self.step(name, op, &inputs, layout)
    }

    /// Adds the variables of a norm.
    fn norm_tensors(
        &mut self,
        norm_name: &str,
        channels: usize,
        layout: ChannelLayout,
    ) -> PlannedNorm {
        let name = format!("{}{norm_name}", self.prefix);
        let pair = Shape { n: 1, c: channels, h: 1, w: 2 };
        let affine = self.variable(TensorInfo::pixels(format!("{name}.affine"), pair, layout));
        let shape = Shape { w: NORM_RUNNING, ..pair };
        let running = self.variable(TensorInfo::pixels(format!("{name}.running"), shape, layout));
        PlannedNorm { name, channels, affine, running, running_after: None, sums: None }
    }

    fn convolve_of(
        &mut self,
        layer: usize,
        [conv_name, norm_name]: [&str; 2],
        conv: Conv,
        relu: bool,
        input: TensorId,
        layout: ChannelLayout,
    ) -> Result<Forward> {
        let PlannedLayer { weight, norm, .. } = self.layers[layer].clone();
        let epilogue = Epilogue { relu: relu && norm.is_none(), ..Epilogue::default() };
        let sums =
            self.step_by(conv_name, Op::Conv { conv, epilogue }, &[input], Some(weight), layout)?;
        let (Some(norm), Some(eps)) = (norm, self.norm.eps()) else {
            return Ok(Forward {
                conv,
                relu,
                input,
                sums,
                coefficients: None,
                activation: sums,
                layer,
            });
        };
        let coefficients = self.coefficients(layer, norm_name, &norm, sums, Scalar::new(eps))?;
        Ok(Forward {
            conv,
            relu,
            input,
            sums,
            coefficients: Some(coefficients),
            activation: sums,
            layer,
        })
    }

    /// Recomputes the layer from the same input, for gradients whose activations were not stored.
    /// Its norm is applied if the result is read. The statistics are not updated twice.
    pub fn forward_again(
        &mut self,
        before: &Forward,
        input: TensorId,
        is_read: bool,
    ) -> Result<Forward> {
        let layout = self.layout(before.sums);
        let named = |name: &str, prefix: &str| {
            format!("again.{}", name.strip_prefix(prefix).unwrap_or(name))
        };
        let layer = &self.layers[before.layer];
        let conv_name = named(&layer.name, &self.prefix);
        let norm_name =
            layer.norm.as_ref().map_or_else(String::new, |norm| named(&norm.name, &self.prefix));
        let names = [conv_name.as_str(), norm_name.as_str()];
        let layer =
            self.convolve_of(before.layer, names, before.conv, before.relu, input, layout)?;
        if is_read { self.applied(&norm_name, layer) } else { Ok(layer) }
    }

    /// The coefficients of a norm, and, the first time, the update of its running statistics.
    fn coefficients(
        &mut self,
        layer: usize,
        norm_name: &str,
        norm: &PlannedNorm,
        sums: TensorId,
        eps: Scalar,
    ) -> Result<TensorId> {
        let (image, layout) = (self.shape(sums), self.layout(sums));
        let (channels, count) = (image.c, image.pixels());
        let label = format!("{norm_name}.stats");
        let bare = norm.name.strip_prefix(self.prefix.as_str()).unwrap_or(&norm.name).to_owned();
        if matches!(self.norm, Norm::FrozenBatchNorm2d { .. }) || self.is_frozen(&bare) {
            let op = Op::Train(TrainOp::NormFrozen { channels, eps });
            return self.step(&label, op, &[norm.running, norm.affine], layout);
        }
        if count < 2 {
            return Err(ShapeError::SingleValue {
                norm: norm.name.clone(),
                found: image.dims().to_vec(),
            }
            .into());
        }
        let op = Op::Train(TrainOp::NormStats { channels, eps });
        let coefficients = self.step(&label, op, &[sums, norm.affine], layout)?;
        if norm.running_after.is_none() {
            let op = Op::Train(TrainOp::RunningStats { channels, count });
            let after = self.step(
                &format!("{norm_name}.running"),
                op,
                &[coefficients, norm.running],
                layout,
            )?;
            match self.updates_statistics {
                true => self.plan.updates.push(Update { from: after, to: norm.running }),
                false => self.plan.fetches.push(after),
            }
            if let Some(norm) = &mut self.layers[layer].norm {
                norm.running_after = Some(after);
            }
        }
        Ok(coefficients)
    }

    /// A layer's gradients: of its parameters and, if wanted, of its input, plus another gradient
    /// of the same input.
    pub fn backward(
        &mut self,
        layer: &Forward,
        mut gradient: TensorId,
        other: Option<TensorId>,
        wanted: bool,
    ) -> Result<Option<TensorId>> {
        let Forward { conv, relu, input, sums, coefficients, activation, layer } = *layer;
        let (channels, layout) = (conv.out_channels, self.layout(sums));
        let PlannedLayer { name, weight, norm, .. } = self.layers[layer].clone();
        let strip = |name: &str, prefix: &str| name.strip_prefix(prefix).unwrap_or(name).to_owned();
        let conv_name = strip(&name, &self.prefix);
        if let (Some(norm), Some(coefficients)) = (norm, coefficients) {
            let norm_name = strip(&norm.name, &self.prefix);
            let op = TrainOp::NormGradSums { channels, relu, batch: norm.running_after.is_some() };
            let inputs = [sums, gradient, coefficients];
            let total =
                self.step(&format!("grad.{norm_name}.sums"), Op::Train(op), &inputs, layout)?;
            let op = Op::Train(TrainOp::NormGrad { channels, relu });
            gradient =
                self.step(&format!("grad.{norm_name}"), op, &[sums, gradient, total], layout)?;
            if let Some(norm) = &mut self.layers[layer].norm {
                norm.sums = Some(total);
            }
            let is_parameter =
                matches!(self.norm, Norm::BatchNorm2d { .. }) && !self.is_frozen(&norm_name);
            self.gradient_of(&norm.name, norm.affine, total, is_parameter, false)?;
        } else if relu {
            let op = Op::Train(TrainOp::ReluGrad { channels });
            gradient =
                self.step(&format!("grad.{conv_name}.relu"), op, &[gradient, activation], layout)?;
        }
        if !self.is_frozen(&conv_name) {
            let weight_grad = self.weight_grad(&conv_name, conv, input, gradient);
            self.layers[layer].weight_grad = Some(weight_grad);
            self.gradient_of(&format!("{name}.weight"), weight, weight_grad, true, true)?;
        }
        if wanted {
            self.input_grad(&conv_name, conv, input, weight, gradient, other).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Uses a parameter's gradient: in a step of the optimiser or, without an optimiser, as a fetch
    /// for the caller.
    pub fn gradient_of(
        &mut self,
        name: &str,
        value: TensorId,
        gradient: TensorId,
        is_parameter: bool,
        decays: bool,
    ) -> Result<()> {
        if self.updates.is_none() {
            self.plan.fetches.push(gradient);
        } else if is_parameter {
            self.update(name, value, gradient, decays)?;
        }
        Ok(())
    }

    pub fn weight_grad(
        &mut self,
        name: &str,
        conv: Conv,
        input: TensorId,
        gradient: TensorId,
    ) -> TensorId {
        let layout =
            WeightLayout { conv, input: self.layout(input), output: self.layout(gradient) };
        let info = TensorInfo::weights(format!("{}grad.{name}.weight", self.prefix), layout);
        self.push(Op::Train(TrainOp::WeightGrad { conv }), &[input, gradient], None, info)
    }

    /// The gradient of a convolution's input image: with stride 1, a forward kernel with mirrored
    /// weights.
    pub fn input_grad(
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
            let mirrored =
                WeightLayout { conv, input: layout, output: self.layout(gradient) }.mirrored();
            let info = TensorInfo::weights(format!("{}{name}.mirrored", self.prefix), mirrored);
            let mirrored_weight =
                self.push(Op::Train(TrainOp::MirroredWeights { conv }), &[weight], None, info);
            let epilogue = Epilogue { residual: other.is_some(), ..Epilogue::default() };
            let inputs: Vec<TensorId> = [gradient].into_iter().chain(other).collect();
            let op = Op::Conv { conv: conv.mirrored(), epilogue };
            return self.step_by(&label, op, &inputs, Some(mirrored_weight), layout);
        }
        let op = Op::Train(TrainOp::InputGrad { conv, height: image.h, width: image.w });
        let own = self.step_by(&label, op, &[gradient], Some(weight), layout)?;
        match other {
            Some(other) => self.step(
                &format!("{label}.add"),
                Op::Add { channels: image.c, relu: false },
                &[own, other],
                layout,
            ),
            None => Ok(own),
        }
    }
}
