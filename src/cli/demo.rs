//! `bottleneck` without a command: the default run, on built-in data.
//!
//! Five parts: blocks that PyTorch ran, compared with PyTorch's output; a training step of such a
//! block; blocks of ResNet-50's size with seeded weights, fused and unfused, compared with the
//! reference, and timed; a chain of sixteen blocks; the network that ships with the program, on
//! digits. One wrong result makes the program fail.

mod bundled_blocks;
mod training;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use wgpu_bottleneck::gpu::{CeilingOptions, Ceilings};
use wgpu_bottleneck::tensor::{Comparison, Tolerance, compare};
use wgpu_bottleneck::{
    Block, BlockChain, Bottleneck, Error, Gpu, HostTensor, PlanKind, Shape, StateDict,
};

use super::adapter_args::AdapterArgs;
use super::devices::kind;
use super::error::CliError;
use super::forced::Forced;
use super::output::{self, Cell, Table};
use super::timing::{Buffers, interleaved, median};
use super::{chain, digits, seeded};

/// `bottleneck` without a command.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Which adapter.
    #[command(flatten)]
    pub adapter: AdapterArgs,
    /// Use the kernel whose name contains this for every step that it fits, instead of the kernel
    /// that ranks first.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub kernel: Option<String>,
}

/// Files that PyTorch wrote: weights, `input` and `out`, with the block's parameters as text in the
/// header.
const PYTORCH: [(&str, &[u8]); 3] = [
    ("torchvision", include_bytes!("demo/torchvision.safetensors")),
    ("ResNeXt", include_bytes!("demo/resnext.safetensors")),
    ("DeepLab", include_bytes!("demo/deeplab.safetensors")),
];

/// The largest accepted error compared with PyTorch's f64 output, as a share of the largest value.
const TOLERANCE: Tolerance = Tolerance::relative(1e-5);

/// Runs the command.
pub fn run(args: &DemoArgs) -> Result<(), CliError> {
    let gpu = args.adapter.gpu_with_kept_pipelines()?;
    let kernels = Forced::new(&gpu, args.kernel.as_deref());
    adapter(&gpu)?;
    let mut wrong = pytorch(&kernels)?;
    wrong += training::run(&kernels)?;
    wrong += resnet(&kernels)?;
    wrong += usize::from(!chain::run(&kernels)?);
    wrong += digits::run(&kernels)?;
    kernels.check()?;
    match wrong {
        0 => output::print("\nAll results are correct.\n"),
        wrong => Err(CliError::Wrong(format!(
            "{} beyond tolerance",
            output::count(wrong, "result is", "results are")
        ))),
    }
}

/// Prints the adapter of the run.
fn adapter(gpu: &Gpu) -> Result<(), CliError> {
    let info = gpu.info();
    let (backend, driver) = (info.backend.to_str(), super::devices::driver(info));
    for (what, text) in [
        ("adapter", info.name.as_str()),
        ("backend", backend),
        ("kind", kind(info)),
        ("driver", &driver),
    ] {
        output::print(&format!("{what:<8} {text}\n"))?;
    }
    Ok(())
}

/// The first part. Returns the number of wrong blocks.
fn pytorch(kernels: &Forced<'_>) -> Result<usize, CliError> {
    output::heading("PyTorch's blocks: bundled weights and input, compared with PyTorch's output")?;
    let mut table = Table::new(&[
        "block",
        "input",
        "output",
        ">steps",
        ">dispatches",
        ">command buffers",
        ">largest error",
        "",
    ]);
    let mut wrong = 0;
    for (name, file) in PYTORCH {
        output::progress(&format!("PyTorch's {name} block ..."));
        let dict = StateDict::from_bytes(file.to_vec())?;
        let block = Block::from_state_dict(&dict, "", &bundled_blocks::options(&dict)?)?;
        let (input, expected) = (dict.nchw("input")?, dict.nchw("out")?);
        let label = format!("{name}, {}", bundled_blocks::describe(block.spec()));
        let mut model = kernels.load(&[block], input.shape(), PlanKind::Fused)?;
        let comparison = compare(&expected, &model.run(&input)?, TOLERANCE);
        wrong += usize::from(!comparison.passed());
        let start = [label.into(), input.shape().into(), expected.shape().into()];
        table.row(start.into_iter().chain(counts(&model)).chain(errors(&comparison)));
    }
    output::print(&table.render())?;
    output::print(&format!(
        "  (largest error as a share of the largest value; {:.0e} is accepted)\n",
        TOLERANCE.relative
    ))?;
    Ok(wrong)
}

/// A block of the third part.
struct Sized {
    name: &'static str,
    spec: Bottleneck,
    input: Shape,
}

/// The blocks of the third part.
fn sized() -> Result<[Sized; 5], Error> {
    let sized = |name,
                 builder: wgpu_bottleneck::network::BottleneckBuilder,
                 side|
     -> Result<Sized, Error> {
        let spec = builder.build()?;
        Ok(Sized { name, spec, input: Shape::new(1, spec.inplanes(), side, side)? })
    };
    let block = Bottleneck::torchvision;
    Ok([
        sized("ResNet-50 layer1.1", block(256, 64), 56)?,
        sized("ResNet-50 layer2.0", block(256, 128).stride(2).downsample(true), 56)?,
        sized("ResNeXt-50 32x4d layer2.1", block(512, 128).groups(32).base_width(4), 28)?,
        sized("DeepLab layer3, rate 2", Bottleneck::deeplab(1024, 256, 2), 28)?,
        sized("DeepLab layer4, rate 2", Bottleneck::deeplab(2048, 512, 2), 28)?,
    ])
}

