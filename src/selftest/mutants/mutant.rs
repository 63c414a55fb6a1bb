//! A mutant: a kernel family with one fault.

use serde::Serialize;

use crate::kernel::{Family, Kernel};
use crate::shader::Patch;

/// Kinds of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// An index or a bound off by one.
    OffByOne,
    /// A missing check for the last rows, columns or values of a tile.
    MissingTail,
    /// A dropped barrier.
    DroppedBarrier,
    /// A stride or size confused with another.
    SwappedStride,
    /// A missing bias, scale or shift.
    LostBias,
    /// A group, or a workgroup, at a wrong offset.
    WrongGroup,
    /// The dilation ignored at one edge.
    DilationIgnored,
    /// ReLU before an addition, or missing.
    ReluOrder,
    /// A stale value of a tile, of a lane or of a loop.
    StaleTile,
    /// Padding read as data, or not written as zero.
    PaddingAsData,
    /// The second input read from a wrong position.
    WrongResidual,
    /// A missing or wrong term, factor or sign of a formula.
    WrongTerm,
    /// NaN replaced by a number.
    NanSwallowed,
}

impl Fault {
    /// The fault in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OffByOne => "index off by one",
            Self::MissingTail => "missing tail check",
            Self::DroppedBarrier => "dropped barrier",
            Self::SwappedStride => "swapped stride",
            Self::LostBias => "lost bias",
            Self::WrongGroup => "wrong group offset",
            Self::DilationIgnored => "dilation ignored",
            Self::ReluOrder => "ReLU out of order",
            Self::StaleTile => "stale tile",
            Self::PaddingAsData => "padding as data",
            Self::WrongResidual => "wrong residual",
            Self::WrongTerm => "wrong term",
            Self::NanSwallowed => "NaN swallowed",
        }
    }
}

/// A kernel family with a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mutant {
    /// Its name: the family's and the fault's, e.g. `conv1x1.lost_bias`.
    pub name: &'static str,
    /// The family through which it must be caught.
    pub family: Family,
    /// The kind of fault.
    pub fault: Fault,
    /// The fault.
    pub patches: &'static [Patch],
    /// The reason why no check can distinguish it from the kernel, if that is the case.
    pub equivalent: Option<&'static str>,
}

impl Mutant {
    /// Whether the fault changes the text of a kernel of its family that is launched for this one.
    #[must_use]
    pub fn changes(&self, kernel: &Kernel) -> bool {
        let changed = |stage: &Kernel| {
            stage.family == self.family && stage.source_with(self.patches) != stage.source()
        };
        kernel.dispatches().iter().any(changed)
    }
}

/// A list of mutants of one family: name, fault, and the edits as `file: text => replacement`.
macro_rules! mutants {
    ($family:ident, $prefix:literal: $($name:literal $fault:ident {
        $($file:literal: $find:literal => $replace:literal),+ $(,)?
    })*) => {
        &[$($crate::selftest::mutants::Mutant {
            name: concat!($prefix, ".", $name),
            family: $crate::kernel::Family::$family,
            fault: $crate::selftest::mutants::Fault::$fault,
            patches: &[$($crate::shader::Patch::new($file, $find, $replace)),+],
            equivalent: None,
        }),*]
    };
}

pub(super) use mutants;
