//! Seeded numbers: those of the self test, and some that f32 rounds.

#[allow(unused_imports, reason = "not every test file needs both")]
pub use wgpu_bottleneck::selftest::{Seeded, small_integers};
use wgpu_bottleneck::{HostTensor, Shape};

/// Reals in -1 .. 1.
pub fn small_reals(shape: Shape, seed: u64) -> HostTensor {
    let mut random = Seeded::new(seed);
    HostTensor::from_fn(shape, |_| (random.below(1 << 20) as f32 / (1 << 19) as f32) - 1.0)
}
