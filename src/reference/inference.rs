//! The operations of inference, each as a plain loop nest in textbook order.

use rayon::prelude::*;

use super::Tensor64;
use crate::op::{Conv, Epilogue, Op, StepParams};
use crate::tensor::Shape;

/// Applies an operation. `output` is the shape of its output; parameters of the wrong kind are
/// ignored.
pub(super) fn apply(op: &Op, params: &StepParams, inputs: &[&Tensor64], output: Shape) -> Vec<f64> {
    match (*op, params) {
        (Op::Conv { conv, epilogue }, StepParams::Conv { weight, bias }) => {
            let mut sums = convolve(conv, weight, inputs[0], output);
            if epilogue.bias {
                per_channel(&mut sums, output, |value, channel| value + f64::from(bias[channel]));
            }
            if epilogue.residual {
                add(&mut sums, &inputs[1].data);
            }
            finish(sums, epilogue.relu)
        }
        (
            Op::JoinedConv { main, shortcut, relu },
            StepParams::JoinedConv { main: w3, shortcut: wds, bias },
        ) => {
            let mut sums = convolve(main, w3, inputs[0], output);
            add(&mut sums, &convolve(shortcut, wds, inputs[1], output));
            per_channel(&mut sums, output, |value, channel| value + f64::from(bias[channel]));
            finish(sums, relu)
        }
        (Op::BatchNorm { relu, .. }, StepParams::Affine { scale, shift }) => {
            let mut values = inputs[0].data.clone();
            per_channel(&mut values, output, |value, channel| {
                value * f64::from(scale[channel]) + f64::from(shift[channel])
            });
            finish(values, relu)
        }
        (Op::Add { relu, .. }, _) => {
            let mut values = inputs[0].data.clone();
            add(&mut values, &inputs[1].data);
            finish(values, relu)
        }
        (Op::MaxPool { windows, .. }, _) => max_pool(inputs[0], windows.padding(), output),
        (Op::GlobalAvgPool { .. }, _) => {
            let plane = inputs[0].shape.h * inputs[0].shape.w;
            inputs[0]
                .data
                .chunks_exact(plane)
                .map(|values| values.iter().sum::<f64>() / plane as f64)
                .collect()
        }
        (Op::Convert { .. }, _) => inputs[0].data.clone(),
        (op, _) => {
            unreachable!("{} with parameters that do not fit, which run() refuses", op.name())
        }
    }
}

/// A convolution with weights in a tensor, without a bias.
pub(super) fn convolve_by(
    conv: Conv,
    epilogue: Epilogue,
    weights: &Tensor64,
    inputs: &[&Tensor64],
    output: Shape,
) -> Vec<f64> {
    let mut sums = convolve(conv, &weights.data, inputs[0], output);
    if epilogue.residual {
        add(&mut sums, &inputs[1].data);
    }
    finish(sums, epilogue.relu)
}

/// The maximum of 3x3 values at stride 2, without padding; NaN takes precedence, as in PyTorch.
fn max_pool(item: &Tensor64, padding: usize, output: Shape) -> Vec<f64> {
    let Shape { h, w, .. } = item.shape;
    let mut values = Vec::with_capacity(output.len());
    for plane in item.data.chunks_exact(h * w) {
        for (y, x) in (0..output.h).flat_map(|y| (0..output.w).map(move |x| (y, x))) {
            let mut largest = f64::NEG_INFINITY;
            for in_y in (2 * y).saturating_sub(padding)..(2 * y + 3 - padding).min(h) {
                for in_x in (2 * x).saturating_sub(padding)..(2 * x + 3 - padding).min(w) {
                    let value = plane[in_y * w + in_x];
                    largest = if value > largest || value.is_nan() { value } else { largest };
                }
            }
            values.push(largest);
        }
    }
    values
}

/// ReLU as in PyTorch: NaN stays NaN.
fn finish(mut values: Vec<f64>, relu: bool) -> Vec<f64> {
    if relu {
        values.iter_mut().for_each(|value| *value = if *value < 0.0 { 0.0 } else { *value });
    }
    values
}

fn add(values: &mut [f64], other: &[f64]) {
    values.iter_mut().zip(other).for_each(|(value, other)| *value += other);
}

fn per_channel(values: &mut [f64], shape: Shape, change: impl Fn(f64, usize) -> f64) {
    for (plane, values) in values.chunks_exact_mut(shape.h * shape.w).enumerate() {
        values.iter_mut().for_each(|value| *value = change(*value, plane % shape.c));
    }
}

/// The sums of a convolution, one output plane at a time, with planes in parallel on the CPU's
/// cores.
fn convolve<W: Copy + Into<f64> + Sync>(
    conv: Conv,
    weight: &[W],
    item: &Tensor64,
    output: Shape,
) -> Vec<f64> {
    let mut sums = vec![0.0; output.len()];
    sums.par_chunks_exact_mut(output.h * output.w).enumerate().for_each(|(plane, sums)| {
        let (n, out_channel) = (plane / output.c, plane % output.c);
        convolve_plane(conv, weight, item, n, out_channel, output, sums);
    });
    sums
}

fn convolve_plane<W: Copy + Into<f64>>(
    conv: Conv,
    weight: &[W],
    item: &Tensor64,
    n: usize,
    out_channel: usize,
    output: Shape,
    sums: &mut [f64],
) {
    let Shape { c, h, w, .. } = item.shape;
    let side = conv.kernel.side();
    let padding = side / 2 * conv.dilation;
    let first_channel = out_channel / conv.out_per_group() * conv.in_per_group();
    // The output coordinates at which a tap lies inside the image, and its input coordinate at the
    // first.
    let inside = |tap: usize, size: usize, outputs: usize| {
        let offset = tap * conv.dilation;
        let first = padding.saturating_sub(offset).div_ceil(conv.stride);
        let end = (size + padding).saturating_sub(offset).div_ceil(conv.stride).min(outputs);
        (first < end).then(|| (first..end, first * conv.stride + offset - padding))
    };
    for channel in 0..conv.in_per_group() {
        let plane = &item.data[(n * c + first_channel + channel) * h * w..][..h * w];
        for tap_y in 0..side {
            let Some((rows, first_y)) = inside(tap_y, h, output.h) else { continue };
            for tap_x in 0..side {
                let Some((columns, first_x)) = inside(tap_x, w, output.w) else { continue };
                let at =
                    ((out_channel * conv.in_per_group() + channel) * side + tap_y) * side + tap_x;
                let weight: f64 = weight[at].into();
                for (step, y) in rows.clone().enumerate() {
                    let in_y = first_y + step * conv.stride;
                    let inputs = &plane[in_y * w..][first_x..w];
                    let sums = &mut sums[y * output.w..][columns.clone()];
                    // The same twice, as the compiler vectorises only a stride that it knows.
                    if conv.stride == 1 {
                        sums.iter_mut().zip(inputs).for_each(|(sum, value)| *sum += value * weight);
                    } else {
                        let inputs = inputs.iter().step_by(conv.stride);
                        sums.iter_mut().zip(inputs).for_each(|(sum, value)| *sum += value * weight);
                    }
                }
            }
        }
    }
}
