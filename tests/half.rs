//! Half precision: PyTorch's numbers within what f16 can hold, by every candidate, and what it
//! cannot hold.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::dict::DictBuilder;
use crate::common::exact::{Growth, exact_dict, options_of};
use crate::common::seeded::small_reals;
use crate::common::seeded_network::{file, uniform, weights};
use crate::common::specs::{Wish, config, images, wishes};
use crate::common::{Golden, Outcome, goldens, is_wanted, most_candidates, targets};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use wgpu_bottleneck::error::PrecisionError;
use wgpu_bottleneck::kernel::{Capabilities, Chip, DeviceKind};
use wgpu_bottleneck::network::BlockKind;
use wgpu_bottleneck::plan::{KernelChoice, Precision};
use wgpu_bottleneck::tensor::{DType, Tolerance, compare};
use wgpu_bottleneck::{
    Block, BlockChain, Bottleneck, CheckpointOptions, Error, Gpu, HostTensor, LoadOptions, Network,
    NetworkWeights, Norm, PlanKind, ResNet, Shape, StateDict, record_network, selftest,
};

/// The largest error accepted of a block, as a share of the largest value that PyTorch gives.
const TOLERANCE: f64 = 4e-3;

#[test]
#[expect(clippy::too_many_lines, reason = "one job from start to end")]
fn every_candidate_matches_pytorch_in_half() -> Outcome {
    let goldens = goldens()?;
    let (mut failures, mut runs, mut worst) = (Vec::new(), 0, (0.0, 0.0));
    for target in targets().iter().filter(|target| target.gpu.capabilities().f16) {
        for (golden, plan) in goldens
            .iter()
            .flat_map(|golden| [(golden, PlanKind::Fused), (golden, PlanKind::Unfused)])
        {
            let options = LoadOptions { plan, precision: Precision::F16, ..Default::default() };
            let shape = golden.input.shape();
            let recorded = wgpu_bottleneck::record(
                &[*golden.block()?.spec()],
                shape,
                target.gpu.capabilities(),
                &options,
            )?;
            let first = BlockChain::load(&target.gpu, &[golden.block()?], shape, &options)?;
            let twin = first.reference_rounded(&golden.input)?;
            let twin = compare(&golden.output, &twin, Tolerance::relative(TOLERANCE));
            for candidate in 0..most_candidates(&recorded.plan, target.gpu.capabilities(), false) {
                let options =
                    LoadOptions { kernels: KernelChoice::Nth(candidate), ..options.clone() };
                let capabilities = target.gpu.capabilities();
                if !is_wanted(&wgpu_bottleneck::record(
                    &[*golden.block()?.spec()],
                    shape,
                    capabilities,
                    &options,
                )?) {
                    continue;
                }
                let mut model = BlockChain::load(&target.gpu, &[golden.block()?], shape, &options)?;
                model.executor_mut().poison()?;
                let found = model.run(&golden.input)?;
                let spreads = model.tolerance().spreads;
                let tolerance = Tolerance { spreads, ..Tolerance::relative(TOLERANCE) };
                let comparison = compare(&golden.output, &found, tolerance);
                let (error, of_twin) = (comparison.relative_error(), twin.relative_error());
                worst = (f64::max(worst.0, error), f64::max(worst.1, error / of_twin));
                runs += 1;
                if !comparison.passed() || error > 2.0 * of_twin {
                    let kernels: Vec<String> = model
                        .recording()
                        .steps()
                        .flat_map(|s| &s.dispatches)
                        .map(|d| d.kernel.name())
                        .collect();
                    failures.push(format!(
                        "{} on {}: {comparison}, the twin's {of_twin:.1e} ({})",
                        golden.name,
                        target.name,
                        kernels.join(", ")
                    ));
                }
            }
        }
        println!(
            "{}: {runs} runs so far, off by {:.1e}, {:.2} x the twin",
            target.name, worst.0, worst.1
        );
    }
    assert!(runs > 0 || half_gpu().is_none(), "no recording had a kernel that was wanted");
    assert!(
        failures.is_empty(),
        "{} of {runs} runs failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
    Ok(())
}

/// A golden block whose tensors are multiplied by these, loaded for its input.
fn scaled(
    gpu: &Gpu,
    scales: &[(&str, f32)],
    precision: Precision,
) -> Result<Result<BlockChain, Error>, Box<dyn std::error::Error>> {
    scaled_as(gpu, scales, &LoadOptions { precision, ..Default::default() })
}

/// [`scaled`] with options of any kind.
fn scaled_as(
    gpu: &Gpu,
    scales: &[(&str, f32)],
    options: &LoadOptions,
) -> Result<Result<BlockChain, Error>, Box<dyn std::error::Error>> {
    let golden = plain()?;
    let mut dict = DictBuilder::default();
    for key in golden.dict.keys().filter(|key| !key.ends_with("num_batches_tracked")) {
        let tensor = golden.dict.tensor(key)?;
        let by = scales.iter().find(|(scaled, _)| scaled == &key).map_or(1.0, |(_, by)| *by);
        dict.f32(
            key,
            &tensor.dims,
            &tensor.data.iter().map(|value| value * by).collect::<Vec<f32>>(),
        );
    }
    let block = Block::from_state_dict(&StateDict::from_bytes(dict.bytes())?, "", &golden.options)?;
    Ok(BlockChain::load(gpu, &[block], golden.input.shape(), options))
}

fn plain() -> Result<Golden, Box<dyn std::error::Error>> {
    Ok(goldens()?.into_iter().find(|golden| golden.name == "plain").ok_or("no golden")?)
}

/// A device of half precision.
fn half_gpu() -> Option<&'static Gpu> {
    let gpu = targets().iter().map(|target| &target.gpu).find(|gpu| gpu.capabilities().f16);
    if gpu.is_none() {
        crate::common::loudly("SKIPPED: no device has half precision");
    }
    gpu
}

