//! A workload on the device whose results have been checked. Only such workloads are timed.

use wgpu_bottleneck::error::GpuError;
use wgpu_bottleneck::gpu::Executor;
use wgpu_bottleneck::kernel::Capabilities;
use wgpu_bottleneck::plan::{KernelChoice, Recording};
use wgpu_bottleneck::tensor::{Tolerance, compare};
use wgpu_bottleneck::{
    Block, BlockChain, Error, Gpu, HostTensor, LoadOptions, Network, NetworkWeights, PlanKind,
    Shape, record_micro_batches, record_network,
};

use super::super::block_or_network::BlockOrNetwork;
use super::super::error::CliError;
use super::super::seeded;
use super::super::timing::{self, Buffers};
use super::workload::{Subject, Workload};

/// The side of the images on which a whole network is compared with the reference.
const SMALL: usize = 64;

/// The seed of weights and inputs.
const SEED: u64 = 1;

/// The loaded block or network.
enum Engine {
    Block(Box<BlockChain>),
    Network(Box<Network>),
}

/// A workload that gave correct results.
pub struct Checked {
    engine: Engine,
    /// Its input on the host.
    pub input: HostTensor,
    /// The output on the host, if one run computes it.
    output: HostTensor,
    /// Floating-point operations of its convolutions, two per multiply-add.
    pub flops: u64,
    /// How many runs of the executor it needs: one, unless the input is too large for the device.
    pub runs: usize,
    /// Input and output of one run on the device.
    pub buffers: Buffers,
    /// What it was compared with.
    pub against: &'static str,
    /// The largest error, as a share of the largest value.
    pub largest_error: f64,
}

impl Checked {
    /// Loads a workload and checks its results, both with transfers from and to the host and on the
    /// device alone.
    pub fn load(gpu: &Gpu, workload: &Workload, options: &LoadOptions) -> Result<Self, CliError> {
        Self::load_from(gpu, workload, options).map_err(|error| match &workload.source {
            Some(source) => source.blame(error),
            None => error,
        })
    }

    fn load_from(gpu: &Gpu, workload: &Workload, options: &LoadOptions) -> Result<Self, CliError> {
        let input = seeded::input(workload.input, SEED)?;
        let mut worst = Worst { name: &workload.name, error: 0.0 };
        let (mut engine, against) = match &workload.subject {
            Subject::Block(spec) => {
                let block = match workload.source.as_deref().map(|source| &source.weights) {
                    Some(BlockOrNetwork::Block(block)) => Block::clone(block),
                    _ => seeded::block(spec, SEED)?,
                };
                let mut model = BlockChain::load(gpu, &[block], workload.input, options)?;
                worst.check(
                    "the output",
                    &model.reference(&input)?,
                    &model.run(&input)?,
                    model.tolerance(),
                )?;
                (Engine::Block(Box::new(model)), "the reference")
            }
            Subject::Network(spec) => {
                let network = match workload.source.as_deref().map(|source| &source.weights) {
                    Some(BlockOrNetwork::Network(weights)) => {
                        network(gpu, weights, &input, options, &mut worst)?
                    }
                    _ => network(gpu, &seeded::network(spec, SEED)?, &input, options, &mut worst)?,
                };
                (Engine::Network(Box::new(network)), "the reference at 64x64, the other plan")
            }
        };
        let plan = &engine.executor().recording().plan;
        let (part, runs) =
            (seeded::input(plan.tensor(plan.input).shape, SEED)?, engine.runs(workload.input.n));
        let buffers = Buffers::new(engine.executor(), &part)?;
        timing::run(gpu, &buffers.bind(engine.executor())?)?;
        let (expected, found) =
            (engine.executor_mut().run(&part)?, buffers.download(engine.executor())?);
        worst.check("the output on the device", &expected, &found, Tolerance::EXACT)?;
        let output = HostTensor::try_zeros(engine.output_shape())
            .map_err(|error| Error::from(error.of_tensor("output")))?;
        let flops = workload.conv_flops()?;
        Ok(Self {
            engine,
            input,
            output,
            flops,
            runs,
            buffers,
            against,
            largest_error: worst.error,
        })
    }

    /// The executor.
    pub fn executor(&self) -> &Executor {
        self.engine.executor()
    }

    /// Runs one inference from host array to host array, both of which are allocated already.
    pub fn run(&mut self) -> Result<(), Error> {
        match &mut self.engine {
            Engine::Block(model) => model.run_into(&self.input, &mut self.output),
            Engine::Network(network) if self.runs > 1 => network.logits(&self.input).map(drop),
            Engine::Network(network) => {
                network.executor_mut().run_into(&self.input, &mut self.output)
            }
        }
    }
}

impl Engine {
    fn runs(&self, batch: usize) -> usize {
        match self {
            Self::Block(model) => model.runs(),
            Self::Network(network) => batch.div_ceil(network.input_shape().n),
        }
    }

    /// The shape of a block's output, or of the output of one run of a network's executor.
    fn output_shape(&self) -> Shape {
        let plan = &self.executor().recording().plan;
        match self {
            Self::Block(model) => model.output_shape(),
            Self::Network(_) => plan.tensor(plan.output).shape,
        }
    }

    fn executor(&self) -> &Executor {
        match self {
            Self::Block(model) => model.executor(),
            Self::Network(network) => network.executor(),
        }
    }

