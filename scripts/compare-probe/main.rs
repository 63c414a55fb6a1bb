//! What `scripts/compare` builds on both commits. `probe bits [PART]` prints a line per result: its
//! name, a tab, its hash. `probe time WORKLOAD ROUNDS` prints the median of some runs in
//! milliseconds.

#![allow(missing_docs, reason = "no library")]

mod api;

use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use api::{Device, Result};

/// How a block or a network is loaded.
#[derive(Clone, Copy)]
pub struct How {
    pub fused: bool,
    pub half: bool,
    /// The kernel of each step, by its rank modulo their number; none: the one that ranks first.
    pub candidate: Option<usize>,
}

impl How {
    fn name(&self) -> String {
        let plan = if self.fused { "fused" } else { "unfused" };
        let precision = if self.half { "f16" } else { "f32" };
        let candidate = self.candidate.map_or("ranked".to_owned(), |n| format!("candidate {n}"));
        format!("{plan} {precision} {candidate}")
    }
}

pub enum Norms {
    Batch,
    Frozen,
    Identity,
}

/// A block: its state dict as a safetensors file, its settings, an input (NCHW).
pub struct BlockCase {
    pub name: String,
    pub file: Vec<u8>,
    pub stride: usize,
    pub dilation: usize,
    pub groups: usize,
    pub base_width: usize,
    pub norm: Norms,
    pub eps: f64,
    pub input_dims: [usize; 4],
    pub input: Vec<f32>,
}

/// A network: `small`, or a name of torchvision's.
pub struct NetworkCase {
    pub name: &'static str,
    pub dilate: &'static [bool],
    pub classes: usize,
    pub input_dims: [usize; 4],
}

/// splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn uniform(&mut self, low: f32, high: f32, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| low + (high - low) * ((self.next() >> 40) as f32 / (1u32 << 24) as f32))
            .collect()
    }
}

/// 64 bits of FNV-1a.
fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn print(name: &str, values: &[f32]) {
    // `scripts/compare --plant bit` changes the last bit of the first value, so that it must fail.
    let planted = u32::from(std::env::var("COMPARE_PLANT").is_ok_and(|plant| plant == "bit"));
    let bits = values
        .iter()
        .enumerate()
        .map(|(index, value)| value.to_bits() ^ if index == 0 { planted } else { 0 });
    println!("{name}\t{:016x}", hash(bits.flat_map(u32::to_le_bytes)));
}

type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

fn file(tensors: &Tensors) -> Result<Vec<u8>> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(.., values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views: std::result::Result<Vec<_>, _> = tensors
        .iter()
        .zip(&bytes)
        .map(|((key, dims, _), bytes)| {
            Ok((key.as_str(), TensorView::new(Dtype::F32, dims.clone(), bytes)?))
        })
        .collect::<std::result::Result<_, safetensors::SafeTensorError>>();
    Ok(safetensors::serialize(views?, None)?)
}

/// A golden block with its input.
fn golden(path: &Path) -> Result<BlockCase> {
    let bytes = std::fs::read(path)?;
    let (_, header) = SafeTensors::read_metadata(&bytes)?;
    let about = header.metadata().clone().unwrap_or_default();
    let text =
        |key: &str| about.get(key).cloned().ok_or_else(|| format!("{}: no {key}", path.display()));
    let number = |key: &str| -> Result<usize> { Ok(text(key)?.parse()?) };
    let input = SafeTensors::deserialize(&bytes)?;
    let input = input.tensor("input")?;
    let dims: [usize; 4] = input.shape().try_into()?;
    let values = input
        .data()
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
    let norm = match text("norm")?.as_str() {
        "frozen" => Norms::Frozen,
        "identity" => Norms::Identity,
        _ => Norms::Batch,
    };
    Ok(BlockCase {
        name: format!("golden {}", path.file_stem().unwrap_or_default().to_string_lossy()),
        stride: number("stride")?,
        dilation: number("dilation")?,
        groups: number("groups")?,
        base_width: number("base_width")?,
        norm,
        eps: text("eps")?.parse()?,
        input_dims: dims,
        input: values.collect(),
        file: bytes.clone(),
    })
}

fn goldens() -> Result<Vec<BlockCase>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir("tests/golden")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| golden(path)).collect()
}

/// Channels, groups and geometry of a block.
struct Shape {
    inplanes: usize,
    planes: usize,
    groups: usize,
    base_width: usize,
    stride: usize,
    dilation: usize,
}

