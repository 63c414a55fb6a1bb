//! A tensor of a file, read on demand.

use std::borrow::Cow;
use std::sync::Arc;

use super::bytes::Bytes;
use super::entry::Entry;
use crate::error::WeightsError;

/// A tensor's values in the file: checked, widened or gathered at each access, so that a loaded
/// model takes no memory beyond the file's.
#[derive(Debug, Clone)]
pub(super) struct Values {
    pub key: String,
    pub entry: Entry,
    pub file: Arc<Bytes>,
}

impl Values {
    /// The values as f32, row-major; not copied if the file stores them in that form.
    ///
    /// # Errors
    /// [`WeightsError::Changed`], [`WeightsError::ElementType`].
    pub fn get(&self) -> Result<Cow<'_, [f32]>, WeightsError> {
        let refuse = || WeightsError::ElementType {
            tensor: self.key.clone(),
            found: format!("{:?}", self.entry.dtype),
        };
        self.entry.values(self.file.now()?).ok_or_else(refuse)
    }
}

/// Equal if both can be read and are equal.
impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        matches!((self.get(), other.get()), (Ok(ours), Ok(theirs)) if ours == theirs)
    }
}