/// The third part. Returns the number of wrong results.
fn resnet(kernels: &Forced<'_>) -> Result<usize, CliError> {
    output::heading(
        "ResNet-50's size: seeded weights, compared with the reference (f64 on the CPU), timed",
    )?;
    let mut table = Table::new(&[
        "block",
        "plan",
        ">steps",
        ">dispatches",
        ">command buffers",
        ">largest error",
        "",
        ">ms",
        ">GFLOP/s",
        ">of FMA",
        ">speedup",
    ]);
    output::progress("the ceiling of multiply-adds ...");
    let ceiling = Ceilings::measure_fma(kernels.gpu(), &CeilingOptions::default())?;
    let mut wrong = 0;
    for (seed, sized) in (1..).zip(sized()?) {
        output::progress(&format!("{} ...", sized.name));
        wrong += compare_plans(kernels, &sized, seed, ceiling, &mut table)?;
    }
    output::print(&table.render())?;
    output::print(&format!(
        "  (input and output on the device, submit to end of wait, the two plans in turn, median; \
        speedup of fused over\n  \
         unfused: median of the pairs; GFLOP/s count the convolutions only, the same for both \
         plans; of FMA: the operations\n  \
         that the kernels execute, fewer with Winograd, as a share of {ceiling:.1} GFLOP/s, the \
         ceiling of multiply-adds in\n  \
         f32 that was just measured on this device)\n",
    ))?;
    Ok(wrong)
}

/// A block on the device as one kind of plan.
struct Loaded {
    model: BlockChain,
    buffers: Buffers,
}

impl Loaded {
    fn new(
        kernels: &Forced<'_>,
        block: &Block,
        input: &HostTensor,
        plan: PlanKind,
    ) -> Result<Self, CliError> {
        let model = kernels.load(std::slice::from_ref(block), input.shape(), plan)?;
        let buffers = Buffers::new(model.executor(), input)?;
        Ok(Self { model, buffers })
    }
}

/// Times both plans of a block side by side, and checks the output of the timed runs. Appends a row
/// for each plan.
fn compare_plans(
    kernels: &Forced<'_>,
    sized: &Sized,
    seed: u64,
    ceiling: f64,
    table: &mut Table,
) -> Result<usize, CliError> {
    let (block, input) = (seeded::block(&sized.spec, seed)?, seeded::input(sized.input, seed)?);
    let fused = Loaded::new(kernels, &block, &input, PlanKind::Fused)?;
    let unfused = Loaded::new(kernels, &block, &input, PlanKind::Unfused)?;
    let bound = [
        fused.buffers.bind(fused.model.executor())?,
        unfused.buffers.bind(unfused.model.executor())?,
    ];
    let runs = interleaved(kernels.gpu(), &[&bound[0], &bound[1]])?;
    let speedup = median(
        runs[0]
            .iter()
            .zip(&runs[1])
            .map(|(a, b)| b.complete.as_secs_f64() / a.complete.as_secs_f64()),
    );
    // The unfused plan's reference is nearest to PyTorch: no norm is folded there.
    let expected = unfused.model.reference(&input)?;
    let shapes = format!("  {} -> {}", input.shape(), expected.shape());
    let rows = [
        (&fused, "fused", sized.name.to_owned(), format!("{speedup:.2} x")),
        (&unfused, "unfused", shapes, String::new()),
    ];
    let mut wrong = 0;
    for ((loaded, plan, label, speedup), runs) in rows.into_iter().zip(&runs) {
        let Loaded { model, buffers } = loaded;
        let comparison =
            compare(&expected, &buffers.download(model.executor())?, model.tolerance());
        wrong += usize::from(!comparison.passed());
        let seconds = median(runs.iter().map(|run| run.complete.as_secs_f64()));
        let recording = model.recording();
        let [counted, executed] = [recording.plan.conv_flops(), recording.executed_flops()]
            .map(|operations| operations as f64 / seconds / 1e9);
        let share = format!("{:.0} %", executed / ceiling * 100.0);
        let speed = [format!("{:.3}", seconds * 1e3), format!("{counted:.1}"), share, speedup]
            .map(Cell::from);
        let start = [label.into(), plan.into()];
        table.row(start.into_iter().chain(counts(model)).chain(errors(&comparison)).chain(speed));
    }
    Ok(wrong)
}

/// Steps, dispatches and command buffers of a model.
fn counts(model: &BlockChain) -> [Cell; 3] {
    let recording = model.recording();
    [recording.plan.steps.len(), recording.dispatch_count(), recording.segments.len()]
        .map(Cell::from)
}

/// The largest error, and whether it is within tolerance.
fn errors(comparison: &Comparison) -> [Cell; 2] {
    [format!("{:.1e}", comparison.relative_error()).into(), Cell::verdict(comparison)]
}
