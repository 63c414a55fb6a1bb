//! The texts of settings in checkpoints, journals and output files. They are part of the file
//! formats: version 0.1 wrote the same ones, so its files can be resumed. A setting that is added
//! later gets a text only if it differs from its value before it became a setting.
//!
//! Every text is made from explicit fields, so that renaming a type or a field changes no file.

use std::fmt::Debug;

use wgpu_bottleneck::image::{Channels, CropRounding, Filter, Resize};
use wgpu_bottleneck::network::{Norm, Optimizer, TrainingOptions};
use wgpu_bottleneck::{Preprocess, StrideIn};

/// A norm and its eps.
pub fn norm(norm: Norm) -> String {
    match norm {
        Norm::BatchNorm2d { eps } => format!("BatchNorm2d {{ eps: {eps:?} }}"),
        Norm::FrozenBatchNorm2d { eps } => format!("FrozenBatchNorm2d {{ eps: {eps:?} }}"),
        Norm::Identity => "Identity".to_owned(),
        // The library's enums may grow; a new norm gets a line above.
        other => format!("{other:?}"),
    }
}

/// The convolution that has the stride.
pub fn stride_in(stride_in: StrideIn) -> &'static str {
    match stride_in {
        StrideIn::Conv1 => "Conv1",
        StrideIn::Conv2 => "Conv2",
    }
}

/// A filter of a resize.
pub fn filter(filter: Filter) -> &'static str {
    match filter {
        Filter::Nearest => "Nearest",
        Filter::Box => "Box",
        Filter::Bilinear => "Bilinear",
        Filter::Hamming => "Hamming",
        Filter::Bicubic => "Bicubic",
        Filter::Lanczos => "Lanczos",
    }
}

/// Numbers in brackets, `[0.485, 0.456, 0.406]`, as Rust writes lists of its primitive types.
pub fn list<T: Debug>(numbers: &[T]) -> String {
    format!("{numbers:?}")
}

/// Everything that determines the pixels of an image.
pub fn preprocess(preprocess: &Preprocess) -> String {
    let Preprocess { resize, filter: resampling, crop, rounding, channels, mean, std } = preprocess;
    // Version 0.1 had RGB only.
    let channels = match channels {
        Channels::Rgb => "",
        Channels::Bgr => ", channels: Bgr",
        _ => ", channels: Gray",
    };
    let resize = match resize {
        Resize::None => "None".to_owned(),
        Resize::ShorterSide(side) => format!("ShorterSide({side})"),
        Resize::Exact { height, width } => {
            format!("Exact {{ height: {height}, width: {width} }}")
        }
    };
    let rounding = match rounding {
        CropRounding::HalfToEven => "HalfToEven",
        CropRounding::Down => "Down",
        CropRounding::DownPadded => "DownPadded",
    };
    format!(
        "Preprocess {{ resize: {resize}, filter: {}, crop: {}, rounding: {rounding}, mean: {}, \
        std: {}{channels} }}",
        filter(*resampling),
        list(crop),
        list(mean),
        list(std)
    )
}

/// The settings of vectors. The default, the mean of the last feature map, has no text.
pub fn vectors(layer: Option<&str>, normalize: bool) -> String {
    let layer = layer.map(|name| format!(", mean of {name}")).unwrap_or_default();
    format!("{layer}{}", if normalize { ", L2 norm 1" } else { "" })
}

/// The options of training that determine a plan; the momentum of norms has a separate text.
pub fn training(options: &TrainingOptions) -> String {
    let TrainingOptions { optimizer, frozen, label_smoothing, batches_per_step, recompute, .. } =
        options;
    let optimizer = match optimizer {
        Optimizer::Sgd { momentum, nesterov, weight_decay, decay_all } => format!(
            "Sgd {{ momentum: {momentum:?}, nesterov: {nesterov}, weight_decay: {weight_decay:?}, \
            decay_all: {decay_all} }}"
        ),
        Optimizer::AdamW { beta1, beta2, eps, weight_decay, decay_all } => format!(
            "AdamW {{ beta1: {beta1:?}, beta2: {beta2:?}, eps: {eps:?}, \
            weight_decay: {weight_decay:?}, decay_all: {decay_all} }}"
        ),
        other => format!("{other:?}"),
    };
    format!(
        "TrainingSetup {{ optimizer: {optimizer}, frozen: {}, \
        label_smoothing: {label_smoothing:?}, batches_per_step: {batches_per_step}, \
        recompute: {recompute} }}",
        list(frozen)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_version_0_1() {
        assert_eq!(norm(Norm::BatchNorm2d { eps: 1e-5 }), "BatchNorm2d { eps: 1e-5 }");
        assert_eq!(
            norm(Norm::FrozenBatchNorm2d { eps: 0.001 }),
            "FrozenBatchNorm2d { eps: 0.001 }"
        );
        assert_eq!(norm(Norm::Identity), "Identity");
        assert_eq!(stride_in(StrideIn::Conv2), "Conv2");
        assert_eq!(list(&[0.08, 1.0]), "[0.08, 1.0]");
        assert_eq!(
            preprocess(&Preprocess::imagenet_v1()),
            "Preprocess { resize: ShorterSide(256), filter: Bilinear, crop: [224, 224], rounding: \
            HalfToEven, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }"
        );
        let exact = Resize::Exact { height: 3, width: 4 };
        let other = Preprocess {
            resize: exact,
            filter: Filter::Lanczos,
            rounding: CropRounding::DownPadded,
            ..Preprocess::imagenet_v1()
        };
        assert_eq!(
            preprocess(&other),
            "Preprocess { resize: Exact { height: 3, width: 4 }, filter: Lanczos, crop: \
            [224, 224], rounding: DownPadded, mean: [0.485, 0.456, 0.406], \
            std: [0.229, 0.224, 0.225] }"
        );
        assert_eq!(
            training(&TrainingOptions::default()),
            "TrainingSetup { optimizer: Sgd { momentum: 0.9, nesterov: false, weight_decay: \
            0.0001, decay_all: true }, frozen: [], label_smoothing: 0.0, batches_per_step: 1, \
            recompute: false }"
        );
        assert_eq!(vectors(None, false), "");
        let adamw = TrainingOptions {
            optimizer: Optimizer::adamw(),
            frozen: vec!["layer1".to_owned()],
            recompute: true,
            ..TrainingOptions::default()
        };
        assert_eq!(
            training(&adamw),
            "TrainingSetup { optimizer: AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, \
            weight_decay: 0.01, decay_all: true }, frozen: [\"layer1\"], label_smoothing: 0.0, \
            batches_per_step: 1, recompute: true }"
        );
    }

    #[test]
    fn later_settings_have_a_text_where_they_differ() {
        assert_eq!(vectors(None, true), ", L2 norm 1");
        assert_eq!(vectors(Some("layer1"), false), ", mean of layer1");
        assert_eq!(vectors(Some("stem"), true), ", mean of stem, L2 norm 1");
    }
}
