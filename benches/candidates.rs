//! Every candidate kernel on every layer shape of ResNet-50 and ResNeXt-50 32x4d, batch 1, side by side, the ranking rule's
//! pick marked. Prints a Markdown table. What is measured and what is not: benches/README.md.
//!
//! `cargo bench --bench candidates -- [PART]` takes the layers whose name contains PART; under `cargo test` a few run once.

mod support;

use std::time::{Duration, Instant};

use support::{Random, Result, image};
use wgpu_bottleneck::gpu::{Executor, ExecutorOptions};
use wgpu_bottleneck::kernel::{self, Access, Kernel, Method, Tile};
use wgpu_bottleneck::op::{Op, StepParams};
use wgpu_bottleneck::plan::{KernelChoice, MemoryBudget, Placement, Plan, PlanKind, Slot, TensorId, schedule};
use wgpu_bottleneck::tensor::{Element, Tolerance, compare};
use wgpu_bottleneck::wgpu::{Buffer, BufferDescriptor, BufferUsages};
use wgpu_bottleneck::{Bottleneck, Gpu, HostTensor, Shape, network, reference};

/// Timed runs of each candidate, in turn with all others of its layer, and how far behind the best it may be for more: on a
/// machine that other guests use too, the best few need many to tell them apart.
const HEATS: [(usize, f64); 3] = [(4, f64::INFINITY), (16, 2.0), (48, 1.25)];

/// One convolution of a network: a plan of a single step.
struct Layer {
    name: String,
    plan: Plan,
}

/// The distinct convolutions of the fused blocks of a network whose layer1 runs at 56x56.
fn layers(network: &str, groups: usize, base_width: usize) -> Result<Vec<Layer>> {
    let mut layers: Vec<Layer> = Vec::new();
    let (mut inplanes, mut side) = (64, 56);
    for (stage, planes) in [64, 128, 256, 512].into_iter().enumerate() {
        for index in 0..2 {
            let stride = if index == 0 && stage > 0 { 2 } else { 1 };
            let spec = Bottleneck::torchvision(inplanes, planes)
                .groups(groups)
                .base_width(base_width)
                .stride(stride)
                .downsample(index == 0)
                .build()?;
            let plan = network::plan_block(&spec, Shape::new(1, inplanes, side, side)?, PlanKind::Fused)?;
            for at in 0..plan.steps.len() {
                let name = format!("{network} layer{}.{index} {}", stage + 1, plan.steps[at].role.name());
                layers.push(Layer { name, plan: single_step(&plan, at) });
            }
            (inplanes, side) = (planes * 4, side / stride);
        }
    }
    Ok(layers)
}

/// The convolutions of a DeepLab's layer4 block: a dense 3x3 one of dilation 2, of 512 channels.
fn deeplab() -> Result<Vec<Layer>> {
    let spec = Bottleneck::torchvision(2048, 512).dilation(2).build()?;
    let plan = network::plan_block(&spec, Shape::new(1, 2048, 28, 28)?, PlanKind::Fused)?;
    let layer = |at: usize| Layer {
        name: format!("deeplab layer4.1 {}", plan.steps[at].role.name()),
        plan: single_step(&plan, at),
    };
    Ok((0..plan.steps.len()).map(layer).collect())
}

/// A plan of one step of another plan. A second input is a tensor that nothing writes: only the first is the caller's.
fn single_step(plan: &Plan, at: usize) -> Plan {
    let step = &plan.steps[at];
    let ids = step.inputs.iter().copied().chain([step.output]);
    let tensors: Vec<_> = ids.map(|id| plan.tensor(id).clone()).collect();
    let output = TensorId(tensors.len() - 1);
    let mut step = step.clone();
    step.inputs = (0..output.0).map(TensorId).collect();
    step.output = output;
    Plan {
        kind: plan.kind,
        tensors,
        steps: vec![step],
        blocks: std::iter::once(0..1).collect(),
        input: TensorId(0),
        output,
        kept: Vec::new(),
    }
}

/// Seeded parameters of a step.
fn params(op: &Op, random: &mut Random) -> StepParams {
    let bound = (3.0 / op.reduction_length() as f32).sqrt();
    let mut values = |count| (0..count).map(|_| random.uniform(-bound, bound)).collect::<Vec<f32>>();
    match op {
        Op::Conv { conv, .. } => StepParams::Conv { weight: values(conv.weights()), bias: values(conv.out_channels) },
        Op::JoinedConv { main, shortcut, .. } => StepParams::JoinedConv {
            main: values(main.weights()),
            shortcut: values(shortcut.weights()),
            bias: values(main.out_channels),
        },
        _ => StepParams::None,
    }
}