#[test]
fn weights_that_half_cannot_hold_are_named_or_computed_in_single() -> Outcome {
    let Some(gpu) = half_gpu() else { return Ok(()) };
    let scales = &[("conv2.weight", 1e7)];
    match scaled(gpu, scales, Precision::F16)? {
        Err(Error::Precision(PrecisionError::Weight { step, value })) => {
            assert_eq!((step.as_str(), value.abs() >= 65520.0), ("block0.conv2", true));
        }
        other => return Err(format!("{other:?}").into()),
    }
    let mut model = scaled(gpu, scales, Precision::Auto)??;
    assert!(model.kept_in_f32().contains(&"block0.conv2".to_owned()), "{:?}", model.kept_in_f32());
    let input = plain()?.input;
    let (expected, found) = (model.reference(&input)?, model.run(&input)?);
    let comparison = compare(&expected, &found, Tolerance::relative(TOLERANCE));
    assert!(comparison.passed(), "{comparison}");
    Ok(())
}

/// A norm that is a separate step undoes the size of the weights before it, and then f16 holds
/// any.
#[test]
fn weights_before_a_norm_may_be_of_any_size() -> Outcome {
    let Some(gpu) = half_gpu() else { return Ok(()) };
    let input = plain()?.input;
    let sized = |by: f32, precision| {
        let scales = [("conv2.weight", by), ("bn2.running_mean", by), ("bn2.weight", 1.0 / by)];
        scaled_as(
            gpu,
            &scales,
            &LoadOptions { plan: PlanKind::Unfused, precision, ..Default::default() },
        )
    };
    let expected = sized(1.0, Precision::F16)??.run(&input)?;
    for by in [2.0_f32.powi(-40), 2.0_f32.powi(40)] {
        let mut model = sized(by, Precision::F16)??;
        assert_eq!(model.run(&input)?, expected, "weights times {by:e}");
        assert!(model.kept_in_f32().is_empty());
    }
    // Whichever of the two is kept in f32, by name: then the convolution is not scaled, or the norm
    // still undoes it.
    for name in ["block0.conv2", "block0.bn2"] {
        let by = 2.0_f32.powi(-40);
        let scales = [("conv2.weight", by), ("bn2.running_mean", by), ("bn2.weight", 1.0 / by)];
        let precision = Precision::F16;
        let options = LoadOptions {
            plan: PlanKind::Unfused,
            precision,
            keep_f32: vec![name.to_owned()],
            ..Default::default()
        };
        let mut model = scaled_as(gpu, &scales, &options)??;
        let comparison =
            compare(&model.reference(&input)?, &model.run(&input)?, Tolerance::relative(TOLERANCE));
        assert!(comparison.passed(), "{name} in f32: {comparison}");
    }
    // Not quite any: the norm's scale is an f32.
    for by in [2.0_f32.powi(-100), 2.0_f32.powi(100)] {
        let error = sized(by, Precision::F16)?;
        let is_named = |error: &Error| {
            matches!(
                error,
                Error::Precision(PrecisionError::Weight { step, .. }) if step == "block0.conv2"
            )
        };
        assert!(error.as_ref().is_err_and(is_named), "{error:?}");
        let mut model = sized(by, Precision::Auto)??;
        assert_eq!(model.kept_in_f32(), ["block0.conv2"]);
        let comparison =
            compare(&model.reference(&input)?, &model.run(&input)?, Tolerance::relative(TOLERANCE));
        assert!(comparison.passed(), "weights times {by:e}: {comparison}");
    }
    Ok(())
}

