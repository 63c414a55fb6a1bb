//! Networks as specifications: what a Bottleneck is, and the plans that run one or a chain of them.

mod bottleneck;
mod norm;
mod plans;

pub use bottleneck::{Bottleneck, BottleneckBuilder, EXPANSION};
pub use norm::Norm;
pub use plans::{plan_block, plan_chain};
