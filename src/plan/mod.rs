//! From operations to work for an executor.
//!
//! A [`Plan`] describes **what** to compute: steps on tensors. A [`Recording`] describes **how**:
//! one segment per block, the dispatches of each step, and the workspace slot of each tensor. Both
//! are plain data that can be compared and printed. So their guarantees (one command buffer per
//! block, three steps per fused block, no slot shared by two live tensors) are tested without a
//! GPU.

mod check;
mod flow;
mod memory;
mod plan_check;
mod pow2_scale;
mod precision;
mod recording;
mod scheduler;
mod single;
mod step;
mod submits;

pub use memory::{Location, MemoryPlan, Scratch, Slot, assign};
pub(crate) use pow2_scale::Pow2Scale;
pub use precision::Precision;
pub use recording::{Dispatch, RecordedStep, Recording, Segment};
pub use scheduler::{KernelChoice, MemoryBudget, schedule};
pub use step::{Plan, PlanKind, Role, Step, TensorId, TensorInfo, Update};
pub use submits::{ASSUMED_RATE, STEP_SECONDS, SUBMIT_SECONDS};
