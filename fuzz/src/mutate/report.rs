//! The results of a target, which its process sends to the first one.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What reading the inputs of a target has shown.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The target.
    pub target: String,
    /// Inputs that were read.
    pub inputs: u64,
    /// Inputs that were not refused.
    pub accepted: u64,
    /// Files with a flipped bit among the inputs.
    pub flips: u64,
    /// Seconds of all inputs.
    pub seconds: f64,
    /// Milliseconds of the slowest input.
    pub slowest_ms: f64,
    /// The most bytes of memory that an input needed.
    pub most_memory: usize,
    /// Findings by what happened.
    pub findings: BTreeMap<String, Finding>,
    /// Panics of dependencies, which the library returned as errors.
    pub caught: BTreeMap<String, Finding>,
}

/// Inputs with the same fault.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Finding {
    /// How many.
    pub times: u64,
    /// The text of the first.
    pub text: String,
    /// The file of the first.
    pub file: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, inputs, accepted, flips, seconds, slowest_ms, most_memory, .. } = self;
        let rate = *inputs as f64 / seconds.max(1e-3);
        let flips =
            if *flips > 0 { format!(" ({flips} with a flipped bit)") } else { String::new() };
        write!(
            f,
            "{target}: {inputs} inputs{flips}, {rate:.0}/s, {accepted} accepted, {} findings, \
            slowest {slowest_ms:.1} ms, most memory {:.1} MiB",
            self.findings.len(),
            *most_memory as f64 / f64::from(1 << 20)
        )?;
        for (kind, Finding { times, text, file }) in &self.findings {
            write!(f, "\n    {times} times: {kind}: {text} ({file})")?;
        }
        for (place, Finding { times, text, .. }) in &self.caught {
            write!(f, "\n    {times} times caught, no finding: {place}: {text}")?;
        }
        Ok(())
    }
}
