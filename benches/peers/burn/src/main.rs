//! burn on one workload, as worker.py is for the others: the same line when it is ready, and the
//! same answers to "SECONDS". With `train`, what is timed is a training step.
//!
//! ```text
//! burn-peer [train] FOLDER
//! ```

mod net;
mod train;

use std::error::Error;
use std::io::{BufRead, stdin};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs};

use burn::module::Module;
use burn::store::{ModuleSnapshot, PyTorchToBurnAdapter, SafetensorsStore};
use burn::tensor::{Device, Tensor, TensorData};

use net::{Block, Bottleneck, ResNet50};

const TOLERANCE: f64 = 1e-4;
/// Runs before the first answer. Each kernel is tuned when it is first met, and that is over when
/// the times stand still.
const WARM_UP: std::ops::Range<u32> = 5..20;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// What is timed.
trait Work {
    /// Milliseconds of a run.
    fn time(&self) -> Result<f64>;
    /// How far what a run comes to is from PyTorch's in float64.
    fn off(&self) -> Result<Vec<Off>>;
}

/// How far a tensor is from the expected one, and may be.
struct Off {
    what: String,
    off: f64,
    tolerance: f64,
}

fn main() -> Result<()> {
    let started = Instant::now();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (training, folder) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["train", folder] => (true, Path::new(folder)),
        [folder] => (false, Path::new(folder)),
        _ => return Err("burn-peer [train] FOLDER".into()),
    };
    let (device, setup) = Device::wgpu_options().init_with_setup()?;
    let work: Box<dyn Work> = if training {
        Box::new(train::Step::new(folder, device)?)
    } else {
        Box::new(Run::new(folder, &device)?)
    };
    work.time()?;
    let first = started.elapsed().as_secs_f64();
    let (mut best, mut still) = (f64::INFINITY, 0);
    for n in 0..WARM_UP.end {
        let ms = work.time()?;
        still = if ms < 1.25 * best { still + 1 } else { 0 };
        best = best.min(ms);
        if n >= WARM_UP.start && still >= 3 {
            break;
        }
    }
    // Now that it is settled which kernels are timed.
    let found = work.off()?;
    // Not `>`, so that NaN is wrong.
    if let Some(Off { what, off, .. }) = found.iter().find(|found| !(found.off <= found.tolerance))
    {
        println!(r#"{{"refused": "wrong: {what} is off by {off:.1e}"}}"#);
        return Ok(());
    }
    let adapter = setup.adapter.get_info();
    let version = format!(
        "burn {}, {} through {}, WGSL",
        env!("CARGO_PKG_VERSION"),
        adapter.name,
        adapter.backend
    );
    let error = found[0].off;
    let errors: Vec<String> =
        found.iter().map(|Off { what, off, .. }| format!("{what:?}: {off:e}")).collect();
    let errors = errors.join(", ");
    print!(r#"{{"error": {error:e}, "errors": {{{errors}}}, "#);
    println!(r#""first_s": {first}, "version": {version:?}}}"#);
    for line in stdin().lock().lines() {
        let until = Instant::now() + Duration::from_secs_f64(line?.trim().parse()?);
        let mut ms = vec![];
        while Instant::now() < until || ms.len() < 3 {
            ms.push(work.time()?);
        }
        println!(
            r#"{{"ms": {ms:?}, "peak_mib": {}}}"#,
            peak_mib().map_or("null".into(), |peak| peak.to_string())
        );
    }
    Ok(())
}

/// A forward pass, from host array to host array.
struct Run {
    run: Box<dyn Fn(TensorData) -> Vec<f32>>,
    input: TensorData,
    expected: Vec<f64>,
}

impl Run {
    fn new(folder: &Path, device: &Device) -> Result<Self> {
        let (shape, input) =
            npy(&fs::read(folder.join("input.npy"))?, |bytes: [u8; 4]| f32::from_le_bytes(bytes))?;
        let (_, expected) = npy(&fs::read(folder.join("expected.npy"))?, |bytes: [u8; 8]| {
            f64::from_le_bytes(bytes)
        })?;
        let to = device.clone();
        let run: Box<dyn Fn(TensorData) -> Vec<f32>> = if name(folder) == "w6" {
            let net = load(ResNet50::new(device), folder)?;
            Box::new(move |x| values(net.forward(Tensor::from_data(x, &to))))
        } else {
            let net = load(Bottleneck::new(block(folder)?, device), folder)?;
            Box::new(move |x| values(net.forward(Tensor::from_data(x, &to))))
        };
        Ok(Self { run, input: TensorData::new(input, shape), expected })
    }
}

impl Work for Run {
    fn time(&self) -> Result<f64> {
        let input = self.input.clone();
        let start = Instant::now();
        (self.run)(input);
        Ok(milliseconds(start))
    }

    fn off(&self) -> Result<Vec<Off>> {
        let off = distance(&(self.run)(self.input.clone()), &self.expected);
        Ok(vec![Off { what: "the output".into(), off, tolerance: TOLERANCE }])
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// The workload, which a folder's name begins with.
fn name(folder: &Path) -> &str {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split('-').next().unwrap_or_default()
}

fn block(folder: &Path) -> Result<Block> {
    match name(folder) {
        "w1" => Ok(Block::new(256, 64)),
        "w2" => Ok(Block { stride: 2, ..Block::new(256, 128) }),
        "w3" => Ok(Block::new(1024, 256)),
        "w4" => Ok(Block { groups: 32, base_width: 4, ..Block::new(512, 128) }),
        "w5" => Ok(Block { dilation: 2, ..Block::new(2048, 512) }),
        name => Err(format!("no block {name}").into()),
    }
}

/// `into_data` alone may return before the device is done; its bytes may not.
fn values<const D: usize>(output: Tensor<D>) -> Vec<f32> {
    output.into_data().try_into_vec().expect("burn's device computes in f32")
}

fn load<M: Module>(mut net: M, folder: &Path) -> Result<M> {
    let mut weights = SafetensorsStore::from_file(folder.join("weights.safetensors"))
        .with_from_adapter(PyTorchToBurnAdapter);
    net.load_from(&mut weights).map_err(|why| why.to_string())?;
    Ok(net)
}

/// The shape and the values of a little-endian array as NumPy writes it.
fn npy<T, const N: usize>(
    file: &[u8],
    value: impl Fn([u8; N]) -> T,
) -> Result<(Vec<usize>, Vec<T>)> {
    let values = 10 + usize::from(u16::from_le_bytes([file[8], file[9]]));
    let header = std::str::from_utf8(&file[10..values])?;
    let (_, rest) = header.split_once("'shape': (").ok_or("no shape")?;
    let (shape, _) = rest.split_once(')').ok_or("no end of the shape")?;
    let shape = shape
        .split(',')
        .map(str::trim)
        .filter(|n| !n.is_empty())
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let (values, _) = file[values..].as_chunks::<N>();
    Ok((shape, values.iter().map(|&bytes| value(bytes)).collect()))
}

/// The largest difference, in parts of the largest value; NaN where there is one.
fn distance(output: &[f32], expected: &[f64]) -> f64 {
    // Not f64::max, which passes over NaN.
    let larger = |a: f64, b: f64| if a > b || a.is_nan() { a } else { b };
    let largest = expected.iter().map(|value| value.abs()).fold(0.0, f64::max);
    let differences = output.iter().zip(expected).map(|(&a, &b)| (f64::from(a) - b).abs());
    if output.len() == expected.len() { differences.fold(0.0, larger) / largest } else { f64::NAN }
}

/// The most memory that this process had at once, where the system says it.
fn peak_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?
        .trim()
        .strip_suffix("kB")?
        .trim();
    kib.parse::<f64>().ok().map(|kib| kib / 1024.0)
}
