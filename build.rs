//! Passes the git commit of the sources to the program, whose reports name it.
//!
//! `BOTTLENECK_BUILD_COMMIT` is the full hash and `BOTTLENECK_BUILD_MODIFIED` says whether a file
//! that the program is built from differs from that commit. Both stay unset outside a git checkout
//! and where git is missing or fails, so that such builds work and their reports say nothing.
//! `BOTTLENECK_COMMIT` in the environment replaces the hash, for builds from an archive.

use std::path::Path;
use std::process::Command;

/// The files that the program is built from.
const SOURCES: [&str; 5] = ["src", "shaders", "Cargo.toml", "Cargo.lock", "build.rs"];

/// Variables that a git hook sets. They would name another repository.
const HOOK: [&str; 3] = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=BOTTLENECK_COMMIT");
    // The library has no reports.
    if std::env::var_os("CARGO_FEATURE_CLI").is_none() {
        return;
    }
    if let Some(commit) =
        std::env::var("BOTTLENECK_COMMIT").ok().filter(|commit| !commit.trim().is_empty())
    {
        println!("cargo::rustc-env=BOTTLENECK_BUILD_COMMIT={}", commit.trim());
        return;
    }
    // A package in a folder of another repository has no `.git`, and that commit is not ours.
    if Path::new(".git").exists() {
        from_git();
    }
}

/// Sets both variables, and asks to be run again when they may change.
fn from_git() {
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return };
    println!("cargo::rustc-env=BOTTLENECK_BUILD_COMMIT={commit}");
    if let Some(changes) = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat()) {
        println!("cargo::rustc-env=BOTTLENECK_BUILD_MODIFIED={}", !changes.is_empty());
    }
    // The log of HEAD grows with every commit and checkout. Without a log, HEAD and its branch
    // change. A path that does not exist would run this script in every build.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists());
    let branch = || {
        git(&["symbolic-ref", "HEAD"]).and_then(|branch| git(&["rev-parse", "--git-path", &branch]))
    };
    let heads = match log {
        Some(log) => vec![Some(log)],
        None => vec![git(&["rev-parse", "--git-path", "HEAD"]), branch()],
    };
    let watched = heads.into_iter().flatten().chain(SOURCES.map(str::to_owned));
    for path in watched.filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
}

/// What git prints, or `None` where it fails.
fn git(args: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    for variable in HOOK {
        git.env_remove(variable);
    }
    let output = git.arg("--no-optional-locks").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
