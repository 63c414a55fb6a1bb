//! State dicts: detects the network from the keys that PyTorch writes, and provides the parameters
//! of each step of a plan.

mod block;
mod block_state;
mod bytes;
mod checkpoint;
mod config;
mod detect;
mod entry;
mod fold;
mod folder;
mod header;
mod layers;
mod names;
mod network;
mod pth;
mod reader;
mod same_keys;
mod state;
mod state_dict;
mod values;

pub use block::{Block, BlockOptions};
pub use block_state::{BlockState, LayerTensors, NormTensors};
pub use checkpoint::{Checkpoint, CheckpointOptions, Shapes};
pub use config::{ClassNames, KEY, METADATA, ModelConfig};
pub use folder::{weights_file, weights_in};
pub use names::{Naming, OPTIMIZER};
pub use network::NetworkWeights;
pub use state::{Initialization, NetworkState};
pub use state_dict::{StateDict, Tensor};
