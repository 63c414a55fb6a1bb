//! The operations of training, each as a loop nest in f64. A norm's values per channel have the
//! layout described in `op/train.rs`.

use super::Tensor64;
use crate::op::{Conv, PoolWindows, TrainOp, UpdateOp};
use crate::tensor::Shape;

/// Applies an operation. `output` is the shape of its output.
#[expect(clippy::too_many_lines, reason = "a table: one arm per operation")]
pub(super) fn apply(
    op: &TrainOp,
    inputs: &[&Tensor64],
    weights: Option<&Tensor64>,
    output: Shape,
) -> Vec<f64> {
    match *op {
        TrainOp::NormStats { channels, eps } => {
            norm_stats(inputs[0], inputs[1], channels, eps.get())
        }
        TrainOp::NormFrozen { channels, eps } => {
            let norm = |channel: usize| {
                let [mean, var, _] = of_channel::<3>(inputs[0], channel);
                coefficients(mean, var, inputs[1], channel, eps.get())
            };
            (0..channels).flat_map(norm).collect()
        }
        TrainOp::NormApply { relu, residual, .. } => {
            let value = |at: usize, x: f64| {
                let [pivot, delta, scale, beta, ..] =
                    of_channel::<6>(inputs[1], channel_of(output, at));
                let y = (x - pivot - delta) * scale
                    + beta
                    + if residual { inputs[2].data[at] } else { 0.0 };
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
        TrainOp::NormGradSums { channels, relu, batch } => {
            norm_grad_sums(inputs, channels, relu, batch)
        }
        TrainOp::NormGrad { relu, .. } => {
            let gradient = |at: usize, x: f64| {
                let [_, _, pivot, delta, scale, beta, k1, k0] =
                    of_channel::<8>(inputs[2], channel_of(output, at));
                let centred = x - pivot - delta;
                let hidden = relu && centred * scale + beta <= 0.0;
                (if hidden { 0.0 } else { inputs[1].data[at] * scale }) + centred * k1 + k0
            };
            inputs[0].data.iter().enumerate().map(|(at, &x)| gradient(at, x)).collect()
        }
        TrainOp::ReluGrad { .. } => inputs[0]
            .data
            .iter()
            .zip(&inputs[1].data)
            .map(|(&g, &y)| if y <= 0.0 { 0.0 } else { g })
            .collect(),
        TrainOp::MirroredWeights { conv } => mirrored(conv, &inputs[0].data),
        TrainOp::InputGrad { conv, .. } => {
            let weights = weights.map_or(&[][..], |weights| &weights.data);
            let mut item = vec![0.0; output.len()];
            each_product(conv, inputs[0].shape, output, |gradient, at, weight| {
                item[at] += inputs[0].data[gradient] * weights[weight];
            });
            item
        }
        TrainOp::WeightGrad { conv } => {
            let mut weights = vec![0.0; conv.weights()];
            each_product(conv, inputs[1].shape, inputs[0].shape, |gradient, at, weight| {
                weights[weight] += inputs[1].data[gradient] * inputs[0].data[at];
            });
            weights
        }
        TrainOp::MaxPoolGrad { windows, .. } => max_pool_grad(windows, inputs[0], inputs[1]),
        TrainOp::AvgPoolGrad { height, width, .. } => {
            let plane = height * width;
            inputs[0]
                .data
                .iter()
                .flat_map(|&g| std::iter::repeat_n(g / plane as f64, plane))
                .collect()
        }
        TrainOp::AddBias { .. } => {
            let with_bias = |(at, &x): (usize, &f64)| x + inputs[1].data[channel_of(output, at)];
            inputs[0].data.iter().enumerate().map(with_bias).collect()
        }
        TrainOp::BiasGrad { channels } => {
            let mut sums = vec![0.0; channels];
            inputs[0]
                .data
                .iter()
                .enumerate()
                .for_each(|(at, g)| sums[channel_of(inputs[0].shape, at)] += g);
            sums
        }
        TrainOp::CrossEntropy { classes, smoothing } => {
            let item = |(scores, &target): (&[f64], &f64)| {
                let log_sum = log_sum_exp(scores);
                let (target, spread) = (
                    (target as usize).min(classes - 1),
                    scores.iter().map(|score| log_sum - score).sum::<f64>(),
                );
                let score = scores[target];
                let smoothed = match smoothing.get() {
                    0.0 => log_sum - score,
                    share => (1.0 - share) * (log_sum - score) + share * spread / classes as f64,
                };
                let before = |&(class, &other): &(usize, &f64)| {
                    other > score || other == score && class < target
                };
                [smoothed, scores.iter().enumerate().filter(before).count() as f64]
            };
            inputs[0].data.chunks_exact(classes).zip(&inputs[1].data).flat_map(item).collect()
        }
        TrainOp::CrossEntropyGrad { classes, smoothing, count } => {
            let item = |(scores, &target): (&[f64], &f64)| {
                let log_sum = log_sum_exp(scores);
                let spread = smoothing.get() / classes as f64;
                let target = (target as usize).min(classes - 1);
                let share = move |class: usize| {
                    if class == target { 1.0 - smoothing.get() } else { 0.0 }
                };
                let gradient = move |(class, score): (usize, &f64)| {
                    ((score - log_sum).exp() - share(class) - spread) / count as f64
                };
                scores.iter().enumerate().map(gradient).collect::<Vec<f64>>()
            };
            inputs[0].data.chunks_exact(classes).zip(&inputs[1].data).flat_map(item).collect()
        }
        TrainOp::Gate => {
            let mut control = inputs[1].data.clone();
            if inputs[0].data.iter().step_by(2).any(|loss| !loss.is_finite()) {
                control[1] = 0.0;
            }
            control
        }
        TrainOp::Update(op) => update(op, inputs),
    }
}

/// The logarithm of the sum of the exponentials, added from the largest down.
fn log_sum_exp(scores: &[f64]) -> f64 {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + scores.iter().map(|score| (score - largest).exp()).sum::<f64>().ln()
}

/// Adds each gradient to the largest pixel of its window: the first of equal ones, or the last NaN.
fn max_pool_grad(windows: PoolWindows, item: &Tensor64, gradient: &Tensor64) -> Vec<f64> {
    let Shape { n, c, h, w } = item.shape;
    let mut grad = vec![0.0; item.data.len()];
    for (at, g) in gradient.data.iter().enumerate() {
        let Shape { h: out_h, w: out_w, .. } = gradient.shape;
        let (plane, y, x) = (at / (out_h * out_w), at / out_w % out_h, at % out_w);
        debug_assert!(plane < n * c);
        let lines =
            (2 * y..2 * y + 3).filter_map(|y| y.checked_sub(windows.padding())).filter(|&y| y < h);
        let taps = lines.flat_map(|y| {
            let columns = (2 * x..2 * x + 3).filter_map(|x| x.checked_sub(windows.padding()));
            columns.filter(|&x| x < w).map(move |x| (plane * h + y) * w + x)
        });
        let larger = |best: usize, tap: usize| {
            let (kept, next) = (item.data[best], item.data[tap]);
            if next > kept || next.is_nan() { tap } else { best }
        };
        if let Some(best) = taps.reduce(larger) {
            grad[best] += g;
        }
    }
    grad
}

/// Applies an optimiser's operation to each value.
fn update(op: UpdateOp, inputs: &[&Tensor64]) -> Vec<f64> {
    let first = inputs[0];
    let [rate, apply, keep, first_correction, second_correction] =
        of_channel::<5>(inputs[inputs.len() - 1], 0);
    // A norm's gradient has more numbers per channel than its value.
    let value = |input: usize, at: usize| {
        let (own, line) = (inputs[input], first.shape.w);
        own.data[at / line * own.shape.w + at % line]
    };
    let next = |(at, &before): (usize, &f64)| match op {
        UpdateOp::Accumulate => value(1, at) + if keep == 0.0 { 0.0 } else { before },
        _ if apply == 0.0 => before,
        UpdateOp::Velocity { momentum, decay } => {
            momentum.get() * before + (value(1, at) + decay.get() * value(2, at))
        }
        UpdateOp::Descend { momentum, decay, nesterov } => {
            let velocity = value(2, at);
            let ahead = || value(1, at) + decay.get() * before + momentum.get() * velocity;
            before - rate * if nesterov { ahead() } else { velocity }
        }
        UpdateOp::Moment { beta, squares } => {
            let gradient = value(1, at);
            beta.get() * before
                + (1.0 - beta.get()) * if squares { gradient * gradient } else { gradient }
        }
        UpdateOp::AdamW { eps, decay } => {
            let root = value(2, at).sqrt() * second_correction + eps.get();
            before * (1.0 - rate * decay.get()) - rate * first_correction * value(1, at) / root
        }
    };
    first.data.iter().enumerate().map(next).collect()
}

/// The channel of a flat NCHW index.
fn channel_of(shape: Shape, at: usize) -> usize {
    at / (shape.h * shape.w) % shape.c
}

/// The values of a channel in `[1, C, 1, N]`.
fn of_channel<const N: usize>(tensor: &Tensor64, channel: usize) -> [f64; N] {
    std::array::from_fn(|at| tensor.data[channel * N + at])
}

/// The norm coefficients of a channel with this mean and variance. The mean is an f32 value plus
/// the rest, so that rounding both loses nothing.
fn coefficients(mean: f64, var: f64, affine: &Tensor64, channel: usize, eps: f64) -> [f64; 6] {
    let [gamma, beta] = of_channel::<2>(affine, channel);
    let inverse = 1.0 / (var + eps).sqrt();
    let pivot = f64::from(mean as f32);
    let rest = if mean.is_finite() { mean - pivot } else { 0.0 };
    [pivot, rest, gamma * inverse, beta, inverse, var]
}

fn norm_stats(item: &Tensor64, affine: &Tensor64, channels: usize, eps: f64) -> Vec<f64> {
    let Shape { n, h, w, .. } = item.shape;
    let (plane, count) = (h * w, (n * h * w) as f64);
    let channel = |channel: usize| {
        let values = || {
            (0..n).flat_map(move |n| {
                item.data[(n * channels + channel) * plane..][..plane].iter().copied()
            })
        };
        let mean = values().sum::<f64>() / count;
        let var = values().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
        coefficients(mean, var, affine, channel, eps)
    };
    (0..channels).flat_map(channel).collect()
}

fn norm_grad_sums(inputs: &[&Tensor64], channels: usize, relu: bool, batch: bool) -> Vec<f64> {
    let [item, gradient, coefficients] = [inputs[0], inputs[1], inputs[2]];
    let (mut gamma, mut beta) = (vec![0.0; channels], vec![0.0; channels]);
    for (at, (&x, &g)) in item.data.iter().zip(&gradient.data).enumerate() {
        let channel = channel_of(item.shape, at);
        let [pivot, delta, scale, shift, ..] = of_channel::<6>(coefficients, channel);
        let centred = x - pivot - delta;
        if relu && centred * scale + shift <= 0.0 {
            continue;
        }
        gamma[channel] += g * centred;
        beta[channel] += g;
    }
    let count = item.shape.pixels() as f64;
    let channel = |channel: usize| {
        let [pivot, delta, scale, shift, inverse, _] = of_channel::<6>(coefficients, channel);
        let share = if batch { -scale / count } else { 0.0 };
        let (dgamma, dbeta) = (gamma[channel] * inverse, beta[channel]);
        [dgamma, dbeta, pivot, delta, scale, shift, share * inverse * dgamma, share * dbeta]
    };
    (0..channels).flat_map(channel).collect()
}

/// `[out][in / groups][taps]` to `[in][out / groups][reversed taps]`.
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

/// Every product of a convolution's sums: the flat indices of the output, of the image and of the
/// weight.
fn each_product(
    conv: Conv,
    output: Shape,
    item: Shape,
    mut product: impl FnMut(usize, usize, usize),
) {
    let side = conv.kernel.side();
    let padding = side / 2 * conv.dilation;
    let input_at = |out: usize, tap: usize, size: usize| {
        (out * conv.stride + tap * conv.dilation).checked_sub(padding).filter(|&at| at < size)
    };
    let (ins, outs) = (conv.in_per_group(), conv.out_per_group());
    for (plane, y) in
        (0..output.n * output.c).flat_map(|plane| (0..output.h).map(move |y| (plane, y)))
    {
        let (n, out) = (plane / output.c, plane % output.c);
        for (within, tap_y) in (0..ins).flat_map(|within| (0..side).map(move |tap| (within, tap))) {
            let Some(in_y) = input_at(y, tap_y, item.h) else { continue };
            let line = ((n * item.c + out / outs * ins + within) * item.h + in_y) * item.w;
            for tap_x in 0..side {
                let weight = ((out * ins + within) * side + tap_y) * side + tap_x;
                for x in 0..output.w {
                    if let Some(in_x) = input_at(x, tap_x, item.w) {
                        product((plane * output.h + y) * output.w + x, line + in_x, weight);
                    }
                }
            }
        }
    }
}
