//! Training of a block.

use crate::error::{Result, ShapeError};
use crate::gpu::{Executor, Gpu};
use crate::network::{BlockTrainingPlan, PlannedLayer, TrainingOptions, plan_block_training};
use crate::op::StepParams;
use crate::plan::{self, Recording, TensorId};
use crate::reference::{self, Tensor64};
use crate::tensor::{HostTensor, Shape};
use crate::weights::{BlockState, LayerTensors, NormTensors};

use super::{LoadOptions, half};

/// A Bottleneck on a device in training mode, for one input shape: a forward pass with the batch's
/// statistics, and all gradients.
///
/// ```no_run
/// use wgpu_bottleneck::{
///     BlockOptions, BlockState, BlockTrainer, Gpu, LoadOptions, StateDict, TrainingOptions,
/// };
///
/// let weights = StateDict::open("block.safetensors")?;
/// let block = BlockState::from_state_dict(&weights, "", &BlockOptions::default())?;
/// let file = StateDict::open("input.safetensors")?;
/// let (input, grad_out) = (file.nchw("input")?, file.nchw("grad_out")?);
/// let (training, loading) = (TrainingOptions::default(), LoadOptions::default());
/// let mut block = BlockTrainer::load(&Gpu::new()?, block, input.shape(), &training, &loading)?;
/// let step = block.step(&input, &grad_out)?;
/// println!("{}, {} gradients", step.out.shape(), step.gradients.parameters.len());
/// # Ok::<(), wgpu_bottleneck::Error>(())
/// ```
#[derive(Debug)]
pub struct BlockTrainer {
    executor: Executor,
    training: BlockTrainingPlan,
    bn_momentum: Option<f64>,
    block: BlockState,
}

/// Result of one training step.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingStep {
    /// The block's output.
    pub out: HostTensor,
    /// The norms' running statistics after the batch, by key (`bn1.running_mean`, ...); empty for
    /// frozen norms.
    pub statistics: Vec<(String, Vec<f32>)>,
    /// The number of batches seen by each norm that counts them, by key: `bn1.num_batches_tracked`.
    pub batches: Vec<(String, i64)>,
    /// The gradients.
    pub gradients: Gradients,
}

/// The gradients of one batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// Gradient of the input.
    pub input: HostTensor,
    /// Gradient of every parameter, with its key and dimensions: `conv1.weight`, `bn1.weight`,
    /// `bn1.bias`, ...
    pub parameters: Vec<(String, Vec<usize>, Vec<f32>)>,
}

impl BlockTrainer {
    /// Plans, records, compiles and uploads. `input` is the NCHW shape of every later input. The
    /// plan kind in `loading` is ignored.
    ///
    /// # Errors
    /// As [`plan_block_training`], and any error of the device.
    pub fn load(
        gpu: &Gpu,
        block: BlockState,
        input: Shape,
        options: &TrainingOptions,
        loading: &LoadOptions,
    ) -> Result<Self> {
        half::only_f32(loading)?;
        let training = plan_block_training(&block.spec, input)?;
        let executor = gpu.load_what_compiles(|gpu| {
            let plan = training.plan.clone();
            let mut recording =
                plan::schedule(plan, gpu.capabilities(), &loading.kernels, loading.budget)?;
            if loading.executor.guard_bytes > 0 {
                recording.unshare_slots();
            }
            let params = vec![StepParams::None; training.plan.steps.len()];
            Executor::new(gpu, recording, &params, loading.executor)
        })?;
        let mut trained = Self { executor, training, bn_momentum: options.bn_momentum, block };
        for (id, tensor) in trained.variables()? {
            trained.executor.write(id, &tensor)?;
        }
        Ok(trained)
    }

    /// The plan, kernels and memory layout that are run.
    #[must_use]
    pub fn recording(&self) -> &Recording {
        self.executor.recording()
    }

    /// The executor, for self tests and benchmarks.
    #[must_use]
    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// The block, with its current parameters and statistics.
    #[must_use]
    pub fn block(&self) -> &BlockState {
        &self.block
    }

    /// Runs forward and backward on a batch, for this gradient of the output. Returns the output,
    /// the gradients and the running statistics. The block keeps the new statistics; its parameters
    /// do not change.
    ///
    /// # Errors
    /// As [`Executor::run`]; [`ShapeError::Mismatch`] if the gradient has another shape than the
    /// output.
    pub fn step(&mut self, input: &HostTensor, grad_out: &HostTensor) -> Result<TrainingStep> {
        let shape = self.training.plan.tensor(self.training.out).shape;
        grad_out.check_shape("grad_out", shape)?;
        self.executor.write(self.training.grad_out, grad_out)?;
        let grad_input = self.executor.run(input)?;
        let executor = &self.executor;
        let step = collect(
            &self.training.layers,
            &self.block.layers,
            self.training.out,
            grad_input,
            |id| executor.read(id),
        )?;
        self.keep_statistics(&step)?;
        Ok(step)
    }

