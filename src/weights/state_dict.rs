//! safetensors files as state dicts, with everything that a file may lie about checked.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use super::header;
use crate::error::{Error, Result, WeightsError};
use crate::tensor::{HostTensor, Shape};

/// A safetensors file in memory.
#[derive(Debug, Clone)]
pub struct StateDict {
    bytes: Vec<u8>,
    entries: BTreeMap<String, Entry>,
    metadata: HashMap<String, String>,
}

/// What the header says of a tensor, checked against the file.
#[derive(Debug, Clone)]
struct Entry {
    dtype: Dtype,
    dims: Vec<usize>,
    range: Range<usize>,
}

/// One tensor of a state dict, widened to f32.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its dimensions.
    pub dims: Vec<usize>,
    /// Its values, row-major.
    pub data: Vec<f32>,
}

impl StateDict {
    /// Reads a file. What cannot be one (not a regular file, a header longer than the file) is not read at all.
    ///
    /// # Errors
    /// [`Error::Io`], and [`WeightsError::Format`] when it is not safetensors: a damaged or lying header, overlapping or
    /// missing data, text.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let io = |source| Error::Io { path: path.to_owned(), source };
        let about = std::fs::metadata(path).map_err(io)?;
        if !about.is_file() {
            return Err(
                WeightsError::Format { source_name: name, reason: "it is not a regular file".to_owned() }.into()
            );
        }
        let mut file = std::fs::File::open(path).map_err(io)?;
        let mut bytes = Vec::new();
        file.by_ref().take(8).read_to_end(&mut bytes).map_err(io)?;
        header::check_length(&name, &bytes, about.len())?;
        file.read_to_end(&mut bytes).map_err(io)?;
        Self::named(&name, bytes)
    }

    /// From the bytes of a file.
    ///
    /// # Errors
    /// [`WeightsError::Format`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        Self::named("safetensors data", bytes)
    }

    fn named(name: &str, bytes: Vec<u8>) -> Result<Self> {
        header::check_length(name, &bytes, bytes.len() as u64)?;
        let parsed = SafeTensors::deserialize(&bytes).map_err(|error| header::explain(name, &bytes, &error))?;
        let start = bytes.as_ptr().addr();
        let entry = |(key, view): (String, safetensors::tensor::TensorView<'_>)| {
            let at = view.data().as_ptr().addr() - start;
            let range = at..at + view.data().len();
            (key, Entry { dtype: view.dtype(), dims: view.shape().to_vec(), range })
        };
        let entries = parsed.tensors().into_iter().map(entry).collect();
        let header = SafeTensors::read_metadata(&bytes).map_err(|error| header::explain(name, &bytes, &error))?.1;
        let metadata = header.metadata().clone().unwrap_or_default();
        Ok(Self { bytes, entries, metadata })
    }

    /// Every key, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// A text entry of the header's `__metadata__`.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// The dimensions of a tensor, or `None` when there is none of that key.
    #[must_use]
    pub fn dims(&self, key: &str) -> Option<&[usize]> {
        self.entries.get(key).map(|entry| entry.dims.as_slice())
    }

    /// A tensor, whatever values it holds.
    ///
    /// # Errors
    /// [`WeightsError::Missing`], [`WeightsError::ElementType`] for anything but F32, F16 and BF16.
    pub fn tensor(&self, key: &str) -> Result<Tensor, WeightsError> {
        let missing = || WeightsError::Missing { tensor: key.to_owned(), hint: String::new() };
        let entry = self.entries.get(key).ok_or_else(missing)?;
        let bytes = &self.bytes[entry.range.clone()];
        let data = match entry.dtype {
            Dtype::F32 => values(bytes, f32::from_le_bytes),
            Dtype::F16 => values(bytes, |raw| f16::from_le_bytes(raw).to_f32()),
            Dtype::BF16 => values(bytes, |raw| bf16::from_le_bytes(raw).to_f32()),
            other => {
                return Err(WeightsError::ElementType { tensor: key.to_owned(), found: format!("{other:?}") });
            }
        };
        Ok(Tensor { dims: entry.dims.clone(), data })
    }

    /// A tensor of an expected shape whose values are all finite: a weight.
    ///
    /// # Errors
    /// As [`StateDict::tensor`], [`WeightsError::Shape`], [`WeightsError::NonFinite`].
    pub fn weight(&self, key: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let tensor = self.tensor(key)?;
        if tensor.dims != dims {
            let expected = format!("{dims:?}");
            return Err(WeightsError::Shape { tensor: key.to_owned(), expected, found: tensor.dims });
        }
        match tensor.data.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(WeightsError::NonFinite { tensor: key.to_owned(), index, value: tensor.data[index] }),
            None => Ok(tensor.data),
        }
    }

    /// An image tensor, NCHW, any values.
    ///
    /// # Errors
    /// As [`StateDict::tensor`], and a [`ShapeError`](crate::error::ShapeError) unless it has four dimensions, none zero.
    pub fn image(&self, key: &str) -> Result<HostTensor> {
        let tensor = self.tensor(key)?;
        Ok(HostTensor::new(Shape::named(key, &tensor.dims)?, tensor.data)?)
    }
}

/// Little-endian values of `N` bytes each.
fn values<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|&raw| read(raw)).collect()
}
