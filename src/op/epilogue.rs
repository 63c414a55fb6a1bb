//! The epilogue of a convolution.

/// The operations that a convolution applies to its sums before writing them, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Epilogue {
    /// Adds one value per output channel (the bias of a folded norm).
    pub bias: bool,
    /// Adds a second input of the output's shape (an identity shortcut).
    pub residual: bool,
    /// `max(x, 0)`, with NaN kept.
    pub relu: bool,
}
