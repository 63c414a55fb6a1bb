//! The steps of a norm one after another, on large means and over several slices of pixels.

use super::*;
use crate::common::seeded::small_integers;
use crate::common::{Outcome, golden_dir, most_candidates, targets};

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
        step(
            TrainOp::NormStats { channels, eps: Scalar::new(eps) },
            vec![image, affine],
            coefficients,
        ),
        step(
            TrainOp::NormApply { channels, residual: false, relu },
            vec![image, coefficients],
            out,
        ),
        step(TrainOp::RunningStats { channels, count }, vec![coefficients, running], after),
        step(
            TrainOp::NormGradSums { channels, relu, batch: true },
            vec![image, grad_out, coefficients],
            sums,
        ),
        step(TrainOp::NormGrad { channels, relu }, vec![image, grad_out, sums], grad),
    ];
    let plan = Plan {
        kind: PlanKind::Unfused,
        tensors: tensors.map(tensor).to_vec(),
        blocks: vec![0..steps.len(); 1],
        steps,
        input: image,
        output: grad,
        variables: vec![affine, running, grad_out],
        fetches: vec![out, after, sums],
        updates: Vec::new(),
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
    for (target, mean) in
        targets().iter().flat_map(|target| [0, 50, 1000].map(|mean| (target, mean)))
    {
        let values = |key: &str| dict.tensor(&format!("{mean}.{key}")).map(|tensor| tensor.data);
        let image = dict.nchw(&format!("{mean}.input"))?;
        let (plan, [affine, running, grad_out, out, after, sums]) =
            norm_plan(image.shape(), 1e-5, false);
        let longest = most_candidates(&plan, target.gpu.capabilities(), false);
        for candidate in 0..longest {
            let choice = KernelChoice::Nth(candidate);
            let recording = schedule(
                plan.clone(),
                target.gpu.capabilities(),
                &choice,
                MemoryBudget::default(),
            )?;
            let params = vec![StepParams::None; plan.steps.len()];
            let mut executor =
                Executor::new(&target.gpu, recording, &params, ExecutorOptions::default())?;
            let (zeros, ones) = (vec![0.0; image.shape().c], vec![1.0; image.shape().c]);
            executor.write(affine, &channels(&[&values("weight")?, &values("bias")?])?)?;
            executor.write(running, &channels(&[&zeros, &ones, &vec![0.1; zeros.len()]])?)?;
            executor.write(grad_out, &dict.nchw(&format!("{mean}.grad_out"))?)?;
            let grad = executor.run(&image)?;
            let column = |id, at: usize| -> Result<Vec<f32>> {
                let tensor = executor.read(id)?;
                Ok(tensor
                    .data()
                    .chunks_exact(tensor.shape().w)
                    .map(|numbers| numbers[at])
                    .collect())
            };
            let found = [
                ("out", executor.read(out)?.into_data()),
                ("grad.input", grad.into_data()),
                ("grad.weight", column(sums, 0)?),
                ("grad.bias", column(sums, 1)?),
                ("after.running_mean", column(after, 0)?),
                ("after.running_var", column(after, 1)?),
            ];
            for (key, found) in found {
                let off = off(&values(key)?, &found);
                println!("{}, mean {mean}, candidate {candidate}, {key}: {off:.1e}", target.name);
                assert!(
                    off < BACKWARD,
                    "{}, mean {mean}, candidate {candidate}, {key}: {off:.1e}",
                    target.name
                );
            }
        }
    }
    Ok(())
}

/// A norm over several slices of pixels, its channels no multiple of four and of means up to 1000,
/// against the reference: what is wrong with any candidate, if anything.
fn norm_wrong(gpu: &Gpu, relu: bool) -> Result<Option<String>> {
    let shape = Shape::new(3, 45, 40, 37)?;
    let plane = shape.h * shape.w;
    let (noise, grad) = (small_integers(shape, 5), small_integers(shape, 6));
    let mean = |channel: usize| [0.0, 1.5, -3.0, 50.0, 1000.0, -1000.0, 0.1][channel % 7];
    let image = HostTensor::from_fn(shape, |at| {
        let channel = at / plane % shape.c;
        mean(channel) + noise.data()[at] * 0.37 + ((at * 7919) % 1009) as f32 / 1009.0
    });
    let per_channel = |w: usize, of: &dyn Fn(usize) -> f32| {
        HostTensor::from_fn(Shape { n: 1, h: 1, w, ..shape }, of)
    };
    let (plan, [affine_id, running_id, grad_id, out, after, sums]) = norm_plan(shape, 1e-3, relu);
    let affine = per_channel(2, &|at| [1.3, -0.211, -0.7, 0.173][at % 4]);
    let running = per_channel(3, &|at| [0.5, 2.0, 0.3][at % 3]);
    let variables =
        [(plan.input, &image), (affine_id, &affine), (running_id, &running), (grad_id, &grad)];
    let params = vec![StepParams::None; plan.steps.len()];
    for candidate in 0..most_candidates(&plan, gpu.capabilities(), false) {
        let choice = KernelChoice::Nth(candidate);
        let mut recording =
            schedule(plan.clone(), gpu.capabilities(), &choice, MemoryBudget::default())?;
        recording.unshare_slots();
        let every = all_tensors(&recording, &params, &variables)?;
        let options = ExecutorOptions { guard_bytes: 256 };
        let mut executor = Executor::new(gpu, recording, &params, options)?;
        let probe = executor.probe(&variables)?;
        if probe.padding.is_some() || !probe.broken_guards.is_empty() || !probe.changed.is_empty() {
            return Ok(Some(format!(
                "{:?} {:?} {:?}",
                probe.padding, probe.broken_guards, probe.changed
            )));
        }
        for (name, id, numbers) in
            [("out", out, 1), ("after", after, 3), ("sums", sums, 8), ("grad", plan.output, 1)]
        {
            let found = if id == plan.output { probe.output.clone() } else { executor.read(id)? };
            // Each of the numbers of a channel for itself; of the sums, what is a gradient.
            let columns = if numbers == 8 { 2 } else { numbers };
            for column in 0..columns {
                let of_column = |values: &[f32]| {
                    values.iter().copied().skip(column).step_by(numbers).collect::<Vec<f32>>()
                };
                let expected: Vec<f32> =
                    every[id.0].data.iter().map(|&value| value as f32).collect();
                let off = off(&of_column(&expected), &of_column(found.data()));
                if off.is_nan() || off > BACKWARD {
                    return Ok(Some(format!(
                        "candidate {candidate}, {name} {column}: off by {off:.1e}"
                    )));
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
