//! The error line for a panic, which is a bug of the program or of a library that it uses.

use std::sync::{Mutex, PoisonError};

use super::output;

/// The report of the last panic.
static LAST: Mutex<Option<String>> = Mutex::new(None);

/// Stores panics instead of printing them. The library returns panics of a lost device as errors;
/// [`line`] reports the others.
pub fn remember_panics() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("panic").lines().next().unwrap_or_default();
        let place = info.location().map(|at| place(at.file(), at.line()));
        let report = report(text, place.as_deref());
        tracing::debug!("panic: {report}");
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
    }));
}

/// The error line for the last panic: the version, the place, and how to report the bug.
pub fn line() -> String {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).take();
    last.unwrap_or_else(|| report("panic", None))
}

fn report(text: &str, place: Option<&str>) -> String {
    let (version, text) = (env!("CARGO_PKG_VERSION"), output::shown(text));
    let place = place.map_or_else(String::new, |place| format!(" ({place})"));
    format!(
        "bug in bottleneck {version}{place}: {text}; please report this line and the command, as \
        CONTRIBUTING.md describes"
    )
}

/// A location in source code as `CRATE-VERSION/src/FILE:LINE`. Removes the folders of the build
/// machine from the path.
fn place(file: &str, line: u32) -> String {
    let file = file.replace('\\', "/");
    let is_absolute = file.starts_with('/') || file.contains(':');
    let short = if is_absolute {
        in_crate(&file)
    } else {
        // Cargo builds a package with paths relative to the package.
        format!("{}-{}/{file}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
    };
    format!("{short}:{line}")
}

/// The part of an absolute path that begins with the folder of the crate.
fn in_crate(file: &str) -> String {
    let parts: Vec<&str> = file.split('/').collect();
    // Cargo unpacks a crate to `registry/src/INDEX/CRATE-VERSION`. Other crates (the standard
    // library, dependencies by path or git) have their files in `src`.
    let unpacked = parts.windows(2).position(|two| two == ["registry", "src"]).map(|at| at + 3);
    let before_src = || {
        let at = parts.iter().rposition(|part| *part == "src")?.checked_sub(1)?;
        (!parts[at].is_empty()).then_some(at)
    };
    let from = unpacked.or_else(before_src).unwrap_or(parts.len());
    match parts.get(from..) {
        Some(rest) if !rest.is_empty() => rest.join("/"),
        _ => parts.last().copied().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_no_path_of_the_build_machine() {
        let own = format!("wgpu-bottleneck-{}", env!("CARGO_PKG_VERSION"));
        let index = "registry/src/index.crates.io-1949cf8c6b5b557f";
        for (file, expected) in [
            ("src/cli/mod.rs", format!("{own}/src/cli/mod.rs:7")),
            (r"src\cli\mod.rs", format!("{own}/src/cli/mod.rs:7")),
            (
                &format!("/home/u/.cargo/{index}/wgpu-hal-30.0.1/src/vulkan/device.rs"),
                "wgpu-hal-30.0.1/src/vulkan/device.rs:7".to_owned(),
            ),
            (
                &format!("/home/u/.cargo/{index}/a-1.0.0/src/src/lib.rs"),
                "a-1.0.0/src/src/lib.rs:7".to_owned(),
            ),
            (
                &format!(r"C:\Users\u\.cargo\{index}\png-0.18.1\lib.rs").replace('/', r"\"),
                "png-0.18.1/lib.rs:7".to_owned(),
            ),
            (
                "/rustc/0123456789abcdef/library/core/src/option.rs",
                "core/src/option.rs:7".to_owned(),
            ),
            (
                "/home/u/.rustup/lib/rustlib/src/rust/library/std/src/sync/mpsc.rs",
                "std/src/sync/mpsc.rs:7".to_owned(),
            ),
            ("/home/u/work/made/src/lib.rs", "made/src/lib.rs:7".to_owned()),
            ("/home/u/made.rs", "made.rs:7".to_owned()),
            ("/src/made.rs", "made.rs:7".to_owned()),
        ] {
            assert_eq!(place(file, 7), expected);
        }
    }

    #[test]
    fn a_report_is_one_line() {
        let line = report("called on a\nNone\u{1b}[31m", Some("a-1.0.0/src/lib.rs:7"));
        let version = env!("CARGO_PKG_VERSION");
        assert!(line.starts_with(&format!("bug in bottleneck {version} (a-1.0.0/src/lib.rs:7): ")));
        assert!(!line.contains(char::is_control), "{line}");
    }
}