#[test]
fn activations_that_half_cannot_hold_are_named_or_computed_in_single() -> Outcome {
    let Some(gpu) = half_gpu() else { return Ok(()) };
    let input = plain()?.input;
    // The second norm's output alone is too large; what comes after is of usual size, so that
    // nothing but a look would tell.
    let scales = &[("bn2.weight", 3e4), ("bn2.bias", 3e4), ("conv3.weight", 1.0 / 3e4)];
    let mut model = scaled(gpu, scales, Precision::F16)??;
    match model.run(&input) {
        Err(Error::Precision(PrecisionError::Activation { step, value })) => {
            assert_eq!((step.as_str(), value >= 65520.0), ("block0.conv2", true));
        }
        other => return Err(format!("{other:?}").into()),
    }
    let mut model = scaled(gpu, scales, Precision::Auto)??;
    let found = model.run(&input)?;
    assert_eq!(model.kept_in_f32(), ["block0.conv2", "block0.conv3"]);
    let comparison = compare(&model.reference(&input)?, &found, Tolerance::relative(TOLERANCE));
    assert!(comparison.passed(), "{comparison}");
    // It is known now.
    assert_eq!(model.run(&input)?, found);
    // So is an input that is too large.
    let large = HostTensor::from_fn(input.shape(), |at| input.data()[at] * 1e5);
    let error = scaled(gpu, &[], Precision::F16)??.run(&large);
    assert!(matches!(
        &error,
        Err(Error::Precision(PrecisionError::Activation { step, .. })) if step == "the input"
    ));
    let mut model = scaled(gpu, &[], Precision::Auto)??;
    let comparison =
        compare(&model.reference(&large)?, &model.run(&large)?, Tolerance::relative(TOLERANCE));
    assert!(comparison.passed(), "{comparison}");
    // What is no number to begin with is nobody's fault.
    let odd =
        HostTensor::from_fn(input.shape(), |at| if at == 7 { f32::NAN } else { input.data()[at] });
    assert!(
        scaled(gpu, &[], Precision::F16)??.run(&odd)?.data().iter().any(|value| value.is_nan())
    );
    Ok(())
}

#[test]
fn devices_without_half_say_so() -> Outcome {
    for target in targets() {
        let has_half = target.gpu.capabilities().f16;
        match scaled(&target.gpu, &[], Precision::F16)? {
            Ok(model) => assert!(has_half && model.recording().has_half(), "{}", target.name),
            Err(Error::Precision(PrecisionError::Unavailable)) => {
                assert!(!has_half, "{}", target.name)
            }
            Err(error) => return Err(error.into()),
        }
        assert_eq!(
            scaled(&target.gpu, &[], Precision::Auto)??.recording().has_half(),
            has_half,
            "{}",
            target.name
        );
    }
    Ok(())
}

