//! The ranking rule: selects a kernel without measuring.

use super::cost::{estimated_cost, idle_share};
use super::{Access, Capabilities, DeviceKind, Kernel, Method, Problem, compile_time};

/// The selected kernel, and why. A pure function: the same problem on the same device always gives
/// the same kernel.
///
/// The rule, in order:
/// 1. A software driver runs a workgroup's subgroups one after the other, and barriers and
///    workgroup memory cost as much as any other memory. So the rule prefers tiles with a
///    `workgroup_y` of 1 there, and tiles with a larger one on hardware. On hardware, kernels that
///    would spill registers on this chip ([`Chip`](super::Chip)) are left out, and Winograd
///    convolutions are only used on request, until they have been measured there.
/// 2. Of those, the kernel with the lowest cost: the multiply-adds of the tiles, including the
///    wasted rows and columns beyond the end, times the cost of each with its share of the tile's
///    loads. On hardware, the cost of a tile in workgroup memory is the arithmetic or the reads of
///    that memory, whichever takes longer on this chip. It includes the idle share of the device
///    for a kernel with too few invocations, and the waits of the stages for a kernel for matrix
///    units. A kernel with slices of K fills more of the device and has fewer stages, but its cost
///    includes the slices' sums and one more dispatch. The cost of Winograd convolutions includes
///    their transforms, and they must be a fifth faster.
/// 3. Of kernels with equal cost, the first.
///
/// The counts of registers and instructions are the compilers'. All times for hardware are
/// estimates: no GPU has been measured yet.
#[must_use]
pub fn select(
    problem: &Problem,
    candidates: &[Kernel],
    capabilities: &Capabilities,
) -> Option<(Kernel, &'static str)> {
    let cost = |kernel: &Kernel| estimated_cost(problem, kernel, capabilities);
    let (kernel, only) = cheapest(candidates, capabilities, cost)?;
    Some((kernel, if only { "the only one" } else { reason(problem, &kernel, capabilities) }))
}

/// [`select`] for a process that runs the kernel this many times and exits. The time to compile the
/// kernel counts as well, unless it is in `compiled`. If the time is unknown
/// ([`compile_time`](Kernel::compile_time)), this is the same as [`select`].
#[must_use]
pub fn select_for_runs(
    problem: &Problem,
    candidates: &[Kernel],
    capabilities: &Capabilities,
    runs: u32,
    compiled: &[Kernel],
) -> Option<(Kernel, &'static str)> {
    let lasting = select(problem, candidates, capabilities)?;
    let cost = |kernel: &Kernel| {
        let new = kernel.dispatches().into_iter().filter(|dispatch| !compiled.contains(dispatch));
        let compiling: f64 = new.map(|stage| stage.compile_time(capabilities).as_secs_f64()).sum();
        f64::from(runs) * estimated_cost(problem, kernel, capabilities)
            + compiling / compile_time::MULTIPLY_ADD
    };
    let (kernel, _) = cheapest(candidates, capabilities, cost)?;
    Some(if kernel == lasting.0 {
        lasting
    } else {
        (kernel, "software: compiled quickly, for few runs")
    })
}

/// The first of the cheapest candidates for this kind of device, and whether it is the only one.
fn cheapest(
    candidates: &[Kernel],
    capabilities: &Capabilities,
    cost: impl Fn(&Kernel) -> f64,
) -> Option<(Kernel, bool)> {
    let software = capabilities.kind == DeviceKind::Software;
    let fits = |kernel: &Kernel| kernel.registers() <= capabilities.chip.registers;
    let suits = |kernel: &&Kernel| match software {
        // It runs one workgroup after the other, so that nothing idles that slices of K could fill.
        // Its matrix units are for tests.
        true => kernel.tile.workgroup_y == 1 && !kernel.is_split() && kernel.matrix_side == 0,
        false => kernel.tile.workgroup_y > 1 && kernel.winograd.is_none() && fits(kernel),
    };
    let preferred: Vec<&Kernel> = candidates.iter().filter(suits).collect();
    let pool = if preferred.is_empty() { candidates.iter().collect() } else { preferred };
    let kernel = pool.iter().copied().min_by(|a, b| cost(a).total_cmp(&cost(b)))?;
    Some((*kernel, pool.len() == 1))
}

/// Why a kernel was selected, by its method.
fn reason(problem: &Problem, kernel: &Kernel, capabilities: &Capabilities) -> &'static str {
    let idles = idle_share(problem, kernel, capabilities) > 1.0;
    match (capabilities.kind, kernel.family.method(), kernel.access) {
        _ if kernel.winograd.is_some() => {
            "software: fewer multiplications but more loads; the lowest cost, tails counted"
        }
        (DeviceKind::Software, Method::Subgroup, Access::Texture) => {
            "software: rows by broadcast, weights from a texture, which costs few loads; tails \
            counted"
        }
        (DeviceKind::Software, Method::Window, Access::Texture) => {
            "software: each pixel loaded once for three taps, weights from a texture, tails counted"
        }
        (DeviceKind::Software, Method::Subgroup, Access::Vectors) => {
            "software: rows by broadcast; the tile with the fewest loads, tails counted"
        }
        (DeviceKind::Software, Method::Slide, _) => {
            "software: each pixel loaded once for nine taps, weights once, tails counted"
        }
        (DeviceKind::Software, Method::Window, _) => {
            "software: each pixel loaded once for three taps, tails counted"
        }
        (DeviceKind::Software, ..) => "software: the tile with the fewest loads, tails counted",
        (_, Method::Matrix, _) if kernel.is_split() => {
            "hardware: matrix units, and K cut into slices to fill the device"
        }
        (_, Method::Matrix, _) => "hardware: matrix units",
        _ if kernel.is_split() => "hardware: too small to fill the device, so K is cut into slices",
        (_, Method::Staged | Method::StagedGroups, _) if !idles => {
            "hardware: operands on the chip, and enough tiles"
        }
        (_, _, _) if idles => "hardware: too small to fill the device, so small tiles",
        _ => "hardware: the tile with the fewest loads that still fills the device",
    }
}
