//! Steps of training that do not hold together are refused.

use wgpu_bottleneck::op::LOSSES;

use super::*;
use crate::common::{Outcome, any_gpu};

fn pixels(name: &str, shape: Shape) -> TensorInfo {
    TensorInfo::pixels(name, shape, ChannelLayout::dense(shape.c))
}

fn shape(n: usize, c: usize, h: usize, w: usize) -> Shape {
    Shape { n, c, h, w }
}

/// Plans made by hand that would have kernels read or write beyond a tensor.
#[test]
fn tensors_that_do_not_fit_are_refused() -> Outcome {
    let gpu = any_gpu();
    let refused = |plan: &Plan| -> Result<bool> {
        let recording = schedule(
            plan.clone(),
            gpu.capabilities(),
            &KernelChoice::Ranked,
            MemoryBudget::default(),
        );
        Ok(recording.is_err() || recording?.check(gpu.capabilities()).is_err())
    };
    let add = TrainOp::AddBias { channels: 257 };
    let (image, bias) =
        (pixels("image", shape(64, 257, 1, 1)), pixels("bias", shape(1, 257, 1, 1)));
    let good =
        Plan::of_step(Op::Train(add), vec![image.clone(), bias.clone(), image.clone()], false);
    assert!(!refused(&good)?);
    // Bytes of weights are fewer than those of the pixels that are written.
    let (one, dense) = (Conv::conv1x1(1, 1, 1), ChannelLayout::dense(1));
    let small = Some(WeightLayout { conv: one, input: dense, output: dense });
    for at in 0..3 {
        let mut plan = good.clone();
        plan.tensors[at].weights = small;
        assert!(refused(&plan)?, "tensor {at}");
    }
    let mut plan = good.clone();
    plan.tensors.push(TensorInfo::weights(
        "weights",
        WeightLayout { conv: one, input: dense, output: dense },
    ));
    plan.variables.push(TensorId(3));
    plan.steps[0].weights = Some(TensorId(3));
    assert!(refused(&plan)?);
    let (none, targets) =
        (pixels("scores", shape(1, 0, 1, 1)), pixels("targets", shape(1, 1, 1, 1)));
    let op = TrainOp::CrossEntropy { classes: 0, smoothing: Scalar::new(0.0) };
    let plan = Plan::of_step(
        Op::Train(op),
        vec![none, targets, pixels("losses", shape(1, LOSSES, 1, 1))],
        false,
    );
    assert!(refused(&plan)?);
    Ok(())
}
