//! Errors of half precision.

/// Why something cannot be computed in half precision (f16), whose largest number is 65504.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PrecisionError {
    /// The device has no f16, or was created without it.
    #[error("half precision was asked for, but the device has none (wgpu's SHADER_F16); f32 and auto run here")]
    Unavailable,
    /// A weight that f16 cannot hold, norms folded in: too large, or the largest of a channel and too small for a norm that is a step of its own. Before
    /// such a norm, f16 holds weights of any size from 9e-16 to 6e23.
    #[error(
        "{step}: {value} is a weight{}; auto computes this layer in f32",
        if value.abs() > 1.0 { ", but f16 holds 65504 at most" } else { " and the largest of its channel, but too small for f16" }
    )]
    Weight {
        /// The step whose weight it is.
        step: String,
        /// The weight.
        value: f32,
    },
    /// A layer that puts out values which f16 cannot hold, or an input of such values.
    #[error("{step}: a value is {value}, but f16 holds 65504 at most; auto computes in f32 what makes and reads it")]
    Activation {
        /// The first step that puts out such a value, or `the input`.
        step: String,
        /// Its largest value, in f32.
        value: f32,
    },
    /// A layer that is to stay in f32 is none of the plan's.
    #[error("no layer is called {name}; there are {}", steps.join(", "))]
    NoSuchLayer {
        /// The name given.
        name: String,
        /// The names that there are.
        steps: Vec<String>,
    },
    /// Training is done in f32.
    #[error("training is done in f32; half precision is for inference")]
    Training,
}
