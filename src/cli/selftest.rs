//! `bottleneck selftest`: tests whether this device and its driver compute correctly, and proves
//! that the test finds faults.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};
use wgpu_bottleneck::Gpu;
use wgpu_bottleneck::kernel::{Kernel, all_specialisations};
use wgpu_bottleneck::selftest::mutants::{self, Mutant, Verdict};
use wgpu_bottleneck::selftest::{self, Device, Failure, Options, Report};

use super::adapter_args::AdapterArgs;
use super::error::CliError;
use super::output::{self, Table, count};

/// `bottleneck selftest`.
#[derive(Debug, Args)]
pub struct SelftestArgs {
    /// Test only the kernels whose name contains this, including kernels that no block uses; with
    /// --mutants, run only the mutants that change such a kernel.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub kernel: Option<String>,
    /// Insert this fault into the kernels; the self test must then fail.
    #[arg(long, value_name = "NAME", conflicts_with = "mutants")]
    pub mutant: Option<String>,
    /// Prove that the self test finds faults: run every mutant, and list the check that catches it.
    #[arg(long)]
    pub mutants: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Which adapter.
    #[command(flatten)]
    pub adapter: AdapterArgs,
}

/// The most failures that are printed; `--json` has all.
const SHOWN: usize = 20;

/// The most skipped kernels that are named; `--json` names all.
const NAMED: usize = 8;

/// Runs the command.
pub fn run(args: &SelftestArgs) -> Result<(), CliError> {
    let mutant = args.mutant.as_deref().map(named).transpose()?;
    let gpus = args.adapter.gpus()?;
    if args.mutants {
        return prove(&gpus, args);
    }
    let report = selftest::run_on(&gpus, &Options { kernel: args.kernel.clone(), mutant })?;
    match args.json {
        true => output::json(&json!(report))?,
        false => output::print(&as_text(&report))?,
    }
    match (report.passed(), report.mutant) {
        (true, _) => Ok(()),
        (false, None) => Err(CliError::Failed(format!("{} on this device", found(&report)))),
        (false, Some(mutant)) => {
            Err(CliError::Failed(format!("{} with the mutant {mutant}", found(&report))))
        }
    }
}

/// The mutant of this name.
fn named(name: &str) -> Result<&'static Mutant, CliError> {
    let unknown =
        || CliError::Usage(format!("no mutant {name}: `bottleneck selftest --mutants` lists them"));
    mutants::find(name).ok_or_else(unknown)
}

fn found(report: &Report) -> String {
    format!(
        "{} of {}",
        count(report.failures.len(), "check failed", "checks failed"),
        report.checks
    )
}

fn as_text(report: &Report) -> String {
    let device = &report.device;
    let mut text = format!("wgpu-bottleneck {}\n", report.version);
    text += &format!("device   {} ({})\n", device.name, device.backend);
    text += &format!("driver   {} {}\n", device.driver, device.driver_info);
    text += &match device.subgroup_size {
        Some(size) => format!("subgroups of {size} lanes\n"),
        None => "subgroups off, or of several sizes\n".to_owned(),
    };
    if let Some(mutant) = report.mutant {
        text += &format!("mutant   {mutant}: this fault was inserted on purpose\n");
    }
    let (kernels, cases) =
        (count(report.kernels.len(), "kernel", "kernels"), count(report.cases, "case", "cases"));
    text += &format!(
        "tested   {kernels}, {cases}, {} checks in {:.1} s\n",
        report.checks, report.seconds
    );
    text += &skipped(report);
    for failure in report.failures.iter().take(SHOWN) {
        text += &format!("FAILED   {}\n", line(failure));
    }
    if report.failures.len() > SHOWN {
        text += &format!("FAILED   and {} more (--json has all)\n", report.failures.len() - SHOWN);
    }
    for known in &report.known {
        text += &format!("known    {}: {}\n", line(&known.failure), known.reason);
    }
    for reason in &report.no_longer_seen {
        text += &format!("known bug that did not occur: {reason}\n");
    }
    let verdict = match (report.passed(), report.known.is_empty()) {
        (true, true) => "passed",
        (true, false) => "passed, except for known bugs of this driver",
        (false, _) => "FAILED",
    };
    text + verdict + "\n"
}

