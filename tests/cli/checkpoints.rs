//! Every kind of checkpoint in tests/golden/checkpoints/: the vector and the logits that PyTorch
//! computes, or a refusal in one line that says what to do; and the hints of the refusals work.

use std::path::PathBuf;
use std::process::Output;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use wgpu_bottleneck::StateDict;

use crate::common::dict::DictBuilder;
use crate::common::{Outcome, golden_dir};
use crate::embed::studio::floats;
use crate::program::{Folder, Result, bottleneck, complaint, run, stderr};

/// The largest error allowed, relative to the largest value.
const TOLERANCE: f64 = 1e-5;

fn folder() -> PathBuf {
    golden_dir().join("checkpoints")
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Rows of numbers as one vector.
fn numbers(rows: &Value) -> Vec<f64> {
    let rows = rows.as_array().into_iter().flatten();
    rows.flat_map(|row| row.as_array().into_iter().flatten()).filter_map(Value::as_f64).collect()
}

/// A case's options without image options, which do not apply to tensors.
fn of_tensors<'a>(options: &[&'a str]) -> Vec<&'a str> {
    let mut kept = Vec::new();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--channel-order" | "--range" => _ = options.next(),
            option => kept.push(option),
        }
    }
    kept
}

/// The error of a command, which must be one line, without the file's path.
fn error(output: &Output, file: &str) -> Result<String, String> {
    let said = stderr(output);
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    let [line] = errors[..] else { return Err(format!("{}, said {said:?}", output.status)) };
    if output.status.success() || said.contains("panicked") {
        return Err(format!("{}, said {said:?}", output.status));
    }
    Ok(line.replace(file, ""))
}

/// The texts that a message lacks.
fn lacking(said: &str, wanted: &[&str]) -> Option<String> {
    let said = said.to_lowercase();
    let missing: Vec<&&str> =
        wanted.iter().filter(|part| !said.contains(&part.to_lowercase())).collect();
    (!missing.is_empty()).then(|| format!("{missing:?} not in {said:?}"))
}

/// The options that a refusal suggests.
fn suggested(said: &str) -> Vec<Vec<String>> {
    let words: Vec<&str> =
        said.split_whitespace().map(|word| word.trim_matches(['(', ')', ',', ';', '`'])).collect();
    let options = ["--prefix", "--key", "--replace-stride-with-dilation"];
    let pairs = words.windows(2).filter(|pair| options.contains(&pair[0]));
    pairs.map(|pair| pair.iter().map(|&word| word.to_owned()).collect()).collect()
}

/// A case of the table, run with the program.
struct Case<'a> {
    case: &'a Value,
    work: Folder,
}

