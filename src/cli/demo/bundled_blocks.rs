//! The parameters of the bundled blocks, as the headers of their files hold them, and in words.

use wgpu_bottleneck::{BlockOptions, Bottleneck, Norm, StateDict};

use crate::cli::error::CliError;

/// The block's parameters from the header of a bundled file.
pub(super) fn options(dict: &StateDict) -> Result<BlockOptions, CliError> {
    let damaged =
        |key: &str| CliError::Usage(format!("a bundled file has no usable metadata {key}"));
    let text = |key: &str| dict.metadata(key).ok_or_else(|| damaged(key));
    let number = |key: &str| text(key)?.parse::<usize>().map_err(|_| damaged(key));
    let eps: f64 = text("eps")?.parse().map_err(|_| damaged("eps"))?;
    Ok(BlockOptions {
        stride: number("stride")?,
        dilation: number("dilation")?,
        groups: Some(number("groups")?),
        base_width: Some(number("base_width")?),
        norm: Norm::BatchNorm2d { eps },
    })
}

/// The parameters of a block that are not the usual ones.
pub(super) fn describe(block: &Bottleneck) -> String {
    let mut words = vec![format!("planes {}", block.planes())];
    for (name, value, usual) in [
        ("stride", block.stride(), 1),
        ("groups", block.groups(), 1),
        ("dilation", block.dilation(), 1),
    ] {
        if value != usual {
            words.push(format!("{name} {value}"));
        }
    }
    if block.has_downsample() {
        words.push("downsample".to_owned());
    }
    words.join(", ")
}
