//! The operations: their shapes, their arithmetic and their memory traffic.
//! Pure data: the [reference](crate::reference) defines the values, and the kernels define how a
//! GPU computes them.

mod conv;
mod epilogue;
mod operation;
mod params;
mod pool_windows;
mod scalar;
mod shape_check;
mod train;
mod update;
mod weights;

pub use conv::{Conv, KernelSize};
pub use epilogue::Epilogue;
pub use operation::Op;
pub use params::StepParams;
pub use pool_windows::PoolWindows;
pub use scalar::Scalar;
pub use train::{LOSSES, NORM_COEFFICIENTS, NORM_RUNNING, NORM_SUMS, TrainOp};
pub use update::{CONTROL, UpdateOp};
pub use weights::WeightLayout;
pub(crate) use weights::padded_weights;
