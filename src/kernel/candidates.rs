//! Which kernels can carry out a step, and which one to take without measuring.

use super::{Capabilities, Family, Kernel, Problem, Tile};
use crate::op::{Epilogue, Op};

/// Register tiles of the convolutions. One lane-wide slice suits a software driver, whose subgroup is one slice and whose
/// loads are what costs (large tiles); several slices fill a GPU's subgroups (smaller tiles, more of them in flight).
const CONV_TILES: [Tile; 8] = [
    Tile::new(8, 1, 16, 2),
    Tile::new(8, 1, 16, 1),
    Tile::new(8, 1, 8, 2),
    Tile::new(8, 1, 4, 1),
    Tile::new(8, 8, 8, 2),
    Tile::new(8, 8, 8, 1),
    Tile::new(16, 4, 4, 1),
    Tile::new(16, 4, 1, 1),
];

/// Grouped tiles have one column, because two columns of a lane may belong to different groups.
const GROUPED_TILES: [Tile; 4] =
    [Tile::new(8, 1, 8, 1), Tile::new(8, 1, 2, 1), Tile::new(8, 8, 4, 1), Tile::new(16, 4, 1, 1)];

/// Subgroup tiles: rows are a multiple of the lanes, lanes the size of the device's subgroups.
const SUBGROUP_TILES: [Tile; 4] =
    [Tile::new(8, 1, 24, 2), Tile::new(8, 1, 16, 2), Tile::new(8, 1, 8, 2), Tile::new(8, 1, 8, 1)];

/// Elementwise kernels: one vec4 per invocation.
const ELEMENTWISE_TILES: [Tile; 1] = [Tile::new(64, 1, 1, 1)];

fn tiles(family: Family) -> &'static [Tile] {
    match family {
        Family::Conv1x1 | Family::Conv3x3 | Family::Conv1x1Joined => &CONV_TILES,
        Family::Conv3x3Grouped => &GROUPED_TILES,
        Family::Conv1x1Subgroup | Family::Conv3x3Subgroup | Family::Conv1x1JoinedSubgroup => &SUBGROUP_TILES,
        Family::BatchNormRelu | Family::ResidualAdd => &ELEMENTWISE_TILES,
    }
}

/// Every kernel that can carry out the problem on a device with these capabilities.
#[must_use]
pub fn candidates(problem: &Problem, capabilities: &Capabilities) -> Vec<Kernel> {
    let (epilogue, strided) = match problem.op {
        Op::Conv { conv, epilogue } => (epilogue, conv.stride != 1 && conv.taps() == 1),
        Op::JoinedConv { relu, .. } => (Epilogue { bias: true, residual: false, relu }, false),
        Op::BatchNorm { relu, .. } | Op::Add { relu, .. } => (Epilogue { relu, ..Epilogue::default() }, false),
    };
    let fits = |family: Family, tile: &Tile| {
        (!family.uses_subgroups() || capabilities.subgroup_size == Some(tile.lanes))
            && tile.lanes <= capabilities.max_workgroup_x
            && tile.slices <= capabilities.max_workgroup_y
            && tile.lanes * tile.slices <= capabilities.max_invocations
    };
    let of_family = |&family: &Family| {
        let fitting = tiles(family).iter().filter(move |tile| fits(family, tile));
        fitting.map(move |&tile| Kernel { family, tile, epilogue, strided })
    };
    Family::of(&problem.op).iter().flat_map(of_family).collect()
}

/// The kernel to take, and why. A pure function: the same problem on the same device always gets the same kernel.
///
/// The rule: a tile's cost is what it computes, rows and columns behind the end included, times the loads that each of its
/// multiply-adds costs (a tile of R rows and C columns loads R + 4 C vec4s for 4 R C multiply-adds of vec4s); on hardware, a
/// tile that leaves the device fewer than `ENOUGH_INVOCATIONS` pays for the idle share. The first of equals wins.
#[must_use]
pub fn select(problem: &Problem, candidates: &[Kernel], capabilities: &Capabilities) -> Option<(Kernel, &'static str)> {
    let suits = |kernel: &&Kernel| (kernel.tile.slices == 1) == capabilities.software;
    let preferred: Vec<&Kernel> = candidates.iter().filter(suits).collect();
    let pool = if preferred.is_empty() { candidates.iter().collect() } else { preferred };
    let reason = match pool[..] {
        [] | [_] => "the only one",
        _ if capabilities.software => "software driver: the tile with the fewest loads, tails counted",
        _ => "hardware: the tile with the fewest loads that still fills the device, tails counted",
    };
    let cost = |kernel: &&Kernel| estimated_cost(problem, kernel, capabilities);
    pool.into_iter().min_by(|a, b| cost(a).total_cmp(&cost(b))).map(|&kernel| (kernel, reason))
}

/// Invocations in flight below which a large GPU idles: 2048 resident on each of some 100 multiprocessors, and a little less
/// than half of that hides latency well enough (an estimate; the benchmark harness will measure it).
const ENOUGH_INVOCATIONS: f64 = 65_536.0;

fn estimated_cost(problem: &Problem, kernel: &Kernel, capabilities: &Capabilities) -> f64 {
    let (output, layout) = problem.output;
    let Tile { lanes, slices, rows, cols } = kernel.tile;
    let round_up = |count: usize, step: u32| (count as u64).div_ceil(u64::from(step)) * u64::from(step);
    let rows_done = round_up(output.pixels(), rows * slices) as f64;
    let columns_done = round_up(layout.vec4_per_pixel(), lanes * cols) as f64;
    let (r, c) = (f64::from(rows), f64::from(cols));
    // Arithmetic and loads of one K quad, in multiply-adds of a vec4, per row and column: 4, and the tile's loads shared out.
    // In multiply-adds, a load costs about 12 on a software driver (fitted to the tiles' rates on lavapipe of Mesa 22.3) and
    // about 4 on hardware (an estimate, until the benchmark harness has measured it).
    let load = if capabilities.software { 12.0 } else { 4.0 };
    let row_loads = if kernel.family.uses_subgroups() { r / f64::from(lanes) } else { r };
    let per_output = 4.0 + load * (row_loads + 4.0 * c) / (r * c);
    let invocations = rows_done / r * (columns_done / c);
    let idle = if capabilities.software { 1.0 } else { (ENOUGH_INVOCATIONS / invocations).max(1.0) };
    rows_done * columns_done * per_output * idle
}

/// Every specialisation that can ever be built: what tests validate.
#[must_use]
pub fn all_specialisations() -> Vec<Kernel> {
    let flags = [false, true];
    let mut all = Vec::new();
    for family in Family::ALL {
        for &tile in tiles(family) {
            for (strided, bias, residual, relu) in
                (0..16).map(|bits| (flags[bits >> 3], flags[bits >> 2 & 1], flags[bits >> 1 & 1], flags[bits & 1]))
            {
                let possible = match family {
                    Family::Conv1x1 | Family::Conv1x1Subgroup => true,
                    Family::Conv3x3 | Family::Conv3x3Grouped | Family::Conv3x3Subgroup => !strided,
                    Family::Conv1x1Joined | Family::Conv1x1JoinedSubgroup => !strided && bias && !residual,
                    Family::BatchNormRelu | Family::ResidualAdd => !strided && !bias && !residual,
                };
                if possible {
                    all.push(Kernel { family, tile, epilogue: Epilogue { bias, residual, relu }, strided });
                }
            }
        }
    }
    all
}
