//! All that the probe of `scripts/compare` needs of the crate. Each commit has its own, so that
//! `main.rs` of one commit runs on the crate of another: names of the crate may change here, the
//! signatures of these functions and their results must not.

use std::error::Error;
use std::time::Instant;

use wgpu_bottleneck::gpu::{AdapterChoice, LimitsChoice};
use wgpu_bottleneck::kernel::{self, Capabilities};
use wgpu_bottleneck::network::{BlockKind, Optimizer, plan_block_training};
use wgpu_bottleneck::plan::{KernelChoice, MemoryBudget, Precision, Recording, schedule};
use wgpu_bottleneck::weights::NetworkState;
use wgpu_bottleneck::wgpu::{BufferDescriptor, BufferUsages};
use wgpu_bottleneck::{
    Block, BlockChain, BlockOptions, BlockState, BlockTrainer, Gpu, GpuOptions, HostTensor,
    LoadOptions, Network, NetworkWeights, Norm, PlanKind, ResNet, Shape, StateDict, Trainer,
    TrainingOptions, record, record_network,
};

use super::{BlockCase, How, NetworkCase, Norms};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A GPU under test.
pub struct Device(Gpu);

impl Device {
    /// The best adapter (no name), or the first whose description contains a name.
    pub fn open(name: Option<&str>, core_limits: bool) -> Result<Self> {
        let adapter =
            name.map_or(AdapterChoice::Best, |name| AdapterChoice::Named(name.to_owned()));
        let limits = if core_limits { LimitsChoice::Core } else { LimitsChoice::Adapter };
        Ok(Self(Gpu::with_options(&GpuOptions { adapter, limits, ..GpuOptions::default() })?))
    }

    pub fn has_half(&self) -> bool {
        self.0.capabilities().f16
    }

    pub fn describe(&self) -> String {
        self.0.describe()
    }
}

fn loading(how: &How) -> LoadOptions {
    LoadOptions {
        plan: if how.fused { PlanKind::Fused } else { PlanKind::Unfused },
        kernels: how.candidate.map_or(KernelChoice::Ranked, KernelChoice::Nth),
        budget: MemoryBudget::UNBOUNDED,
        precision: if how.half { Precision::F16 } else { Precision::F32 },
        ..LoadOptions::default()
    }
}

fn block_options(case: &BlockCase) -> BlockOptions {
    let norm = match case.norm {
        Norms::Batch => Norm::BatchNorm2d { eps: case.eps },
        Norms::Frozen => Norm::FrozenBatchNorm2d { eps: case.eps },
        Norms::Identity => Norm::Identity,
    };
    let [stride, dilation, groups, base_width] =
        [case.stride, case.dilation, case.groups, case.base_width];
    BlockOptions { stride, dilation, groups: Some(groups), base_width: Some(base_width), norm }
}

fn block(case: &BlockCase) -> Result<Block> {
    Ok(Block::from_state_dict(
        &StateDict::from_bytes(case.file.clone())?,
        "",
        &block_options(case),
    )?)
}

fn tensor(dims: [usize; 4], values: &[f32]) -> Result<HostTensor> {
    Ok(HostTensor::new(shape(dims)?, values.to_vec())?)
}

fn shape([n, c, h, w]: [usize; 4]) -> Result<Shape> {
    Ok(Shape::new(n, c, h, w)?)
}

/// The largest number of candidates of any step.
fn most_candidates(recording: &Recording, capabilities: &Capabilities) -> usize {
    let plan = &recording.plan;
    let count = |step| kernel::candidates(&plan.problem(step), capabilities).len();
    plan.steps.iter().map(count).max().unwrap_or(0)
}

/// How many values [`How::candidate`] has for a block on a device.
pub fn block_candidates(device: &Device, case: &BlockCase, how: &How) -> Result<usize> {
    let capabilities = device.0.capabilities();
    let recording =
        record(&[*block(case)?.spec()], shape(case.input_dims)?, capabilities, &loading(how))?;
    Ok(most_candidates(&recording, capabilities))
}

/// The output of a block, NCHW.
pub fn block_output(device: &Device, case: &BlockCase, how: &How) -> Result<Vec<f32>> {
    let input = tensor(case.input_dims, &case.input)?;
    Ok(BlockChain::load(&device.0, &[block(case)?], input.shape(), &loading(how))?
        .run(&input)?
        .into_data())
}

