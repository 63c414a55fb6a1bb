//! Seeded random numbers for which f32 arithmetic is exact: small integers, and halves and
//! quarters.

use crate::op::{Conv, Op, StepParams};
use crate::tensor::{HostTensor, Shape};

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014):
/// gives the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Seeded {
    /// A generator, fully determined by the seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    #[allow(clippy::should_implement_trait, reason = "an iterator would have to have an end")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// One element of a non-empty slice.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// 1 or -1.
    pub fn sign(&mut self) -> f32 {
        self.pick(&[1.0, -1.0])
    }

    /// Quarters from -4 to 4, whose sums with small integers are exact in f32.
    pub fn quarters(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.below(33) as f32 / 4.0 - 4.0).collect()
    }
}

/// An image of integers from -3 to 3.
#[must_use]
pub fn small_integers(shape: Shape, seed: u64) -> HostTensor {
    let mut random = Seeded::new(seed);
    HostTensor::from_fn(shape, |_| random.below(7) as f32 - 3.0)
}

/// OIHW weights of 1, -1 and, with `doubles`, 2 and -2, at `terms` random positions of each output
/// channel, and zero elsewhere. If there are at most `terms` positions, none is zero.
pub fn integer_weights(conv: &Conv, terms: usize, doubles: bool, random: &mut Seeded) -> Vec<f32> {
    let length = conv.reduction_length();
    let mut weights = vec![0.0; conv.weights()];
    for channel in weights.chunks_exact_mut(length) {
        for term in 0..terms.min(length) {
            let at = if terms >= length { term } else { random.below(length) };
            let double = doubles && random.below(4) == 0;
            channel[at] = random.sign() * if double { 2.0 } else { 1.0 };
        }
    }
    weights
}

/// Parameters of an operation. No weight or scale is zero, so that a non-finite input gives a
/// non-finite output.
pub fn exact_params(op: &Op, random: &mut Seeded) -> StepParams {
    let weights =
        |conv: &Conv, random: &mut Seeded| integer_weights(conv, usize::MAX, true, random);
    match op {
        Op::Conv { conv, epilogue } => StepParams::Conv {
            weight: weights(conv, random),
            bias: if epilogue.bias { random.quarters(conv.out_channels) } else { Vec::new() },
        },
        Op::JoinedConv { main, shortcut, .. } => StepParams::JoinedConv {
            main: weights(main, random),
            shortcut: weights(shortcut, random),
            bias: random.quarters(main.out_channels),
        },
        Op::BatchNorm { channels, .. } => StepParams::Affine {
            scale: (0..*channels).map(|_| random.sign() * random.pick(&[0.5, 1.0, 2.0])).collect(),
            shift: random.quarters(*channels),
        },
        Op::Add { .. }
        | Op::MaxPool { .. }
        | Op::GlobalAvgPool { .. }
        | Op::Convert { .. }
        | Op::Train(_) => StepParams::None,
    }
}

/// A copy with a NaN in its first value and, if it is large enough, an infinity in its last value
/// and the other infinity in the middle. They are shifted by this many thirds, so that up to three
/// inputs of one operation have them at different positions.
#[must_use]
pub fn with_non_finite(tensor: &HostTensor, thirds: usize) -> HostTensor {
    let count = tensor.data().len();
    let by = count * thirds / 3 % count;
    let mut values = tensor.data().to_vec();
    if count > 2 {
        values[(count - 1 + by) % count] = f32::INFINITY;
        values[(count / 2 + by) % count] = f32::NEG_INFINITY;
    }
    values[by] = f32::NAN;
    HostTensor::from_fn(tensor.shape(), |at| values[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ShapeError;

    #[test]
    fn a_seed_is_a_promise() -> Result<(), ShapeError> {
        // The first output of splitmix64 for seed 0, from its reference implementation.
        assert_eq!(Seeded::new(0).next(), 0xe220_a839_7b1d_cdaf);
        let item = small_integers(Shape::new(1, 2, 3, 4)?, 1);
        assert!(item.data().iter().all(|value| value.fract() == 0.0 && value.abs() <= 3.0));
        for thirds in 0..4 {
            let count = |kind: fn(f32) -> bool| {
                with_non_finite(&item, thirds).data().iter().filter(|&&value| kind(value)).count()
            };
            assert_eq!((count(f32::is_nan), count(f32::is_infinite)), (1, 2));
        }
        Ok(())
    }
}
