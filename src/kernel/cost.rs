//! The estimated cost of a kernel for a problem, in multiply-adds of a `vec4`.
//!
//! It serves the ranking rule, which compares kernels for one problem on one device. It is no
//! prediction of a time.

use super::tile::STAGE_QUADS;
use super::{
    Access, Capabilities, DeviceKind, Kernel, Method, Problem, SLIDE_LINES, Tile, winograd,
};
use crate::op::{Conv, Op, TrainOp};

/// Invocations in flight below which hardware idles. A large GPU holds 2048 on each of about 100
/// units, and a little less than half of that hides latency well enough; an integrated GPU holds a
/// tenth. A staged kernel loads a stage ahead, so one workgroup of 256 invocations on each unit is
/// enough. Estimates, until the benchmark harness has measured them.
const fn enough_invocations(method: Method, kind: DeviceKind) -> f64 {
    match (kind, method) {
        (DeviceKind::Software, _) => 0.0,
        (DeviceKind::Integrated, Method::Staged) => 2_560.0,
        (DeviceKind::Integrated, _) => 6_144.0,
        (DeviceKind::Discrete, Method::Staged) => 25_600.0,
        (DeviceKind::Discrete, _) => 65_536.0,
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
pub(super) fn idle_share(problem: &Problem, kernel: &Kernel, capabilities: &Capabilities) -> f64 {
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
    (enough_invocations(kernel.family.method(), capabilities.kind) / invocations).max(1.0)
}

/// The cost of one more dispatch, with the barrier before it, in multiply-adds of a vec4: about 2.5
/// us on a large GPU that does 5e12 of them per second, and the same time on one with a tenth of
/// that. Estimates, as no GPU has been measured. A software driver does not split K.
const fn another_dispatch(kind: DeviceKind) -> f64 {
    match kind {
        DeviceKind::Software => 0.0,
        DeviceKind::Integrated => 1.25e6,
        DeviceKind::Discrete => 1.25e7,
    }
}

/// The cost of a kernel, in multiply-adds of a vec4.
pub(super) fn estimated_cost(
    problem: &Problem,
    kernel: &Kernel,
    capabilities: &Capabilities,
) -> f64 {
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
        Method::Staged if capabilities.kind != DeviceKind::Software => {
            rows * columns * staged_quad(kernel, capabilities) * k_quads
        }
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
    moved as f64 * each + another_dispatch(capabilities.kind)
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

/// The factor for a staged kernel of which a unit holds a single workgroup: at the barrier of a
/// stage, and until the first reads from workgroup memory after it, nothing else runs. About 100 of
/// the 2,048 clocks that the largest tile's stage takes on 128 lanes.
const ALONE: f64 = 1.05;

/// The cost of a quad of K for a `vec4` of sums of a staged kernel on hardware: its arithmetic or
/// its reads of workgroup memory, whichever takes longer, and its share of the tile's loads.
fn staged_quad(kernel: &Kernel, capabilities: &Capabilities) -> f64 {
    let Tile { workgroup_x, workgroup_y, rows_per_thread, cols_per_thread } = kernel.tile;
    let [x, y, r, c] = [workgroup_x, workgroup_y, rows_per_thread, cols_per_thread].map(f64::from);
    let chip = &capabilities.chip;
    let (memory, weights, _) = costs(kernel, capabilities);
    let overhead = f64::from(chip.stage_overhead) / f64::from(4 * STAGE_QUADS);
    let arithmetic = 4.0 * r * c + overhead;
    let width = kernel.dtype.bytes() as f64 / 4.0;
    let reads = chip.shared_load() * width * (r + 4.0 * c);
    let loads = memory * r / x + weights * 4.0 * c / y;
    let alone = if chip.resident(kernel) < 2 { ALONE } else { 1.0 };
    alone * (arithmetic.max(reads) + loads) / (r * c)
}

/// The costs of loading a vec4 from memory, from weights, and from workgroup memory, in
/// multiply-adds of a vec4.
fn costs(kernel: &Kernel, capabilities: &Capabilities) -> (f64, f64, f64) {
    // Of a vec4 from memory: about 14 on a software driver, 11 in words of 64 bits and 3 from a
    // texture (from the rates of subgroup tiles on lavapipe of Mesa 22.3), and about 4 on hardware.
    // Of one from workgroup memory: the same on a software driver, half of it on hardware (for
    // staged kernels see `staged_quad`). Those of hardware are estimates, until the benchmark
    // harness has measured them.
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
