//! Networks of ResNet **Bottleneck** blocks on any GPU, without CUDA and without Python: WGSL compute shaders on wgpu, PyTorch's
//! numbers, one command buffer per block.
//!
//! From a checkpoint and pictures to classes, embeddings or feature maps: [`NetworkWeights::open`], [`Backbone::load`],
//! [`Backbone::logits`], [`Backbone::embed`], [`Backbone::features`]; [`Network`] is the same for tensors that are already
//! normalised. From the state dict of blocks to numbers: [`StateDict::open`], [`Block::from_state_dict`], [`Model::load`],
//! [`Model::run`].
//!
//! An app that owns its device uses [`Gpu::from_wgpu`]; [`Model::bind`] and [`Network::bind`] run on its own buffers, in command
//! buffers or encoders of its own. [`record`] and [`record_network`] say what would be run, as data, without a GPU.
//!
//! Tensors on the host are NCHW f32, as PyTorch's; on the device they are NHWC with the channels padded to a multiple of
//! four (see [`tensor::ChannelLayout`]). Times are in the names that carry them, sizes are in bytes unless said otherwise.
//! Errors are typed ([`Error`]); bad files, specifications,
//! shapes and buffers never panic.

// docs.rs marks items of optional features, on a nightly toolchain.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_docs)]
#![warn(rustdoc::broken_intra_doc_links)]

pub mod engine;
pub mod error;
pub mod gpu;
pub mod kernel;
pub mod network;
pub mod op;
pub mod picture;
pub mod plan;
pub mod reference;
pub mod selftest;
pub mod shader;
pub mod tensor;
pub mod tune;
pub mod weights;

pub use engine::{
    Backbone, LoadOptions, Model, Network, TrainedBlock, TrainedNetwork, TrainingOptions, TrainingStep, record,
    record_in_parts, record_network,
};
pub use error::{Error, Result};
pub use gpu::{Gpu, GpuOptions, Preprocessor, Source, required};
pub use network::{BasicBlock, BlockKind, BlockSpec, Bottleneck, Norm, ResNet, StrideIn};
pub use picture::{Picture, Preprocess};
pub use plan::PlanKind;
pub use tensor::{HostTensor, Shape};
pub use weights::{
    Block, BlockOptions, Checkpoint, CheckpointOptions, ModelConfig, NetworkWeights, StateDict, TrainableBlock,
};

/// The very wgpu that this crate uses, so that an app's device and ours are of one version.
pub use wgpu;

/// The Rust snippets of README and docs, compiled as tests.
#[cfg(doctest)]
mod snippets {
    macro_rules! documents {
        ($($(#[$cfg:meta])? $name:ident $path:literal)+) => {
            $($(#[$cfg])? #[doc = include_str!(concat!("../", $path))] struct $name;)+
        };
    }
    documents! {
        #[cfg(feature = "pictures")] Readme "README.md"
        #[cfg(feature = "pictures")] Networks "docs/networks.md"
        Blocks "docs/blocks.md"
        Training "docs/training.md"
        Commands "docs/commands.md"
        Supported "docs/supported.md"
        Precision "docs/precision.md"
        Devices "docs/devices.md"
        OwnDevice "docs/own-device.md"
        Selftest "docs/selftest.md"
    }
}
