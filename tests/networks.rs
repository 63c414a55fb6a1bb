//! Whole networks with seeded weights against PyTorch in float64, on the default device: logits and
//! every feature map (tests/golden/network.py made the numbers and says how the weights come
//! about).

use crate::common::seeded_network::{uniform, weights};
use crate::common::{Outcome, targets};
use serde::Deserialize;
use std::collections::BTreeMap;
use wgpu_bottleneck::gpu::LimitsChoice;
use wgpu_bottleneck::op::PoolWindows;
use wgpu_bottleneck::tensor::compare;
use wgpu_bottleneck::{
    BlockKind, Gpu, GpuOptions, HostTensor, LoadOptions, Network, PlanKind, ResNet, Shape, StrideIn,
};

/// What is accepted, as a share of the largest value.
const TOLERANCE: f64 = 2e-5;

#[derive(Debug, Deserialize)]
struct Case {
    network: String,
    input: [usize; 4],
    tensors: BTreeMap<String, Expected>,
}

#[derive(Debug, Deserialize)]
struct Expected {
    shape: Vec<usize>,
    largest: f64,
    /// Evenly spread over the tensor.
    values: Vec<f64>,
}

impl Expected {
    fn check(&self, name: &str, found: &HostTensor) -> Result<(), String> {
        let dims = found.shape().dims();
        let (data, count) = (found.data(), self.values.len());
        // Logits have two dimensions there and four here.
        if dims[..self.shape.len()] != self.shape
            || dims[self.shape.len()..].iter().any(|&dim| dim != 1)
        {
            return Err(format!("{name}: expected {:?}, found {dims:?}", self.shape));
        }
        for (index, &value) in self.values.iter().enumerate() {
            let at = index * data.len() / count;
            let error = (f64::from(data[at]) - value).abs() / self.largest;
            // A NaN is no better than any other wrong number.
            if error.is_nan() || error > TOLERANCE {
                return Err(format!(
                    "{name}[{at}]: expected {value}, found {}, off by {error:.1e} of the largest",
                    data[at]
                ));
            }
        }
        Ok(())
    }
}

fn spec(name: &str) -> Result<ResNet, Box<dyn std::error::Error>> {
    let (model, kind) = name.split_once(' ').unwrap_or((name, ""));
    let builder = ResNet::named(model)?;
    Ok(match kind {
        "at output stride 8" => builder.replace_stride_with_dilation([false, true, true]),
        "of DeepLab" => {
            builder.replace_stride_with_dilation([false, false, true]).multi_grid([1, 2, 4])
        }
        "of Caffe" => builder.stride_in(StrideIn::Conv1).max_pool(PoolWindows::CeilMode),
        _ => builder,
    }
    .build()?)
}

fn cases(network: &str) -> Result<Vec<Case>, Box<dyn std::error::Error>> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("golden/network.json"))?;
    Ok(cases.into_iter().filter(|case| case.network == network).collect())
}

/// Every input of a network, fused; the smallest one unfused too.
fn check(network: &str) -> Outcome {
    let (weights, _) = weights(&spec(network)?)?;
    let cases = cases(network)?;
    assert_eq!(cases.len(), 3, "{network}");
    let gpu = &targets()[0].gpu;
    for case in &cases {
        let [n, c, h, w] = case.input;
        let shape = Shape::new(n, c, h, w)?;
        let values: Vec<f32> =
            uniform("input", shape.len()).map(|value| (value - 0.5) * 4.0).collect();
        let input = HostTensor::new(shape, values)?;
        let kinds: &[PlanKind] =
            if h == 64 { &[PlanKind::Fused, PlanKind::Unfused] } else { &[PlanKind::Fused] };
        for &plan in kinds {
            let options = LoadOptions { plan, ..LoadOptions::default() };
            let mut network = Network::load(gpu, &weights, shape, &options)?;
            let found: BTreeMap<String, HostTensor> = network.run(&input)?.into_iter().collect();
            assert!(found.keys().eq(case.tensors.keys()), "{:?}", found.keys());
            for (name, expected) in &case.tensors {
                expected.check(name, &found[name]).map_err(|error| {
                    format!("{} {:?} {plan:?}: {error}", case.network, case.input)
                })?;
            }
        }
    }
    Ok(())
}

#[test]
fn resnet50() -> Outcome {
    check("resnet50")
}

#[test]
fn resnext50_32x4d() -> Outcome {
    check("resnext50_32x4d")
}

#[test]
fn wide_resnet50_2() -> Outcome {
    check("wide_resnet50_2")
}

#[test]
fn resnet50_dilated() -> Outcome {
    check("resnet50 at output stride 8")
}

#[test]
fn resnet18() -> Outcome {
    check("resnet18")
}

#[test]
fn resnet50_of_deeplab() -> Outcome {
    check("resnet50 of DeepLab")
}

#[test]
fn resnet50_of_caffe() -> Outcome {
    check("resnet50 of Caffe")
}

