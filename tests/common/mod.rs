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
use std::sync::{Mutex, Once, PoisonError};

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

/// The devices that every suite runs on: the best one, the same with runtime checks, with core
/// limits, OpenGL, and SwiftShader, a second Vulkan driver. One that is missing is skipped loudly,
/// or an error where it is [`demanded`].
///
/// A test has its devices for itself, as Mesa's drivers compile kernels on one thread per device,
/// and wgpu panics where two threads wait for one OpenGL context for seconds. The next test gets
/// them with the kernels that are compiled by then.
pub fn targets() -> &'static [Target] {
    thread_local! {
        // The test harness runs every test on a thread of its own.
        static DEVICES: Devices = Devices::take();
    }
    DEVICES.with(|devices| devices.0)
}

/// Devices that no running test uses.
static UNUSED: Mutex<Vec<&'static [Target]>> = Mutex::new(Vec::new());

/// The devices of one thread.
struct Devices(&'static [Target]);

impl Devices {
    fn take() -> Self {
        let unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self(unused.unwrap_or_else(|| Vec::leak(make_targets())))
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        UNUSED.lock().unwrap_or_else(PoisonError::into_inner).push(self.0);
    }
}

fn make_targets() -> Vec<Target> {
    let wanted = [
        (BEST, AdapterChoice::Best, LimitsChoice::Adapter, false),
        ("runtime checks", AdapterChoice::Best, LimitsChoice::Adapter, true),
        ("core limits", AdapterChoice::Best, LimitsChoice::Core, false),
        ("OpenGL", AdapterChoice::Named("(gl,".to_owned()), LimitsChoice::Adapter, false),
        (SWIFTSHADER, AdapterChoice::Named("swiftshader".to_owned()), LimitsChoice::Adapter, false),
    ];
    let (mut targets, mut said): (Vec<Target>, Vec<String>) = Default::default();
    let (chosen, others): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|(name, ..)| is_chosen(name));
    if !others.is_empty() {
        let others: Vec<&str> = others.iter().map(|(name, ..)| *name).collect();
        said.push(format!("devices {} ({DEVICES}=all tests all devices)", others.join(", ")));
    }
    for (name, adapter, limits, runtime_checks) in chosen {
        match Gpu::with_options(&GpuOptions { adapter, limits, runtime_checks, matrices: true }) {
            // The best adapter may be SwiftShader itself; once is enough.
            Ok(gpu)
                if name == SWIFTSHADER
                    && targets.first().is_some_and(|best| best.gpu.info() == gpu.info()) => {}
            Ok(gpu) => targets.push(Target { name, gpu }),
            Err(error) if is_demanded(name) => panic!("{name}: {error}"),
            Err(error) => said.push(format!("device {name}: {error}")),
        }
    }
    said.extend(targets.iter().flat_map(skipped_kernels));
    // Once per program, not once per set of devices.
    static SAID: Once = Once::new();
    SAID.call_once(|| said.iter().for_each(|line| loudly(&format!("SKIPPED: {line}"))));
    assert!(!targets.is_empty(), "no GPU at all: run the tests through scripts/with-gpu");
    targets
}

/// A line on stderr that cargo does not hold back, as it does with what a passing test prints.
pub fn loudly(line: &str) {
    // Nothing can be told where stderr is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The variable that lists the names of skipped kernels instead of their number.
const LIST_KERNELS: &str = "BOTTLENECK_LIST_KERNELS";

/// The number of kernels that a device cannot run, one line per reason. `BOTTLENECK_LIST_KERNELS`
/// adds their names, without the epilogue.
fn skipped_kernels(target: &Target) -> Vec<String> {
    let mut reasons: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for kernel in kernel::all_specialisations() {
        if let Err(reason) = kernel.runs_on(target.gpu.capabilities()) {
            let plain = kernel::Kernel { epilogue: Epilogue::default(), ..kernel };
            reasons.entry(reason).or_default().insert(plain.name());
        }
    }
    let line = |(reason, kernels): (&str, BTreeSet<String>)| {
        let names = match std::env::var_os(LIST_KERNELS) {
            None => format!(" ({LIST_KERNELS}=1 lists them)"),
            Some(_) => {
                format!(": {}", Vec::from_iter(kernels.iter().map(String::as_str)).join(" "))
            }
        };
        format!(
            "{} kernels on {} ({}): {reason}{names}",
            kernels.len(),
            target.name,
            target.gpu.describe()
        )
    };
    reasons.into_iter().map(line).collect()
}

/// The variable that chooses the devices.
const DEVICES: &str = "BOTTLENECK_TEST_DEVICES";

/// The device that is tested unless others are chosen.
const BEST: &str = "default";

/// Whether `BOTTLENECK_TEST_DEVICES` (names with commas, or `all`) contains a device. The default
/// is [`BEST`].
fn is_chosen(name: &str) -> bool {
    let names = std::env::var(DEVICES);
    names.map_or(name == BEST, |names| names == "all" || names.split(',').any(|one| one == name))
}

/// Whether a device must be there: `BOTTLENECK_REQUIRE_GPUS=all` demands every one, any other value
/// those that Mesa's drivers make, which is all but SwiftShader.
fn is_demanded(name: &str) -> bool {
    std::env::var_os("BOTTLENECK_REQUIRE_GPUS")
        .is_some_and(|which| which == "all" || name != SWIFTSHADER)
}

/// The first device of the matrix.
pub fn any_gpu() -> Gpu {
    Gpu::new().unwrap_or_else(|error| panic!("{error}; run the tests through scripts/with-gpu"))
}

/// The largest number of candidates that any step of a plan has; `exact`: without those that
/// transform their weights.
pub fn most_candidates(plan: &Plan, capabilities: &Capabilities, exact: bool) -> usize {
    let count = |step: &Step| {
        let candidates = kernel::candidates(&plan.problem(step), capabilities);
        candidates.iter().filter(|kernel| !exact || kernel.winograd.is_none()).count()
    };
    plan.steps.iter().map(count).max().unwrap_or(0)
}

/// Whether a recording has a kernel that `BOTTLENECK_TEST_KERNELS` names: parts of names, with
/// commas; unset: every one. Where it is set, each that has is printed, so that a name that fits
/// nothing does not pass for a test.
pub fn is_wanted(recording: &Recording) -> bool {
    let Ok(wanted) = std::env::var("BOTTLENECK_TEST_KERNELS") else { return true };
    let names: Vec<String> =
        recording.steps().flat_map(|step| &step.dispatches).map(|d| d.kernel.name()).collect();
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
        let text = |key: &str| {
            dict.metadata(key).ok_or_else(|| format!("{}: no metadata {key}", path.display()))
        };
        let number =
            |key: &str| -> Result<usize, Box<dyn std::error::Error>> { Ok(text(key)?.parse()?) };
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
        let (input, output) = (dict.nchw("input")?, dict.nchw("out")?);
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
    let mut paths: Vec<PathBuf> = std::fs::read_dir(golden_dir())?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    paths.sort();
    paths.iter().map(|path| Golden::open(path)).collect()
}
