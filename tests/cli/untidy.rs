//! `bottleneck train` on folders as they are: files that are no images, images that are damaged,
//! links, names of any bytes, and a second run in the same folder.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use serde_json::Value;
use wgpu_bottleneck::StateDict;

use crate::common::Outcome;
use crate::common::seeded::Seeded;
use crate::embed::studio::Studio;
use crate::program::{Result, complaint, expect};
#[cfg(target_os = "linux")]
use crate::program::{bottleneck, run};
use crate::train::{begun, same_results, train, without_checksum};

/// Copies a folder.
fn copy(from: &Path, to: &Path) -> Outcome {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Cuts off the second half of an image, so that its header is read and its pixels are not.
fn truncate(path: &Path) -> Outcome {
    let bytes = std::fs::read(path)?;
    Ok(std::fs::write(path, &bytes[..bytes.len() / 2])?)
}

/// The rows of failed.csv: files and reasons.
fn failed(studio: &Studio, out: &str) -> Result<Vec<(String, String)>> {
    let mut reader = csv::Reader::from_path(studio.path(out).join("failed.csv"))?;
    assert_eq!(reader.headers()?, vec!["file", "reason"]);
    let rows = reader.deserialize().collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(rows)
}

/// A folder with what file managers, notebooks and archives leave, and its training images with an
/// empty file.
fn litter(folder: &Path) -> Outcome {
    for name in [".ipynb_checkpoints", "__MACOSX", "bare", "notes"] {
        std::fs::create_dir(folder.join(name))?;
    }
    for name in [".ipynb_checkpoints/0.png", "__MACOSX/1.png", "0/.hidden.png"] {
        std::fs::copy(folder.join("0/003.bmp"), folder.join(name))?;
    }
    for name in ["README.md", "0/README.md", "0/Thumbs.db", "1/desktop.ini", "notes/00001.json"] {
        std::fs::write(folder.join(name), "not an image")?;
    }
    Ok(std::fs::write(folder.join("2/empty.png"), "")?)
}

#[test]
fn what_is_no_image_changes_nothing() -> Outcome {
    let studio = Studio::with(60)?;
    copy(&studio.path("p"), &studio.path("v"))?;
    let args = ["--validation", "v", "--epochs", "2"];
    let said = expect(0, &train(&studio, "tidy", &args)?)?;
    assert!(!said.contains("left out") && !said.contains("not classes"), "{said}");
    assert!(!studio.path("tidy/failed.csv").exists());
    for folder in ["p", "v"] {
        litter(&studio.path(folder))?;
    }
    let said = expect(0, &train(&studio, "untidy", &args)?)?;
    for folder in ["p", "v"] {
        for line in [
            "not classes (hidden, or without images): .ipynb_checkpoints, __MACOSX, bare, notes",
            "left out 4 files: not images",
        ] {
            assert!(said.contains(&format!("{folder}: {line}")), "{line}: {said}");
        }
    }
    assert!(said.contains("left out (image 1): p/2/empty.png: not a readable image"), "{said}");
    assert!(said.contains("60 images of 3 classes"), "{said}");
    let names: Vec<String> = failed(&studio, "untidy")?.into_iter().map(|(file, _)| file).collect();
    assert_eq!(names, ["p/2/empty.png", "v/2/empty.png"]);
    same_results(&studio, "tidy", "untidy")
}

#[cfg(target_os = "linux")]
#[test]
fn classes_have_names_of_any_bytes_and_links_are_followed_once() -> Outcome {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    let studio = Studio::with(60)?;
    let latin = studio.path("p").join(OsStr::from_bytes(b"caf\xe9"));
    std::fs::rename(studio.path("p/2"), &latin)?;
    // A part of a class lies elsewhere; a link back and a link to all of it add nothing.
    std::fs::create_dir(studio.path("elsewhere"))?;
    std::fs::rename(studio.path("p/0/003.bmp"), studio.path("elsewhere/003.bmp"))?;
    symlink(studio.path("elsewhere"), studio.path("p/0/link"))?;
    symlink(studio.path("elsewhere"), studio.path("p/0/twice"))?;
    symlink(studio.path("p"), studio.path("elsewhere/up"))?;
    truncate(&latin.join("002.png"))?;
    let args = ["--epochs", "4", "--checkpoint-every", "1"];
    let said = expect(0, &train(&studio, "whole", &args)?)?;
    assert!(said.contains("60 images of 3 classes"), "{said}");
    assert!(said.contains("left out (image 1): p/caf\\xe9/002.png: not a readable"), "{said}");
    assert_eq!(failed(&studio, "whole")?[0].0, "p/caf\\xe9/002.png");
    let config: Value = serde_json::from_slice(&studio.read("whole/config.json")?)?;
    assert_eq!(config["label_names"], serde_json::json!(["0", "1", "caf\\xe9"]));
    let mut child = begun(&studio, "killed", &args)?;
    while !studio.path("killed/checkpoint.safetensors").exists() {
        assert!(child.try_wait()?.is_none(), "done too early");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill()?;
    child.wait()?;
    let said = expect(0, &train(&studio, "killed", &[&args[..], &["--resume"]].concat())?)?;
    assert!(said.contains("resuming from epoch"), "{said}");
    same_results(&studio, "whole", "killed")?;
    // `classify` prints these names.
    let mut classify = bottleneck();
    classify.current_dir(studio.0.path()).args(["classify", "--weights", "whole", "--csv"]);
    let entries = std::fs::read_dir(&latin)?.collect::<std::io::Result<Vec<_>>>()?;
    let names = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let whole = names.filter(|name| name != "002.png").min().ok_or("no other image")?;
    let output = run(classify.args(["--top", "3", "p/0/000.png"]).arg(latin.join(&whole)))?;
    expect(0, &output)?;
    let csv = String::from_utf8(output.stdout)?;
    assert!(csv.contains(",caf\\xe9,") && csv.contains(&format!("caf\\xe9/{whole},1,")), "{csv}");
    // Two folders with one text.
    std::fs::create_dir(studio.path("p/caf\\xe9"))?;
    std::fs::copy(studio.path("p/1/004.png"), studio.path("p/caf\\xe9/004.png"))?;
    let output = train(&studio, "other", &args)?;
    assert_eq!(complaint(&output, 2, &["two classes", "caf\\xe9"]), None);
    Ok(())
}

/// Killed at ten random moments and resumed, a run that leaves out images ends as one that nobody
/// disturbed, although these images are deleted or repaired in between.
#[test]
fn killed_runs_leave_out_the_same_images() -> Outcome {
    let studio = Studio::with(66)?;
    let bad = ["0/000.png", "1/010.png", "2/020.png", "2/050.png"];
    let good = studio.read("p/0/006.png")?;
    for name in bad {
        truncate(&studio.path("p").join(name))?;
    }
    copy(&studio.path("p"), &studio.path("v"))?;
    copy(&studio.path("p"), &studio.path("first"))?;
    let accumulate = ["--accumulate", "3", "--batch", "5", "--optimizer", "adamw"];
    for (name, further) in [("plain", &[][..]), ("accumulated", &accumulate)] {
        for folder in ["p", "v"] {
            std::fs::remove_dir_all(studio.path(folder))?;
            copy(&studio.path("first"), &studio.path(folder))?;
        }
        let base = ["--epochs", "14", "--checkpoint-every", "1", "--validation", "v"];
        let args = [&base, further].concat();
        let (whole, killed) = (format!("whole-{name}"), format!("killed-{name}"));
        let said = expect(0, &train(&studio, &whole, &args)?)?;
        assert!(said.contains(&format!("left out 8 images: {whole}/failed.csv")), "{said}");
        let resumed = [&args, &["--resume"][..]].concat();
        let written = |file: &str| {
            let path = studio.path(&killed).join(file);
            std::fs::metadata(path).and_then(|about| about.modified()).ok()
        };
        let mut random = Seeded::new(5);
        for kill in 0..10 {
            let mut before = written("checkpoint.safetensors");
            let mut child = begun(&studio, &killed, &resumed)?;
            // Every other time while it starts; else after some checkpoints, one per step.
            for _ in 0..kill % 2 * (1 + random.below(6)) {
                while written("checkpoint.safetensors") == before {
                    assert!(child.try_wait()?.is_none(), "{name}: done after {kill} kills");
                    std::thread::sleep(Duration::from_micros(200));
                }
                before = written("checkpoint.safetensors");
            }
            std::thread::sleep(Duration::from_millis(random.below(30) as u64));
            assert!(child.try_wait()?.is_none(), "{name}: done after {kill} kills");
            child.kill()?;
            child.wait()?;
            // From the first list on, it does not matter what becomes of them.
            if written("images.jsonl").is_some() {
                let image = studio.path("p").join(bad[kill % bad.len()]);
                match kill {
                    // It is repaired only where it is known to be left out.
                    5.. if image.exists() && left_out(&studio, &killed, bad[kill % 4])? => {
                        std::fs::write(image, &good)?;
                    }
                    1 | 3 => std::fs::remove_file(image)?,
                    _ => {}
                }
            }
        }
        let said = expect(0, &train(&studio, &killed, &resumed)?)?;
        assert!(said.contains("left out before (killed"), "{said}");
        same_results(&studio, &whole, &killed)?;
        let names = |out: &str| -> Result<Vec<String>> {
            Ok(failed(&studio, out)?.into_iter().map(|(file, _)| file).collect())
        };
        assert_eq!(names(&whole)?, names(&killed)?);
    }
    Ok(())
}

/// Whether failed.csv names an image of `p`.
fn left_out(studio: &Studio, out: &str, name: &str) -> Result<bool> {
    if !studio.path(out).join("failed.csv").exists() {
        return Ok(false);
    }
    Ok(failed(studio, out)?.iter().any(|(file, _)| *file == format!("p/{name}")))
}

#[test]
fn a_strict_run_stops_at_the_image() -> Outcome {
    let studio = Studio::with(60)?;
    std::fs::write(studio.path("p/1/zero.png"), "")?;
    let output = train(&studio, "out", &["--strict"])?;
    assert_eq!(complaint(&output, 2, &["p/1/zero.png: not a readable image", "--strict"]), None);
    assert!(!studio.path("out").exists());
    std::fs::remove_file(studio.path("p/1/zero.png"))?;
    // Later, when the pixels are read; the steps before are kept.
    let good = studio.read("p/2/020.png")?;
    truncate(&studio.path("p/2/020.png"))?;
    let said = expect(2, &train(&studio, "out", &["--strict"])?)?;
    assert!(said.contains("error: p/2/020.png: not a readable image"), "{said}");
    assert!(!studio.path("out/failed.csv").exists());
    std::fs::write(studio.path("p/2/020.png"), good)?;
    let resumed = ["--strict", "--resume"];
    expect(0, &train(&studio, "out", &resumed)?)?;
    expect(0, &train(&studio, "whole", &[])?)?;
    same_results(&studio, "whole", "out")
}

/// Images that were there at the first start, and cannot be read when it is resumed.
#[test]
fn what_is_lost_between_two_runs_is_left_out() -> Outcome {
    let studio = Studio::with(60)?;
    expect(0, &train(&studio, "out", &["--epochs", "1"])?)?;
    std::fs::write(studio.path("p/1/004.png"), "")?;
    std::fs::remove_file(studio.path("p/2/005.bmp"))?;
    let more = ["--resume", "--epochs", "2", "--strict"];
    let said = expect(2, &train(&studio, "out", &more)?)?;
    assert!(said.contains("error: p/1/004.png: not a readable image: the file is empty"), "{said}");
    assert!(!studio.path("out/failed.csv").exists());
    let said = expect(0, &train(&studio, "out", &more[..3])?)?;
    assert!(said.contains("left out (image 2): p/2/005.bmp: "), "{said}");
    assert!(said.contains("58 images of 3 classes"), "{said}");
    assert_eq!(failed(&studio, "out")?.len(), 2);
    // Nothing is left out for good if the folder is not what it was.
    std::fs::rename(studio.path("p"), studio.path("q"))?;
    copy(&studio.path("q/0"), &studio.path("p/1"))?;
    let list = studio.read("out/images.jsonl")?;
    let said = expect(2, &train(&studio, "out", &["--resume", "--epochs", "3"])?)?;
    assert!(said.contains("error: found 0 images (60 cannot be read)"), "{said}");
    assert!(studio.read("out/images.jsonl")? == list);
    Ok(())
}

#[test]
fn a_run_without_a_step_is_refused() -> Outcome {
    let studio = Studio::with(9)?;
    for name in ["p/0/000.png", "p/2/008.png"] {
        truncate(&studio.path(name))?;
    }
    let said = expect(2, &train(&studio, "out", &[])?)?;
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: 7 images are left, fewer than the 8 of one step"), "{said}");
    std::fs::write(studio.path("p/0/006.png"), "")?;
    std::fs::write(studio.path("p/2/002.png"), "")?;
    let output = train(&studio, "other", &[])?;
    assert_eq!(complaint(&output, 2, &["found 7 images (2 cannot be read)", "the 8 of"]), None);
    assert!(!studio.path("other").exists());
    Ok(())
}

/// What has changed in the folder of images is not taken over, and other images are refused.
#[test]
fn a_resumed_run_has_the_images_of_its_first_start() -> Outcome {
    let studio = Studio::with(60)?;
    expect(0, &train(&studio, "out", &["--epochs", "1"])?)?;
    std::fs::copy(studio.path("p/0/000.png"), studio.path("p/0/new.png"))?;
    let more = ["--resume", "--epochs", "3"];
    let said = expect(0, &train(&studio, "out", &more)?)?;
    assert!(said.contains("p: 1 image not there at the first start, and not used"), "{said}");
    assert!(
        said.contains("--epochs is 3 and was 1: from step 8 on, the schedule of learning"),
        "{said}"
    );
    assert_eq!(String::from_utf8(studio.read("out/log.csv")?)?.lines().count(), 4);
    std::fs::remove_file(studio.path("p/0/new.png"))?;
    let output = train(&studio, "out", &["--resume", "--epochs", "2"])?;
    assert_eq!(complaint(&output, 2, &["epochs was 3, and is 2 now"]), None);
    // The same images may have moved; others are a mistake.
    std::fs::rename(studio.path("p"), studio.path("q"))?;
    expect(0, &train(&studio, "out", &["--resume", "--epochs", "4", "--data", "q"])?)?;
    copy(&studio.path("q"), &studio.path("r"))?;
    std::fs::remove_file(studio.path("r/1/010.png"))?;
    let output = train(&studio, "out", &["--resume", "--epochs", "5", "--data", "r"])?;
    assert_eq!(complaint(&output, 2, &["r/1/010.png: not found", "the same images"]), None);
    Ok(())
}

/// Checkpoints of versions that had no list of images.
#[test]
fn checkpoints_without_a_list_are_resumed_or_refused() -> Outcome {
    let studio = Studio::with(60)?;
    expect(0, &train(&studio, "whole", &[])?)?;
    expect(0, &train(&studio, "out", &["--epochs", "1"])?)?;
    let args = ["--resume"];
    // As an earlier version wrote it: the place of the end of an epoch is implied.
    let path = studio.path("out/checkpoint.safetensors");
    let bytes = std::fs::read(&path)?;
    let old = |change: &dyn Fn(&mut std::collections::HashMap<String, String>)| -> Outcome {
        Ok(std::fs::write(&path, without_checksum(&bytes, change)?)?)
    };
    std::fs::remove_file(studio.path("out/images.jsonl"))?;
    old(&|texts| drop(texts.insert("format".into(), "wgpu-bottleneck training 2".into())))?;
    let output = train(&studio, "out", &args)?;
    assert_eq!(complaint(&output, 2, &["its images are in out/images.jsonl"]), None);
    old(&|texts| drop(texts.remove("place")))?;
    std::fs::copy(studio.path("p/0/000.png"), studio.path("p/0/new.png"))?;
    let output = train(&studio, "out", &args)?;
    assert_eq!(complaint(&output, 2, &["with other images (60 of checksum", "--data"]), None);
    std::fs::remove_file(studio.path("p/0/new.png"))?;
    // An image at which the earlier version stopped is left out now.
    std::fs::write(studio.path("p/1/010.png"), "")?;
    let said = expect(0, &train(&studio, "out", &args)?)?;
    assert!(said.contains("left out (image 1): p/1/010.png"), "{said}");
    let checkpoint = StateDict::open(&path)?;
    assert_eq!(checkpoint.metadata("steps"), Some("21"));
    Ok(())
}

/// A run that has written its first checkpoint to `out`.
fn running(studio: &Studio, args: &[&str]) -> Result<Child> {
    let mut child = begun(studio, "out", args)?;
    let waited = Instant::now();
    while !studio.path("out/checkpoint.safetensors").exists() {
        assert!(child.try_wait()?.is_none() && waited.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(child)
}

#[test]
fn a_folder_has_one_run_at_a_time() -> Outcome {
    let studio = Studio::with(60)?;
    let epochs = ["--epochs", "30"];
    expect(0, &train(&studio, "alone", &epochs)?)?;
    // The second run does not affect the first run.
    let mut child = running(&studio, &epochs)?;
    for args in [&["--resume"][..], &[]] {
        let begun = Instant::now();
        let output = train(&studio, "out", &[&epochs, args].concat())?;
        assert_eq!(complaint(&output, 2, &["out: another run", "choose another --out"]), None);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
    assert!(child.try_wait()?.is_none(), "done too early");
    expect(0, &child.wait_with_output()?)?;
    same_results(&studio, "alone", "out")?;
    std::fs::remove_dir_all(studio.path("out"))?;
    child = running(&studio, &["--epochs", "200"])?;
    for args in [&["--epochs", "200", "--resume"][..], &[]] {
        let output = train(&studio, "out", args)?;
        assert_eq!(complaint(&output, 2, &["out: another run", "choose another --out"]), None);
    }
    child.kill()?;
    child.wait()?;
    // What a killed run leaves locks nothing.
    assert!(studio.path("out/train.lock").exists());
    let output = train(&studio, "out", &[])?;
    assert_eq!(complaint(&output, 2, &["already exists: --resume continues"]), None);
    assert!(!studio.path("out/train.lock").exists());
    Ok(())
}

/// best.safetensors is the network after the best epoch of the log, with its configuration.
#[test]
fn the_best_epoch_is_kept() -> Outcome {
    let studio = Studio::with(60)?;
    // Without a decay, a shorter run is the beginning of a longer one.
    let args = ["--validation", "p", "--decay", "constant", "--warmup", "0", "--lr", "0.3"];
    let of =
        |out: &str, epochs: &str| train(&studio, out, &[&args[..], &["--epochs", epochs]].concat());
    expect(0, &of("long", "6")?)?;
    let mut rows = csv::Reader::from_path(studio.path("long/log.csv"))?;
    let mut best: Option<(f64, f64, usize)> = None;
    for row in rows.records() {
        let row = row?;
        let (loss, accuracy): (f64, f64) = (row[5].parse()?, row[6].parse()?);
        if best.is_none_or(|(most, least, _)| accuracy > most || accuracy == most && loss < least) {
            best = Some((accuracy, loss, row[0].parse()?));
        }
    }
    let (_, _, epoch) = best.ok_or("no epoch")?;
    expect(0, &of("short", &epoch.to_string())?)?;
    assert!(studio.read("long/best.safetensors")? == studio.read("short/model.safetensors")?);
    assert!(
        epoch == 6
            || studio.read("long/best.safetensors")? != studio.read("long/model.safetensors")?
    );
    // Without validation there is none.
    expect(0, &train(&studio, "none", &["--epochs", "1"])?)?;
    assert!(!studio.path("none/best.safetensors").exists());
    Ok(())
}

/// A class of unreadable images stays a class, and a warning names it.
#[test]
fn a_class_of_damaged_images_is_named() -> Outcome {
    let studio = Studio::with(60)?;
    std::fs::create_dir(studio.path("p/damaged"))?;
    std::fs::write(studio.path("p/damaged/empty.png"), "")?;
    let said = expect(0, &train(&studio, "out", &["--epochs", "1"])?)?;
    assert!(said.contains("no image of these classes can be read: damaged"), "{said}");
    Ok(())
}
