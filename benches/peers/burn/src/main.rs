//! burn on one workload, as worker.py is for the others: the same line when it is ready, and the same answers to "SECONDS".
//!
//! ```text
//! burn-peer FOLDER
//! ```

mod net;

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
/// Runs before the first answer. Each kernel is tuned when it is first met, and that is over when the times stand still.
const WARM_UP: std::ops::Range<u32> = 5..20;

fn main() -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let folder = env::args().nth(1).ok_or("burn-peer FOLDER")?;
    let folder = Path::new(&folder);
    let (shape, input) = npy(&fs::read(folder.join("input.npy"))?, |bytes: [u8; 4]| f32::from_le_bytes(bytes))?;
    let input = TensorData::new(input, shape);
    let (_, expected) = npy(&fs::read(folder.join("expected.npy"))?, |bytes: [u8; 8]| f64::from_le_bytes(bytes))?;

    let (device, setup) = Device::wgpu_options().init_with_setup()?;
    let run = workload(folder, &device)?;
    let output = run(input.clone());
    let first = started.elapsed().as_secs_f64();
    let error = distance(&output, &expected);
    // Not `>`, so that NaN is wrong.
    if !(error <= TOLERANCE) {
        println!(r#"{{"refused": "wrong: {error:.1e} of the largest value"}}"#);
        return Ok(());
    }

    let time = || {
        let input = input.clone();
        let start = Instant::now();
        run(input);
        start.elapsed().as_secs_f64() * 1e3
    };
    let (mut best, mut still) = (f64::INFINITY, 0);
    for n in 0..WARM_UP.end {
        let ms = time();
        still = if ms < 1.25 * best { still + 1 } else { 0 };
        best = best.min(ms);
        if n >= WARM_UP.start && still >= 3 {
            break;
        }
    }
    let adapter = setup.adapter.get_info();
    let version = format!("burn {}, {} through {}, WGSL", env!("CARGO_PKG_VERSION"), adapter.name, adapter.backend);
    println!(r#"{{"error": {error:e}, "first_s": {first}, "version": {version:?}}}"#);
    for line in stdin().lock().lines() {
        let until = Instant::now() + Duration::from_secs_f64(line?.trim().parse()?);
        let mut ms = vec![];
        while Instant::now() < until || ms.len() < 3 {
            ms.push(time());
        }
        println!(r#"{{"ms": {ms:?}, "peak_mib": {}}}"#, peak_mib().map_or("null".into(), |peak| peak.to_string()));
    }
    Ok(())
}

type Run = Box<dyn Fn(TensorData) -> Vec<f32>>;

/// The folder's workload with the folder's weights, from host array to host array.
fn workload(folder: &Path, device: &Device) -> Result<Run, Box<dyn Error>> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let block = match name.split('-').next() {
        Some("w1") => Block::new(256, 64),
        Some("w2") => Block { stride: 2, ..Block::new(256, 128) },
        Some("w3") => Block::new(1024, 256),
        Some("w4") => Block { groups: 32, base_width: 4, ..Block::new(512, 128) },
        Some("w5") => Block { dilation: 2, ..Block::new(2048, 512) },
        Some("w6") => {
            let (net, device) = (load(ResNet50::new(device), folder)?, device.clone());
            return Ok(Box::new(move |x| values(net.forward(Tensor::from_data(x, &device)))));
        }
        _ => return Err(format!("no workload {name}").into()),
    };
    let (net, device) = (load(Bottleneck::new(block, device), folder)?, device.clone());
    Ok(Box::new(move |x| values(net.forward(Tensor::from_data(x, &device)))))
}

/// `into_data` alone may return before the device is done; its bytes may not.
fn values<const D: usize>(output: Tensor<D>) -> Vec<f32> {
    output.into_data().try_into_vec().expect("burn's device computes in f32")
}

fn load<M: Module>(mut net: M, folder: &Path) -> Result<M, Box<dyn Error>> {
    let mut weights =
        SafetensorsStore::from_file(folder.join("weights.safetensors")).with_from_adapter(PyTorchToBurnAdapter);
    net.load_from(&mut weights).map_err(|why| why.to_string())?;
    Ok(net)
}

/// The shape and the values of a little-endian array as NumPy writes it.
fn npy<T, const N: usize>(file: &[u8], value: impl Fn([u8; N]) -> T) -> Result<(Vec<usize>, Vec<T>), Box<dyn Error>> {
    let values = 10 + usize::from(u16::from_le_bytes([file[8], file[9]]));
    let header = std::str::from_utf8(&file[10..values])?;
    let (_, rest) = header.split_once("'shape': (").ok_or("no shape")?;
    let (shape, _) = rest.split_once(')').ok_or("no end of the shape")?;
    let shape = shape.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::parse).collect::<Result<_, _>>()?;
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
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix("kB")?.trim();
    kib.parse::<f64>().ok().map(|kib| kib / 1024.0)
}
