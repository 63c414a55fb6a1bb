//! Planes of scratch: the data between the dispatches of a kernel.

use crate::tensor::ChannelLayout;

/// The distance between planes of scratch, in `vec4`s. A transform stores all positions of a tile
/// in turn, and slices are loaded in turn. The distance is 128 bytes more than a multiple of 4 KiB,
/// so that no two addresses share a set of a CPU's L1 cache, which has one set for each 64 bytes of
/// 4 KiB.
pub(super) fn plane(rows: usize, layout: ChannelLayout) -> usize {
    let vec4s = rows.saturating_mul(layout.vec4_per_pixel());
    match vec4s.checked_next_multiple_of(PAGE) {
        _ if vec4s < PAGE => vec4s,
        Some(whole) => whole.saturating_add(8),
        None => usize::MAX,
    }
}

/// 4 KiB in `vec4`s of f32.
const PAGE: usize = 256;
