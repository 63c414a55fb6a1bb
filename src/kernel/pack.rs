//! Packs OIHW weights in the order in which the kernels read them.
//!
//! A matrix of K rows (taps, then input channels) and N columns (output channels) becomes `[K /
//! 4][N / 4][4][4]`: one 4x4 matrix for four input channels and four output channels, which a lane
//! reads as a `mat4x4<f32>`. Padding is zero. The bias follows, so that weights and bias use one
//! binding.

use std::borrow::Cow;

use half::f16;

use super::{Family, Kernel, Method, Problem, Winograd};
use crate::error::ShapeError;
use crate::op::{Conv, Epilogue, Op, StepParams, WeightLayout, padded_weights};
use crate::tensor::{ChannelLayout, DType};

/// A convolution's OIHW weights in the device's order for weights that are a tensor: as from
/// [`Kernel::pack`], without a bias.
pub(crate) fn pack_weights(layout: &WeightLayout, weight: &[f32]) -> Vec<f32> {
    matrix(layout.conv, layout.conv.taps(), weight, layout.input, layout.output)
}

/// The inverse of [`pack_weights`].
///
/// # Errors
/// [`ShapeError::Length`] for a different number of values.
pub(crate) fn unpack_weights(
    layout: &WeightLayout,
    packed: &[f32],
) -> Result<Vec<f32>, ShapeError> {
    let (conv, expected, found) = (layout.conv, layout.values(), packed.len());
    if expected != found {
        return Err(ShapeError::Length {
            tensor: format!("packed weights of {}", conv.name()),
            expected,
            found,
        });
    }
    let mut weight = vec![0.0; conv.weights()];
    places(conv, conv.taps(), layout.input, layout.output, |source, place| {
        weight[source] = packed[place]
    });
    Ok(weight)
}

impl Kernel {
    /// The step's parameters in the kernel's order; empty for a step without parameters.
    #[must_use]
    pub fn pack(&self, problem: &Problem, params: &StepParams) -> Vec<f32> {
        match self.winograd {
            Some(winograd) => pack_winograd(self.family, winograd, problem, params),
            None if self.family == Family::SplitKSum => pack_bias(problem, params),
            None => pack(problem, params),
        }
    }

    /// The number of values that [`Kernel::pack`] returns, without packing anything; `usize::MAX`
    /// if it does not fit.
    #[must_use]
    pub fn packed_values(&self, problem: &Problem) -> usize {
        match self.winograd {
            Some(winograd) => packed_winograd_values(self, winograd, problem),
            None if self.family == Family::SplitKSum => packed_bias_values(self, problem),
            None => packed_values(problem),
        }
    }
}

fn pack(problem: &Problem, params: &StepParams) -> Vec<f32> {
    let (_, out) = problem.output;
    match (problem.op, params) {
        (Op::Conv { conv, .. }, StepParams::Conv { weight, bias }) => {
            let mut packed = matrix(conv, conv.taps(), weight, problem.inputs[0].1, out);
            packed.extend(per_channel(bias, out));
            packed
        }
        (
            Op::JoinedConv { main, shortcut, .. },
            StepParams::JoinedConv { main: w3, shortcut: wds, bias },
        ) => {
            let mut packed = matrix(main, 1, w3, problem.inputs[0].1, out);
            packed.extend(matrix(shortcut, 1, wds, problem.inputs[1].1, out));
            packed.extend(per_channel(bias, out));
            packed
        }
        (Op::BatchNorm { .. }, StepParams::Affine { scale, shift }) => {
            let mut packed = per_channel(scale, out);
            packed.extend(per_channel(shift, out));
            packed
        }
        _ => Vec::new(),
    }
}

/// The parameters for the dispatches of a Winograd convolution: the transformed weights, position
/// by position, for the products, and the bias for the output transform.
fn pack_winograd(
    family: Family,
    winograd: Winograd,
    problem: &Problem,
    params: &StepParams,
) -> Vec<f32> {
    let (Op::Conv { conv, .. }, StepParams::Conv { weight, bias }) = (problem.op, params) else {
        return Vec::new();
    };
    let (_, out) = problem.output;
    match family {
        Family::WinogradInput | Family::WinogradWeights => Vec::new(),
        Family::WinogradOutput => per_channel(bias, out),
        _ => {
            matrix(conv, winograd.positions(), &winograd.weights(weight), problem.inputs[0].1, out)
        }
    }
}

