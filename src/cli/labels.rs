//! The names of classes: ImageNet's, or a file's.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::error::CliError;

/// The 1000 classes of ImageNet-1k in their order, as torchvision's weights name them (torchvision/models/_meta.py, BSD-3-Clause).
const IMAGENET: &str = include_str!("imagenet.txt");

/// Bytes of the longest file of labels that is read.
const MOST_BYTES: u64 = 16 << 20;

/// A name per class.
#[derive(Debug)]
pub struct Labels(Vec<String>);

impl Labels {
    /// Those of a file; without one ImageNet's where there are as many classes, and numbers otherwise.
    pub fn of(file: Option<&Path>, classes: usize) -> Result<Self, CliError> {
        let Some(file) = file else {
            let imagenet: Vec<String> = IMAGENET.lines().map(str::to_owned).collect();
            let numbers = || (0..classes).map(|class| format!("class {class}")).collect();
            return Ok(Self(if imagenet.len() == classes { imagenet } else { numbers() }));
        };
        let refuse = |why: String| Err(CliError::Usage(format!("{}: {why}", file.display())));
        let metadata = fs::metadata(file).map_err(|source| CliError::io(file, source))?;
        if !metadata.is_file() {
            return refuse("not a regular file".to_owned());
        }
        if metadata.len() > MOST_BYTES {
            return refuse(format!("{} bytes are no list of labels, the limit is {MOST_BYTES}", metadata.len()));
        }
        let text = fs::read_to_string(file).map_err(|source| CliError::io(file, source))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        // Broken JSON is no list of lines.
        let labels = if text.trim_start().starts_with(['[', '{']) {
            match serde_json::from_str(text).ok().as_ref().and_then(from_json) {
                Some(labels) => labels,
                None => return refuse("expected a list of names, or names by number (also as id2label)".to_owned()),
            }
        } else {
            text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
        };
        if labels.len() == classes {
            Ok(Self(labels))
        } else {
            refuse(format!("expected {classes} labels, one per class, found {}", labels.len()))
        }
    }

    /// The name of a class.
    pub fn name(&self, class: usize) -> &str {
        self.0.get(class).map_or("", String::as_str)
    }
}

/// `["cat", ...]`, `{"0": "cat", ...}`, either also as `id2label` of a Hugging Face config.
fn from_json(json: &Value) -> Option<Vec<String>> {
    match json {
        Value::Array(names) => names.iter().map(|name| Some(name.as_str()?.to_owned())).collect(),
        Value::Object(map) => match map.get("id2label") {
            Some(inner) => from_json(inner),
            None => (0..map.len()).map(|class| Some(map.get(&class.to_string())?.as_str()?.to_owned())).collect(),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_from_lines_and_json() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("labels");
        for (text, names) in [
            ("cat\n\n dog \r\n", Some(["cat", "dog"])),
            (r#"["cat", "dog"]"#, Some(["cat", "dog"])),
            (r#"{"1": "dog", "0": "cat"}"#, Some(["cat", "dog"])),
            (r#"{"id2label": {"1": "dog", "0": "cat"}, "x": 1}"#, Some(["cat", "dog"])),
            (r#"{"1": "dog", "2": "cat"}"#, None),
            (r#"["cat", 1]"#, None),
            ("[\n\"cat\"", None),
            ("\u{feff}cat\ndog", Some(["cat", "dog"])),
            ("cat", None),
        ] {
            fs::write(&file, text)?;
            let labels = Labels::of(Some(&file), 2);
            assert_eq!(
                labels.as_ref().ok().map(|labels| [labels.name(0), labels.name(1)]),
                names,
                "{text}: {labels:?}"
            );
        }
        assert_eq!(Labels::of(None, 1000)?.name(999), "toilet tissue");
        assert_eq!(Labels::of(None, 2)?.name(1), "class 1");
        assert!(Labels::of(Some(folder.path()), 2).is_err());
        Ok(())
    }
}
