//! The error line for a panic, which is a bug of the program or of a library that it uses.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};

use super::output;

/// The most panics that are stored. Most are contained: those of decoders, and of wgpu.
const MOST: usize = 256;

/// The last panics of all threads.
static PANICS: Mutex<VecDeque<Panic>> = Mutex::new(VecDeque::new());

/// A panic that was stored when it began.
struct Panic {
    thread: ThreadId,
    /// The address of its message. It stays the same while the panic unwinds and when it is passed
    /// to another thread, so that no other message has it until the panic is caught. `None` if the
    /// payload is not text. Not promised by the standard library; a test checks it.
    address: Option<usize>,
    report: String,
}

/// Stores panics instead of printing them. The library returns panics of a lost device as errors;
/// [`line()`] reports the others.
pub fn remember_panics() {
    std::panic::set_hook(Box::new(remember));
}

fn remember(info: &std::panic::PanicHookInfo<'_>) {
    let message = info.payload_as_str();
    let place = info.location().map(|at| place(at.file(), at.line()));
    let report = report(first_line(message), place.as_deref());
    tracing::debug!("panic: {report}");
    let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
    if panics.len() == MOST {
        panics.pop_front();
    }
    let (thread, address) = (thread::current().id(), message.map(address));
    panics.push_back(Panic { thread, address, report });
}

/// The error line for a panic that was caught: the version, the place, and how to report the bug.
/// The last panic may be another one: of another thread, or contained while this one unwound.
pub fn line(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    let (address, thread) = (text.map(address), thread::current().id());
    let panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = panics.iter().rev().filter(|panic| panic.address == address);
    // A literal has one address, also if several threads panic with it.
    let own = found.clone().find(|panic| panic.thread == thread);
    let panic = own.or_else(|| found.next());
    panic.map_or_else(|| report(first_line(text), None), |panic| panic.report.clone())
}

fn address(text: &str) -> usize {
    text.as_ptr().addr()
}

fn first_line(message: Option<&str>) -> &str {
    message.unwrap_or("panic").lines().next().unwrap_or_default()
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
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn places_have_no_path_of_the_build_machine() {
        let own = format!("wgpu-bottleneck-{}", env!("CARGO_PKG_VERSION"));
        let index = "registry/src/index-0123456789abcdef";
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
            ("/home/u/made/src/lib.rs", "made/src/lib.rs:7".to_owned()),
            ("/home/u/made.rs", "made.rs:7".to_owned()),
            ("/src/made.rs", "made.rs:7".to_owned()),
        ] {
            assert_eq!(place(file, 7), expected);
        }
    }

    /// A message that is not a literal.
    fn text() -> String {
        std::hint::black_box("same text").to_owned()
    }

    /// Contains a panic while another one unwinds.
    struct Contains;

    impl Drop for Contains {
        fn drop(&mut self) {
            assert!(catch_unwind(|| panic!("{}", text())).is_err());
        }
    }

    #[test]
    fn the_caught_panic_is_reported() {
        // The panics of other tests are reported as usual.
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            remember(info);
            usual(info);
        }));
        let of = |work: fn()| catch_unwind(work).err().map(|payload| line(&*payload));
        // Panics are contained before, in another thread, and while it unwinds.
        let at = line!() + 5;
        let escaped = of(|| {
            assert!(catch_unwind(|| panic!("{}", text())).is_err());
            let _contains = Contains;
            assert!(thread::spawn(|| panic!("{}", text())).join().is_err());
            panic!("{}", text());
        });
        let passed = of(|| {
            let _contains = Contains;
            let Err(payload) = thread::spawn(|| panic!("{}", text())).join();
            assert!(catch_unwind(|| panic!("{}", text())).is_err());
            std::panic::resume_unwind(payload);
        });
        let literal = of(|| {
            let _contains = Contains;
            panic!("a literal");
        });
        for (line, at, text) in [
            (escaped, at, "same text"),
            (passed, at + 4, "same text"),
            (literal, at + 10, "a literal"),
        ] {
            let expected = format!("src/cli/bug_report.rs:{at}): {text};");
            assert!(line.as_ref().is_some_and(|line| line.contains(&expected)), "{at}: {line:?}");
        }
        let other = of(|| std::panic::panic_any(7));
        assert!(other.is_some_and(|line| line.contains("): panic;")));
    }

    #[test]
    fn a_report_is_one_line() {
        let line = report("called on a\nNone\u{1b}[31m", Some("a-1.0.0/src/lib.rs:7"));
        let version = env!("CARGO_PKG_VERSION");
        assert!(line.starts_with(&format!("bug in bottleneck {version} (a-1.0.0/src/lib.rs:7): ")));
        assert!(!line.contains(char::is_control), "{line}");
    }
}