/// How alike two vectors are: 1 where they point the same way.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Logits in half precision against PyTorch's in float64, as far as tests/golden/network.json has
/// them, and all of them against those of single precision, which tests/networks.rs holds to
/// PyTorch's within 2e-5; and the memory that they take.
#[test]
fn networks_are_near_pytorch_and_take_half_the_memory() -> Outcome {
    let Some(gpu) = half_gpu() else { return Ok(()) };
    let cases: serde_json::Value = serde_json::from_str(include_str!("golden/network.json"))?;
    for name in ["resnet50", "resnext50_32x4d", "wide_resnet50_2"] {
        let spec = wgpu_bottleneck::ResNet::named(name)?.build()?;
        let (weights, _) = weights(&spec)?;
        for case in cases.as_array().into_iter().flatten().filter(|case| case["network"] == name) {
            let [n, c, h, w] = serde_json::from_value(case["input"].clone())?;
            let shape = Shape::new(n, c, h, w)?;
            let input: Vec<f32> =
                uniform("input", shape.len()).map(|value| (value - 0.5) * 4.0).collect();
            let input = HostTensor::new(shape, input)?;
            let run = |precision| {
                let mut network = Network::load(
                    gpu,
                    &weights,
                    shape,
                    &LoadOptions { precision, ..Default::default() },
                )?;
                Ok::<_, Error>((network.logits(&input)?, network.memory()))
            };
            let ((single, memory), (half, of_half)) = (run(Precision::F32)?, run(Precision::F16)?);
            let expected: Vec<f32> =
                serde_json::from_value(case["tensors"]["logits"]["values"].clone())?;
            let at = |index: usize| half.data()[index * half.data().len() / expected.len()];
            let taken: Vec<f32> = (0..expected.len()).map(at).collect();
            let alike = [cosine(&expected, &taken), cosine(single.data(), half.data())];
            let share = (of_half.weights + of_half.workspace) as f64
                / (memory.weights + memory.workspace) as f64;
            println!(
                "{name} {shape}: 1 - cosine {:.1e} and {:.1e}, {:.1} % of the memory",
                1.0 - alike[0],
                1.0 - alike[1],
                100.0 * share
            );
            assert!(alike.iter().all(|&alike| alike >= 0.9995), "{name} {shape}: {alike:?}");
            assert!(share <= 0.55, "{name} {shape}: {share}");
        }
    }
    Ok(())
}

/// What a large GPU with matrix units would take. Planes of slices are f32 whatever the precision,
/// so it may be a little more than half.
#[test]
fn plans_for_matrix_units_take_half_the_memory() -> Outcome {
    let gpu = Capabilities {
        max_binding_bytes: 2 << 30,
        max_workgroup_bytes: 48 << 10,
        subgroup_size: Some(32),
        f16: true,
        matrices_of_16: true,
        kind: DeviceKind::Discrete,
        chip: Chip::AMPERE,
        ..Capabilities::CORE
    };
    for name in ["resnet50", "resnext50_32x4d", "wide_resnet50_2"] {
        let spec = ResNet::named(name)?.build()?;
        for n in [1, 3, 64] {
            let bytes = |precision| {
                let options = LoadOptions { precision, ..Default::default() };
                let recording = record_network(&spec, Shape::new(n, 3, 224, 224)?, &gpu, &options)?;
                let mut bytes: usize = recording.slots.iter().map(|slot| slot.bytes).sum();
                for step in recording.steps() {
                    let problem = recording.plan.problem(&step.step);
                    bytes += step
                        .dispatches
                        .iter()
                        .map(|one| one.kernel.packed_bytes(&problem))
                        .sum::<usize>();
                }
                let on_matrix_units =
                    recording.steps().filter(|step| step.kernel.matrix_side > 0).count();
                Ok::<_, Error>((bytes as f64, on_matrix_units))
            };
            let ((single, _), (half, on_matrix_units)) =
                (bytes(Precision::F32)?, bytes(Precision::F16)?);
            assert!(
                on_matrix_units > 40 && half <= 0.6 * single,
                "{name}, batch {n}: {half} of {single}"
            );
        }
    }
    Ok(())
}

