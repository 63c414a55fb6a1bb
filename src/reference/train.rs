//! The operations of training, one loop nest each, in f64. What a norm keeps per channel is laid out as `op/train.rs` draws it.

use super::Tensor64;
use crate::op::{Conv, TrainOp};
use crate::tensor::Shape;

/// Applies an operation. `output` is its output's shape.
pub(super) fn apply(op: &TrainOp, inputs: &[&Tensor64], weights: Option<&Tensor64>, output: Shape) -> Vec<f64> {
    match *op {
        TrainOp::NormStats { channels, eps } => norm_stats(inputs[0], inputs[1], channels, eps.get()),
        TrainOp::NormFrozen { channels, eps } => {
            let norm = |channel: usize| {
                let [mean, var, _] = of_channel::<3>(inputs[0], channel);
                coefficients(mean, var, inputs[1], channel, eps.get())
            };
            (0..channels).flat_map(norm).collect()
        }
        TrainOp::NormApply { relu, .. } => {
            let value = |at: usize, x: f64| {
                let [pivot, delta, scale, beta, ..] = of_channel::<6>(inputs[1], channel_of(output, at));
                let y = (x - pivot - delta) * scale + beta;
                if relu && y < 0.0 { 0.0 } else { y }
            };
            inputs[0].data.iter().enumerate().map(|(at, &x)| value(at, x)).collect()
        }
        TrainOp::RunningStats { channels, count } => {
            let unbiased = count as f64 / (count as f64 - 1.0);
            let channel = |channel: usize| {
                let [pivot, delta, _, _, _, var] = of_channel::<6>(inputs[0], channel);
                let [mean_before, var_before, momentum] = of_channel::<3>(inputs[1], channel);
                let mixed = |before: f64, new: f64| (1.0 - momentum) * before + momentum * new;
                [mixed(mean_before, pivot + delta), mixed(var_before, var * unbiased), momentum]
            };
            (0..channels).flat_map(channel).collect()
        }
        TrainOp::NormGradSums { channels, relu, batch } => norm_grad_sums(inputs, channels, relu, batch),
        TrainOp::NormGrad { relu, .. } => {
            let gradient = |at: usize, x: f64| {
                let [_, _, pivot, delta, scale, beta, k1, k0] = of_channel::<8>(inputs[2], channel_of(output, at));
                let centred = x - pivot - delta;
                let hidden = relu && centred * scale + beta <= 0.0;
                (if hidden { 0.0 } else { inputs[1].data[at] * scale }) + centred * k1 + k0
            };
            inputs[0].data.iter().enumerate().map(|(at, &x)| gradient(at, x)).collect()
        }
        TrainOp::ReluGrad { .. } => {
            inputs[0].data.iter().zip(&inputs[1].data).map(|(&g, &y)| if y <= 0.0 { 0.0 } else { g }).collect()
        }
        TrainOp::MirroredWeights { conv } => mirrored(conv, &inputs[0].data),
        TrainOp::InputGrad { conv, .. } => {
            let weights = weights.map_or(&[][..], |weights| &weights.data);
            let mut image = vec![0.0; output.len()];
            each_product(conv, inputs[0].shape, output, |gradient, at, weight| {
                image[at] += inputs[0].data[gradient] * weights[weight];
            });
            image
        }
        TrainOp::WeightGrad { conv } => {
            let mut weights = vec![0.0; conv.weights()];
            each_product(conv, inputs[1].shape, inputs[0].shape, |gradient, at, weight| {
                weights[weight] += inputs[1].data[gradient] * inputs[0].data[at];
            });
            weights
        }
    }
}

/// The channel of a flat NCHW index.
fn channel_of(shape: Shape, at: usize) -> usize {
    at / (shape.h * shape.w) % shape.c
}

/// What is kept of a channel: `[1, C, 1, N]`.
fn of_channel<const N: usize>(tensor: &Tensor64, channel: usize) -> [f64; N] {
    std::array::from_fn(|at| tensor.data[channel * N + at])
}

