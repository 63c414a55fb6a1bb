//! The candidates: kernels that can run a step.

use std::collections::HashSet;

use super::matrix::{GROUPED_MATRIX_TILES, MATRIX_SPLITS, MATRIX_TILES, MatrixTile};
use super::tile::ELEMENTWISE_TILE;
use super::{
    Access, Capabilities, DeviceKind, Family, Kernel, Method, Problem, Tile, Winograd, split_k,
};
use crate::op::{Epilogue, Op, TrainOp};
use crate::tensor::DType;

/// Register tiles of the convolutions. One slice suits a software driver, which runs it as one
/// subgroup and for which loads dominate (large tiles). Several slices fill a GPU's subgroups
/// (smaller tiles, more of them in flight).
const REGISTER_TILES: [Tile; 8] = [
    Tile::new(8, 1, 16, 2),
    Tile::new(8, 1, 16, 1),
    Tile::new(8, 1, 8, 2),
    Tile::new(8, 1, 4, 1),
    Tile::new(8, 8, 8, 2),
    Tile::new(8, 8, 8, 1),
    Tile::new(16, 4, 4, 1),
    Tile::new(16, 4, 1, 1),
];

/// Grouped register tiles have one column, because two columns of a lane may belong to different
/// groups.
const GROUPED_TILES: [Tile; 4] =
    [Tile::new(8, 1, 8, 1), Tile::new(8, 1, 2, 1), Tile::new(8, 8, 4, 1), Tile::new(16, 4, 1, 1)];

/// Subgroup tiles: rows are a multiple of the lanes, and lanes equal the device's subgroup size.
const SUBGROUP_TILES: [Tile; 6] = [
    Tile::new(8, 1, 24, 2),
    Tile::new(8, 1, 16, 2),
    Tile::new(8, 1, 8, 2),
    Tile::new(8, 1, 8, 1),
    Tile::new(4, 1, 16, 2),
    Tile::new(4, 1, 8, 1),
];

/// Subgroup tiles with weights from a texture, where loads are cheap, so that more columns pay off.
/// There are few, because lavapipe does not cache compiled kernels that read textures, and needs
/// half a second for one. 14 rows divide the maps of ResNet. A 1x1 convolution has four columns per
/// lane, which are in longer runs of memory, and two for 64 channels. The smallest tile compiles in
/// a sixth of the time and takes up to 1.4 times as long to run: it is for the first output.
const TEXTURE_TILES: [Tile; 3] =
    [Tile::new(8, 1, 14, 4), Tile::new(8, 1, 16, 2), Tile::new(8, 1, 8, 1)];

/// The same for convolutions with larger loop bodies, which are slower with four columns
/// (benches/NOTES.md).
const TEXTURE_TILES_OF_TWO: [Tile; 3] =
    [Tile::new(8, 1, 14, 2), Tile::new(8, 1, 16, 2), Tile::new(8, 1, 8, 1)];

/// Staged tiles, in output pixels by channels: 64 x 64 in two shapes; 32 x 32 and 16 x 64 for small
/// maps; 128 x 128 for large batches, with two stages of 32 KiB of workgroup memory in total.
const STAGED_TILES: [Tile; 5] = [
    Tile::new(8, 8, 8, 2),
    Tile::new(16, 16, 4, 1),
    Tile::new(8, 8, 4, 1),
    Tile::new(16, 4, 4, 1),
    Tile::new(16, 16, 8, 2),
];

/// Window tiles: rows are pixels of one output row, either a whole row of ResNeXt's maps or a part.
/// Not 28 at once: that is no faster on lavapipe than 14, and SwiftShader takes minutes to compile
/// that many registers.
const WINDOW_TILES: [Tile; 6] = [
    Tile::new(8, 1, 14, 2),
    Tile::new(8, 1, 14, 1),
    Tile::new(8, 1, 7, 2),
    Tile::new(8, 1, 7, 1),
    Tile::new(16, 4, 4, 2),
    Tile::new(16, 4, 4, 1),
];

/// Window tiles whose weights come from a texture.
const TEXTURE_WINDOW_TILES: [Tile; 2] = [Tile::new(8, 1, 14, 2), Tile::new(8, 1, 14, 1)];

/// Tiles that slide down the image: rows are pixels of one image row. 7 divides the maps of ResNet.
const SLIDE_TILES: [Tile; 1] = [Tile::new(8, 1, 7, 1)];

