//! `bottleneck bench`: how fast blocks and networks are on this device, compared with its ceilings.

mod adapters;
mod args;
mod checked;
mod compare;
mod device;
mod html;
mod machine;
mod measure;
mod parts;
mod progress;
mod provenance;
mod report;
mod rows;
#[cfg(test)]
mod sample;
mod source;
mod text;
mod trace;
mod workload;

use std::path::{Path, PathBuf};

use wgpu_bottleneck::gpu::Ceilings;
use wgpu_bottleneck::{Gpu, LoadOptions};

use self::checked::Checked;
use self::device::DeviceReport;
use self::measure::Effort;
use self::progress::Progress;
use self::provenance::Provenance;
use self::report::{Report, Reports, SCHEMA, WorkloadReport};
use self::trace::Trace;
use super::engine_args::PlanArg;
use super::error::CliError;
use super::files::OutputFile;
use super::output;

pub use self::args::{BenchArgs, WorkloadArgs};
pub use self::workload::{Subject, Workload, workloads};

/// A device, the load options of each workload, and the report.
struct Bench {
    gpu: Gpu,
    options: Vec<LoadOptions>,
    report: Report,
}

/// Runs the command.
pub fn run(args: &BenchArgs) -> Result<(), CliError> {
    if let [before, after] = &args.compare[..] {
        return compare::run(before, after, args.json);
    }
    let provenance = Provenance::now();
    let workloads = workloads(&args.what)?;
    let (html, trace) = outputs(args)?;
    let effort = Effort::of(args.quick);
    let mut benches = Vec::new();
    for gpu in adapters::gpus(args)? {
        let options = checked::plan(
            &workloads,
            gpu.capabilities(),
            &args.engine.load_options(Some(&gpu), None)?,
        )?;
        benches.push((gpu, options));
    }
    let progress = Progress::new(workloads.len() * benches.len());
    let benches = benches
        .into_iter()
        .map(|(gpu, options)| Bench::new(gpu, options, args, &provenance, &progress));
    let mut benches = benches.collect::<Result<Vec<_>, _>>()?;
    let mut traced = trace.is_some().then(Trace::default);
    measure_all(&mut benches, &workloads, args, &effort, &progress, traced.as_mut())?;
    for bench in &mut benches {
        bench.finish(&effort, &progress)?;
    }
    drop(progress);
    if args.quick && (args.json || args.csv) {
        output::progress(text::NO_SHARES);
    }
    let reports = Reports::new(
        benches.into_iter().map(|bench| bench.report).collect(),
        adapters::several(args),
    );
    if let Some(file) = html {
        file.write_bytes(html::page(reports.all()).as_bytes())?;
    }
    if let (Some(file), Some(traced)) = (trace, traced) {
        file.write_bytes(traced.json()?.as_bytes())?;
    }
    match (args.json, args.csv) {
        (true, _) => output::print(&text::json(&reports)?),
        (_, true) => output::print(&rows::csv(reports.all())?),
        _ => output::print(&text::tables(reports.all(), args.steps)),
    }
}

/// The files to write, checked before any work is done.
fn outputs(args: &BenchArgs) -> Result<(Option<OutputFile>, Option<OutputFile>), CliError> {
    let of_weights = source::inputs(&args.what)?;
    let inputs = of_weights.iter().map(PathBuf::as_path).chain(args.engine.table());
    let inputs: Vec<&Path> = inputs.collect();
    let check = |path: &Option<PathBuf>| {
        path.as_deref().map(|path| OutputFile::check(path, &inputs)).transpose()
    };
    let (html, trace) = (check(&args.html)?, check(&args.trace)?);
    if let (Some(page), Some(events)) = (&html, &trace)
        && page.is_same(events)
    {
        return Err(CliError::Usage("--html and --trace must be different files".to_owned()));
    }
    Ok((html, trace))
}

/// Measures each workload on one device after the other, so that times side by side are from the
/// same minutes; or all in turns. Nothing is printed before all workloads have passed their checks:
/// after a wrong result there are no times.
fn measure_all(
    benches: &mut [Bench],
    workloads: &[Workload],
    args: &BenchArgs,
    effort: &Effort,
    progress: &Progress,
    mut trace: Option<&mut Trace>,
) -> Result<(), CliError> {
    let pairs: Vec<(usize, usize)> = (0..workloads.len())
        .flat_map(|workload| (0..benches.len()).map(move |bench| (workload, bench)))
        .collect();
    let at_a_time = if args.in_turns { pairs.len().max(1) } else { 1 };
    for (first, pairs) in (0..).step_by(at_a_time).zip(pairs.chunks(at_a_time)) {
        let mut turns = Vec::with_capacity(pairs.len());
        for (index, &(at, bench)) in (first..).zip(pairs) {
            let Bench { gpu, options, .. } = &benches[bench];
            progress.begin(index, &workloads[at], gpu);
            turns.push((gpu, Checked::load(gpu, &workloads[at], &options[at])?));
        }
        if args.in_turns {
            progress.turns();
        }
        let times = measure::measure(&mut turns, effort)?;
        let mut reports = Vec::with_capacity(pairs.len());
        for ((&(at, _), (gpu, checked)), times) in pairs.iter().zip(&turns).zip(&times) {
            reports.push(WorkloadReport::new(&workloads[at], checked, times));
            if let Some(trace) = &mut trace {
                trace.add(gpu, checked, &workloads[at])?;
            }
        }
        for (&(_, bench), report) in pairs.iter().zip(reports) {
            benches[bench].report.workloads.push(report);
        }
    }
    Ok(())
}

impl Bench {
    /// Measures the ceilings of the device.
    fn new(
        gpu: Gpu,
        options: Vec<LoadOptions>,
        args: &BenchArgs,
        provenance: &Provenance,
        progress: &Progress,
    ) -> Result<Self, CliError> {
        progress.ceilings(&gpu);
        let ceilings = Ceilings::measure(&gpu, &Effort::of(args.quick).ceilings)?;
        let plan = match args.engine.plan {
            PlanArg::Fused => "fused",
            PlanArg::Unfused => "unfused",
        };
        let report = Report {
            schema: SCHEMA.to_owned(),
            provenance: provenance.clone(),
            device: DeviceReport::of(&gpu),
            ceilings,
            quick: args.quick,
            plan: plan.to_owned(),
            precision: args.engine.precision.name().to_owned(),
            kernel: args.engine.kernel.clone(),
            tuned: args.engine.tuned.is_some(),
            timestamps: gpu.timestamps().map(|kind| kind.name().to_owned()),
            workloads: Vec::new(),
        };
        Ok(Self { gpu, options, report })
    }

    /// Measures the ceilings once more, since shares would be too large if the machine was busy the
    /// first time. The ceilings of --quick are always too low, so its reports have no shares of
    /// them.
    fn finish(&mut self, effort: &Effort, progress: &Progress) -> Result<(), CliError> {
        progress.ceilings(&self.gpu);
        let Report { ceilings, workloads, quick, .. } = &mut self.report;
        *ceilings = ceilings.better(Ceilings::measure(&self.gpu, &effort.ceilings)?);
        if !*quick {
            workloads.iter_mut().for_each(|workload| workload.against(ceilings));
        }
        Ok(())
    }
}
