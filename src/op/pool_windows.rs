//! The windows of a max pool.

use super::shape_check::same;
use crate::error::ShapeError;
use crate::tensor::Shape;

/// The position and number of the windows of a max pool (3x3, stride 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PoolWindows {
    /// `MaxPool2d(3, 2, padding=1)`, as in torchvision: the first window is centred on the first
    /// pixel.
    #[default]
    Padded,
    /// `MaxPool2d(3, 2, ceil_mode=True)`, as in Caffe: the first window begins at the first pixel,
    /// and the last one may extend beyond the image.
    CeilMode,
}

impl PoolWindows {
    /// Rows and columns of padding before the image, where the first window begins.
    #[must_use]
    pub fn padding(self) -> usize {
        match self {
            Self::Padded => 1,
            Self::CeilMode => 0,
        }
    }

    /// The shape of a max pool's output.
    pub(super) fn output_shape(self, channels: usize, image: Shape) -> Result<Shape, ShapeError> {
        same("input", Shape { c: channels, ..image }, image)?;
        // A single pixel has no window in ceil mode, as in PyTorch.
        let half = |size: usize| size.saturating_add(self.padding()) / 2;
        Shape::new(image.n, channels, half(image.h), half(image.w))
    }
}