/// Staged tiles of whole groups: slices are image rows, rows are adjacent pixels, lanes are
/// columns.
const STAGED_GROUPS_TILES: [Tile; 3] =
    [Tile::new(8, 8, 8, 1), Tile::new(8, 8, 4, 1), Tile::new(8, 4, 4, 1)];

/// The mean: a workgroup's slices share the pixels of an image. With sixteen, llvmpipe can sum a
/// million pixels.
const MEAN_TILES: [Tile; 1] = [Tile::new(8, 16, 1, 1)];

/// Tiles of the Winograd GEMM batch, whose rows are tiles of the image. There are few of each kind,
/// as each is a candidate with both Winograd tile sizes.
const WINOGRAD_TILES: [Tile; 2] = [Tile::new(8, 1, 16, 2), Tile::new(16, 4, 4, 1)];
const WINOGRAD_SUBGROUP_TILES: [Tile; 2] = [Tile::new(8, 1, 16, 2), Tile::new(4, 1, 16, 2)];

/// Winograd tiles, with weights transformed by the host or by a dispatch.
const WINOGRADS: [(Option<Winograd>, bool); 4] = [
    (Some(Winograd::F2x2), false),
    (Some(Winograd::F4x4), false),
    (Some(Winograd::F2x2), true),
    (Some(Winograd::F4x4), true),
];

/// Sums over the pixels of a batch, per channel: slices divide the pixels.
const NORM_TILES: [Tile; 4] =
    [Tile::new(8, 1, 1, 1), Tile::new(8, 1, 1, 2), Tile::new(8, 1, 1, 4), Tile::new(8, 8, 1, 1)];

/// Operations on each pixel with values of its channel: rows are pixels.
const NORM_ROWS_TILES: [Tile; 2] = [Tile::new(64, 1, 4, 1), ELEMENTWISE_TILE];

/// The gradient of weights: rows are `vec4`s of input channels.
const WEIGHT_GRAD_TILES: [Tile; 4] =
    [Tile::new(8, 1, 4, 1), Tile::new(8, 1, 1, 1), Tile::new(8, 8, 4, 1), Tile::new(8, 8, 1, 1)];

/// The same with broadcasts: rows are `vec4`s of input channels, with four times as many sums.
const WEIGHT_GRAD_SUBGROUP_TILES: [Tile; 4] =
    [Tile::new(8, 1, 8, 2), Tile::new(8, 1, 4, 2), Tile::new(8, 1, 4, 1), Tile::new(4, 1, 4, 2)];

/// The same with the gradient from a texture.
const TEXTURE_WEIGHT_GRAD_TILES: [Tile; 3] =
    [Tile::new(8, 1, 8, 2), Tile::new(8, 1, 4, 4), Tile::new(8, 1, 4, 2)];

fn tiles(family: Family, access: Access) -> &'static [Tile] {
    match family.method() {
        // Theirs are in `matrix`.
        Method::Matrix => &[],
        Method::Registers if family.is_winograd() => &WINOGRAD_TILES,
        Method::Subgroup if family == Family::WeightGradSubgroup && access == Access::Texture => {
            &TEXTURE_WEIGHT_GRAD_TILES
        }
        Method::Subgroup if family == Family::WeightGradSubgroup => &WEIGHT_GRAD_SUBGROUP_TILES,
        Method::Subgroup if access == Access::Vectors && family.is_winograd() => {
            &WINOGRAD_SUBGROUP_TILES
        }
        // Products are in the loops of 1x1 convolutions.
        Method::Subgroup
            if access == Access::Texture && family.file() == Family::Conv1x1Subgroup.name() =>
        {
            &TEXTURE_TILES
        }
        Method::Subgroup if access == Access::Texture => &TEXTURE_TILES_OF_TWO,
        Method::Window if access == Access::Texture => &TEXTURE_WINDOW_TILES,
        Method::Registers if family == Family::Conv3x3Grouped => &GROUPED_TILES,
        Method::Registers => &REGISTER_TILES,
        Method::Subgroup => &SUBGROUP_TILES,
        Method::Staged => &STAGED_TILES,
        Method::Window => &WINDOW_TILES,
        Method::Slide => &SLIDE_TILES,
        Method::StagedGroups => &STAGED_GROUPS_TILES,
        Method::Elementwise if family == Family::GlobalAvgPool => &MEAN_TILES,
        Method::Elementwise if matches!(family, Family::NormStats | Family::NormGradSums) => {
            &NORM_TILES
        }
        Method::Elementwise if matches!(family, Family::NormApply | Family::NormGrad) => {
            &NORM_ROWS_TILES
        }
        Method::Elementwise if family == Family::WeightGrad => &WEIGHT_GRAD_TILES,
        Method::Elementwise => std::slice::from_ref(&ELEMENTWISE_TILE),
    }
}

