//! The tiles of each family's candidates.

use super::tile::ELEMENTWISE_TILE;
use super::{Access, Family, Method, Tile};

/// Register tiles of the convolutions. A `workgroup_y` of 1 suits a software driver, which runs the
/// workgroup as one subgroup and for which loads dominate (large tiles). A larger `workgroup_y`
/// fills a GPU's subgroups (smaller tiles, more of them in flight).
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

/// Grouped register tiles have one column, because two columns of an invocation may belong to
/// different groups.
const GROUPED_TILES: [Tile; 4] =
    [Tile::new(8, 1, 8, 1), Tile::new(8, 1, 2, 1), Tile::new(8, 8, 4, 1), Tile::new(16, 4, 1, 1)];

/// Subgroup tiles: `rows_per_thread` is a multiple of `workgroup_x`, which equals the device's
/// subgroup size.
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
/// invocation, which are in longer runs of memory, and two for 64 channels. The smallest tile
/// compiles in a sixth of the time and takes up to 1.4 times as long to run: it is for few runs.
const TEXTURE_TILES: [Tile; 3] =
    [Tile::new(8, 1, 14, 4), Tile::new(8, 1, 16, 2), Tile::new(8, 1, 8, 1)];

/// The same for convolutions with larger loop bodies, which are slower with four columns
/// (benches/NOTES.md).
const TEXTURE_TILES_OF_TWO: [Tile; 3] =
    [Tile::new(8, 1, 14, 2), Tile::new(8, 1, 16, 2), Tile::new(8, 1, 8, 1)];

/// Staged tiles, in output pixels by channels: 64 x 64 in two shapes; 32 x 32 and 16 x 64 for small
/// maps; 128 x 128 for large batches, with two stages of 32 KiB of workgroup memory in total; 128 x
/// 64 and 64 x 128, which need half the registers of that.
const STAGED_TILES: [Tile; 7] = [
    Tile::new(8, 8, 8, 2),
    Tile::new(16, 16, 4, 1),
    Tile::new(8, 8, 4, 1),
    Tile::new(16, 4, 4, 1),
    Tile::new(16, 16, 8, 2),
    Tile::new(16, 16, 8, 1),
    Tile::new(16, 16, 4, 2),
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

/// Staged tiles of whole groups: `workgroup_y` counts image rows, `rows_per_thread` adjacent
/// pixels, and `workgroup_x` columns.
const STAGED_GROUPS_TILES: [Tile; 3] =
    [Tile::new(8, 8, 8, 1), Tile::new(8, 8, 4, 1), Tile::new(8, 4, 4, 1)];

/// The mean: `workgroup_y` divides the pixels of an image. With sixteen parts, llvmpipe can sum a
/// million pixels.
const MEAN_TILES: [Tile; 1] = [Tile::new(8, 16, 1, 1)];

/// Tiles of the Winograd GEMM batch, whose rows are tiles of the image. There are few of each kind,
/// as each is a candidate with both Winograd tile sizes.
const WINOGRAD_TILES: [Tile; 2] = [Tile::new(8, 1, 16, 2), Tile::new(16, 4, 4, 1)];
const WINOGRAD_SUBGROUP_TILES: [Tile; 2] = [Tile::new(8, 1, 16, 2), Tile::new(4, 1, 16, 2)];

/// Sums over the pixels of a batch, per channel: `workgroup_y` divides the pixels.
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

/// The tiles of a family's kernels with this way of memory access.
pub(super) fn tiles(family: Family, access: Access) -> &'static [Tile] {
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
