//! Seeded numbers: the same on every machine, without a dependency.

use wgpu_bottleneck::{HostTensor, Shape};

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// 1 or -1.
    pub fn sign(&mut self) -> f32 {
        self.pick(&[1.0, -1.0])
    }
}

/// An image of integers from -3 to 3.
pub fn small_integers(shape: Shape, seed: u64) -> HostTensor {
    let mut random = Seeded::new(seed);
    HostTensor::from_fn(shape, |_| random.below(7) as f32 - 3.0)
}

/// Reals in -1 .. 1.
pub fn small_reals(shape: Shape, seed: u64) -> HostTensor {
    let mut random = Seeded::new(seed);
    HostTensor::from_fn(shape, |_| (random.below(1 << 20) as f32 / (1 << 19) as f32) - 1.0)
}
