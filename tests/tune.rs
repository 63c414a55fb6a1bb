//! The tuner: what it believes, what it keeps, and which tables are used.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use crate::common::Outcome;
use serde_json::{Value, json};
use wgpu_bottleneck::error::{GpuError, TuningError};
use wgpu_bottleneck::gpu::LimitsChoice;
use wgpu_bottleneck::kernel::{Problem, candidates, select};
use wgpu_bottleneck::network::{VARIANTS, plan_block, plan_network};
use wgpu_bottleneck::plan::{MemoryBudget, Plan, schedule};
use wgpu_bottleneck::shader::Patch;
use wgpu_bottleneck::tune::{Clock, TuneEvent, TuneOptions, TuningTable, worth_tuning};
use wgpu_bottleneck::{Bottleneck, Error, Gpu, GpuOptions, PlanKind, Shape};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const SHORT: TuneOptions = TuneOptions { rounds: 2 };

/// Few candidates, and no timestamps.
fn gpu() -> Result<Gpu> {
    Ok(Gpu::with_options(&GpuOptions { limits: LimitsChoice::Core, ..GpuOptions::default() })?)
}

/// The steps of a small block. Its dilated groups leave the 3x3 convolution only the kernels that
/// can do everything.
fn plan(batch: usize) -> Result<Plan> {
    let block = Bottleneck::torchvision(32, 8).groups(2).dilation(2).build()?;
    Ok(plan_block(&block, Shape::new(batch, 32, 5, 6)?, PlanKind::Fused)?)
}

fn problems(plan: &Plan) -> Vec<Problem> {
    plan.steps.iter().map(|step| plan.problem(step)).collect()
}

/// The 3x3 convolution.
fn grouped(batch: usize) -> Result<Vec<Problem>> {
    Ok(vec![problems(&plan(batch)?).swap_remove(1)])
}

