//! A network's state dict in memory, for training to read and write: nothing is folded.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal, Uniform};
use safetensors::{Dtype, tensor::TensorView};

use super::{METADATA, ModelConfig, NetworkWeights};
use crate::error::{Error, Result, WeightsError};
use crate::network::{BlockKind, ResNet};
use crate::tensor::memory;

/// Every parameter and statistic of a network by torchvision's name, f32.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkState {
    spec: ResNet,
    tensors: BTreeMap<String, Vec<f32>>,
    counters: BTreeMap<String, i64>,
}

/// The initial parameters of a network. The defaults are torchvision's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Initialization {
    /// Determines all random numbers.
    pub seed: u64,
    /// Whether the last norm of each block starts with a gamma of zero, so that each block starts
    /// as its shortcut.
    pub zero_init_residual: bool,
}

/// The name of a norm's counter.
const COUNTER: &str = "num_batches_tracked";

impl NetworkState {
    /// Initial parameters, distributed like those of torchvision's `ResNet`: convolutions by
    /// `kaiming_normal_(mode="fan_out", nonlinearity="relu")`, norms with ones and zeros, the
    /// linear layer as in `nn.Linear`, uniformly within 1 / sqrt(features). The random numbers come
    /// from ChaCha, not PyTorch. If there is not enough memory, the process ends;
    /// [`NetworkState::try_initial`] returns an error.
    #[must_use]
    pub fn initial(spec: &ResNet, how: Initialization) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(how.seed);
        let last_norm =
            if spec.kind() == BlockKind::Bottleneck { ".bn3.weight" } else { ".bn2.weight" };
        let mut state =
            Self { spec: spec.clone(), tensors: BTreeMap::new(), counters: BTreeMap::new() };
        for (key, dims) in spec.state_dict_shapes() {
            let count: usize = dims.iter().product();
            let values = match (key.rsplit_once('.'), dims.as_slice()) {
                (Some((_, COUNTER)), _) => {
                    state.counters.insert(key, 0);
                    continue;
                }
                (_, &[out, _, height, width]) => {
                    let deviation = (2.0 / (out * height * width) as f64).sqrt();
                    let normal = Normal::new(0.0, deviation).ok();
                    let mut draw = || normal.map_or(0.0, |normal| normal.sample(&mut random));
                    (0..count).map(|_| draw() as f32).collect()
                }
                (Some(("fc", _)), _) => {
                    let bound = 1.0 / (spec.features() as f64).sqrt();
                    let uniform = Uniform::new(-bound, bound).ok();
                    let mut draw = || uniform.map_or(0.0, |uniform| uniform.sample(&mut random));
                    (0..count).map(|_| draw() as f32).collect()
                }
                (Some((_, "weight")), _) if how.zero_init_residual && key.ends_with(last_norm) => {
                    vec![0.0; count]
                }
                (Some((_, "weight" | "running_var")), _) => vec![1.0; count],
                _ => vec![0.0; count],
            };
            state.tensors.insert(key, values);
        }
        state
    }

    /// [`NetworkState::initial`] for networks that may be too large for this machine.
    ///
    /// # Errors
    /// [`ShapeError::Memory`](crate::error::ShapeError::Memory).
    pub fn try_initial(spec: &ResNet, how: Initialization) -> Result<Self> {
        let values = |dims: Vec<usize>| {
            dims.into_iter().fold(1, |product: u64, dim| product.saturating_mul(dim as u64))
        };
        let shapes = spec.state_dict_shapes().into_iter();
        let all = shapes.fold(0, |sum: u64, (_, dims)| sum.saturating_add(values(dims)));
        let dims = [usize::try_from(all).unwrap_or(usize::MAX)];
        memory::check("the network's parameters", &dims, all.saturating_mul(4))?;
        Ok(Self::initial(spec, how))
    }

    /// Reads the state from a checkpoint.
    ///
    /// # Errors
    /// A [`WeightsError`] that names the tensor if one is missing, not finite, or has another shape
    /// or an unsupported type.
    pub fn read(weights: &NetworkWeights) -> Result<Self> {
        let (spec, dict) = (weights.spec().clone(), weights.dict());
        let (mut tensors, mut counters) = (BTreeMap::new(), BTreeMap::new());
        for (name, dims) in spec.state_dict_shapes() {
            let key = weights.checkpoint().key(&name).unwrap_or(&name);
            if name.ends_with(COUNTER) {
                // Files that other programs wrote may lack it.
                counters.insert(name.clone(), dict.counter(key)?.unwrap_or_default());
            } else {
                tensors.insert(name.clone(), weights.tensor(&name, &dims)?);
            }
        }
        Ok(Self { spec, tensors, counters })
    }

    /// The network.
    #[must_use]
    pub fn spec(&self) -> &ResNet {
        &self.spec
    }

    /// A tensor's values.
    ///
    /// # Errors
    /// [`WeightsError::Missing`] for a name that the network does not have.
    pub fn values(&self, name: &str) -> Result<&[f32], WeightsError> {
        let missing = || WeightsError::Missing { tensor: name.to_owned(), hint: String::new() };
        self.tensors.get(name).map(Vec::as_slice).ok_or_else(missing)
    }

    /// The number of batches a norm has counted, by its name; `None` if it does not count them.
    #[must_use]
    pub fn batches(&self, norm: &str) -> Option<i64> {
        self.counters.get(&format!("{norm}.{COUNTER}")).copied()
    }

    /// Replaces a tensor's values.
    ///
    /// # Errors
    /// [`WeightsError::Missing`] for a name that the network does not have; [`WeightsError::Shape`]
    /// for another number of values.
    pub fn set(&mut self, name: &str, values: Vec<f32>) -> Result<(), WeightsError> {
        let expected = self.values(name)?.len();
        if values.len() != expected {
            let (tensor, expected) = (name.to_owned(), format!("[{expected}]"));
            return Err(WeightsError::Shape { tensor, expected, found: vec![values.len()] });
        }
        self.tensors.insert(name.to_owned(), values);
        Ok(())
    }

    /// Adds to the number of batches of a norm that counts them.
    pub fn count_batches(&mut self, norm: &str, more: i64) {
        if let Some(count) = self.counters.get_mut(&format!("{norm}.{COUNTER}")) {
            *count = count.saturating_add(more);
        }
    }

    /// The bytes of a safetensors file with all tensors under torchvision's names, `further`
    /// tensors, and `texts` as metadata. Adds the network's configuration to the metadata under
    /// [`METADATA`] unless `texts` has that key. Equal arguments give equal bytes: the keys of the
    /// metadata are sorted.
    ///
    /// # Errors
    /// [`WeightsError::Format`] if a name occurs twice, or if the header is too large.
    pub fn to_safetensors(
        &self,
        further: &[(String, Vec<usize>, Vec<f32>)],
        texts: &BTreeMap<String, String>,
    ) -> Result<Vec<u8>> {
        let mut all: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for (name, dims) in self.spec.state_dict_shapes() {
            match self.counters.get(&name) {
                Some(count) => all.push((name, Dtype::I64, dims, count.to_le_bytes().to_vec())),
                None => {
                    let bytes = bytemuck::cast_slice(self.values(&name)?).to_vec();
                    all.push((name, Dtype::F32, dims, bytes));
                }
            }
        }
        for (name, dims, values) in further {
            all.push((
                name.clone(),
                Dtype::F32,
                dims.clone(),
                bytemuck::cast_slice(values).to_vec(),
            ));
        }
        let wrong = |reason: String| {
            Error::from(WeightsError::Format {
                source_name: "the checkpoint to be written".to_owned(),
                reason,
            })
        };
        let views = all.iter().map(|(name, dtype, dims, bytes)| {
            let view = TensorView::new(*dtype, dims.clone(), bytes)
                .map_err(|error| wrong(error.to_string()))?;
            Ok((name.as_str(), view))
        });
        let views = views.collect::<Result<Vec<_>>>()?;
        let mut texts = texts.clone();
        if !texts.contains_key(METADATA) {
            texts.insert(
                METADATA.to_owned(),
                ModelConfig::of_network(&self.spec).to_json(&self.spec)?,
            );
        }
        let mut bytes =
            safetensors::serialize(views, None).map_err(|error| wrong(error.to_string()))?;
        insert_metadata(&mut bytes, &texts).map_err(wrong)?;
        Ok(bytes)
    }
}

