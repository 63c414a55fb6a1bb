//! Fuzz targets: every reader of files that others write, and the check of recordings.
//!
//! A [`Target`] is data. Three programs run the same targets: one for each target in
//! `fuzz_targets/`, which cargo-fuzz builds with libFuzzer; the same without libFuzzer, which reads
//! the files that it is given; and `fuzz_mutate`, which mutates the files of a corpus.

// The readers of journals, checkpoints of training and image lists are private to the program.
#[path = "../../src/cli/mod.rs"]
#[allow(dead_code, reason = "targets need a few of its readers")]
mod cli;

pub mod checksums;
mod configs;
mod dicts;
mod images;
mod program;
mod recordings;
mod target;
mod targets;

pub use target::{Seeds, Target, read_files};
pub use targets::{TARGETS, named};

#[cfg(fuzzing)]
#[doc(hidden)]
pub use libfuzzer_sys;

/// The program of a target: with cargo-fuzz it is a libFuzzer program. Otherwise it reads the files
/// that are its arguments, to reproduce a finding.
#[macro_export]
macro_rules! fuzz_target {
    ($name:literal) => {
        #[cfg(fuzzing)]
        $crate::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            // libFuzzer's hook ends the process at every panic, also at one of a decoder that the
            // library returns as an error. A panic that leaves the target ends it without the hook.
            static HOOK: std::sync::Once = std::sync::Once::new();
            HOOK.call_once(|| std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))));
            if let Some(target) = $crate::named($name) {
                (target.read)(bytes);
            }
        });

        #[cfg(not(fuzzing))]
        fn main() -> std::process::ExitCode {
            $crate::read_files($name)
        }
    };
}
