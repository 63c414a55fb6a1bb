//! PyTorch's own files (`.pth`, `.pt`, `.bin`), read without Python and without executing anything
//! in them.
//!
//! `torch.save` writes a **pickle**, a program for a small stack machine that can call any Python
//! function, and separately the bytes of the tensors' storages. Two containers hold both: the zip
//! format ([`archive`]) and the legacy format ([`legacy`]). The machine of this crate ([`pickle`])
//! keeps classes and functions as names. It implements the half-dozen calls that make a tensor or a
//! dict ([`calls`]) and performs no other calls. The state dict is then located in the resulting
//! object ([`pick`]), and its tensors become ranges of the file ([`tensor`]), so that a file takes
//! little more memory than its own size.
//!
//! Nothing in the file is trusted: sizes are checked against the file before anything is allocated
//! for them; the numbers of steps, dimensions and entries and the lengths of names are limited; and
//! no function here recurses to a depth given by the file.

mod archive;
mod calls;
mod input;
mod legacy;
mod numpy;
mod pick;
mod pickle;
mod tensor;
mod value;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::Shapes;
use super::entry::Entry;
use crate::error::PthError;
use archive::Archive;
use tensor::Placer;
use value::Object;

/// The container format indicated by a file's first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    /// A zip archive.
    Zip,
    /// A pickle of protocol 2 to 5, the start of the legacy format.
    Pickle,
    /// A tar archive.
    Tar,
}

/// The number of first bytes that [`recognise`] needs.
pub(super) const START: usize = 262;

/// Recognises PyTorch's containers by their first bytes. A safetensors file can start with the same
/// bytes as a pickle, as the length of its header, but then the header follows, which starts with a
/// brace.
pub(super) fn recognise(start: &[u8]) -> Option<Container> {
    match start {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Container::Zip),
        _ if start.get(8) == Some(&b'{') => None,
        [0x80, 2..=5, ..] => Some(Container::Pickle),
        _ if start.get(257..START) == Some(b"ustar") => Some(Container::Tar),
        _ => None,
    }
}

/// The state dict of a file.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Its tensors.
    pub entries: BTreeMap<String, Entry>,
    /// Keys that hold something else, with a description.
    pub others: BTreeMap<String, String>,
    /// The string under `arch` in the state dict or in an enclosing dict.
    pub arch: Option<String>,
    /// Bytes appended to the bytes of the file. They hold the values of some tensors.
    pub appended: Vec<u8>,
}

/// A dict of a file, to choose from: the keys that lead to it, joined by dots, and its tensors'
/// keys and dimensions.
pub(super) struct Dict<'a> {
    pub path: &'a str,
    pub dims: BTreeMap<&'a str, &'a [usize]>,
}

impl Shapes for Dict<'_> {
    fn keys(&self) -> impl Iterator<Item = &str> {
        self.dims.keys().copied()
    }

    fn dims(&self, key: &str) -> Option<&[usize]> {
        self.dims.get(key).copied()
    }
}

/// Reads a PyTorch file. `choose` returns the index of the state dict among the dicts with tensors,
/// or `None` for the usual one of files without a network.
pub(super) fn read(
    container: Container,
    bytes: &[u8],
    choose: impl FnOnce(&[Dict<'_>]) -> Result<Option<usize>, PthError>,
) -> Result<Contents, PthError> {
    match container {
        Container::Zip => {
            let archive = Archive::new(bytes)?;
            let pickle = archive.pickle()?;
            let object = pickle::read(&bytes[pickle], 0, pickle::budget(bytes.len()))?;
            contents(&object, bytes, choose, |key| archive.storage(key))
        }
        Container::Pickle => {
            let (object, storages) = match legacy::read(bytes) {
                // A pickle of NumPy arrays has no storages.
                Err(PthError::NotTorch) => {
                    let object = pickle::read(bytes, 0, pickle::budget(bytes.len()))?;
                    if pick::candidates(&object).is_empty() {
                        return Err(PthError::NotTorch);
                    }
                    (object, HashMap::new())
                }
                read => read?,
            };
            let missing = |key: &str| PthError::NoEntry { entry: key.to_owned() };
            contents(&object, bytes, choose, |key| {
                storages.get(key).cloned().ok_or_else(|| missing(key))
            })
        }
        Container::Tar => Err(PthError::Tar),
    }
}

fn contents<'a>(
    object: &Object<'a>,
    bytes: &'a [u8],
    choose: impl FnOnce(&[Dict<'_>]) -> Result<Option<usize>, PthError>,
    find: impl Fn(&str) -> Result<Range<usize>, PthError>,
) -> Result<Contents, PthError> {
    let candidates = pick::candidates(object);
    let sorted = candidates
        .iter()
        .map(|candidate| candidate.sort(object))
        .collect::<Result<Vec<_>, PthError>>()?;
    let dicts: Vec<Dict<'_>> = candidates
        .iter()
        .zip(&sorted)
        .map(|(candidate, sorted)| Dict {
            path: &candidate.path,
            dims: sorted
                .tensors
                .iter()
                .map(|(key, tensor)| (*key, tensor.dims.as_slice()))
                .collect(),
        })
        .collect();
    let picked = choose(&dicts)?.or_else(|| pick::usual(&candidates));
    drop(dicts);
    let picked = picked.ok_or_else(|| pick::nothing(object))?;
    let arch = candidates[picked].arch.map(str::to_owned);
    let Some(pick::Sorted { tensors, others }) = sorted.into_iter().nth(picked) else {
        return Err(pick::nothing(object));
    };
    let mut placer = Placer::new(bytes, find);
    let mut entry =
        |(name, tensor): (&'a str, _)| Ok((name.to_owned(), placer.place(name, tensor)?));
    let entries = tensors.into_iter().map(&mut entry).collect::<Result<_, PthError>>()?;
    let others = others.into_iter().map(|(name, found)| (name.to_owned(), found)).collect();
    let appended = placer.appended;
    Ok(Contents { entries, others, arch, appended })
}