impl Case<'_> {
    fn text(&self, key: &str) -> &str {
        self.case[key].as_str().unwrap_or_default()
    }

    fn weights(&self) -> String {
        folder().join(self.text("file")).display().to_string()
    }

    /// `bottleneck run --features` on the tensor of the case.
    fn run(&self, options: &[&str]) -> Result<Output> {
        let input = self.case["input"].as_str().unwrap_or("input");
        self.run_on(input, options)
    }

    fn run_on(&self, input: &str, options: &[&str]) -> Result<Output> {
        let _ = std::fs::remove_file(self.work.path("out"));
        run(bottleneck()
            .args(["run", "--features", "--weights", &self.weights(), "--input"])
            .arg(self.work.path(input))
            .arg("--output")
            .arg(self.work.path("out"))
            .args(of_tensors(options)))
    }

    /// Compares a tensor of the last run's output.
    fn near(&self, name: &str, expected: &Value) -> Result<(), String> {
        let dict = StateDict::open(self.work.path("out")).map_err(|error| error.to_string())?;
        let found = dict.tensor(name).map_err(|error| error.to_string())?.data;
        let expected = numbers(expected);
        if found.len() != expected.len() {
            return Err(format!("{name}: {} values instead of {}", found.len(), expected.len()));
        }
        let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let wrong = |(found, expected): (&f32, &f64)| {
            let off = (f64::from(*found) - expected).abs();
            off.is_nan() || off > TOLERANCE * largest
        };
        match found.iter().zip(&expected).position(wrong) {
            None => Ok(()),
            Some(at) => Err(format!("{name}: {} at {at} instead of {}", found[at], expected[at])),
        }
    }

    /// `embed` or `classify` on the image, which must be refused with these texts.
    fn refused(&self, command: &str, options: &[&str], wanted: &[&str]) -> Result<String, String> {
        let run = || -> Result<Output> {
            let mut program = bottleneck();
            program.args([command, "--weights", &self.weights()]).args(options);
            if command == "embed" {
                program.arg("--out").arg(self.work.path("vectors.npy"));
            }
            run(program.arg(folder().join("image.png")))
        };
        let output = run().map_err(|error| error.to_string())?;
        let said = error(&output, &self.weights()).map_err(|why| format!("{command}: {why}"))?;
        match lacking(&said, wanted) {
            None => Ok(said),
            Some(why) => Err(format!("{command}: {why}")),
        }
    }

    /// What is wrong with the case.
    fn check(&self) -> Result<(), String> {
        let text = |error: Box<dyn std::error::Error>| error.to_string();
        let (embed, classify) = (&self.case["embed"], &self.case["classify"]);
        let options = texts(&embed["options"]);
        let output = self.run(&options).map_err(text)?;
        let mut said = stderr(&output);
        if let Some(vector) = embed.get("vector") {
            if !output.status.success() {
                return Err(format!("refused: {said}"));
            }
            self.near("pooled", vector)?;
            lacking(&said, &texts(&self.case["notes"])).map_or(Ok(()), Err)?;
        } else {
            said = self.refused("embed", &options, &texts(&embed["refused"]))?;
            let maps = self.case["features"] == "ok";
            if maps != output.status.success() {
                return Err(format!("features: {}", stderr(&output)));
            }
        }
        self.image(&options)?;
        match classify.get("logits") {
            Some(logits) if texts(&classify["options"]) == options => {
                self.near("logits", logits)?
            }
            Some(_) => return Err("other options for classify".to_owned()),
            None => _ = self.refused("classify", &options, &texts(&classify["refused"]))?,
        }
        self.hints(&said)
    }

    /// Compares the vector and the probabilities of the image with PyTorch's, if the case has them;
    /// of several readings of its options, one must be met.
    fn image(&self, options: &[&str]) -> Result<(), String> {
        let Some(readings) = self.case["images"].as_array() else { return Ok(()) };
        let text = |error: Box<dyn std::error::Error>| error.to_string();
        let vectors = self.work.path("vectors.npy");
        let program = |command: &str, more: &[&str]| -> Result<Output> {
            let mut program = bottleneck();
            program.args([command, "--weights", &self.weights()]).args(options).args(more);
            run(program.arg(folder().join("image.png")))
        };
        let out = vectors.display().to_string();
        let output = program("embed", &["--out", &out]).map_err(text)?;
        if !output.status.success() {
            return Err(format!("embed: {}", stderr(&output)));
        }
        let bytes = std::fs::read(&vectors).map_err(|error| error.to_string())?;
        let header =
            bytes.get(8..10).map_or(0, |two| usize::from(two[0]) | usize::from(two[1]) << 8);
        let values = floats(bytes.get(10 + header..).unwrap_or_default());
        let found: Vec<f64> = values.into_iter().map(f64::from).collect();
        let near = |expected: &[f64], found: &[f64]| {
            let largest = expected.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
            expected.len() == found.len()
                && expected.iter().zip(found).all(|(a, b)| (a - b).abs() <= TOLERANCE * largest)
        };
        let flat = |value: &Value| -> Vec<f64> {
            value.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
        };
        let met = readings.iter().find(|reading| near(&flat(&reading["image_vector"]), &found));
        let Some(met) = met else { return Err(format!("the image's vector is {found:?}")) };
        let expected = flat(&met["image_probabilities"]);
        if expected.is_empty() {
            return Ok(());
        }
        let top = expected.len().to_string();
        let output = program("classify", &["--json", "--top", &top]).map_err(text)?;
        let verdicts: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let mut found = vec![f64::NAN; expected.len()];
        for class in verdicts[0]["classes"].as_array().into_iter().flatten() {
            let index = class["class"].as_u64().unwrap_or_default() as usize;
            if let (Some(slot), Some(value)) = (found.get_mut(index), class["probability"].as_f64())
            {
                *slot = value;
            }
        }
        match near(&expected, &found) {
            true => Ok(()),
            false => Err(format!("probabilities {found:?} instead of {expected:?}")),
        }
    }

    /// Runs every option that a message suggests, and the hints of the table.
    fn hints(&self, said: &str) -> Result<(), String> {
        for options in suggested(said) {
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            // Of several networks, one may be for images of one channel.
            let inputs = ["input", "input_gray"].map(|input| self.run_on(input, &options));
            let outputs = inputs.into_iter().collect::<Result<Vec<_>>>();
            let outputs = outputs.map_err(|error| error.to_string())?;
            if !outputs.iter().any(|output| output.status.success()) {
                return Err(format!("the hint {options:?} fails: {}", stderr(&outputs[0])));
            }
        }
        for hint in self.case["hints"].as_array().into_iter().flatten() {
            let options = texts(&hint["options"]);
            let output = self.run(&options).map_err(|error| error.to_string())?;
            if !output.status.success() {
                return Err(format!("{options:?} fails: {}", stderr(&output)));
            }
            self.near("pooled", &hint["vector"]).map_err(|why| format!("{options:?}: {why}"))?;
        }
        Ok(())
    }
}