/// The number of values from [`pack_winograd`].
fn packed_winograd_values(kernel: &Kernel, winograd: Winograd, problem: &Problem) -> usize {
    match kernel.family {
        Family::WinogradInput | Family::WinogradWeights => 0,
        Family::WinogradOutput => packed_bias_values(kernel, problem),
        _ => {
            let Op::Conv { conv, .. } = problem.op else { return 0 };
            padded_weights(conv, winograd.positions(), problem.inputs[0].1, problem.output.1)
        }
    }
}

/// The bias, for the dispatch that adds slices of K. It also follows the weights of the sums, where
/// it is not read.
fn pack_bias(problem: &Problem, params: &StepParams) -> Vec<f32> {
    match params {
        StepParams::Conv { bias, .. } | StepParams::JoinedConv { bias, .. } => {
            per_channel(bias, problem.output.1)
        }
        StepParams::Affine { .. } | StepParams::None => Vec::new(),
    }
}

/// The number of values for a dispatch that reads only the bias.
fn packed_bias_values(kernel: &Kernel, problem: &Problem) -> usize {
    if kernel.epilogue.bias { padded_channels(problem.output.1) } else { 0 }
}

/// Channels with padding.
fn padded_channels(layout: ChannelLayout) -> usize {
    layout.vec4_per_pixel().saturating_mul(4)
}

/// The number of values from [`pack`].
fn packed_values(problem: &Problem) -> usize {
    let per_channel = padded_channels(problem.output.1);
    let matrix = |conv: Conv, input: usize| {
        padded_weights(conv, conv.taps(), problem.inputs[input].1, problem.output.1)
    };
    match problem.op {
        Op::Conv { conv, epilogue } => {
            matrix(conv, 0).saturating_add(if epilogue.bias { per_channel } else { 0 })
        }
        Op::JoinedConv { main, shortcut, .. } => {
            matrix(main, 0).saturating_add(matrix(shortcut, 1)).saturating_add(per_channel)
        }
        Op::BatchNorm { .. } => per_channel.saturating_mul(2),
        Op::Add { .. }
        | Op::MaxPool { .. }
        | Op::GlobalAvgPool { .. }
        | Op::Convert { .. }
        | Op::Train(_) => 0,
    }
}

/// The offset of a separately bound bias in its buffer: after this many weights in half precision,
/// at an alignment that every device supports (WebGPU's `minStorageBufferOffsetAlignment` is at
/// most 256).
fn offset_of_bias(matrix_values: usize) -> usize {
    let bytes = matrix_values.saturating_mul(DType::F16.bytes());
    bytes.checked_next_multiple_of(256).unwrap_or(usize::MAX)
}

impl Kernel {
    /// Whether it reads its weights in half precision, and the bias, which stays f32, from a
    /// separate binding.
    pub(super) fn has_half_weights(&self) -> bool {
        self.dtype == DType::F16 && self.family.method() != Method::Elementwise
    }

    /// Whether its source has a bias with a separate binding.
    pub(super) fn has_own_bias(&self) -> bool {
        self.has_half_weights() && self.own_epilogue().bias
    }

    /// The offset of the bias in the parameter buffer, in bytes, if it has a separate binding.
    #[must_use]
    pub fn bias_offset(&self, problem: &Problem) -> usize {
        offset_of_bias(self.packed_values(problem) - bias_values(problem))
    }

    /// Bytes of the packed parameters on the device; `usize::MAX` if their number does not fit.
    #[must_use]
    pub fn packed_bytes(&self, problem: &Problem) -> usize {
        let values = self.packed_values(problem);
        match (self.has_half_weights(), bias_values(problem)) {
            (false, _) => values.saturating_mul(DType::F32.bytes()),
            (true, 0) => values.saturating_mul(DType::F16.bytes()),
            (true, bias) => offset_of_bias(values - bias)
                .saturating_add(bias.saturating_mul(DType::F32.bytes())),
        }
    }

