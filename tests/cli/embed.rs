//! `bottleneck embed`, through kills, Ctrl-C, damaged files and damaged journals.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use parquet::file::reader::SerializedFileReader;
use parquet::record::Field;
use safetensors::SafeTensors;
use serde_json::Value;
use wgpu_bottleneck::{BlockKind, ResNet};

use crate::common::Outcome;
use crate::common::dict::DictBuilder;
use crate::common::seeded::Seeded;
use crate::common::seeded_network;
use crate::program::{Result, bottleneck, complaint, run, stderr};

/// Values of a vector.
const LENGTH: usize = 32;
const FORMATS: [&str; 3] = ["parquet", "npy", "safetensors"];

/// A folder with the file of a tiny network, its preprocessing, and pictures.
struct Studio(tempfile::TempDir);

impl Studio {
    fn new() -> Result<Self> {
        let studio = Self(tempfile::tempdir()?);
        std::fs::write(studio.path("w.safetensors"), network(1.0)?)?;
        let config = r#"{"pretrained_cfg": {"input_size": [3, 32, 32], "interpolation": "bilinear"}}"#;
        std::fs::write(studio.path("config.json"), config)?;
        std::fs::create_dir(studio.path("p"))?;
        Ok(studio)
    }

    /// With so many pictures, of different sizes, in several folders and two formats.
    fn with(pictures: usize) -> Result<Self> {
        let (studio, mut random) = (Self::new()?, Seeded::new(17));
        for index in 0..pictures {
            let folder = studio.path("p").join(format!("{}", index % 3));
            std::fs::create_dir_all(&folder)?;
            let (width, height) = (20 + random.below(41) as u32, 16 + random.below(25) as u32);
            let picture =
                image::RgbImage::from_fn(width, height, |_, _| image::Rgb([0, 1, 2].map(|_| random.below(256) as u8)));
            picture.save(folder.join(format!("{index:03}.{}", ["png", "bmp"][index % 2])))?;
        }
        Ok(studio)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `bottleneck embed` of the folder `p`, with more arguments.
    fn command(&self, out: &str, args: &[&str]) -> Command {
        let mut command = bottleneck();
        command
            .current_dir(self.0.path())
            .args(["embed", "--weights", "w.safetensors", "--out", out])
            .args(args)
            .arg("p");
        command
    }

    fn embed(&self, out: &str, args: &[&str]) -> Result<Output> {
        run(&mut self.command(out, args))
    }

    /// The same, which must end with this code.
    fn expect(&self, code: i32, out: &str, args: &[&str]) -> Result<String> {
        let output = self.embed(out, args)?;
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{out} {args:?}: {said}");
        assert!(output.stdout.is_empty() && !said.contains("panicked") && !said.contains("internal error"), "{said}");
        Ok(said)
    }

    /// A run that is under way, and has written so many bytes to its journal.
    fn begun(&self, out: &str, args: &[&str], bytes: u64) -> Result<Child> {
        let mut child = self.command(out, args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
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

    fn journal(&self, out: &str) -> PathBuf {
        self.path(&format!(".{out}.journal"))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        Ok(std::fs::read(self.path(name))?)
    }

    /// The output, and with .npy what stands beside it.
    fn bytes(&self, out: &str) -> Result<Vec<u8>> {
        let names = if out.ends_with(".npy") { self.read(&format!("{out}.json"))? } else { Vec::new() };
        Ok([self.read(out)?, names].concat())
    }

    /// What lies in the folder beside what was there at first.
    fn files(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(self.0.path())?.collect::<std::io::Result<Vec<_>>>()?;
        let names = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> =
            names.filter(|name| !["w.safetensors", "config.json", "p"].contains(&&**name)).collect();
        names.sort();
        Ok(names)
    }
}

/// The file of a network whose last norm is this much stronger.
fn network(scale: f32) -> Result<Vec<u8>> {
    let spec = ResNet::builder(BlockKind::Bottleneck).depths([1, 1]).planes([4, 8]).stem_planes(5).classes(Some(3));
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
fn native(path: &str) -> String {
    path.replace('/', std::path::MAIN_SEPARATOR_STR)
}

/// Rows by path: the vector, or the error.
type Table = BTreeMap<String, Result<Vec<f32>, String>>;

fn table(path: &Path) -> Result<Table> {
    let bytes = std::fs::read(path)?;
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("parquet") => parquet_table(path),
        Some("npy") => {
            let names: Value = serde_json::from_slice(&std::fs::read(path.with_extension("npy.json"))?)?;
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
            assert_eq!((vectors.shape(), ok.shape()), (&[paths.len(), LENGTH][..], &[paths.len()][..]));
            let rows = paths.into_iter().zip(vectors.data().chunks_exact(4 * LENGTH)).zip(ok.data()).enumerate();
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

fn parquet_table(path: &Path) -> Result<Table> {
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

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect()
}

/// A vector of numbers or an error, and never both or neither.
fn outcome(vector: Vec<f32>, error: Option<String>) -> Result<Vec<f32>, String> {
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

/// Killed three times at random moments and resumed, a run ends with the bytes of one that nobody disturbed.
#[test]
fn killed_runs_go_on_where_they_were() -> Outcome {
    let studio = Studio::with(500)?;
    std::fs::write(studio.path("p/1/broken.png"), "no picture")?;
    let mut random = Seeded::new(4);
    // Every row is in the journal: so many bytes in all, more or less.
    let journal = 501 * (8 + 5 + 10 + 4 * LENGTH as u64);
    for format in FORMATS {
        let out = format!("killed.{format}");
        for kill in 0..3 {
            let share = 10 + 25 * kill + random.below(15) as u64;
            let mut child = studio.begun(&out, if kill == 0 { &[] } else { &["--resume"] }, journal * share / 100)?;
            child.kill()?;
            child.wait()?;
            assert!(studio.journal(&out).exists() && !studio.path(&out).exists(), "{out}: killed too late");
        }
        studio.expect(3, &out, &["--resume"])?;
        let undisturbed = format!("whole.{format}");
        studio.expect(3, &undisturbed, &[])?;
        assert!(studio.bytes(&out)? == studio.bytes(&undisturbed)?, "{format}: not the same");
        let table = table(&studio.path(&out))?;
        assert_eq!((table.len(), table.values().filter(|row| row.is_err()).count()), (501, 1));
    }
    assert!(studio.files()?.iter().all(|name| !name.starts_with('.')), "{:?}", studio.files()?);
    Ok(())
}

/// Sends a signal.
#[cfg(unix)]
fn signal(child: &Child, name: &str) -> Outcome {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status()?.success());
    Ok(())
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_a_valid_file_of_what_was_done() -> Outcome {
    let studio = Studio::with(300)?;
    for format in FORMATS {
        let (out, whole) = (format!("out.{format}"), format!("whole.{format}"));
        studio.expect(0, &whole, &[])?;
        let child = studio.begun(&out, &[], 9000)?;
        signal(&child, "-INT")?;
        let output = child.wait_with_output()?;
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
        let (part, all) = (table(&studio.path(&out))?, table(&studio.path(&whole))?);
        assert!((1..300).contains(&part.len()), "{out}: {} rows", part.len());
        assert!(part.iter().all(|(path, row)| all.get(path) == Some(row)), "{out}");
        assert!(!studio.journal(&out).exists());
        // It goes on from the file as from a journal.
        studio.expect(0, &out, &["--resume"])?;
        assert!(studio.bytes(&out)? == studio.bytes(&whole)?, "{out}");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_second_ctrl_c_ends_at_once() -> Outcome {
    let studio = Studio::with(300)?;
    studio.expect(0, "whole.npy", &[])?;
    let child = studio.begun("out.npy", &[], 5000)?;
    signal(&child, "-INT")?;
    signal(&child, "-INT")?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    studio.expect(0, "out.npy", &["--resume"])?;
    assert!(studio.bytes("out.npy")? == studio.bytes("whole.npy")?);
    Ok(())
}

/// What a journal may be when the power has failed: cut off, filled with zeros, or with wrong bytes in it.
#[test]
fn damaged_journals_lose_what_is_damaged_and_no_more() -> Outcome {
    let studio = Studio::with(120)?;
    studio.expect(0, "whole.parquet", &[])?;
    let whole = studio.read("whole.parquet")?;
    let mut child = studio.begun("out.parquet", &[], 8000)?;
    child.kill()?;
    child.wait()?;
    let journal = std::fs::read(studio.journal("out.parquet"))?;
    let mut random = Seeded::new(9);
    let mut within = || 800 + random.below(journal.len() - 800);
    let mut cases = vec![journal.clone(), [&journal[..], &[0; 100]].concat(), [&journal[..], b"garbage"].concat()];
    cases.extend([0, 1, 20, 28, 30, 40, 100].map(|length| journal[..length].to_vec()));
    cases.extend((0..4).map(|_| journal[..within()].to_vec()));
    for _ in 0..4 {
        let mut damaged = journal.clone();
        damaged[within()] ^= 1;
        cases.push(damaged);
    }
    for (index, case) in cases.iter().enumerate() {
        std::fs::write(studio.journal("out.parquet"), case)?;
        // One without a row is not in the way.
        let args = if case.len() <= 100 { &[][..] } else { &["--resume"] };
        studio.expect(0, "out.parquet", args)?;
        assert!(studio.read("out.parquet")? == whole, "case {index}");
        assert!(!studio.journal("out.parquet").exists(), "case {index}");
        std::fs::remove_file(studio.path("out.parquet"))?;
    }
    // What is no journal at all, or one whose beginning is damaged, is left alone.
    let mut beginning = journal.clone();
    beginning[50] ^= 1;
    for foreign in [b"my own notes".to_vec(), beginning] {
        std::fs::write(studio.journal("out.parquet"), &foreign)?;
        for args in [&[][..], &["--resume"]] {
            assert_eq!(complaint(&studio.embed("out.parquet", args)?, 2, &[".out.parquet.journal", "delete"]), None);
            assert_eq!(std::fs::read(studio.journal("out.parquet"))?, foreign);
        }
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_journal_is_never_thrown_away() -> Outcome {
    let studio = Studio::with(120)?;
    let mut child = studio.begun("out.npy", &[], 3000)?;
    signal(&child, "-STOP")?;
    for args in [&[][..], &["--resume"], &["--retry-failed"]] {
        assert_eq!(complaint(&studio.embed("out.npy", args)?, 2, &["another process", "--out"]), None);
    }
    child.kill()?;
    child.wait()?;
    let journal = std::fs::read(studio.journal("out.npy"))?;
    assert_eq!(complaint(&studio.embed("out.npy", &[])?, 2, &["--resume", "delete", ".out.npy.journal"]), None);
    let made_otherwise = [
        (&["--resume", "--preset", "v2"][..], "preprocessing"),
        (&["--resume", "--shard", "1/2"], "shard"),
        (&["--resume", "--eps", "0.1"], "settings"),
    ];
    for (args, part) in made_otherwise {
        assert_eq!(complaint(&studio.embed("out.npy", args)?, 2, &[".out.npy.journal", part, "there", "now"]), None);
    }
    assert_eq!(std::fs::read(studio.journal("out.npy"))?, journal);
    std::fs::remove_file(studio.journal("out.npy"))?;
    studio.expect(0, "out.npy", &[])?;
    Ok(())
}

#[test]
fn vectors_of_other_weights_are_never_mixed() -> Outcome {
    let studio = Studio::with(10)?;
    for format in FORMATS {
        let out = format!("out.{format}");
        std::fs::write(studio.path("w.safetensors"), network(1.0)?)?;
        studio.expect(0, &out, &[])?;
        let bytes = studio.bytes(&out)?;
        std::fs::write(studio.path("w.safetensors"), network(1.25)?)?;
        for flag in ["--resume", "--retry-failed"] {
            assert_eq!(complaint(&studio.embed(&out, &[flag])?, 2, &[&out, "weights", "crc32"]), None);
        }
        assert!(studio.bytes(&out)? == bytes);
        // Anew it is replaced.
        studio.expect(0, &out, &[])?;
        assert!(studio.bytes(&out)? != bytes);
    }
    assert_eq!(studio.files()?, ["out.npy", "out.npy.json", "out.parquet", "out.safetensors"]);
    Ok(())
}

/// Files that are no pictures have a row with an error, and the others their vectors.
#[test]
fn what_is_no_picture_is_named_and_skipped() -> Outcome {
    let studio = Studio::with(6)?;
    let good = studio.read("p/0/000.png")?;
    // A bitmap's header that promises 60000 x 60000 pixels.
    let mut huge = studio.read("p/1/001.bmp")?;
    huge[18..22].copy_from_slice(&60000_u32.to_le_bytes());
    huge[22..26].copy_from_slice(&60000_u32.to_le_bytes());
    let mut broken = good.clone();
    let middle = broken.len() / 2;
    broken[middle] ^= 0xff;
    let bad = [
        ("broken.png", broken, "not a readable picture"),
        ("truncated.png", good[..good.len() / 2].to_vec(), "not a readable picture"),
        ("zero.jpg", Vec::new(), "the file is empty"),
        ("huge.bmp", huge, "60000 x 60000 pixels"),
        ("notes.txt", b"not a picture at all".to_vec(), "not PNG"),
    ];
    for (name, bytes, _) in &bad {
        std::fs::write(studio.path("p").join(name), bytes)?;
    }
    for format in FORMATS {
        let out = format!("out.{format}");
        let said = studio.expect(3, &out, &[])?;
        assert!(said.contains("11 pictures, 6 vectors, 5 errors"), "{said}");
        let table = table(&studio.path(&out))?;
        assert_eq!((table.len(), table.values().filter(|row| row.is_ok()).count()), (11, 6));
        for (name, _, reason) in &bad {
            let path = native(&format!("p/{name}"));
            let error = table[&path].as_ref().err().ok_or("a vector")?;
            assert!(error.contains(reason) && !error.contains(&path), "{path}: {error}");
            assert!(said.contains(&format!("{path}: {error}")), "{said}");
        }
        // Nothing changes by trying again, but for what was repaired.
        let before = studio.bytes(&out)?;
        studio.expect(3, &out, &["--retry-failed"])?;
        assert!(studio.bytes(&out)? == before);
        std::fs::write(studio.path("p/truncated.png"), &good)?;
        studio.expect(3, &out, &["--resume"])?;
        assert!(studio.bytes(&out)? == before);
        let said = studio.expect(3, &out, &["--retry-failed"])?;
        assert!(said.contains("11 pictures, 7 vectors, 4 errors") && said.contains("\n5 pictures in "), "{said}");
        let repaired = studio.bytes(&out)?;
        studio.expect(3, &out, &[])?;
        assert!(studio.bytes(&out)? == repaired, "{format}");
        std::fs::write(studio.path("p/truncated.png"), &bad[1].1)?;
    }
    let why = ["out2.npy", "nothing to try again"];
    assert_eq!(complaint(&studio.embed("out2.npy", &["--retry-failed"])?, 2, &why), None);
    assert!(!studio.files()?.iter().any(|name| name.contains("out2")));
    Ok(())
}

/// Weights that send some pictures beyond what f32 holds.
#[test]
fn what_is_not_finite_is_an_error_and_no_number() -> Outcome {
    let studio = Studio::new()?;
    for level in 0..8_u8 {
        let picture = image::RgbImage::from_fn(40, 40, |x, y| image::Rgb([level * 36, (x * y) as u8 * level / 8, 9]));
        picture.save(studio.path("p").join(format!("{level}.png")))?;
    }
    std::fs::write(studio.path("w.safetensors"), network(2e37)?)?;
    for format in FORMATS {
        let out = format!("out.{format}");
        let said = studio.expect(3, &out, &[])?;
        let rows = table(&studio.path(&out))?;
        let errors: Vec<&String> = rows.values().filter_map(|row| row.as_ref().err()).collect();
        assert!(rows.len() == 8 && rows[&native("p/0.png")].is_ok() && rows[&native("p/7.png")].is_err(), "{said}");
        assert!(errors.iter().all(|error| error.starts_with("not finite: ")), "{said}");
    }
    Ok(())
}

#[test]
fn shards_are_disjoint_and_complete() -> Outcome {
    let studio = Studio::with(20)?;
    studio.expect(0, "whole.parquet", &[])?;
    let whole = table(&studio.path("whole.parquet"))?;
    let mut together = Table::new();
    for (shard, rows) in [("1/3", 7), ("2/3", 7), ("3/3", 6)] {
        studio.expect(0, "part.parquet", &["--shard", shard])?;
        let part = table(&studio.path("part.parquet"))?;
        assert_eq!(part.len(), rows);
        for (path, row) in part {
            assert!(together.insert(path, row).is_none());
        }
    }
    assert!(together == whole);
    // A part without files is a file without rows.
    for format in FORMATS {
        let out = format!("none.{format}");
        studio.expect(0, &out, &["--shard", "21/21"])?;
        assert_eq!(table(&studio.path(&out))?.len(), 0);
        studio.expect(0, &out, &["--shard", "21/21", "--resume"])?;
    }
    for shard in ["0/3", "4/3", "1", "a/b", "1/0"] {
        assert_eq!(complaint(&studio.embed("out.npy", &["--shard", shard])?, 2, &["--shard", "i/n"]), None);
    }
    Ok(())
}

/// An output that somebody has damaged is an error, whatever is wrong with it, and stays as it is.
#[test]
fn damaged_outputs_are_refused() -> Outcome {
    let studio = Studio::with(12)?;
    std::fs::write(studio.path("p/notes.txt"), "no picture")?;
    let mut random = Seeded::new(21);
    for format in FORMATS {
        let out = format!("out.{format}");
        studio.expect(3, &out, &[])?;
        let good = studio.read(&out)?;
        let mut cases = vec![Vec::new(), b"my own file".to_vec(), [&good[..], b"x"].concat()];
        for _ in 0..6 {
            cases.push(good[..random.below(good.len())].to_vec());
            let mut flipped = good.clone();
            flipped[random.below(good.len())] ^= 1 << random.below(8);
            cases.push(flipped);
        }
        for (index, case) in cases.iter().enumerate() {
            std::fs::write(studio.path(&out), case)?;
            let output = studio.embed(&out, &["--resume"])?;
            // A bit that means nothing, as those of a vector that there is none of, may be passed over; the result must be right.
            if output.status.code() == Some(3) {
                assert!(studio.read(&out)? == good, "{out}, case {index}");
                continue;
            }
            assert_eq!(complaint(&output, 2, &[&out]), None, "{out}, case {index}");
            assert!(studio.read(&out)? == *case && !studio.journal(&out).exists(), "{out}, case {index}");
        }
        std::fs::write(studio.path(&out), &good)?;
    }
    // Names that belong to other vectors.
    std::fs::write(studio.path("p/more.txt"), "no picture either")?;
    let old = studio.read("out.npy.json")?;
    studio.expect(3, "out.npy", &[])?;
    std::fs::write(studio.path("out.npy.json"), &old)?;
    assert_eq!(complaint(&studio.embed("out.npy", &["--resume"])?, 2, &["out.npy.json"]), None);
    std::fs::remove_file(studio.path("out.npy.json"))?;
    assert_eq!(complaint(&studio.embed("out.npy", &["--resume"])?, 2, &["out.npy.json"]), None);
    Ok(())
}

#[test]
fn files_may_come_and_go() -> Outcome {
    let studio = Studio::with(9)?;
    studio.expect(0, "out.npy", &[])?;
    std::fs::remove_file(studio.path("p/0/000.png"))?;
    std::fs::copy(studio.path("p/1/001.bmp"), studio.path("p/2/new.bmp"))?;
    let said = studio.expect(0, "out.npy", &["--resume"])?;
    assert!(said.contains("1 row of files that are not named any more"), "{said}");
    assert!(said.contains("\n1 picture in "), "{said}");
    studio.expect(0, "whole.npy", &[])?;
    assert!(studio.bytes("out.npy")? == studio.bytes("whole.npy")?);
    // Other names for the same files would lose everything.
    let whole = studio.bytes("whole.npy")?;
    let mut elsewhere = bottleneck();
    elsewhere.current_dir(studio.path("p")).args(["embed", "--weights", "../w.safetensors", "--resume", "--out"]);
    let output = run(elsewhere.args(["../whole.npy", "--config", "../config.json", "."]))?;
    assert_eq!(complaint(&output, 2, &["9 rows", &native("p/0/003.bmp"), "same way"]), None);
    assert!(studio.bytes("whole.npy")? == whole);
    Ok(())
}

#[test]
fn the_output_may_lie_among_the_pictures() -> Outcome {
    let studio = Studio::with(6)?;
    for format in FORMATS {
        let out = format!("p/out.{format}");
        studio.expect(0, &out, &[])?;
        let bytes = studio.bytes(&out)?;
        for args in [&[][..], &["--resume"]] {
            studio.expect(0, &out, args)?;
            assert!(studio.bytes(&out)? == bytes);
        }
        std::fs::remove_file(studio.path(&out))?;
        let _ = std::fs::remove_file(studio.path("p/out.npy.json"));
    }
    Ok(())
}

#[test]
fn impossible_outputs_are_refused_before_anything_is_done() -> Outcome {
    let studio = Studio::with(3)?;
    std::fs::create_dir(studio.path("d.npy"))?;
    std::fs::create_dir(studio.path("n.npy.json"))?;
    std::fs::create_dir(studio.path(".j.npy.journal"))?;
    std::fs::copy(studio.path("p/0/000.png"), studio.path("picture.npy"))?;
    let cases = [
        ("out.csv", "out.csv: the output must end in .parquet, .npy or .safetensors"),
        ("out", ".parquet, .npy or .safetensors"),
        ("nowhere/out.npy", "nowhere"),
        ("config.json/out.npy", "not a directory"),
        ("d.npy", "regular file"),
        ("n.npy", "regular file"),
        ("j.npy", ".j.npy.journal"),
        ("w.safetensors", "same file"),
        ("picture.npy", "same file"),
    ];
    let before = studio.files()?;
    for (out, why) in cases {
        let mut command = studio.command(out, &[]);
        assert_eq!(complaint(&run(command.arg("picture.npy"))?, 2, &[why]), None, "{out}");
    }
    assert_eq!(studio.files()?, before);
    let none = run(bottleneck().args(["embed", "--weights", "w", "--out", "out.npy"]))?;
    assert_eq!(complaint(&none, 2, &["DIRS"]), None);
    Ok(())
}

#[cfg(unix)]
#[test]
fn pipes_are_left_out_and_links_to_nothing_are_errors() -> Outcome {
    let studio = Studio::with(2)?;
    assert!(Command::new("mkfifo").arg(studio.path("p/pipe.png")).status()?.success());
    std::os::unix::fs::symlink("nowhere", studio.path("p/link.png"))?;
    std::os::unix::fs::symlink("0/000.png", studio.path("p/other.png"))?;
    studio.expect(3, "out.parquet", &[])?;
    let table = table(&studio.path("out.parquet"))?;
    assert_eq!((table.len(), &table["p/other.png"]), (4, &table["p/0/000.png"]));
    assert!(table["p/link.png"].as_ref().is_err_and(|error| error.contains("No such file")));
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn names_need_not_be_utf8() -> Outcome {
    use std::os::unix::ffi::OsStrExt;
    let studio = Studio::with(2)?;
    let strange = studio.path("p").join(std::ffi::OsStr::from_bytes(b"a\xff\x1b.png"));
    if std::fs::copy(studio.path("p/0/000.png"), strange).is_err() {
        return Ok(());
    }
    for format in FORMATS {
        let out = format!("out.{format}");
        studio.expect(0, &out, &[])?;
        let bytes = studio.bytes(&out)?;
        let table = table(&studio.path(&out))?;
        assert_eq!(table["p/a\\xff\x1b.png"], table["p/0/000.png"]);
        studio.expect(0, &out, &["--resume"])?;
        assert!(studio.bytes(&out)? == bytes);
    }
    // Two files that would be called the same.
    std::fs::copy(studio.path("p/0/000.png"), studio.path("p/a\\xff\x1b.png"))?;
    assert_eq!(complaint(&studio.embed("out.npy", &[])?, 2, &["two files"]), None);
    Ok(())
}
