//! Training of a network.

use super::{LoadOptions, half};
use crate::error::{Error, GpuError, Result, ShapeError, TrainingError};
use crate::gpu::{Executor, Gpu, Memory};
use crate::network::{
    NetworkTrainingPlan, PlannedParameter, TrainingOptions, plan_network_training,
};
use crate::op::{CONTROL, StepParams};
use crate::plan::{self, KernelChoice, Recording, TensorId};
use crate::tensor::{HostTensor, Shape};
use crate::weights::{NetworkState, OPTIMIZER};

use super::block_trainer::{column, per_channel};

/// A ResNet on a device that is trained batch by batch: a forward pass with the batch's statistics,
/// the cross entropy, all gradients and the optimiser's step. All of it is one submit, with a
/// command buffer for the stem, one for each block and one for the head, and one for the backward
/// pass of each. Parameters, statistics and optimiser state stay on the device.
///
/// ```no_run
/// use wgpu_bottleneck::network::TrainingOptions;
/// use wgpu_bottleneck::weights::{Initialization, NetworkState};
/// use wgpu_bottleneck::{Gpu, HostTensor, LoadOptions, ResNet, Shape, Trainer};
///
/// let spec = ResNet::named("resnet50")?.classes(Some(10)).build()?;
/// let state = NetworkState::initial(&spec, Initialization::default());
/// let shape = Shape::new(8, 3, 224, 224)?;
/// let (options, loading) = (TrainingOptions::default(), LoadOptions::default());
/// let mut network = Trainer::load(&Gpu::new()?, &state, shape, &options, &loading)?;
/// let (images, classes) = (HostTensor::zeros(shape), [0, 1, 2, 3, 4, 5, 6, 7]);
/// let batch = network.step(&images, &classes, 0.1)?;
/// println!("loss {}, {} of 8 right", batch.loss(), batch.right());
/// # Ok::<(), wgpu_bottleneck::Error>(())
/// ```
#[derive(Debug)]
pub struct Trainer {
    executor: Executor,
    training: NetworkTrainingPlan,
    options: TrainingOptions,
    state: NetworkState,
    /// Batches since the network was loaded.
    batches: u64,
    /// Batches accumulated so far for the next optimiser step.
    within: u64,
    /// Total optimiser steps.
    steps: u64,
}

/// Result of one training batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchMetrics {
    /// The loss of each image.
    pub losses: Vec<f32>,
    /// The number of classes ranked above each image's own class: 0 if the prediction is right.
    pub ranks: Vec<u32>,
}

impl BatchMetrics {
    /// The mean of the losses.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.losses.iter().copied().map(f64::from).sum::<f64>() / self.losses.len() as f64
    }

    /// The number of images whose own class ranked first.
    #[must_use]
    pub fn right(&self) -> usize {
        self.ranks.iter().filter(|&&rank| rank == 0).count()
    }
}

/// The optimiser state of a network, by name: `optimizer.momentum_buffer.layer1.0.conv1.weight`;
/// gamma and beta are one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizerState {
    /// Steps so far.
    pub steps: u64,
    /// Name, dimensions and values.
    pub tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
}

impl Trainer {
    /// Plans, records, compiles and uploads. `input` is the NCHW shape of every later batch.
    /// The plan kind in `loading` is ignored.
    ///
    /// # Errors
    /// As [`plan_network_training`]; [`TrainingError::NoMomentum`];
    /// [`WeightsError`](crate::error::WeightsError) for a tensor that `state` lacks; any error of
    /// the device.
    pub fn load(
        gpu: &Gpu,
        state: &NetworkState,
        input: Shape,
        options: &TrainingOptions,
        loading: &LoadOptions,
    ) -> Result<Self> {
        let training = plan_network_training(state.spec(), input, options)?;
        let bn_momentum = options.bn_momentum.ok_or(TrainingError::NoMomentum)?;
        let executor =
            gpu.load_what_compiles(|gpu| executor(gpu, training.plan.clone(), loading))?;
        let (options, state) = (options.clone(), state.clone());
        let mut network =
            Self { executor, training, options, state, batches: 0, within: 0, steps: 0 };
        network.write_state(bn_momentum)?;
        Ok(network)
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

    /// The plan and its tensors.
    #[must_use]
    pub fn training_plan(&self) -> &NetworkTrainingPlan {
        &self.training
    }

    /// The device memory that the trainer uses.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.executor.memory()
    }

