//! Settings of a block.

use crate::network::Norm;

/// Settings of a block that its state dict does not contain. `None` means that the value is derived
/// from the shapes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockOptions {
    /// Stride of the 3x3 convolution and the downsample.
    pub stride: usize,
    /// Dilation and padding of the 3x3 convolution.
    pub dilation: usize,
    /// Groups of the 3x3 convolution; must match `conv2.weight`.
    pub groups: Option<usize>,
    /// Base width; must result in the width of `conv2.weight`.
    pub base_width: Option<usize>,
    /// The norm layer.
    pub norm: Norm,
}

impl Default for BlockOptions {
    fn default() -> Self {
        Self { stride: 1, dilation: 1, groups: None, base_width: None, norm: Norm::default() }
    }
}
