//! The self test: it passes on every device, it finds every mutant, and its report says what it
//! should.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{Outcome, SWIFTSHADER, any_gpu, loudly, targets};
use rayon::prelude::*;
use wgpu_bottleneck::error::{ErrorKind, GpuError};
use wgpu_bottleneck::kernel::{
    Capabilities, DeviceKind, Family, Kernel, all_candidates, candidates, training_candidates,
};
use wgpu_bottleneck::network::{self, BlockKind, Optimizer, ResNet, StrideIn, TrainingOptions};
use wgpu_bottleneck::plan::{Plan, PlanKind};
use wgpu_bottleneck::selftest::mutants::{self, Fault, Mutant, Verdict};
use wgpu_bottleneck::selftest::{self, Check, Options, Report, is_in_plans};
use wgpu_bottleneck::shader::{self, Patch};
use wgpu_bottleneck::{Bottleneck, Error, Gpu, GpuOptions, Norm, Shape};

/// A test of the kernels with this name, with a fault.
fn options(kernel: &str, mutant: Option<&'static Mutant>) -> Options {
    Options { kernel: Some(kernel.to_owned()), mutant }
}

fn named(name: &str) -> Result<&'static Mutant, String> {
    mutants::find(name).ok_or_else(|| format!("no mutant {name}"))
}

#[test]
#[ignore = "minutes; .ci/run runs it"]
fn passes_on_every_device_and_accounts_for_every_kernel() -> Outcome {
    let every: Vec<Kernel> = all_candidates().into_iter().chain(training_candidates()).collect();
    let all: BTreeSet<String> = every.iter().filter(|k| is_in_plans(k)).map(Kernel::name).collect();
    targets().par_iter().try_for_each(|target| -> Result<(), String> {
        let report =
            selftest::run(&target.gpu, &Options::default()).map_err(|error| error.to_string())?;
        assert!(report.passed(), "{}: {:#?}", target.name, report.failures);
        assert_eq!(
            (report.known.len(), report.no_longer_seen.len(), report.mutant),
            (0, 0, None),
            "{}",
            target.name
        );
        assert!(
            report.cases > 5 * report.kernels.len() && report.checks > 10 * report.cases,
            "{}",
            target.name
        );
        let skipped = report.skipped.iter().map(|skipped| skipped.kernel.clone());
        let seen: BTreeSet<String> = report.kernels.iter().cloned().chain(skipped).collect();
        assert_eq!(seen, all, "{}", target.name);
        for skipped in &report.skipped {
            let kernel = every.iter().find(|kernel| kernel.name() == skipped.kernel);
            let runs =
                kernel.is_none_or(|kernel| kernel.runs_on(target.gpu.capabilities()).is_ok());
            assert!(!runs, "{}: {} {}", target.name, skipped.kernel, skipped.reason);
        }
        Ok(())
    })?;
    Ok(())
}

/// Blocks of every form, and small networks of every kind, for inference and for training.
fn plans() -> Result<Vec<Plan>, Error> {
    let specs = [
        Bottleneck::torchvision(16, 4).build()?,
        Bottleneck::torchvision(8, 4).stride(2).downsample(true).build()?,
        Bottleneck::torchvision(16, 4).groups(2).base_width(64).dilation(2).build()?,
        Bottleneck::torchvision(16, 4).groups(2).base_width(64).build()?,
        // Sums long enough to be cut into slices.
        Bottleneck::torchvision(256, 64).build()?,
    ];
    let mut plans = Vec::new();
    for spec in specs {
        for kind in [PlanKind::Fused, PlanKind::Unfused] {
            plans.push(network::plan_block(&spec, Shape::new(1, spec.inplanes(), 5, 5)?, kind)?);
        }
    }
    for (block, stride_in) in [
        (BlockKind::Bottleneck, StrideIn::Conv2),
        (BlockKind::Bottleneck, StrideIn::Conv1),
        (BlockKind::Basic, StrideIn::Conv2),
    ] {
        let builder = ResNet::builder(block)
            .depths([1, 2])
            .planes([4, 8])
            .stride_in(stride_in)
            .classes(Some(3));
        let spec = builder.build()?;
        for kind in [PlanKind::Fused, PlanKind::Unfused] {
            plans.push(network::plan_network(&spec, Shape::new(1, 3, 33, 33)?, kind)?);
        }
    }
    let halves = plans
        .iter()
        .map(|plan| plan.in_half(&[], wgpu_bottleneck::tensor::DType::F32))
        .collect::<Result<Vec<_>, _>>()?;
    plans.extend(halves);
    plans.extend(training_plans()?);
    Ok(plans)
}

