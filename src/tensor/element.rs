//! Element types of tensors on the device.

/// The type of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Element {
    /// IEEE 754 binary32.
    F32,
}

impl Element {
    /// Bytes of one value.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Element::F32 => 4,
        }
    }

    /// Half the distance between 1 and the next larger value: the largest relative error of one rounding.
    #[must_use]
    pub fn unit_roundoff(self) -> f64 {
        match self {
            Element::F32 => f64::from(f32::EPSILON) / 2.0,
        }
    }
}
