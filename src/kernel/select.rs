//! Which kernel to take, without measuring.

use super::{Capabilities, Kernel, Method, Problem, Tile};

/// The kernel to take, and why. A pure function: the same problem on the same device always gets the same kernel.
///
/// The rule: a kernel's cost is what its tile computes, rows and columns behind the end included, times what each of its
/// multiply-adds costs with its share of the tile's loads; on hardware, a tile that leaves the device fewer than
/// `ENOUGH_INVOCATIONS` pays for the idle share. The first of equals wins.
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

/// The cost of all multiply-adds of a vec4 that the kernel does for one K quad, in such multiply-adds.
fn estimated_cost(problem: &Problem, kernel: &Kernel, capabilities: &Capabilities) -> f64 {
    let (output, layout) = problem.output;
    let Tile { lanes, rows, cols, .. } = kernel.tile;
    let rows_done = (kernel.row_tiles(output) * u64::from(kernel.tile.slices * rows)) as f64;
    let columns = u64::from(lanes * cols);
    let columns_done = ((layout.vec4_per_pixel() as u64).div_ceil(columns) * columns) as f64;
    let (r, c) = (f64::from(rows), f64::from(cols));
    // A K quad is four multiply-adds per row and column, and the tile's loads shared out.
    let per_output = 4.0 + loads(kernel, capabilities) / (r * c);
    let invocations = rows_done / r * (columns_done / c);
    let idle = if capabilities.software { 1.0 } else { (ENOUGH_INVOCATIONS / invocations).max(1.0) };
    rows_done * columns_done * per_output * idle
}

/// What the loads of one invocation and one K quad cost, in multiply-adds of a vec4.
fn loads(kernel: &Kernel, capabilities: &Capabilities) -> f64 {
    let Tile { lanes, slices, rows, cols } = kernel.tile;
    let (lanes, slices, r, c) = (f64::from(lanes), f64::from(slices), f64::from(rows), f64::from(cols));
    // Of a vec4 from memory: about 12 on a software driver (fitted to the tiles' rates on lavapipe of Mesa 22.3), half of that
    // in wide words, and about 4 on hardware. Of one from workgroup memory: the same on a software driver, half of it on
    // hardware. Those of hardware are estimates, until the benchmark harness has measured them.
    let (memory, on_chip) = match (capabilities.software, kernel.wide) {
        (true, false) => (12.0, 12.0),
        (true, true) => (6.0, 12.0),
        (false, _) => (4.0, 2.0),
    };
    match kernel.family.method() {
        Method::Elementwise => 0.0,
        Method::Registers => memory * (r + 4.0 * c),
        Method::Subgroup => memory * (r / lanes + 4.0 * c),
        Method::Staged => memory * (r / lanes + 4.0 * c / slices) + on_chip * (r + 4.0 * c),
        // A window serves three taps.
        Method::Window => memory * (f64::from(kernel.window()) / 3.0 + 4.0 * c),
        Method::StagedGroups => on_chip * f64::from(kernel.window()) / 3.0 + memory * 4.0 * c,
    }
}