/// A block with seeded weights and a seeded input.
fn seeded(
    name: String,
    shape: &Shape,
    [n, h, w]: [usize; 3],
    random: &mut Random,
) -> Result<BlockCase> {
    let Shape { inplanes, planes, groups, base_width, stride, dilation } = *shape;
    let width = planes * base_width / 64 * groups;
    let mut convs =
        vec![("conv1", "bn1", inplanes, width, 1, 1), ("conv2", "bn2", width, width, 3, groups)];
    convs.push(("conv3", "bn3", width, 4 * planes, 1, 1));
    if stride != 1 || inplanes != 4 * planes {
        convs.push(("downsample.0", "downsample.1", inplanes, 4 * planes, 1, 1));
    }
    let mut tensors = Tensors::new();
    for (conv, norm, from, to, side, groups) in convs {
        let bound = (3.0 / (from / groups * side * side) as f32).sqrt();
        let weight = random.uniform(-bound, bound, to * (from / groups) * side * side);
        tensors.push((format!("{conv}.weight"), vec![to, from / groups, side, side], weight));
        let parts = [
            ("weight", 0.5, 1.0),
            ("bias", -0.3, 0.3),
            ("running_mean", -0.3, 0.3),
            ("running_var", 0.5, 1.5),
        ];
        for (part, low, high) in parts {
            tensors.push((format!("{norm}.{part}"), vec![to], random.uniform(low, high, to)));
        }
    }
    let input = random.uniform(-1.0, 1.0, n * inplanes * h * w);
    let (norm, eps, input_dims) = (Norms::Batch, 1e-5, [n, inplanes, h, w]);
    Ok(BlockCase {
        name,
        file: file(&tensors)?,
        stride,
        dilation,
        groups,
        base_width,
        norm,
        eps,
        input_dims,
        input,
    })
}

/// Blocks of random shapes.
fn random_blocks(count: u64) -> Result<Vec<BlockCase>> {
    let block = |seed: u64| {
        let mut random = Random(seed);
        let groups = [1, 1, 1, 2, 4, 8][random.below(6)];
        // Widths that are multiples of four, and some that are not.
        let shape = Shape {
            inplanes: 1 + random.below(40),
            planes: 1 + random.below(24),
            groups,
            base_width: 64,
            stride: 1 + random.below(2),
            dilation: 1 + random.below(3),
        };
        let size = [1 + random.below(3), 1 + random.below(17), 1 + random.below(17)];
        seeded(format!("random {seed}"), &shape, size, &mut random)
    };
    (0..count).map(block).collect()
}

/// The blocks of `bottleneck bench`.
fn workload(name: &str) -> Result<BlockCase> {
    let block = |inplanes, planes| Shape {
        inplanes,
        planes,
        groups: 1,
        base_width: 64,
        stride: 1,
        dilation: 1,
    };
    let (shape, side) = match name {
        "w1" => (block(256, 64), 56),
        "w2" => (Shape { stride: 2, ..block(256, 128) }, 56),
        "w3" => (block(1024, 256), 14),
        "w4" => (Shape { groups: 32, base_width: 4, ..block(512, 128) }, 28),
        "w5" => (Shape { dilation: 2, ..block(2048, 512) }, 28),
        _ => return Err(format!("no workload {name}").into()),
    };
    seeded(name.to_owned(), &shape, [1, side, side], &mut Random(1))
}

const NETWORKS: [NetworkCase; 3] = [
    NetworkCase {
        name: "resnet50",
        dilate: &[false, true, true],
        classes: 10,
        input_dims: [1, 3, 48, 40],
    },
    NetworkCase {
        name: "resnext50_32x4d",
        dilate: &[false, false, false],
        classes: 10,
        input_dims: [2, 3, 33, 64],
    },
    NetworkCase {
        name: "resnet18",
        dilate: &[false, false, false],
        classes: 10,
        input_dims: [3, 3, 40, 40],
    },
];

const W6: NetworkCase = NetworkCase {
    name: "resnet50",
    dilate: &[false, false, false],
    classes: 1000,
    input_dims: [1, 3, 224, 224],
};

const TRAINED: NetworkCase =
    NetworkCase { name: "small", dilate: &[false], classes: 10, input_dims: [8, 3, 32, 32] };

fn network_file(case: &NetworkCase) -> Result<Vec<u8>> {
    let mut random = Random(7);
    let mut tensors = Tensors::new();
    for (key, dims) in api::network_shapes(case)? {
        let count: usize = dims.iter().product();
        let values = if dims.len() > 1 {
            let bound = (3.0 / dims[1..].iter().product::<usize>() as f32).sqrt();
            random.uniform(-bound, bound, count)
        } else if key.ends_with("bias") || key.ends_with("running_mean") {
            random.uniform(-0.25, 0.25, count)
        } else {
            random.uniform(0.5, 1.0, count)
        };
        tensors.push((key, dims, values));
    }
    file(&tensors)
}

/// A device's name, how it is opened, and whether every candidate runs on it.
const DEVICES: [(&str, Option<&str>, bool); 3] =
    [("Vulkan", None, false), ("core limits", None, true), ("OpenGL", Some("(gl,"), false)];

/// The results whose names contain `part`.
fn bits(part: &str) -> Result<()> {
    let wanted = |name: &str| name.contains(part);
    let blocks: Vec<BlockCase> = goldens()?.into_iter().chain(random_blocks(24)?).collect();
    for (device_name, adapter, core) in DEVICES {
        let device = Device::open(adapter, core)?;
        eprintln!("{device_name}: {}", device.describe());
        for case in &blocks {
            block_bits(device_name, &device, case, &wanted)?;
        }
        for case in &NETWORKS {
            let file = network_file(case)?;
            let input = Random(11).uniform(-1.0, 1.0, case.input_dims.iter().product());
            for half in [false, true].into_iter().filter(|&half| !half || device.has_half()) {
                for fused in [true, false] {
                    let how = How { fused, half, candidate: None };
                    let name = format!("{device_name}: network {} {}", case.name, how.name());
                    if wanted(&name) {
                        print(&name, &api::network_logits(&device, case, &file, &input, &how)?);
                    }
                }
            }
        }
        let name = format!("{device_name}: 20 training steps");
        if wanted(&name) {
            print(&name, &training(&device)?);
        }
    }
    recordings(&blocks, &wanted)
}