    fn executor_mut(&mut self) -> &mut Executor {
        match self {
            Self::Block(model) => model.executor_mut(),
            Self::Network(network) => network.executor_mut(),
        }
    }
}

/// Loads a network and checks every tensor: with the reference at a small size, where that does not
/// take minutes, and with the other plan and the kernels that rank first at its own size.
fn network(
    gpu: &Gpu,
    weights: &NetworkWeights,
    input: &HostTensor,
    options: &LoadOptions,
    worst: &mut Worst<'_>,
) -> Result<Network, CliError> {
    small(gpu, weights, options, worst)?;
    let mut network = Network::load(gpu, weights, input.shape(), options)?;
    let other = match options.plan {
        PlanKind::Fused => PlanKind::Unfused,
        PlanKind::Unfused => PlanKind::Fused,
    };
    let mut trusted = Network::load(
        gpu,
        weights,
        input.shape(),
        &LoadOptions { plan: other, ..LoadOptions::default() },
    )?;
    // Both results have rounding errors of up to one tolerance.
    let tolerance = Tolerance::relative(2.0 * network.tolerance().relative);
    let found = network.run(input)?;
    for ((name, expected), (_, found)) in trusted.run(input)?.iter().zip(&found) {
        worst.check(name, expected, found, tolerance)?;
    }
    Ok(network)
}

/// Compares a network with the reference on a small image.
fn small(
    gpu: &Gpu,
    weights: &NetworkWeights,
    options: &LoadOptions,
    worst: &mut Worst<'_>,
) -> Result<(), CliError> {
    let channels = weights.spec().stem().in_channels;
    let shape = Shape::new(1, channels, SMALL, SMALL).map_err(Error::from)?;
    let input = seeded::input(shape, SEED)?;
    let mut network = match Network::load(gpu, weights, input.shape(), options) {
        // A requested kernel may support larger images only.
        Err(Error::Gpu(GpuError::NoSuchKernel { .. })) => {
            let options = LoadOptions { kernels: KernelChoice::Ranked, ..options.clone() };
            Network::load(gpu, weights, input.shape(), &options)?
        }
        loaded => loaded?,
    };
    let found = network.run(&input)?;
    for ((name, expected), (_, found)) in network.reference(weights, &input)?.iter().zip(&found) {
        worst.check(name, expected, found, network.tolerance())?;
    }
    Ok(())
}

/// The largest error of a workload so far.
struct Worst<'a> {
    name: &'a str,
    error: f64,
}

impl Worst<'_> {
    fn check(
        &mut self,
        tensor: &str,
        expected: &HostTensor,
        found: &HostTensor,
        tolerance: Tolerance,
    ) -> Result<(), CliError> {
        let comparison = compare(expected, found, tolerance);
        // An infinity hides later errors, so values that are not finite fail too.
        if !comparison.passed() || !found.data().iter().all(|value| value.is_finite()) {
            return Err(CliError::Wrong(format!("{}, {tensor}: {comparison}", self.name)));
        }
        self.error = self.error.max(comparison.relative_error());
        Ok(())
    }
}

/// The load options of each workload. Errors are reported before any workload runs. A requested
/// kernel is used in the workloads that have a step for it, of which there must be one.
pub fn plan(
    workloads: &[Workload],
    capabilities: &Capabilities,
    options: &LoadOptions,
) -> Result<Vec<LoadOptions>, CliError> {
    let ranked = LoadOptions { kernels: KernelChoice::Ranked, ..options.clone() };
    let (mut all, mut missing) = (Vec::with_capacity(workloads.len()), None);
    for workload in workloads {
        match recorded(workload, capabilities, options) {
            Err(Error::Gpu(error @ GpuError::NoSuchKernel { .. })) => {
                recorded(workload, capabilities, &ranked)?;
                missing = Some(error);
                all.push(ranked.clone());
            }
            recorded => {
                recorded?;
                all.push(options.clone());
            }
        }
    }
    match missing {
        Some(error) if all.iter().all(|options| *options == ranked) => Err(error.into()),
        _ => Ok(all),
    }
}

fn recorded(
    workload: &Workload,
    capabilities: &Capabilities,
    options: &LoadOptions,
) -> Result<Recording, Error> {
    match &workload.subject {
        Subject::Block(spec) => {
            Ok(record_micro_batches(&[*spec], workload.input, capabilities, options)?.0)
        }
        Subject::Network(spec) => record_network(spec, workload.input, capabilities, options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_numbers_end_the_program_with_1() -> Result<(), Error> {
        let tensor = |values: [f32; 2]| {
            Ok::<_, Error>(HostTensor::new(Shape::new(1, 1, 1, 2)?, values.to_vec())?)
        };
        let expected = tensor([1.0, 2.0])?;
        let mut worst = Worst { name: "w1", error: 0.0 };
        let mut check =
            |found| worst.check("the output", &expected, &found, Tolerance::relative(1e-3));
        assert!(check(tensor([1.0, 2.001])?).is_ok());
        for wrong in [[1.0, 2.1], [1.0, f32::NAN], [f32::INFINITY, 2.0]] {
            let error = check(tensor(wrong)?).err();
            assert!(matches!(
                &error,
                Some(error @ CliError::Wrong(text))
                    if error.exit_code() == 1 && text.starts_with("w1")
            ));
        }
        assert!(worst.error > 4e-4 && worst.error < 6e-4);
        Ok(())
    }
}
