//! The process of one target: reads its corpus, flips bits of it, and then reads changed files.

use std::io;
use std::panic::{self, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, process, thread};

use wgpu_bottleneck_fuzz::{Seeds, Target};

use crate::changes::changed;
use crate::memory::Peak;
use crate::random::Random;
use crate::report::Report;

/// A file that takes longer than this is a finding.
const SLOW: Duration = Duration::from_secs(2);
/// After these seconds, reading a file does not end: its process does.
const ENDLESS: u64 = 60;
/// The flipped bits of a file, at most.
const MOST_FLIPS: usize = 1 << 13;

/// Place and message of the last panic.
static LAST_PANIC: Mutex<Option<(String, String)>> = Mutex::new(None);

/// Milliseconds between the start of the process and that of the current input; zero if there is
/// none.
static BUSY_SINCE: AtomicU64 = AtomicU64::new(0);

/// The work of the process of a target.
pub struct Work {
    pub target: &'static Target,
    pub seconds: f64,
    pub seed: u64,
    /// The folder of the first input of each finding.
    pub keep: PathBuf,
    /// Each input is written to this file before it is read.
    pub trace: Option<PathBuf>,
}

/// A file to begin from.
struct Seed {
    name: String,
    bytes: Vec<u8>,
    /// Whether it must be accepted or must be refused; `None` if it may be either.
    accepted: Option<bool>,
    /// Whether its checksums detect every flipped bit.
    detects_flips: bool,
}

impl Work {
    /// Reads the corpus, then changed files.
    pub fn run(self) -> io::Result<Report> {
        let start = Instant::now();
        panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(|at| format!("{}:{}", at.file(), at.line()));
            let text = panic.payload_as_str().unwrap_or("no text").to_owned();
            *last_panic() = Some((place.unwrap_or_default(), text));
        }));
        thread::spawn(move || watch(start));
        let seeds = seeds(self.target)?;
        // What the first input initialises is not its memory.
        let _ = catch_unwind(|| (self.target.read)(&[]));
        let mut run = Run { work: &self, start, report: Report::default() };
        self.target.name.clone_into(&mut run.report.target);
        for Seed { name, bytes, accepted, .. } in &seeds {
            let Some(texts) = run.read(bytes)? else { continue };
            match (accepted, texts.is_empty()) {
                (Some(true), true) => {
                    run.find("a file of the corpus is refused", name.clone(), bytes)?;
                }
                (Some(false), false) => {
                    run.find("a bad file of the corpus is accepted", name.clone(), bytes)?;
                }
                _ => {}
            }
        }
        let of_name = crc32fast::hash(self.target.name.as_bytes());
        let mut random = Random::new(self.seed ^ u64::from(of_name));
        for seed in seeds.iter().filter(|seed| seed.detects_flips) {
            run.flip(seed, &mut random)?;
        }
        let seeds: Vec<Vec<u8>> = seeds.into_iter().map(|seed| seed.bytes).collect();
        let end = Instant::now() + Duration::from_secs_f64(self.seconds);
        while Instant::now() < end {
            run.read(&changed(&mut random, &seeds, self.target.correct))?;
        }
        run.report.seconds = start.elapsed().as_secs_f64();
        Ok(run.report)
    }
}

fn last_panic() -> std::sync::MutexGuard<'static, Option<(String, String)>> {
    LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the process if an input takes too long. The first process then finds the input.
fn watch(start: Instant) {
    loop {
        thread::sleep(Duration::from_secs(1));
        let since = BUSY_SINCE.load(Relaxed);
        let now = start.elapsed().as_millis() as u64;
        if since > 0 && now.saturating_sub(since) > 1000 * ENDLESS {
            process::abort();
        }
    }
}

/// The files to begin from: of the corpus, then the others.
fn seeds(target: &Target) -> io::Result<Vec<Seed>> {
    let seed = |(path, bytes): (PathBuf, Vec<u8>), is_known: bool| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // libFuzzer adds files with hexadecimal names.
        let is_named = !name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_known = is_known && is_named && !name.starts_with("any");
        let accepted = is_known.then(|| !name.starts_with("bad"));
        let is_old = name.starts_with("old");
        let detects_flips = target.detects_flips && accepted == Some(true) && !is_old;
        Seed { name, bytes, accepted, detects_flips }
    };
    let corpus = Seeds::at(&target.corpus(), "", u64::MAX)?;
    let mut seeds: Vec<Seed> = corpus.into_iter().map(|file| seed(file, true)).collect();
    for more in target.seeds {
        seeds.extend(more.read()?.into_iter().map(|file| seed(file, false)));
    }
    seeds.retain(|seed| !seed.bytes.is_empty());
    if seeds.is_empty() {
        return Err(io::Error::other(format!("{}: no files", target.corpus().display())));
    }
    Ok(seeds)
}