    /// Optimiser steps so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Trains on a batch with this learning rate. Takes NCHW images, already normalised, and the
    /// class index of each. If several batches form one step, the last of them performs the step.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] for images of another shape, [`ShapeError::Length`] for another
    /// number of classes; [`TrainingError::Class`] for a class that the network does not have;
    /// [`TrainingError::Rate`]; [`TrainingError::NotFinite`] if the loss is NaN or infinite, with
    /// the first layer whose output is not finite. In that case only the running statistics are
    /// updated, and a step of several batches starts again. Also as [`Executor::run`].
    pub fn step(
        &mut self,
        images: &HostTensor,
        classes: &[usize],
        rate: f64,
    ) -> Result<BatchMetrics> {
        let targets = self.targets(classes)?;
        if !(rate.is_finite() && rate >= 0.0) {
            return Err(TrainingError::Rate { rate }.into());
        }
        let within = self.within;
        let applies = within + 1 == self.options.batches_per_step as u64;
        let [first, second] = self.options.optimizer.corrections(self.steps.saturating_add(1));
        let flag = |on: bool| f64::from(u8::from(on));
        let control = [rate, flag(applies), flag(within > 0), first, second];
        let losses = self.run(images, &targets, control)?;
        let batch = collect(&losses);
        if let Some(image) = batch.losses.iter().position(|loss| !loss.is_finite()) {
            let (step, loss) = (self.steps.saturating_add(1), batch.losses[image]);
            // The gradients accumulated for this step are discarded, because they may contain NaN.
            self.within = 0;
            let layer = match self.first_not_finite(images, &targets) {
                Err(Error::Gpu(lost @ GpuError::Lost { .. })) => return Err(lost.into()),
                // If the search fails, the error is still reported, without the layer.
                found => found.unwrap_or(None),
            };
            return Err(TrainingError::NotFinite { step, image, loss, layer }.into());
        }
        self.batches += 1;
        self.within = if applies { 0 } else { within + 1 };
        self.steps = self.steps.saturating_add(u64::from(applies));
        Ok(batch)
    }

    /// Reads the current parameters and statistics back from the device.
    ///
    /// # Errors
    /// As [`Executor::read`].
    pub fn state(&self) -> Result<NetworkState> {
        let mut state = self.state.clone();
        let read = |id| self.executor.read(id);
        for layer in &self.training.layers {
            state.set(&format!("{}.weight", layer.name), read(layer.weight)?.into_data())?;
            let Some(norm) = &layer.norm else { continue };
            let (affine, running) = (read(norm.affine)?, read(norm.running)?);
            for (tensor, at, part) in [
                (&affine, 0, "weight"),
                (&affine, 1, "bias"),
                (&running, 0, "running_mean"),
                (&running, 1, "running_var"),
            ] {
                state.set(&format!("{}.{part}", norm.name), column(tensor, at))?;
            }
            if norm.running_after.is_some() {
                state.count_batches(&norm.name, i64::try_from(self.batches).unwrap_or(i64::MAX));
            }
        }
        state.set("fc.weight", read(self.training.linear.weight)?.into_data())?;
        state.set("fc.bias", read(self.training.linear.bias)?.into_data())?;
        Ok(state)
    }

    /// Reads the optimiser state back from the device, to resume from. It includes norms and
    /// biases, but not the gradients accumulated for an unfinished step: call this between steps.
    ///
    /// # Errors
    /// As [`Executor::read`].
    pub fn optimizer_state(&self) -> Result<OptimizerState> {
        let mut tensors = Vec::new();
        for (name, id) in self.optimizer_variables() {
            let tensor = self.executor.read(id)?;
            tensors.push((name, tensor.shape().dims().to_vec(), tensor.into_data()));
        }
        Ok(OptimizerState { steps: self.steps, tensors })
    }

    /// Resumes from the state of an optimiser of the same kind.
    ///
    /// # Errors
    /// [`TrainingError::OptimizerState`] if a tensor is missing; [`ShapeError::Mismatch`] if one
    /// has another shape.
    pub fn restore(&mut self, state: &OptimizerState) -> Result<()> {
        for (name, id) in self.optimizer_variables() {
            let found = state.tensors.iter().find(|(known, ..)| *known == name);
            let Some((_, dims, values)) = found else {
                return Err(TrainingError::OptimizerState { tensor: name }.into());
            };
            let tensor = HostTensor::new(Shape::named(&name, dims)?, values.clone())?;
            self.executor.write(id, &tensor)?;
        }
        (self.steps, self.within) = (state.steps, 0);
        Ok(())
    }

    /// The tensors of the optimiser state and their names.
    fn optimizer_variables(&self) -> Vec<(String, TensorId)> {
        let kinds = self.options.optimizer.state_names();
        let of = |parameter: &PlannedParameter| -> Vec<(String, TensorId)> {
            kinds
                .iter()
                .zip(&parameter.state)
                .map(|(kind, &id)| (format!("{OPTIMIZER}{kind}.{}", parameter.name), id))
                .collect()
        };
        self.training.parameters.iter().flat_map(of).collect()
    }