/// A candidate, ready to run.
struct Contestant {
    kernel: Kernel,
    executor: Executor,
    input: Buffer,
    output: Buffer,
    times: Vec<Duration>,
}

impl Contestant {
    fn new(gpu: &Gpu, layer: &Layer, index: usize, params: &StepParams, image: &HostTensor) -> Result<Self> {
        let mut recording =
            schedule(layer.plan.clone(), gpu.capabilities(), &KernelChoice::Nth(index), MemoryBudget::UNBOUNDED)?;
        // The second input is the image too where it has its shape, zeros of its own shape otherwise.
        if let [_, second] = recording.plan.steps[0].inputs[..] {
            recording.places[second.0] = Placement::Slot(recording.slots.len());
            recording.slots.push(Slot { bytes: recording.plan.tensor(second).bytes() });
        }
        let kernel = recording.segments[0].steps[0].kernel;
        let executor = Executor::new(gpu, recording, std::slice::from_ref(params), ExecutorOptions::default())?;
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let buffer = |size| {
            gpu.device().create_buffer(&BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
        };
        let (input, output) = (buffer(executor.input_bytes()), buffer(executor.output_bytes()));
        let packed = image.to_nhwc(layer.plan.tensor(layer.plan.input).layout)?;
        gpu.queue().write_buffer(&input, 0, bytemuck::cast_slice(&packed));
        Ok(Self { kernel, executor, input, output, times: Vec::new() })
    }

    fn run(&mut self, gpu: &Gpu) -> Result<()> {
        let commands = self.executor.bind(&self.input, &self.output)?.record()?;
        let start = Instant::now();
        gpu.queue().submit(commands);
        gpu.wait()?;
        self.times.push(start.elapsed());
        Ok(())
    }

    fn result(&self, gpu: &Gpu) -> Result<HostTensor> {
        let info = self.executor.recording().plan.tensor(self.executor.recording().plan.output);
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(&gpu.download(&self.output)?);
        Ok(HostTensor::from_nhwc(info.shape, info.layout, &values)?)
    }

    /// The fastest round: whatever else the machine does can only slow a round down.
    fn best(&self) -> f64 {
        self.times.iter().map(Duration::as_secs_f64).fold(f64::INFINITY, f64::min)
    }
}

/// What the reference says of the step, a second input being zeros.
fn expected(layer: &Layer, params: &StepParams, image: &HostTensor) -> Result<HostTensor> {
    let mut recording =
        schedule(layer.plan.clone(), &kernel::Capabilities::CORE, &KernelChoice::Ranked, MemoryBudget::UNBOUNDED)?;
    let step = &mut recording.segments[0].steps[0].step;
    let mut params = params.clone();
    match (&mut step.op, &mut params) {
        (Op::Conv { epilogue, .. }, _) => epilogue.residual = false,
        (Op::JoinedConv { main, .. }, StepParams::JoinedConv { main: weight, bias, .. }) => {
            let (conv, weight, bias) = (*main, std::mem::take(weight), std::mem::take(bias));
            let epilogue = wgpu_bottleneck::op::Epilogue { bias: true, residual: false, relu: true };
            step.op = Op::Conv { conv, epilogue };
            params = StepParams::Conv { weight, bias };
        }
        _ => {}
    }
    step.inputs.truncate(1);
    Ok(reference::run(&recording, &[params], image)?)
}

/// Every candidate of a layer, its output checked.
fn contestants(gpu: &Gpu, layer: &Layer) -> Result<Vec<Contestant>> {
    let mut random = Random(1);
    let step = &layer.plan.steps[0];
    let (params, image) = (params(&step.op, &mut random), image(layer.plan.tensor(TensorId(0)).shape, &mut random));
    let expected = expected(layer, &params, &image)?;
    let tolerance = |kernel: &Kernel| match kernel.winograd {
        Some(_) => Tolerance::relative(1e-5),
        None => Tolerance::for_sum(Element::F32, step.op.reduction_length()),
    };
    let count = kernel::candidates(&layer.plan.problem(step), gpu.capabilities()).len();
    let contestant = |index| {
        let mut contestant = Contestant::new(gpu, layer, index, &params, &image)?;
        contestant.run(gpu)?;
        contestant.times.clear();
        let comparison = compare(&expected, &contestant.result(gpu)?, tolerance(&contestant.kernel));
        if !comparison.passed() {
            return Err(format!("{} {}: {comparison}", layer.name, contestant.kernel.name()).into());
        }
        Ok(contestant)
    };
    (0..count).map(contestant).collect()
}

/// Times the contestants in turn, best first in the end, and returns the best time.
fn race(gpu: &Gpu, contestants: &mut [Contestant], rounds: usize) -> Result<f64> {
    let best = |contestants: &[Contestant]| contestants.iter().map(Contestant::best).fold(f64::INFINITY, f64::min);
    let mut round = 0;
    for (until, behind) in HEATS {
        while round < until.min(rounds) {
            let limit = behind * best(contestants);
            let in_contest = |contestant: &&mut Contestant| contestant.best() <= limit;
            contestants.iter_mut().filter(in_contest).try_for_each(|contestant| contestant.run(gpu))?;
            round += 1;
        }
    }
    contestants.sort_by(|a, b| a.best().total_cmp(&b.best()));
    Ok(best(contestants))
}

/// A kernel's method and tile.
fn short(kernel: &Kernel) -> String {
    let Tile { lanes, slices, rows, cols } = kernel.tile;
    let family = match (kernel.family.method(), kernel.access) {
        (Method::Subgroup, Access::Texture) => "texture subgroup ",
        (Method::Window, Access::Texture) => "texture window ",
        (Method::Subgroup, Access::Vectors) => "subgroup ",
        (Method::Window, Access::Vectors) => "window ",
        (Method::Staged | Method::StagedGroups, _) => "staged ",
        _ => "",
    };
    let winograd = kernel.winograd.map_or(String::new(), |winograd| format!("{} ", winograd.name()));
    format!("{winograd}{family}l{lanes}s{slices}r{rows}c{cols}")
}

/// Checks and times every candidate of a layer and prints its row. Returns the pick's time over the best's.
fn contest(gpu: &Gpu, layer: &Layer, rounds: usize) -> Result<f64> {
    let mut contestants = contestants(gpu, layer)?;
    let best = race(gpu, &mut contestants, rounds)?;
    let picked = schedule(layer.plan.clone(), gpu.capabilities(), &KernelChoice::Ranked, MemoryBudget::UNBOUNDED)?;
    let picked = picked.segments[0].steps[0].kernel;
    let flops = layer.plan.conv_flops() as f64;
    let cell = |contestant: &Contestant| {
        let mark = if contestant.kernel == picked { "**" } else { "" };
        format!("{mark}{} {:.1}{mark}", short(&contestant.kernel), flops / contestant.best() / 1e9)
    };
    let cells: Vec<String> = contestants.iter().map(cell).collect();
    let pick = contestants.iter().find(|contestant| contestant.kernel == picked).ok_or("the pick is no candidate")?;
    let ratio = pick.best() / best;
    println!("| {} | {ratio:.2} | {} |", layer.name, cells.join(", "));
    Ok(ratio)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` passes --bench, `cargo test` passes nothing.
    let rounds = if arguments.iter().any(|argument| argument == "--bench") { usize::MAX } else { 1 };
    let part = arguments.iter().find(|argument| !argument.starts_with('-'));
    let gpu = Gpu::new()?;
    println!("{}\n", gpu.describe());
    println!("| layer | pick / best | candidates, best first, GFLOP/s, the pick in bold |\n| --- | --- | --- |");
    let mut worst = (1.0, String::new());
    let all = [layers("resnet50", 1, 64)?, layers("resnext50_32x4d", 32, 4)?, deeplab()?];
    for layer in all.into_iter().flatten() {
        if part.is_some_and(|part| !layer.name.contains(part.as_str()))
            || (rounds == 1 && !layer.name.contains("layer3.1"))
        {
            continue;
        }
        let ratio = contest(&gpu, &layer, rounds)?;
        if ratio > worst.0 {
            worst = (ratio, layer.name);
        }
    }
    println!("\nThe pick is within {:.0} % of the best everywhere ({}).", (worst.0 - 1.0) * 100.0, worst.1);
    Ok(())
}
