//! Plans of one step, for every operation.

use wgpu_bottleneck::op::{
    CONTROL, Conv, Epilogue, LOSSES, NORM_COEFFICIENTS, NORM_RUNNING, NORM_SUMS, Op, PoolWindows,
    Scalar, TrainOp, UpdateOp, WeightLayout,
};
use wgpu_bottleneck::plan::{Plan, TensorInfo};
use wgpu_bottleneck::tensor::ChannelLayout;
use wgpu_bottleneck::{Result, Shape};

/// Channels of the images of most plans.
const CHANNELS: usize = 12;

/// A plan for every operation, and several for convolutions.
pub fn plans() -> Result<Vec<Plan>> {
    let mut plans = convolutions()?;
    plans.extend(gradients()?);
    plans.extend(elementwise()?);
    plans.extend(norms()?);
    plans.extend(losses()?);
    plans.extend(updates()?);
    Ok(plans)
}

fn item(channels: usize, height: usize, width: usize) -> Result<Shape> {
    Ok(Shape::new(2, channels, height, width)?)
}

fn pixels(name: &str, shape: Shape) -> TensorInfo {
    TensorInfo::pixels(name, shape, ChannelLayout::dense(shape.c))
}

/// Values per channel.
fn per_channel(name: &str, channels: usize, values: usize) -> Result<TensorInfo> {
    Ok(pixels(name, Shape::new(1, channels, 1, values)?))
}

/// A plan of an operation on these inputs, with weights as a tensor if there are any.
fn plan(op: Op, inputs: Vec<TensorInfo>, weights: Option<TensorInfo>) -> Result<Plan> {
    let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape).collect();
    let output = op.output_shape(&shapes)?;
    let layout = match op {
        Op::Conv { conv, .. } => ChannelLayout::grouped(output.c, conv.groups),
        Op::Train(TrainOp::InputGrad { conv, .. }) => ChannelLayout::grouped(output.c, conv.groups),
        _ => ChannelLayout::dense(output.c),
    };
    let output = match op {
        Op::Train(TrainOp::WeightGrad { conv }) => {
            let (input, output) = (inputs[0].layout, inputs[1].layout);
            TensorInfo::weights("output", WeightLayout { conv, input, output })
        }
        Op::Train(TrainOp::MirroredWeights { .. }) => match inputs[0].weights {
            Some(weights) => TensorInfo::weights("output", weights.mirrored()),
            None => TensorInfo::pixels("output", output, layout),
        },
        _ => TensorInfo::pixels("output", output, layout),
    };
    let has_weights = weights.is_some();
    let tensors = inputs.into_iter().chain(weights).chain([output]).collect();
    Ok(Plan::of_step(op, tensors, has_weights))
}

/// The weights of a convolution with padded groups.
fn weights(conv: Conv) -> TensorInfo {
    let layout = |channels| ChannelLayout::grouped(channels, conv.groups);
    let (input, output) = (layout(conv.in_channels), layout(conv.out_channels));
    TensorInfo::weights("weights", WeightLayout { conv, input, output })
}

fn convs() -> [Conv; 8] {
    [
        Conv::conv1x1(20, CHANNELS, 1),
        Conv::conv1x1(7, 9, 2),
        Conv::conv1x1(256, 20, 1),
        Conv::conv3x3(CHANNELS, 10, 1, 1, 1),
        Conv::conv3x3(6, CHANNELS, 2, 2, 1),
        Conv::conv3x3(12, 12, 1, 1, 2),
        Conv::conv3x3(32, 32, 1, 1, 8),
        Conv::conv7x7(3, CHANNELS, 2),
    ]
}

fn convolutions() -> Result<Vec<Plan>> {
    let mut plans = Vec::new();
    for (index, conv) in convs().into_iter().enumerate() {
        let image = TensorInfo::pixels(
            "image",
            item(conv.in_channels, 9, 7)?,
            ChannelLayout::grouped(conv.in_channels, conv.groups),
        );
        let residual = index % 2 == 0;
        let epilogue = Epilogue { bias: true, residual, relu: index % 3 == 0 };
        let added = TensorInfo::pixels(
            "residual",
            conv.output_shape(image.shape)?,
            ChannelLayout::grouped(conv.out_channels, conv.groups),
        );
        let inputs = [image.clone()].into_iter().chain(residual.then_some(added)).collect();
        plans.push(plan(Op::Conv { conv, epilogue }, inputs, None)?);
        let op = Op::Conv { conv, epilogue: Epilogue::default() };
        plans.push(plan(op, vec![image.clone()], None)?);
        plans.push(plan(op, vec![image], Some(weights(conv)))?);
    }
    let (main, shortcut) = (Conv::conv1x1(CHANNELS, 24, 1), Conv::conv1x1(10, 24, 2));
    let inputs = vec![pixels("main", item(CHANNELS, 4, 3)?), pixels("shortcut", item(10, 8, 6)?)];
    plans.push(plan(Op::JoinedConv { main, shortcut, relu: true }, inputs, None)?);
    Ok(plans)
}

