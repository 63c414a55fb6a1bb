//! Which files have rows, and which rows have vectors.

#[cfg(unix)]
use std::process::Command;

use super::studio::{FORMATS, Studio, Table, native, network, table};
use crate::common::Outcome;
use crate::program::{bottleneck, complaint, run};

/// Files that are no images have a row with an error, and the others their vectors.
#[test]
fn what_is_no_image_is_named_and_skipped() -> Outcome {
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
        ("broken.png", broken, "not a readable image"),
        ("truncated.png", good[..good.len() / 2].to_vec(), "not a readable image"),
        ("zero.jpg", Vec::new(), "the file is empty"),
        ("huge.bmp", huge, "60000 x 60000 pixels"),
        ("notes.TIF", b"not a picture at all".to_vec(), "not PNG"),
    ];
    for (name, bytes, _) in &bad {
        std::fs::write(studio.path("p").join(name), bytes)?;
    }
    for format in FORMATS {
        let out = format!("out.{format}");
        let said = studio.expect(3, &out, &[])?;
        assert!(
            said.contains("11 images, 6 vectors, 5 errors") && said.contains("\n6 images in "),
            "{said}"
        );
        assert!(said.contains("error: 5 of 11 images failed ("), "{said}");
        let table = table(&studio.path(&out))?;
        assert_eq!((table.len(), table.values().filter(|row| row.is_ok()).count()), (11, 6));
        for (name, _, reason) in &bad {
            let path = native(&format!("p/{name}"));
            let error = table[&path].as_ref().err().ok_or("a vector")?;
            assert!(error.contains(reason) && !error.contains(&path), "{path}: {error}");
            assert!(said.contains(&format!("{path}: {error}")), "{said}");
        }
        // Retrying changes nothing except for repaired files.
        let before = studio.bytes(&out)?;
        for args in ["--resume", "--retry-failed"] {
            studio.expect(3, &out, &[args])?;
            assert!(studio.bytes(&out)? == before);
        }
        std::fs::write(studio.path("p/truncated.png"), &good)?;
        let said = studio.expect(3, &out, &["--resume"])?;
        assert!(
            said.contains("11 images, 7 vectors, 4 errors") && said.contains("\n1 image in "),
            "{said}"
        );
        let said = studio.expect(3, &out, &["--retry-failed"])?;
        assert!(
            said.contains("11 images, 7 vectors, 4 errors")
                && said.contains("\nno image computed in "),
            "{said}"
        );
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

/// Files that are no images by name and first bytes have no row in `embed` and `classify`, unless
/// they are named.
#[test]
fn other_files_are_left_out_and_counted() -> Outcome {
    let studio = Studio::with(6)?;
    studio.expect(0, "whole.parquet", &[])?;
    let mut whole = table(&studio.path("whole.parquet"))?;
    let others = ["notes.txt", "0/Thumbs.db", "1/desktop.ini", "00001.json"];
    for name in others.into_iter().chain([".hidden.png"]) {
        std::fs::write(studio.path("p").join(name), "BM is not a bitmap here")?;
    }
    std::fs::create_dir(studio.path("p/.ipynb_checkpoints"))?;
    std::fs::copy(studio.path("p/0/000.png"), studio.path("p/.ipynb_checkpoints/0.png"))?;
    // Known by its first bytes.
    std::fs::rename(studio.path("p/0/000.png"), studio.path("p/0/000"))?;
    let row = whole.remove(&native("p/0/000.png")).ok_or("no row")?;
    whole.insert(native("p/0/000"), row);
    let said = studio.expect(0, "out.parquet", &[])?;
    assert!(said.contains("left out 4 files: not images, by name and first bytes"), "{said}");
    assert!(table(&studio.path("out.parquet"))? == whole);
    let classify = |file: &str| {
        let args = ["classify", "--weights", "w.safetensors", "--json", file];
        run(bottleneck().current_dir(studio.0.path()).args(args))
    };
    let output = classify("p")?;
    let said = String::from_utf8(output.stderr)?;
    assert!(output.status.code() == Some(0) && said.contains("left out 4 files"), "{said}");
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(rows.as_array().map(Vec::len), Some(6));
    for name in others {
        let output = classify(&format!("p/{name}"))?;
        assert_eq!(output.status.code(), Some(3), "{name}");
        assert!(String::from_utf8(output.stdout)?.contains("not a readable image"), "{name}");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn links_to_folders_are_followed_once() -> Outcome {
    use std::os::unix::fs::symlink;
    let studio = Studio::with(4)?;
    std::fs::rename(studio.path("p/1"), studio.path("elsewhere"))?;
    symlink("../elsewhere", studio.path("p/a"))?;
    symlink("../elsewhere", studio.path("p/b"))?;
    symlink("..", studio.path("elsewhere/up"))?;
    symlink("../p", studio.path("p/0/again"))?;
    studio.expect(0, "out.parquet", &[])?;
    let rows = table(&studio.path("out.parquet"))?;
    let names: Vec<&str> = rows.keys().map(String::as_str).collect();
    assert_eq!(names, ["p/0/000.png", "p/0/003.bmp", "p/2/002.png", "p/a/001.bmp"]);
    Ok(())
}

/// One image that cannot be read: no rate, and the right number of images.
#[test]
fn a_single_image_may_fail() -> Outcome {
    let studio = Studio::new()?;
    std::fs::write(studio.path("p/notes.png"), "not a picture")?;
    let said = studio.expect(3, "out.npy", &[])?;
    let name = native("p/notes.png");
    assert!(
        said.ends_with(&format!("error: 1 of 1 image failed ({name}): --retry-failed tries again")),
        "{said}"
    );
    assert!(said.contains("\nno image computed in ") && !said.contains("/s"), "{said}");
    let said = studio.expect(3, "out.npy", &["--resume"])?;
    assert!(said.contains("1 of 1 image already processed"), "{said}");
    Ok(())
}

/// Weights that send some images beyond what f32 holds.
#[test]
fn what_is_not_finite_is_an_error_and_no_number() -> Outcome {
    let studio = Studio::new()?;
    for level in 0..8_u8 {
        let image = image::RgbImage::from_fn(40, 40, |x, y| {
            image::Rgb([level * 36, (x * y) as u8 * level / 8, 9])
        });
        image.save(studio.path("p").join(format!("{level}.png")))?;
    }
    std::fs::write(studio.path("w.safetensors"), network(2e37)?)?;
    for format in FORMATS {
        let out = format!("out.{format}");
        let said = studio.expect(3, &out, &[])?;
        let rows = table(&studio.path(&out))?;
        let errors: Vec<&String> = rows.values().filter_map(|row| row.as_ref().err()).collect();
        assert!(
            rows.len() == 8
                && rows[&native("p/0.png")].is_ok()
                && rows[&native("p/7.png")].is_err(),
            "{said}"
        );
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
        assert_eq!(
            complaint(&studio.embed("out.npy", &["--shard", shard])?, 2, &["--shard", "i/n"]),
            None
        );
    }
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
    assert!(said.contains("\n1 image in "), "{said}");
    studio.expect(0, "whole.npy", &[])?;
    assert!(studio.bytes("out.npy")? == studio.bytes("whole.npy")?);
    // Other names for the same files would lose everything.
    let whole = studio.bytes("whole.npy")?;
    let mut elsewhere = bottleneck();
    elsewhere.current_dir(studio.path("p")).args([
        "embed",
        "--weights",
        "../w.safetensors",
        "--resume",
        "--out",
    ]);
    let output = run(elsewhere.args(["../whole.npy", "--config", "../config.json", "."]))?;
    assert_eq!(complaint(&output, 2, &["9 rows", &native("p/0/003.bmp"), "same way"]), None);
    assert!(studio.bytes("whole.npy")? == whole);
    Ok(())
}

#[cfg(unix)]
#[test]
fn pipes_are_left_out_and_links_to_nothing_are_errors() -> Outcome {
    let studio = Studio::with(2)?;
    crate::program::make_pipe(&studio.path("p/pipe.png"))?;
    std::os::unix::fs::symlink("nowhere", studio.path("p/link.png"))?;
    std::os::unix::fs::symlink("0/000.png", studio.path("p/other.png"))?;
    studio.expect(3, "out.parquet", &[])?;
    let table = table(&studio.path("out.parquet"))?;
    assert_eq!((table.len(), &table["p/other.png"]), (4, &table["p/0/000.png"]));
    assert!(table["p/link.png"].as_ref().is_err_and(|error| error.contains("No such file")));
    Ok(())
}

/// A TIFF file with texts of 512 MiB in place of numbers: the decoder printed a line.
fn tiff_of_a_long_text() -> Vec<u8> {
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        let (tag, kind) = (tag.to_le_bytes(), kind.to_le_bytes());
        [&tag[..], &kind, &count.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    let entries = [
        entry(256, 3, 1, 1),
        entry(257, 3, 1, 1),
        entry(258, 2, 1 << 29, 8),
        entry(259, 3, 1, 1),
        entry(262, 3, 1, 1),
        entry(273, 4, 1, 8),
        entry(274, 2, 1 << 29, 8),
        entry(277, 3, 1, 1),
        entry(279, 4, 1, 1),
    ];
    let count = (entries.len() as u16).to_le_bytes();
    [b"II*\0\x0a\0\0\0\x07\0", &count[..], &entries.concat(), &[0; 4]].concat()
}

/// A folder with two good images, the files of `tests/faults/inputs`, and a damaged TIFF file. Also
/// returns the names of the bad files.
fn with_hostile_files() -> crate::program::Result<(Studio, Vec<String>)> {
    let studio = Studio::with(2)?;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/inputs");
    let mut names = vec!["tag-of-512MiB.tif".to_owned()];
    std::fs::write(studio.path("p").join(&names[0]), tiff_of_a_long_text())?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        std::fs::copy(entry.path(), studio.path("p").join(&name))?;
        names.push(name);
    }
    assert!(names.len() > 3, "{names:?}");
    Ok((studio, names))
}

#[test]
fn hostile_files_have_rows_with_errors_and_others_their_vectors() -> Outcome {
    let (studio, names) = with_hostile_files()?;
    let said = studio.expect(3, "out.parquet", &[])?;
    assert!(!said.contains("ifd.rs") && !said.contains(".rs:"), "{said}");
    let table = table(&studio.path("out.parquet"))?;
    assert_eq!(table.len(), names.len() + 2);
    for name in &names {
        let row = &table[&native(&format!("p/{name}"))];
        let named = row.as_ref().is_err_and(|error| {
            error.contains("not a readable image: its") && !error.contains("panicked")
        });
        assert!(named && said.contains(name.as_str()), "{name}: {row:?}; {said}");
    }
    assert!(table[&native("p/0/000.png")].is_ok() && table[&native("p/1/001.bmp")].is_ok());
    Ok(())
}

/// With less address space than the length in an image's metadata.
#[cfg(unix)]
#[test]
fn hostile_files_are_refused_with_little_memory() -> Outcome {
    let (studio, names) = with_hostile_files()?;
    let program = studio.command("out.parquet", &[]);
    let mut limited = Command::new("sh");
    limited
        .current_dir(studio.0.path())
        .args(["-c", "ulimit -v 3000000 && exec \"$0\" \"$@\""])
        .arg(program.get_program())
        .args(program.get_args())
        .env_remove("RUST_LOG");
    let output = run(&mut limited)?;
    let said = crate::program::stderr(&output);
    // Some drivers reserve more address space than that.
    if output.status.code() == Some(4) {
        eprintln!("not tested, as the device does not start with 3 GB of addresses: {said}");
        return Ok(());
    }
    assert_eq!(output.status.code(), Some(3), "{said}");
    let table = table(&studio.path("out.parquet"))?;
    assert!(names.iter().all(|name| table[&native(&format!("p/{name}"))].is_err()));
    assert!(table[&native("p/0/000.png")].is_ok());
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

/// --resume recomputes exactly the files whose size or modification time changed. Vectors depend on
/// neither.
#[test]
fn images_that_changed_are_computed_again() -> Outcome {
    let studio = Studio::with(12)?;
    let hours_later = |path: &std::path::Path| -> Outcome {
        let file = std::fs::File::options().write(true).open(path)?;
        file.set_modified(
            std::fs::metadata(path)?.modified()? + std::time::Duration::from_secs(3600),
        )?;
        Ok(())
    };
    for format in FORMATS {
        let (out, fresh) = (format!("out.{format}"), format!("fresh.{format}"));
        studio.expect(0, &out, &[])?;
        let first = table(&studio.path(&out))?;
        // No file has changed.
        let (said, bytes) = (studio.expect(0, &out, &["--resume"])?, studio.bytes(&out)?);
        assert!(!said.contains("recomputing") && !said.contains("images in "), "{said}");

        // Another image with the same number of bytes and a later time.
        let path = studio.path("p/1/001.bmp");
        let (old, image) = (std::fs::read(&path)?, native("p/1/001.bmp"));
        let other: Vec<u8> =
            old[..54].iter().copied().chain(old[54..].iter().rev().copied()).collect();
        std::fs::write(&path, &other)?;
        hours_later(&path)?;
        let said = studio.expect(0, &out, &["--resume"])?;
        assert!(
            said.contains(&format!(
                "recomputing 1 image with a changed size or modification time ({image})"
            )),
            "{said}"
        );
        assert!(said.contains("\n1 image in ") || said.contains("1 image in "), "{said}");
        let second = table(&studio.path(&out))?;
        assert_ne!(first[&image], second[&image], "{format}");
        assert!(first.iter().all(|(name, row)| *name == image || second[name] == *row), "{format}");
        studio.expect(0, &fresh, &[])?;
        assert!(studio.bytes(&fresh)? == studio.bytes(&out)?, "{format}");

        // The original image with another time: the vectors are the same bytes as before.
        std::fs::write(&path, &old)?;
        hours_later(&path)?;
        hours_later(&path)?;
        studio.expect(0, &out, &["--resume"])?;
        assert_eq!(table(&studio.path(&out))?, first, "{format}");
        assert!(studio.bytes(&out)? != bytes, "{format}: the times are kept");
        if format == "npy" {
            let vectors = studio.read(&out)?;
            std::fs::write(studio.path("before.npy"), &bytes[..vectors.len()])?;
            assert!(vectors == studio.read("before.npy")?, "the vectors depend on a time");
            std::fs::remove_file(studio.path("before.npy"))?;
        }
        // A failed file is retried once it has changed.
        let broken = studio.path("p/2/broken.png");
        std::fs::write(&broken, "no picture")?;
        studio.expect(3, &out, &["--resume"])?;
        std::fs::copy(studio.path("p/0/000.png"), &broken)?;
        let said = studio.expect(0, &out, &["--resume"])?;
        assert!(said.contains("13 images, 13 vectors, 0 errors"), "{said}");
        std::fs::remove_file(&broken)?;
    }
    Ok(())
}
