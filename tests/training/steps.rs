//! The steps of a head, of a loss and of an optimiser, each alone: exact on numbers whose sums and products are, near the reference where
//! exponentials and roots are not, and faults in their kernels.

use wgpu_bottleneck::op::{CONTROL, LOSSES, PoolWindows, UpdateOp};

use super::common::seeded::small_integers;
use super::common::{Outcome, any_gpu, targets};
use super::*;

/// A plan of one step, what it reads, and by how much of the largest value its output may be off.
struct Case {
    plan: Plan,
    reads: Vec<HostTensor>,
    tolerance: f64,
}

/// How far exponentials, logarithms and roots may be off.
const TRANSCENDENTAL: f64 = 2e-6;

fn pixels(name: &str, shape: Shape) -> TensorInfo {
    TensorInfo::pixels(name, shape, ChannelLayout::dense(shape.c))
}

fn shape(n: usize, c: usize, h: usize, w: usize) -> Shape {
    Shape { n, c, h, w }
}

/// On small integers.
fn integers(op: TrainOp, tensors: Vec<TensorInfo>) -> Case {
    let plan = single(Op::Train(op), tensors, None);
    let reads = &plan.tensors[..plan.tensors.len() - 1];
    let reads = (1..).zip(reads).map(|(seed, info)| small_integers(info.shape, seed)).collect();
    Case { plan, reads, tolerance: 0.0 }
}

/// Pools, with ties in every window, and the bias of the linear layer.
fn heads() -> Vec<Case> {
    let mut cases = Vec::new();
    for windows in [PoolWindows::Padded, PoolWindows::CeilMode] {
        for (n, c, h, w) in [(2, 5, 7, 8), (1, 4, 8, 7), (3, 70, 2, 3), (1, 3, 3, 1), (2, 9, 12, 13)] {
            let image = shape(n, c, h, w);
            let op = Op::MaxPool { channels: c, windows };
            // A single line has no window in ceil mode.
            let Ok(pooled) = op.output_shape(&[image]) else { continue };
            let tensors = vec![pixels("image", image), pixels("gradient", pooled), pixels("grad", image)];
            cases.push(integers(TrainOp::MaxPoolGrad { channels: c, windows }, tensors));
        }
    }
    // Means over powers of two, which are exact.
    for (n, c, h, w) in [(2, 5, 2, 4), (3, 66, 1, 1), (1, 3, 8, 16)] {
        let tensors = vec![pixels("gradient", shape(n, c, 1, 1)), pixels("grad", shape(n, c, h, w))];
        cases.push(integers(TrainOp::AvgPoolGrad { channels: c, height: h, width: w }, tensors));
    }
    for (n, c) in [(1, 1), (7, 10), (70, 257)] {
        let (image, bias) = (pixels("image", shape(n, c, 1, 1)), pixels("bias", shape(1, c, 1, 1)));
        cases.push(integers(TrainOp::AddBias { channels: c }, vec![image.clone(), bias.clone(), image.clone()]));
        cases.push(integers(TrainOp::BiasGrad { channels: c }, vec![image, bias]));
    }
    cases
}

/// Losses of scores that are near, far apart, large and equal; and what a loss that is no number does to the gate.
fn losses() -> Vec<Case> {
    let mut cases = Vec::new();
    for (n, classes, scale, offset) in [
        (1, 2, 1.0, 0.0),
        (5, 7, 0.3, 0.0),
        (70, 10, 2.0, -4.0),
        (3, 1001, 1.0, 0.5),
        (4, 5, 30.0, 1e4),
        (6, 9, 0.0, 3.0),
    ] {
        for smoothing in [0.0, 0.1] {
            let (scores, targets) = (pixels("scores", shape(n, classes, 1, 1)), pixels("targets", shape(n, 1, 1, 1)));
            let values = HostTensor::from_fn(scores.shape, |at| {
                offset + scale * (((at * 7919 + 13) % 1009) as f32 / 504.5 - 1.0)
            });
            let numbers = HostTensor::from_fn(targets.shape, |at| ((at * 5 + classes - 1) % classes) as f32);
            let smoothing = Scalar::new(smoothing);
            let mut case = |op: TrainOp, output: TensorInfo, tolerance: f64| {
                let plan = single(Op::Train(op), vec![scores.clone(), targets.clone(), output], None);
                cases.push(Case { plan, reads: vec![values.clone(), numbers.clone()], tolerance });
            };
            // A loss loses what the scores' own rounding loses.
            let rounding = f64::from(offset.abs()) * 2e-7;
            let output = pixels("losses", shape(n, LOSSES, 1, 1));
            case(TrainOp::CrossEntropy { classes, smoothing }, output, TRANSCENDENTAL + rounding);
            let count = 3 * n;
            case(TrainOp::CrossEntropyGrad { classes, smoothing, count }, scores.clone(), TRANSCENDENTAL + rounding);
        }
    }
    for bad in [None, Some(-1.5), Some(f32::NAN), Some(f32::INFINITY), Some(f32::NEG_INFINITY)] {
        let (n, at) = (67, 40);
        let losses = pixels("losses", shape(n, LOSSES, 1, 1));
        let plan = single(Op::Train(TrainOp::Gate), vec![losses.clone(), control_info(), control_info()], None);
        // A rank that is no number is none of the gate's business.
        let value = |index: usize| if index == at * LOSSES { bad.unwrap_or(1.5) } else { (index % 9) as f32 };
        cases.push(Case {
            plan,
            reads: vec![HostTensor::from_fn(losses.shape, value), control(1.0, 1.0)],
            tolerance: 0.0,
        });
    }
    cases
}