    /// The result of the [reference](mod@crate::reference) for the same batch and the current
    /// statistics, on the CPU in f64.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] for tensors of other shapes.
    pub fn reference(&self, input: &HostTensor, grad_out: &HostTensor) -> Result<TrainingStep> {
        let variables = self.variables()?;
        let plan = &self.training.plan;
        let mut all: Vec<(TensorId, &HostTensor)> =
            variables.iter().map(|(id, tensor)| (*id, tensor)).collect();
        all.extend([(plan.input, input), (self.training.grad_out, grad_out)]);
        let params = vec![StepParams::None; plan.steps.len()];
        let every = reference::all_tensors(self.recording(), &params, &all)?;
        let rounded = |tensor: &Tensor64| {
            HostTensor::new(tensor.shape, tensor.data.iter().map(|&value| value as f32).collect())
        };
        let grad_input = rounded(&every[plan.output.0])?;
        collect(&self.training.layers, &self.block.layers, self.training.out, grad_input, |id| {
            Ok(rounded(&every[id.0])?)
        })
    }

    /// Weights and norm parameters, in the layout of the plan.
    fn variables(&self) -> Result<Vec<(TensorId, HostTensor)>, ShapeError> {
        let plan = &self.training.plan;
        let mut variables = Vec::new();
        for (layer, tensors) in self.training.layers.iter().zip(&self.block.layers) {
            let weight = HostTensor::new(plan.tensor(layer.weight).shape, tensors.weight.clone())?;
            variables.push((layer.weight, weight));
            if let (Some(norm), Some(tensors)) = (&layer.norm, &tensors.norm) {
                variables.push((norm.affine, per_channel(&[&tensors.gamma, &tensors.beta])?));
                variables.push((norm.running, running(tensors, self.bn_momentum)?));
            }
        }
        Ok(variables)
    }

    /// Keeps the running statistics of a step.
    fn keep_statistics(&mut self, step: &TrainingStep) -> Result<()> {
        for (layer, tensors) in self.training.layers.iter().zip(&mut self.block.layers) {
            let (Some(norm), Some(tensors)) = (&layer.norm, &mut tensors.norm) else { continue };
            if norm.running_after.is_none() {
                continue;
            }
            let of = |part: &str| {
                let key = format!("{}.{part}", tensors.key);
                step.statistics
                    .iter()
                    .find(|(known, _)| *known == key)
                    .map(|(_, values)| values.clone())
            };
            if let (Some(mean), Some(var)) = (of("running_mean"), of("running_var")) {
                (tensors.running_mean, tensors.running_var) = (mean, var);
            }
            tensors.num_batches_tracked = tensors.num_batches_tracked.map(|count| count + 1);
            self.executor.write(norm.running, &running(tensors, self.bn_momentum)?)?;
        }
        Ok(())
    }
}

/// A norm's running statistics, and the weight of the next batch in them.
fn running(norm: &NormTensors, bn_momentum: Option<f64>) -> Result<HostTensor, ShapeError> {
    let next = norm.num_batches_tracked.unwrap_or_default().saturating_add(1);
    let momentum = bn_momentum.unwrap_or(1.0 / next as f64) as f32;
    per_channel(&[&norm.running_mean, &norm.running_var, &vec![momentum; norm.running_mean.len()]])
}

/// Per-channel vectors as one tensor, in the layout of the plan.
pub(super) fn per_channel(numbers: &[&[f32]]) -> Result<HostTensor, ShapeError> {
    let channels = numbers.first().map_or(0, |numbers| numbers.len());
    let shape = Shape { n: 1, c: channels, h: 1, w: numbers.len() };
    HostTensor::new(
        shape,
        (0..channels).flat_map(|at| numbers.iter().map(move |numbers| numbers[at])).collect(),
    )
}

/// One of the per-channel vectors in a tensor.
pub(super) fn column(tensor: &HostTensor, at: usize) -> Vec<f32> {
    tensor.data().chunks_exact(tensor.shape().w).map(|numbers| numbers[at]).collect()
}

/// Collects the results of a step.
fn collect(
    layers: &[PlannedLayer],
    tensors: &[LayerTensors],
    out: TensorId,
    grad_input: HostTensor,
    read: impl Fn(TensorId) -> Result<HostTensor>,
) -> Result<TrainingStep> {
    let (mut statistics, mut batches, mut parameters) = (Vec::new(), Vec::new(), Vec::new());
    for (layer, tensors) in layers.iter().zip(tensors) {
        if let Some(weight_grad) = layer.weight_grad {
            let weight = read(weight_grad)?;
            parameters.push((
                tensors.key.clone(),
                weight.shape().dims().to_vec(),
                weight.into_data(),
            ));
        }
        let (Some(norm), Some(tensors)) = (&layer.norm, &tensors.norm) else { continue };
        let key = |part: &str| format!("{}.{part}", tensors.key);
        if let Some(sums) = norm.sums.filter(|_| tensors.affine) {
            let sums = read(sums)?;
            for (at, part) in ["weight", "bias"].into_iter().enumerate() {
                parameters.push((key(part), vec![norm.channels], column(&sums, at)));
            }
        }
        if let Some(after) = norm.running_after {
            let after = read(after)?;
            for (at, part) in ["running_mean", "running_var"].into_iter().enumerate() {
                statistics.push((key(part), column(&after, at)));
            }
            batches.extend(
                tensors.num_batches_tracked.map(|count| (key("num_batches_tracked"), count + 1)),
            );
        }
    }
    Ok(TrainingStep {
        out: read(out)?,
        statistics,
        batches,
        gradients: Gradients { input: grad_input, parameters },
    })
}
