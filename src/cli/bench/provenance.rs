//! The origin of a report: the build, the run and the machine.

use std::ffi::OsString;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::machine::Machine;

/// The origin of a report. Earlier versions wrote only the version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The program's version.
    pub version: String,
    /// The git commit of the build; `None` if it was built outside a checkout.
    #[serde(default)]
    pub commit: Option<String>,
    /// Whether the sources of the build differed from that commit.
    #[serde(default)]
    pub modified: Option<bool>,
    /// When the run began: UTC, RFC 3339.
    #[serde(default)]
    pub date: Option<String>,
    /// The command line, as a POSIX shell reads it.
    #[serde(default)]
    pub command: Option<String>,
    /// The machine.
    #[serde(default)]
    pub machine: Option<Machine>,
}

impl Provenance {
    /// The origin of a report of this build, on this machine, now.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("BOTTLENECK_BUILD_COMMIT").map(str::to_owned),
            modified: option_env!("BOTTLENECK_BUILD_MODIFIED").map(|modified| modified == "true"),
            date: Some(rfc3339(since)),
            command: Some(command_line(std::env::args_os())),
            machine: Some(Machine::this()),
        }
    }

    /// Version and commit in a few words.
    pub fn build(&self) -> String {
        let commit =
            self.commit.as_deref().map_or("unknown", |commit| commit.get(..12).unwrap_or(commit));
        let modified = if self.modified == Some(true) { " with changes" } else { "" };
        format!("version {}, commit {commit}{modified}", self.version)
    }

    /// The machine in a few words.
    pub fn on(&self) -> String {
        self.machine.as_ref().map_or("machine not recorded".to_owned(), Machine::to_string)
    }
}

/// Seconds since 1970 as `2026-11-30T17:05:54Z`.
fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil_from_days, with years that begin in March, so that a leap day is the
    // last of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The arguments in one line, quoted where a POSIX shell would split or change them. Only the file
/// name of the program is kept.
fn command_line(args: impl Iterator<Item = OsString>) -> String {
    let words = args.enumerate().map(|(index, arg)| {
        match Path::new(&arg).file_name().filter(|_| index == 0) {
            Some(program) => quoted(&program.to_string_lossy()),
            None => quoted(&arg.to_string_lossy()),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // From `date -u -d @N +%FT%TZ`.
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), date);
        }
    }

    #[test]
    fn a_command_line_can_be_run_again() {
        let args = [
            "/opt/my tools/bottleneck",
            "bench",
            "--only",
            "w1,w6",
            "--html",
            "it's here.html",
            "",
        ];
        let line = command_line(args.into_iter().map(OsString::from));
        assert_eq!(line, r"bottleneck bench --only w1,w6 --html 'it'\''s here.html' ''");
    }

    #[test]
    fn a_build_is_named() {
        let text = r#"{ "version": "0.1.0" }"#;
        let old: Provenance =
            serde_json::from_str(text).unwrap_or_else(|error| unreachable!("{error}"));
        assert_eq!(
            (old.build(), old.on()),
            ("version 0.1.0, commit unknown".to_owned(), "machine not recorded".to_owned())
        );
        let commit = Some("5d577280c5a1".repeat(3));
        let new = Provenance { commit, modified: Some(true), ..old };
        assert_eq!(new.build(), "version 0.1.0, commit 5d577280c5a1 with changes");
    }
}
