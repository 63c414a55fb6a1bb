//! The gradients of convolutions are exact on integers, by every candidate, and faults in their kernels show.

use super::common::{Outcome, any_gpu, loudly, most_candidates, targets};
use super::*;

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
pub const MUTANTS: [(&str, &str, &str); 24] = [
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
    ("train/weight_grad", "let first_row = tile / taps * ${ROWS}u;", "let first_row = 0u;"),
    ("train/weight_grad_subgroup", "let inside = pixel < end && in_y", "let inside = in_y"),
    ("train/weight_grad_subgroup", "gradient_at(at${p}, column${c})", "gradient_at(at${p}, column0)"),
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
    ("train/winograd_weights", "at >= params.words", "at + 1u >= params.words"),
    ("train/winograd_weights", "${y*3+x}u * params.plane", "${x*3+y}u * params.plane"),
    ("train/winograd_weights", "even + 0.5 * g1", "even + g1"),
    ("train/winograd_weights", "far - 1.5 * g1", "far + 1.5 * g1"),
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
        let of = match file {
            _ if file.contains("weight_grad") => "weight_grad",
            "train/winograd_weights" => "conv3x3",
            _ => file.trim_start_matches("train/"),
        };
        let caught = first_wrong(&patched, of)?;
        println!("{file}: {text} -> {becomes}: {caught:?}");
        assert!(caught.is_some(), "{file}: {text} -> {becomes} was not caught");
    }
    Ok(())
}