/// Blocks with every norm, and networks by every optimiser, some of them frozen.
fn training_plans() -> Result<Vec<Plan>, Error> {
    let mut plans = Vec::new();
    for norm in [Norm::default(), Norm::FrozenBatchNorm2d { eps: 1e-5 }, Norm::Identity] {
        for (groups, stride) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let block =
                Bottleneck::torchvision(64, 16).groups(groups).base_width(64).stride(stride);
            let spec = block.downsample(stride != 1).norm_layer(norm).build()?;
            plans.push(network::plan_block_training(&spec, Shape::new(2, 64, 8, 8)?)?.plan);
        }
    }
    let sgd = |nesterov| Optimizer::Sgd {
        momentum: if nesterov { 0.9 } else { 0.0 },
        nesterov,
        weight_decay: 1e-4,
        decay_all: true,
    };
    for (optimizer, batches_per_step) in [(sgd(false), 1), (sgd(true), 2), (Optimizer::adamw(), 1)]
    {
        for (block, frozen) in
            [(BlockKind::Bottleneck, vec![]), (BlockKind::Basic, vec!["conv1".to_owned()])]
        {
            let spec =
                ResNet::builder(block).depths([1, 2]).planes([16, 16]).classes(Some(3)).build()?;
            let options = TrainingOptions {
                optimizer,
                batches_per_step,
                frozen,
                ..TrainingOptions::default()
            };
            plans.push(
                network::plan_network_training(&spec, Shape::new(2, 3, 32, 32)?, &options)?.plan,
            );
        }
    }
    Ok(plans)
}

#[test]
fn every_kernel_of_a_plan_is_tested_without_being_named() -> Outcome {
    let mut used = BTreeSet::new();
    let sizes = [None, Some(4), Some(8), Some(32)];
    let devices = sizes.map(|subgroup_size| Capabilities {
        subgroup_size,
        f16: true,
        matrices_of_8: true,
        matrices_of_16: true,
        max_workgroup_bytes: 32 << 10,
        ..Capabilities::CORE
    });
    let software = Capabilities { kind: DeviceKind::Software, int64: true, ..Capabilities::CORE };
    for capabilities in devices.into_iter().chain([software]) {
        for plan in plans()? {
            for step in &plan.steps {
                for kernel in candidates(&plan.problem(step), &capabilities) {
                    assert!(is_in_plans(&kernel), "{}", kernel.name());
                    used.extend(kernel.dispatches().iter().map(|stage| stage.family.name()));
                }
            }
        }
    }
    assert_eq!(used, Family::ALL.into_iter().map(Family::name).collect());
    Ok(())
}

#[test]
fn every_mutant_is_a_valid_shader_of_its_family() -> Outcome {
    let mut names = BTreeSet::new();
    for mutant in mutants::all() {
        assert!(names.insert(mutant.name), "two mutants {}", mutant.name);
        assert!(mutant.name.starts_with(&format!("{}.", mutant.family.name())), "{}", mutant.name);
        let kernels = mutant.kernels();
        assert!(!kernels.is_empty(), "{} changes nothing", mutant.name);
        for kernel in kernels
            .iter()
            .take(4)
            .flat_map(Kernel::dispatches)
            .filter(|stage| stage.family == mutant.family)
        {
            let source = kernel.source_with(mutant.patches)?;
            shader::inspect(&source, kernel.extensions())
                .map_err(|error| format!("{} {}: {error}", mutant.name, kernel.name()))?;
        }
    }
    Ok(())
}

#[test]
fn every_family_has_a_dozen_mutants_of_many_kinds() {
    let mut families: BTreeMap<&str, Vec<Fault>> = BTreeMap::new();
    for mutant in mutants::all().filter(|mutant| mutant.equivalent.is_none()) {
        families.entry(mutant.family.name()).or_default().push(mutant.fault);
    }
    for family in Family::ALL {
        let faults = families.remove(family.name()).unwrap_or_default();
        assert!(faults.len() >= 12, "{}: {} mutants", family.name(), faults.len());
        let kinds: Vec<Fault> = faults.iter().fold(Vec::new(), |mut kinds, fault| {
            if !kinds.contains(fault) {
                kinds.push(*fault);
            }
            kinds
        });
        assert!(
            kinds.len() >= 5 && kinds.contains(&Fault::NanSwallowed),
            "{}: {kinds:?}",
            family.name()
        );
    }
}

