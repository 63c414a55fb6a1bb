//! `bottleneck bench`: how fast blocks and networks are on this device, and how far from what it can do at most.

mod args;
mod checked;
mod compare;
mod measure;
mod progress;
mod report;
mod text;
mod workload;

use wgpu_bottleneck::gpu::Ceilings;
use wgpu_bottleneck::{Gpu, LoadOptions};

use self::checked::Checked;
use self::measure::Effort;
use self::progress::Progress;
use self::report::{DeviceReport, Report, SCHEMA, WorkloadReport};
use self::workload::Workload;
use super::args::PlanArg;
use super::error::CliError;
use super::output;

pub use self::args::BenchArgs;

/// Runs the command.
pub fn run(args: &BenchArgs) -> Result<(), CliError> {
    if let [before, after] = &args.compare[..] {
        return compare::run(before, after, args.json);
    }
    let workloads = workload::workloads(args)?;
    let gpu = args.engine.adapter.gpu()?;
    let options = checked::plan(&workloads, gpu.capabilities(), &args.engine.load_options())?;
    let report = measure_all(&gpu, args, &workloads, &options)?;
    match (args.json, args.csv) {
        (true, _) => output::print(&text::json(&report)?),
        (_, true) => output::print(&text::csv(&report)?),
        _ => output::print(&text::tables(&report, args.steps)),
    }
}

/// Nothing is printed before all workloads have been found right: a wrong one leaves no times.
fn measure_all(
    gpu: &Gpu,
    args: &BenchArgs,
    workloads: &[Workload],
    options: &[LoadOptions],
) -> Result<Report, CliError> {
    let effort = if args.quick { Effort::quick() } else { Effort::full() };
    let progress = Progress::new(workloads.len());
    progress.before("the device's ceilings");
    let ceilings = Ceilings::measure(gpu, &effort.ceilings)?;
    let mut measured = Vec::with_capacity(workloads.len());
    for (at, (workload, options)) in workloads.iter().zip(options).enumerate() {
        progress.begin(at, &workload.name, &workload.what);
        let mut checked = Checked::load(gpu, workload, options)?;
        let times = measure::measure(gpu, &mut checked, &effort)?;
        measured.push(WorkloadReport::new(workload, &checked, &times, &ceilings));
    }
    let plan = match args.engine.plan {
        PlanArg::Fused => "fused",
        PlanArg::Unfused => "unfused",
    };
    Ok(Report {
        schema: SCHEMA.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device: DeviceReport::of(gpu),
        ceilings,
        quick: args.quick,
        plan: plan.to_owned(),
        kernel: args.engine.kernel.clone(),
        timestamps: gpu.timestamps().map(|kind| kind.name().to_owned()),
        workloads: measured,
    })
}
