//! The images on which the device or the host ran out of memory. They have no row in the output,
//! because a later attempt may succeed.

use std::collections::BTreeSet;

use super::error::CliError;
use super::output;

/// The maximum number of images that the error names.
const NAMED: usize = 3;

/// The names of the images so far.
#[derive(Debug, Default)]
pub struct NoMemory {
    names: BTreeSet<String>,
}

impl NoMemory {
    /// Adds an image and reports it on stderr.
    pub fn add(&mut self, name: &str, reason: &str) {
        output::progress(&format!("{}: {reason}: it has no row", output::shown(name)));
        self.names.insert(name.to_owned());
    }

    /// The number of images.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// Whether an image was added.
    pub fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The error of a command that has processed all other images; `None` if no image was added.
    /// `advice` says what to do.
    pub fn error(&self, images: usize, advice: &str) -> Option<CliError> {
        let some: Vec<_> = self.names.iter().take(NAMED).map(|name| output::shown(name)).collect();
        let more = if self.names.len() > some.len() { ", ..." } else { "" };
        let (of, all) = (self.names.len(), output::count(images, "image", "images"));
        (of > 0).then(|| {
            let some = some.join(", ");
            CliError::OutOfMemory(format!(
                "out of memory on {of} of {all} ({some}{more}): {advice}"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_the_first_images() {
        let mut images = NoMemory::default();
        assert!(images.error(9, "").is_none());
        for name in ["a", "b", "c"] {
            images.add(name, "out of device memory while testing");
        }
        let text = |images: &NoMemory| {
            let error = images.error(9, "try again");
            error.map(|error| (error.exit_code(), error.to_string()))
        };
        let expected = "out of memory on 3 of 9 images (a, b, c): try again";
        assert_eq!(text(&images), Some((4, expected.to_owned())));
        images.add("d", "out of device memory while testing");
        let expected = "out of memory on 4 of 9 images (a, b, c, ...): try again";
        assert_eq!(text(&images), Some((4, expected.to_owned())));
        assert!(images.contains("d") && !images.contains("e") && images.count() == 4);
    }
}
