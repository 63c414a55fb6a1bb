//! What the test files share: the devices to test on, golden files, seeded data, exact blocks.
#![allow(dead_code)]

pub mod dict;
pub mod exact;
pub mod seeded;
pub mod seeded_network;
pub mod specs;
pub mod torch;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use wgpu_bottleneck::gpu::{AdapterChoice, LimitsChoice};
use wgpu_bottleneck::kernel::{self, Capabilities};
use wgpu_bottleneck::op::Epilogue;
use wgpu_bottleneck::plan::{Plan, Recording, Step};
use wgpu_bottleneck::{Block, BlockOptions, Gpu, GpuOptions, HostTensor, Norm, StateDict};

pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A device of the test matrix.
pub struct Target {
    pub name: &'static str,
    pub gpu: Gpu,
}

pub const SWIFTSHADER: &str = "SwiftShader";

/// The devices that every suite runs on: the best one, the same with runtime checks, with core limits, OpenGL, and SwiftShader,
/// a second Vulkan driver. One that is missing is skipped loudly, or an error where it is [`demanded`]. Made once per test file,
/// so that every kernel is compiled once.
pub fn targets() -> &'static [Target] {
    static TARGETS: OnceLock<Vec<Target>> = OnceLock::new();
    TARGETS.get_or_init(make_targets)
}

fn make_targets() -> Vec<Target> {
    let wanted = [
        ("default", AdapterChoice::Best, LimitsChoice::Adapter, false),
        ("runtime checks", AdapterChoice::Best, LimitsChoice::Adapter, true),
        ("core limits", AdapterChoice::Best, LimitsChoice::Core, false),
        ("OpenGL", AdapterChoice::Named("(gl,".to_owned()), LimitsChoice::Adapter, false),
        (SWIFTSHADER, AdapterChoice::Named("swiftshader".to_owned()), LimitsChoice::Adapter, false),
    ];
    let mut targets: Vec<Target> = Vec::new();
    for (name, adapter, limits, runtime_checks) in wanted {
        if !chosen(name) {
            loudly(&format!("SKIPPED: device \"{name}\": BOTTLENECK_TEST_DEVICES does not name it"));
            continue;
        }
        match Gpu::with_options(&GpuOptions { adapter, limits, runtime_checks, matrices: true }) {
            // The best adapter may be SwiftShader itself; once is enough.
            Ok(gpu) if name == SWIFTSHADER && targets.first().is_some_and(|best| best.gpu.info() == gpu.info()) => {}
            Ok(gpu) => targets.push(Target { name, gpu }),
            Err(error) if demanded(name) => panic!("{name}: {error}"),
            Err(error) => loudly(&format!("SKIPPED: no device \"{name}\": {error}")),
        }
    }
    targets.iter().for_each(name_skipped_kernels);
    assert!(!targets.is_empty(), "no GPU at all: run the tests through scripts/with-gpu");
    targets
}

/// A line on stderr that cargo does not hold back, as it does with what a passing test prints.
pub fn loudly(line: &str) {
    // Nothing can be told where stderr is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says which kernels a device is not tested with, by name without the epilogue, and why it cannot run them.
fn name_skipped_kernels(target: &Target) {
    let mut reasons: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for kernel in kernel::all_specialisations() {
        if let Err(reason) = kernel.runs_on(target.gpu.capabilities()) {
            let plain = kernel::Kernel { epilogue: Epilogue::default(), ..kernel };
            reasons.entry(reason).or_default().insert(plain.name());
        }
    }
    for (reason, kernels) in reasons {
        let names: Vec<&str> = kernels.iter().map(String::as_str).collect();
        loudly(&format!("SKIPPED on {}: {} ({reason}): {}", target.name, target.gpu.describe(), names.join(" ")));
    }
}

/// Whether a device is among those of `BOTTLENECK_TEST_DEVICES`, names with commas; all are where that is not set.
fn chosen(name: &str) -> bool {
    let names = std::env::var("BOTTLENECK_TEST_DEVICES");
    names.map_or(true, |names| names.split(',').any(|one| one == name))
}

/// Whether a device must be there: `BOTTLENECK_REQUIRE_GPUS=all` demands every one, any other value those that Mesa's drivers
/// make, which is all but SwiftShader.
fn demanded(name: &str) -> bool {
    std::env::var_os("BOTTLENECK_REQUIRE_GPUS").is_some_and(|which| which == "all" || name != SWIFTSHADER)
}

/// The first device of the matrix.
pub fn any_gpu() -> Gpu {
    Gpu::new().unwrap_or_else(|error| panic!("{error}; run the tests through scripts/with-gpu"))
}

/// The largest number of candidates that any step of a plan has; `exact`: without those that transform their weights.
pub fn most_candidates(plan: &Plan, capabilities: &Capabilities, exact: bool) -> usize {
    let count = |step: &Step| {
        let candidates = kernel::candidates(&plan.problem(step), capabilities);
        candidates.iter().filter(|kernel| !exact || kernel.winograd.is_none()).count()
    };
    plan.steps.iter().map(count).max().unwrap_or(0)
}

/// Whether a recording has a kernel that `BOTTLENECK_TEST_KERNELS` names: parts of names, with commas; unset: every one. Where it is set,
/// each that has is printed, so that a name that fits nothing does not pass for a test.
pub fn is_wanted(recording: &Recording) -> bool {
    let Ok(wanted) = std::env::var("BOTTLENECK_TEST_KERNELS") else { return true };
    let names: Vec<String> = recording.steps().flat_map(|step| &step.dispatches).map(|d| d.kernel.name()).collect();
    let found = names.iter().any(|name| wanted.split(',').any(|part| name.contains(part)));
    if found {
        println!("{}: {}", recording.plan.tensor(recording.plan.input).shape, names.join(", "));
    }
    found
}

/// A golden block: what PyTorch was given and what it answered.
pub struct Golden {
    pub name: String,
    pub dict: StateDict,
    pub options: BlockOptions,
    pub input: HostTensor,
    pub output: HostTensor,
}

impl Golden {
    pub fn open(path: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let dict = StateDict::open(path)?;
        let text = |key: &str| dict.metadata(key).ok_or_else(|| format!("{}: no metadata {key}", path.display()));
        let number = |key: &str| -> Result<usize, Box<dyn std::error::Error>> { Ok(text(key)?.parse()?) };
        let eps: f64 = text("eps")?.parse()?;
        let norm = match text("norm")? {
            "batch" => Norm::BatchNorm2d { eps },
            "frozen" => Norm::FrozenBatchNorm2d { eps },
            "identity" => Norm::Identity,
            other => return Err(format!("unknown norm {other}").into()),
        };
        let options = BlockOptions {
            stride: number("stride")?,
            dilation: number("dilation")?,
            groups: Some(number("groups")?),
            base_width: Some(number("base_width")?),
            norm,
        };
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (input, output) = (dict.image("input")?, dict.image("out")?);
        Ok(Self { name, dict, options, input, output })
    }

    pub fn block(&self) -> Result<Block, wgpu_bottleneck::Error> {
        Block::from_state_dict(&self.dict, "", &self.options)
    }
}

pub fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Every golden block, by name.
pub fn goldens() -> Result<Vec<Golden>, Box<dyn std::error::Error>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(golden_dir())?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    paths.sort();
    paths.iter().map(|path| Golden::open(path)).collect()
}
