//! Exactness: where f32 cannot round, every kernel gives the reference's bits, stays within its
//! memory and repeats itself: whole blocks over random specifications and shapes, single operations
//! with every epilogue, chains, and the largest layers of the family, on every device, with runtime
//! checks on and off.

mod ops;

use crate::common::exact::{
    DENSE, EXACT_BUDGET, EXACT_NORMS, GUARD, Growth, Kernels, check_blocks, check_kind,
    check_recording, check_run, exact_block,
};
use crate::common::seeded::small_integers;
use crate::common::specs::{Wish, chains, config, images, norms, wishes};
use crate::common::{Outcome, targets};
use proptest::prelude::*;
use wgpu_bottleneck::gpu::Executor;
use wgpu_bottleneck::kernel::{Capabilities, Family, Tile, all_specialisations};
use wgpu_bottleneck::plan::{self, KernelChoice, PlanKind, Recording};
use wgpu_bottleneck::{Block, Bottleneck, HostTensor, LoadOptions, Shape, network, reference};

/// A block and the image that it is given.
#[derive(Debug, Clone)]
struct Case {
    spec: Bottleneck,
    affine: bool,
    image: Shape,
    seed: u64,
}

impl Case {
    fn check(&self, kernels: Kernels) -> Result<(), TestCaseError> {
        let block = exact_block(&self.spec, self.affine, Growth::for_chain(1), self.seed);
        let block = block.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let input = small_integers(self.image, self.seed ^ 1);
        check_blocks(&[block], &input, kernels, targets()).map_err(TestCaseError::fail)
    }
}

fn cases() -> impl Strategy<Value = Case> {
    (wishes(), any::<bool>(), images(), any::<u64>()).prop_map(|(wish, affine, (n, h, w), seed)| {
        let spec = wish.build();
        Case { spec, affine, image: Shape { n, c: spec.inplanes(), h, w }, seed }
    })
}

/// Tiles of the convolutions, each once.
fn conv_tiles() -> Vec<Tile> {
    let elementwise = [Family::BatchNormRelu, Family::ResidualAdd];
    let mut tiles = Vec::new();
    for kernel in all_specialisations() {
        if !elementwise.contains(&kernel.family) && !tiles.contains(&kernel.tile) {
            tiles.push(kernel.tile);
        }
    }
    tiles
}

/// An image side that a stride leaves `count` pixels of.
fn strided_side(count: usize, stride: usize) -> usize {
    (count - 1) * stride + 1
}

/// Pixels and channels one below, at and one above what a tile covers.
fn edge_cases() -> impl Strategy<Value = Case> {
    let deltas = -1isize..=1;
    let tile = prop::sample::select(conv_tiles());
    let shape = (1usize..=2, deltas.clone(), deltas.clone(), deltas);
    (tile, shape, 1usize..=2, any::<bool>(), any::<bool>(), norms(), any::<u64>()).prop_map(
        |(tile, (times, pixels, width, planes), stride, tall, downsample, norm, seed)| {
            let at = |edge: u32, delta: isize| (edge as usize).saturating_add_signed(delta).max(1);
            let pixels = at(tile.rows_per_thread * tile.workgroup_y * times as u32, pixels);
            let spec = Wish {
                inplanes: None,
                planes: at(tile.workgroup_x * tile.cols_per_thread, planes).min(64),
                groups: 1,
                per_group: at(4 * tile.workgroup_x * tile.cols_per_thread, width),
                stride,
                dilation: 1,
                downsample,
                norm,
            }
            .build();
            let side = strided_side(pixels, spec.stride());
            let (h, w) = if tall { (side, 1) } else { (1, side) };
            Case { spec, affine: true, image: Shape { n: 1, c: spec.inplanes(), h, w }, seed }
        },
    )
}

proptest! {
    #![proptest_config(config(96))]
    #[test]
    fn random_blocks(case in cases()) {
        case.check(Kernels::Third(case.seed as usize))?;
    }
}

proptest! {
    #![proptest_config(config(24))]
    #[test]
    fn blocks_at_the_edges_of_tiles(case in edge_cases()) {
        case.check(Kernels::Every)?;
    }
}

proptest! {
    #![proptest_config(config(24))]
    #[test]
    fn random_chains((specs, (n, h, w), seed) in chains()) {
        let blocks: Result<Vec<Block>, _> = (seed..)
            .zip(&specs)
            .map(|(seed, spec)| exact_block(spec, true, Growth::for_chain(specs.len()), seed))
            .collect();
        let blocks = blocks.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let input = small_integers(Shape { n, c: specs[0].inplanes(), h, w }, seed ^ 1);
        check_blocks(&blocks, &input, Kernels::Third(seed as usize), targets())
            .map_err(TestCaseError::fail)?;
    }
}

#[test]
fn maps_smaller_than_a_dilated_kernel() -> Outcome {
    for (side, dilation, groups) in
        [(1, 12, 1), (2, 2, 1), (3, 4, 3), (5, 12, 1), (11, 12, 8), (12, 12, 32), (13, 12, 2)]
    {
        let wish = Wish {
            inplanes: None,
            planes: 5,
            groups,
            per_group: 3,
            stride: 1,
            dilation,
            downsample: false,
            norm: EXACT_NORMS[0],
        };
        let spec = wish.build();
        let image = Shape::new(2, spec.inplanes(), side, side)?;
        let case = Case { spec, affine: true, image, seed: side as u64 };
        case.check(Kernels::Every).map_err(|error| format!("{case:?}: {error}"))?;
    }
    Ok(())
}

