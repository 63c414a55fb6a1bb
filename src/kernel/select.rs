//! The ranking rule: selects a kernel without measuring.

use super::{
    Access, Capabilities, DeviceKind, Kernel, Method, Problem, SLIDE_LINES, Tile, compile_time,
    winograd,
};
use crate::op::{Conv, Op, TrainOp};

/// The selected kernel, and why. A pure function: the same problem on the same device always gives
/// the same kernel.
///
/// The rule, in order:
/// 1. A software driver runs a workgroup's subgroups one after the other, and barriers and
///    workgroup memory cost as much as any other memory. So the rule prefers tiles with a
///    `workgroup_y` of 1 there, and tiles with a larger one on hardware. On hardware, Winograd
///    convolutions are only used on request, until they have been measured there.
/// 2. Of those, the kernel with the lowest cost: the multiply-adds of the tiles, including the
///    wasted rows and columns beyond the end, times the cost of each with its share of the tile's
///    loads. On hardware, the cost includes the idle share of the device for a kernel with too few
///    invocations, and the waits of the stages for a kernel for matrix units. A kernel with slices
///    of K fills more of the device and has fewer stages, but its cost includes the slices' sums
///    and one more dispatch. The cost of Winograd convolutions includes their transforms, and they
///    must be a fifth faster.
/// 3. Of kernels with equal cost, the first.
///
/// All figures for hardware are estimates: no GPU has been measured yet.
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
    let suits = |kernel: &&Kernel| match software {
        // It runs one workgroup after the other, so that nothing idles that slices of K could fill.
        // Its matrix units are for tests.
        true => kernel.tile.workgroup_y == 1 && !kernel.is_split() && kernel.matrix_side == 0,
        false => kernel.tile.workgroup_y > 1 && kernel.winograd.is_none(),
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

/// Invocations in flight below which hardware idles. A large GPU holds 2048 on each of about 100
/// multiprocessors, and a little less than half of that hides latency well enough; an integrated
/// GPU holds a tenth. Estimates, until the benchmark harness has measured them.
const fn enough_invocations(kind: DeviceKind) -> f64 {
    match kind {
        DeviceKind::Software => 0.0,
        DeviceKind::Integrated => 6_144.0,
        DeviceKind::Discrete => 65_536.0,
    }
}

/// Rows and columns that the kernel's tiles cover.
fn covered(problem: &Problem, kernel: &Kernel) -> (f64, f64) {
    let (_, layout) = problem.output;
    let columns = u64::from(kernel.tile_columns());
    let column_tiles = (layout.vec4_per_pixel() as u64).div_ceil(columns);
    let (gemms, _) = kernel.gemm_batch(problem);
    let lines = match kernel.family.method() {
        // All of a part of the image, and two lines at its ends.
        Method::Slide => (problem.output.0.h as u64).min(u64::from(SLIDE_LINES)) + 2,
        _ => 1,
    };
    let rows = gemms as u64 * kernel.row_tiles(problem) * u64::from(kernel.tile_rows()) * lines;
    (rows as f64, (column_tiles * columns) as f64)
}

/// The factor by which too few invocations slow the kernel down; 1 if there are enough.
fn idle_share(problem: &Problem, kernel: &Kernel, capabilities: &Capabilities) -> f64 {
    let (rows, columns) = covered(problem, kernel);
    let invocations = match kernel.family.method() {
        // Half as many invocations suffice, because each does more work between its loads.
        Method::Matrix => {
            let tiles =
                rows / f64::from(kernel.tile_rows()) * (columns / f64::from(kernel.tile_columns()));
            2.0 * tiles * f64::from(kernel.tile.workgroup_x * kernel.tile.workgroup_y)
        }
        _ => {
            rows / f64::from(kernel.tile.rows_per_thread)
                * (columns / f64::from(kernel.tile.cols_per_thread))
        }
    };
    (enough_invocations(capabilities.kind) / invocations).max(1.0)
}

/// The cost of one more dispatch, with the barrier before it, in multiply-adds of a vec4: about 4
/// us on a large GPU that does 5e12 of them per second, and the same time on one with a tenth of
/// that. For kernels without matrix units it is 3.5 times as much, because the rule's times of
/// kernels that leave the device idle are longer by that factor than those of workgroups that have
/// a multiprocessor each (`benches/NOTES.md`). Estimates, as no GPU has been measured. On a
/// software driver it is close to zero and affects no choice.
fn another_dispatch(kernel: &Kernel, kind: DeviceKind) -> f64 {
    match (kind, kernel.family.method()) {
        (DeviceKind::Software, _) => 0.0,
        (DeviceKind::Integrated, Method::Matrix) => 2e6,
        (DeviceKind::Integrated, _) => 7e6,
        (DeviceKind::Discrete, Method::Matrix) => 2e7,
        (DeviceKind::Discrete, _) => 7e7,
    }
}

/// The cost of a kernel, in multiply-adds of a vec4.
fn estimated_cost(problem: &Problem, kernel: &Kernel, capabilities: &Capabilities) -> f64 {
    if let Op::Train(TrainOp::WeightGrad { conv }) = problem.op {
        return weight_grad_cost(&conv, problem, kernel, capabilities);
    }
    if let Op::Train(
        TrainOp::NormStats { .. }
        | TrainOp::NormGradSums { .. }
        | TrainOp::NormApply { .. }
        | TrainOp::NormGrad { .. },
    ) = problem.op
    {
        return norm_cost(problem, kernel);
    }
    let (rows, columns) = covered(problem, kernel);
    let tile = f64::from(kernel.tile.rows_per_thread * kernel.tile.cols_per_thread);
    // A K quad is four multiply-adds per row and column, and the tile's loads shared out.
    let k_quads = match (kernel.winograd, problem.op) {
        (Some(_), _) => problem.inputs[0].1.vec4_per_pixel(),
        // A slice's share: the rows of all slices are counted.
        (None, op) => op.reduction_length().div_ceil(4 * kernel.k_slices as usize),
    } as f64;
    let sums = match kernel.family.method() {
        Method::Matrix => rows * columns * matrix_quad(kernel, capabilities) * k_quads,
        _ => rows * columns * (4.0 + loads(kernel, capabilities) / tile) * k_quads,
    };
    let gain = if kernel.winograd.is_some() { WINOGRAD_GAIN } else { 1.0 };
    let busy = (sums + transforms(problem, kernel, capabilities))
        * gain
        * idle_share(problem, kernel, capabilities);
    busy.max(waits(problem, kernel, capabilities)) + slices(problem, kernel, capabilities)
}

/// The minimum time of a workgroup of a kernel for matrix units: it processes its stages of K one
/// after the other, loading each a stage ahead, and so waits for memory once per stage. In
/// multiply-adds of a vec4: about 0.3 us on a large GPU, from its last-level cache, and 0.5 us on
/// one with a tenth of its speed. Estimates, as no GPU has been measured. For other kernels, waits
/// are part of the idle share of the device.
fn waits(problem: &Problem, kernel: &Kernel, capabilities: &Capabilities) -> f64 {
    let wait = match (kernel.family.method(), capabilities.kind) {
        (Method::Matrix, DeviceKind::Integrated) => 2.5e5,
        (Method::Matrix, DeviceKind::Discrete) => 1.5e6,
        _ => return 0.0,
    };
    kernel.stages_of_k(problem).div_ceil(kernel.k_slices as usize) as f64 * wait
}

/// The cost of norms: for each pixel, the columns that its tiles cover, and its share of what a
/// tile loads or computes once.
fn norm_cost(problem: &Problem, kernel: &Kernel) -> f64 {
    let Tile { workgroup_x, rows_per_thread, cols_per_thread, .. } = kernel.tile;
    let (item, layout) = problem.inputs[0];
    let columns = match problem.op {
        // Its lanes go on in the next pixel.
        Op::Train(TrainOp::NormApply { .. } | TrainOp::NormGrad { .. }) => layout.vec4_per_pixel(),
        _ => layout.vec4_per_pixel().next_multiple_of((workgroup_x * cols_per_thread) as usize),
    };
    (item.pixels() * columns) as f64 * (1.0 + 1.0 / f64::from(rows_per_thread * cols_per_thread))
}

/// The cost of the gradient of weights, in steps of four pixels: the multiply-adds and the loads of
/// each tile of input and output channels.
fn weight_grad_cost(
    conv: &Conv,
    problem: &Problem,
    kernel: &Kernel,
    capabilities: &Capabilities,
) -> f64 {
    let Tile { workgroup_x, rows_per_thread, cols_per_thread, .. } = kernel.tile;
    let [columns_in, columns_out] =
        [0, 1].map(|input: usize| problem.inputs[input].1.vec4_per_pixel() as f64);
    let (memory, _, _) = costs(kernel, capabilities);
    let loads = match kernel.family.method() {
        Method::Subgroup => {
            4.0 * f64::from(cols_per_thread)
                + 4.0 * f64::from(rows_per_thread) / f64::from(workgroup_x)
        }
        _ => 4.0 * f64::from(rows_per_thread + cols_per_thread),
    };
    let tiles_out =
        (columns_out / f64::from(workgroup_x * cols_per_thread)).ceil() * f64::from(workgroup_x);
    let tiles_in =
        (columns_in / conv.groups as f64 / f64::from(rows_per_thread)).ceil() * conv.taps() as f64;
    let pixels = problem.inputs[1].0.pixels() as f64 / 4.0;
    pixels
        * tiles_out
        * tiles_in
        * (16.0 * f64::from(rows_per_thread * cols_per_thread) + memory * loads)
}

/// The cost of slices of K: each stores its sums, and a second dispatch loads them. It has one
/// invocation per `vec4`, enough to keep a device busy with loads. The planes are in a GPU's
/// caches, though not in the nearest: they have a few MB at most where splitting K pays off.
fn slices(problem: &Problem, kernel: &Kernel, capabilities: &Capabilities) -> f64 {
    if !kernel.is_split() {
        return 0.0;
    }
    let (slices, rows) = kernel.gemm_batch(problem);
    let moved = 2 * slices * rows * problem.output.1.vec4_per_pixel();
    let each = match kernel.family.method() {
        // Compared with such a fast unit, a vec4 of f32 takes as long as 25 multiply-adds outside
        // of it: 16 bytes at some 3 TB/s.
        Method::Matrix => 25.0,
        _ => costs(kernel, capabilities).0,
    };
    moved as f64 * each + another_dispatch(kernel, capabilities.kind)
}

/// The cost of a load or store of the Winograd planes, relative to the load of a row of a product.
/// The planes are written by one dispatch and read by the next, so they do not stay in the caches
/// (from the rates of conv2 of ResNet-50's stages on lavapipe of Mesa 22.3).
const PLANES: f64 = 4.0;

/// The speedup that a Winograd convolution must have, because of its other costs: two more kernels
/// to compile, larger weights and planes, and lost digits.
const WINOGRAD_GAIN: f64 = 1.2;

/// The cost of the Winograd transforms, and of storing the products.
fn transforms(problem: &Problem, kernel: &Kernel, capabilities: &Capabilities) -> f64 {
    let Some(winograd) = kernel.winograd else { return 0.0 };
    let (positions, tiles) = kernel.gemm_batch(problem);
    let outputs = winograd.outputs() * winograd.outputs();
    let load = PLANES * costs(kernel, capabilities).0;
    // A tile's inputs are loaded and their transforms stored, at about four additions each; then
    // the products are stored, loaded, and the outputs stored.
    let [before, after] = [2 * positions, 2 * positions + outputs]
        .map(|moved| moved as f64 * load + 4.0 * positions as f64);
    let [columns_in, columns_out] =
        [problem.inputs[0].1, problem.output.1].map(|layout| layout.vec4_per_pixel() as f64);
    let weights = if kernel.transforms_weights_each_run {
        winograd::weights_of_a_tap(problem) * (9 + positions)
    } else {
        0
    };
    tiles as f64 * (columns_in * before + columns_out * after) + weights as f64 * load
}

/// The cost of a quad of K for a `vec4` of sums on matrix units: a tenth of its four multiply-adds,
/// and its share of the tile's loads, with half the bytes. Estimates, as no GPU has been measured.
fn matrix_quad(kernel: &Kernel, capabilities: &Capabilities) -> f64 {
    let [rows, columns] = [kernel.tile_rows(), kernel.tile_columns()].map(f64::from);
    let (memory, _, _) = costs(kernel, capabilities);
    0.4 + memory / 2.0 * (rows + 4.0 * columns) / (rows * columns)
}

/// The costs of loading a vec4 from memory, from weights, and from workgroup memory, in
/// multiply-adds of a vec4.
fn costs(kernel: &Kernel, capabilities: &Capabilities) -> (f64, f64, f64) {
    // Of a vec4 from memory: about 14 on a software driver, 11 in words of 64 bits and 3 from a
    // texture (from the rates of subgroup tiles on lavapipe of Mesa 22.3), and about 4 on hardware.
    // Of one from workgroup memory: the same on a software driver, half of it on hardware. Those of
    // hardware are estimates, until the benchmark harness has measured them.
    match (capabilities.kind, kernel.access) {
        (DeviceKind::Software, Access::Vectors) => (14.0, 14.0, 14.0),
        (DeviceKind::Software, Access::Texture) => (11.0, 3.0, 14.0),
        _ => (4.0, 4.0, 2.0),
    }
}

/// The cost of the loads of one invocation for one K quad, in multiply-adds of a vec4.
fn loads(kernel: &Kernel, capabilities: &Capabilities) -> f64 {
    let Tile { workgroup_x, workgroup_y, rows_per_thread, cols_per_thread } = kernel.tile;
    let (x, y, r, c) = (
        f64::from(workgroup_x),
        f64::from(workgroup_y),
        f64::from(rows_per_thread),
        f64::from(cols_per_thread),
    );
    let (memory, weights, on_chip) = costs(kernel, capabilities);
    match kernel.family.method() {
        // The loads of matrix kernels are counted in `matrix_quad`.
        Method::Elementwise | Method::Matrix => 0.0,
        Method::Registers => memory * r + weights * 4.0 * c,
        Method::Subgroup => memory * (r / x).ceil() + weights * 4.0 * c,
        Method::Staged => memory * r / x + weights * 4.0 * c / y + on_chip * (r + 4.0 * c),
        // A window serves three taps.
        Method::Window => memory * f64::from(kernel.window()) / 3.0 + weights * 4.0 * c,
        // One that slides down serves nine, and its weights a whole strip.
        Method::Slide => memory * f64::from(kernel.window()) / 9.0,
        Method::StagedGroups => on_chip * f64::from(kernel.window()) / 3.0 + weights * 4.0 * c,
    }
}
