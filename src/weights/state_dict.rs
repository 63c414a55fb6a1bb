//! Reads and validates files as state dicts: safetensors here, PyTorch's own format in `pth`.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use safetensors::{Dtype, SafeTensors};

use super::bytes::Bytes;
use super::entry::Entry;
use super::identify::{identify, identify_end};
use super::search::{is_average, places};
use super::values::Values;
use super::{Shapes, header, pth};
use crate::error::{Error, PthError, Result, WeightsError};
use crate::input_file::{self, Refused};
use crate::tensor::{HostTensor, Shape};

/// A file of weights: safetensors, or PyTorch's own `.pth` (zip or legacy format), recognised by
/// its first bytes.
///
/// The pickle of a `.pth` file is read, never executed. Its state dict is the dict with the tensors
/// of a ResNet, up to eight dicts deep; of several, the one that is no average of weights (EMA). In
/// a file without a ResNet it is the first of the keys `state_dict`, `model_state_dict`,
/// `model_state`, `model`, `net`, `network`, `module`, `weights`, `params`, `backbone` that holds
/// tensors, or the file's object itself. [`StateDict::open_key`] chooses another one. Other entries
/// (an optimizer, arguments, an epoch) are ignored, whatever they hold. Prefixes of keys, such as
/// `module.`, are kept.
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
    choice: Choice,
}

