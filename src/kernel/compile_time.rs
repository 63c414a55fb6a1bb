//! The compile time of a kernel, where it is long compared with a run.

use std::time::Duration;

use super::{Access, Capabilities, DeviceKind, Kernel, Method};

/// Seconds per multiply-add of a vec4 on a software driver, as counted by the ranking rule:
/// converts its costs into time (two cores, lavapipe of Mesa 22.3).
pub(super) const MULTIPLY_ADD: f64 = 1e-10;

/// Compile time of every kernel.
const EACH: f64 = 0.02;

/// Compile time of a Winograd transform.
const TRANSFORM: f64 = 0.15;

impl Kernel {
    /// An estimate of a driver's time to compile the kernel without a cached version. Zero on
    /// hardware, whose drivers have not been measured and compile several kernels at once.
    ///
    /// A software driver spends the time on the sums of a tile, each of which is a chain of
    /// instructions, and on their stores, which it compiles lane by lane: about 6 ms for a vec4 in
    /// 64-bit words, 12 ms in 32-bit words, and half as much again with a residual (lavapipe of
    /// Mesa 22.3, every candidate of ResNet-50's layer1.1; `benches/NOTES.md`).
    #[must_use]
    pub fn compile_time(&self, capabilities: &Capabilities) -> Duration {
        if capabilities.kind != DeviceKind::Software {
            return Duration::ZERO;
        }
        let seconds = match self.family.method() {
            Method::Elementwise if self.family.is_transform() => TRANSFORM,
            Method::Elementwise => EACH,
            _ => {
                // All nine taps of a kernel that slides down the image stand in its text.
                let taps = if self.family.method() == Method::Slide { 4 } else { 1 };
                let sums = f64::from(self.tile.rows_per_thread * self.tile.cols_per_thread * taps);
                let each = if self.access == Access::Texture { 0.0055 } else { 0.012 };
                EACH + sums * each * if self.epilogue.residual { 1.5 } else { 1.0 }
            }
        };
        Duration::from_secs_f64(seconds)
    }
}