fn control_info() -> TensorInfo {
    pixels("control", shape(1, 1, 1, CONTROL))
}

/// Numbers that are exact: a rate of a half, and corrections of two and four.
fn control(apply: f32, keep: f32) -> HostTensor {
    let numbers = [0.5, apply, keep, 2.0, 4.0];
    HostTensor::from_fn(control_info().shape, |at| numbers[at])
}

/// What optimisers do to weights and to a norm's parameters, whose gradient is the beginning of more numbers; steered each way.
fn updates() -> Vec<Case> {
    let half = Scalar::new(0.5);
    let quarter = Scalar::new(0.25);
    let weights = |conv: Conv| {
        let [input, output] = [conv.in_channels, conv.out_channels].map(|c| ChannelLayout::grouped(c, conv.groups));
        TensorInfo::weights("value", WeightLayout { conv, input, output })
    };
    let norm = |w: usize| pixels("norm", shape(1, 37, 1, w));
    let parameters = [
        (weights(Conv::conv3x3(6, 10, 2, 1, 2)), None),
        (weights(Conv::conv1x1(70, 35, 1)), None),
        (norm(2), Some(norm(8))),
        (pixels("bias", shape(1, 10, 1, 1)), None),
    ];
    let ops = [
        UpdateOp::Accumulate,
        UpdateOp::Velocity { momentum: half, decay: quarter },
        UpdateOp::Descend { momentum: half, decay: quarter, nesterov: false },
        UpdateOp::Descend { momentum: half, decay: quarter, nesterov: true },
        UpdateOp::Moment { beta: quarter, squares: false },
        UpdateOp::Moment { beta: quarter, squares: true },
        UpdateOp::AdamW { eps: half, decay: quarter },
    ];
    let mut cases = Vec::new();
    for ((value, gradient), op) in parameters.iter().flat_map(|parameter| ops.iter().map(move |op| (parameter, *op))) {
        let others = op.input_count() - 2;
        for (apply, keep) in [(1.0, 1.0), (0.0, 0.0), (1.0, 0.0)] {
            let mut tensors = vec![value.clone(); 1 + others];
            if let (Some(gradient), false) = (gradient, matches!(op, UpdateOp::AdamW { .. })) {
                tensors[1] = gradient.clone();
            }
            tensors.extend([control_info(), value.clone()]);
            let mut case = integers(TrainOp::Update(op), tensors);
            let last = case.reads.len() - 1;
            case.reads[last] = control(apply, keep);
            if matches!(op, UpdateOp::AdamW { .. }) {
                // Squares are not negative.
                case.reads[2] = HostTensor::from_fn(value.shape, |at| (at % 5) as f32 + 0.1);
                case.tolerance = TRANSCENDENTAL;
            }
            if matches!(op, UpdateOp::Accumulate) && keep == 0.0 {
                // What was there before the first gradient may be anything.
                case.reads[0] = HostTensor::from_fn(value.shape, |at| if at % 2 == 0 { f32::NAN } else { 1.0 });
            }
            cases.push(case);
        }
    }
    cases
}

/// What is wrong with the first step that is, among those whose name contains this.
fn first_wrong(gpu: &Gpu, of: &str) -> Result<Option<String>> {
    let (mut checked, wanted) = (0, |case: &Case| case.plan.steps[0].op.name().contains(of));
    for case in heads().into_iter().chain(losses()).chain(updates()).filter(wanted) {
        checked += 1;
        for candidate in 0..common::most_candidates(&case.plan, gpu.capabilities(), false) {
            if let Some(wrong) = wrong_on(gpu, &case.plan, &case.reads, candidate, case.tolerance)? {
                let shapes: Vec<Shape> = case.plan.tensors.iter().map(|info| info.shape).collect();
                return Ok(Some(format!("{wrong}, {shapes:?}")));
            }
        }
    }
    assert!(checked > 0, "no step is called {of}");
    Ok(None)
}

#[test]
fn steps_alone_are_right() -> Outcome {
    for target in targets() {
        assert_eq!(first_wrong(&target.gpu, "")?, None, "{}", target.name);
    }
    Ok(())
}

