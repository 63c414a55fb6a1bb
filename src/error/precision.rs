//! Errors of half precision.

/// Why something cannot be computed in half precision (f16), whose largest value is 65504.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PrecisionError {
    /// The device does not support f16, or was created without it.
    #[error(
        "half precision was requested, but the device does not support it (wgpu's SHADER_F16); use \
        f32 or auto"
    )]
    Unavailable,
    /// A weight that f16 cannot represent, after norms are folded in: it is too large, or it is the
    /// largest of a channel and too small for a norm that is a separate step. Before such a norm,
    /// f16 represents weights of any size from 9e-16 to 6e23.
    #[error(
        "{step}: weight {value} {}; with precision auto, this layer is computed in f32",
        if value.abs() > 1.0 {
            "exceeds the f16 maximum of 65504"
        } else {
            "is the largest of its channel, but too small for f16"
        }
    )]
    Weight {
        /// The step that the weight belongs to.
        step: String,
        /// The weight.
        value: f32,
    },
    /// A layer outputs values that f16 cannot represent, or the input has such values.
    #[error(
        "{step}: value {value} exceeds the f16 maximum of 65504; with precision auto, the layers \
        that write and read it are computed in f32"
    )]
    Activation {
        /// The first step that outputs such a value, or `the input`.
        step: String,
        /// Its largest value, in f32.
        value: f32,
    },
    /// The plan has no layer with a name from the list of layers to compute in f32.
    #[error("no layer is named {name}; the layers are {}", steps.join(", "))]
    NoSuchLayer {
        /// The name given.
        name: String,
        /// The existing names.
        steps: Vec<String>,
    },
    /// Training runs in f32 only.
    #[error("training supports f32 only; half precision is for inference")]
    Training,
}
