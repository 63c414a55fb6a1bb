//! A tensor of a file that has not been read yet.

use std::borrow::Cow;
use std::sync::Arc;

use super::bytes::Bytes;
use super::entry::Entry;
use crate::error::WeightsError;

/// A tensor's values where the file has them: looked at, widened or gathered when they are asked for, and then again each time,
/// so that what is loaded takes no memory beyond the file's.
#[derive(Debug, Clone)]
pub(super) struct Values {
    pub key: String,
    pub entry: Entry,
    pub file: Arc<Bytes>,
}

impl Values {
    /// The values as f32, row-major; not copied where they lie so in the file.
    ///
    /// # Errors
    /// [`WeightsError::Changed`], [`WeightsError::ElementType`].
    pub fn get(&self) -> Result<Cow<'_, [f32]>, WeightsError> {
        let refuse =
            || WeightsError::ElementType { tensor: self.key.clone(), found: format!("{:?}", self.entry.dtype) };
        self.entry.values(self.file.now()?).ok_or_else(refuse)
    }
}

/// Equal where both can be read and are equal.
impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        matches!((self.get(), other.get()), (Ok(ours), Ok(theirs)) if ours == theirs)
    }
}
