//! `bottleneck tune`: measures which kernels are fastest on this device, and how much slower the
//! picks of the ranking rule are.

mod args;
mod summary;

pub use self::args::TuneArgs;

use std::ops::ControlFlow;
use std::path::Path;

use wgpu_bottleneck::engine::largest_part;
use wgpu_bottleneck::error::TuningError;
use wgpu_bottleneck::files;
use wgpu_bottleneck::kernel::Problem;
use wgpu_bottleneck::plan::Recording;
use wgpu_bottleneck::tune::{TuneEvent, TuneOptions, TuningTable, worth_tuning};
use wgpu_bottleneck::{Error, Gpu, LoadOptions, record, record_network};

use self::summary::{Rejected, Summary};
use super::bench::{Subject, Workload, workloads};
use super::engine_args::PrecisionArg;
use super::error::CliError;
use super::interrupt;
use super::output;
use super::progress_bar::Bar;
use super::tuning_table::{self, default_path};

/// Rounds of `--quick`.
const QUICK: usize = 2;

/// Runs the command.
pub fn run(args: &TuneArgs) -> Result<(), CliError> {
    let workloads = workloads(&args.what)?;
    let gpu = args.adapter.gpu()?;
    let path = args.output.clone().map_or_else(|| default_path(&gpu), Ok)?;
    let problems = problems(&workloads, &gpu, args.precision)?;
    let mut table = begin(&path, args.output.is_some(), &gpu)?;
    interrupt::heed("the current run");
    let options = if args.quick { TuneOptions { rounds: QUICK } } else { TuneOptions::default() };
    let (mut rejected, mut unsaved) = (Vec::new(), None);
    let bar = Bar::new(problems.len());
    let found = gpu.tune(&problems, &options, |event| {
        match event {
            TuneEvent::Begins { index, problem, candidates } => {
                bar.done(index);
                let line = format!(
                    "{} of {}: {problem}, {candidates} candidates ...",
                    index + 1,
                    problems.len()
                );
                bar.say(&problem.to_string(), &line);
            }
            TuneEvent::Rejected { problem, kernel, why } => {
                rejected.push(Rejected::new(problem, &kernel, why))
            }
            TuneEvent::Measured(shape) => {
                table.insert(shape.clone());
                unsaved = table.save(&path).err();
            }
            _ => {}
        }
        if interrupt::asked() || unsaved.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    drop(bar);
    let found = found?;
    if let Some(error) = unsaved {
        return Err(error.into());
    }
    if interrupt::asked() {
        let (done, all, path) = (found.shapes().len(), problems.len(), path.display());
        return Err(CliError::Interrupted(format!(
            "interrupted: {done} of {all} shapes measured and saved in {path}"
        )));
    }
    let summary = Summary::new(&found, rejected, &path);
    match args.json {
        true => output::json(&serde_json::json!(summary))?,
        false => output::print(&summary.text())?,
    }
    summary.verdict(args.assert)
}

/// The table to extend: the existing one if it is of this device, else a new one. Checks that it
/// can be written before any work is done.
fn begin(path: &Path, asked_for: bool, gpu: &Gpu) -> Result<TuningTable, CliError> {
    files::follow(path).map_err(|source| CliError::io(path, source))?;
    if !asked_for {
        // In the cache, an unusable table is reported and ignored.
        let table = TuningTable::load(path, gpu).unwrap_or_else(|| TuningTable::new(gpu));
        table.save(path)?;
        return Ok(table);
    }
    if !path.try_exists().map_err(|source| CliError::io(path, source))? {
        let table = TuningTable::new(gpu);
        table.save(path)?;
        return Ok(table);
    }
    let table = match TuningTable::parse(&tuning_table::text(path)?, gpu) {
        Ok(table) => table,
        Err(error @ TuningError::NotATable { .. }) => {
            return Err(CliError::Usage(format!(
                "{}: {error}, and is not overwritten",
                path.display()
            )));
        }
        Err(error) => {
            output::progress(&format!("warning: {} is overwritten: {error}", path.display()));
            TuningTable::new(gpu)
        }
    };
    table.save(path)?;
    Ok(table)
}

/// The problems of the workloads with more than one candidate.
fn problems(
    workloads: &[Workload],
    gpu: &Gpu,
    precision: PrecisionArg,
) -> Result<Vec<Problem>, CliError> {
    let options = LoadOptions { precision: precision.into(), ..Default::default() };
    let recordings = workloads
        .iter()
        .map(|workload| recorded(workload, gpu, &options))
        .collect::<Result<Vec<_>, _>>()?;
    let problems = recordings.iter().flat_map(|recording| {
        let plan = &recording.plan;
        plan.steps.iter().map(|step| plan.problem(step))
    });
    Ok(worth_tuning(problems, gpu))
}

/// The recording of a workload; of a large batch, that of a part.
fn recorded(workload: &Workload, gpu: &Gpu, options: &LoadOptions) -> Result<Recording, Error> {
    let capabilities = gpu.capabilities();
    match &workload.subject {
        Subject::Block(spec) => record(&[*spec], workload.input, capabilities, options),
        Subject::Network(spec) => {
            let part = largest_part(spec, workload.input, capabilities, options)?;
            record_network(spec, part, capabilities, options)
        }
    }
}
