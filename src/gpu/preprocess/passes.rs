//! The two passes of an image: its geometry and its weights.

use crate::image::{Geometry, Taps};

/// The two passes of an image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passes<'a> {
    pub geometry: &'a Geometry,
    /// The weights along the rows.
    pub across: &'a Taps,
    /// The weights along the columns.
    pub down: &'a Taps,
}

impl Passes<'_> {
    /// Width and height of the first pass's output.
    pub fn middle(&self) -> [u32; 2] {
        let Geometry { columns, rows, columns_first } = self.geometry;
        if *columns_first { [self.across.span, rows.kept] } else { [columns.kept, self.down.span] }
    }
}
