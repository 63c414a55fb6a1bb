//! Mutants of the pools.

use super::shared::of_every_value;
use super::{Mutant, mutants};

pub(super) const MUTANTS: &[&[Mutant]] = &[
    of_every_value!(MaxPool, "max_pool"),
    MAX,
    of_every_value!(GlobalAvgPool, "global_avg_pool"),
    MEAN,
];

const MAX: &[Mutant] = mutants! { MaxPool, "max_pool":
    "smallest" SwappedStride { "max_pool": "next > kept" => "next < kept" }
    "nan_swallowed" NanSwallowed { "max_pool": "next, next_is_nan)" => "kept, next_is_nan)" }
    "nan_forgotten" NanSwallowed { "max_pool": "kept, kept_is_nan)" => "next, kept_is_nan)" }
    "stride_lost_in_y" SwappedStride {
        "max_pool": "params.out_height) * 2u"
            => "params.out_height) * 1u"
    }
    "stride_lost_in_x" SwappedStride {
        "max_pool": "params.out_width) * 2u"
            => "params.out_width) * 1u"
    }
    "last_tap" OffByOne { "max_pool": "tap_x < 3u" => "tap_x < 2u" }
    "last_line_of_taps" OffByOne { "max_pool": "tap_y < 3u" => "tap_y < 2u" }
    "padding_lost" OffByOne { "max_pool": "- vec2<u32>(params.padding)" => "" }
    "right_edge" OffByOne { "max_pool": "tap.x < params.in_width" => "tap.x <= params.in_width" }
    "bottom_edge" OffByOne { "max_pool": "tap.y < params.in_height" => "tap.y <= params.in_height" }
    "first_image_only" WrongGroup {
        "max_pool": "let first_line = item * params.in_height"
            => "let first_line = 0u"
    }
    "output_width" SwappedStride {
        "max_pool": "near.y) * params.in_width"
            => "near.y) * params.out_width"
    }
    "pixel_as_channel" SwappedStride { "max_pool": "at - pixel * params.vec4_per_pixel" => "0u" }
};

const MEAN: &[Mutant] = mutants! { GlobalAvgPool, "global_avg_pool":
    "sum_not_divided" LostBias {
        "global_avg_pool": "total * bitcast<f32>(params.scale)"
            => "total"
    }
    "last_pixel" OffByOne { "global_avg_pool": "pixel < pixels" => "pixel + 1u < pixels" }
    "first_pixel_only" StaleTile {
        "global_avg_pool": "src[first + pixel * params.vec4_per_pixel]"
            => "src[first]"
    }
    "next_value" SwappedStride { "global_avg_pool": "pixel * params.vec4_per_pixel" => "pixel" }
    "pixels_left_out" OffByOne {
        "global_avg_pool": "pixel += ${SLICES}u"
            => "pixel += ${SLICES}u + 1u"
    }
    "first_image_only" WrongGroup {
        "global_avg_pool": "item * pixels * params.vec4_per_pixel"
            => "0u"
    }
    "height_for_width" SwappedStride {
        "global_avg_pool": "params.in_height * params.in_width"
            => "params.in_height * params.in_height"
    }
    "channels_of_first_vec4" WrongGroup {
        "global_avg_pool": "(valid - item * params.vec4_per_pixel)"
            => "0u"
    }
    "nan_swallowed" NanSwallowed {
        "global_avg_pool": "sum += unpack(src[first + pixel * params.vec4_per_pixel]);"
            => "let next = unpack(src[first + pixel * params.vec4_per_pixel]);
        sum += select(next, vec4<f32>(0.0), (bitcast<vec4<u32>>(next) & vec4<u32>(0x7fffffffu)) \
            > vec4<u32>(0x7f800000u));"
    }
    "last_sum_kept" StaleTile { "global_avg_pool": "sum += unpack(src[" => "sum = unpack(src[" }
    "dropped_barrier" DroppedBarrier { "global_avg_pool": "workgroupBarrier();" => "" }
    "last_slice" OffByOne { "global_avg_pool": "slice < ${SLICES}u" => "slice + 1u < ${SLICES}u" }
    "slices_of_first_lane" WrongGroup {
        "global_avg_pool": "sums[local.x * ${SLICES}u + slice]"
            => "sums[slice]"
    }
};
