//! Checkpoints of `bottleneck train` with damaged bits, bytes and numbers. `--resume` refuses them
//! before training continues, and changes no file.

use std::collections::HashMap;
use std::path::PathBuf;

use safetensors::SafeTensors;

use crate::common::Outcome;
use crate::common::seeded::Seeded;
use crate::embed::studio::Studio;
use crate::program::{Result, complaint, expect};
use crate::train::{train, without_checksum};

/// Two epochs of three steps of two batches.
const ARGS: [&str; 6] = ["--epochs", "2", "--batch", "10", "--accumulate", "2"];

type Texts = HashMap<String, String>;

/// The checkpoint of a run.
struct Run {
    studio: Studio,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Run {
    fn new() -> Result<Self> {
        let studio = Studio::with(60)?;
        expect(0, &train(&studio, "out", &ARGS)?)?;
        std::fs::remove_file(studio.path("out/model.safetensors"))?;
        let path = studio.path("out/checkpoint.safetensors");
        let bytes = std::fs::read(&path)?;
        Ok(Self { studio, path, bytes })
    }

    /// Resumes from these bytes, which must be refused.
    fn refuse(&self, bytes: &[u8], parts: &[&str]) -> Outcome {
        std::fs::write(&self.path, bytes)?;
        let output = train(&self.studio, "out", &[&ARGS[..], &["--resume"]].concat())?;
        let parts = [&["out/checkpoint.safetensors"], parts].concat();
        assert_eq!(complaint(&output, 2, &parts), None);
        assert!(std::fs::read(&self.path)? == bytes, "the checkpoint has changed");
        assert!(!self.studio.path("out/model.safetensors").exists());
        Ok(())
    }
}

#[test]
fn flipped_bits_are_refused_wherever_they_are() -> Outcome {
    let run = Run::new()?;
    let (header, _) = SafeTensors::read_metadata(&run.bytes)?;
    let mut random = Seeded::new(25);
    let mut places: Vec<usize> = (0..40).map(|_| 8 + random.below(header)).collect();
    places.extend((0..20).map(|_| 8 + header + random.below(run.bytes.len() - 8 - header)));
    places.extend([0, 7, 8, 7 + header, 8 + header, run.bytes.len() - 1]);
    for place in places {
        let mut bytes = run.bytes.clone();
        bytes[place] ^= 1 << random.below(8);
        run.refuse(&bytes, &[])?;
    }
    // In a tensor, only the checksum detects the damage.
    let mut bytes = run.bytes.clone();
    let last = bytes.len() - 1;
    bytes[last - 8] ^= 1;
    run.refuse(&bytes, &["its checksum is ", "damaged", "restore it from a copy"])?;
    for length in [0, 8, header, run.bytes.len() - 1] {
        run.refuse(&run.bytes[..length], &[])?;
    }
    // The undamaged checkpoint is resumed.
    std::fs::write(&run.path, &run.bytes)?;
    expect(0, &train(&run.studio, "out", &[&ARGS[..], &["--resume"]].concat())?)?;
    assert!(std::fs::read(&run.path)? == run.bytes);
    Ok(())
}

#[test]
fn numbers_that_no_run_has_are_refused() -> Outcome {
    let run = Run::new()?;
    let most = u64::MAX.to_string();
    let nan = f64::NAN.to_bits().to_string();
    for (key, value, says) in [
        ("epoch", "3", "its epoch is 3, expected from 0 to 2"),
        ("epoch", &most, "its epoch is 18446744073709551615"),
        ("batch", "2", "its batch is 2, expected 0"),
        ("batch", "999", "its batch is 999, expected 0"),
        ("batch", &most, "its batch is 18446744073709551615"),
        ("batch", "-1", "its batch is -1, expected a whole number"),
        ("batch", "1\n2", "its batch is 1\\n2, expected a whole number"),
        ("place", "1", "its place is 1, expected 0"),
        ("steps", "1", "its number of steps is 1, expected from 2 to 6"),
        ("steps", "7", "its number of steps is 7, expected from 2 to 6"),
        ("steps", &most, "its number of steps is 18446744073709551615"),
        ("losses", &nan, "its sum of losses is NaN, expected 0"),
        ("batches", "1", "its number of batches is 1, expected 0"),
        ("pictures", "10", "its number of images is 10, expected 0"),
        ("right", "1", "its number of right images is 1, expected 0"),
        ("chdcksum", "12345678", "its metadata key is chdcksum"),
        ("checksum", "1234", "its checksum is 1234"),
    ] {
        let insert = |texts: &mut Texts| drop(texts.insert(key.to_owned(), value.to_owned()));
        run.refuse(&without_checksum(&run.bytes, insert)?, &[says])?;
    }
    // Within an epoch.
    let within = |key: &'static str, value: &str| {
        let texts = [
            ("epoch", "1"),
            ("batch", "2"),
            ("place", "20"),
            ("pictures", "20"),
            ("batches", "2"),
            ("steps", "4"),
            (key, value),
        ];
        without_checksum(&run.bytes, |all| {
            all.extend(texts.map(|(key, value)| (key.to_owned(), value.to_owned())));
        })
    };
    run.refuse(&within("batch", "8")?, &["its batch is 8, expected from 0 to 6"])?;
    run.refuse(&within("batch", "3")?, &["its batch is 3, expected a multiple of the 2 batches"])?;
    run.refuse(&within("place", "61")?, &["its place is 61, expected from 20 to 60"])?;
    run.refuse(&within("losses", &nan)?, &["its sum of losses is NaN, expected a finite number"])?;
    // A checkpoint without a checksum and with possible numbers is resumed.
    std::fs::write(&run.path, within("epoch", "1")?)?;
    let said = expect(0, &train(&run.studio, "out", &[&ARGS[..], &["--resume"]].concat())?)?;
    assert!(said.contains("resuming from epoch 2, batch 2"), "{said}");
    // The next checkpoint has a checksum.
    let (_, header) = SafeTensors::read_metadata(&std::fs::read(&run.path)?)?;
    assert!(header.metadata().as_ref().is_some_and(|texts| texts.contains_key("checksum")));
    Ok(())
}

#[test]
fn two_equal_runs_write_the_same_bytes() -> Outcome {
    let studio = Studio::with(60)?;
    for out in ["first", "second"] {
        expect(0, &train(&studio, out, &["--epochs", "1", "--optimizer", "adamw"])?)?;
    }
    for name in ["checkpoint.safetensors", "model.safetensors", "config.json", "images.jsonl"] {
        let [first, second] = ["first", "second"].map(|out| studio.read(&format!("{out}/{name}")));
        assert!(first? == second?, "{name} differs");
    }
    Ok(())
}