/// Plans made by hand that would have kernels read or write beyond a tensor.
#[test]
fn tensors_that_do_not_fit_are_refused() -> Outcome {
    let gpu = any_gpu();
    let refused = |plan: &Plan| -> Result<bool> {
        let recording = schedule(plan.clone(), gpu.capabilities(), &KernelChoice::Ranked, MemoryBudget::default());
        Ok(recording.is_err() || recording?.check(gpu.capabilities()).is_err())
    };
    let add = TrainOp::AddBias { channels: 257 };
    let (image, bias) = (pixels("image", shape(64, 257, 1, 1)), pixels("bias", shape(1, 257, 1, 1)));
    let good = single(Op::Train(add), vec![image.clone(), bias.clone(), image.clone()], None);
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
    plan.tensors.push(TensorInfo::weights("weights", WeightLayout { conv: one, input: dense, output: dense }));
    plan.given.push(TensorId(3));
    plan.steps[0].weights = Some(TensorId(3));
    assert!(refused(&plan)?);
    let (none, targets) = (pixels("scores", shape(1, 0, 1, 1)), pixels("targets", shape(1, 1, 1, 1)));
    let op = TrainOp::CrossEntropy { classes: 0, smoothing: Scalar::new(0.0) };
    let plan = single(Op::Train(op), vec![none, targets, pixels("losses", shape(1, LOSSES, 1, 1))], None);
    assert!(refused(&plan)?);
    Ok(())
}

/// Faults: file, text, and what it becomes.
pub const MUTANTS: [(&str, &str, &str); 36] = [
    ("train/max_pool_grad", "(max(y + params.padding, 2u) - 1u) / 2u", "(y + params.padding) / 2u"),
    ("train/max_pool_grad", "next > largest", "next >= largest"),
    ("train/max_pool_grad", "window_x * 2u + tap % 3u - params.padding", "window_x * 2u + tap % 3u - 1u"),
    ("train/max_pool_grad", "tap_y < params.in_height && ", ""),
    ("train/max_pool_grad", "sum += select", "sum = select"),
    ("train/avg_pool_grad", "pixel / (params.in_height * params.in_width)", "0u"),
    ("train/avg_pool_grad", " * bitcast<f32>(params.scale)", ""),
    ("train/avg_pool_grad", "if at >= params.vec4s {", "if at + 1u >= params.vec4s {"),
    ("train/add_bias", "bias[at % params.vec4_per_pixel]", "bias[0]"),
    ("train/add_bias", " + bias[at % params.vec4_per_pixel]", ""),
    ("train/bias_grad", "var pixel = 1u;", "var pixel = 2u;"),
    ("train/bias_grad", "column >= params.vec4_per_pixel", "column + 1u >= params.vec4_per_pixel"),
    ("train/cross_entropy", "u32(targets[image].x)", "0u"),
    ("train/cross_entropy", "(class_number < vec4<u32>(target_class))", "(class_number != vec4<u32>(target_class))"),
    ("train/cross_entropy", "before & keep", "before"),
    ("train/cross_entropy", "(1.0 - smoothing) * loss", "loss"),
    ("train/cross_entropy", "all / f32(params.classes)", "all"),
    ("train/cross_entropy_grad", " - aimed", ""),
    ("train/cross_entropy_grad", " - spread) *", ") *"),
    ("train/cross_entropy_grad", " * bitcast<f32>(params.share)", ""),
    ("train/cross_entropy_grad", "select(vec4<f32>(0.0), gradient, keep)", "gradient"),
    ("train/gate", "finite = finite && ", "finite = "),
    ("train/gate", "< 0x7f800000u", "<= 0x7f800000u"),
    ("train/gate", "& 0x7fffffffu", ""),
    ("train/gate", "at == 1u && !finite", "!finite"),
    ("train/accumulate", "select(vec4<f32>(0.0), before[at], control.keep.x != 0.0)", "before[at] * control.keep.x"),
    ("train/accumulate", "if at >= params.vec4s {", "if at + 1u >= params.vec4s {"),
    ("train/velocity", " + bitcast<f32>(params.decay) * value[at]", ""),
    ("train/velocity", "bitcast<f32>(params.kept) * before[at]", "before[at]"),
    ("train/velocity", "control.apply.x != 0.0", "true"),
    ("train/descend", "control.rate.x * step", "step"),
    ("train/descend", " + bitcast<f32>(params.kept) * step", ""),
    ("train/moment", "fresh *= fresh;", ""),
    ("train/moment", "bitcast<f32>(params.fresh) * fresh", "fresh"),
    ("train/adamw", " * control.second.x", ""),
    ("train/adamw", "1.0 - control.rate.x * bitcast<f32>(params.decay)", "1.0"),
];

#[test]
fn faults_in_steps_are_caught() -> Outcome {
    let gpu = any_gpu();
    for (file, text, becomes) in MUTANTS {
        let patched = gpu.with_patches(&[Patch::new(file, text, becomes)])?;
        let of = file.trim_start_matches("train/").trim_end_matches("_entropy");
        let caught = first_wrong(&patched, of)?;
        println!("{file}: {text} -> {becomes}: {caught:?}");
        assert!(caught.is_some(), "{file}: {text} -> {becomes} was not caught");
    }
    Ok(())
}
