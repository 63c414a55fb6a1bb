//! State dicts: detects the network from the keys that PyTorch writes, and provides the parameters
//! of each step of a plan.

mod block;
mod block_options;
mod block_state;
mod bytes;
mod checkpoint;
mod checkpoint_options;
mod config;
mod detect;
mod entry;
mod fold;
mod folder;
mod foreign;
mod head;
mod header;
mod identify;
mod layer;
mod layers;
mod names;
mod network;
mod pth;
mod reader;
mod same_keys;
mod search;
mod shapes;
mod state;
mod state_dict;
mod values;

pub use block::Block;
pub use block_options::BlockOptions;
pub use block_state::BlockState;
pub use checkpoint::Checkpoint;
pub use checkpoint_options::CheckpointOptions;
pub use config::{ClassNames, KEY, METADATA, ModelConfig};
pub use folder::{weights_file, weights_in};
pub use head::Head;
pub use layer::{LayerTensors, NormTensors};
pub use names::{Naming, OPTIMIZER};
pub use network::NetworkWeights;
pub use shapes::Shapes;
pub use state::{Initialization, NetworkState};
pub use state_dict::{StateDict, Tensor};
