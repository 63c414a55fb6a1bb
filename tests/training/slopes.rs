//! The reference holds itself against finite differences.

use super::*;
use crate::common::{Outcome, any_gpu};

/// The sum of a block's outputs times these weights, by the reference in f64.
fn loss(
    recording: &Recording,
    training: &BlockTrainingPlan,
    block: &BlockState,
    input: &HostTensor,
    grad_out: &HostTensor,
) -> Result<f64> {
    let numbers = |numbers: &[&[f32]]| {
        let (channels, w) = (numbers[0].len(), numbers.len());
        let values =
            (0..channels).flat_map(|at| numbers.iter().map(move |numbers| numbers[at])).collect();
        HostTensor::new(Shape { n: 1, c: channels, h: 1, w }, values)
    };
    let mut variables =
        vec![(training.plan.input, input.clone()), (training.grad_out, grad_out.clone())];
    for (layer, tensors) in training.layers.iter().zip(&block.layers) {
        let shape = training.plan.tensor(layer.weight).shape;
        variables.push((layer.weight, HostTensor::new(shape, tensors.weight.clone())?));
        if let (Some(norm), Some(tensors)) = (&layer.norm, &tensors.norm) {
            let momentum = vec![0.1; norm.channels];
            variables.push((norm.affine, numbers(&[&tensors.gamma, &tensors.beta])?));
            variables.push((
                norm.running,
                numbers(&[&tensors.running_mean, &tensors.running_var, &momentum])?,
            ));
        }
    }
    let given: Vec<(TensorId, &HostTensor)> =
        variables.iter().map(|(id, tensor)| (*id, tensor)).collect();
    let params = vec![StepParams::None; training.plan.steps.len()];
    let every = all_tensors(recording, &params, &given)?;
    let out = &every[training.out.0].data;
    Ok(out.iter().zip(grad_out.data()).map(|(out, weight)| out * f64::from(*weight)).sum())
}

/// The reference's gradients are the slopes of what the reference computes.
#[test]
#[expect(clippy::too_many_lines, reason = "one job from start to end")]
fn gradients_are_slopes() -> Outcome {
    let names = [
        "plain",
        "s2_odd_downsample",
        "groups2",
        "dilation4_odd_planes",
        "frozen",
        "identity",
        "affine_false",
    ];
    let (gpu, mut checked) = (any_gpu(), 0);
    for golden in goldens()?.iter().filter(|golden| names.contains(&golden.name.as_str())) {
        let block = BlockState::from_state_dict(&golden.dict, "block", &golden.options)?;
        let training = plan_block_training(&block.spec, golden.input.shape())?;
        let grad_out = golden.dict.nchw("grad_out")?;
        let trained = load(&gpu, golden, &LoadOptions::default())?;
        let gradients = trained.reference(&golden.input, &grad_out)?.gradients;
        // Two of the values of each parameter and of the input, moved up and down by next to
        // nothing.
        let mut slope = |what: &str,
                         values: &[f32],
                         gradient: &[f32],
                         loss_of: &dyn Fn(Vec<f32>) -> Result<f64>| {
            let largest = gradient
                .iter()
                .fold(0.0, |largest: f64, value| largest.max(f64::from(value.abs())));
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
                assert!(
                    off < 1e-5,
                    "{}, {what}, value {at}: slope {slope}, gradient {}",
                    golden.name,
                    gradient[at]
                );
                checked += 1;
            }
            Ok::<(), Box<dyn std::error::Error>>(())
        };
        let shape = golden.input.shape();
        slope("input", golden.input.data(), gradients.input.data(), &|values| {
            loss(
                trained.recording(),
                &training,
                &block,
                &HostTensor::new(shape, values)?,
                &grad_out,
            )
        })?;
        for (key, _, gradient) in &gradients.parameters {
            let with = |values: Vec<f32>| {
                let mut block = block.clone();
                for layer in &mut block.layers {
                    match &mut layer.norm {
                        _ if layer.key == *key => layer.weight = values.clone(),
                        Some(norm) if format!("{}.weight", norm.key) == *key => {
                            norm.gamma = values.clone()
                        }
                        Some(norm) if format!("{}.bias", norm.key) == *key => {
                            norm.beta = values.clone()
                        }
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
