//! The program, folders for it to work in, and a block that it likes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use safetensors::Dtype;
use serde_json::Value;
use wgpu_bottleneck::{HostTensor, StateDict};

use crate::common::dict::DictBuilder;
use crate::common::seeded::Seeded;

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// A folder of one test, with the files `w`, `in` and `out` in it.
pub struct Folder(pub tempfile::TempDir);

impl Folder {
    /// With these bytes as `w` and `in`.
    pub fn with(weights: &[u8], input: &[u8]) -> Result<Self> {
        let folder = Self(tempfile::tempdir()?);
        std::fs::write(folder.path("w"), weights)?;
        std::fs::write(folder.path("in"), input)?;
        Ok(folder)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `bottleneck block` on `w` and `in` into `out`, with more arguments.
    pub fn block(&self, args: &[&str]) -> Result<Output> {
        run(&mut self.block_command(args))
    }

    /// The same, not started yet.
    pub fn block_command(&self, args: &[&str]) -> Command {
        let [w, input, out] = ["w", "in", "out"].map(|name| self.path(name));
        let mut command = bottleneck();
        command
            .args(["block", "--weights"])
            .arg(w)
            .arg("--input")
            .arg(input)
            .arg("--output")
            .arg(out)
            .args(args);
        command
    }

    /// The tensor `out` of the output file.
    pub fn out(&self) -> Result<HostTensor> {
        Ok(StateDict::open(self.path("out"))?.nchw("out")?)
    }

    pub fn files(&self) -> Result<Vec<String>> {
        names_in(self.0.path())
    }
}

/// The names of the files and folders in a folder, sorted.
pub fn names_in(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder)?;
    let mut names = entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    names.sort();
    Ok(names)
}

/// Creates a named pipe.
#[cfg(unix)]
pub fn make_pipe(path: &Path) -> Result<()> {
    assert!(Command::new("mkfifo").arg(path).status()?.success());
    Ok(())
}

pub fn bottleneck() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bottleneck"));
    command
        .env_remove("RUST_LOG")
        .env_remove("NO_COLOR")
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::null());
    command
}

pub fn run(command: &mut Command) -> Result<Output> {
    Ok(command.output()?)
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What the program wrote to stderr. No driver writes anything.
pub fn stderr(output: &Output) -> String {
    text(&output.stderr).trim_end().to_owned()
}

/// Checks the exit code, and that there was no panic. Returns stderr.
pub fn expect(code: i32, output: &Output) -> Result<String> {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked") && !said.contains("bug in bottleneck"), "{said}");
    Ok(said)
}

/// What is wrong with a failed run that should have said `says` and left with `code`; nothing if
/// all is well.
pub fn complaint(output: &Output, code: i32, says: &[&str]) -> Option<String> {
    let said = stderr(output);
    let errors: Vec<&str> = said.lines().filter(|line| !line.contains("WARN")).collect();
    let good = output.status.code() == Some(code)
        && errors.first().is_some_and(|line| line.starts_with("error: "))
        && errors.len() <= 2
        && says.iter().all(|part| said.contains(part))
        && !["panicked", "backtrace", "bug in bottleneck"].iter().any(|bad| said.contains(bad))
        && output.stdout.is_empty();
    (!good).then(|| format!("{}, expected {code} and {says:?}, said:\n{said}", output.status))
}

/// inplanes 8, planes 4, groups 2, with a downsample: run with `--stride 2`.
pub fn weights() -> DictBuilder {
    let (mut dict, mut random) = (DictBuilder::default(), Seeded::new(1));
    let mut values = |count: usize, low: f32| {
        (0..count).map(|_| low + random.below(1000) as f32 / 1000.0).collect::<Vec<_>>()
    };
    for (conv, norm, dims) in [
        ("conv1", "bn1", [4, 8, 1, 1]),
        ("conv2", "bn2", [4, 2, 3, 3]),
        ("conv3", "bn3", [16, 4, 1, 1]),
        ("downsample.0", "downsample.1", [16, 8, 1, 1]),
    ] {
        dict.f32(&format!("{conv}.weight"), &dims, &values(dims.iter().product(), -0.5));
        for (part, low) in
            [("weight", -0.3), ("bias", -0.5), ("running_mean", -0.5), ("running_var", 0.2)]
        {
            dict.f32(&format!("{norm}.{part}"), &dims[..1], &values(dims[0], low));
        }
        dict.raw(&format!("{norm}.num_batches_tracked"), Dtype::I64, &[], vec![0; 8]);
    }
    dict
}

pub fn input() -> DictBuilder {
    let (mut dict, mut random) = (DictBuilder::default(), Seeded::new(2));
    let values: Vec<f32> =
        (0..2 * 8 * 5 * 7).map(|_| random.below(2000) as f32 / 1000.0 - 1.0).collect();
    dict.f32("input", &[2, 8, 5, 7], &values);
    dict
}

pub fn good_folder() -> Result<Folder> {
    Folder::with(&weights().bytes(), &input().bytes())
}

/// What a successful run printed, as JSON.
pub fn json(args: &[&str]) -> Result<Value> {
    let output = run(bottleneck().args(args))?;
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Sends a signal.
#[cfg(unix)]
pub fn signal(child: &std::process::Child, name: &str) -> Result<()> {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status()?.success());
    Ok(())
}
