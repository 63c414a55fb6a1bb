//! Reads mutated files for some time, and reports panics, slow files and files that need much
//! memory.
//!
//! ```text
//! faults_mutate image|dict|config SEEDS SECONDS [KEEP [SEED]]
//! ```
//!
//! SEEDS is a folder of files, such as `tests/golden/pictures`. They are read first, and then
//! mutated. The first input of each finding is written to KEEP, if it is given. The exit code is 1
//! if there is a finding. Overflow checks find more:
//!
//! ```text
//! RUSTFLAGS="-C overflow-checks=on" cargo run --release --example faults_mutate --target-dir \
//!     target/checked -- image tests/golden/pictures 60
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use wgpu_bottleneck::image::Geometry;
use wgpu_bottleneck::weights::NetworkState;
use wgpu_bottleneck::{
    Block, BlockOptions, CheckpointOptions, Image, NetworkWeights, Preprocess, StateDict,
};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// A file that takes longer than this is a finding.
const SLOW: Duration = Duration::from_secs(2);
/// A file that needs more bytes of memory than this is a finding: twice the size of the largest
/// image with four channels of 16 bits, and its RGB pixels.
const MUCH_MEMORY: usize = 4 << 30;
/// The maximum length of a mutated file in bytes.
const MAX_BYTES: usize = 2 << 20;

