//! The legacy format, of PyTorch before 1.6 and of `_use_new_zipfile_serialization=False`: five
//! pickles and then the storages.
//!
//! ```text
//! pickle   0x1950a86a20f9469cfc6c
//! pickle   1001, the version of the format
//! pickle   {"protocol_version": 1001, "little_endian": True, "type_sizes": {...}}
//! pickle   the object; each storage in it is a persistent id with a key
//! pickle   the keys of the storages, in the order in which they follow
//! per key  i64 number of elements, little-endian, then the elements
//! ```
//!
//! Source: `torch/serialization.py` (`_legacy_save`, `_legacy_load`). Only the object contains the
//! size of an element.

use std::collections::HashMap;
use std::ops::Range;

use super::pickle::{self, budget};
use super::value::{Node, Object, Value, size};
use crate::error::PthError;

/// 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

const VERSION: i64 = 1001;

/// The object of a legacy file and the ranges of its storages.
pub(super) fn read(bytes: &[u8]) -> Result<(Object<'_>, HashMap<&str, Range<usize>>), PthError> {
    let mut at = 0;
    // One budget for all five: several are held at a time.
    let mut left = budget(bytes.len());
    let mut next = || {
        let object = pickle::read(&bytes[at..], at, left)?;
        at += object.bytes;
        left -= object.steps;
        Ok(object)
    };
    match next().map(|magic| magic.root) {
        Ok(Value::Long(magic)) if magic == MAGIC => {}
        _ => return Err(PthError::NotTorch),
    }
    match next()?.root {
        Value::Int(VERSION) => {}
        Value::Int(found) => return Err(PthError::Version { found }),
        _ => return Err(PthError::NotTorch),
    }
    let system = next()?;
    let is_order = |pair: &&(Value<'_>, Value<'_>)| pair.0 == Value::Str("little_endian");
    let order = system.dict(system.root).and_then(|pairs| pairs.iter().find(is_order));
    if order.is_some_and(|pair| pair.1 == Value::Bool(false)) {
        return Err(PthError::BigEndian);
    }
    let object = next()?;
    let keys = next()?;
    let Some(Node::List(keys)) = keys.node(keys.root) else {
        return Err(PthError::Pickle { what: "the keys of the storages are not a list", at });
    };
    let ranges = storages(bytes, at, keys, &object)?;
    Ok((object, ranges))
}

/// The storages after the pickles.
fn storages<'a>(
    bytes: &[u8],
    mut at: usize,
    keys: &[Value<'a>],
    object: &Object<'a>,
) -> Result<HashMap<&'a str, Range<usize>>, PthError> {
    let sizes: HashMap<&str, usize> = object
        .nodes
        .iter()
        .filter_map(|node| {
            if let Node::Storage(storage) = node {
                Some((storage.key, size(storage.dtype)))
            } else {
                None
            }
        })
        .collect();
    let mut ranges = HashMap::new();
    for key in keys {
        let Value::Str(key) = *key else {
            return Err(PthError::Pickle { what: "the key of a storage is not text", at });
        };
        let Some(size) = sizes.get(key) else {
            return Err(PthError::Pickle { what: "a storage that no tensor refers to", at });
        };
        let rest = &bytes[at..];
        let count =
            rest.first_chunk().ok_or(PthError::Truncated { what: "the size of a storage", at })?;
        let needs = u64::from_le_bytes(*count).saturating_mul(*size as u64);
        let has = rest.len() - 8;
        let length = usize::try_from(needs).ok().filter(|length| *length <= has);
        let lacks = || PthError::Storage { storage: key.to_owned(), needs, has: has as u64 };
        let start = at + 8;
        at = start + length.ok_or_else(lacks)?;
        ranges.insert(key, start..at);
    }
    Ok(ranges)
}