/// The untested kernels by reason: their number, and their names if they are few.
fn skipped(report: &Report) -> String {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for skipped in &report.skipped {
        match reasons.iter_mut().find(|(reason, _)| *reason == skipped.reason) {
            Some((_, kernels)) => kernels.push(&skipped.kernel),
            None => reasons.push((&skipped.reason, vec![&skipped.kernel])),
        }
    }
    let line = |(reason, kernels): &(&str, Vec<&str>)| {
        let what = count(kernels.len(), "kernel", "kernels");
        let names = if kernels.len() > NAMED {
            "(--json lists them)".to_owned()
        } else {
            kernels.join(" ")
        };
        format!("SKIPPED  {what}: each {reason}\n         {names}\n")
    };
    reasons.iter().map(line).collect()
}

fn line(Failure { kernel, case, check, what, .. }: &Failure) -> String {
    format!("{kernel}, {case}: {}: {what}", check.name())
}

/// The proof: every mutant, one by one.
fn prove(gpus: &[Gpu], args: &SelftestArgs) -> Result<(), CliError> {
    let name = args.kernel.as_deref().unwrap_or_default();
    let kernels: Vec<Kernel> =
        all_specialisations().into_iter().filter(|kernel| kernel.name().contains(name)).collect();
    let chosen: Vec<&Mutant> = mutants::all()
        .filter(|mutant| kernels.iter().any(|kernel| mutant.changes(kernel)))
        .collect();
    if chosen.is_empty() {
        return Err(CliError::Usage(format!(
            "no mutant changes a kernel whose name contains {name}"
        )));
    }
    let verdicts: Vec<(&Mutant, Verdict)> =
        chosen.iter().copied().zip(mutants::prove(gpus, &chosen)?).collect();
    match args.json {
        true => output::json(&proof_json(&gpus[0], &verdicts))?,
        false => output::print(&table(&gpus[0].describe(), &verdicts))?,
    }
    if verdicts.iter().all(|(_, verdict)| matches!(verdict, Verdict::NotRun(_))) {
        return Err(CliError::Usage("this device can run none of these mutants".to_owned()));
    }
    let wrong: Vec<&str> = verdicts
        .iter()
        .filter(|(_, verdict)| !verdict.holds())
        .map(|(mutant, _)| mutant.name)
        .collect();
    match wrong[..] {
        [] => Ok(()),
        _ => Err(CliError::Failed(format!("not caught: {}", wrong.join(", ")))),
    }
}

fn proof_json(gpu: &Gpu, verdicts: &[(&Mutant, Verdict)]) -> Value {
    let mutants: Vec<Value> =
        verdicts.iter().map(|(mutant, verdict)| mutant_json(mutant, verdict)).collect();
    json!({ "version": env!("CARGO_PKG_VERSION"), "device": Device::of(gpu), "mutants": mutants })
}

fn mutant_json(mutant: &Mutant, verdict: &Verdict) -> Value {
    json!({
        "mutant": mutant.name,
        "family": mutant.family.name(),
        "fault": mutant.fault.name(),
        "verdict": verdict,
    })
}

fn table(device: &str, verdicts: &[(&Mutant, Verdict)]) -> String {
    let mut table = Table::new(&["mutant", "family", "fault", "verdict", "by"]);
    // Caught, equivalent, not run, and outcomes that disprove the claim.
    let mut counts = [0; 4];
    for (mutant, verdict) in verdicts {
        let by = |failure: &Failure| {
            format!("{}, {}: {}", failure.kernel, failure.case, failure.check.name())
        };
        let (word, by, counted) = match verdict {
            Verdict::Caught(failure) => ("caught", by(failure), 0),
            Verdict::Equivalent(reason) => ("equivalent", (*reason).to_owned(), 1),
            Verdict::NotRun(reason) => ("not run", reason.clone(), 2),
            Verdict::Survived { cases } => ("SURVIVED", count(*cases, "case", "cases"), 3),
            Verdict::Mistaken(failure) => ("MISTAKEN", by(failure), 3),
        };
        counts[counted] += 1;
        table.row(
            [mutant.name, mutant.family.name(), mutant.fault.name(), word, &by].map(Into::into),
        );
    }
    let [caught, equivalent, not_run, wrong] = counts;
    let all = count(verdicts.len(), "mutant", "mutants");
    let sums = format!(
        "{all}: {caught} caught, {equivalent} equivalent, {not_run} not run here, {wrong} not \
        caught"
    );
    format!("{device}\n{}{sums}\n", table.render())
}