/// Devices of this name catch the mutants of these families.
fn prove(name: &str, gpus: &[Gpu], families: impl Fn(Family) -> bool) -> Outcome {
    let chosen: Vec<&Mutant> = mutants::all().filter(|mutant| families(mutant.family)).collect();
    let (mut wrong, mut not_run) = (Vec::new(), BTreeSet::new());
    for (mutant, verdict) in chosen.iter().zip(mutants::prove(gpus, &chosen)?) {
        match verdict {
            Verdict::Caught(failure) => {
                assert_ne!(failure.check, Check::Compile, "{}", mutant.name)
            }
            Verdict::Equivalent(reason) => assert_eq!(mutant.equivalent, Some(reason)),
            Verdict::NotRun(reason) => {
                not_run.insert(format!("{}: {reason}", mutant.family.name()));
            }
            verdict => wrong.push(format!("{}: {verdict:?}", mutant.name)),
        }
    }
    not_run.iter().for_each(|line| loudly(&format!("SKIPPED on {name}: mutants of {line}")));
    assert!(wrong.is_empty(), "{name}: {}", wrong.join("\n"));
    Ok(())
}

#[test]
#[ignore = "minutes; .ci/run runs it"]
fn every_mutant_is_caught() -> Outcome {
    // Each compiles kernels on a thread of its own.
    let best = targets()[0].gpu.clone();
    let options = GpuOptions { matrices: true, ..GpuOptions::default() };
    prove("default", &[best, Gpu::with_options(&options)?], |_| true)
}

/// SwiftShader's subgroups have four lanes, so that other tiles are proved there. The other
/// families would be the same again.
#[test]
#[ignore = "minutes; .ci/run runs it"]
fn every_mutant_with_subgroups_of_another_size_is_caught() -> Outcome {
    targets().iter().filter(|target| target.name == SWIFTSHADER).try_for_each(|target| {
        prove(target.name, std::slice::from_ref(&target.gpu), Family::uses_subgroups)
    })
}

#[test]
fn with_a_mutant_it_fails_and_names_it_and_the_device_stays_as_it_was() -> Outcome {
    for target in targets() {
        let options = options("conv3x3_l8s1r4c1", Some(named("conv3x3.padding_read")?));
        let report = selftest::run(&target.gpu, &options)?;
        assert!(
            !report.passed() && report.mutant == Some("conv3x3.padding_read"),
            "{}: {report:?}",
            target.name
        );
        assert!(
            report.kernels.iter().all(|kernel| kernel.contains("conv3x3_l8s1r4c1")),
            "{:?}",
            report.kernels
        );
        let healthy = selftest::run(&target.gpu, &Options { mutant: None, ..options })?;
        assert!(healthy.passed(), "{}: {:?}", target.name, healthy.failures);
    }
    Ok(())
}

/// Each check is the one that finds its fault.
#[test]
fn checks_find_what_they_are_for() -> Outcome {
    let cases = [
        ("batchnorm_relu", "batchnorm_relu.lost_scale", Check::Exact),
        ("batchnorm_relu", "batchnorm_relu.nan_swallowed", Check::NonFinite),
        ("conv1x1_l8s1r4c1_bias_relu", "conv1x1.padding_not_cleared", Check::Padding),
        ("conv1x1_l8s1r4c1_bias_relu", "conv1x1.row_behind_the_end", Check::Guard),
        ("weight_grad_l8s1r1c1", "weight_grad.stride_lost_in_x", Check::Exact),
        ("weight_grad_l8s1r1c1", "weight_grad.nan_swallowed", Check::NonFinite),
        ("weight_grad_l8s1r1c1", "weight_grad.padding_not_cleared", Check::Padding),
        ("adamw", "adamw.value_behind_the_end", Check::Guard),
    ];
    for (kernel, name, check) in cases {
        let report = selftest::run(&targets()[0].gpu, &options(kernel, Some(named(name)?)))?;
        assert!(
            report.failures.iter().any(|failure| failure.check == check),
            "{name}: {:?}",
            report.failures
        );
    }
    Ok(())
}

/// A fault made here.
const fn broken(patches: &'static [Patch]) -> Mutant {
    let (name, family, fault) = ("made here", Family::ResidualAdd, Fault::OffByOne);
    Mutant { name, family, fault, patches, equivalent: None }
}