/// A folder with the inputs, each as the tensor `input` of a file.
fn inputs() -> Result<Folder> {
    let work = Folder(tempfile::tempdir()?);
    let inputs = StateDict::open(folder().join("input.safetensors"))?;
    for name in ["input", "input_gray"] {
        let tensor = inputs.nchw(name)?;
        let mut dict = DictBuilder::default();
        dict.f32("input", &tensor.shape().dims(), tensor.data());
        std::fs::write(work.path(name), dict.bytes())?;
    }
    Ok(work)
}

#[test]
fn every_kind_gives_its_vector_or_its_refusal() -> Outcome {
    let table: Value =
        serde_json::from_str(&std::fs::read_to_string(folder().join("table.json"))?)?;
    let cases: Vec<&Value> = table["cases"].as_array().into_iter().flatten().collect();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let check = |case: &Value| -> Result<(), String> {
        let work = inputs().map_err(|error| error.to_string())?;
        Case { case, work }.check()
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = check(case) {
                        let mut wrong =
                            wrong.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        wrong.push(format!("{}: {why}", case["name"]));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    Ok(())
}

/// Vectors of two networks of one file never go into one output.
#[test]
fn another_key_is_another_network() -> Outcome {
    let (work, image) = (inputs()?, folder().join("image.png"));
    let embed = |key: &str, more: &[&str]| -> Result<Output> {
        let mut program = bottleneck();
        program.args(["embed", "--key", key, "--weights"]).arg(folder().join("two_keys.pth"));
        run(program.arg("--out").arg(work.path("v.npy")).args(more).arg(&image))
    };
    let output = embed("student", &[])?;
    assert!(output.status.success(), "{}", stderr(&output));
    let output = embed("teacher", &["--resume"])?;
    assert_eq!(complaint(&output, 2, &["other settings", "teacher"]), None);
    let output = embed("student", &["--resume"])?;
    assert!(output.status.success(), "{}", stderr(&output));
    Ok(())
}

/// A vector needs no head: a classifier of NaN is not read.
#[test]
fn an_unused_head_is_not_read() -> Outcome {
    let (work, mut dict) = (inputs()?, DictBuilder::default());
    let weights = StateDict::open(folder().join("head_fc.pth"))?;
    for key in weights.keys().filter(|key| !key.ends_with("num_batches_tracked")) {
        let tensor = weights.tensor(key)?;
        let values =
            if key == "fc.weight" { vec![f32::NAN; tensor.data.len()] } else { tensor.data };
        dict.f32(key, &tensor.dims, &values);
    }
    std::fs::write(work.path("w"), dict.bytes())?;
    let program = |command: &str, more: &[&str]| -> Result<Output> {
        let mut program = bottleneck();
        program.args([command, "--weights"]).arg(work.path("w")).args(more);
        run(program.arg(folder().join("image.png")))
    };
    let out = work.path("v.npy").display().to_string();
    let output = program("embed", &["--out", &out])?;
    assert!(output.status.success(), "{}", stderr(&output));
    let output = program("classify", &[])?;
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("fc.weight") && said.contains("NaN"), "{said}");
    Ok(())
}

/// Training from a stem with one channel writes a network that every command reads.
#[test]
fn a_grey_network_is_trained_and_used() -> Outcome {
    let work = inputs()?;
    let images = golden_dir().join("trained/images");
    let out = work.path("o");
    let mut train = bottleneck();
    train.args(["train", "--size", "32", "--batch", "4", "--epochs", "1", "--data"]).arg(&images);
    train.arg("--init").arg(folder().join("gray_stem.pth")).arg("--out").arg(&out);
    let output = run(&mut train)?;
    assert!(output.status.success(), "{}", stderr(&output));
    for command in ["classify", "embed"] {
        let mut program = bottleneck();
        program.arg(command).arg("--weights").arg(out.join("model.safetensors"));
        if command == "embed" {
            program.arg("--out").arg(work.path("v.npy"));
        }
        let output = run(program.arg(images.join("none")))?;
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("gray"), "{}", stderr(&output));
    }
    Ok(())
}
