//! Runs and trains networks of ResNet **Bottleneck** blocks on any GPU, without CUDA and without
//! Python. WGSL compute shaders on wgpu give PyTorch's results, with one command buffer per block.
//!
//! - To compute classes, embeddings or feature maps from a checkpoint and images, use
//!   [`NetworkWeights::open`], [`ImagePipeline::load`], and [`ImagePipeline::logits`],
//!   [`ImagePipeline::embed`] or [`ImagePipeline::features`]. [`Network`] has the same methods for
//!   tensors that are already normalised.
//! - To run single blocks from a state dict, use [`StateDict::open`], [`Block::from_state_dict`],
//!   [`BlockChain::load`] and [`BlockChain::run`].
//! - To train a network, use [`Trainer`].
//!
//! An app with its own device uses [`Gpu::from_wgpu`]; [`BlockChain::bind`] and [`Network::bind`]
//! run on its buffers, in its command buffers or encoders. [`record`] and [`record_network`] return
//! the planned work as data, without a GPU.
//!
//! Tensors on the host are NCHW f32, as in PyTorch; on the device they are NHWC with the channels
//! padded to a multiple of four (see [`tensor::ChannelLayout`]). Names of durations include the
//! unit. Sizes are in bytes unless stated otherwise. Errors are typed ([`Error`]); invalid files,
//! specifications, shapes and buffers never panic.

// docs.rs marks items of optional features, on a nightly toolchain.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_docs)]
#![warn(rustdoc::broken_intra_doc_links)]

pub mod engine;
pub mod error;
#[doc(hidden)]
pub mod files;
pub mod gpu;
pub mod image;
mod input_file;
pub mod kernel;
pub mod network;
pub mod op;
pub mod plan;
pub mod reference;
pub mod selftest;
pub mod shader;
pub mod tensor;
pub mod tune;
pub mod weights;

pub use engine::{
    BlockChain, BlockTrainer, ImagePipeline, LoadOptions, Network, Trainer, TrainingStep, record,
    record_micro_batches, record_network,
};
pub use error::{Error, Result};
pub use gpu::{Gpu, GpuOptions, Preprocessor, Source, required};
pub use image::{Image, Preprocess};
pub use network::{
    BasicBlock, BlockKind, BlockSpec, Bottleneck, Norm, ResNet, StrideIn, TrainingOptions,
};
pub use plan::PlanKind;
pub use tensor::{HostTensor, Shape};
pub use weights::{
    Block, BlockOptions, BlockState, Checkpoint, CheckpointOptions, ModelConfig, NetworkWeights,
    StateDict,
};

/// The wgpu version used by this crate, so that an app's device has the same version.
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
        #[cfg(feature = "images")] Readme "README.md"
        #[cfg(feature = "images")] Networks "docs/networks.md"
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