/// What a norm does with a channel of this mean and variance.
fn coefficients(mean: f64, var: f64, affine: &Tensor64, channel: usize, eps: f64) -> [f64; 6] {
    let [gamma, beta] = of_channel::<2>(affine, channel);
    let inverse = 1.0 / (var + eps).sqrt();
    [mean, 0.0, gamma * inverse, beta, inverse, var]
}

fn norm_stats(image: &Tensor64, affine: &Tensor64, channels: usize, eps: f64) -> Vec<f64> {
    let Shape { n, h, w, .. } = image.shape;
    let (plane, count) = (h * w, (n * h * w) as f64);
    let channel = |channel: usize| {
        let values =
            || (0..n).flat_map(move |n| image.data[(n * channels + channel) * plane..][..plane].iter().copied());
        let mean = values().sum::<f64>() / count;
        let var = values().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
        coefficients(mean, var, affine, channel, eps)
    };
    (0..channels).flat_map(channel).collect()
}

fn norm_grad_sums(inputs: &[&Tensor64], channels: usize, relu: bool, batch: bool) -> Vec<f64> {
    let [image, gradient, coefficients] = [inputs[0], inputs[1], inputs[2]];
    let (mut gamma, mut beta) = (vec![0.0; channels], vec![0.0; channels]);
    for (at, (&x, &g)) in image.data.iter().zip(&gradient.data).enumerate() {
        let channel = channel_of(image.shape, at);
        let [pivot, delta, scale, shift, inverse, _] = of_channel::<6>(coefficients, channel);
        let centred = x - pivot - delta;
        if relu && centred * scale + shift <= 0.0 {
            continue;
        }
        gamma[channel] += g * centred * inverse;
        beta[channel] += g;
    }
    let count = image.shape.pixels() as f64;
    let channel = |channel: usize| {
        let [pivot, delta, scale, shift, inverse, _] = of_channel::<6>(coefficients, channel);
        let share = if batch { -scale / count } else { 0.0 };
        let (dgamma, dbeta) = (gamma[channel], beta[channel]);
        [dgamma, dbeta, pivot, delta, scale, shift, share * inverse * dgamma, share * dbeta]
    };
    (0..channels).flat_map(channel).collect()
}

/// `[out][in / groups][taps]` to `[in][out / groups][taps turned round]`.
fn mirrored(conv: Conv, weights: &[f64]) -> Vec<f64> {
    let (ins, outs, taps) = (conv.in_per_group(), conv.out_per_group(), conv.taps());
    let mut mirrored = vec![0.0; weights.len()];
    for (at, &weight) in weights.iter().enumerate() {
        let (out, within, tap) = (at / taps / ins, at / taps % ins, at % taps);
        let input = out / outs * ins + within;
        mirrored[(input * outs + out % outs) * taps + taps - 1 - tap] = weight;
    }
    mirrored
}

/// Every product of a convolution's sums: the flat indices of the output, of the image and of the weight.
fn each_product(conv: Conv, output: Shape, image: Shape, mut product: impl FnMut(usize, usize, usize)) {
    let side = conv.kernel.side();
    let padding = side / 2 * conv.dilation;
    let input_at = |out: usize, tap: usize, size: usize| {
        (out * conv.stride + tap * conv.dilation).checked_sub(padding).filter(|&at| at < size)
    };
    let (ins, outs) = (conv.in_per_group(), conv.out_per_group());
    for (plane, y) in (0..output.n * output.c).flat_map(|plane| (0..output.h).map(move |y| (plane, y))) {
        let (n, out) = (plane / output.c, plane % output.c);
        for (within, tap_y) in (0..ins).flat_map(|within| (0..side).map(move |tap| (within, tap))) {
            let Some(in_y) = input_at(y, tap_y, image.h) else { continue };
            let line = ((n * image.c + out / outs * ins + within) * image.h + in_y) * image.w;
            for tap_x in 0..side {
                let weight = ((out * ins + within) * side + tap_y) * side + tap_x;
                for x in 0..output.w {
                    if let Some(in_x) = input_at(x, tap_x, image.w) {
                        product((plane * output.h + y) * output.w + x, line + in_x, weight);
                    }
                }
            }
        }
    }
}
