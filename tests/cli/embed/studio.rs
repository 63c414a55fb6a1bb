//! Folders of images with a tiny network, the program at work on them, and what is in the files
//! that it writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use parquet::file::reader::SerializedFileReader;
use parquet::record::Field;
use safetensors::SafeTensors;
use serde_json::Value;
use wgpu_bottleneck::{BlockKind, ResNet};

use crate::common::dict::DictBuilder;
use crate::common::seeded::Seeded;
use crate::common::seeded_network;
use crate::program::{Result, bottleneck, names_in, run, stderr};

/// Values of a vector.
pub const LENGTH: usize = 32;
pub const FORMATS: [&str; 3] = ["parquet", "npy", "safetensors"];

/// A folder with the file of a tiny network, its preprocessing, and images.
pub struct Studio(pub tempfile::TempDir);

impl Studio {
    pub fn new() -> Result<Self> {
        let studio = Self(tempfile::tempdir()?);
        std::fs::write(studio.path("w.safetensors"), network(1.0)?)?;
        let config =
            r#"{"pretrained_cfg": {"input_size": [3, 32, 32], "interpolation": "bilinear"}}"#;
        std::fs::write(studio.path("config.json"), config)?;
        std::fs::create_dir(studio.path("p"))?;
        Ok(studio)
    }

