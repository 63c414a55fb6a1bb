//! The parent process: starts the workers, restarts those that die or hang, and reports.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader};
use std::ops::Range;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// The maximum time between two lines of a worker: compiling kernels takes seconds.
const PATIENCE: Duration = Duration::from_secs(300);

/// The maximum number of failures that are printed in full.
const MOST_SHOWN: usize = 40;

/// Counts by kind, and failures.
#[derive(Default)]
struct Report {
    kinds: BTreeMap<String, u64>,
    /// Reasons of refusals, without numbers.
    reasons: BTreeMap<String, u64>,
    failures: Vec<String>,
}

/// Runs this many recordings in two processes.
pub fn run(count: u64, seed: u64) -> ExitCode {
    let start = Instant::now();
    let halves = [0..count / 2, count / 2..count];
    let work = halves.map(|range| thread::spawn(move || run_range(seed, range)));
    let mut report = Report::default();
    for part in work {
        match part.join() {
            Ok(Ok(part)) => report.add(part),
            Ok(Err(error)) => report.failures.push(format!("no worker: {error}")),
            Err(_) => report.failures.push("the parent panicked".to_owned()),
        }
    }
    report.print(count, start.elapsed())
}

/// Runs a range of recordings. Starts another process after each one that dies or hangs.
fn run_range(seed: u64, range: Range<u64>) -> io::Result<Report> {
    let (mut report, mut next) = (Report::default(), range.start);
    while next < range.end {
        let arguments = [seed, next, range.end].map(|number| number.to_string());
        let mut child = Command::new(std::env::current_exe()?)
            .arg("worker")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        let first = next;
        let tried = follow(&mut child, &mut report, &mut next);
        let status = child.wait()?;
        if next < range.end && tried.is_none() {
            return Err(io::Error::other(format!("a worker ends before {first}: {status}")));
        }
        if let Some(number) = tried {
            report.failures.push(format!("{number}: the process ends with {status}"));
            *report.kinds.entry("crashed".to_owned()).or_default() += 1;
            next = number + 1;
        }
    }
    Ok(report)
}

/// Reads the lines of a worker to the end. Returns the recording that it tried last, if it did not
/// finish.
fn follow(child: &mut Child, report: &mut Report, next: &mut u64) -> Option<u64> {
    let lines = lines(child)?;
    let mut tried = None;
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                let mut words = line.splitn(3, ' ');
                let kind = words.next().unwrap_or_default();
                let number = words.next().and_then(|word| word.parse().ok()).unwrap_or(*next);
                if kind == "try" {
                    tried = Some(number);
                } else {
                    (tried, *next) = (None, number + 1);
                    report.count(kind, number, words.next().unwrap_or_default());
                }
            }
            Err(RecvTimeoutError::Disconnected) => return tried,
            Err(RecvTimeoutError::Timeout) => {
                // The process may have ended in the meantime.
                let _ = child.kill();
                return tried;
            }
        }
    }
}

/// The lines of a worker.
fn lines(child: &mut Child) -> Option<Receiver<String>> {
    let output = BufReader::new(child.stdout.take()?);
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        output.lines().map_while(Result::ok).all(|line| send.send(line).is_ok());
    });
    Some(lines)
}

impl Report {
    fn count(&mut self, kind: &str, number: u64, text: &str) {
        *self.kinds.entry(kind.to_owned()).or_default() += 1;
        match kind {
            "refused" => *self.reasons.entry(reason(text)).or_default() += 1,
            "wrong" | "panicked" => self.failures.push(format!("{number}: {kind}: {text}")),
            _ => {}
        }
    }

    fn add(&mut self, other: Self) {
        for (kind, count) in other.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        self.failures.extend(other.failures);
    }

    fn print(&self, count: u64, took: Duration) -> ExitCode {
        let of = |kind: &str| self.kinds.get(kind).copied().unwrap_or_default();
        let mut reasons: Vec<(&String, &u64)> = self.reasons.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        println!("refused, by reason:");
        reasons.iter().for_each(|(reason, count)| println!("{count:>8} {reason}"));
        println!("failures: {}", self.failures.len());
        self.failures.iter().take(MOST_SHOWN).for_each(|failure| println!("  {failure}"));
        let accepted = of("right") + of("wrong");
        println!(
            "{count} recordings: {accepted} accepted and run, {} right; {} accepted and too large \
             to run; {} refused; {} not changed; {} panicked; {} crashed; {:.0} s",
            of("right"),
            of("large"),
            of("refused"),
            of("same"),
            of("panicked"),
            of("crashed"),
            took.as_secs_f64()
        );
        let few = accepted < count / 10;
        if few {
            println!("fewer than one in ten is accepted");
        }
        println!("total: {count} recordings, {} violations", self.failures.len());
        ExitCode::from(u8::from(few || !self.failures.is_empty()))
    }
}

/// The reason of a refusal without its step, numbers and changes.
fn reason(text: &str) -> String {
    let text = text.rsplit_once(" (").map_or(text, |(text, _)| text);
    let text = text.rsplit_once(": ").map_or(text, |(_, reason)| reason);
    let mut short: String =
        text.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    while short.contains("00") {
        short = short.replace("00", "0");
    }
    short
}
