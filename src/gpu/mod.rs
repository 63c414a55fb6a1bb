//! The GPU executor: adapters and devices, pipelines, buffers and bind groups, and running
//! recordings.

mod adapter;
mod adapter_info;
mod bind_groups;
mod bound;
mod ceilings;
mod compile;
mod contain;
mod device;
mod executor;
mod executor_state;
mod guard;
mod host_run;
mod kept_pipelines;
mod launches;
mod loss_check;
mod memory;
mod monitor;
mod own_buffers;
mod pipeline;
mod preprocess;
mod ranking;
mod readback;
mod texels;
mod timestamps;
mod upload;
mod upload_staging;
pub(crate) mod user_cache;
mod workspace;

pub use adapter::{AdapterChoice, adapters, adapters_async, matrix_sides, required};
pub use adapter_info::{describe, is_software, subgroup_size};
pub use bound::Bound;
pub use ceilings::{CeilingOptions, Ceilings, ceiling_kernels};
pub use device::{Gpu, GpuOptions, LimitsChoice};
pub use executor::{Executor, ExecutorOptions};
pub use guard::Probe;
pub(crate) use host_run::RowRun;
pub use memory::Memory;
pub use preprocess::{Preprocessor, Source};
pub use timestamps::{TimedRun, Timer, TimestampKind};
