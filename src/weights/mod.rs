//! State dicts: from the keys that PyTorch writes to the parameters of each step of a plan.

mod block;
mod fold;
mod header;
mod reader;
mod state_dict;

pub use block::{Block, BlockOptions};
pub use state_dict::{StateDict, Tensor};
