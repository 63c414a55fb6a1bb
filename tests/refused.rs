//! Kernels that a driver does not compile: no plan uses them, and the results stay right.

use std::collections::BTreeSet;

use crate::common::seeded_network::weights;
use crate::common::{Outcome, targets};
use wgpu_bottleneck::kernel::{Capabilities, candidates};
use wgpu_bottleneck::plan::{RecordedStep, Recording};
use wgpu_bottleneck::tensor::compare;
use wgpu_bottleneck::{BlockKind, Gpu, HostTensor, LoadOptions, Network, ResNet, Shape};

fn kernels(recording: &Recording) -> BTreeSet<String> {
    let dispatches = recording.steps().flat_map(|step| &step.dispatches);
    dispatches.map(|dispatch| dispatch.kernel.name()).collect()
}

#[test]
fn refused_kernels_are_not_used() -> Outcome {
    let spec = ResNet::builder(BlockKind::Bottleneck).depths([2, 1]).planes([4, 8]).stem_planes(4);
    let spec = spec.classes(Some(5)).build()?;
    let (weights, _) = weights(&spec)?;
    let input = HostTensor::from_fn(Shape::new(2, 3, 40, 36)?, |at| (at % 17) as f32 / 8.0 - 1.0);
    let gpu = targets()[0].gpu.clone();
    let load = |gpu: &Gpu| Network::load(gpu, &weights, input.shape(), &LoadOptions::default());
    let used = kernels(load(&gpu)?.recording());
    let mut without = BTreeSet::new();
    for name in &used {
        let gpu = gpu.without_kernels(std::slice::from_ref(name));
        assert_eq!(gpu.capabilities().refused, std::slice::from_ref(name));
        let mut network = load(&gpu)?;
        if kernels(network.recording()).contains(name) {
            // There is no other, so it is tried again.
            let steps = network.recording().steps();
            let mut of_it = steps.filter(|step| step.kernel.name() == *name);
            let problem = |step: &RecordedStep| network.recording().plan.problem(&step.step);
            assert!(
                of_it.all(|step| candidates(
                    &problem(step),
                    &Capabilities { refused: &[], ..*gpu.capabilities() }
                )
                .len()
                    == 1),
                "{name}"
            );
            continue;
        }
        without.insert(name.clone());
        let expected = network.reference(&weights, &input)?;
        let tolerance = network.tolerance();
        for ((_, found), (name, expected)) in network.run(&input)?.iter().zip(&expected) {
            let comparison = compare(expected, found, tolerance);
            assert!(comparison.passed(), "{name}: {comparison}");
        }
    }
    assert!(without.len() > 3, "only {without:?} have alternatives");
    // All of them at once, in two calls.
    let all: Vec<String> = without.into_iter().collect();
    let gpu = gpu.without_kernels(&all[1..]).without_kernels(&all[..1]);
    assert_eq!(gpu.capabilities().refused, all);
    assert!(kernels(load(&gpu)?.recording()).is_disjoint(&all.into_iter().collect()));
    Ok(())
}