/// The kernels of a family without an epilogue: its tiles, for each way of memory access, element
/// type, Winograd tile and number of slices of K.
fn variants(family: Family) -> impl Iterator<Item = Kernel> {
    let winograds: &[(Option<Winograd>, bool)] =
        if family.is_winograd() { &WINOGRADS } else { &[(None, false)] };
    let of_access = move |&access: &Access| {
        let kernel = move |(&(dtype, output_dtype), &tile): (&(DType, DType), &Tile)| {
            let of_winograd = move |&(winograd, fresh): &(Option<Winograd>, bool)| Kernel {
                family,
                tile,
                epilogue: Epilogue::default(),
                strided: false,
                access,
                dtype,
                output_dtype,
                winograd,
                transforms_weights_each_run: fresh,
                matrix_side: 0,
                k_slices: 1,
            };
            winograds.iter().map(of_winograd)
        };
        let elements = family.dtypes(access).iter();
        elements
            .flat_map(move |dtype| tiles(family, access).iter().map(move |tile| (dtype, tile)))
            .flat_map(kernel)
    };
    let with_splits = |kernel: Kernel| {
        let staged = kernel.family.method() == Method::Staged;
        let splits = split_k::SPLITS.iter().filter(move |(tile, _)| staged && *tile == kernel.tile);
        std::iter::once(kernel)
            .chain(splits.map(move |&(_, k_slices)| Kernel { k_slices, ..kernel }))
    };
    family
        .accesses()
        .iter()
        .flat_map(of_access)
        .flat_map(with_splits)
        .chain(matrix_variants(family))
}

/// The same for kernels on matrix units.
fn matrix_variants(family: Family) -> impl Iterator<Item = Kernel> {
    let (tiles, splits): (&[MatrixTile], &[(MatrixTile, u32)]) = match family {
        Family::Conv3x3GroupedMatrix => (&GROUPED_MATRIX_TILES, &[]),
        _ if family.method() == Method::Matrix => (&MATRIX_TILES, &MATRIX_SPLITS),
        _ => (&[], &[]),
    };
    let forms = move || tiles.iter().map(|&tile| (tile, 1)).chain(splits.iter().copied());
    let elements = family.dtypes(Access::Vectors).iter();
    elements.flat_map(move |elements| forms().map(move |form| (elements, form))).map(
        move |(&(dtype, output_dtype), (MatrixTile { side, tile }, k_slices))| Kernel {
            family,
            tile,
            epilogue: Epilogue::default(),
            strided: false,
            access: Access::Vectors,
            dtype,
            output_dtype,
            winograd: None,
            transforms_weights_each_run: false,
            matrix_side: side,
            k_slices,
        },
    )
}

/// Every kernel that can run the problem on a device with these capabilities.
#[must_use]
pub fn candidates(problem: &Problem, capabilities: &Capabilities) -> Vec<Kernel> {
    let (epilogue, strided) = match problem.op {
        Op::Conv { conv, epilogue } => (epilogue, conv.stride != 1),
        Op::JoinedConv { relu, .. } => (Epilogue { bias: true, residual: false, relu }, false),
        Op::BatchNorm { relu, .. } | Op::Add { relu, .. } => {
            (Epilogue { relu, ..Epilogue::default() }, false)
        }
        Op::MaxPool { .. } | Op::GlobalAvgPool { .. } | Op::Convert { .. } => {
            (Epilogue::default(), false)
        }
        Op::Train(TrainOp::NormApply { relu, residual, .. }) => {
            (Epilogue { bias: false, residual, relu }, false)
        }
        Op::Train(TrainOp::NormGradSums { relu, .. } | TrainOp::NormGrad { relu, .. }) => {
            (Epilogue { relu, ..Epilogue::default() }, false)
        }
        Op::Train(_) => (Epilogue::default(), false),
    };
    let of_family = |&family: &Family| {
        let strided = strided && family.has_strided_form();
        variants(family).map(move |kernel| Kernel { epilogue, strided, ..kernel })
    };
    let every = Family::of(&problem.op).iter().flat_map(of_family);
    let elements = (problem.dtype, problem.output_dtype);
    let every = every.filter(|kernel| (kernel.dtype, kernel.output_dtype) == elements);
    every
        .filter(|kernel| {
            kernel.suits(problem, capabilities) && kernel.runs_on(capabilities).is_ok()
        })
        .collect()
}

