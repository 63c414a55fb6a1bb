//! Blocks in training mode: PyTorch's numbers, forward and backward, on every device and by every candidate.

mod common;

use common::seeded::small_integers;
use common::{Golden, Outcome, any_gpu, golden_dir, loudly, most_candidates, targets};
use wgpu_bottleneck::error::{Error, ShapeError};
use wgpu_bottleneck::gpu::{Executor, ExecutorOptions};
use wgpu_bottleneck::kernel::Family;
use wgpu_bottleneck::network::{BlockTraining, plan_block_training};
use wgpu_bottleneck::op::{Conv, Epilogue, Op, Scalar, StepParams, TrainOp, WeightLayout};
use wgpu_bottleneck::plan::{
    KernelChoice, MemoryBudget, Plan, PlanKind, Recording, Role, Step, TensorId, TensorInfo, schedule,
};
use wgpu_bottleneck::reference::all_tensors;
use wgpu_bottleneck::shader::Patch;
use wgpu_bottleneck::tensor::ChannelLayout;
use wgpu_bottleneck::{
    Gpu, HostTensor, LoadOptions, Shape, StateDict, TrainableBlock, TrainedBlock, TrainingOptions, TrainingStep,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How far outputs and statistics may be from PyTorch's in float64, as a share of the largest value,
const FORWARD: f64 = 1e-5;
/// and gradients.
const BACKWARD: f64 = 2e-5;

fn goldens() -> Result<Vec<Golden>> {
    let mut paths: Vec<_> = std::fs::read_dir(golden_dir().join("training"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::result::Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    paths.retain(|path| !path.ends_with("batchnorm.safetensors"));
    paths.sort();
    paths.iter().map(|path| Golden::open(path)).collect()
}

/// Blocks on inputs of mean 50 and 1000: where f32 loses digits before the first norm, ours loses no more than four times what PyTorch's
/// does.
#[test]
fn blocks_far_from_zero_are_as_right_as_pytorchs() -> Outcome {
    let mut checked = 0;
    for entry in std::fs::read_dir(golden_dir().join("training/far_from_zero"))? {
        let golden = Golden::open(&entry?.path())?;
        let grad_out = golden.dict.image("grad_out")?;
        for target in targets() {
            let step = load(&target.gpu, &golden, &LoadOptions::default())?.step(&golden.input, &grad_out)?;
            let statistics = step.statistics.iter().map(|(key, values)| (format!("after.{key}"), &values[..]));
            for (key, found) in std::iter::once(("out".to_owned(), step.out.data())).chain(statistics) {
                let theirs: f64 = golden.dict.metadata(&format!("f32.{key}")).ok_or("no f32")?.parse()?;
                let ours = off(&golden.dict.tensor(&key)?.data, found);
                println!("{}, {}, {key}: {ours:.1e}, PyTorch's f32 {theirs:.1e}", target.name, golden.name);
                // What is right to the last bits may be off by another one of them.
                assert!(ours < (4.0 * theirs).max(5e-7), "{}, {}, {key}: {ours:.1e}", target.name, golden.name);
                checked += 1;
            }
        }
    }
    assert!(checked >= 28, "{checked} tensors");
    Ok(())
}

fn options(golden: &Golden) -> Result<TrainingOptions> {
    let momentum = match golden.dict.metadata("momentum").ok_or("no momentum")? {
        "none" => None,
        number => Some(number.parse()?),
    };
    Ok(TrainingOptions { momentum })
}

fn load(gpu: &Gpu, golden: &Golden, loading: &LoadOptions) -> Result<TrainedBlock> {
    let block = TrainableBlock::from_state_dict(&golden.dict, "block", &golden.options)?;
    Ok(TrainedBlock::load(gpu, block, golden.input.shape(), &options(golden)?, loading)?)
}

/// The largest difference, as a share of the largest expected value.
fn off(expected: &[f32], found: &[f32]) -> f64 {
    assert_eq!(expected.len(), found.len());
    let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(f64::from(value.abs())));
    let error = expected.iter().zip(found).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
    // A NaN is no number that a maximum keeps, here or where this is compared.
    let worst = error.fold(0.0, |worst: f64, error| if error.is_nan() { f64::INFINITY } else { worst.max(error) });
    if worst == 0.0 { 0.0 } else { worst / largest }
}

/// Holds a step against a golden; how far forward and backward are off at most.
fn check(golden: &Golden, step: &TrainingStep) -> Result<(f64, f64)> {
    let (mut forward, mut backward) = (off(golden.output.data(), step.out.data()), 0.0_f64);
    let expected = |key: &str| golden.dict.tensor(key);
    let of = |prefix: &str| golden.dict.keys().filter(|key| key.starts_with(prefix)).count();
    for (key, values) in &step.statistics {
        forward = forward.max(off(&expected(&format!("after.{key}"))?.data, values));
    }
    for (key, batches) in &step.batches {
        assert_eq!(golden.dict.counter(&format!("after.{key}"))?, Some(*batches), "{}: {key}", golden.name);
    }
    assert_eq!(step.statistics.len() + step.batches.len(), of("after."), "{}", golden.name);
    backward = backward.max(off(golden.dict.image("grad.input")?.data(), step.gradients.input.data()));
    for (key, dims, values) in &step.gradients.parameters {
        let expected = expected(&format!("grad.{key}"))?;
        assert_eq!(&expected.dims, dims, "{}: {key}", golden.name);
        backward = backward.max(off(&expected.data, values));
    }
    assert_eq!(step.gradients.parameters.len() + 1, of("grad."), "{}", golden.name);
    Ok((forward, backward))
}

#[test]
fn the_reference_is_pytorch() -> Outcome {
    for golden in goldens()? {
        let block = load(&any_gpu(), &golden, &LoadOptions::default())?;
        let step = block.reference(&golden.input, &golden.dict.image("grad_out")?)?;
        let (forward, backward) = check(&golden, &step)?;
        // Both are float64, rounded once.
        assert!(forward < 2e-7 && backward < 2e-7, "{}: {forward:.1e}, {backward:.1e}", golden.name);
    }
    Ok(())
}

#[test]
fn every_device_gives_pytorchs_numbers() -> Outcome {
    let goldens = goldens()?;
    assert!(goldens.len() >= 50, "{} goldens", goldens.len());
    for target in targets() {
        let (mut forward, mut backward) = (0.0_f64, 0.0_f64);
        for golden in &goldens {
            let mut block = load(&target.gpu, golden, &LoadOptions::default())?;
            let step = block.step(&golden.input, &golden.dict.image("grad_out")?)?;
            let found = check(golden, &step)?;
            println!("{}, {}: {:.1e}, {:.1e}", target.name, golden.name, found.0, found.1);
            (forward, backward) = (forward.max(found.0), backward.max(found.1));
        }
        assert!(forward < FORWARD && backward < BACKWARD, "{}: {forward:.1e}, {backward:.1e}", target.name);
    }
    Ok(())
}

/// From NaN in all memory, with guard bands behind every tensor.
#[test]
fn every_candidate_gives_pytorchs_numbers() -> Outcome {
    let gpu = any_gpu();
    let names = ["plain", "s2_odd_downsample", "width26_groups2_s2", "groups2", "dilation4_odd_planes", "affine_false"];
    for golden in goldens()?.iter().filter(|golden| names.contains(&golden.name.as_str())) {
        let grad_out = golden.dict.image("grad_out")?;
        for candidate in 0..40 {
            let loading = LoadOptions {
                kernels: KernelChoice::Nth(candidate),
                executor: ExecutorOptions { guard_bytes: 256 },
                ..LoadOptions::default()
            };
            let mut block = load(&gpu, golden, &loading)?;
            let first = block.step(&golden.input, &grad_out)?;
            let (forward, backward) = check(golden, &first)?;
            assert!(
                forward < FORWARD && backward < BACKWARD,
                "{}, candidate {candidate}: {forward:.1e}, {backward:.1e}",
                golden.name
            );
        }
    }
    Ok(())
}

#[test]
fn two_steps_go_on_from_one_another() -> Outcome {
    let golden = goldens()?.into_iter().find(|golden| golden.name == "plain_batch4").ok_or("no golden")?;
    let grad_out = golden.dict.image("grad_out")?;
    let mut block = load(&any_gpu(), &golden, &LoadOptions::default())?;
    let first = block.step(&golden.input, &grad_out)?;
    let expected = block.reference(&golden.input, &grad_out)?;
    let second = block.step(&golden.input, &grad_out)?;
    // The batch is the same, what it adds to the statistics is not.
    assert_eq!((&first.out, &first.gradients), (&second.out, &second.gradients));
    assert_ne!(first.statistics, second.statistics);
    for ((key, expected), (_, found)) in expected.statistics.iter().zip(&second.statistics) {
        assert!(off(expected, found) < FORWARD, "{key}");
    }
    let counts = |step: &TrainingStep| step.batches.iter().map(|(_, count)| *count).collect::<Vec<_>>();
    assert!(counts(&first).iter().zip(&counts(&second)).all(|(a, b)| a + 1 == *b));
    Ok(())
}

#[test]
fn a_single_value_has_no_variance() -> Outcome {
    let golden = goldens()?.into_iter().find(|golden| golden.name == "pixel_1x1").ok_or("no golden")?;
    let block = TrainableBlock::from_state_dict(&golden.dict, "block", &golden.options)?;
    let shape = Shape { n: 1, ..golden.input.shape() };
    let refused =
        TrainedBlock::load(&any_gpu(), block, shape, &TrainingOptions::default(), &LoadOptions::default()).err();
    let refused = refused.ok_or("loaded")?;
    assert!(matches!(&refused, Error::Shape(ShapeError::SingleValue { norm, .. }) if norm == "bn1"), "{refused}");
    // A frozen norm takes no statistics.
    let frozen = goldens()?.into_iter().find(|golden| golden.name == "frozen").ok_or("no golden")?;
    let block = TrainableBlock::from_state_dict(&frozen.dict, "block", &frozen.options)?;
    let shape = Shape { n: 1, h: 1, w: 1, ..frozen.input.shape() };
    TrainedBlock::load(&any_gpu(), block, shape, &TrainingOptions::default(), &LoadOptions::default())?;
    Ok(())
}

#[test]
fn gradients_of_another_shape_are_refused() -> Outcome {
    let golden = goldens()?.into_iter().find(|golden| golden.name == "plain").ok_or("no golden")?;
    let mut block = load(&any_gpu(), &golden, &LoadOptions::default())?;
    let wrong = HostTensor::zeros(Shape { n: 1, ..golden.output.shape() });
    let refused = block.step(&golden.input, &wrong).err().ok_or("ran")?;
    assert!(matches!(&refused, Error::Shape(ShapeError::Mismatch { tensor, .. }) if tensor == "grad_out"), "{refused}");
    Ok(())
}

/// A norm alone as a plan: image and gradient in, the gradient of the image out.
fn norm_plan(shape: Shape, eps: f64, relu: bool) -> (Plan, [TensorId; 6]) {
    let layout = ChannelLayout::dense(shape.c);
    let (channels, count) = (shape.c, shape.pixels());
    let per_channel = |w: usize| Shape { n: 1, c: channels, h: 1, w };
    let tensor = |(name, shape): (&str, Shape)| TensorInfo::pixels(name, shape, layout);
    let tensors = [
        ("image", shape),
        ("affine", per_channel(2)),
        ("running", per_channel(3)),
        ("grad_out", shape),
        ("coefficients", per_channel(6)),
        ("out", shape),
        ("after", per_channel(3)),
        ("sums", per_channel(8)),
        ("grad", shape),
    ];
    let id = TensorId;
    let (image, affine, running, grad_out) = (id(0), id(1), id(2), id(3));
    let (coefficients, out, after, sums, grad) = (id(4), id(5), id(6), id(7), id(8));
    let step = |op: TrainOp, inputs: Vec<TensorId>, output: TensorId| Step {
        block: 0,
        module: op.name().to_owned(),
        role: Role::Training,
        op: Op::Train(op),
        inputs,
        weights: None,
        output,
    };
    let steps = vec![
        step(TrainOp::NormStats { channels, eps: Scalar::new(eps) }, vec![image, affine], coefficients),
        step(TrainOp::NormApply { channels, relu }, vec![image, coefficients], out),
        step(TrainOp::RunningStats { channels, count }, vec![coefficients, running], after),
        step(TrainOp::NormGradSums { channels, relu, batch: true }, vec![image, grad_out, coefficients], sums),
        step(TrainOp::NormGrad { channels, relu }, vec![image, grad_out, sums], grad),
    ];
    let plan = Plan {
        kind: PlanKind::Unfused,
        tensors: tensors.map(tensor).to_vec(),
        blocks: vec![0..steps.len(); 1],
        steps,
        input: image,
        output: grad,
        given: vec![affine, running, grad_out],
        kept: vec![out, after, sums],
    };
    (plan, [affine, running, grad_out, out, after, sums])
}

#[test]
fn a_norm_alone_is_right_where_the_mean_is_large() -> Outcome {
    let dict = StateDict::open(golden_dir().join("training/batchnorm.safetensors"))?;
    let channels = |tensors: &[&[f32]]| {
        let shape = Shape { n: 1, c: tensors[0].len(), h: 1, w: tensors.len() };
        let values = (0..shape.c).flat_map(|at| tensors.iter().map(move |tensor| tensor[at]));
        HostTensor::new(shape, values.collect())
    };
    for (target, mean) in targets().iter().flat_map(|target| [0, 50, 1000].map(|mean| (target, mean))) {
        let values = |key: &str| dict.tensor(&format!("{mean}.{key}")).map(|tensor| tensor.data);
        let image = dict.image(&format!("{mean}.input"))?;
        let (plan, [affine, running, grad_out, out, after, sums]) = norm_plan(image.shape(), 1e-5, false);
        let longest = most_candidates(&plan, target.gpu.capabilities(), false);
        for candidate in 0..longest {
            let choice = KernelChoice::Nth(candidate);
            let recording = schedule(plan.clone(), target.gpu.capabilities(), &choice, MemoryBudget::default())?;
            let params = vec![StepParams::None; plan.steps.len()];
            let mut executor = Executor::new(&target.gpu, recording, &params, ExecutorOptions::default())?;
            let (zeros, ones) = (vec![0.0; image.shape().c], vec![1.0; image.shape().c]);
            executor.give(affine, &channels(&[&values("weight")?, &values("bias")?])?)?;
            executor.give(running, &channels(&[&zeros, &ones, &vec![0.1; zeros.len()]])?)?;
            executor.give(grad_out, &dict.image(&format!("{mean}.grad_out"))?)?;
            let grad = executor.run(&image)?;
            let column = |id, at: usize| -> Result<Vec<f32>> {
                let tensor = executor.kept(id)?;
                Ok(tensor.data().chunks_exact(tensor.shape().w).map(|numbers| numbers[at]).collect())
            };
            let found = [
                ("out", executor.kept(out)?.into_data()),
                ("grad.input", grad.into_data()),
                ("grad.weight", column(sums, 0)?),
                ("grad.bias", column(sums, 1)?),
                ("after.running_mean", column(after, 0)?),
                ("after.running_var", column(after, 1)?),
            ];
            for (key, found) in found {
                let off = off(&values(key)?, &found);
                println!("{}, mean {mean}, candidate {candidate}, {key}: {off:.1e}", target.name);
                assert!(off < BACKWARD, "{}, mean {mean}, candidate {candidate}, {key}: {off:.1e}", target.name);
            }
        }
    }
    Ok(())
}

/// One step as a plan: its first input the caller's, what else it reads given, its output last.
fn single(op: Op, tensors: Vec<TensorInfo>, weights: Option<TensorId>) -> Plan {
    let output = TensorId(tensors.len() - 1);
    let reads: Vec<TensorId> = (0..output.0).map(TensorId).collect();
    let inputs = reads.iter().copied().filter(|id| Some(*id) != weights).collect();
    let step = Step { block: 0, module: op.name().to_owned(), role: Role::Training, op, inputs, weights, output };
    Plan {
        kind: PlanKind::Unfused,
        tensors,
        steps: vec![step],
        blocks: vec![0..1; 1],
        input: TensorId(0),
        output,
        given: reads[1..].to_vec(),
        kept: Vec::new(),
    }
}

/// Convolutions and images: every kind, tails of every tile, several slices of pixels, images smaller than the dilation.
fn convolutions() -> Vec<(Conv, [usize; 3])> {
    vec![
        (Conv::conv1x1(5, 7, 1), [3, 4, 5]),
        (Conv::conv1x1(70, 140, 1), [1, 3, 3]),
        (Conv::conv1x1(6, 3, 2), [2, 7, 6]),
        (Conv::conv1x1(4, 8, 3), [2, 8, 7]),
        (Conv::conv1x1(36, 68, 1), [2, 37, 29]),
        (Conv::conv3x3(6, 9, 1, 1, 1), [2, 5, 7]),
        (Conv::conv3x3(34, 67, 1, 1, 1), [1, 4, 3]),
        (Conv::conv3x3(3, 5, 2, 1, 1), [2, 7, 8]),
        (Conv::conv3x3(5, 6, 1, 3, 1), [2, 9, 4]),
        (Conv::conv3x3(4, 4, 3, 2, 1), [1, 11, 10]),
        (Conv::conv3x3(8, 8, 1, 12, 1), [2, 3, 2]),
        (Conv::conv3x3(6, 10, 1, 1, 2), [2, 5, 6]),
        (Conv::conv3x3(8, 8, 2, 1, 8), [2, 6, 5]),
        (Conv::conv3x3(128, 128, 1, 1, 32), [1, 5, 4]),
        (Conv::conv3x3(52, 52, 1, 2, 2), [1, 6, 7]),
        (Conv::conv7x7(3, 10, 2), [2, 13, 12]),
        (Conv::conv1x1(1, 1, 1), [2, 1, 1]),
    ]
}

/// The steps by which a convolution's gradients are computed, for an image of this size.
fn gradient_plans(conv: Conv, [n, h, w]: [usize; 3]) -> Result<Vec<Plan>> {
    let image = Shape { n, c: conv.in_channels, h, w };
    let layouts = [conv.in_channels, conv.out_channels].map(|c| ChannelLayout::grouped(c, conv.groups));
    let weights = WeightLayout { conv, input: layouts[0], output: layouts[1] };
    let image_info = TensorInfo::pixels("image", image, layouts[0]);
    let grad_info = TensorInfo::pixels("gradient", conv.output_shape(image)?, layouts[1]);
    let weight_info = || TensorInfo::weights("weights", weights);
    let weight_grad = Op::Train(TrainOp::WeightGrad { conv });
    let input_grad = Op::Train(TrainOp::InputGrad { conv, height: h, width: w });
    let mut plans = vec![
        single(weight_grad, vec![image_info.clone(), grad_info.clone(), weight_info()], None),
        single(input_grad, vec![grad_info.clone(), weight_info(), image_info.clone()], Some(TensorId(1))),
    ];
    if conv.stride == 1 {
        let mirrored = || TensorInfo::weights("mirrored", weights.mirrored());
        plans.push(single(Op::Train(TrainOp::MirroredWeights { conv }), vec![weight_info(), mirrored()], None));
        let by_mirrored = Op::Conv { conv: conv.mirrored(), epilogue: Epilogue::default() };
        plans.push(single(by_mirrored, vec![grad_info, mirrored(), image_info], Some(TensorId(1))));
    }
    Ok(plans)
}

/// Runs a plan of one step on integers, from NaN in all other memory and with guard bands, by one candidate: what is wrong, if anything.
fn wrong_by(gpu: &Gpu, plan: &Plan, candidate: usize) -> Result<Option<String>> {
    let reads = plan.tensors.len() - 1;
    let tensors: Vec<HostTensor> =
        (1..).zip(&plan.tensors[..reads]).map(|(seed, info)| small_integers(info.shape, seed)).collect();
    let given: Vec<(TensorId, &HostTensor)> = (0..).map(TensorId).zip(&tensors).collect();
    let choice = KernelChoice::Nth(candidate);
    let mut recording = schedule(plan.clone(), gpu.capabilities(), &choice, MemoryBudget::default())?;
    recording.unshare_slots();
    let kernel = recording.steps().next().map(|step| step.kernel.name()).unwrap_or_default();
    let every = all_tensors(&recording, &[StepParams::None], &given)?;
    let expected: Vec<f32> = every[reads].data.iter().map(|&value| value as f32).collect();
    let options = ExecutorOptions { guard_bytes: 256 };
    let mut executor = Executor::new(gpu, recording, &[StepParams::None], options)?;
    let (first, second) = (executor.probe(&given)?, executor.probe(&given)?);
    let op = plan.steps[0].op;
    if first.output.data() != expected {
        return Ok(Some(format!("{kernel}: wrong numbers of {op:?}")));
    }
    let untouched = first.padding.is_none() && first.broken_guards.is_empty() && first.changed.is_empty();
    let good = untouched && second.output == first.output;
    Ok((!good)
        .then(|| format!("{kernel}: {:?} {:?} {:?} of {op:?}", first.padding, first.broken_guards, first.changed)))
}

/// What is wrong with any candidate for the gradients of any convolution, as far as the first; on kernels whose name contains this.
fn first_wrong(gpu: &Gpu, of: &str) -> Result<Option<String>> {
    for (conv, size) in convolutions() {
        for plan in gradient_plans(conv, size)?.iter().filter(|plan| plan.steps[0].op.name().contains(of)) {
            let candidates = most_candidates(plan, gpu.capabilities(), false);
            assert!(candidates > 0, "{conv:?} has no kernel");
            for candidate in 0..candidates {
                if let Some(wrong) = wrong_by(gpu, plan, candidate)? {
                    return Ok(Some(wrong));
                }
            }
        }
    }
    Ok(None)
}

#[test]
fn the_gradients_of_convolutions_are_exact() -> Outcome {
    for target in targets() {
        assert_eq!(first_wrong(&target.gpu, "")?, None, "{}", target.name);
    }
    Ok(())
}

/// Faults in the kernels of gradients: file, text, and what it becomes. One that looks like a fault is none on numbers: without `live`, the last
/// pixel's gradient is multiplied by the zeros that stand for pixels behind the end.
const MUTANTS: [(&str, &str, &str); 20] = [
    (
        "train/weight_grad",
        "let end = min(first + params.chunk, params.pixels);",
        "let end = min(first + params.chunk, params.pixels) - 1u;",
    ),
    ("train/weight_grad", "let in_y = y * params.stride + tap_y", "let in_y = y + tap_y"),
    ("train/weight_grad", "let tap_x = tap % params.side * params.dilation;", "let tap_x = tap % params.side;"),
    (
        "train/weight_grad",
        "let group_at = column / params.group_out_vec4 * params.group_in_vec4;",
        "let group_at = 0u;",
    ),
    ("train/weight_grad", "if in_y < params.in_height && in_x < params.in_width {", "if in_y < params.in_height {"),
    ("train/weight_grad", "let first_row = tile % params.tap_tiles * ${ROWS}u;", "let first_row = 0u;"),
    ("train/weight_grad_subgroup", "let inside = pixel < end && in_y", "let inside = in_y"),
    ("train/weight_grad_subgroup", "gradient[at${p} + column${c}]", "gradient[at${p} + column0]"),
    ("train/weight_grad_subgroup", "while x >= params.out_width {", "if x >= params.out_width {"),
    (
        "train/weight_grad_subgroup",
        "subgroupBroadcast(v${q*4/LANES}, ${q*4%LANES+p}u)",
        "subgroupBroadcast(v${q*4/LANES}, ${p}u)",
    ),
    (
        "train/weight_grad_subgroup",
        "let tap_y = tap / params.side * params.dilation;",
        "let tap_y = tap / params.side;",
    ),
    ("train/weight_grad_subgroup", "if first_row + ${q}u < params.in_vec4 {", "if true {"),
    ("train/weight_grad_sum", "var slice = 1u;", "var slice = 2u;"),
    ("train/weight_grad_sum", "src[at + slice * params.vec4s]", "src[at]"),
    ("train/input_grad", "line * params.stride != steps_y ||", ""),
    ("train/input_grad", "let within = column % params.group_in_vec4;", "let within = 0u;"),
    ("train/input_grad", "|| place >= params.out_width", ""),
    (
        "train/input_grad",
        "(tap_y * params.side + tap_x) * params.group_in_vec4",
        "(tap_x * params.side + tap_y) * params.group_in_vec4",
    ),
    ("train/mirrored_weights", "params.side * params.side - 1u - tap", "tap"),
    (
        "train/mirrored_weights",
        "transpose(src[source_quad * params.out_vec4 + source_column])",
        "src[source_quad * params.out_vec4 + source_column]",
    ),
];

#[test]
fn faults_in_the_gradients_of_convolutions_are_caught() -> Outcome {
    let gpu = any_gpu();
    for (file, text, becomes) in MUTANTS {
        if file.ends_with("subgroup") && !matches!(gpu.capabilities().subgroup_size, Some(4 | 8)) {
            loudly(&format!("SKIPPED: faults of {file}: no subgroups of 4 or 8 lanes"));
            continue;
        }
        let patched = gpu.with_patches(&[Patch::new(file, text, becomes)])?;
        let of = if file.contains("weight_grad") { "weight_grad" } else { file.trim_start_matches("train/") };
        let caught = first_wrong(&patched, of)?;
        println!("{file}: {text} -> {becomes}: {caught:?}");
        assert!(caught.is_some(), "{file}: {text} -> {becomes} was not caught");
    }
    Ok(())
}

/// The sum of a block's outputs times these weights, by the reference in f64.
fn loss(
    recording: &Recording,
    training: &BlockTraining,
    block: &TrainableBlock,
    input: &HostTensor,
    grad_out: &HostTensor,
) -> Result<f64> {
    let numbers = |numbers: &[&[f32]]| {
        let (channels, w) = (numbers[0].len(), numbers.len());
        let values = (0..channels).flat_map(|at| numbers.iter().map(move |numbers| numbers[at])).collect();
        HostTensor::new(Shape { n: 1, c: channels, h: 1, w }, values)
    };
    let mut given = vec![(training.plan.input, input.clone()), (training.grad_out, grad_out.clone())];
    for (layer, tensors) in training.layers.iter().zip(&block.layers) {
        let shape = training.plan.tensor(layer.weight).shape;
        given.push((layer.weight, HostTensor::new(shape, tensors.weight.clone())?));
        if let (Some(norm), Some(tensors)) = (&layer.norm, &tensors.norm) {
            let momentum = vec![0.1; norm.channels];
            given.push((norm.affine, numbers(&[&tensors.gamma, &tensors.beta])?));
            given.push((norm.running, numbers(&[&tensors.running_mean, &tensors.running_var, &momentum])?));
        }
    }
    let given: Vec<(TensorId, &HostTensor)> = given.iter().map(|(id, tensor)| (*id, tensor)).collect();
    let params = vec![StepParams::None; training.plan.steps.len()];
    let every = all_tensors(recording, &params, &given)?;
    let out = &every[training.out.0].data;
    Ok(out.iter().zip(grad_out.data()).map(|(out, weight)| out * f64::from(*weight)).sum())
}

/// The reference's gradients are the slopes of what the reference computes.
#[test]
fn gradients_are_slopes() -> Outcome {
    let names = ["plain", "s2_odd_downsample", "groups2", "dilation4_odd_planes", "frozen", "identity", "affine_false"];
    let (gpu, mut checked) = (any_gpu(), 0);
    for golden in goldens()?.iter().filter(|golden| names.contains(&golden.name.as_str())) {
        let block = TrainableBlock::from_state_dict(&golden.dict, "block", &golden.options)?;
        let training = plan_block_training(&block.spec, golden.input.shape())?;
        let grad_out = golden.dict.image("grad_out")?;
        let trained = load(&gpu, golden, &LoadOptions::default())?;
        let gradients = trained.reference(&golden.input, &grad_out)?.gradients;
        // Two of the values of each parameter and of the input, moved up and down by next to nothing.
        let mut slope = |what: &str, values: &[f32], gradient: &[f32], loss_of: &dyn Fn(Vec<f32>) -> Result<f64>| {
            let largest = gradient.iter().fold(0.0, |largest: f64, value| largest.max(f64::from(value.abs())));
            for at in [values.len() / 3, values.len() - 1] {
                let moved = |by: f32| {
                    let mut moved = values.to_vec();
                    moved[at] += by;
                    moved
                };
                let (up, down) = (moved(1e-6), moved(-1e-6));
                let step = f64::from(up[at]) - f64::from(down[at]);
                let slope = (loss_of(up)? - loss_of(down)?) / step;
                let off = (slope - f64::from(gradient[at])).abs() / largest;
                assert!(off < 1e-5, "{}, {what}, value {at}: slope {slope}, gradient {}", golden.name, gradient[at]);
                checked += 1;
            }
            Ok::<(), Box<dyn std::error::Error>>(())
        };
        let shape = golden.input.shape();
        slope("input", golden.input.data(), gradients.input.data(), &|values| {
            loss(trained.recording(), &training, &block, &HostTensor::new(shape, values)?, &grad_out)
        })?;
        for (key, _, gradient) in &gradients.parameters {
            let with = |values: Vec<f32>| {
                let mut block = block.clone();
                for layer in &mut block.layers {
                    match &mut layer.norm {
                        _ if layer.key == *key => layer.weight = values.clone(),
                        Some(norm) if format!("{}.weight", norm.key) == *key => norm.gamma = values.clone(),
                        Some(norm) if format!("{}.bias", norm.key) == *key => norm.beta = values.clone(),
                        _ => {}
                    }
                }
                block
            };
            let values = golden.dict.tensor(key)?.data;
            slope(key, &values, gradient, &|values| {
                loss(trained.recording(), &training, &with(values), &golden.input, &grad_out)
            })?;
        }
    }
    assert!(checked > 100, "{checked} slopes");
    Ok(())
}

/// A norm over several slices of pixels, its channels no multiple of four and of means up to 1000, against the reference: what is wrong with
/// any candidate, if anything.
fn norm_wrong(gpu: &Gpu, relu: bool) -> Result<Option<String>> {
    let shape = Shape::new(3, 7, 40, 37)?;
    let plane = shape.h * shape.w;
    let (noise, grad) = (small_integers(shape, 5), small_integers(shape, 6));
    let mean = |channel: usize| [0.0, 1.5, -3.0, 50.0, 1000.0, -1000.0, 0.1][channel];
    let image = HostTensor::from_fn(shape, |at| {
        let channel = at / plane % shape.c;
        mean(channel) + noise.data()[at] * 0.37 + ((at * 7919) % 1009) as f32 / 1009.0
    });
    let per_channel = |w: usize, of: &dyn Fn(usize) -> f32| HostTensor::from_fn(Shape { n: 1, h: 1, w, ..shape }, of);
    let (plan, [affine_id, running_id, grad_id, out, after, sums]) = norm_plan(shape, 1e-3, relu);
    let affine = per_channel(2, &|at| [1.3, -0.211, -0.7, 0.173][at % 4]);
    let running = per_channel(3, &|at| [0.5, 2.0, 0.3][at % 3]);
    let given = [(plan.input, &image), (affine_id, &affine), (running_id, &running), (grad_id, &grad)];
    let params = vec![StepParams::None; plan.steps.len()];
    for candidate in 0..most_candidates(&plan, gpu.capabilities(), false) {
        let choice = KernelChoice::Nth(candidate);
        let mut recording = schedule(plan.clone(), gpu.capabilities(), &choice, MemoryBudget::default())?;
        recording.unshare_slots();
        let every = all_tensors(&recording, &params, &given)?;
        let options = ExecutorOptions { guard_bytes: 256 };
        let mut executor = Executor::new(gpu, recording, &params, options)?;
        let probe = executor.probe(&given)?;
        if probe.padding.is_some() || !probe.broken_guards.is_empty() || !probe.changed.is_empty() {
            return Ok(Some(format!("{:?} {:?} {:?}", probe.padding, probe.broken_guards, probe.changed)));
        }
        for (name, id, numbers) in [("out", out, 1), ("after", after, 3), ("sums", sums, 8), ("grad", plan.output, 1)] {
            let found = if id == plan.output { probe.output.clone() } else { executor.kept(id)? };
            // Each of the numbers of a channel for itself; of the sums, what is a gradient.
            let columns = if numbers == 8 { 2 } else { numbers };
            for column in 0..columns {
                let of_column =
                    |values: &[f32]| values.iter().copied().skip(column).step_by(numbers).collect::<Vec<f32>>();
                let expected: Vec<f32> = every[id.0].data.iter().map(|&value| value as f32).collect();
                let off = off(&of_column(&expected), &of_column(found.data()));
                if off.is_nan() || off > BACKWARD {
                    return Ok(Some(format!("candidate {candidate}, {name} {column}: off by {off:.1e}")));
                }
            }
        }
    }
    Ok(None)
}

#[test]
fn norms_over_several_slices_are_right() -> Outcome {
    for (target, relu) in targets().iter().flat_map(|target| [(target, false), (target, true)]) {
        assert_eq!(norm_wrong(&target.gpu, relu)?, None, "{}", target.name);
    }
    Ok(())
}

/// Faults in the kernels of norms. Two that look like faults are none: without what `rest` takes off, squares are off by a rounding, and the
/// padding of gamma is zero already.
const NORM_MUTANTS: [(&str, &str, &str); 20] = [
    ("train/norm_partials", "let end = min(first + params.chunk, params.pixels);", "let end = first + params.chunk;"),
    ("train/norm_partials", "let delta = sum / count;", "let delta = sum / f32(params.chunk);"),
    ("train/norm_partials", "slice >= params.slices", "slice + 1u >= params.slices"),
    ("train/norm_stats", "let variance = squares / count;", "let variance = squares / (count - 1.0);"),
    ("train/norm_stats", "variance + bitcast<f32>(params.eps)", "variance"),
    (
        "train/norm_stats",
        "sum += ((slices[at] - pivot) + slices[at + line]) * part;",
        "sum += slices[at + line] * part;",
    ),
    ("train/norm_stats", "apart * apart * part", "apart * apart"),
    (
        "train/norm_apply",
        "(src[at] - coefficients[column]) - coefficients[column + line]",
        "src[at] - coefficients[column]",
    ),
    ("train/norm_apply", "let column = at % line;", "let column = 0u;"),
    ("train/running_stats", " * bitcast<f32>(params.unbiased)", ""),
    (
        "train/running_stats",
        "running[column] * (1.0 - momentum) + mean * momentum",
        "running[column] * momentum + mean * (1.0 - momentum)",
    ),
    ("train/norm_grad_partials", "centred_sum += g * centred;", "centred_sum += g;"),
    ("train/norm_grad_partials", "centred * scale + beta <= vec4<f32>(0.0)", "centred * scale <= vec4<f32>(0.0)"),
    (
        "train/norm_grad_partials",
        "let end = min((slice + 1u) * params.chunk, params.pixels);",
        "let end = params.pixels;",
    ),
    ("train/norm_grad_sums", "var slice = 0u;", "var slice = 1u;"),
    ("train/norm_grad_sums", "let gamma = centred_sum * inverse;", "let gamma = centred_sum;"),
    ("train/norm_grad_sums", "-scale * (sum * share)", "scale * (sum * share)"),
    (
        "train/norm_grad",
        "centred * sums[column + 6u * line] + sums[column + 7u * line]",
        "centred * sums[column + 6u * line]",
    ),
    ("train/norm_grad", "sums[column + 5u * line] <= vec4<f32>(0.0)", "sums[column + 5u * line] > vec4<f32>(0.0)"),
    ("train/norm_grad", "- sums[column + 3u * line]", ""),
];

/// Faults that show in whole blocks, and the golden that they show in.
const BLOCK_MUTANTS: [(&str, &str, &str, &str); 5] = [
    ("train/relu_grad", "output[at] <= vec4<f32>(0.0)", "output[at] < vec4<f32>(0.0)", "plain"),
    ("train/relu_grad", "if at >= params.vec4s {", "if at + 1u >= params.vec4s {", "plain"),
    ("train/norm_frozen", " + bitcast<f32>(params.eps)", "", "frozen_variance_zero_eps_1em3"),
    ("train/norm_frozen", "dst[column] = running[column];", "dst[column] = vec4<f32>(0.0);", "frozen"),
    (
        "train/norm_frozen",
        "dst[column + 3u * line] = affine[column + line];",
        "dst[column + 3u * line] = affine[column];",
        "frozen",
    ),
];

#[test]
fn every_kernel_of_training_has_mutants() {
    let mutants = MUTANTS.iter().chain(&NORM_MUTANTS).map(|(file, ..)| *file);
    let files: Vec<&str> = mutants.chain(BLOCK_MUTANTS.iter().map(|(file, ..)| *file)).collect();
    for family in Family::ALL.into_iter().filter(|family| family.is_training()) {
        assert!(files.iter().filter(|file| **file == family.file()).count() >= 2, "{}", family.name());
    }
}

#[test]
fn faults_in_norms_are_caught() -> Outcome {
    let gpu = any_gpu();
    for (file, text, becomes) in NORM_MUTANTS {
        let patched = gpu.with_patches(&[Patch::new(file, text, becomes)])?;
        let caught = norm_wrong(&patched, true)?;
        println!("{file}: {text} -> {becomes}: {caught:?}");
        assert!(caught.is_some(), "{file}: {text} -> {becomes} was not caught");
    }
    // These show in whole blocks.
    for (file, text, becomes, name) in BLOCK_MUTANTS {
        let patched = gpu.with_patches(&[Patch::new(file, text, becomes)])?;
        let golden = goldens()?.into_iter().find(|golden| golden.name == name).ok_or("no golden")?;
        let step = load(&patched, &golden, &LoadOptions::default())?;
        let (mut step, grad_out) = (step, golden.dict.image("grad_out")?);
        let (forward, backward) = check(&golden, &step.step(&golden.input, &grad_out)?)?;
        let good = forward < FORWARD && backward < BACKWARD;
        assert!(!good, "{file}: {text} -> {becomes} was not caught: {forward:.1e}, {backward:.1e}");
    }
    Ok(())
}