fn on(_: TuneEvent<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The kernel of the block's 3x3 convolution, and why, as a table says.
fn picked(gpu: &Gpu, table: &TuningTable) -> Result<(String, &'static str)> {
    let recording =
        schedule(plan(1)?, gpu.capabilities(), &table.kernels(), MemoryBudget::UNBOUNDED)?;
    let step = recording.steps().nth(1).ok_or("no step")?;
    Ok((step.dispatches[0].kernel.name(), step.reason))
}

/// A table as JSON, with a change.
fn changed(table: &TuningTable, change: impl Fn(&mut Value)) -> Result<String> {
    let mut json: Value = serde_json::from_str(&table.to_json())?;
    change(&mut json);
    Ok(json.to_string())
}

#[test]
fn the_fastest_of_all_candidates_is_picked() -> Outcome {
    let (gpu, problems) = (gpu()?, grouped(1)?);
    let (mut begun, mut ran, mut measured) = (0, 0, 0);
    let table = gpu.tune(&problems, &SHORT, |event| {
        match event {
            TuneEvent::Begins { candidates, .. } => begun += candidates,
            TuneEvent::Ran => ran += 1,
            TuneEvent::Measured(_) => measured += 1,
            other => panic!("{other:?}"),
        }
        ControlFlow::Continue(())
    })?;
    let all = candidates(&problems[0], gpu.capabilities());
    // Once for the numbers, twice for the time.
    assert_eq!((begun, ran, measured), (all.len(), 3 * all.len(), 1));
    let [shape] = table.shapes() else { return Err("one shape".into()) };
    assert_eq!((&shape.shape, shape.clock), (&problems[0].to_string(), Clock::Host));
    let (rule, _) = select(&problems[0], &all, gpu.capabilities()).ok_or("no pick")?;
    assert!(
        shape.rule == rule.name() && shape.behind().is_some_and(|behind| behind >= 1.0),
        "{shape:?}"
    );
    let names: BTreeSet<String> = all.iter().map(|kernel| kernel.name()).collect();
    assert_eq!(
        shape.candidates.iter().map(|candidate| candidate.kernel.clone()).collect::<BTreeSet<_>>(),
        names
    );
    assert!(shape.candidates.is_sorted_by(|a, b| 0.0 < a.us && a.us <= b.us), "{shape:?}");
    let (kernel, reason) = picked(&gpu, &table)?;
    assert!(
        kernel == shape.candidates[0].kernel && reason.starts_with("measured: "),
        "{kernel}: {reason}"
    );

    // Whichever is first is taken, but no name that this version does not know.
    for rotated in 1..=all.len() {
        let json = changed(&table, |json| {
            let candidates = json["shapes"][0]["candidates"].as_array_mut();
            let Some(candidates) = candidates else { panic!("no candidates") };
            candidates.rotate_left(rotated);
            candidates.insert(0, json!({ "kernel": "conv9x9_l8", "us": 0.5 }));
            candidates.iter_mut().zip(1..).for_each(|(candidate, us)| candidate["us"] = us.into());
        })?;
        let (kernel, _) = picked(&gpu, &TuningTable::parse(&json, &gpu)?)?;
        assert_eq!(kernel, shape.candidates[rotated % all.len()].kernel);
    }
    let unknown = changed(&table, |json| {
        json["shapes"][0]["candidates"] = json!([{ "kernel": "conv9x9", "us": 1 }])
    })?;
    let (kernel, reason) = picked(&gpu, &TuningTable::parse(&unknown, &gpu)?)?;
    assert!(kernel == rule.name() && !reason.starts_with("measured"), "{kernel}: {reason}");
    Ok(())
}

#[test]
fn wrong_numbers_are_not_believed() -> Outcome {
    let gpu = gpu()?;
    // One family reads a channel too far; the other one is right.
    let patched =
        gpu.with_patches(&[Patch::new("conv1x1", "src[a${r} + k]", "src[a${r} + k + 1u]")])?;
    let problems = vec![problems(&plan(1)?).swap_remove(0)];
    let mut wrong = Vec::new();
    let table = patched.tune(&problems, &SHORT, |event| {
        if let TuneEvent::Rejected { kernel, why, .. } = event {
            assert!(why.contains("wrong numbers"), "{why}");
            wrong.push(kernel.name());
        }
        ControlFlow::Continue(())
    })?;
    let [shape] = table.shapes() else { return Err("one shape".into()) };
    assert!(
        wrong.len() > 1 && wrong.iter().all(|kernel| kernel.starts_with("conv1x1_l")),
        "{wrong:?}"
    );
    assert!(shape.candidates.len() > 1, "{shape:?}");
    assert!(
        shape.candidates.iter().all(|one| one.kernel.starts_with("conv1x1_staged_")),
        "{shape:?}"
    );
    assert!(wrong.contains(&shape.rule) == shape.behind().is_none(), "{shape:?}");

    // Rows of the second image and those after it are taken from the first: nothing is left to
    // believe.
    let stuck = Patch::new(
        "shared/pixels",
        "select(pixel.item, min(pixel.item + 1u, params.items - 1u), item_ends)",
        "pixel.item",
    );
    let mut images = Vec::new();
    let table = gpu.with_patches(&[stuck])?.tune(&grouped(3)?, &SHORT, |event| {
        if let TuneEvent::Rejected { why, .. } = event {
            images.push(why.contains("in image 2") || why.contains("wrong numbers: "));
        }
        ControlFlow::Continue(())
    })?;
    assert!(!images.is_empty() && images.iter().all(|&wrong| wrong), "{images:?}");
    assert!(table.shapes().iter().all(|shape| shape.candidates.iter().all(|one| one.us > 0.0)));
    Ok(())
}

#[test]
fn stopped_it_keeps_what_was_done() -> Outcome {
    let (gpu, folder) = (gpu()?, tempfile::tempdir()?);
    let problems = [grouped(1)?, grouped(2)?].concat();
    for stop_after_first in [true, false] {
        let mut done = 0;
        let table = gpu.tune(&problems, &SHORT, |event| {
            done += usize::from(matches!(event, TuneEvent::Measured(_)));
            let in_the_second = done == 1 && matches!(event, TuneEvent::Ran);
            if in_the_second || (stop_after_first && done == 1) {
                ControlFlow::Break(())
            } else {
                on(event)
            }
        })?;
        assert_eq!(
            table.shapes().iter().map(|shape| &shape.shape).collect::<Vec<_>>(),
            [&problems[0].to_string()]
        );
        let path = folder.path().join("made/on/the/way.json");
        table.save(&path)?;
        assert_eq!(TuningTable::load(&path, &gpu), Some(table));
        let files: Vec<_> = std::fs::read_dir(path.parent().ok_or("no parent")?)?.collect();
        assert_eq!(files.len(), 1, "{files:?}");
    }
    let nothing = gpu.tune(&problems, &SHORT, |_| ControlFlow::Break(()))?;
    assert!(
        nothing.shapes().is_empty() && TuningTable::parse(&nothing.to_json(), &gpu)? == nothing
    );
    Ok(())
}

#[test]
fn tables_that_cannot_be_trusted_are_ignored() -> Outcome {
    let (gpu, folder) = (gpu()?, tempfile::tempdir()?);
    let path = folder.path().join("table");
    assert_eq!(TuningTable::load(&path, &gpu), None);
    let table = gpu.tune(&grouped(1)?, &TuneOptions { rounds: 1 }, on)?;
    let text = table.to_json();
    assert_eq!(TuningTable::parse(&text, &gpu)?, table);
    // A line per shape, for people.
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("{\"shape\":\"conv3x3 dilation 2 groups 2, "))
            .count(),
        1,
        "{text}"
    );
    let set = |name: &str, value: Value| changed(&table, |json| json[name] = value.clone());
    let device = |name: &str| changed(&table, |json| json["device"][name] = "another".into());
    type Kind = fn(&TuningError) -> bool;
    let not_a_table: Kind = |error| matches!(error, TuningError::NotATable { .. });
    let other_version: Kind = |error| matches!(error, TuningError::OtherVersion { .. });
    let other_device: Kind = |error| matches!(error, TuningError::OtherDevice { .. });
    for (what, json, kind) in [
        ("nothing", String::new(), not_a_table),
        ("half of it", text[..text.len() / 2].to_owned(), not_a_table),
        ("another file", json!({ "schema": "wgpu-bottleneck bench 1" }).to_string(), not_a_table),
        ("no JSON object", "[1]".to_owned(), not_a_table),
        ("another type", set("shapes", json!("none"))?, not_a_table),
        ("another schema", set("schema", json!("wgpu-bottleneck tuning 2"))?, other_version),
        ("another version", set("version", json!("0.0.1"))?, other_version),
        ("another driver", device("driver")?, other_device),
        ("another device", device("name")?, other_device),
        ("another API", device("backend")?, other_device),
    ] {
        let error = TuningTable::parse(&json, &gpu).err().ok_or(what)?;
        assert!(kind(&error), "{what}: {error:?}");
        std::fs::write(&path, json)?;
        assert_eq!(TuningTable::load(&path, &gpu), None, "{what}");
    }
    std::fs::write(&path, [0xff, 0xfe])?;
    assert_eq!(TuningTable::load(&path, &gpu), None);
    // Times that are none.
    for us in [json!(0), json!(-1.0), json!(1e300)] {
        let json = changed(&table, |json| json["shapes"][0]["candidates"][0]["us"] = us.clone())?;
        assert!(TuningTable::parse(&json, &gpu)?.shapes().is_empty(), "{us}");
    }
    Ok(())
}