impl Kernel {
    /// Whether a device with these capabilities can run the kernel, and it is of use there.
    ///
    /// # Errors
    /// The reason, in words.
    pub fn runs_on(&self, capabilities: &Capabilities) -> Result<(), &'static str> {
        let Tile { workgroup_x, workgroup_y, .. } = self.tile;
        let demands = [
            (
                !self.family.uses_subgroups() || capabilities.subgroup_size == Some(workgroup_x),
                "not every subgroup has as many lanes as its tile",
            ),
            (self.access == Access::Vectors || capabilities.int64, "no 64-bit integers"),
            (!self.uses_f16() || capabilities.f16, "no numbers of half precision"),
            (
                match self.matrix_side {
                    0 => true,
                    8 => capabilities.matrices_of_8,
                    _ => capabilities.matrices_of_16,
                },
                "no matrix units for matrices of its side",
            ),
            (
                self.access == Access::Vectors || capabilities.kind == DeviceKind::Software,
                "weights from a texture are for software drivers",
            ),
            (
                workgroup_x <= capabilities.max_workgroup_x
                    && workgroup_y <= capabilities.max_workgroup_y
                    && workgroup_x * workgroup_y <= capabilities.max_invocations,
                "the workgroup is too large",
            ),
            (
                self.workgroup_bytes() <= capabilities.max_workgroup_bytes,
                "too little workgroup memory",
            ),
        ];
        demands.iter().find(|(met, _)| !met).map_or(Ok(()), |&(_, why)| Err(why))
    }

    /// Whether the kernel supports the problem's form and size, beyond its operation.
    fn suits(&self, problem: &Problem, capabilities: &Capabilities) -> bool {
        if self.winograd.is_some() && problem.weights_change != self.transforms_weights_each_run {
            return false;
        }
        if self.family == Family::WeightGradSubgroup && self.access == Access::Texture {
            let size = self.copied_texture(problem, capabilities).map(|(size, _)| size);
            return size.is_some_and(|[width, _]| width <= capabilities.max_texture_side);
        }
        let copied = self.copied_texture(problem, capabilities).map(|(size, _)| size);
        let texture = self.weights_texture(problem).or(copied).unwrap_or_default();
        // Weights that change are copied into their texture, whose lines a copy wants in multiples
        // of 256 bytes.
        if problem.weights_change
            && !(texture[0] as usize * 4 * DType::F32.bytes()).is_multiple_of(256)
        {
            return false;
        }
        if texture.into_iter().any(|side| side > capabilities.max_texture_side) {
            return false;
        }
        let fits = |bytes: usize| bytes as u64 <= capabilities.max_binding_bytes;
        if self.is_split() {
            return split_k::suits(self, problem)
                && self.scratch_bytes(problem).into_iter().all(fits);
        }
        let Op::Conv { conv, .. } = problem.op else { return true };
        if let Some(winograd) = self.winograd {
            let weights = self.packed_values(problem) * DType::F32.bytes();
            return winograd.suits(&conv)
                && fits(weights)
                && self.scratch_bytes(problem).into_iter().all(fits);
        }
        let (lanes, cols) = (self.tile.workgroup_x as usize, self.tile.cols_per_thread as usize);
        let group_columns = problem.output.1.vec4_per_pixel() / conv.groups;
        let short_steps = conv.dilation == 1 && conv.stride <= 2;
        match self.family.method() {
            // All columns of a lane lie in one group.
            Method::Window => short_steps && group_columns.is_multiple_of(cols),
            // The weights of a lane are those of one vec4.
            Method::Slide => {
                let in_columns = problem.inputs[0].1.vec4_per_pixel() / conv.groups;
                conv.dilation == 1 && conv.stride == 1 && in_columns == 1
            }
            // A tile's columns are whole groups, or a part of one; and its input columns lie as
            // they do.
            Method::Matrix if self.family == Family::Conv3x3GroupedMatrix => {
                let in_columns = problem.inputs[0].1.vec4_per_pixel() / conv.groups;
                let columns = self.tile_columns() as usize;
                in_columns == group_columns
                    && (columns.is_multiple_of(group_columns)
                        || group_columns.is_multiple_of(columns))
            }
            // A workgroup's columns are whole groups, and its input columns the same.
            Method::StagedGroups => {
                let in_columns = problem.inputs[0].1.vec4_per_pixel() / conv.groups;
                short_steps && in_columns == group_columns && lanes.is_multiple_of(group_columns)
            }
            _ => true,
        }
    }
}

