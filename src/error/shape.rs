//! Errors of shapes and sizes.

use super::lack::lack_of_memory;

/// An impossible or mismatched shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// A dimension is zero.
    #[error("{tensor}: shape {dims:?} has a dimension of size zero")]
    ZeroDim {
        /// The tensor.
        tensor: String,
        /// The dimensions found.
        dims: Vec<usize>,
    },
    /// The product of the dimensions does not fit in memory addresses.
    #[error("{tensor}: the size of shape {dims:?} overflows")]
    Overflow {
        /// The tensor.
        tensor: String,
        /// The dimensions found.
        dims: Vec<usize>,
    },
    /// There is not enough memory for a tensor in host memory.
    #[error(
        "{tensor}: shape {dims:?} needs {bytes} bytes of host memory, {}",
        lack_of_memory(*available)
    )]
    Memory {
        /// The tensor, or the description of several tensors.
        tensor: String,
        /// Its dimensions.
        dims: Vec<usize>,
        /// The number of bytes.
        bytes: u64,
        /// The number of available bytes, if it is known.
        available: Option<u64>,
    },
    /// A tensor has a different shape than required.
    #[error("{tensor}: expected shape {expected:?}, found {found:?}")]
    Mismatch {
        /// The tensor.
        tensor: String,
        /// The required dimensions.
        expected: Vec<usize>,
        /// The dimensions found.
        found: Vec<usize>,
    },
    /// The number of values is not the product of the dimensions.
    #[error("{tensor}: expected {expected} values, found {found}")]
    Length {
        /// The tensor.
        tensor: String,
        /// The product of the dimensions.
        expected: usize,
        /// The number of values passed.
        found: usize,
    },
    /// A convolution whose stride or dilation is not from 1 to 2^24, or whose groups do not divide
    /// its channels.
    #[error(
        "{name}: stride {stride}, dilation {dilation}, groups {groups} with {in_channels} to \
        {out_channels} channels is not a valid convolution: stride and dilation must be from 1 to \
        16777216, and the groups must divide both numbers of channels"
    )]
    ImpossibleConv {
        /// The operation.
        name: &'static str,
        /// Channels read.
        in_channels: usize,
        /// Channels written.
        out_channels: usize,
        /// Its stride.
        stride: usize,
        /// Its dilation.
        dilation: usize,
        /// Its groups.
        groups: usize,
    },
    /// A norm that uses batch statistics has one value per channel, which has no variance.
    #[error("{norm}: expected more than 1 value per channel when training, found shape {found:?}")]
    SingleValue {
        /// The norm.
        norm: String,
        /// The shape of its input.
        found: Vec<usize>,
    },
    /// A tensor does not have four dimensions.
    #[error("{tensor}: expected 4 dimensions (N, C, H, W), found shape {dims:?}")]
    Rank {
        /// The tensor.
        tensor: String,
        /// The dimensions found.
        dims: Vec<usize>,
    },
}

impl ShapeError {
    /// The same error with this name of the tensor, if it is a lack of memory.
    #[must_use]
    pub fn of_tensor(mut self, name: &str) -> Self {
        if let Self::Memory { tensor, .. } = &mut self {
            name.clone_into(tensor);
        }
        self
    }
}
