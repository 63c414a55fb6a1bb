//! The kernels of preprocessing, and their sources.

use crate::error::GpuError;
use crate::shader::{AssembleError, Values, assemble};

/// Invocations of a workgroup of both kernels.
pub(super) const LANES: u32 = 64;

/// How the pixels of a source are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Pixels {
    Rgb8,
    Rgba8,
    Texture,
}

/// The kernels of preprocessing: one for each pass and direction, and for the first pass also for
/// each kind of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kernel {
    First { pixels: Pixels, down: bool },
    Last { down: bool },
}

impl Kernel {
    pub fn all() -> impl Iterator<Item = Self> {
        let first = |down| {
            [Pixels::Rgb8, Pixels::Rgba8, Pixels::Texture]
                .map(|pixels| Self::First { pixels, down })
        };
        [false, true]
            .into_iter()
            .flat_map(move |down| first(down).into_iter().chain([Self::Last { down }]))
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::First { pixels: Pixels::Rgb8, down: false } => "resize_first_across_rgb8",
            Self::First { pixels: Pixels::Rgb8, down: true } => "resize_first_down_rgb8",
            Self::First { pixels: Pixels::Rgba8, down: false } => "resize_first_across_rgba8",
            Self::First { pixels: Pixels::Rgba8, down: true } => "resize_first_down_rgba8",
            Self::First { pixels: Pixels::Texture, down: false } => "resize_first_across_texture",
            Self::First { pixels: Pixels::Texture, down: true } => "resize_first_down_texture",
            Self::Last { down: false } => "resize_last_across",
            Self::Last { down: true } => "resize_last_down",
        }
    }

    pub fn text(self) -> Result<String, GpuError> {
        let (file, pixels, down) = match self {
            Self::First { pixels, down } => ("picture/resize_first", Some(pixels), down),
            Self::Last { down } => ("picture/resize_last", None, down),
        };
        let values = Values::from([
            ("LANES", LANES),
            ("DOWN", down.into()),
            ("TEXTURE", (pixels == Some(Pixels::Texture)).into()),
            ("PACKED", (pixels == Some(Pixels::Rgb8)).into()),
        ]);
        let refused = |error: AssembleError| GpuError::Shader {
            kernel: self.name().into(),
            reason: error.to_string(),
        };
        assemble(file, &values).map_err(refused)
    }
}
