//! The kernels of preprocessing, and their sources.

use crate::error::GpuError;
use crate::image::Channels;
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
    First { pixels: Pixels, down: bool, gray: bool },
    Last { down: bool, channels: Channels },
}

impl Kernel {
    pub fn all() -> impl Iterator<Item = Self> {
        let kinds = [Pixels::Rgb8, Pixels::Rgba8, Pixels::Texture];
        let every = [Channels::Rgb, Channels::Bgr, Channels::Gray];
        [false, true].into_iter().flat_map(move |down| {
            let first = [false, true].into_iter().flat_map(move |gray| {
                kinds.into_iter().map(move |pixels| Self::First { pixels, down, gray })
            });
            first.chain(every.into_iter().map(move |channels| Self::Last { down, channels }))
        })
    }

    pub fn name(self) -> String {
        let direction = |down| if down { "down" } else { "across" };
        match self {
            Self::First { pixels, down, gray } => {
                let pixels = match pixels {
                    Pixels::Rgb8 => "rgb8",
                    Pixels::Rgba8 => "rgba8",
                    Pixels::Texture => "texture",
                };
                let gray = if gray { "_gray" } else { "" };
                format!("resize_first_{}_{pixels}{gray}", direction(down))
            }
            Self::Last { down, channels } => {
                let channels = match channels {
                    Channels::Bgr => "_bgr",
                    Channels::Gray => "_gray",
                    _ => "",
                };
                format!("resize_last_{}{channels}", direction(down))
            }
        }
    }

    pub fn text(self) -> Result<String, GpuError> {
        let (file, pixels, down) = match self {
            Self::First { pixels, down, .. } => ("picture/resize_first", Some(pixels), down),
            Self::Last { down, .. } => ("picture/resize_last", None, down),
        };
        let channels = match self {
            Self::First { gray: true, .. } => Channels::Gray,
            Self::First { .. } => Channels::Rgb,
            Self::Last { channels, .. } => channels,
        };
        let values = Values::from([
            ("LANES", LANES),
            ("DOWN", down.into()),
            ("TEXTURE", (pixels == Some(Pixels::Texture)).into()),
            ("PACKED", (pixels == Some(Pixels::Rgb8)).into()),
            ("GRAY", (channels == Channels::Gray).into()),
            ("BGR", (channels == Channels::Bgr).into()),
        ]);
        let refused = |error: AssembleError| GpuError::Shader {
            kernel: self.name(),
            reason: error.to_string(),
        };
        assemble(file, &values).map_err(refused)
    }
}