/// The maximum size of a safetensors header in bytes; readers refuse a larger header.
const MOST_HEADER_BYTES: usize = 100_000_000;

/// Inserts metadata into a safetensors file that has none. The `safetensors` crate takes the
/// metadata as a hash map and writes it in random order; here the keys are sorted.
fn insert_metadata(bytes: &mut Vec<u8>, texts: &BTreeMap<String, String>) -> Result<(), String> {
    let unexpected = || "the header cannot be extended".to_owned();
    let (length, after) = bytes.split_first_chunk().ok_or_else(unexpected)?;
    let end = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| unexpected())?;
    let header = after.get(..end).ok_or_else(unexpected)?.trim_ascii_end();
    let tensors = header.strip_prefix(b"{").ok_or_else(unexpected)?;
    let texts = serde_json::to_string(texts).map_err(|error| error.to_string())?;
    let comma = if tensors == b"}" { "" } else { "," };
    let start = format!("{{\"__metadata__\":{texts}{comma}");
    let mut extended = [start.as_bytes(), tensors].concat();
    // Tensors begin at a multiple of 8 bytes.
    extended.resize(extended.len().next_multiple_of(8), b' ');
    if extended.len() > MOST_HEADER_BYTES {
        return Err(format!(
            "its header has {} bytes, the limit is {MOST_HEADER_BYTES}",
            extended.len()
        ));
    }
    let length = (extended.len() as u64).to_le_bytes();
    bytes.splice(..length.len() + end, length.into_iter().chain(extended));
    Ok(())
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    #[test]
    fn metadata_is_sorted_and_read_back() -> Result<(), Box<dyn std::error::Error>> {
        let pairs = [("b", "two\n\"x\""), ("a", "one"), ("c", ""), ("a.b", "\u{e4}")];
        let texts: BTreeMap<String, String> =
            pairs.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
        let values = [1.0_f32, -2.0].map(f32::to_le_bytes).concat();
        for names in [&[][..], &["y", "x"]] {
            let mut views = Vec::new();
            for name in names {
                views.push((*name, TensorView::new(Dtype::F32, vec![2], &values)?));
            }
            let mut bytes = safetensors::serialize(views, None)?;
            insert_metadata(&mut bytes, &texts)?;
            let (header, read) = SafeTensors::read_metadata(&bytes)?;
            assert!(header.is_multiple_of(8));
            assert_eq!(read.metadata(), &Some(texts.clone().into_iter().collect()));
            let text = std::str::from_utf8(&bytes[8..8 + header])?;
            let keys = ["\"a\":", "\"a.b\":", "\"b\":", "\"c\":"].map(|key| text.find(key));
            assert!(keys.is_sorted() && keys[0].is_some(), "{text}");
            let file = SafeTensors::deserialize(&bytes)?;
            assert_eq!(file.len(), names.len());
            for name in names {
                assert_eq!(file.tensor(name)?.data(), values);
            }
        }
        Ok(())
    }
}
