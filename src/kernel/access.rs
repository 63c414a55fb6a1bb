//! How a family's kernels access memory, and the element types that they read and write.

use super::{Family, Method};
use crate::tensor::DType;

/// How a kernel accesses memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// `vec4`s in storage buffers.
    Vectors,
    /// The weights from a texture, and all other data as two 64-bit words per `vec4`. For software
    /// drivers that run a loop over the lanes for each scalar: this halves the loops for buffers,
    /// and texels need none.
    Texture,
}

impl Access {
    /// The short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vectors => "vectors",
            Self::Texture => "texture",
        }
    }
}

impl Family {
    /// The ways in which its kernels can access memory; each is a separate variant.
    #[must_use]
    pub const fn accesses(self) -> &'static [Access] {
        match self.method() {
            Method::Slide => &[Access::Texture],
            Method::Subgroup | Method::Window => &[Access::Vectors, Access::Texture],
            Method::Elementwise if self.is_transform() => &[Access::Vectors, Access::Texture],
            _ => &[Access::Vectors],
        }
    }

    /// The element types that its kernels can read and write, for one way of access. Winograd
    /// transforms would lose too many digits in f16, and texels are f32. The tensor between a
    /// convolution and a norm that is a separate step is f32, because a norm may cancel most of a
    /// value's digits.
    #[must_use]
    pub const fn dtypes(self, access: Access) -> &'static [(DType, DType)] {
        use DType::{F16, F32};
        match (self, access) {
            (Self::Convert, _) => &[(F32, F16), (F16, F32)],
            (Self::BatchNormRelu, _) => &[(F32, F32), (F16, F16), (F32, F16)],
            // Matrix units multiply halves.
            _ if matches!(self.method(), Method::Matrix) => &[(F16, F16), (F16, F32)],
            (Self::ResidualAdd | Self::MaxPool | Self::GlobalAvgPool, _) => {
                &[(F32, F32), (F16, F16)]
            }
            (_, Access::Vectors)
                if !self.is_winograd() && !self.is_transform() && !self.is_training() =>
            {
                &[(F32, F32), (F16, F16), (F16, F32)]
            }
            _ => &[(F32, F32)],
        }
    }
}
