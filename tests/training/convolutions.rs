//! Convolutions by weights that are a tensor, as those by mirrored weights are: every candidate is
//! exact on integers, those that read them from a texture too, into which they are copied. The
//! kernels of gradients are the self test's.

use super::*;
use crate::common::seeded::small_integers;
use crate::common::{Outcome, most_candidates, targets};

/// Convolutions and images: every kind, tails of tiles, images smaller than the dilation, and
/// channels for textures, whose lines are of 16.
fn convolutions() -> Vec<(Conv, [usize; 3])> {
    vec![
        (Conv::conv1x1(5, 7, 1), [3, 4, 5]),
        (Conv::conv1x1(70, 140, 1), [1, 3, 3]),
        (Conv::conv1x1(36, 68, 1), [2, 37, 29]),
        (Conv::conv1x1(48, 64, 1), [1, 5, 6]),
        (Conv::conv3x3(6, 9, 1, 1, 1), [2, 5, 7]),
        (Conv::conv3x3(34, 67, 1, 1, 1), [1, 4, 3]),
        (Conv::conv3x3(5, 6, 1, 3, 1), [2, 9, 4]),
        (Conv::conv3x3(30, 32, 1, 1, 1), [1, 5, 5]),
        (Conv::conv3x3(8, 8, 1, 12, 1), [2, 3, 2]),
        (Conv::conv3x3(6, 10, 1, 1, 2), [2, 5, 6]),
        (Conv::conv3x3(128, 128, 1, 1, 32), [1, 5, 4]),
        (Conv::conv3x3(52, 52, 1, 2, 2), [1, 6, 7]),
        (Conv::conv1x1(1, 1, 1), [2, 1, 1]),
    ]
}

/// The gradient of a convolution's image by the mirrored one.
fn by_mirrored(conv: Conv, [n, h, w]: [usize; 3]) -> Result<Plan> {
    let image = Shape { n, c: conv.in_channels, h, w };
    let [input, output] =
        [conv.in_channels, conv.out_channels].map(|c| ChannelLayout::grouped(c, conv.groups));
    let mirrored = WeightLayout { conv, input, output }.mirrored();
    let op = Op::Conv { conv: conv.mirrored(), epilogue: Epilogue::default() };
    let tensors = vec![
        TensorInfo::pixels("gradient", conv.output_shape(image)?, output),
        TensorInfo::weights("mirrored", mirrored),
        TensorInfo::pixels("image", image, input),
    ];
    Ok(Plan::of_step(op, tensors, true))
}

/// Runs a plan of one step on integers, from NaN in all other memory and with guard bands, by one
/// candidate: what is wrong, if anything.
fn wrong_by(gpu: &Gpu, plan: &Plan, candidate: usize) -> Result<Option<String>> {
    let reads = plan.tensors.len() - 1;
    let integers: Vec<HostTensor> = (1..)
        .zip(&plan.tensors[..reads])
        .map(|(seed, info)| small_integers(info.shape, seed))
        .collect();
    let given: Vec<(TensorId, &HostTensor)> = (0..).map(TensorId).zip(&integers).collect();
    let choice = KernelChoice::Nth(candidate);
    let mut recording =
        schedule(plan.clone(), gpu.capabilities(), &choice, MemoryBudget::default())?;
    recording.unshare_slots();
    let Some(kernel) = recording.steps().next().map(|step| step.kernel) else {
        return Err("no step".into());
    };
    let every = all_tensors(&recording, &[StepParams::None], &given)?;
    let expected: Vec<f32> = every[reads].data.iter().map(|&value| value as f32).collect();
    let options = ExecutorOptions { guard_bytes: 256 };
    let mut executor = Executor::new(gpu, recording, &[StepParams::None], options)?;
    let (first, second) = (executor.probe(&given)?, executor.probe(&given)?);
    // Winograd's transforms multiply by numbers that are no integers.
    let right = match kernel.winograd {
        Some(_) => off(&expected, first.output.data()) <= FORWARD,
        None => first.output.data() == expected,
    };
    let untouched =
        first.padding.is_none() && first.broken_guards.is_empty() && first.changed.is_empty();
    let good = right && untouched && second.output == first.output;
    Ok((!good).then(|| {
        let (padding, guards, changed) = (first.padding, first.broken_guards, first.changed);
        format!(
            "{}: right: {right}, {padding:?} {guards:?} {changed:?} of {:?}",
            kernel.name(),
            plan.steps[0].op
        )
    }))
}

#[test]
fn convolutions_by_weights_that_are_a_tensor_are_exact() -> Outcome {
    for target in targets() {
        for (conv, size) in convolutions() {
            let plan = by_mirrored(conv, size)?;
            let candidates = most_candidates(&plan, target.gpu.capabilities(), false);
            assert!(candidates > 0, "{conv:?} has no kernel");
            for candidate in 0..candidates {
                assert_eq!(wrong_by(&target.gpu, &plan, candidate)?, None, "{}", target.name);
            }
        }
    }
    Ok(())
}
