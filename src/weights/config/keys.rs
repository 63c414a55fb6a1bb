//! The keys of our settings, and their values where these are names.

use crate::network::StrideIn;
use crate::op::PoolWindows;

/// The key of `config.json` for the settings that timm's format lacks:
///
/// - `dilation`: dilation of each stage, e.g. `[1, 1, 2, 4]`; doubled where torchvision's
///   `replace_stride_with_dilation` is true.
/// - `multi_grid`: DeepLab's factors for the dilation of each block of the last stage, or `[]`.
/// - `norm`: `BatchNorm2d`, `FrozenBatchNorm2d` or `Identity`.
/// - `eps`: added to the variance by the norms; absent for `Identity`.
/// - `stride_in`: the convolution of a Bottleneck that has the stride: `3x3` or `1x1`.
/// - `activation`: `relu`; if present, no other configuration is checked for unsupported
///   arithmetic.
/// - `max_pool`: `padded` (`MaxPool2d(3, 2, padding=1)`) or `ceil`
///   (`MaxPool2d(3, 2, ceil_mode=True)`).
/// - `color_order`: `RGB` or `BGR`, the order of the channels, the mean and the standard deviation.
/// - `color_range`: `[0, 1]` or `[0, 255]`, the range of pixel values before the mean is
///   subtracted.
///
/// Every key is optional. An unknown key is an error, since a later version may depend on it.
pub const KEY: &str = "wgpu_bottleneck";

/// The key in the metadata of a safetensors file. Its value is the text of the same configuration.
pub const METADATA: &str = "wgpu_bottleneck";

pub(super) fn stride_name(stride_in: StrideIn) -> &'static str {
    match stride_in {
        StrideIn::Conv1 => "1x1",
        StrideIn::Conv2 => "3x3",
    }
}

pub(super) fn pool_name(windows: PoolWindows) -> &'static str {
    match windows {
        PoolWindows::Padded => "padded",
        PoolWindows::CeilMode => "ceil",
    }
}