fn network(case: &NetworkCase) -> Result<ResNet> {
    let builder = match case.name {
        // Small enough for twenty training steps.
        "small" => {
            ResNet::builder(BlockKind::Bottleneck).depths([1, 1]).planes([16, 32]).stem_planes(16)
        }
        name => ResNet::named(name)?,
    };
    Ok(builder
        .replace_stride_with_dilation(case.dilate.to_vec())
        .classes(Some(case.classes))
        .build()?)
}

/// Key and dimensions of each tensor of a network, without counters.
pub fn network_shapes(case: &NetworkCase) -> Result<Vec<(String, Vec<usize>)>> {
    let shapes = network(case)?.state_dict_shapes();
    Ok(shapes.into_iter().filter(|(key, _)| !key.ends_with("num_batches_tracked")).collect())
}

fn network_weights(case: &NetworkCase, file: &[u8]) -> Result<NetworkWeights> {
    Ok(NetworkWeights::matching(StateDict::from_bytes(file.to_vec())?, &network(case)?, None)?)
}

/// The logits of a network.
pub fn network_logits(
    device: &Device,
    case: &NetworkCase,
    file: &[u8],
    input: &[f32],
    how: &How,
) -> Result<Vec<f32>> {
    let input = tensor(case.input_dims, input)?;
    let mut network =
        Network::load(&device.0, &network_weights(case, file)?, input.shape(), &loading(how))?;
    Ok(network.logits(&input)?.into_data())
}

/// The loss of each training step, then the trained tensors: momentum SGD with weight decay, rate
/// 0.01.
pub fn network_training(
    device: &Device,
    case: &NetworkCase,
    file: &[u8],
    batches: &[(Vec<f32>, Vec<usize>)],
) -> Result<Vec<f32>> {
    let state = NetworkState::read(&network_weights(case, file)?)?;
    let optimizer =
        Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 1e-4, decay_all: false };
    let options = TrainingOptions { optimizer, ..TrainingOptions::default() };
    let input = shape(case.input_dims)?;
    let mut network = Trainer::load(&device.0, &state, input, &options, &LoadOptions::default())?;
    let mut values = Vec::new();
    for (images, classes) in batches {
        values.push(network.step(&tensor(case.input_dims, images)?, classes, 0.01)?.loss() as f32);
    }
    let state = network.state()?;
    for (key, _) in network_shapes(case)? {
        values.extend_from_slice(state.values(&key)?);
    }
    Ok(values)
}

/// Output, statistics and gradients of a training step of a block, by each candidate.
pub fn block_training(
    device: &Device,
    case: &BlockCase,
    (grad_dims, grad_out): ([usize; 4], &[f32]),
    candidate: Option<usize>,
) -> Result<Vec<f32>> {
    let (mut block, input) = trained_block(device, case, candidate)?;
    let step = block.step(&input, &tensor(grad_dims, grad_out)?)?;
    let mut values = step.out.into_data();
    step.statistics.iter().for_each(|(_, statistics)| values.extend_from_slice(statistics));
    values.extend_from_slice(step.gradients.input.data());
    step.gradients
        .parameters
        .iter()
        .for_each(|(_, _, gradient)| values.extend_from_slice(gradient));
    Ok(values)
}

/// How many values `candidate` of [`block_training`] has.
pub fn block_training_candidates(device: &Device, case: &BlockCase) -> Result<usize> {
    let block = BlockState::from_state_dict(
        &StateDict::from_bytes(case.file.clone())?,
        "",
        &block_options(case),
    )?;
    let plan = plan_block_training(&block.spec, shape(case.input_dims)?)?.plan;
    let capabilities = device.0.capabilities();
    let recording = schedule(plan, capabilities, &KernelChoice::Ranked, MemoryBudget::UNBOUNDED)?;
    Ok(most_candidates(&recording, capabilities))
}

fn trained_block(
    device: &Device,
    case: &BlockCase,
    candidate: Option<usize>,
) -> Result<(BlockTrainer, HostTensor)> {
    let block = BlockState::from_state_dict(
        &StateDict::from_bytes(case.file.clone())?,
        "",
        &block_options(case),
    )?;
    let input = tensor(case.input_dims, &case.input)?;
    let loading = loading(&How { fused: true, half: false, candidate });
    Ok((
        BlockTrainer::load(&device.0, block, input.shape(), &TrainingOptions::default(), &loading)?,
        input,
    ))
}