/// A chain of command buffers: the stem's, one for each block, the head's.
#[test]
fn one_command_buffer_per_block() -> Outcome {
    let spec = spec("resnet50")?;
    let capabilities = wgpu_bottleneck::kernel::Capabilities::CORE;
    let shape = Shape::new(1, 3, 224, 224)?;
    let recording =
        wgpu_bottleneck::record_network(&spec, shape, &capabilities, &LoadOptions::default())?;
    assert_eq!(recording.segments.len(), 1 + 16 + 1);
    let modules: Vec<&str> =
        recording.steps().map(|recorded| recorded.step.module.as_str()).collect();
    assert_eq!(modules[..4], ["conv1", "maxpool", "layer1.0.conv1", "layer1.0.conv2"]);
    assert_eq!(modules[modules.len() - 3..], ["layer4.2.conv3", "avgpool", "fc"]);
    // What is kept is never another's: no slot holds two of them.
    let mut places: Vec<_> =
        recording.plan.fetches.iter().map(|id| recording.locations[id.0]).collect();
    let count = places.len();
    places.dedup();
    assert_eq!((count, places.len()), (6, 6));
    Ok(())
}

/// A network small enough for many runs.
fn small() -> Result<ResNet, Box<dyn std::error::Error>> {
    let builder =
        ResNet::builder(BlockKind::Bottleneck).depths([1, 1]).planes([4, 8]).stem_planes(5);
    Ok(builder.classes(Some(3)).build()?)
}

/// BasicBlocks, the original's strides, no classes, many grids and a single pixel: against the
/// reference, whose blocks PyTorch has been held against.
#[test]
fn every_kind_of_network_is_what_the_reference_says() -> Outcome {
    let basic =
        ResNet::builder(BlockKind::Basic).depths([2, 1, 1]).planes([5, 8, 12]).stem_planes(6);
    let bottleneck =
        ResNet::builder(BlockKind::Bottleneck).depths([1, 2]).planes([4, 6]).stem_planes(7);
    let dilated = bottleneck.clone().replace_stride_with_dilation([true]).multi_grid([1, 2]);
    let specs = [
        basic.clone().classes(Some(7)).build()?,
        basic.classes(None).in_channels(1).build()?,
        bottleneck.clone().stride_in(StrideIn::Conv1).classes(Some(1)).build()?,
        bottleneck.groups(2).width_per_group(40).classes(None).build()?,
        dilated.classes(Some(4)).build()?,
    ];
    for target in targets() {
        for (spec, plan) in
            specs.iter().flat_map(|spec| [(spec, PlanKind::Fused), (spec, PlanKind::Unfused)])
        {
            let (weights, _) = weights(spec)?;
            for [n, h, w] in [[2, 33, 17], [1, 1, 1]] {
                let shape = Shape::new(n, spec.stem().in_channels, h, w)?;
                let values: Vec<f32> =
                    uniform("input", shape.len()).map(|value| value - 0.5).collect();
                let input = HostTensor::new(shape, values)?;
                let options = LoadOptions { plan, ..LoadOptions::default() };
                let mut network = Network::load(&target.gpu, &weights, shape, &options)?;
                let expected = network.reference(&weights, &input)?;
                for ((name, expected), (_, found)) in expected.iter().zip(network.run(&input)?) {
                    let comparison = compare(expected, &found, network.tolerance());
                    assert!(
                        comparison.passed(),
                        "{} {spec} {plan:?} {shape} {name}: {comparison:?}",
                        target.name
                    );
                }
            }
        }
    }
    Ok(())
}

/// Batches larger than what the network was loaded for, and than what a binding can hold, give what
/// single images give.
#[test]
fn batches_are_run_in_parts() -> Outcome {
    let (weights, _) = weights(&small()?)?;
    let gpu = &targets()[0].gpu;
    let image = Shape::new(1, 3, 20, 20)?;
    let values: Vec<f32> = uniform("input", 5 * image.len()).map(|value| value - 0.5).collect();
    let batch = HostTensor::new(Shape { n: 5, ..image }, values)?;
    let mut whole = Network::load(gpu, &weights, batch.shape(), &LoadOptions::default())?;
    let mut parts = Network::load(gpu, &weights, Shape { n: 2, ..image }, &LoadOptions::default())?;
    assert_eq!((whole.input_shape().n, parts.input_shape().n), (5, 2));
    let expected = whole.run(&batch)?;
    let names: Vec<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["stem", "layer1", "layer2", "pooled", "logits"]);
    let tolerance = whole.tolerance();
    let close = |a: &HostTensor, b: &HostTensor| compare(a, b, tolerance).passed();
    for ((name, expected), (_, found)) in expected.iter().zip(parts.run(&batch)?) {
        assert_eq!(expected.shape().n, 5);
        assert!(close(expected, &found), "{name}");
    }
    assert!(close(&expected[3].1, &parts.embed(&batch)?));
    assert!(close(&expected[4].1, &parts.logits(&batch)?));
    assert_eq!(parts.features(&batch)?.len(), 2);
    let other = HostTensor::from_fn(Shape { w: 21, ..image }, |_| 0.0);
    assert!(parts.logits(&other).is_err());
    // The largest tensor of an image is the input: 256x256 pixels of 4 channels, a mebibyte of a
    // binding's 128.
    let input = Shape { n: 1000, h: 256, w: 256, ..image };
    let limited = GpuOptions { limits: LimitsChoice::Core, ..GpuOptions::default() };
    let large =
        Network::load(&Gpu::with_options(&limited)?, &weights, input, &LoadOptions::default())?;
    assert_eq!(large.input_shape().n, 128);
    Ok(())
}
