//! The default run's second part: one training step of a block that PyTorch trained, compared
//! with PyTorch's numbers.

use wgpu_bottleneck::engine::Gradients;
use wgpu_bottleneck::weights::Tensor;
use wgpu_bottleneck::{
    BlockState, BlockTrainer, Error, LoadOptions, StateDict, TrainingOptions, TrainingStep,
};

use super::bundled_blocks;
use crate::cli::error::CliError;
use crate::cli::forced::Forced;
use crate::cli::output::{self, Cell, Table, count};
use crate::cli::step_check::{self, Part};

/// A training step that PyTorch computed in f64: `deeplab_rate2_s2_downsample` of
/// tests/golden/training.
const STEP: &[u8] = include_bytes!("training.safetensors");

/// Runs the part. Returns the number of wrong parts of the step.
pub fn run(kernels: &Forced<'_>) -> Result<usize, CliError> {
    output::progress("PyTorch's training step ...");
    output::heading(
        "A training step: batch statistics, running statistics and every gradient, compared with \
        PyTorch's",
    )?;
    let dict = StateDict::from_bytes(STEP.to_vec())?;
    let options = bundled_blocks::options(&dict)?;
    let block = BlockState::from_state_dict(&dict, "block", &options)?;
    let (input, grad_out) = (dict.nchw("input")?, dict.nchw("grad_out")?);
    let (label, training) = (
        format!("DeepLab, {}", bundled_blocks::describe(&block.spec)),
        TrainingOptions { bn_momentum: momentum(&dict)?, ..TrainingOptions::default() },
    );
    let mut block = kernels.load_by(|choice| {
        let loading = LoadOptions { kernels: choice, ..LoadOptions::default() };
        BlockTrainer::load(kernels.gpu(), block.clone(), input.shape(), &training, &loading)
    })?;
    let found = block.step(&input, &grad_out)?;
    let checked = step_check::check(&pytorch(&dict)?, &found).map_err(Error::from)?;

    let mut table = Table::new(&["block", "input", "compared", ">tensors", ">largest error", ""]);
    let mut wrong = 0;
    for (at, part) in Part::ALL.into_iter().enumerate() {
        let of_part: Vec<_> =
            checked.iter().filter(|checked| checked.part == part).map(|it| it.comparison).collect();
        let failed = of_part.iter().find(|comparison| !comparison.passed());
        let worst = of_part.iter().max_by(|a, b| a.relative_error().total_cmp(&b.relative_error()));
        let Some(worst) = failed.or(worst) else { continue };
        wrong += usize::from(failed.is_some());
        let (label, input) =
            if at == 0 { (label.as_str(), input.shape().to_string()) } else { ("", String::new()) };
        let error = format!("{:.1e}", worst.relative_error());
        let row: [Cell; 5] =
            [label.into(), input.into(), part.name().into(), of_part.len().into(), error.into()];
        table.row(row.into_iter().chain([Cell::verdict(worst)]));
    }
    output::print(&table.render())?;
    let recording = block.recording();
    let [steps, dispatches, buffers] = [
        count(recording.plan.steps.len(), "step", "steps"),
        count(recording.dispatch_count(), "dispatch", "dispatches"),
        count(recording.segments.len(), "command buffer", "command buffers"),
    ];
    let [forward, backward] =
        [Part::Output, Part::InputGradient].map(|part| part.tolerance().relative);
    output::print(&format!(
        "  ({steps}, {dispatches}, {buffers}; {forward:.0e} is accepted, {backward:.0e} of \
        gradients)\n"
    ))?;
    Ok(wrong)
}

/// The weight of the batch in the running statistics.
fn momentum(dict: &StateDict) -> Result<Option<f64>, CliError> {
    let damaged = || CliError::Usage("a bundled file has no usable metadata momentum".to_owned());
    match dict.metadata("momentum").ok_or_else(damaged)? {
        "none" => Ok(None),
        number => number.parse().map(Some).map_err(|_| damaged()),
    }
}

/// PyTorch's results: the tensors under `after.` and `grad.`, by the keys of a step.
fn pytorch(dict: &StateDict) -> Result<TrainingStep, CliError> {
    let (mut statistics, mut batches, mut parameters) = (Vec::new(), Vec::new(), Vec::new());
    for key in dict.keys() {
        if let Some(name) = key.strip_prefix("after.") {
            match dict.counter(key) {
                Ok(count) => batches.extend(count.map(|count| (name.to_owned(), count))),
                Err(_) => {
                    statistics.push((name.to_owned(), dict.tensor(key).map_err(Error::from)?.data))
                }
            }
        } else if let Some(name) = key.strip_prefix("grad.").filter(|name| *name != "input") {
            let Tensor { dims, data } = dict.tensor(key).map_err(Error::from)?;
            parameters.push((name.to_owned(), dims, data));
        }
    }
    let gradients = Gradients { input: dict.nchw("grad.input")?, parameters };
    Ok(TrainingStep { out: dict.nchw("out")?, statistics, batches, gradients })
}
