//! Blocks in training mode: PyTorch's numbers, forward and backward, on every device and by every
//! candidate.

use super::*;
use crate::common::{Outcome, any_gpu, targets};

/// Blocks on inputs of mean 50 and 1000: where f32 loses digits before the first norm, ours loses
/// no more than four times what PyTorch's does.
#[test]
fn blocks_far_from_zero_are_as_right_as_pytorchs() -> Outcome {
    let mut checked = 0;
    for entry in std::fs::read_dir(golden_dir().join("training/far_from_zero"))? {
        let golden = Golden::open(&entry?.path())?;
        let grad_out = golden.dict.nchw("grad_out")?;
        for target in targets() {
            let step = load(&target.gpu, &golden, &LoadOptions::default())?
                .step(&golden.input, &grad_out)?;
            let statistics =
                step.statistics.iter().map(|(key, values)| (format!("after.{key}"), &values[..]));
            for (key, found) in
                std::iter::once(("out".to_owned(), step.out.data())).chain(statistics)
            {
                let theirs: f64 =
                    golden.dict.metadata(&format!("f32.{key}")).ok_or("no f32")?.parse()?;
                let ours = off(&golden.dict.tensor(&key)?.data, found);
                println!(
                    "{}, {}, {key}: {ours:.1e}, PyTorch's f32 {theirs:.1e}",
                    target.name, golden.name
                );
                // What is right to the last bits may be off by another one of them.
                assert!(
                    ours < (4.0 * theirs).max(5e-7),
                    "{}, {}, {key}: {ours:.1e}",
                    target.name,
                    golden.name
                );
                checked += 1;
            }
        }
    }
    assert!(checked >= 28, "{checked} tensors");
    Ok(())
}

#[test]
fn the_reference_is_pytorch() -> Outcome {
    for golden in goldens()? {
        let block = load(&any_gpu(), &golden, &LoadOptions::default())?;
        let step = block.reference(&golden.input, &golden.dict.nchw("grad_out")?)?;
        let (forward, backward) = check(&golden, &step)?;
        // Both are float64, rounded once.
        assert!(
            forward < 2e-7 && backward < 2e-7,
            "{}: {forward:.1e}, {backward:.1e}",
            golden.name
        );
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
            let step = block.step(&golden.input, &golden.dict.nchw("grad_out")?)?;
            let found = check(golden, &step)?;
            println!("{}, {}: {:.1e}, {:.1e}", target.name, golden.name, found.0, found.1);
            (forward, backward) = (forward.max(found.0), backward.max(found.1));
        }
        assert!(
            forward < FORWARD && backward < BACKWARD,
            "{}: {forward:.1e}, {backward:.1e}",
            target.name
        );
    }
    Ok(())
}

/// From NaN in all memory, with guard bands behind every tensor.
#[test]
fn every_candidate_gives_pytorchs_numbers() -> Outcome {
    let gpu = any_gpu();
    let names = [
        "plain",
        "s2_odd_downsample",
        "width26_groups2_s2",
        "groups2",
        "dilation4_odd_planes",
        "affine_false",
    ];
    for golden in goldens()?.iter().filter(|golden| names.contains(&golden.name.as_str())) {
        let grad_out = golden.dict.nchw("grad_out")?;
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
    let golden =
        goldens()?.into_iter().find(|golden| golden.name == "plain_batch4").ok_or("no golden")?;
    let grad_out = golden.dict.nchw("grad_out")?;
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
    let counts =
        |step: &TrainingStep| step.batches.iter().map(|(_, count)| *count).collect::<Vec<_>>();
    assert!(counts(&first).iter().zip(&counts(&second)).all(|(a, b)| a + 1 == *b));
    Ok(())
}

#[test]
fn a_single_value_has_no_variance() -> Outcome {
    let golden =
        goldens()?.into_iter().find(|golden| golden.name == "pixel_1x1").ok_or("no golden")?;
    let block = BlockState::from_state_dict(&golden.dict, "block", &golden.options)?;
    let shape = Shape { n: 1, ..golden.input.shape() };
    let refused = BlockTrainer::load(
        &any_gpu(),
        block,
        shape,
        &TrainingOptions::default(),
        &LoadOptions::default(),
    )
    .err();
    let refused = refused.ok_or("loaded")?;
    assert!(
        matches!(&refused, Error::Shape(ShapeError::SingleValue { norm, .. }) if norm == "bn1"),
        "{refused}"
    );
    // A frozen norm takes no statistics.
    let frozen =
        goldens()?.into_iter().find(|golden| golden.name == "frozen").ok_or("no golden")?;
    let block = BlockState::from_state_dict(&frozen.dict, "block", &frozen.options)?;
    let shape = Shape { n: 1, h: 1, w: 1, ..frozen.input.shape() };
    BlockTrainer::load(
        &any_gpu(),
        block,
        shape,
        &TrainingOptions::default(),
        &LoadOptions::default(),
    )?;
    Ok(())
}

#[test]
fn gradients_of_another_shape_are_refused() -> Outcome {
    let golden = goldens()?.into_iter().find(|golden| golden.name == "plain").ok_or("no golden")?;
    let mut block = load(&any_gpu(), &golden, &LoadOptions::default())?;
    let wrong = HostTensor::zeros(Shape { n: 1, ..golden.output.shape() });
    let refused = block.step(&golden.input, &wrong).err().ok_or("ran")?;
    assert!(
        matches!(
            &refused,
            Error::Shape(ShapeError::Mismatch { tensor, .. }) if tensor == "grad_out"
        ),
        "{refused}"
    );
    Ok(())
}