/// The dicts with networks that were found in a `.pth` file besides the one chosen, by their keys.
#[derive(Debug, Clone, Default)]
struct Choice {
    /// All dicts with networks, if none of them was to be preferred.
    networks: Vec<String>,
    /// Averages of the weights.
    averages: Vec<String>,
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
    /// [`WeightsError::NotACheckpoint`] for a file of another known format;
    /// [`WeightsError::Format`] if it is not safetensors either: a damaged or inconsistent header,
    /// overlapping or missing data.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_key(path, None)
    }

    /// Like [`StateDict::open`], for one of several dicts of a `.pth` file. `key` contains the keys
    /// that lead to the dict, joined by dots (`teacher`, `ema.model`). A safetensors file has no
    /// dicts.
    ///
    /// # Errors
    /// As [`StateDict::open`]; [`PthError::Key`] within [`WeightsError::Pth`].
    pub fn open_key(path: impl AsRef<Path>, key: Option<&str>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let io = |source| Error::Io { path: path.to_owned(), source };
        let refuse = |refused| match refused {
            Refused::Io(source) => io(source),
            refused => {
                let advice = match &refused {
                    Refused::NotRegular(what) => format!(": {}", what.advice()),
                    _ => String::new(),
                };
                let (source_name, reason) = (name.clone(), format!("it is {refused}{advice}"));
                WeightsError::Format { source_name, reason }.into()
            }
        };
        let (mut file, about) = input_file::open(path).map_err(refuse)?;
        let mut bytes = Vec::new();
        file.by_ref().take(pth::START as u64).read_to_end(&mut bytes).map_err(io)?;
        if pth::recognise(&bytes).is_none() {
            not_identified(&name, &bytes)?;
            header::check_length(&name, &bytes, about.len())?;
        }
        let may_map = pth::recognise(&bytes) != Some(pth::Container::Pickle);
        Self::named(&name, Bytes::open(&name, file, &about, bytes, may_map).map_err(io)?, key)
    }

    /// Parses the bytes of a file.
    ///
    /// # Errors
    /// [`WeightsError::Format`], [`WeightsError::Pth`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        let name =
            if pth::recognise(&bytes).is_some() { "PyTorch data" } else { "safetensors data" };
        Self::named(name, Bytes::Read(bytes), None)
    }

    fn named(name: &str, bytes: Bytes, key: Option<&str>) -> Result<Self> {
        match (pth::recognise(bytes.now()?), key) {
            (Some(container), key) => Self::pth(name, bytes, container, key),
            (None, None) => Self::safetensors(name, bytes),
            (None, Some(key)) => Err(WeightsError::Format {
                source_name: name.to_owned(),
                reason: format!("--key {key} selects a dict of a .pth file; this is none"),
            }
            .into()),
        }
    }

    fn pth(name: &str, bytes: Bytes, container: pth::Container, key: Option<&str>) -> Result<Self> {
        let refuse =
            |error| WeightsError::Pth { source_name: name.to_owned(), error: Box::new(error) };
        let mut choice = Choice::default();
        let pth::Contents { entries, others, arch, appended } =
            pth::read(container, bytes.now()?, |dicts| choice.choose(dicts, key))
                .map_err(refuse)?;
        let bytes = match &appended[..] {
            [] => bytes,
            more => Bytes::Read([bytes.now()?, more].concat()),
        };
        let metadata = HashMap::new();
        Ok(Self { bytes: Arc::new(bytes), entries, others, metadata, arch, choice })
    }

    fn safetensors(name: &str, file: Bytes) -> Result<Self> {
        let bytes = file.now()?;
        not_identified(name, &bytes[..bytes.len().min(pth::START)])?;
        if let Some(what) = identify_end(bytes) {
            return Err(WeightsError::NotACheckpoint { source_name: name.to_owned(), what }.into());
        }
        header::check_length(name, bytes, bytes.len() as u64)?;
        let parsed = SafeTensors::deserialize(bytes)
            .map_err(|error| header::explain(name, bytes, &error))?;
        let start = bytes.as_ptr().addr();
        let entry = |(key, view): (String, safetensors::tensor::TensorView<'_>)| {
            let at = view.data().as_ptr().addr() - start;
            let range = at..at + view.data().len();
            let dims = view.shape().to_vec();
            (
                key,
                Entry {
                    dtype: view.dtype(),
                    dims,
                    range,
                    strides: None,
                    rounds_f64: false,
                    negated: false,
                },
            )
        };
        let entries = parsed.tensors().into_iter().map(entry).collect();
        let header = SafeTensors::read_metadata(bytes)
            .map_err(|error| header::explain(name, bytes, &error))?
            .1;
        let metadata = header.metadata().clone().unwrap_or_default();
        let (others, choice) = (BTreeMap::new(), Choice::default());
        Ok(Self { bytes: Arc::new(file), entries, others, metadata, arch: None, choice })
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

    /// Keys whose value is not a tensor, with a description of the value.
    pub(super) fn others(&self) -> impl Iterator<Item = (&str, &str)> {
        self.others.iter().map(|(key, found)| (key.as_str(), found.as_str()))
    }

    /// The keys of all dicts of a `.pth` file with a network, if there are several and none was
    /// chosen; empty otherwise.
    pub(super) fn networks(&self) -> &[String] {
        &self.choice.networks
    }

    /// The keys of the dicts of a `.pth` file with averages of the chosen weights.
    pub(super) fn averages(&self) -> &[String] {
        &self.choice.averages
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

/// Refuses a file with the signature of another format.
fn not_identified(name: &str, start: &[u8]) -> Result<(), WeightsError> {
    match identify(start) {
        None => Ok(()),
        Some(what) => Err(WeightsError::NotACheckpoint { source_name: name.to_owned(), what }),
    }
}

impl Choice {
    /// The index of the state dict among the dicts of a file; `None` for the usual one.
    fn choose(
        &mut self,
        dicts: &[pth::Dict<'_>],
        key: Option<&str>,
    ) -> Result<Option<usize>, PthError> {
        let inside = key.map(|key| format!("{key}."));
        let is_wanted = |at: &usize| match (key, &inside) {
            (Some(key), Some(inside)) => {
                dicts[*at].path == key || dicts[*at].path.starts_with(inside.as_str())
            }
            _ => true,
        };
        let wanted: Vec<usize> = (0..dicts.len()).filter(is_wanted).collect();
        if let (Some(key), []) = (key, &wanted[..]) {
            let shown = |dict: &pth::Dict<'_>| match dict.path {
                "" => "the file itself (leave --key out)".to_owned(),
                path => path.to_owned(),
            };
            let keys = match dicts {
                [] => "no dict of the file has tensors".to_owned(),
                dicts => dicts.iter().take(8).map(shown).collect::<Vec<_>>().join(", "),
            };
            let keys = format!("dicts with tensors: {keys}");
            return Err(PthError::Key { key: key.to_owned(), keys });
        }
        let has_network = |at: &usize| !places(&dicts[*at]).is_empty();
        let networks: Vec<usize> = wanted.iter().copied().filter(has_network).collect();
        let paths = |indices: &[usize]| -> Vec<String> {
            indices.iter().map(|at| dicts[*at].path.to_owned()).collect()
        };
        let is_averaged = |at: &usize| is_average(dicts[*at].path);
        let (averages, plain): (Vec<usize>, Vec<usize>) =
            networks.iter().partition(|at| is_averaged(at));
        match (&plain[..], &networks[..]) {
            (_, []) => Ok(key.and(wanted.first().copied())),
            (_, [only]) => Ok(Some(*only)),
            ([only], _) => {
                self.averages = paths(&averages);
                Ok(Some(*only))
            }
            _ => {
                self.networks = paths(&networks);
                Ok(networks.first().copied())
            }
        }
    }
}

impl Shapes for StateDict {
    fn keys(&self) -> impl Iterator<Item = &str> {
        StateDict::keys(self)
    }

    fn dims(&self, key: &str) -> Option<&[usize]> {
        StateDict::dims(self, key)
    }
}