/// The largest layers of the family: ResNet-50's layer4.1 and layer4.0, wide_resnet101_2's
/// layer4.1, resnext101_64x4d's layer4.1.
fn largest_layers() -> Result<Vec<(Bottleneck, Shape)>, Box<dyn std::error::Error>> {
    let layer4 = Bottleneck::torchvision(2048, 512).norm_layer(EXACT_NORMS[0]);
    let small = Shape::new(1, 2048, 7, 7)?;
    let first =
        Bottleneck::torchvision(1024, 512).stride(2).downsample(true).norm_layer(EXACT_NORMS[0]);
    Ok(vec![
        (layer4.build()?, small),
        (first.build()?, Shape::new(1, 1024, 14, 14)?),
        (layer4.base_width(128).build()?, small),
        (layer4.groups(64).base_width(4).build()?, small),
    ])
}

#[test]
fn largest_layers_with_every_kernel() -> Outcome {
    for (seed, (spec, image)) in (0..).zip(largest_layers()?) {
        let block = exact_block(&spec, true, Growth::for_chain(1), seed)?;
        let input = small_integers(image, seed);
        // Every candidate on the first device; what is taken by default on all of them.
        check_kind(
            std::slice::from_ref(&block),
            &input,
            PlanKind::Fused,
            Kernels::Every,
            &targets()[..1],
        )
        .map_err(|error| format!("{spec:?}: {error}"))?;
        for kind in [PlanKind::Fused, PlanKind::Unfused] {
            check_kind(std::slice::from_ref(&block), &input, kind, Kernels::Ranked, targets())
                .map_err(|error| format!("{spec:?}: {error}"))?;
        }
    }
    Ok(())
}

#[test]
fn largest_map_of_the_family() -> Outcome {
    let spec = Bottleneck::torchvision(256, 64).norm_layer(EXACT_NORMS[0]).build()?;
    let block = exact_block(&spec, true, Growth::for_chain(1), 7)?;
    let input = small_integers(Shape::new(1, 256, 56, 56)?, 7);
    for kind in [PlanKind::Fused, PlanKind::Unfused] {
        check_kind(std::slice::from_ref(&block), &input, kind, Kernels::Ranked, targets())?;
    }
    Ok(())
}

/// A fused block and what the reference says of it, for the test of the checks.
fn sample() -> Result<(Block, HostTensor, HostTensor), Box<dyn std::error::Error>> {
    let spec = Bottleneck::torchvision(4, 1).norm_layer(EXACT_NORMS[0]).build()?;
    let block = exact_block(&spec, true, Growth::for_chain(1), 3)?;
    let input = small_integers(Shape::new(1, 4, 5, 5)?, 3);
    let options = LoadOptions::default();
    let recording = wgpu_bottleneck::record(&[spec], input.shape(), &Capabilities::CORE, &options)?;
    let params = Block::params(std::slice::from_ref(&block), &recording.plan)?;
    let expected = reference::run(&recording, &params, &input)?;
    Ok((block, input, expected))
}

#[test]
fn the_checks_find_what_is_wrong() -> Outcome {
    let (block, input, expected) = sample()?;
    let target = &targets()[0];
    let plan = network::plan_block(block.spec(), input.shape(), PlanKind::Fused)?;
    let params = Block::params(&[block], &plan)?;
    let recording =
        plan::schedule(plan, target.gpu.capabilities(), &KernelChoice::Nth(0), EXACT_BUDGET)?;
    let check = |recording: &Recording, expected: &HostTensor| {
        check_recording(&target.gpu, recording.clone(), &params, &input, expected)
    };
    check(&recording, &expected)?;

    let wrong = HostTensor::from_fn(expected.shape(), |at| {
        expected.data()[at] + if at == 99 { 0.25 } else { 0.0 }
    });
    let said = check(&recording, &wrong);
    assert!(
        said.as_ref().is_err_and(|said| said.contains("first beyond")),
        "a wrong number: {said:?}"
    );

    // A kernel that is told of one row more than there is writes it into the guard band.
    for step in 0..3 {
        let mut long = recording.clone();
        let dispatch = &mut long.segments[0].steps[step].dispatches[0];
        let (members, _) = dispatch.kernel.host_params();
        let (_, at) = members.iter().find(|(name, _)| *name == "rows").ok_or("no member rows")?;
        assert_eq!(dispatch.params[*at..][..4], 25u32.to_le_bytes());
        dispatch.params[*at..][..4].copy_from_slice(&26u32.to_le_bytes());
        long.unshare_slots();
        // SAFETY: the row too many lies in the guard band of the tensor, inside its binding.
        let mut executor = unsafe { Executor::new_unchecked(&target.gpu, long, &params, GUARD)? };
        let said = check_run(&mut executor, &input, &expected);
        assert!(
            said.as_ref().is_err_and(|said| said.contains("behind the end")),
            "a row too many: {said:?}"
        );
    }
    Ok(())
}

#[test]
fn inexact_numbers_are_refused() -> Outcome {
    let spec = Bottleneck::torchvision(256, 64).norm_layer(EXACT_NORMS[0]).build()?;
    let block = exact_block(&spec, true, DENSE, 3)?;
    let input = small_integers(Shape::new(1, 256, 3, 3)?, 3);
    let huge = HostTensor::from_fn(input.shape(), |at| input.data()[at] * 4096.0 + 1.0);
    let said = check_kind(&[block], &huge, PlanKind::Fused, Kernels::Ranked, &targets()[..1]);
    assert!(said.as_ref().is_err_and(|said| said.starts_with("not exact")), "{said:?}");
    Ok(())
}
