//! Files of weights: safetensors, and PyTorch's format, zipped or not.

use wgpu_bottleneck::weights::NetworkState;
use wgpu_bottleneck::{
    Block, BlockOptions, CheckpointOptions, ModelConfig, NetworkWeights, StateDict,
};

/// Reads a file in every way. Returns its keys with their dimensions.
pub fn read(bytes: &[u8]) -> Vec<String> {
    let Ok(dict) = StateDict::from_bytes(bytes.to_vec()) else { return Vec::new() };
    let mut texts = vec!["a file of weights".to_owned()];
    let keys: Vec<String> = dict.keys().take(64).map(str::to_owned).collect();
    for key in keys {
        texts.push(format!("{key}: {:?}", dict.dims(&key)));
        if let Ok(tensor) = dict.tensor(&key) {
            assert_eq!(tensor.data.len(), tensor.dims.iter().product::<usize>());
            assert_eq!(dict.dims(&key), Some(&*tensor.dims));
        }
        let _ = dict.nchw(&key);
        let _ = dict.counter(&key);
        let _ = dict.weight(&key, &[1]);
    }
    let _ = ModelConfig::in_metadata(&dict).map(|config| config.is_multi_label());
    let _ = Block::from_state_dict(&dict, "", &BlockOptions::default());
    if let Ok(weights) = NetworkWeights::detect(dict, &CheckpointOptions::default()) {
        let _ = NetworkState::read(&weights);
    }
    texts
}
