//! safetensors files made in memory, right or wrong on purpose.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};

/// A state dict in the making. A key given again replaces the earlier tensor.
#[derive(Debug, Clone, Default)]
pub struct DictBuilder {
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
}

impl DictBuilder {
    pub fn f32(&mut self, key: &str, dims: &[usize], values: &[f32]) -> &mut Self {
        self.raw(
            key,
            Dtype::F32,
            dims,
            values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        )
    }

    pub fn raw(&mut self, key: &str, dtype: Dtype, dims: &[usize], bytes: Vec<u8>) -> &mut Self {
        self.tensors.insert(key.to_owned(), (dtype, dims.to_vec(), bytes));
        self
    }

    pub fn remove(&mut self, key: &str) -> &mut Self {
        assert!(self.tensors.remove(key).is_some(), "no {key} to remove");
        self
    }

    pub fn remove_all(&mut self, gone: impl Fn(&str) -> bool) -> &mut Self {
        self.tensors.retain(|key, _| !gone(key));
        self
    }

    pub fn dims(&self, key: &str) -> Vec<usize> {
        self.tensors[key].1.clone()
    }

    /// Changes one value of an f32 tensor.
    pub fn poke(&mut self, key: &str, index: usize, value: f32) -> &mut Self {
        let Some((Dtype::F32, _, bytes)) = self.tensors.get_mut(key) else {
            panic!("no f32 tensor {key}")
        };
        bytes[index * 4..][..4].copy_from_slice(&value.to_le_bytes());
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let views: HashMap<&str, TensorView<'_>> = self
            .tensors
            .iter()
            .map(|(key, (dtype, dims, bytes))| match TensorView::new(*dtype, dims.clone(), bytes) {
                Ok(view) => (key.as_str(), view),
                Err(error) => panic!("{key}: {error}"),
            })
            .collect();
        serialize(views, None).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// A file with this header text and this much data, whatever the header says.
pub fn with_header(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}