/// What would be run on a GPU, without one: kernels, parameters, workgroups, memory.
pub fn block_recording(case: &BlockCase, how: &How, gpu: &str) -> Result<Vec<String>> {
    let recording =
        record(&[*block(case)?.spec()], shape(case.input_dims)?, &gpu_named(gpu), &loading(how))?;
    Ok(lines(&recording))
}

/// The same for a network.
pub fn network_recording(case: &NetworkCase, how: &How, gpu: &str) -> Result<Vec<String>> {
    let recording =
        record_network(&network(case)?, shape(case.input_dims)?, &gpu_named(gpu), &loading(how))?;
    Ok(lines(&recording))
}

/// WebGPU's core limits, or a discrete GPU of today.
fn gpu_named(name: &str) -> Capabilities {
    let discrete = Capabilities {
        max_binding_bytes: (2 << 30) - 4,
        max_invocations: 1024,
        max_workgroup_x: 1024,
        max_workgroup_y: 1024,
        max_workgroup_bytes: 48 << 10,
        max_storage_buffers: 32,
        max_texture_side: 16_384,
        subgroup_size: Some(32),
        int64: true,
        f16: true,
        matrices_of_16: true,
        ..Capabilities::CORE
    };
    if name == "core" { Capabilities::CORE } else { discrete }
}

fn lines(recording: &Recording) -> Vec<String> {
    let mut lines = Vec::new();
    for step in recording.steps() {
        let plan = &recording.plan;
        lines.push(format!("{} writes {}", step.step.module, plan.tensor(step.step.output).name));
        for dispatch in &step.dispatches {
            lines.push(format!(
                "{} {:?} {:?}",
                dispatch.kernel.name(),
                dispatch.workgroups,
                dispatch.params
            ));
        }
        lines.extend(
            step.scratch
                .iter()
                .map(|scratch| format!("scratch {} {}", scratch.slot, scratch.bytes)),
        );
    }
    lines.extend(recording.locations.iter().map(|place| format!("{place:?}")));
    lines.extend(recording.slots.iter().map(|slot| format!("slot {}", slot.bytes)));
    lines
}

/// Milliseconds of each run of a block on the device, from recording to the end of the wait.
pub fn time_block(device: &Device, case: &BlockCase, rounds: usize) -> Result<Vec<f64>> {
    let input = tensor(case.input_dims, &case.input)?;
    let how = How { fused: true, half: false, candidate: None };
    let model = BlockChain::load(&device.0, &[block(case)?], input.shape(), &loading(&how))?;
    time(device, model.executor(), rounds)
}

/// The same of a network.
pub fn time_network(
    device: &Device,
    case: &NetworkCase,
    file: &[u8],
    rounds: usize,
) -> Result<Vec<f64>> {
    let how = How { fused: true, half: false, candidate: None };
    let weights = network_weights(case, file)?;
    let network = Network::load(&device.0, &weights, shape(case.input_dims)?, &loading(&how))?;
    time(device, network.executor(), rounds)
}

/// The same of a training step of a block.
pub fn time_training(device: &Device, case: &BlockCase, rounds: usize) -> Result<Vec<f64>> {
    let (block, _) = trained_block(device, case, None)?;
    time(device, block.executor(), rounds)
}

fn time(
    device: &Device,
    executor: &wgpu_bottleneck::gpu::Executor,
    rounds: usize,
) -> Result<Vec<f64>> {
    let gpu = &device.0;
    let buffer = |size| {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        gpu.device().create_buffer(&BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    let bound = executor.bind(&buffer(executor.input_bytes()), &buffer(executor.output_bytes()))?;
    let once = || -> Result<f64> {
        let start = Instant::now();
        gpu.queue().submit(bound.record()?);
        gpu.wait()?;
        Ok(1e3 * start.elapsed().as_secs_f64())
    };
    // The driver compiles in the first run.
    once()?;
    by_turns(rounds, once)
}

/// Runs the rounds of a measurement. With COMPARE_TURNS in the environment, each waits for a line
/// on stdin and prints its time, so that two processes can take turns.
fn by_turns(rounds: usize, mut once: impl FnMut() -> Result<f64>) -> Result<Vec<f64>> {
    if std::env::var_os("COMPARE_TURNS").is_none() {
        return (0..rounds).map(|_| once()).collect();
    }
    let mut times = Vec::with_capacity(rounds);
    println!("ready");
    for _ in 0..rounds {
        if std::io::stdin().read_line(&mut String::new())? == 0 {
            break;
        }
        times.push(once()?);
        println!("done");
    }
    Ok(times)
}