/// Every specialisation that can ever be built, family by family, for validation by tests. A
/// candidate with several dispatches contributes each of them.
#[must_use]
pub fn all_specialisations() -> Vec<Kernel> {
    let mut seen = HashSet::new();
    let stages = all_candidates()
        .into_iter()
        .chain(training_candidates())
        .flat_map(|kernel| kernel.dispatches());
    let mut all: Vec<Kernel> = stages.filter(|&kernel| seen.insert(kernel)).collect();
    all.sort_by_key(|kernel| kernel.family as usize);
    all
}

/// Every possible candidate for a step of inference.
#[must_use]
pub fn all_candidates() -> Vec<Kernel> {
    let flags = [false, true];
    let mut all = Vec::new();
    for family in
        Family::ALL.into_iter().filter(|family| !family.is_auxiliary() && !family.is_training())
    {
        for kernel in variants(family).filter(|kernel| !kernel.transforms_weights_each_run) {
            for (strided, bias, residual, relu) in (0..16).map(|bits| {
                (flags[bits >> 3], flags[bits >> 2 & 1], flags[bits >> 1 & 1], flags[bits & 1])
            }) {
                let possible = match family {
                    Family::Conv1x1Joined
                    | Family::Conv1x1JoinedStaged
                    | Family::Conv1x1JoinedSubgroup
                    | Family::Conv1x1JoinedMatrix => bias && !residual,
                    Family::BatchNormRelu | Family::ResidualAdd => !bias && !residual,
                    Family::MaxPool | Family::GlobalAvgPool | Family::Convert => {
                        !bias && !residual && !relu
                    }
                    Family::Conv7x7 | Family::Conv7x7Subgroup => !residual,
                    _ => true,
                };
                // Such a step has nothing but its sums.
                let widens = kernel.dtype == DType::F16 && kernel.output_dtype == DType::F32;
                let possible = possible && !(widens && (bias || residual || relu));
                if possible && (!strided || family.has_strided_form()) {
                    all.push(Kernel {
                        epilogue: Epilogue { bias, residual, relu },
                        strided,
                        ..kernel
                    });
                }
            }
        }
    }
    all
}

/// Every possible candidate for a step that occurs in training only.
#[must_use]
pub fn training_candidates() -> Vec<Kernel> {
    let mut all = Vec::new();
    let trains =
        |family: &Family| (family.is_training() || family.is_winograd()) && !family.is_auxiliary();
    for family in Family::ALL.into_iter().filter(trains) {
        let convolves = family.is_winograd();
        let relus = matches!(family, Family::NormApply | Family::NormGradSums | Family::NormGrad)
            || convolves;
        let epilogues = [(false, false), (false, true), (true, false), (true, true)]
            .into_iter()
            .filter(|&(residual, relu)| {
                (!residual || convolves || family == Family::NormApply) && (!relu || relus)
            })
            .map(|(residual, relu)| Epilogue { bias: false, residual, relu });
        for kernel in
            variants(family).filter(|kernel| kernel.transforms_weights_each_run == convolves)
        {
            all.extend(epilogues.clone().map(|epilogue| Kernel { epilogue, ..kernel }));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::tile::STAGE_QUADS;
    use super::*;

    /// The requirements of the shader source on a tile, so that its loads are divided evenly.
    #[test]
    fn tiles_are_whole_numbers_of_loads() {
        for Tile { workgroup_x, workgroup_y, rows_per_thread, cols_per_thread } in STAGED_TILES {
            let name = format!("l{workgroup_x}s{workgroup_y}r{rows_per_thread}c{cols_per_thread}");
            assert_eq!(STAGE_QUADS * rows_per_thread % workgroup_x, 0, "{name}: rows of a stage");
            assert_eq!(
                4 * STAGE_QUADS * cols_per_thread % workgroup_y,
                0,
                "{name}: weights of a stage"
            );
            assert_eq!(workgroup_x * workgroup_y % STAGE_QUADS, 0, "{name}: invocations by quad");
        }
        for Tile { workgroup_x, rows_per_thread, .. } in SUBGROUP_TILES {
            assert_eq!(
                rows_per_thread % workgroup_x,
                0,
                "l{workgroup_x}r{rows_per_thread}: rows by lane"
            );
        }
    }
}
