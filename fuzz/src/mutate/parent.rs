//! The first process: starts a process for each target, and prints their reports.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{env, fs, thread};

use wgpu_bottleneck_fuzz::Target;

use crate::report::{Finding, Report};
use crate::worker::keep;

/// The work of the first process.
pub struct Plan {
    pub targets: Vec<&'static Target>,
    pub seconds: f64,
    pub seed: u64,
    pub keep: Option<PathBuf>,
    pub jobs: usize,
    pub json: bool,
}

impl Plan {
    /// Runs every target. Returns whether there is a finding.
    pub fn run(&self) -> io::Result<bool> {
        let waiting: Mutex<VecDeque<_>> = Mutex::new(self.targets.iter().copied().collect());
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let one_after_another = || -> io::Result<(u64, usize)> {
            let (mut inputs, mut findings) = (0, 0);
            while let Some(target) = next() {
                let report = self.target(target)?;
                inputs += report.inputs;
                findings += report.findings.len();
                match self.json {
                    true => println!("{}", serde_json::to_string(&report)?),
                    false => println!("{report}"),
                }
            }
            Ok((inputs, findings))
        };
        let (inputs, findings) = thread::scope(|scope| {
            let jobs: Vec<_> = (0..self.jobs).map(|_| scope.spawn(one_after_another)).collect();
            let mut sums = (0, 0);
            for job in jobs {
                let (inputs, findings) =
                    job.join().map_err(|_| io::Error::other("a thread has panicked"))??;
                sums = (sums.0 + inputs, sums.1 + findings);
            }
            io::Result::Ok(sums)
        })?;
        if !self.json {
            println!("total: {inputs} inputs, {findings} violations");
        }
        Ok(findings > 0)
    }

    fn keep(&self, target: &Target) -> PathBuf {
        self.keep.clone().unwrap_or_else(|| target.artifacts())
    }

    /// The report of a target. If its process dies, it runs again, as its inputs are the same, and
    /// writes each of them to a file first.
    fn target(&self, target: &Target) -> io::Result<Report> {
        let how = match self.process(target, self.seconds, None)? {
            Ok(report) => return Ok(report),
            Err(how) => how,
        };
        let trace = tempfile::NamedTempFile::new()?;
        let path = trace.path().display().to_string();
        // Writing takes time, too.
        let again = self.process(target, 4.0 * self.seconds + 10.0, Some(&path))?;
        let bytes = fs::read(trace.path())?;
        let text = match again {
            Err(again) => format!("{again}; {} bytes", bytes.len()),
            Ok(_) => "not the second time".to_owned(),
        };
        let file = keep(&self.keep(target), target.name, &bytes)?;
        let mut report = Report { target: target.name.to_owned(), ..Report::default() };
        report.findings.insert(how, Finding { times: 1, text, file });
        Ok(report)
    }

    /// Runs the process of a target. Returns its report, or how it has died.
    fn process(
        &self,
        target: &Target,
        seconds: f64,
        trace: Option<&str>,
    ) -> io::Result<Result<Report, String>> {
        let mut child = Command::new(env::current_exe()?)
            .args(["worker", target.name, &seconds.to_string(), &self.seed.to_string()])
            .arg(self.keep(target))
            .args(trace)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
        let (text, last) = thread::scope(|scope| {
            // Both are read at the same time, so that neither fills its pipe.
            let last = scope.spawn(move || last_line(err.as_mut()));
            let mut text = String::new();
            if let Some(out) = &mut out {
                out.read_to_string(&mut text)?;
            }
            io::Result::Ok((text, last.join().unwrap_or_default()))
        })?;
        let status = child.wait()?;
        match serde_json::from_str(&text) {
            Ok(report) if status.success() => Ok(Ok(report)),
            _ if status.code() == Some(2) => Err(io::Error::other(last)),
            _ => Ok(Err(format!("the process ends with {status} {last}").trim_end().to_owned())),
        }
    }
}

/// The last line of a stream, at most 200 bytes.
fn last_line(from: Option<&mut impl io::Read>) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let Some(from) = from else { return String::new() };
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..read]);
        bytes.drain(..bytes.len().saturating_sub(2000));
    }
    let text = String::from_utf8_lossy(&bytes);
    let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    last.chars().take(200).collect()
}
