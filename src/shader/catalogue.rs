//! The WGSL files, embedded so that an installed program works in any folder.

/// The entry point of every kernel.
pub const ENTRY_POINT: &str = "main";

/// Includes a file of `shaders/` under its path there.
macro_rules! catalogue {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../shaders/", $name, ".wgsl")))),+]
    };
}

/// Path in `shaders/` without `.wgsl`, and text.
static FILES: &[(&str, &str)] = catalogue![
    "batchnorm_relu",
    "bench/copy",
    "bench/dependent",
    "bench/empty",
    "bench/fma",
    "bench/matrix",
    "conv1x1",
    "conv1x1_joined",
    "conv1x1_joined_matrix",
    "conv1x1_joined_staged",
    "conv1x1_joined_subgroup",
    "conv1x1_matrix",
    "conv1x1_staged",
    "conv1x1_subgroup",
    "conv3x3",
    "conv3x3_grouped_matrix",
    "conv3x3_grouped_slide",
    "conv3x3_grouped_staged",
    "conv3x3_grouped_window",
    "conv3x3_matrix",
    "conv3x3_staged",
    "conv3x3_subgroup",
    "convert",
    "global_avg_pool",
    "max_pool",
    "picture/resize_first",
    "picture/resize_last",
    "proof/count",
    "residual_add",
    "shared/broadcast_rows",
    "shared/channels",
    "shared/columns",
    "shared/conv_grad_params",
    "shared/conv_params",
    "shared/elementwise",
    "shared/epilogue",
    "shared/k_slice",
    "shared/load_weights",
    "shared/log_sum",
    "shared/loss_params",
    "shared/mac",
    "shared/matrix",
    "shared/matrix_epilogue",
    "shared/matrix_steps",
    "shared/matrix_tile",
    "shared/narrow",
    "shared/norm_params",
    "shared/norm_rows",
    "shared/norm_slice",
    "shared/pixels",
    "shared/pool",
    "shared/pool_params",
    "shared/relu",
    "shared/staged",
    "shared/staged_fetched",
    "shared/staged_keeps",
    "shared/staged_loads",
    "shared/staged_steps",
    "shared/staged_sums",
    "shared/staged_tap",
    "shared/staged_tap_rows",
    "shared/staged_tile",
    "shared/staged_weights",
    "shared/tile",
    "shared/update",
    "shared/weights",
    "shared/window_sums",
    "shared/winograd",
    "shared/words",
    "split_k_sum",
    "train/accumulate",
    "train/adamw",
    "train/add_bias",
    "train/avg_pool_grad",
    "train/bias_grad",
    "train/cross_entropy",
    "train/cross_entropy_grad",
    "train/descend",
    "train/gate",
    "train/input_grad",
    "train/max_pool_grad",
    "train/mirrored_weights",
    "train/moment",
    "train/norm_apply",
    "train/norm_frozen",
    "train/norm_grad",
    "train/norm_grad_partials",
    "train/norm_grad_sums",
    "train/norm_partials",
    "train/norm_stats",
    "train/relu_grad",
    "train/running_stats",
    "train/velocity",
    "train/weight_grad",
    "train/weight_grad_subgroup",
    "train/weight_grad_sum",
    "train/winograd_weights",
    "winograd_input",
    "winograd_output",
];

/// The text of a file, before assembly.
#[must_use]
pub fn text(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The kernels of networks and of training, without shared parts, image preprocessing and device
/// benchmarks.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !name.contains('/') || name.starts_with("train/"))
}
