//! Element types of tensors on the device.

use std::borrow::Cow;

use half::f16;

/// The type of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DType {
    /// IEEE 754 binary32.
    #[default]
    F32,
    /// IEEE 754 binary16.
    F16,
}

impl DType {
    /// Bytes of one value.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::F16 => 2,
        }
    }

    /// Half the distance between 1 and the next larger value: the largest relative error of one
    /// rounding.
    #[must_use]
    pub fn unit_roundoff(self) -> f64 {
        match self {
            DType::F32 => f64::from(f32::EPSILON) / 2.0,
            DType::F16 => f64::from(f16::EPSILON) / 2.0,
        }
    }

    /// The smallest finite magnitude that rounds to infinity: 65520 in half precision.
    #[must_use]
    pub fn overflow(self) -> f64 {
        match self {
            DType::F32 => f64::from(f32::MAX) * (1.0 + self.unit_roundoff() / 2.0),
            DType::F16 => 65520.0,
        }
    }

    /// The type's name: `f32`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
        }
    }

    /// The values as bytes in memory, rounded to nearest.
    #[must_use]
    pub fn encode(self, values: &[f32]) -> Cow<'_, [u8]> {
        match self {
            DType::F32 => Cow::Borrowed(bytemuck::cast_slice(values)),
            DType::F16 => Cow::Owned(
                values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
            ),
        }
    }

    /// The inverse of [`DType::encode`]; bytes after the last whole value are ignored.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> Cow<'_, [f32]> {
        match self {
            // Mapped memory is normally aligned; this handles backends where it is not.
            DType::F32 => match bytemuck::try_cast_slice(bytes) {
                Ok(values) => Cow::Borrowed(values),
                Err(_) => {
                    let (whole, _) = bytes.as_chunks::<4>();
                    Cow::Owned(whole.iter().map(|&value| f32::from_ne_bytes(value)).collect())
                }
            },
            DType::F16 => {
                let (whole, _) = bytes.as_chunks::<2>();
                Cow::Owned(whole.iter().map(|&value| f16::from_le_bytes(value).to_f32()).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_rounded() {
        let values = [1.0, -0.1, 65519.0, 65520.0, 6e-8, f32::INFINITY];
        assert_eq!(*DType::F32.decode(&DType::F32.encode(&values)), values);
        let half = DType::F16.decode(&DType::F16.encode(&values)).into_owned();
        assert_eq!(half[..1], [1.0]);
        assert_eq!((half[2], half[3], half[5]), (65504.0, f32::INFINITY, f32::INFINITY));
        assert!((half[1] + 0.1).abs() <= 0.1 * DType::F16.unit_roundoff() as f32 && half[4] > 0.0);
    }
}
