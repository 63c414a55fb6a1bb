//! Networks as specifications: Bottleneck and BasicBlock, the ResNets built from them with their
//! state dicts, and the plans that run a block, a chain of blocks or a network.

mod basic;
mod block;
mod bottleneck;
mod keys;
mod limits;
mod norm;
mod plans;
mod resnet;
mod resnet_builder;
mod training;
mod variants;

pub use basic::{BasicBlock, BasicBlockBuilder};
pub use block::{BlockKind, BlockSpec, LayerSpec};
pub use bottleneck::{Bottleneck, BottleneckBuilder, EXPANSION, StrideIn};
pub use norm::{Norm, NormKind};
pub use plans::{plan_block, plan_chain, plan_network};
pub use resnet::{ResNet, Stem, StemKind};
pub use resnet_builder::ResNetBuilder;
pub use training::{
    BlockTrainingPlan, NetworkTrainingPlan, Optimizer, PlannedLayer, PlannedLinear, PlannedNorm,
    PlannedParameter, TrainingOptions, plan_block_training, plan_network_training,
};
pub use variants::{VARIANTS, Variant};