#[test]
fn what_does_not_compile_is_named_and_the_rest_goes_on() -> Outcome {
    static BROKEN: Mutant = broken(&[Patch::new(
        "residual_add",
        "dst[at] = pack(relu(value));",
        "dst[at] = unknown(value);",
    )]);
    let gpu = &targets()[0].gpu;
    let report = selftest::run(gpu, &Options { mutant: Some(&BROKEN), ..Options::default() })?;
    let failures: Vec<(&str, Check)> =
        report.failures.iter().map(|f| (f.kernel.as_str(), f.check)).collect();
    let half = ("residual_add_l64s1r1c1_f16_relu", Check::Compile);
    let expected = [("residual_add_l64s1r1c1_relu", Check::Compile), half];
    assert_eq!(failures, expected[..if gpu.capabilities().f16 { 2 } else { 1 }]);
    // What does not compile proves nothing.
    let verdicts = mutants::prove(std::slice::from_ref(gpu), &[&BROKEN])?;
    assert!(matches!(verdicts[..], [Verdict::Mistaken(_)]));
    Ok(())
}

#[test]
fn survivors_and_false_equivalents_are_told() -> Outcome {
    static SAME: Mutant = broken(&[Patch::new(
        "residual_add",
        "unpack(src[at]) + unpack(shortcut[at])",
        "unpack(shortcut[at]) + unpack(src[at])",
    )]);
    static NOT_EQUIVALENT: Mutant = Mutant {
        equivalent: Some("it is said"),
        ..broken(&[Patch::new(
            "residual_add",
            "unpack(src[at]) + unpack(shortcut[at])",
            "unpack(src[at])",
        )])
    };
    // More devices than mutants, and as many: the verdicts keep their order.
    for gpus in [vec![any_gpu()], vec![any_gpu(), any_gpu(), any_gpu()]] {
        let verdicts = mutants::prove(&gpus, &[&SAME, &NOT_EQUIVALENT])?;
        assert!(
            matches!(verdicts[..], [Verdict::Survived { cases }, Verdict::Mistaken(_)] if cases > 5)
        );
    }
    assert!(matches!(mutants::prove(&[], &[&SAME]), Err(Error::Gpu(GpuError::NoAdapter { .. }))));
    Ok(())
}

#[test]
fn names_and_patches_that_fit_nothing_are_errors() -> Outcome {
    static UNFIT: Mutant = broken(&[Patch::new("residual_add", "no such text", "")]);
    let gpu = &targets()[0].gpu;
    let unknown = selftest::run(gpu, &options("conv9x9", None));
    assert!(matches!(
        &unknown,
        Err(Error::Gpu(GpuError::NoSuchKernel { kernel, .. })) if kernel == "conv9x9"
    ));
    let unfit = gpu.with_patches(UNFIT.patches);
    let Err(error @ Error::Gpu(GpuError::Patch(_))) = unfit else {
        return Err(format!("{unfit:?}").into());
    };
    assert_eq!(error.kind(), ErrorKind::Input);
    Ok(())
}

#[test]
fn the_report_is_json() -> Outcome {
    let gpu = &targets()[0].gpu;
    let mutant = named("residual_add.nan_swallowed")?;
    let report: Report = selftest::run(gpu, &options("residual_add", Some(mutant)))?;
    let json = serde_json::to_value(&report)?;
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["device"]["name"], gpu.info().name);
    assert_eq!(json["device"]["runtime_checks"], true, "mutants run with checks");
    assert_eq!(json["mutant"], mutant.name);
    let failure = &json["failures"][0];
    assert_eq!(
        (&failure["kernel"], &failure["check"]),
        (&"residual_add_l64s1r1c1_relu".into(), &"non_finite".into())
    );
    assert_eq!(
        (&failure["first"]["expected"], &failure["first"]["found"]),
        (&"NaN".into(), &"0".into())
    );
    assert_eq!(failure["first"]["at"].as_array().map(Vec::len), Some(4));
    for member in ["kernels", "skipped", "cases", "checks", "known", "no_longer_seen", "seconds"] {
        assert!(!json[member].is_null(), "{member} in {json:#}");
    }
    Ok(())
}

#[test]
fn a_lost_device_is_not_a_failed_check() -> Outcome {
    let gpu = Gpu::new()?;
    gpu.device().destroy();
    let found = selftest::run(&gpu, &options("conv1x1_l8s1r4c1_bias_relu", None));
    assert!(matches!(found, Err(Error::Gpu(GpuError::Lost { .. }))), "{found:?}");
    Ok(())
}
