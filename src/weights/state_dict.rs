//! Reads and validates files as state dicts: safetensors here, PyTorch's own format in `pth`.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use safetensors::{Dtype, SafeTensors};

use super::bytes::Bytes;
use super::entry::Entry;
use super::values::Values;
use super::{header, pth};
use crate::error::{Error, Result, WeightsError};
use crate::tensor::{HostTensor, Shape};

/// A file of weights: safetensors, or PyTorch's own `.pth` (zip or legacy format), recognised by
/// its first bytes.
///
/// The pickle of a `.pth` file is read, never executed. Its state dict is the file's object itself
/// or the first of the keys `state_dict`, `model_state_dict`, `model_state`, `model`, `net`,
/// `network`, `module`, `weights`, `params`, `backbone`, `state_dict_ema`, `model_ema`,
/// `ema_state_dict`, `ema` that holds tensors, up to four dicts deep. Other entries (an optimizer,
/// arguments, an epoch) are ignored. Prefixes of keys, such as `module.`, are kept.
///
/// The file's bytes are in memory once, mapped or read (see [`StateDict::open`]). Clones share
/// them, as does every [`Block`](super::Block), whose convolution weights are neither copied nor
/// widened before they are folded.
#[derive(Debug, Clone)]
pub struct StateDict {
    bytes: Arc<Bytes>,
    entries: BTreeMap<String, Entry>,
    /// Keys of a `.pth` file that hold something other than a tensor, with a description.
    others: BTreeMap<String, String>,
    metadata: HashMap<String, String>,
    /// The string under `arch` in a `.pth` file.
    arch: Option<String>,
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
    /// Opens a file. A file that cannot be valid (not a regular file, a header longer than the
    /// file) is not read at all.
    ///
    /// A file of 1 MiB or more is memory-mapped, except in PyTorch's legacy format, and must not
    /// change as long as this or a block from it lives. That is checked at every use: if the file
    /// was truncated or written to, this and everything loaded from it return
    /// [`WeightsError::Changed`]. A truncation during a read, or a failing disk, can still kill the
    /// process (SIGBUS on Unix). If that may happen, read the file and use
    /// [`StateDict::from_bytes`].
    ///
    /// # Errors
    /// [`Error::Io`]; [`WeightsError::Pth`] if it starts like a PyTorch file and cannot be read;
    /// [`WeightsError::Format`] if it is not safetensors either: a damaged or inconsistent header,
    /// overlapping or missing data, text.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let io = |source| Error::Io { path: path.to_owned(), source };
        let about = std::fs::metadata(path).map_err(io)?;
        if !about.is_file() {
            return Err(WeightsError::Format {
                source_name: name,
                reason: "it is not a regular file".to_owned(),
            }
            .into());
        }
        let mut file = std::fs::File::open(path).map_err(io)?;
        let mut bytes = Vec::new();
        file.by_ref().take(pth::START as u64).read_to_end(&mut bytes).map_err(io)?;
        if pth::recognise(&bytes).is_none() {
            header::check_length(&name, &bytes, about.len())?;
        }
        let may_map = pth::recognise(&bytes) != Some(pth::Container::Pickle);
        Self::named(&name, Bytes::open(&name, file, &about, bytes, may_map).map_err(io)?)
    }

    /// Parses the bytes of a file.
    ///
    /// # Errors
    /// [`WeightsError::Format`], [`WeightsError::Pth`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        let name =
            if pth::recognise(&bytes).is_some() { "PyTorch data" } else { "safetensors data" };
        Self::named(name, Bytes::Read(bytes))
    }

    fn named(name: &str, bytes: Bytes) -> Result<Self> {
        match pth::recognise(bytes.now()?) {
            Some(container) => Self::pth(name, bytes, container),
            None => Self::safetensors(name, bytes),
        }
    }

    fn pth(name: &str, bytes: Bytes, container: pth::Container) -> Result<Self> {
        let refuse =
            |error| WeightsError::Pth { source_name: name.to_owned(), error: Box::new(error) };
        let pth::Contents { entries, others, arch } =
            pth::read(container, bytes.now()?).map_err(refuse)?;
        Ok(Self { bytes: Arc::new(bytes), entries, others, metadata: HashMap::new(), arch })
    }

    fn safetensors(name: &str, file: Bytes) -> Result<Self> {
        let bytes = file.now()?;
        header::check_length(name, bytes, bytes.len() as u64)?;
        let parsed = SafeTensors::deserialize(bytes)
            .map_err(|error| header::explain(name, bytes, &error))?;
        let start = bytes.as_ptr().addr();
        let entry = |(key, view): (String, safetensors::tensor::TensorView<'_>)| {
            let at = view.data().as_ptr().addr() - start;
            let range = at..at + view.data().len();
            let dims = view.shape().to_vec();
            (key, Entry { dtype: view.dtype(), dims, range, strides: None, rounds_f64: false })
        };
        let entries = parsed.tensors().into_iter().map(entry).collect();
        let header = SafeTensors::read_metadata(bytes)
            .map_err(|error| header::explain(name, bytes, &error))?
            .1;
        let metadata = header.metadata().clone().unwrap_or_default();
        Ok(Self { bytes: Arc::new(file), entries, others: BTreeMap::new(), metadata, arch: None })
    }

    /// Returns the memory of a mapped file to the system.
    pub(super) fn let_go(&self) {
        self.bytes.let_go();
    }

    /// Every tensor's key, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// A text entry of a safetensors header's `__metadata__`.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// The name of the network that training scripts store under `arch` in a `.pth` file.
    #[must_use]
    pub fn arch(&self) -> Option<&str> {
        self.arch.as_deref()
    }

    /// The dimensions of a tensor, or `None` if there is no such key.
    #[must_use]
    pub fn dims(&self, key: &str) -> Option<&[usize]> {
        self.entries.get(key).map(|entry| entry.dims.as_slice())
    }

    /// A copy of a tensor, with any values.
    ///
    /// # Errors
    /// [`WeightsError::Missing`]; [`WeightsError::ElementType`] for anything but F32, F16, BF16
    /// and, in a `.pth` file, F64, which is rounded; [`WeightsError::NotATensor`] if a key of a
    /// `.pth` file holds something else; [`WeightsError::Changed`].
    pub fn tensor(&self, key: &str) -> Result<Tensor, WeightsError> {
        let values = self.values(key)?;
        let data = values.get()?.into_owned();
        Ok(Tensor { dims: values.entry.dims, data })
    }

    /// A copy of a weight: a tensor of an expected shape with only finite values.
    ///
    /// # Errors
    /// As [`StateDict::tensor`], [`WeightsError::Shape`], [`WeightsError::NonFinite`].
    pub fn weight(&self, key: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsError> {
        Ok(self.finite(key, dims)?.get()?.into_owned())
    }

    /// The same checks as [`StateDict::weight`], without copying the values from the file.
    pub(super) fn finite(&self, key: &str, dims: &[usize]) -> Result<Values, WeightsError> {
        let values = self.values(key)?;
        if values.entry.dims != dims {
            let (expected, found) = (format!("{dims:?}"), values.entry.dims);
            return Err(WeightsError::Shape { tensor: key.to_owned(), expected, found });
        }
        let bad = values.get()?.iter().copied().enumerate().find(|(_, value)| !value.is_finite());
        match bad {
            Some((index, value)) => {
                Err(WeightsError::NonFinite { tensor: key.to_owned(), index, value })
            }
            None => Ok(values),
        }
    }

    /// A single i64, such as `num_batches_tracked`; `None` if there is no such key.
    ///
    /// # Errors
    /// [`WeightsError::ElementType`], [`WeightsError::Shape`], [`WeightsError::Changed`].
    pub fn counter(&self, key: &str) -> Result<Option<i64>, WeightsError> {
        let Some(entry) = self.entries.get(key) else { return Ok(None) };
        if entry.dtype != Dtype::I64 {
            return Err(WeightsError::ElementType {
                tensor: key.to_owned(),
                found: format!("{:?}", entry.dtype),
            });
        }
        let bytes =
            self.bytes.now()?.get(entry.range.clone()).and_then(|bytes| bytes.try_into().ok());
        match bytes {
            Some(bytes) => Ok(Some(i64::from_le_bytes(bytes))),
            None => {
                let (expected, found) = ("[]".to_owned(), entry.dims.clone());
                Err(WeightsError::Shape { tensor: key.to_owned(), expected, found })
            }
        }
    }

    fn values(&self, key: &str) -> Result<Values, WeightsError> {
        let absent = || match self.others.get(key) {
            Some(found) => {
                WeightsError::NotATensor { tensor: key.to_owned(), found: found.clone() }
            }
            None => WeightsError::Missing { tensor: key.to_owned(), hint: String::new() },
        };
        let entry = self.entries.get(key).ok_or_else(absent)?.clone();
        Ok(Values { key: key.to_owned(), entry, file: Arc::clone(&self.bytes) })
    }

    /// An image tensor, NCHW, with any values.
    ///
    /// # Errors
    /// As [`StateDict::tensor`]; a [`ShapeError`](crate::error::ShapeError) unless it has four
    /// non-zero dimensions.
    pub fn nchw(&self, key: &str) -> Result<HostTensor> {
        let tensor = self.tensor(key)?;
        Ok(HostTensor::new(Shape::named(key, &tensor.dims)?, tensor.data)?)
    }
}
