//! What compiling a kernel takes, where that is much beside a run.

use std::time::Duration;

use super::{Access, Capabilities, DeviceKind, Kernel, Method};

/// Seconds that a multiply-add of a vec4 takes on a software driver, as the ranking rule counts them: what makes its costs times (two
/// cores, lavapipe of Mesa 22.3).
pub(super) const MULTIPLY_ADD: f64 = 1e-10;

/// What every kernel takes.
const EACH: f64 = 0.02;

/// What one of Winograd's transforms takes.
const TRANSFORM: f64 = 0.15;

impl Kernel {
    /// An estimate of how long a driver takes to compile the kernel when it has no cache of it. Zero on hardware, whose drivers have not
    /// been measured, and compile several at once.
    ///
    /// A software driver's time goes into the sums of a tile, which are so many chains of instructions, and into their stores, which
    /// it compiles lane by lane: some 6 ms for a vec4 in words of 64 bits, 12 ms in words of 32, half as much again with a residual (lavapipe
    /// of Mesa 22.3, every candidate of ResNet-50's layer1.1; `benches/NOTES.md`).
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
                let sums = f64::from(self.tile.rows * self.tile.cols * taps);
                let each = if self.access == Access::Texture { 0.0055 } else { 0.012 };
                EACH + sums * each * if self.epilogue.residual { 1.5 } else { 1.0 }
            }
        };
        Duration::from_secs_f64(seconds)
    }
}
