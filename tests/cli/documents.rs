//! The commands in README and docs: each one runs, or `left_out.txt` says why it does not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::common::dict::DictBuilder;
use crate::common::seeded_network::{file, uniform};
use crate::common::{Outcome, golden_dir};
use crate::program::{Result, bottleneck, run, stderr, text};
use wgpu_bottleneck::ResNet;

/// A line per command that is not run: the reason, ` | `, the command.
const LEFT_OUT: &str = include_str!("left_out.txt");

/// How the documents run the program in a clone of the repository, with ` -- ` before arguments.
const IN_A_CLONE: &str = "scripts/with-gpu cargo run --release";

/// The documents with commands.
fn documents() -> Result<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut docs: Vec<PathBuf> = std::fs::read_dir(root.join("docs"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    docs.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    docs.sort();
    let others = ["README.md", "examples/README.md", "benches/README.md"];
    Ok(others.map(|name| root.join(name)).into_iter().chain(docs).collect())
}

/// The commands in the `sh` fences of a document, without comments, continued lines joined.
fn commands(document: &str) -> Vec<String> {
    let (mut found, mut fence, mut begun) = (Vec::new(), None, String::new());
    for line in document.lines() {
        if let Some(language) = line.strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(language) };
        } else if fence == Some("sh") {
            let line = line.split("  #").next().unwrap_or_default().trim();
            match line.strip_suffix('\\') {
                Some(part) => begun += part,
                None if line.is_empty() && begun.is_empty() => {}
                None => found.push(std::mem::take(&mut begun) + line),
            }
        }
    }
    found
}

/// Every command once, in the order of the documents.
fn all_commands() -> Result<Vec<String>> {
    let (mut seen, mut all) = (BTreeSet::new(), Vec::new());
    for document in documents()? {
        let document = std::fs::read_to_string(document)?;
        let found =
            commands(&document).into_iter().map(|command| match command.strip_prefix(IN_A_CLONE) {
                Some("") => "bottleneck".to_owned(),
                Some(rest) if rest.starts_with(" -- ") => format!("bottleneck {}", &rest[4..]),
                _ => command,
            });
        all.extend(found.filter(|command| seen.insert(command.clone())));
    }
    Ok(all)
}

/// The reason of each command that is left out.
fn left_out() -> Result<Vec<(&'static str, &'static str)>> {
    let lines = LEFT_OUT.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let pairs = lines
        .map(|line| line.split_once(" | ").ok_or_else(|| format!("no reason in {line:?}").into()));
    pairs.collect()
}

/// A folder with the files that the documents name.
fn folder() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("resnet50.pth"), file(&ResNet::named("resnet50")?.build()?))?;
    for name in ["src/cli/demo/digits.safetensors", "examples/digits/three.png"] {
        std::fs::create_dir_all(path(name).parent().unwrap_or(folder.path()))?;
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(name), path(name))?;
    }
    for (name, dims) in [("input", [1, 256, 56, 56]), ("batch", [2, 3, 64, 64])] {
        let values: Vec<f32> =
            uniform(name, dims.iter().product()).map(|value| value - 0.5).collect();
        let tensor = DictBuilder::default().f32("input", &dims, &values).bytes();
        std::fs::write(path(&format!("{name}.safetensors")), tensor)?;
    }
    std::fs::create_dir(path("images"))?;
    for (name, image) in [("cat.jpg", "rgb.jpg"), ("dog.jpg", "orientation5.jpg")] {
        std::fs::copy(golden_dir().join("pictures").join(image), path("images").join(name))?;
    }
    let golden = golden_dir().join("trained/images");
    for class in std::fs::read_dir(&golden)? {
        let class = class?;
        let copy = path("photos").join(class.file_name());
        std::fs::create_dir_all(&copy)?;
        for image in std::fs::read_dir(class.path())? {
            let image = image?;
            std::fs::copy(image.path(), copy.join(image.file_name()))?;
        }
    }
    std::fs::create_dir(path("trained"))?;
    for name in ["model.safetensors", "config.json"] {
        std::fs::copy(golden_dir().join("trained/plain").join(name), path("trained").join(name))?;
    }
    Ok(folder)
}

#[test]
fn every_command_of_the_documents_runs_or_is_left_out_with_a_reason() -> Outcome {
    let (all, left_out) = (all_commands()?, left_out()?);
    for (reason, command) in &left_out {
        assert!(
            !reason.trim().is_empty() && all.iter().any(|one| one == command),
            "in no document: {command}"
        );
    }
    let folder = folder()?;
    let mut subcommands = BTreeSet::new();
    for command in &all {
        let mut words = command.split_whitespace();
        let program = words.next();
        let args: Vec<&str> = words.collect();
        if left_out.iter().any(|(_, left_out)| left_out == command) {
            continue;
        }
        subcommands.extend(args.first().map(|name| (*name).to_owned()));
        assert_eq!(
            program,
            Some("bottleneck"),
            "only bottleneck is run here, so left_out.txt must have: {command}"
        );
        let begun = std::time::Instant::now();
        let output = run(bottleneck().args(&args).current_dir(folder.path()))?;
        println!("{:.1} s: {command}", begun.elapsed().as_secs_f64());
        assert_eq!(output.status.code(), Some(0), "{command}: {}", stderr(&output));
    }
    // Every command of the program is among them.
    let help = text(&run(bottleneck().arg("--help"))?.stdout);
    let listed = help
        .split("Commands:")
        .nth(1)
        .and_then(|rest| rest.split("\n\n").next())
        .ok_or("no list of commands")?;
    for subcommand in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        assert!(
            subcommand == "help" || subcommands.contains(subcommand),
            "no document runs {subcommand}"
        );
    }
    Ok(())
}

#[test]
fn commands_are_found_in_fences() {
    let document = "a\n```sh\nb  # c\nd \\\n  e\n\n```\nf\n```text\ng\n```\n```sh\nh\n```";
    assert_eq!(commands(document), ["b", "d e", "h"]);
}
