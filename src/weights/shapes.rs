//! Keys and shapes of a checkpoint.

use std::collections::BTreeMap;

/// Anything with keys and shapes; enough to detect the network of a checkpoint.
pub trait Shapes {
    /// Every key.
    fn keys(&self) -> impl Iterator<Item = &str>;

    /// The dimensions of a tensor, or `None` if there is no such key.
    fn dims(&self, key: &str) -> Option<&[usize]>;
}

impl Shapes for BTreeMap<String, Vec<usize>> {
    fn keys(&self) -> impl Iterator<Item = &str> {
        BTreeMap::keys(self).map(String::as_str)
    }

    fn dims(&self, key: &str) -> Option<&[usize]> {
        self.get(key).map(Vec::as_slice)
    }
}