    /// Classes as a tensor.
    fn targets(&self, classes: &[usize]) -> Result<HostTensor> {
        let shape = self.training.plan.tensor(self.training.targets).shape;
        if classes.len() != shape.n {
            let tensor = "classes of the images".to_owned();
            return Err(
                ShapeError::Length { tensor, expected: shape.n, found: classes.len() }.into()
            );
        }
        let known = self.state.spec().classes().unwrap_or_default();
        if let Some(image) = classes.iter().position(|&class| class >= known) {
            return Err(
                TrainingError::Class { image, class: classes[image], classes: known }.into()
            );
        }
        Ok(HostTensor::new(shape, classes.iter().map(|&class| class as f32).collect())?)
    }

    fn run(
        &mut self,
        images: &HostTensor,
        targets: &HostTensor,
        control: [f64; CONTROL],
    ) -> Result<HostTensor> {
        self.executor.write(self.training.targets, targets)?;
        let shape = Shape { n: 1, c: 1, h: 1, w: CONTROL };
        let control = HostTensor::new(shape, control.map(|number| number as f32).to_vec())?;
        self.executor.write(self.training.control, &control)?;
        self.executor.run(images)
    }

    /// Uploads all parameters and statistics, and a zero optimiser state.
    fn write_state(&mut self, bn_momentum: f64) -> Result<()> {
        let Self { executor, training, state, .. } = self;
        let shape = |id: TensorId| training.plan.tensor(id).shape;
        for layer in &training.layers {
            let weight = state.values(&format!("{}.weight", layer.name))?.to_vec();
            executor.write(layer.weight, &HostTensor::new(shape(layer.weight), weight)?)?;
            let Some(norm) = &layer.norm else { continue };
            let part = |part: &str| state.values(&format!("{}.{part}", norm.name));
            executor.write(norm.affine, &per_channel(&[part("weight")?, part("bias")?])?)?;
            let momentum = vec![bn_momentum as f32; norm.channels];
            executor.write(
                norm.running,
                &per_channel(&[part("running_mean")?, part("running_var")?, &momentum])?,
            )?;
        }
        for (id, name) in [(training.linear.weight, "fc.weight"), (training.linear.bias, "fc.bias")]
        {
            executor.write(id, &HostTensor::new(shape(id), state.values(name)?.to_vec())?)?;
        }
        for parameter in &training.parameters {
            for &id in parameter.state.iter().chain(&parameter.sum) {
                executor.write(id, &HostTensor::zeros(shape(id)))?;
            }
        }
        Ok(())
    }

    /// The first step of the plan whose output is not finite on these images with the current
    /// parameters, found by a run that keeps every tensor. `None` if everything is finite, or if
    /// there is not enough memory to keep all tensors.
    fn first_not_finite(
        &mut self,
        images: &HostTensor,
        targets: &HostTensor,
    ) -> Result<Option<String>> {
        let Self { executor, training, .. } = &*self;
        let mut plan = training.plan.clone();
        plan.fetches =
            plan.steps.iter().map(|step| step.output).filter(|id| *id != plan.output).collect();
        plan.updates.clear();
        let loading = LoadOptions { kernels: KernelChoice::Ranked, ..LoadOptions::default() };
        let mut keeping = match self::executor(executor.gpu(), plan.clone(), &loading) {
            Ok(keeping) => keeping,
            Err(Error::Gpu(GpuError::OutOfMemory { .. })) => return Ok(None),
            Err(error) => return Err(error),
        };
        for &id in plan.variables.iter().filter(|&&id| id != training.targets) {
            keeping.write(id, &executor.read(id)?)?;
        }
        keeping.write(training.targets, targets)?;
        keeping.run(images)?;
        for step in &plan.steps {
            if plan.fetches.contains(&step.output) {
                let tensor = keeping.read(step.output)?;
                if tensor.data().iter().any(|value| !value.is_finite()) {
                    return Ok(Some(step.module.clone()));
                }
            }
        }
        Ok(None)
    }
}

/// Records a plan and creates its executor.
fn executor(gpu: &Gpu, plan: plan::Plan, loading: &LoadOptions) -> Result<Executor> {
    half::only_f32(loading)?;
    let params = vec![StepParams::None; plan.steps.len()];
    let mut recording = plan::schedule(plan, gpu.capabilities(), &loading.kernels, loading.budget)?;
    if loading.executor.guard_bytes > 0 {
        recording.unshare_slots();
    }
    Executor::new(gpu, recording, &params, loading.executor)
}

/// The loss and the rank of each image.
fn collect(losses: &HostTensor) -> BatchMetrics {
    let pairs = || losses.data().chunks_exact(losses.shape().c);
    BatchMetrics {
        losses: pairs().map(|pair| pair[0]).collect(),
        ranks: pairs().map(|pair| pair[1] as u32).collect(),
    }
}
