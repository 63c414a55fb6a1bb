//! How a kernel's work is divided.

/// How a kernel's work is divided. Elementwise kernels use only `workgroup_x`; the mean also uses
/// `workgroup_y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Invocations of a workgroup in the direction of the output channels.
    pub workgroup_x: u32,
    /// Invocations of a workgroup in the direction of the output pixels.
    pub workgroup_y: u32,
    /// Output pixels per invocation.
    pub rows_per_thread: u32,
    /// `vec4`s of output channels per invocation.
    pub cols_per_thread: u32,
}

impl Tile {
    /// A tile from its four numbers.
    #[must_use]
    pub const fn new(
        workgroup_x: u32,
        workgroup_y: u32,
        rows_per_thread: u32,
        cols_per_thread: u32,
    ) -> Self {
        Self { workgroup_x, workgroup_y, rows_per_thread, cols_per_thread }
    }
}

/// Elementwise kernels: one vec4 per invocation; for Winograd transforms, one of a tile.
pub(super) const ELEMENTWISE_TILE: Tile = Tile::new(64, 1, 1, 1);

/// Quads of K in one stage of a staged kernel: 16 channels.
pub(super) const STAGE_QUADS: u32 = 4;

/// Output rows that an invocation of a sliding kernel processes. More rows reduce the loads and
/// computations repeated at the ends; fewer rows give more invocations. This is half or all of
/// ResNet's larger maps.
pub(crate) const SLIDE_LINES: u32 = 28;
