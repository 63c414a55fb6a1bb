//! `bottleneck classify` prints rows as they are computed, and completes its output if it is
//! interrupted.

#[cfg(unix)]
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Command;
#[cfg(unix)]
use std::process::Stdio;

use serde_json::Value;

use crate::common::Outcome;
use crate::embed::studio::Studio;
#[cfg(unix)]
use crate::program::signal;
use crate::program::{bottleneck, run, stderr, text};

fn classify(studio: &Studio, args: &[&str]) -> Command {
    let mut command = bottleneck();
    command
        .current_dir(studio.0.path())
        .args(["classify", "--weights", "w.safetensors"])
        .args(args)
        .arg("p");
    command
}

/// The text of JSON is that of one value, whatever the batches are.
#[test]
fn json_is_one_array() -> Outcome {
    let studio = Studio::with(5)?;
    std::fs::write(studio.path("p/notes.png"), "no image")?;
    for batch in ["1", "2", "8"] {
        let output = run(&mut classify(&studio, &["--json", "--top", "2", "--batch", batch]))?;
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        let array: Value = serde_json::from_slice(&output.stdout)?;
        assert_eq!(array.as_array().map(Vec::len), Some(6));
        assert_eq!(text(&output.stdout), format!("{array:#}\n"));
    }
    Ok(())
}

/// Rows of several batches have one header, and their columns are aligned.
#[test]
fn tables_and_csv_have_one_header() -> Outcome {
    let studio = Studio::with(5)?;
    std::fs::copy(studio.path("p/0/000.png"), studio.path("p/a-longer-name.png"))?;
    let output = run(&mut classify(&studio, &["--csv", "--batch", "2"]))?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let csv = text(&output.stdout);
    let header = "picture,rank,class,label,probability,error,label_source";
    assert_eq!((csv.lines().count(), csv.lines().next()), (1 + 6 * 3, Some(header)));
    assert_eq!(csv.matches("picture").count(), 1, "{csv}");

    let output = run(&mut classify(&studio, &["--batch", "2"]))?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let table = text(&output.stdout);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((lines.len(), table.matches("probability").count()), (1 + 6 * 3, 1), "{table}");
    let column = lines[0].find("class");
    assert!(lines[1..].iter().all(|line| line.find("class ") == column), "{table}");
    Ok(())
}

/// The first row arrives while the program is at work. Ctrl-C then ends the array.
#[cfg(unix)]
#[test]
fn rows_come_as_they_are_computed_and_ctrl_c_ends_them() -> Outcome {
    let studio = Studio::with(500)?;
    for (form, first, header) in [("--json", "  {", 1), ("--csv", "p/0/000.png,1,", 1)] {
        let mut child = classify(&studio, &[form, "--batch", "1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut printed = String::new();
        for _ in 0..=header {
            stdout.read_line(&mut printed)?;
        }
        assert!(printed.lines().last().is_some_and(|line| line.starts_with(first)), "{printed}");
        assert!(child.try_wait()?.is_none(), "it has ended before its first row was read");
        signal(&child, "-INT")?;
        stdout.read_to_string(&mut printed)?;
        let output = child.wait_with_output()?;
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains("error: interrupted, ") && said.contains("of 500 images"), "{said}");
        let rows = if form == "--json" {
            serde_json::from_str::<Value>(&printed)?.as_array().map_or(0, Vec::len)
        } else {
            assert!(printed.ends_with('\n'), "{printed}");
            (printed.lines().count() - 1) / 3
        };
        assert!((1..500).contains(&rows), "{rows}: {printed}");
    }
    Ok(())
}

/// A reader that has seen enough ends the program, and not with an error.
#[cfg(unix)]
#[test]
fn a_reader_may_stop_early() -> Outcome {
    let studio = Studio::with(300)?;
    let mut child = classify(&studio, &["--json", "--batch", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdout = BufReader::new(child.stdout.take().ok_or("no stdout")?);
    stdout.read_line(&mut String::new())?;
    drop(stdout);
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    Ok(())
}

/// On a terminal there is a bar, and the rows are above it.
#[cfg(unix)]
#[test]
fn a_terminal_shows_progress() -> Outcome {
    let studio = Studio::with(4)?;
    let command = format!(
        "{} classify --weights w.safetensors --batch 1 p",
        env!("CARGO_BIN_EXE_bottleneck")
    );
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).stdin(Stdio::null());
    let output = match script.current_dir(studio.0.path()).env("TERM", "xterm").output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: there is no program script");
            return Ok(());
        }
        output => output?,
    };
    let shown = text(&output.stdout);
    assert!(output.status.success() && shown.contains("/4 images"), "{shown}");
    assert!(shown.contains("p/0/000.png") && shown.contains("class "), "{shown}");
    Ok(())
}