/// A table finds a problem by what it says of itself.
#[test]
fn no_two_problems_say_the_same() -> Outcome {
    let mut known: HashMap<String, Problem> = HashMap::new();
    for variant in VARIANTS {
        for dilate in [[false; 3], [false, true, true]] {
            // Networks of BasicBlocks do not dilate.
            let Ok(network) = variant.builder().replace_stride_with_dilation(dilate).build() else {
                continue;
            };
            for (batch, kind) in
                [(1, PlanKind::Fused), (3, PlanKind::Fused), (1, PlanKind::Unfused)]
            {
                let plan = plan_network(&network, Shape::new(batch, 3, 64, 96)?, kind)?;
                for problem in problems(&plan) {
                    let first = known.entry(problem.to_string()).or_insert_with(|| problem.clone());
                    assert_eq!(*first, problem, "{problem}");
                }
            }
        }
    }
    for (width, groups) in [(6, 2), (6, 1), (12, 2)] {
        let spec = Bottleneck::torchvision(64, 64)
            .groups(groups)
            .base_width(width)
            .downsample(true)
            .build()?;
        for problem in problems(&plan_block(&spec, Shape::new(1, 64, 4, 4)?, PlanKind::Fused)?) {
            let first = known.entry(problem.to_string()).or_insert_with(|| problem.clone());
            assert_eq!(*first, problem, "{problem}");
        }
    }
    assert!(known.len() > 300, "{}", known.len());
    Ok(())
}

#[test]
fn each_problem_is_tuned_once() -> Outcome {
    let gpu = gpu()?;
    let block = Bottleneck::torchvision(16, 4).build()?;
    let plan = plan_block(&block, Shape::new(1, 16, 4, 4)?, PlanKind::Unfused)?;
    let twice = [problems(&plan), problems(&plan)].concat();
    let found = worth_tuning(twice, &gpu);
    // Three convolutions; a norm has but one kernel.
    assert_eq!(found.len(), 3, "{found:?}");
    Ok(())
}

#[test]
fn a_lost_device_is_not_a_wrong_candidate() -> Outcome {
    let (gpu, problems, mut ran) = (gpu()?, grouped(1)?, 0);
    let found = gpu.tune(&problems, &SHORT, |event| {
        match event {
            TuneEvent::Ran => ran += 1,
            TuneEvent::Begins { .. } => {}
            other => panic!("{other:?}"),
        }
        gpu.device().destroy();
        ControlFlow::Continue(())
    });
    assert!(matches!(found, Err(Error::Gpu(GpuError::Lost { .. }))), "{found:?}");
    assert_eq!(ran, 0);
    Ok(())
}
