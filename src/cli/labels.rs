//! Class names: from a file, from the model's configuration, or ImageNet's.

use std::path::Path;

use serde_json::Value;
use wgpu_bottleneck::ModelConfig;
use wgpu_bottleneck::weights::ClassNames;

use super::error::CliError;
use super::{input_file, output};

/// The 1000 classes of ImageNet-1k in their order, as torchvision's weights name them
/// (torchvision/models/_meta.py, BSD-3-Clause).
const IMAGENET: &str = include_str!("imagenet.txt");

/// The largest size of a labels file, in bytes.
const MOST_BYTES: u64 = 16 << 20;

/// One name per class, and the source of the names.
#[derive(Debug)]
pub struct Labels {
    names: Vec<String>,
    /// The file or metadata with the names; else [`ASSUMED`] or [`NUMBERS`].
    pub source: String,
}

/// The source if ImageNet-1k's names are assumed.
pub const ASSUMED: &str = "ImageNet-1k, assumed";
/// The source if there are no names.
const NUMBERS: &str = "none";

impl Labels {
    /// Class names from `--labels`, else from the model's configuration, else ImageNet's for 1000
    /// classes, else numbers.
    pub fn of(file: Option<&Path>, config: &ModelConfig, classes: usize) -> Result<Self, CliError> {
        if let Some(file) = file {
            return Self::in_file(file, classes);
        }
        if let Some(ClassNames { names, source }) = config.class_names() {
            if names.len() == classes {
                return Ok(Self { names: names.clone(), source: source.clone() });
            }
            let found = names.len();
            output::progress(&format!(
                "warning: {source} has {found} class names, but the network has {classes} classes: \
                they are ignored"
            ));
        }
        let imagenet: Vec<String> = IMAGENET.lines().map(str::to_owned).collect();
        if imagenet.len() == classes {
            return Ok(Self { names: imagenet, source: ASSUMED.to_owned() });
        }
        let names = (0..classes).map(|class| format!("class {class}")).collect();
        Ok(Self { names, source: NUMBERS.to_owned() })
    }

    /// Whether the classes have names, given or assumed.
    pub fn are_names(&self) -> bool {
        self.source != NUMBERS
    }

    fn in_file(file: &Path, classes: usize) -> Result<Self, CliError> {
        let refuse = |why: String| Err(CliError::Usage(format!("{}: {why}", file.display())));
        let text = input_file::text(file, "a list of labels", MOST_BYTES)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        // Invalid JSON is not treated as a list of lines.
        let labels = if text.trim_start().starts_with(['[', '{']) {
            match serde_json::from_str(text).ok().as_ref().and_then(from_json) {
                Some(labels) => labels,
                None => {
                    return refuse(
                        "expected a list of names, or names by number (also as id2label)"
                            .to_owned(),
                    );
                }
            }
        } else {
            text.lines()
                .map(|line| line.trim().to_owned())
                .filter(|line| !line.is_empty())
                .collect()
        };
        if labels.len() == classes {
            Ok(Self { names: labels, source: file.display().to_string() })
        } else {
            refuse(format!("expected {classes} labels, one per class, found {}", labels.len()))
        }
    }

    /// The name of a class.
    pub fn name(&self, class: usize) -> &str {
        self.names.get(class).map_or("", String::as_str)
    }
}

/// `["cat", ...]`, `{"0": "cat", ...}`, either also as `id2label` of a Hugging Face config.
fn from_json(json: &Value) -> Option<Vec<String>> {
    match json {
        Value::Array(names) => names.iter().map(|name| Some(name.as_str()?.to_owned())).collect(),
        Value::Object(map) => match map.get("id2label") {
            Some(inner) => from_json(inner),
            None => (0..map.len())
                .map(|class| Some(map.get(&class.to_string())?.as_str()?.to_owned()))
                .collect(),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fs;

    use super::*;

    #[test]
    fn labels_come_from_lines_and_json() -> Result<(), Box<dyn Error>> {
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
            let labels = Labels::of(Some(&file), &ModelConfig::default(), 2);
            assert_eq!(
                labels.as_ref().ok().map(|labels| [labels.name(0), labels.name(1)]),
                names,
                "{text}: {labels:?}"
            );
        }
        assert!(Labels::of(Some(folder.path()), &ModelConfig::default(), 2).is_err());
        Ok(())
    }

    #[test]
    fn a_configuration_names_classes_before_imagenet_does() -> Result<(), Box<dyn Error>> {
        let of = |json: &str, classes| {
            Labels::of(None, &ModelConfig::from_text("c.json", json)?, classes)
        };
        let said = |labels: Labels, class| (labels.name(class).to_owned(), labels.source);
        let expect = |name: &str, source: &str| (name.to_owned(), source.to_owned());
        assert_eq!(said(of("{}", 1000)?, 999), expect("toilet tissue", ASSUMED));
        assert_eq!(said(of("{}", 2)?, 1), expect("class 1", NUMBERS));
        assert_eq!(said(of(r#"{"label_names": ["cat", "dog"]}"#, 2)?, 1), expect("dog", "c.json"));
        assert_eq!(
            said(of(r#"{"id2label": {"1": "dog", "0": "cat"}}"#, 2)?, 0),
            expect("cat", "c.json")
        );
        assert_eq!(
            said(of(r#"{"pretrained_cfg": {"label_names": ["cat", "dog"]}}"#, 2)?, 0),
            expect("cat", "c.json")
        );
        // Names for another number of classes belong to another network.
        assert_eq!(
            said(of(r#"{"label_names": ["cat", "dog"]}"#, 3)?, 0),
            expect("class 0", NUMBERS)
        );
        let thousand: Vec<String> = (0..1000).map(|class| format!("thing {class}")).collect();
        let json = serde_json::json!({ "id2label": thousand }).to_string();
        assert_eq!(said(of(&json, 1000)?, 999), expect("thing 999", "c.json"));
        Ok(())
    }
}
