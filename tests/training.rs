//! Blocks in training mode: PyTorch's numbers, forward and backward, on every device and by every candidate.

mod common;

use common::{Golden, Outcome, any_gpu, golden_dir, most_candidates, targets};
use wgpu_bottleneck::error::{Error, ShapeError};
use wgpu_bottleneck::gpu::{Executor, ExecutorOptions};
use wgpu_bottleneck::op::{Op, Scalar, StepParams, TrainOp};
use wgpu_bottleneck::plan::{KernelChoice, MemoryBudget, Plan, PlanKind, Role, Step, TensorId, TensorInfo, schedule};
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
    // A NaN is no number that max would keep.
    let worst = error.fold(0.0, |worst: f64, error| if error <= worst { worst } else { error });
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
fn norm_plan(shape: Shape, eps: f64) -> Result<(Plan, [TensorId; 6])> {
    let layout = ChannelLayout::dense(shape.c);
    let (channels, count, relu) = (shape.c, shape.pixels(), false);
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
    Ok((plan, [affine, running, grad_out, out, after, sums]))
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
        let (plan, [affine, running, grad_out, out, after, sums]) = norm_plan(image.shape(), 1e-5)?;
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
