//! The environment of the program: variables with arbitrary bytes, and cache files of other users.
#![cfg(unix)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use crate::common::Outcome;
use crate::program::{Result, bottleneck, complaint, good_folder, run, stderr};

/// Variables that are not UTF-8 are refused. The message has one line, whatever they contain.
#[test]
fn variables_that_are_not_utf8_are_refused() -> Outcome {
    let folder = good_folder()?;
    for variable in
        ["WGPU_BACKEND", "WGPU_ADAPTER_NAME", "WGPU_POWER_PREF", "WGPU_DEBUG", "RUST_LOG"]
    {
        let value = OsStr::from_bytes(b"a\xffb");
        let output = run(folder.block_command(&["--stride", "2"]).env(variable, value))?;
        let said = format!("{variable}=a\\xffb is not valid: expected");
        assert_eq!(complaint(&output, 2, &[&said]), None);
        assert_eq!(folder.files()?, ["in", "w"], "{variable}");
    }
    // `devices` does not choose an adapter.
    let output = run(bottleneck().arg("devices").env("WGPU_BACKEND", OsStr::from_bytes(b"\xc3")))?;
    assert_eq!(complaint(&output, 2, &["WGPU_BACKEND=\\xc3"]), None);
    for (variable, said) in [
        ("WGPU_BACKEND", "WGPU_BACKEND=a\\nb\\u{1b}[31m is not valid"),
        ("WGPU_POWER_PREF", "WGPU_POWER_PREF=a\\nb\\u{1b}[31m is not valid"),
        ("WGPU_ADAPTER_NAME", "adapter \"a\\nb\\u{1b}[31m\""),
    ] {
        let mut command = folder.block_command(&["--stride", "2"]);
        let output = run(command.env(variable, "a\nb\u{1b}[31m"))?;
        assert_eq!(complaint(&output, 2, &[said]), None);
    }
    Ok(())
}

/// The files below a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

#[test]
fn a_cache_directory_has_a_name_of_any_bytes() -> Outcome {
    let folder = good_folder()?;
    let cache = folder.0.path().join(OsString::from_vec(b"caf\xe9".to_vec()));
    for _ in 0..2 {
        let mut command = folder.block_command(&["--stride", "2"]);
        let output = run(command.env("XDG_CACHE_HOME", &cache).env("HOME", &cache))?;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(!stderr(&output).contains("is ignored"), "{}", stderr(&output));
    }
    // Not every adapter keeps pipelines.
    if cache.exists() {
        assert!(!files(&cache)?.is_empty());
    }
    Ok(())
}

/// Only root can give files to another user, so for other users this test ends early.
#[test]
fn cache_files_of_other_users_are_not_read() -> Outcome {
    let folder = good_folder()?;
    let cache = folder.path("cache");
    let cached = |command: &mut std::process::Command| {
        run(command.env("XDG_CACHE_HOME", &cache).env("HOME", &cache).env_remove("RUST_LOG"))
    };
    let tune = || {
        let shape = ["--block", "--inplanes", "8", "--planes", "4", "--size", "4x4"];
        let mut command = bottleneck();
        command.args(["tune", "--quick", "--assert=1e9"]).args(shape);
        command
    };
    let tuned = || folder.block_command(&["--stride", "2", "--tuned"]);
    assert_eq!(cached(&mut tune())?.status.code(), Some(0));
    let output = cached(&mut tuned())?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!stderr(&output).contains("has no times"), "{}", stderr(&output));
    let user = std::fs::metadata(&cache)?.uid();
    // Excludes the driver's files.
    let mut all = files(&cache)?;
    all.retain(|file| file.components().any(|part| part.as_os_str() == "wgpu-bottleneck"));
    for file in &all {
        if chown(file, Some(user + 1), None).is_err() {
            return Ok(());
        }
    }
    let refused = |said: &str| said.matches(&format!("it belongs to user {}", user + 1)).count();
    let output = cached(&mut tuned())?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(refused(&said) == all.len() && said.contains("has no times"), "{said}");
    // The previous command has replaced the file of pipelines. `tune` replaces the table.
    let output = cached(&mut tune())?;
    assert_eq!((output.status.code(), refused(&stderr(&output))), (Some(0), 1));
    let output = cached(&mut tuned())?;
    assert_eq!((output.status.code(), refused(&stderr(&output))), (Some(0), 0));
    // A table of `--tuned=FILE` may belong to another user.
    let table = all.iter().find(|file| file.extension().is_some_and(|it| it == "json"));
    let copy = folder.path("table.json");
    std::fs::copy(table.ok_or("no table")?, &copy)?;
    chown(&copy, Some(user + 1), None)?;
    let argument = format!("--tuned={}", copy.display());
    let output = cached(&mut folder.block_command(&["--stride", "2", &argument]))?;
    assert_eq!((output.status.code(), refused(&stderr(&output))), (Some(0), 0));
    Ok(())
}