/// The results so far.
struct Run<'a> {
    work: &'a Work,
    start: Instant,
    report: Report,
}

impl Run<'_> {
    /// Reads an input. Returns what it contains; `None` after a finding.
    fn read(&mut self, bytes: &[u8]) -> io::Result<Option<Vec<String>>> {
        let target = self.work.target;
        if let Some(trace) = &self.work.trace {
            fs::write(trace, bytes)?;
        }
        *last_panic() = None;
        let (texts, mut took, memory) = self.measured(bytes);
        let panic = last_panic().take();
        // A busy machine delays some inputs.
        for _ in 0..2 {
            if took > SLOW && texts.is_some() {
                took = took.min(self.measured(bytes).1);
            }
        }
        let report = &mut self.report;
        report.inputs += 1;
        report.accepted += u64::from(texts.as_ref().is_some_and(|texts| !texts.is_empty()));
        report.slowest_ms = report.slowest_ms.max(1000.0 * took.as_secs_f64());
        report.most_memory = report.most_memory.max(memory);
        match (&texts, panic) {
            (None, panic) => {
                let (place, text) = panic.unwrap_or_default();
                return self.find(&format!("panic at {place}"), text, bytes).map(|()| None);
            }
            (Some(_), Some((place, text))) => {
                let caught = report.caught.entry(place).or_default();
                caught.times += 1;
                caught.text = text;
            }
            (Some(_), None) => {}
        }
        if took > SLOW {
            self.find("slow", format!("{:.1} s", took.as_secs_f64()), bytes)?;
            return Ok(None);
        }
        // The limit of an image takes longer than most inputs need.
        if memory > MUCH && memory > (target.memory)(bytes) {
            let limit = (target.memory)(bytes) >> 20;
            let text = format!("{} MiB for {} bytes, limit {limit} MiB", memory >> 20, bytes.len());
            self.find("much memory", text, bytes)?;
            return Ok(None);
        }
        Ok(texts)
    }

    /// Reads an input: what it contains, or `None` after a panic; the time and the memory.
    fn measured(&self, bytes: &[u8]) -> (Option<Vec<String>>, Duration, usize) {
        let (peak, start) = (Peak::start(), Instant::now());
        BUSY_SINCE.store((self.start.elapsed().as_millis() as u64).max(1), Relaxed);
        let texts = catch_unwind(|| (self.work.target.read)(bytes)).ok();
        BUSY_SINCE.store(0, Relaxed);
        (texts, start.elapsed(), peak.bytes())
    }

    /// Reads a file with each of its bits flipped, or with a part of them. What it contains then
    /// must be a part of what it contained.
    fn flip(&mut self, seed: &Seed, random: &mut Random) -> io::Result<()> {
        let Some(before) = self.read(&seed.bytes)? else { return Ok(()) };
        let bits = 8 * seed.bytes.len();
        let every = bits.div_ceil(MOST_FLIPS).max(1);
        let mut bytes = seed.bytes.clone();
        for first in (0..bits).step_by(every) {
            let bit = (first + random.below(every)).min(bits - 1);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let after = self.read(&bytes)?.unwrap_or_default();
            self.report.flips += 1;
            if let Some(new) = after.iter().find(|text| !before.contains(text)) {
                let text = format!("{}, bit {bit}: {new}", seed.name);
                self.find("a flipped bit is accepted", text, &bytes)?;
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        Ok(())
    }

    /// Adds a finding. Keeps the input if it is the first one.
    fn find(&mut self, kind: &str, text: String, bytes: &[u8]) -> io::Result<()> {
        let finding = self.report.findings.entry(kind.to_owned()).or_default();
        finding.times += 1;
        if finding.times == 1 {
            finding.text = text;
            finding.file = keep(&self.work.keep, self.work.target.name, bytes)?;
        }
        Ok(())
    }
}

/// Below this, no input needs much memory.
const MUCH: usize = 64 << 20;

/// Writes an input to a folder. Returns its path.
pub fn keep(folder: &Path, target: &str, bytes: &[u8]) -> io::Result<String> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{target}-{:08x}", crc32fast::hash(bytes)));
    fs::write(&path, bytes)?;
    Ok(path.display().to_string())
}