/// The system's allocator, which counts the bytes in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn count(bytes: usize) {
    let in_use = IN_USE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(in_use, Relaxed);
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Message and place of the last panic.
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Xorshift: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(0x9e37_79b9_7f4a_7c15 ^ seed.wrapping_mul(0xbf58_476d_1ce4_e5b9))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`; zero if that is zero.
    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 11) as usize % limit.max(1)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Numbers at which programs often fail.
const EDGES: [u64; 17] = [
    0,
    1,
    2,
    3,
    7,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 40,
    i64::MAX as u64,
    u64::MAX,
];
/// The same for decimal numbers in text.
const DECIMALS: [&str; 14] = [
    "0",
    "1",
    "-1",
    "4294967296",
    "18446744073709551615",
    "9223372036854775807",
    "99999999999999999999999",
    "1e999",
    "1e-300",
    "16777216",
    "16777217",
    "0.5",
    "null",
    "[]",
];

/// A seed with some changes.
fn mutated(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    let most = 1 + random.below(6);
    for _ in 0..1 + random.below(most) {
        if bytes.is_empty() {
            bytes.push(0);
        }
        mutate(random, &mut bytes, seeds);
        bytes.truncate(MAX_BYTES);
    }
    // Otherwise most changes of a PNG file only break a checksum.
    if random.below(3) == 0 && bytes.starts_with(b"\x89PNG") {
        correct_checksums(&mut bytes);
    }
    bytes
}

/// Changes the bytes once. They must not be empty.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let length = bytes.len();
    // Changes of the header and the end find the most faults.
    let at = match random.below(4) {
        0 => random.below(length),
        1 => random.below(length.min(64)),
        2 => random.below(length.min(600)),
        _ => length - 1 - random.below(length.min(300)),
    };
    let until = |random: &mut Random, most: usize| (at + 1 + random.below(most)).min(length);
    match random.below(12) {
        0 | 1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = random.next() as u8,
        3 => drop(bytes.drain(at..until(random, 16))),
        4 => {
            let more: Vec<u8> = (0..1 + random.below(8)).map(|_| random.next() as u8).collect();
            drop(bytes.splice(at..at, more));
        }
        5 => bytes.truncate(at),
        6 => {
            let (number, size) = (random.pick(&EDGES).to_le_bytes(), random.pick(&[1, 2, 4, 8]));
            let size = size.min(length - at);
            bytes[at..at + size].copy_from_slice(&number[..size]);
        }
        7 => {
            let (number, size) = (random.pick(&EDGES).to_be_bytes(), random.pick(&[2, 4, 8]));
            let used = size.min(length - at);
            bytes[at..at + used].copy_from_slice(&number[8 - size..][..used]);
        }
        8 => {
            let copy = bytes[at..until(random, 200)].to_vec();
            let to = random.below(length);
            drop(bytes.splice(to..to, copy));
        }
        9 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len());
            let to = (from + 1 + random.below(300)).min(other.len());
            drop(bytes.splice(at..at, other[from..to].iter().copied()));
        }
        10 => change_decimal(random, bytes),
        _ => {
            let (value, end) = (random.pick(&EDGES) as u8, until(random, 8));
            bytes[at..end].fill(value);
        }
    }
}

/// Replaces a decimal number in a text.
fn change_decimal(random: &mut Random, bytes: &mut Vec<u8>) {
    let digits = bytes.iter().enumerate().filter(|(_, byte)| byte.is_ascii_digit());
    let digits: Vec<usize> = digits.map(|(at, _)| at).take(4000).collect();
    if digits.is_empty() {
        return;
    }
    let start = random.pick(&digits);
    let count = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    drop(bytes.splice(start..start + count, random.pick(&DECIMALS).bytes()));
}

/// Writes the checksum of each chunk of a PNG.
fn correct_checksums(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let length = u32::from_be_bytes(*length) as usize;
        let end = at + 8 + length;
        if end + 4 > bytes.len() {
            return;
        }
        let checksum = crc32fast::hash(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&checksum.to_be_bytes());
        at = end + 4;
    }
}

/// The kind of the files.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Image,
    Dict,
    Config,
}

impl Kind {
    fn named(name: &str) -> Result<Self> {
        match name {
            "image" => Ok(Self::Image),
            "dict" => Ok(Self::Dict),
            "config" => Ok(Self::Config),
            _ => Err(format!("{name}: expected image, dict or config").into()),
        }
    }

    /// Reads a file in every way. Returns whether it could be read.
    fn read(self, bytes: &[u8]) -> bool {
        match self {
            Self::Image => Image::from_bytes(bytes).is_ok_and(|image| {
                let pixels = image.width() as usize * image.height() as usize;
                assert_eq!(image.data().len(), 3 * pixels);
                true
            }),
            Self::Dict => read_dict(bytes),
            Self::Config => read_config(bytes),
        }
    }

    /// Whether the library caught a panic, according to the error of the image.
    fn caught(self, bytes: &[u8]) -> bool {
        matches!(self, Self::Image)
            && Image::from_bytes(bytes).is_err_and(|error| error.to_string().contains("panicked"))
    }
}

fn read_dict(bytes: &[u8]) -> bool {
    let Ok(dict) = StateDict::from_bytes(bytes.to_vec()) else { return false };
    let keys: Vec<String> = dict.keys().take(64).map(str::to_owned).collect();
    for key in keys {
        if let Ok(tensor) = dict.tensor(&key) {
            assert_eq!(tensor.data.len(), tensor.dims.iter().product::<usize>());
        }
        let _ = dict.nchw(&key);
        let _ = dict.counter(&key);
        let _ = dict.weight(&key, &[1]);
    }
    let _ = Block::from_state_dict(&dict, "", &BlockOptions::default());
    if let Ok(weights) = NetworkWeights::detect(dict, &CheckpointOptions::default()) {
        let _ = NetworkState::read(&weights);
    }
    true
}

fn read_config(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(preprocess) = Preprocess::from_config_text(text) else { return false };
    let _ = preprocess.shape(7);
    let sizes = [(1, 1), (500, 375), (3, 4001), (16_777_216, 1), (u32::MAX, u32::MAX)];
    for (width, height) in sizes {
        let _ = Geometry::new(&preprocess, width, height);
    }
    true
}

/// The results of a run.
#[derive(Default)]
struct Run {
    inputs: u64,
    read: u64,
    slowest: Duration,
    most_memory: usize,
    /// The number of inputs for each finding.
    findings: BTreeMap<String, u64>,
}

impl Run {
    /// Reads one input. Returns the finding, if there is one.
    fn one(&mut self, kind: Kind, bytes: &[u8]) -> Option<String> {
        let before = IN_USE.load(Relaxed);
        PEAK.store(before, Relaxed);
        LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let start = Instant::now();
        let outcome = catch_unwind(|| kind.read(bytes));
        let (took, memory) = (start.elapsed(), PEAK.load(Relaxed).saturating_sub(before));
        self.inputs += 1;
        self.read += u64::from(matches!(outcome, Ok(true)));
        self.slowest = self.slowest.max(took);
        self.most_memory = self.most_memory.max(memory);
        let panic = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match outcome {
            Err(_) => Some(format!("panic {panic}")),
            // A panic of a decoder, which the library returned as an error.
            Ok(false) if !panic.is_empty() && kind.caught(bytes) => {
                *self.findings.entry(format!("(caught: {panic})")).or_default() += 1;
                None
            }
            _ if took > SLOW => Some(format!("slow: {} s", took.as_secs())),
            _ if memory > MUCH_MEMORY => Some(format!("memory: {} MiB", memory >> 20)),
            _ => None,
        }
    }
}

/// The files of a folder, in the order of their names.
fn seeds(folder: &str) -> Result<Vec<Vec<u8>>> {
    let mut paths = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<PathBuf>>>()?;
    paths.sort();
    let mut seeds = Vec::new();
    for path in paths.iter().filter(|path| path.is_file()) {
        seeds.push(std::fs::read(path)?);
    }
    if seeds.is_empty() { Err(format!("{folder}: no files").into()) } else { Ok(seeds) }
}

fn run(args: &[&str]) -> Result<bool> {
    let [kind, folder, seconds, more @ ..] = args else {
        return Err("expected image|dict|config SEEDS SECONDS [KEEP [SEED]]".into());
    };
    let (name, kind, seeds) = (*kind, Kind::named(kind)?, seeds(folder)?);
    if let Some(keep) = more.first() {
        std::fs::create_dir_all(keep)?;
    }
    let mut random = Random::new(more.get(1).map_or(Ok(1), |seed| seed.parse())?);
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|at| format!("{}:{}", at.file(), at.line()));
        let text = info.payload_as_str().unwrap_or("no text");
        *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) =
            format!("{}: {text}", place.unwrap_or_default());
    }));
    let end = Instant::now() + Duration::from_secs(seconds.parse()?);
    let mut run = Run::default();
    let mut is_bad = false;
    let mut unchanged = seeds.iter();
    loop {
        let bytes = match unchanged.next() {
            Some(seed) => seed.clone(),
            None if Instant::now() < end => mutated(&mut random, &seeds),
            None => break,
        };
        let Some(finding) = run.one(kind, &bytes) else { continue };
        is_bad = true;
        let times = run.findings.entry(finding.clone()).or_default();
        *times += 1;
        if *times == 1 {
            println!("{finding} ({} bytes)", bytes.len());
            if let Some(keep) = more.first() {
                let file = format!("{name}-{:08x}", crc32fast::hash(&bytes));
                std::fs::write(Path::new(keep).join(file), &bytes)?;
            }
        }
    }
    let Run { inputs, read, slowest, most_memory, findings } = run;
    println!(
        "{name}: {inputs} inputs, {read} read, slowest {slowest:?}, most memory {} MiB",
        most_memory >> 20
    );
    for (finding, times) in findings {
        println!("{times} times: {finding}");
    }
    Ok(is_bad)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
