//! Random specifications and images, for proptest.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use wgpu_bottleneck::{Bottleneck, Norm};

use super::exact::EXACT_NORMS;

/// The same cases on every machine, and no file of regressions.
pub fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(0x0b07_713e),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    }
}

/// What a block is made of, before it is known whether it needs a downsample.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// `None`: as many as the block writes.
    pub inplanes: Option<usize>,
    pub planes: usize,
    pub groups: usize,
    pub per_group: usize,
    pub stride: usize,
    pub dilation: usize,
    pub downsample: bool,
    pub norm: Norm,
}

impl Wish {
    pub fn build(self) -> Bottleneck {
        let Wish { inplanes, planes, groups, per_group, stride, dilation, downsample, norm } = self;
        let inplanes = inplanes.unwrap_or(4 * planes);
        // int(planes * base_width / 64) = per_group, for up to 64 planes.
        let base_width = (64 * per_group).div_ceil(planes);
        let spec = Bottleneck::torchvision(inplanes, planes)
            .groups(groups)
            .base_width(base_width)
            .stride(stride)
            .dilation(dilation)
            .downsample(downsample || stride != 1 || inplanes != 4 * planes)
            .norm_layer(norm)
            .build();
        let spec = spec.unwrap_or_else(|error| panic!("{self:?}: {error}"));
        assert_eq!(spec.width(), groups * per_group, "{self:?}");
        spec
    }
}

/// Groups and channels per group; depthwise, odd and 26 a group among them.
pub fn widths() -> impl Strategy<Value = (usize, usize)> {
    prop_oneof![
        6 => (Just(1), prop::sample::select(vec![1, 2, 3, 5, 8, 13, 26, 31, 64, 65])),
        3 => (Just(2), prop::sample::select(vec![1, 3, 4, 13, 26])),
        2 => (Just(3), prop::sample::select(vec![1, 2, 5, 26])),
        2 => (Just(8), prop::sample::select(vec![1, 2, 4, 5, 26])),
        2 => (Just(32), prop::sample::select(vec![1, 2, 4])),
    ]
}

pub fn norms() -> impl Strategy<Value = Norm> {
    prop::sample::select(EXACT_NORMS.to_vec())
}

pub fn wishes() -> impl Strategy<Value = Wish> {
    let inplanes = prop_oneof![Just(None), (1usize..=50).prop_map(Some)];
    let dilations = prop_oneof![3 => Just(1), 2 => 2usize..=4, 1 => Just(12)];
    (widths(), 1usize..=20, inplanes, 1usize..=4, dilations, any::<bool>(), norms()).prop_map(
        |((groups, per_group), planes, inplanes, stride, dilation, downsample, norm)| {
            // Half of the strides are 1, so that identity shortcuts are common.
            let stride = if downsample { stride } else { 1 };
            Wish { inplanes, planes, groups, per_group, stride, dilation, downsample, norm }
        },
    )
}

/// Images of a batch: 1x1, smaller than a dilated kernel, and larger.
pub fn images() -> impl Strategy<Value = (usize, usize, usize)> {
    prop_oneof![
        1 => (1usize..=5, Just(1), Just(1)),
        1 => (1usize..=5, Just(1), 2usize..=20),
        5 => (1usize..=5, 1usize..=9, 1usize..=9),
        2 => (Just(1), 5usize..=17, 5usize..=17),
    ]
}

/// Two or three blocks behind one another.
pub fn chains() -> impl Strategy<Value = (Vec<Bottleneck>, (usize, usize, usize), u64)> {
    (prop::collection::vec(wishes(), 2..=3), images(), any::<u64>()).prop_map(
        |(wishes, image, seed)| {
            let mut specs: Vec<Bottleneck> = Vec::new();
            for wish in wishes {
                let inplanes = specs.last().map(Bottleneck::outplanes).or(wish.inplanes);
                specs.push(Wish { inplanes, ..wish }.build());
            }
            (specs, image, seed)
        },
    )
}
