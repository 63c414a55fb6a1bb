//! A lack of host memory, made by a limit of the address space: it is not an image's own error.

use std::process::{Command, Output};

use image::{ImageEncoder as _, codecs::png::PngEncoder};

use crate::common::Outcome;
use crate::embed::studio::{FORMATS, Studio, table};
use crate::program::{Result, bottleneck, run, stderr, text};
use crate::train::command as train;

/// Enough for a software driver, and less than the image of [`large`] needs.
const LIMIT_KIB: u32 = 2_000_000;

/// The command, under the limit.
fn limited(of: &Command) -> Result<Output> {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -v {LIMIT_KIB}; exec \"$0\" \"$@\"")]);
    shell.arg(of.get_program()).args(of.get_args());
    // glibc reserves address space for each thread.
    shell.env_remove("RUST_LOG").env("MALLOC_ARENA_MAX", "1");
    if let Some(folder) = of.get_current_dir() {
        shell.current_dir(folder);
    }
    run(&mut shell)
}

/// Images, if the program runs under the limit; a driver of hardware may not.
fn studio() -> Result<Option<Studio>> {
    let studio = Studio::with(12)?;
    let output = limited(&studio.command("first.npy", &[]))?;
    if output.status.success() {
        return Ok(Some(studio));
    }
    eprintln!("not tested: {LIMIT_KIB} KiB are too few for the driver: {}", stderr(&output));
    Ok(None)
}

/// The beginning of a PNG of 13000 x 13000 pixels, 16 bits for each of four channels: decoding
/// needs 1.9 GB. Without the limit the error is that it ends too early.
fn large() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes).write_image(&[0; 8], 1, 1, image::ExtendedColorType::Rgba16)?;
    bytes[16..20].copy_from_slice(&13_000_u32.to_be_bytes());
    bytes[20..24].copy_from_slice(&13_000_u32.to_be_bytes());
    let checksum = crc32fast::hash(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
    Ok(bytes)
}

#[test]
fn embed_tries_such_an_image_again() -> Outcome {
    let Some(studio) = studio()? else { return Ok(()) };
    std::fs::write(studio.path("p/0/large.png"), large()?)?;
    for format in FORMATS {
        let out = format!("out.{format}");
        let output = limited(&studio.command(&out, &[]))?;
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{said}");
        let line = "p/0/large.png: needs 1859000000 bytes of host memory, ";
        assert!(said.contains(line) && said.contains(": it has no row"), "{said}");
        let last = "error: out of memory on 1 of 13 images (p/0/large.png): --resume tries again";
        assert!(said.ends_with(last), "{said}");
        assert_eq!(table(&studio.path(&out))?.len(), 12);
        // Its own error is another one.
        let said = studio.expect(3, &out, &["--resume"])?;
        assert!(said.contains("13 images, 12 vectors, 1 error"), "{said}");
        let whole = format!("whole.{format}");
        studio.expect(3, &whole, &[])?;
        assert!(studio.bytes(&out)? == studio.bytes(&whole)?, "{format}: not the same");
    }
    Ok(())
}

#[test]
fn classify_leaves_out_the_row_of_such_an_image() -> Outcome {
    let Some(studio) = studio()? else { return Ok(()) };
    std::fs::write(studio.path("p/0/large.png"), large()?)?;
    let mut command = bottleneck();
    command.current_dir(studio.0.path());
    command.args(["classify", "--weights", "w.safetensors", "--csv", "--top", "1", "p"]);
    let output = limited(&command)?;
    let said = stderr(&output);
    assert!(
        output.status.code() == Some(4) && said.contains("error: out of memory on 1"),
        "{said}"
    );
    let rows = text(&output.stdout);
    assert!(rows.lines().count() == 13 && !rows.contains("large"), "{rows}");
    Ok(())
}

#[test]
fn train_stops_and_leaves_no_image_out() -> Outcome {
    for folder in ["p", "v"] {
        let Some(studio) = studio()? else { return Ok(()) };
        std::fs::create_dir(studio.path("v"))?;
        for class in ["0", "1", "2"] {
            std::fs::create_dir(studio.path("v").join(class))?;
            std::fs::copy(studio.path("p/0/000.png"), studio.path("v").join(class).join("a.png"))?;
        }
        std::fs::write(studio.path(folder).join("0/large.png"), large()?)?;
        let args = ["--data", "p", "--validation", "v", "--batch", "4", "--epochs", "1"];
        let output = limited(&train(&studio, "out", &args))?;
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{said}");
        let error = format!("error: {folder}/0/large.png: needs 1859000000 bytes of host memory, ");
        assert!(said.contains(&error), "{said}");
        assert!(!studio.path("out/failed.csv").exists(), "{said}");
        // The first line is the list, and each further line an image that is left out.
        let list = std::fs::read_to_string(studio.path("out/images.jsonl"))?;
        assert_eq!(list.lines().count(), 1, "{list}");
        // Its own error is another one.
        let output = run(&mut train(&studio, "out", &[&args[..], &["--resume"]].concat()))?;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(std::fs::read_to_string(studio.path("out/failed.csv"))?.contains("large.png"));
    }
    Ok(())
}
