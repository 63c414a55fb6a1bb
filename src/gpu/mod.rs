//! The GPU executor: adapters and devices, pipelines, buffers and bind groups, and the running of recordings.

mod adapter;
mod ceilings;
mod compile;
mod device;
mod executor;
mod guard;
mod kept_pipelines;
mod memory;
mod monitor;
mod pipeline;
mod preprocess;
mod readback;
mod timestamps;
mod upload;
pub(crate) mod user_cache;

pub use adapter::{AdapterChoice, adapters, adapters_async, describe, is_software, required};
pub use ceilings::{CeilingOptions, Ceilings, ceiling_kernels};
pub use device::{Gpu, GpuOptions, LimitsChoice};
pub(crate) use executor::Piece;
pub use executor::{Bound, Executor, ExecutorOptions};
pub use guard::Probe;
pub use memory::Memory;
pub use preprocess::{Preprocessor, Source};
pub use timestamps::{TimedRun, Timer, TimestampKind};
