//! PyTorch's own files (`.pth`, `.pt`, `.bin`), read without Python and without running anything of theirs.
//!
//! `torch.save` writes a **pickle**, a program for a small stack machine that can call any Python function, and the bytes of
//! the tensors' storages beside it. Two containers hold both: the zip format ([`archive`]) and the legacy format ([`legacy`]).
//! Our machine ([`pickle`]) keeps names of classes and functions as names. It knows the half-dozen calls that make a tensor
//! or a dict ([`calls`]), and what any other call would have made stays unmade. The state dict is looked for in the object
//! that results ([`pick`]), and its tensors become ranges of the file ([`tensor`]), so that a file takes its own size in
//! memory and little more.
//!
//! Nothing is taken on the file's word: sizes are checked against the file before anything is allocated for them, steps,
//! names, dimensions and entries are limited, and no function here recurses by what a file says.

mod archive;
mod calls;
mod input;
mod legacy;
mod pick;
mod pickle;
mod tensor;
mod value;

use std::collections::BTreeMap;
use std::ops::Range;

use super::entry::Entry;
use crate::error::PthError;
use archive::Archive;
use tensor::Placer;
use value::Object;

/// What a file's first bytes say it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    /// A zip archive.
    Zip,
    /// A pickle of protocol 2 to 5, as the legacy format begins.
    Pickle,
    /// A tar archive.
    Tar,
}

/// First bytes that [`recognise`] wants to see.
pub(super) const START: usize = 262;

/// Tells PyTorch's containers by their first bytes. A safetensors file can begin as a pickle does, with the length of its
/// header; but its header follows, which begins with a brace.
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
    /// Keys that hold something else, and what that is.
    pub others: BTreeMap<String, String>,
    /// The string under `arch` in the state dict or in an enclosing dict.
    pub arch: Option<String>,
}

/// Reads a file of PyTorch's.
pub(super) fn read(container: Container, bytes: &[u8]) -> Result<Contents, PthError> {
    match container {
        Container::Zip => {
            let archive = Archive::new(bytes)?;
            let pickle = archive.pickle()?;
            let object = pickle::read(&bytes[pickle], 0, pickle::budget(bytes.len()))?;
            contents(&object, bytes.len(), |key| archive.storage(key))
        }
        Container::Pickle => {
            let (object, storages) = legacy::read(bytes)?;
            let missing = |key: &str| PthError::NoEntry { entry: key.to_owned() };
            contents(&object, bytes.len(), |key| storages.get(key).cloned().ok_or_else(|| missing(key)))
        }
        Container::Tar => Err(PthError::Tar),
    }
}

fn contents<'a>(
    object: &Object<'a>,
    file_bytes: usize,
    find: impl Fn(&str) -> Result<Range<usize>, PthError>,
) -> Result<Contents, PthError> {
    let picked = pick::pick(object)?;
    let mut placer = Placer::new(file_bytes, find);
    let mut entry = |(name, tensor): (&'a str, _)| Ok((name.to_owned(), placer.place(name, tensor)?));
    let entries = picked.tensors.into_iter().map(&mut entry).collect::<Result<_, PthError>>()?;
    let others = picked.others.into_iter().map(|(name, found)| (name.to_owned(), found)).collect();
    Ok(Contents { entries, others, arch: picked.arch.map(str::to_owned) })
}