/// Mesa's software driver multiplies matrices of 16 by 16 too, though it only offers those of 8: so
/// the kernels of GPUs are tested here.
#[test]
fn matrices_of_sixteen_are_exact_where_eight_are_offered() -> Outcome {
    let offered =
        |gpu: &&Gpu| gpu.capabilities().matrices_of_8 && gpu.info().name.contains("llvmpipe");
    let Some(gpu) = targets().iter().map(|target| &target.gpu).find(offered) else {
        crate::common::loudly(
            "SKIPPED: no software driver with matrix units: scripts/with-mesa26 has one",
        );
        return Ok(());
    };
    // SAFETY: this driver does.
    let gpu = unsafe {
        gpu.with_capabilities(Capabilities { matrices_of_16: true, ..*gpu.capabilities() })
    };
    // Not each epilogue: it is the same text whatever the side of a matrix, and those of 8 are
    // tested with all.
    for (kernels, least) in [
        ("_m16_f16_bias_relu", 7),
        ("_m16_f16_strided_bias_residual_relu", 2),
        ("_m16_k4_f16_strided_bias_residual_relu", 1),
        ("_m16_k8_f16_bias_relu", 3),
        ("_m16_k16_f16_f32", 3),
    ] {
        let options = selftest::Options { kernel: Some(kernels.to_owned()), ..Default::default() };
        let report = selftest::run(&gpu, &options)?;
        assert!(report.passed(), "{:#?}", report.failures);
        assert!(report.kernels.len() >= least, "{kernels}: {:?}", report.kernels);
    }
    Ok(())
}

/// A block of seeded numbers of the sizes that trained ones have.
fn seeded_block(spec: &Bottleneck, seed: u64) -> Result<Block, Box<dyn std::error::Error>> {
    // Its keys and dimensions are those of exact ones.
    let dims = StateDict::from_bytes(exact_dict(spec, true, Growth::for_chain(1), seed).bytes())?;
    let mut dict = DictBuilder::default();
    for key in dims.keys().filter(|key| !key.ends_with("num_batches_tracked")) {
        let dims = dims.dims(key).ok_or("no dimensions")?;
        let name = format!("{seed} {key}");
        let values = uniform(&name, dims.iter().product());
        let spread = if dims.len() > 1 {
            (24.0 / dims[1..].iter().product::<usize>() as f32).sqrt()
        } else {
            0.5
        };
        let middle = if key.ends_with("running_var") || (dims.len() == 1 && key.ends_with("weight"))
        {
            1.0
        } else {
            0.0
        };
        dict.f32(
            key,
            dims,
            &values.map(|value| middle + (value - 0.5) * spread).collect::<Vec<f32>>(),
        );
    }
    Ok(Block::from_state_dict(&StateDict::from_bytes(dict.bytes())?, "", &options_of(spec))?)
}

/// Random specifications and images of any size, by a candidate each: within what the twin is off,
/// twice.
#[test]
fn random_blocks_are_as_near_as_their_twins() -> Outcome {
    let Some(gpu) = half_gpu() else { return Ok(()) };
    let runs = AtomicUsize::new(0);
    let any = (wishes(), images(), any::<u64>(), 0_usize..50, any::<bool>());
    TestRunner::new(config(100)).run(&any, |(wish, (n, h, w), seed, candidate, fused)| {
        let wrong = |error: &dyn std::fmt::Display| TestCaseError::fail(error.to_string());
        let spec = Wish { norm: Norm::default(), ..wish }.build();
        let block = seeded_block(&spec, seed).map_err(|error| wrong(&error))?;
        let input = small_reals(Shape { n, c: spec.inplanes(), h, w }, seed);
        let plan = if fused { PlanKind::Fused } else { PlanKind::Unfused };
        let kernels = KernelChoice::Nth(candidate);
        let options =
            LoadOptions { plan, kernels, precision: Precision::F16, ..Default::default() };
        let recording =
            wgpu_bottleneck::record(&[spec], input.shape(), gpu.capabilities(), &options);
        if !is_wanted(&recording.map_err(|error| wrong(&error))?) {
            return Ok(());
        }
        runs.fetch_add(1, Ordering::Relaxed);
        let mut model = BlockChain::load(gpu, &[block], input.shape(), &options)
            .map_err(|error| wrong(&error))?;
        let expected = model.reference(&input).map_err(|error| wrong(&error))?;
        let twin = model.reference_rounded(&input).map_err(|error| wrong(&error))?;
        let found = model.run(&input).map_err(|error| wrong(&error))?;
        let off = |found: &HostTensor| {
            compare(&expected, found, Tolerance::relative(f64::INFINITY)).relative_error()
        };
        let (found, twin) = (off(&found), off(&twin));
        prop_assert!(
            found <= 2.0 * twin.max(DType::F16.unit_roundoff()),
            "off by {found:.1e}, the twin by {twin:.1e}"
        );
        prop_assert!(found <= TOLERANCE, "off by {found:.1e}, the twin by {twin:.1e}");
        Ok(())
    })?;
    let runs = runs.into_inner();
    println!("{runs} random blocks");
    assert!(runs >= 10, "{runs} blocks had a kernel that was wanted");
    Ok(())
}

