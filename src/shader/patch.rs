//! Patches: deliberate faults in a file of the catalogue, to prove that the self-test detects them.

use std::borrow::Cow;

use super::catalogue;
use crate::error::PatchError;

/// An edit of one file of `shaders/`, applied to its text before assembly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Patch {
    /// The file's path in `shaders/`, without `.wgsl`.
    pub file: &'static str,
    /// The text to replace.
    pub find: &'static str,
    /// The replacement.
    pub replace: &'static str,
    /// How often `find` must occur in the file; every occurrence is replaced.
    pub times: usize,
}

impl Patch {
    /// A patch for a single occurrence of `find`.
    #[must_use]
    pub const fn new(file: &'static str, find: &'static str, replace: &'static str) -> Self {
        Self { file, find, replace, times: 1 }
    }

    /// Checks whether the patch, on its own, applies to its file.
    ///
    /// # Errors
    /// [`PatchError`] for a file that is not in the catalogue, and for a text that does not occur
    /// in it as often as stated.
    pub fn check(&self) -> Result<(), PatchError> {
        let text = catalogue::text(self.file)
            .ok_or_else(|| PatchError::NoSuchFile { file: self.file.to_owned() })?;
        self.apply(text).map(drop)
    }

    fn apply(&self, text: &str) -> Result<String, PatchError> {
        let found = text.matches(self.find).count();
        if self.find.is_empty() || found != self.times {
            let (file, find) = (self.file.to_owned(), self.find.to_owned());
            return Err(PatchError::Matches { file, find, expected: self.times, found });
        }
        Ok(text.replace(self.find, self.replace))
    }
}

/// The text of a file after applying its patches in order.
pub(super) fn patched<'t>(
    name: &str,
    text: &'t str,
    patches: &[Patch],
) -> Result<Cow<'t, str>, PatchError> {
    let mut meant = patches.iter().filter(|patch| patch.file == name);
    meant.try_fold(Cow::Borrowed(text), |text, patch| patch.apply(&text).map(Cow::Owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_must_match_as_often_as_it_says() {
        let patch = Patch::new("shared/relu", "x", "y");
        assert_eq!(patched("shared/relu", "a x b", &[patch]).as_deref(), Ok("a y b"));
        assert_eq!(patched("shared/mac", "a x b", &[patch]).as_deref(), Ok("a x b"));
        for (text, found) in [("a", 0), ("x x", 2)] {
            let (file, find) = ("shared/relu".to_owned(), "x".to_owned());
            assert_eq!(
                patch.apply(text),
                Err(PatchError::Matches { file, find, expected: 1, found })
            );
        }
        assert_eq!(Patch { times: 2, ..patch }.apply("x x").as_deref(), Ok("y y"));
        assert!(Patch::new("shared/relu", "", "y").check().is_err());
        assert_eq!(
            Patch::new("none", "x", "y").check(),
            Err(PatchError::NoSuchFile { file: "none".to_owned() })
        );
    }
}