    /// Writes `images` images of different sizes, in several folders and two formats.
    pub fn with(images: usize) -> Result<Self> {
        let (studio, mut random) = (Self::new()?, Seeded::new(17));
        for index in 0..images {
            let folder = studio.path("p").join(format!("{}", index % 3));
            std::fs::create_dir_all(&folder)?;
            let (width, height) = (20 + random.below(41) as u32, 16 + random.below(25) as u32);
            let image = image::RgbImage::from_fn(width, height, |_, _| {
                image::Rgb([0, 1, 2].map(|_| random.below(256) as u8))
            });
            image.save(folder.join(format!("{index:03}.{}", ["png", "bmp"][index % 2])))?;
        }
        Ok(studio)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `bottleneck embed` of the folder `p`, with more arguments.
    pub fn command(&self, out: &str, args: &[&str]) -> Command {
        let mut command = bottleneck();
        command
            .current_dir(self.0.path())
            .args(["embed", "--weights", "w.safetensors", "--out", out])
            .args(args)
            .arg("p");
        command
    }

    pub fn embed(&self, out: &str, args: &[&str]) -> Result<Output> {
        run(&mut self.command(out, args))
    }

    /// The same, which must end with this code.
    pub fn expect(&self, code: i32, out: &str, args: &[&str]) -> Result<String> {
        let output = self.embed(out, args)?;
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{out} {args:?}: {said}");
        assert!(
            output.stdout.is_empty()
                && !said.contains("panicked")
                && !said.contains("bug in bottleneck"),
            "{said}"
        );
        Ok(said)
    }

    /// A run that is under way, and has written so many bytes to its journal.
    pub fn begun(&self, out: &str, args: &[&str], bytes: u64) -> Result<Child> {
        let mut child =
            self.command(out, args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let begun = Instant::now();
        while std::fs::metadata(self.journal(out)).map_or(0, |journal| journal.len()) < bytes {
            if let Some(status) = child.try_wait()? {
                return Err(format!("ended by itself: {status}").into());
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "no journal of {bytes} bytes");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(child)
    }

    pub fn journal(&self, out: &str) -> PathBuf {
        self.path(&format!(".{out}.journal"))
    }

    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        Ok(std::fs::read(self.path(name))?)
    }

    /// The output, and with .npy what stands beside it.
    pub fn bytes(&self, out: &str) -> Result<Vec<u8>> {
        let names =
            if out.ends_with(".npy") { self.read(&format!("{out}.json"))? } else { Vec::new() };
        Ok([self.read(out)?, names].concat())
    }

    /// What lies in the folder beside what was there at first.
    pub fn files(&self) -> Result<Vec<String>> {
        let mut names = names_in(self.0.path())?;
        names.retain(|name| !["w.safetensors", "config.json", "p"].contains(&&**name));
        Ok(names)
    }
}

/// The file of a network whose last norm is this much stronger.
pub fn network(scale: f32) -> Result<Vec<u8>> {
    let spec = ResNet::builder(BlockKind::Bottleneck)
        .depths([1, 1])
        .planes([4, 8])
        .stem_planes(5)
        .classes(Some(3));
    let source = seeded_network::file(&spec.build()?);
    let mut dict = DictBuilder::default();
    for (key, view) in SafeTensors::deserialize(&source)?.tensors() {
        let strength = if key == "layer2.0.bn3.weight" { scale } else { 1.0 };
        let values: Vec<f32> = floats(view.data()).iter().map(|value| value * strength).collect();
        dict.f32(&key, view.shape(), &values);
    }
    Ok(dict.bytes())
}

/// A path as this system writes it.
pub fn native(path: &str) -> String {
    path.replace('/', std::path::MAIN_SEPARATOR_STR)
}

/// Rows by path: the vector, or the error.
pub type Table = BTreeMap<String, Result<Vec<f32>, String>>;

pub fn table(path: &Path) -> Result<Table> {
    let bytes = std::fs::read(path)?;
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("parquet") => parquet_table(path),
        Some("npy") => {
            let names: Value =
                serde_json::from_slice(&std::fs::read(path.with_extension("npy.json"))?)?;
            let names = names["rows"].as_array().ok_or("no rows")?;
            let text = std::str::from_utf8(&bytes[10..128])?.trim();
            assert!(text.contains(&format!("'shape': ({}, {LENGTH})", names.len())), "{text}");
            let vectors = bytes[128..].chunks_exact(4 * LENGTH).map(floats);
            let row = |(name, vector): (&Value, Vec<f32>)| {
                let text = |key: &str| name[key].as_str().map(str::to_owned);
                assert_eq!(text("status").as_deref() == Some("ok"), name["error"].is_null());
                Ok((text("path").ok_or("no path")?, outcome(vector, text("error"))))
            };
            names.iter().zip(vectors).map(row).collect()
        }
        _ => {
            let file = SafeTensors::deserialize(&bytes)?;
            let (_, header) = SafeTensors::read_metadata(&bytes)?;
            let metadata = header.metadata().as_ref().ok_or("no metadata")?;
            let paths: Vec<String> = serde_json::from_str(&metadata["paths"])?;
            let mut errors: BTreeMap<usize, String> = serde_json::from_str(&metadata["errors"])?;
            let (vectors, ok) = (file.tensor("vectors")?, file.tensor("ok")?);
            assert_eq!(
                (vectors.shape(), ok.shape()),
                (&[paths.len(), LENGTH][..], &[paths.len()][..])
            );
            let rows = paths
                .into_iter()
                .zip(vectors.data().chunks_exact(4 * LENGTH))
                .zip(ok.data())
                .enumerate();
            Ok(rows
                .map(|(index, ((path, vector), ok))| {
                    let error = errors.remove(&index);
                    assert_eq!(*ok == 1, error.is_none());
                    (path, outcome(floats(vector), error))
                })
                .collect())
        }
    }
}

pub fn parquet_table(path: &Path) -> Result<Table> {
    let mut table = Table::new();
    for row in SerializedFileReader::try_from(path)? {
        let fields: BTreeMap<String, Field> = row?.into_columns().into_iter().collect();
        let text = |name: &str| match &fields[name] {
            Field::Str(text) => Some(text.clone()),
            _ => None,
        };
        let vector = match &fields["vector"] {
            Field::ListInternal(list) => list
                .elements()
                .iter()
                .filter_map(|value| match value {
                    Field::Float(value) => Some(*value),
                    _ => None,
                })
                .collect(),
            _ => vec![f32::NAN; LENGTH],
        };
        assert_eq!(text("status").as_deref() == Some("ok"), text("error").is_none());
        table.insert(text("path").ok_or("no path")?, outcome(vector, text("error")));
    }
    Ok(table)
}

pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect()
}

/// A vector of numbers or an error, and never both or neither.
pub fn outcome(vector: Vec<f32>, error: Option<String>) -> Result<Vec<f32>, String> {
    assert_eq!(vector.len(), LENGTH);
    match error {
        Some(error) => {
            assert!(vector.iter().all(|value| value.is_nan()));
            Err(error)
        }
        None => {
            assert!(vector.iter().all(|value| value.is_finite()));
            Ok(vector)
        }
    }
}
