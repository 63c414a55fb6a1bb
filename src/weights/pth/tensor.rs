//! Converts a pickled tensor to an entry of the state dict, checking every size against the storage
//! and the file.

use std::collections::HashMap;
use std::ops::Range;

use super::numpy::latin1;
use super::value::{Inline, Storage, Tensor, size};
use crate::error::PthError;
use crate::weights::entry::Entry;

/// Bytes of f32 that any tensor may take, even from a smaller file: a tensor with strides of zero
/// has more elements than its storage.
const SMALL: usize = 4 << 20;

/// Converts tensors to entries, and looks up each storage once.
pub(super) struct Placer<'a, F> {
    find: F,
    /// The bytes of the file.
    bytes: &'a [u8],
    /// Bytes appended to the bytes of the file, for values that the file does not store as bytes.
    pub appended: Vec<u8>,
    found: HashMap<&'a str, Range<usize>>,
}

impl<'a, F: Fn(&str) -> Result<Range<usize>, PthError>> Placer<'a, F> {
    /// `find` returns a storage's range in the file by its key.
    pub fn new(bytes: &'a [u8], find: F) -> Self {
        Self { find, bytes, appended: Vec::new(), found: HashMap::new() }
    }

    /// The entry of a tensor under the key `name`.
    pub fn place(&mut self, name: &str, tensor: &Tensor<'a>) -> Result<Entry, PthError> {
        let Tensor { storage, offset, ref dims, ref strides, negated, inline } = *tensor;
        let room = match inline {
            None => self.storage(&storage)?,
            Some(inline) => self.inline(name, inline)?,
        };
        let bounds = || PthError::Bounds {
            tensor: name.to_owned(),
            dims: dims.clone(),
            strides: strides.clone(),
            offset,
            has: storage.elements,
        };
        let count = dims
            .iter()
            .try_fold(1usize, |product, dim| product.checked_mul(*dim))
            .ok_or_else(bounds)?;
        let end =
            end(dims, strides, offset).filter(|end| *end <= storage.elements).ok_or_else(bounds)?;
        let most = (self.bytes.len().max(SMALL) / size_of::<f32>()).max(storage.elements);
        if count > most {
            return Err(PthError::Limit {
                what: "elements of a tensor",
                found: count,
                limit: most,
            });
        }
        let bytes = size(storage.dtype);
        // In bounds, as the storage's last byte is; an empty tensor may begin anywhere.
        let range =
            if count == 0 { 0..0 } else { room.start + offset * bytes..room.start + end * bytes };
        let strides = (!is_row_major(dims, strides)).then(|| strides.clone());
        Ok(Entry {
            dtype: storage.dtype,
            dims: dims.clone(),
            range,
            strides,
            rounds_f64: true,
            negated,
        })
    }

    /// The range of an array's bytes, in the file or in the appended bytes.
    fn inline(&mut self, name: &str, inline: Inline<'a>) -> Result<Range<usize>, PthError> {
        match inline {
            Inline::Bytes(bytes) => {
                // A part of the file's bytes, as the pickle's values are.
                let start = bytes.as_ptr().addr() - self.bytes.as_ptr().addr();
                Ok(start..start + bytes.len())
            }
            Inline::Latin1(text) => {
                let bytes =
                    latin1(text).ok_or_else(|| PthError::NotBytes { tensor: name.to_owned() })?;
                let start = self.bytes.len() + self.appended.len();
                self.appended.extend_from_slice(&bytes);
                Ok(start..start + bytes.len())
            }
        }
    }

    /// The range of a storage, which must hold the elements that the pickle declares.
    fn storage(&mut self, storage: &Storage<'a>) -> Result<Range<usize>, PthError> {
        let range = match self.found.get(storage.key) {
            Some(range) => range.clone(),
            None => {
                let range = (self.find)(storage.key)?;
                self.found.insert(storage.key, range.clone());
                range
            }
        };
        let needs = storage.elements as u64;
        let needs = needs.saturating_mul(size(storage.dtype) as u64);
        if needs > range.len() as u64 {
            let has = range.len() as u64;
            return Err(PthError::Storage { storage: storage.key.to_owned(), needs, has });
        }
        Ok(range)
    }
}

/// One past the last element of a tensor, or `None` on overflow. An empty tensor has none.
fn end(dims: &[usize], strides: &[usize], offset: usize) -> Option<usize> {
    if dims.contains(&0) {
        return Some(0);
    }
    let reach = |at: usize, (dim, stride): (&usize, &usize)| {
        at.checked_add((dim - 1).checked_mul(*stride)?)
    };
    dims.iter().zip(strides).try_fold(offset, reach)?.checked_add(1)
}

/// Whether elements are row-major without gaps. The stride of a dimension of size one does not
/// matter.
fn is_row_major(dims: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    dims.contains(&0)
        || dims.iter().zip(strides).rev().all(|(&dim, &stride)| {
            let fits = dim == 1 || stride == expected;
            expected *= dim;
            fits
        })
}