    /// The values from [`Kernel::pack`] as bytes on the device.
    ///
    /// # Errors
    /// The first weight that is too large for half precision, if the kernel uses it. If the sums
    /// are output in f32, as before a norm that is a separate step, also the largest weight of the
    /// first channel whose weights are all too small: the norm would scale their rounding errors up
    /// to the normal range.
    pub fn encode<'a>(&self, problem: &Problem, packed: &'a [f32]) -> Result<Cow<'a, [u8]>, f32> {
        if !self.has_half_weights() {
            return Ok(DType::F32.encode(packed));
        }
        let (matrix, bias) = packed.split_at(packed.len() - bias_values(problem).min(packed.len()));
        if let Some(&large) =
            matrix.iter().find(|value| f64::from(value.abs()) >= DType::F16.overflow())
        {
            return Err(large);
        }
        if self.output_dtype == DType::F32
            && let Some(small) = small_channel(matrix, problem.output.1.vec4_per_pixel() * 4)
        {
            return Err(small);
        }
        let mut bytes = DType::F16.encode(matrix).into_owned();
        if !bias.is_empty() {
            bytes.resize(offset_of_bias(matrix.len()), 0);
            bytes.extend_from_slice(&DType::F32.encode(bias));
        }
        Ok(Cow::Owned(bytes))
    }
}

/// The largest weight of the first channel in which every weight is below f16's normal range, and
/// so has lost digits.
fn small_channel(matrix: &[f32], channels: usize) -> Option<f32> {
    let mut largest = vec![0.0_f32; channels];
    // [k4][column][4][4]: see the top of this file.
    for (at, value) in matrix.iter().enumerate() {
        let channel = at / 16 * 4 % channels + at % 4;
        largest[channel] = largest[channel].max(value.abs());
    }
    largest.into_iter().find(|&value| value > 0.0 && value < f16::MIN_POSITIVE.to_f32())
}

/// The number of bias values at the end of a convolution's packed parameters.
fn bias_values(problem: &Problem) -> usize {
    match problem.op {
        Op::Conv { epilogue: Epilogue { bias: true, .. }, .. } | Op::JoinedConv { .. } => {
            padded_channels(problem.output.1)
        }
        _ => 0,
    }
}

/// One value per output channel at its padded position; empty if `values` is empty.
fn per_channel(values: &[f32], layout: ChannelLayout) -> Vec<f32> {
    let padded = if values.is_empty() { 0 } else { layout.vec4_per_pixel() * 4 };
    (0..padded)
        .map(|position| layout.channel_at(position).map_or(0.0, |channel| values[channel]))
        .collect()
}

/// The matrix of `[out][in / groups][taps]` weights.
fn matrix(
    conv: Conv,
    taps: usize,
    weight: &[f32],
    input: ChannelLayout,
    output: ChannelLayout,
) -> Vec<f32> {
    let values = input.vec4_per_pixel() * 4 / conv.groups * taps * output.vec4_per_pixel() * 4;
    let mut packed = vec![0.0; values];
    places(conv, taps, input, output, |source, place| packed[place] = weight[source]);
    packed
}

/// The position in the matrix of each of the `[out][in / groups][taps]` weights.
fn places(
    conv: Conv,
    taps: usize,
    input: ChannelLayout,
    output: ChannelLayout,
    mut place: impl FnMut(usize, usize),
) {
    let columns = output.vec4_per_pixel();
    // Padded input channels that one output channel sees, per tap.
    let group_in = input.vec4_per_pixel() * 4 / conv.groups;
    let (in_per_group, out_per_group) = (conv.in_per_group(), conv.out_per_group());
    let quads = group_in / 4;
    for column in 0..columns {
        for lane in 0..4 {
            let Some(out_channel) = output.channel_at(column * 4 + lane) else { continue };
            let group = out_channel / out_per_group;
            for within in 0..group_in {
                let Some(channel) = input.channel_at(group * group_in + within) else { continue };
                let source = (out_channel * in_per_group + channel - group * in_per_group) * taps;
                for tap in 0..taps {
                    let k4 = tap * quads + within / 4;
                    place(source + tap, ((k4 * columns + column) * 4 + within % 4) * 4 + lane);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_padded_apart() {
        // Two groups of two channels, 1x1 for a short image: [out 4, in 2].
        let conv = Conv { groups: 2, ..Conv::conv1x1(4, 4, 1) };
        let layout = ChannelLayout::grouped(4, 2);
        let weight: Vec<f32> = (1..=8).map(|v| v as f32).collect();
        let packed = matrix(conv, 1, &weight, layout, layout);
        // One K quad, two columns; column 0 holds group 0: row k = (out 0, out 1, pad, pad).
        assert_eq!(packed[..8], [1.0, 3.0, 0.0, 0.0, 2.0, 4.0, 0.0, 0.0]);
        assert_eq!(packed[16..24], [5.0, 7.0, 0.0, 0.0, 6.0, 8.0, 0.0, 0.0]);
        assert_eq!(
            per_channel(&[1.0, 2.0, 3.0, 4.0], layout),
            [1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 0.0, 0.0]
        );
    }
}