/// A batch that is run in parts, the first of which finds out that a layer has to be in f32: the
/// others are run by another plan.
#[test]
fn networks_go_on_in_single_where_half_overflows() -> Outcome {
    let Some(gpu) = half_gpu() else { return Ok(()) };
    let builder =
        ResNet::builder(BlockKind::Bottleneck).depths([2, 1]).planes([4, 8]).stem_planes(8);
    let dict = StateDict::from_bytes(file(&builder.classes(Some(32)).build()?))?;
    let mut large = DictBuilder::default();
    for key in dict.keys() {
        let tensor = dict.tensor(key)?;
        let by = match key {
            "layer1.1.bn2.weight" | "layer1.1.bn2.bias" => 1e5,
            "layer1.1.conv3.weight" => 1e-5,
            _ => 1.0,
        };
        large.f32(
            key,
            &tensor.dims,
            &tensor.data.iter().map(|value| value * by).collect::<Vec<f32>>(),
        );
    }
    let weights = NetworkWeights::detect(
        StateDict::from_bytes(large.bytes())?,
        &CheckpointOptions::default(),
    )?;
    let shape = Shape::new(3, 3, 33, 40)?;
    let input =
        HostTensor::new(shape, uniform("input", shape.len()).map(|value| value - 0.5).collect())?;
    let load = |precision, n| {
        let options = LoadOptions { precision, keep_blocks: true, ..Default::default() };
        Network::load(gpu, &weights, Shape { n, ..shape }, &options)
    };
    let expected = load(Precision::F32, 3)?.run(&input)?;
    for n in [1, 2, 3] {
        let mut network = load(Precision::Auto, n)?;
        let found = network.run(&input)?;
        assert_eq!(network.kept_in_f32(), ["layer1.1.conv2", "layer1.1.conv3"]);
        for ((name, expected), (found_name, found)) in expected.iter().zip(&found) {
            let comparison = compare(expected, found, Tolerance::relative(1e-2));
            assert!(
                name == found_name && comparison.passed(),
                "{name}, {n} at a time: {comparison}"
            );
        }
    }
    // An image that is not finite hides no overflow of another.
    let odd =
        HostTensor::from_fn(shape, |at| if at == 5 { f32::INFINITY } else { input.data()[at] });
    let error = load(Precision::F16, 3)?.logits(&odd);
    assert!(matches!(
        &error,
        Err(Error::Precision(PrecisionError::Activation { step, .. }))
            if step == "layer1.1.conv2"
    ));
    Ok(())
}

/// Buffers of the caller's in f16, as it binds them and as runs from the host fill them.
#[test]
fn edges_may_be_half_too() -> Outcome {
    let Some(gpu) = half_gpu() else { return Ok(()) };
    let golden = plain()?;
    let load = |half_edges| {
        let options = LoadOptions { precision: Precision::F16, half_edges, ..Default::default() };
        BlockChain::load(gpu, &[golden.block()?], golden.input.shape(), &options)
    };
    let (mut single, mut half) = (load(false)?, load(true)?);
    let expected = single.run(&golden.input)?;
    assert_eq!(half.run(&golden.input)?, expected);
    let bytes =
        |model: &BlockChain| [model.executor().input_bytes(), model.executor().output_bytes()];
    assert_eq!(bytes(&single), bytes(&half).map(|bytes| 2 * bytes));
    assert_eq!(half.recording().plan.steps.len() + 2, single.recording().plan.steps.len());
    // In single precision it is of no account.
    let options = LoadOptions { half_edges: true, ..Default::default() };
    let plain = BlockChain::load(gpu, &[golden.block()?], golden.input.shape(), &options)?;
    assert_eq!(bytes(&plain), bytes(&single));
    Ok(())
}