fn gradients() -> Result<Vec<Plan>> {
    let mut plans = Vec::new();
    for conv in convs() {
        let layout = |channels| ChannelLayout::grouped(channels, conv.groups);
        let image = item(conv.in_channels, 9, 7)?;
        let gradient = conv.output_shape(image)?;
        let image = TensorInfo::pixels("image", image, layout(image.c));
        let gradient = TensorInfo::pixels("gradient", gradient, layout(gradient.c));
        let op = Op::Train(TrainOp::InputGrad { conv, height: 9, width: 7 });
        plans.push(plan(op, vec![gradient.clone()], Some(weights(conv)))?);
        let op = Op::Train(TrainOp::WeightGrad { conv });
        plans.push(plan(op, vec![image, gradient], None)?);
        if conv.stride == 1 {
            let op = Op::Train(TrainOp::MirroredWeights { conv });
            plans.push(plan(op, vec![weights(conv)], None)?);
        }
    }
    Ok(plans)
}

fn elementwise() -> Result<Vec<Plan>> {
    let (channels, image) = (CHANNELS, pixels("image", item(CHANNELS, 9, 7)?));
    let mut plans = vec![
        plan(Op::BatchNorm { channels, relu: true }, vec![image.clone()], None)?,
        plan(Op::Add { channels, relu: true }, vec![image.clone(), image.clone()], None)?,
        plan(Op::GlobalAvgPool { channels }, vec![image.clone()], None)?,
    ];
    for windows in [PoolWindows::Padded, PoolWindows::CeilMode] {
        let pool = Op::MaxPool { channels, windows };
        let gradient = pixels("gradient", pool.output_shape(&[image.shape])?);
        plans.push(plan(pool, vec![image.clone()], None)?);
        let op = Op::Train(TrainOp::MaxPoolGrad { channels, windows });
        plans.push(plan(op, vec![image.clone(), gradient], None)?);
    }
    let op = Op::Train(TrainOp::AvgPoolGrad { channels, height: 5, width: 4 });
    plans.push(plan(op, vec![pixels("gradient", item(channels, 1, 1)?)], None)?);
    let op = Op::Train(TrainOp::ReluGrad { channels });
    plans.push(plan(op, vec![image.clone(), image.clone()], None)?);
    let (op, bias) = (Op::Train(TrainOp::AddBias { channels }), per_channel("bias", channels, 1)?);
    plans.push(plan(op, vec![image.clone(), bias], None)?);
    plans.push(plan(Op::Train(TrainOp::BiasGrad { channels }), vec![image], None)?);
    Ok(plans)
}

fn norms() -> Result<Vec<Plan>> {
    let (channels, eps, image) = (10, Scalar::new(1e-5), pixels("image", item(10, 9, 7)?));
    let values = |name, count| per_channel(name, channels, count);
    let (affine, running) = (values("affine", 2)?, values("running", NORM_RUNNING)?);
    let (coefficients, sums) =
        (values("coefficients", NORM_COEFFICIENTS)?, values("sums", NORM_SUMS)?);
    let train = |op, inputs| plan(Op::Train(op), inputs, None);
    let apply = |residual| TrainOp::NormApply { channels, residual, relu: residual };
    let pair = || vec![image.clone(), image.clone()];
    Ok(vec![
        train(TrainOp::NormStats { channels, eps }, vec![image.clone(), affine.clone()])?,
        train(TrainOp::NormFrozen { channels, eps }, vec![running.clone(), affine])?,
        train(apply(false), vec![image.clone(), coefficients.clone()])?,
        train(apply(true), vec![image.clone(), coefficients.clone(), image.clone()])?,
        train(TrainOp::RunningStats { channels, count: 126 }, vec![coefficients.clone(), running])?,
        train(
            TrainOp::NormGradSums { channels, relu: false, batch: true },
            [pair(), vec![coefficients]].concat(),
        )?,
        train(TrainOp::NormGrad { channels, relu: false }, [pair(), vec![sums]].concat())?,
    ])
}

fn losses() -> Result<Vec<Plan>> {
    let (classes, smoothing) = (11, Scalar::new(0.1));
    let scores = pixels("scores", Shape::new(6, classes, 1, 1)?);
    let targets = pixels("targets", Shape::new(6, 1, 1, 1)?);
    let losses = pixels("losses", Shape::new(6, LOSSES, 1, 1)?);
    let both = vec![scores, targets];
    Ok(vec![
        plan(Op::Train(TrainOp::CrossEntropy { classes, smoothing }), both.clone(), None)?,
        plan(Op::Train(TrainOp::CrossEntropyGrad { classes, smoothing, count: 6 }), both, None)?,
        plan(Op::Train(TrainOp::Gate), vec![losses, per_channel("control", 1, CONTROL)?], None)?,
    ])
}

fn updates() -> Result<Vec<Plan>> {
    let [momentum, decay, eps] = [0.9, 1e-2, 1e-3].map(Scalar::new);
    let ops = [
        UpdateOp::Accumulate,
        UpdateOp::Velocity { momentum, decay },
        UpdateOp::Descend { momentum, decay, nesterov: false },
        UpdateOp::Descend { momentum, decay, nesterov: true },
        UpdateOp::Moment { beta: momentum, squares: true },
        UpdateOp::AdamW { eps, decay },
    ];
    let mut plans = Vec::new();
    for op in ops {
        let conv = Conv::conv3x3(6, 5, 1, 1, 1);
        for value in [weights(conv), per_channel("value", 9, 2)?] {
            let mut inputs = vec![value.clone(); op.input_count() - 1];
            inputs.push(per_channel("control", 1, CONTROL)?);
            let mut plan = plan(Op::Train(TrainOp::Update(op)), inputs, None)?;
            let output = plan.output.0;
            plan.tensors[output] = TensorInfo { name: "output".to_owned(), ..value };
            plans.push(plan);
        }
    }
    Ok(plans)
}