/// Every candidate of a block, fused and unfused, in f32 and f16, and its training step.
fn block_bits(
    device_name: &str,
    device: &Device,
    case: &BlockCase,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<()> {
    for half in [false, true].into_iter().filter(|&half| !half || device.has_half()) {
        for fused in [true, false] {
            let ranked = How { fused, half, candidate: None };
            let candidates = api::block_candidates(device, case, &ranked)?;
            for candidate in [None].into_iter().chain((0..candidates).map(Some)) {
                let how = How { candidate, ..ranked };
                let name = format!("{device_name}: {} {}", case.name, how.name());
                if wanted(&name) {
                    print(&name, &api::block_output(device, case, &how)?);
                }
            }
        }
    }
    // PyTorch refuses one value per channel in training mode.
    if !matches!(case.norm, Norms::Batch) || !case.name.starts_with("random") {
        return Ok(());
    }
    let [n, _, h, w] = case.input_dims;
    let (h, w) = (h.div_ceil(case.stride), w.div_ceil(case.stride));
    if n * h * w < 2 {
        return Ok(());
    }
    let outplanes = {
        let header = SafeTensors::deserialize(&case.file)?;
        header.tensor("conv3.weight")?.shape()[0]
    };
    let grad_dims = [n, outplanes, h, w];
    let grad_out = Random(3).uniform(-1.0, 1.0, grad_dims.iter().product());
    let candidates = api::block_training_candidates(device, case)?;
    for candidate in [None].into_iter().chain((0..candidates).map(Some)) {
        let how = How { fused: true, half: false, candidate };
        let name = format!("{device_name}: training {} {}", case.name, how.name());
        if wanted(&name) {
            print(&name, &api::block_training(device, case, (grad_dims, &grad_out), candidate)?);
        }
    }
    Ok(())
}

fn training(device: &Device) -> Result<Vec<f32>> {
    let file = network_file(&TRAINED)?;
    let mut random = Random(5);
    let batches: Vec<_> = (0..20)
        .map(|_| {
            let images = random.uniform(-1.0, 1.0, TRAINED.input_dims.iter().product());
            (images, (0..TRAINED.input_dims[0]).map(|_| random.below(TRAINED.classes)).collect())
        })
        .collect();
    api::network_training(device, &TRAINED, &file, &batches)
}

/// What would be run with core limits and on a discrete GPU.
fn recordings(blocks: &[BlockCase], wanted: &dyn Fn(&str) -> bool) -> Result<()> {
    let print = |name: String, lines: Vec<String>| {
        println!("{name}\t{:016x}", hash(lines.join("\n").into_bytes()))
    };
    for gpu in ["core", "discrete"] {
        for half in [false, true].into_iter().filter(|&half| !half || gpu == "discrete") {
            for fused in [true, false] {
                let how = How { fused, half, candidate: None };
                let workloads = ["w1", "w2", "w3", "w4", "w5"]
                    .into_iter()
                    .map(workload)
                    .collect::<Result<Vec<_>>>()?;
                for case in blocks.iter().chain(&workloads) {
                    let name = format!("recording {gpu}: {} {}", case.name, how.name());
                    if wanted(&name) {
                        print(name, api::block_recording(case, &how, gpu)?);
                    }
                }
                for case in NETWORKS.iter().chain([&W6]) {
                    let name = format!(
                        "recording {gpu}: network {} {:?} {}",
                        case.name,
                        case.input_dims,
                        how.name()
                    );
                    if wanted(&name) {
                        print(name, api::network_recording(case, &how, gpu)?);
                    }
                }
            }
        }
    }
    Ok(())
}

/// The median time of a workload. `delay` makes each run longer by a share, to test the comparison.
fn time(name: &str, rounds: usize, delay: f64) -> Result<()> {
    let device = Device::open(None, false)?;
    let mut times = match name.strip_prefix("training-") {
        Some(name) => api::time_training(&device, &workload(name)?, rounds)?,
        None if name == "w6" => api::time_network(&device, &W6, &network_file(&W6)?, rounds)?,
        None => api::time_block(&device, &workload(name)?, rounds)?,
    };
    times.sort_by(f64::total_cmp);
    println!("{}", times[times.len() / 2] * (1.0 + delay));
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["bits"] => bits(""),
        ["bits", part] => bits(part),
        ["time", name, rounds] => time(name, rounds.parse()?, 0.0),
        ["time", name, rounds, delay] => time(name, rounds.parse()?, delay.parse()?),
        _ => Err("probe bits [PART], or probe time WORKLOAD ROUNDS".into()),
    }
}
