//! safetensors files as state dicts, with everything that a file may lie about checked.

use std::path::Path;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result, WeightsError};
use crate::tensor::{HostTensor, Shape};

/// A safetensors file in memory.
#[derive(Debug, Clone)]
pub struct StateDict {
    name: String,
    bytes: Vec<u8>,
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
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`], and [`WeightsError::Format`] when it is not safetensors: a damaged or lying header, overlapping or
    /// missing data, text.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Self::named(path.display().to_string(), bytes)
    }

    /// From the bytes of a file.
    ///
    /// # Errors
    /// [`WeightsError::Format`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        Self::named("safetensors data".to_owned(), bytes)
    }

    fn named(name: String, bytes: Vec<u8>) -> Result<Self> {
        let dict = Self { name, bytes };
        dict.parse()?;
        Ok(dict)
    }

    /// The parsed header. Parsing is cheap beside reading a tensor, and borrowing it from ourselves is not possible.
    fn parse(&self) -> Result<SafeTensors<'_>, WeightsError> {
        SafeTensors::deserialize(&self.bytes)
            .map_err(|error| WeightsError::Format { source_name: self.name.clone(), reason: error.to_string() })
    }

    /// Every key.
    ///
    /// # Errors
    /// [`WeightsError::Format`] (never after a successful `open`).
    pub fn keys(&self) -> Result<Vec<String>, WeightsError> {
        Ok(self.parse()?.names().into_iter().map(str::to_owned).collect())
    }

    /// The text entries of the header's `__metadata__`.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<String> {
        let (_, header) = SafeTensors::read_metadata(&self.bytes).ok()?;
        header.metadata().as_ref()?.get(key).cloned()
    }

    /// The dimensions of a tensor, or `None` when there is none of that key.
    #[must_use]
    pub fn dims(&self, key: &str) -> Option<Vec<usize>> {
        self.parse().ok()?.tensor(key).ok().map(|view| view.shape().to_vec())
    }

    /// A tensor, whatever values it holds.
    ///
    /// # Errors
    /// [`WeightsError::Missing`], [`WeightsError::ElementType`] for anything but F32, F16 and BF16.
    pub fn tensor(&self, key: &str) -> Result<Tensor, WeightsError> {
        let parsed = self.parse()?;
        let missing = || WeightsError::Missing { tensor: key.to_owned(), hint: String::new() };
        let view = parsed.tensor(key).map_err(|_| missing())?;
        let bytes = view.data();
        let data = match view.dtype() {
            Dtype::F32 => values(bytes, f32::from_le_bytes),
            Dtype::F16 => values(bytes, |raw| f16::from_le_bytes(raw).to_f32()),
            Dtype::BF16 => values(bytes, |raw| bf16::from_le_bytes(raw).to_f32()),
            other => {
                return Err(WeightsError::ElementType { tensor: key.to_owned(), found: format!("{other:?}") });
            }
        };
        Ok(Tensor { dims: view.shape().to_vec(), data })
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
