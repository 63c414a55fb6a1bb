//! Configurations of others: what timm and Hugging Face write next to their weights, and what is
//! not done here.

use std::path::Path;

use wgpu_bottleneck::error::ImageError;
use wgpu_bottleneck::image::{
    CropRounding, Filter, IMAGENET_MEAN, IMAGENET_STD, Preprocess, Resize,
};
use wgpu_bottleneck::{Error, Image, ModelConfig};

use crate::common::Outcome;

/// timm/resnet50.a1_in1k.
const TIMM: &str = r#"{"architecture": "resnet50", "num_classes": 1000, "num_features": 2048,
    "pretrained_cfg": {"tag": "a1_in1k", "input_size": [3, 224, 224],
    "test_input_size": [3, 288, 288], "fixed_input_size": false,
    "interpolation": "bicubic", "crop_pct": 0.95, "test_crop_pct": 1.0, "crop_mode": "center",
    "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "num_classes": 1000,
    "pool_size": [7, 7]}}"#;

/// microsoft/resnet-50.
const RESNET: &str = r#"{"crop_pct": 0.875, "do_normalize": true, "do_resize": true,
    "feature_extractor_type": "ConvNextFeatureExtractor", "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225], "resample": 3, "size": 224}"#;

const VIT: &str = r#"{"do_normalize": true, "do_rescale": true, "do_resize": true,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "ViTImageProcessorFast", "image_std": [0.5, 0.5, 0.5], "resample": 2,
    "rescale_factor": 0.00392156862745098, "size": {"height": 224, "width": 200}}"#;

const CLIP: &str = r#"{"crop_size": {"height": 224, "width": 224}, "do_center_crop": true,
    "do_convert_rgb": true, "do_normalize": true, "do_rescale": true, "do_resize": true,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_processor_type": "CLIPImageProcessor",
    "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3,
    "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 256}}"#;

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn configurations_of_timm_and_hugging_face_are_read() -> Outcome {
    let imagenet = Preprocess::imagenet_v1();
    assert_eq!((imagenet.mean, imagenet.std), (IMAGENET_MEAN, IMAGENET_STD));
    let bicubic = Preprocess { filter: Filter::Bicubic, ..imagenet };
    let down = CropRounding::DownPadded;
    let version = |json: String, version: &str| {
        json.replacen('{', &format!(r#"{{"transformers_version": "{version}", "#), 1)
    };
    let timm = Preprocess { resize: Resize::ShorterSide(235), ..bicubic };
    let square = Resize::Exact { height: 384, width: 384 };
    let half = [0.5; 3];
    let cases = [
        (TIMM.to_owned(), timm),
        (TIMM.replace(r#""crop_pct": 0.95, "#, ""), bicubic),
        (
            TIMM.replace("center", "squash"),
            Preprocess { resize: Resize::Exact { height: 235, width: 235 }, ..timm },
        ),
        (
            r#"{"input_size": [3, 64, 64]}"#.to_owned(),
            Preprocess { resize: Resize::ShorterSide(73), crop: [64, 64], ..bicubic },
        ),
        (RESNET.to_owned(), Preprocess { rounding: down, ..bicubic }),
        (
            RESNET
                .replace("224}", r#"{"shortest_edge": 224}}"#)
                .replace("FeatureExtractor", "ImageProcessorFast")
                .replace("feature_extractor", "image_processor"),
            Preprocess { rounding: down, ..bicubic },
        ),
        (
            version(RESNET.to_owned(), "4.12.0"),
            Preprocess { rounding: CropRounding::Down, ..bicubic },
        ),
        (
            RESNET.replace("224}", "384}"),
            Preprocess { resize: square, crop: [384, 384], rounding: down, ..bicubic },
        ),
        (
            RESNET.replace(r#""do_normalize": true"#, r#""do_normalize": false"#),
            Preprocess { rounding: down, mean: [0.0; 3], std: [1.0; 3], ..bicubic },
        ),
        (
            RESNET.replace(r#""do_normalize": true"#, r#""do_normalize": null"#),
            Preprocess { rounding: down, mean: [0.0; 3], std: [1.0; 3], ..bicubic },
        ),
        (
            VIT.to_owned(),
            Preprocess {
                resize: Resize::Exact { height: 224, width: 200 },
                crop: [224, 200],
                rounding: down,
                mean: half,
                std: half,
                ..imagenet
            },
        ),
        (
            CLIP.to_owned(),
            Preprocess {
                rounding: down,
                mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
                std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
                ..bicubic
            },
        ),
    ];
    for (json, expected) in cases {
        assert_eq!(
            Preprocess::from_config_text(&json).map_err(|error| format!("{json}: {error}"))?,
            expected,
            "{json}"
        );
    }
    Ok(())
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn what_is_not_done_here_is_named() -> Outcome {
    let cases = [
        (TIMM.replace("[3, 224, 224]", "[2, 224, 224]"), "input_size", "3 channels"),
        (TIMM.replace("[3, 224, 224]", "[3, 224, 192]"), "input_size", "a square"),
        (TIMM.replace("[3, 224, 224]", "[3, 0, 0]"), "input_size", "a size in pixels"),
        (TIMM.replace("[3, 224, 224]", "224"), "input_size", "three sizes"),
        (TIMM.replace("bicubic", "random"), "interpolation", "one of Pillow's filters"),
        (TIMM.replace("center", "border"), "crop_mode", "center or squash"),
        (TIMM.replace(r#""crop_pct": 0.95"#, r#""crop_pct": 0"#), "crop_pct", "the share"),
        (TIMM.replace(r#""crop_pct": 0.95"#, r#""crop_pct": -1e-300"#), "crop_pct", "the share"),
        (TIMM.replace("[0.485, 0.456, 0.406]", "[0.485, 0.456]"), "mean", "three numbers"),
        (r#"{"pretrained_cfg": 3}"#.to_owned(), "pretrained_cfg", "an object"),
        (
            RESNET.replace("ConvNextFeature", "Detr"),
            "image_processor_type",
            "ConvNext, ViT, CLIP or Bit",
        ),
        (RESNET.replace(r#""resample": 3"#, r#""resample": 6"#), "resample", "0 to 5"),
        (RESNET.replace(r#""do_resize": true"#, r#""do_resize": false"#), "do_resize", "true"),
        (
            RESNET.replace(r#""do_resize": true"#, r#""do_resize": "yes""#),
            "do_resize",
            "true or false",
        ),
        (RESNET.replace("224}", r#"{"height": 224, "width": 224}}"#), "size", "shortest_edge"),
        (VIT.replace("0.00392156862745098", "0.5"), "rescale_factor", "1/255"),
        (VIT.replace(r#""do_rescale": true"#, r#""do_rescale": false"#), "do_rescale", "true"),
        (
            VIT.replace(r#""height": 224, "width": 200"#, r#""longest_edge": 224"#),
            "size",
            "a height and a width",
        ),
        (
            VIT.replace(r#""height": 224, "width": 200"#, r#""shortest_edge": 224"#),
            "do_center_crop",
            "true",
        ),
        (VIT.replace(r#""image_std": [0.5, 0.5, 0.5], "#, ""), "image_std", "three numbers"),
        (
            VIT.replace("ProcessorFast", "Processor").replace('}', r#", "do_center_crop": true}"#),
            "do_center_crop",
            "ViTImageProcessor of transformers 4 does not crop",
        ),
        (RESNET.replace('}', r#", "do_center_crop": true}"#), "do_center_crop", "false"),
        (RESNET.replace('}', r#", "do_pad": true}"#), "do_pad", "false"),
        // In Python null is false.
        (RESNET.replace(r#""do_resize": true"#, r#""do_resize": null"#), "do_resize", "true"),
        (VIT.replace(r#""do_rescale": true"#, r#""do_rescale": null"#), "do_rescale", "true"),
        (
            CLIP.replace(r#""do_center_crop": true"#, r#""do_center_crop": null"#),
            "do_center_crop",
            "true, or images would differ in size",
        ),
        (CLIP.replace(r#"{"height": 224, "width": 224}"#, "null"), "crop_size", "a number"),
        ("{}".to_owned(), "image_processor_type", "ConvNext, ViT, CLIP or Bit"),
    ];
    for (json, wrong, hint) in cases {
        let error = Preprocess::from_config_text(&json);
        let Err(ImageError::Config { key, expected, .. }) = &error else {
            return Err(format!("{json}: {error:?}").into());
        };
        assert!(key == wrong && expected.contains(hint), "{json}: {error:?}");
    }
    let zero =
        Preprocess::from_config_text(&TIMM.replace("[0.229, 0.224, 0.225]", "[0.229, 0, 0.225]"));
    assert!(matches!(&zero, Err(ImageError::Config { key, .. }) if key == "std"), "{zero:?}");
    for text in ["", "[]", "3", "{", "\u{feff}{}", &"[".repeat(100_000)] {
        let error = Preprocess::from_config_text(text);
        assert!(matches!(error, Err(ImageError::ConfigFormat { .. })), "{error:?}");
    }
    Ok(())
}

#[test]
fn configurations_are_found_in_the_folder_of_the_weights() -> Outcome {
    let folder = tempfile::tempdir()?;
    let weights = folder.path().join("model.safetensors");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
    let in_folder = |path: &Path| -> Result<Option<Preprocess>, Error> {
        Ok(ModelConfig::in_folder_of(path)?.preprocess()?.map(|found| found.preprocess))
    };
    assert_eq!(in_folder(&weights)?, None);
    // A config.json of transformers says nothing about preprocessing.
    write("config.json", r#"{"model_type": "resnet", "depths": [3, 4, 6, 3]}"#)?;
    assert_eq!(in_folder(&weights)?, None);
    write("config.json", TIMM)?;
    let found = in_folder(&weights)?.ok_or("not found")?;
    assert_eq!(
        (found.resize, found.rounding),
        (Resize::ShorterSide(235), CropRounding::HalfToEven)
    );
    assert_eq!(Preprocess::from_config(folder.path().join("config.json"))?, found);
    write("preprocessor_config.json", RESNET)?;
    let found = in_folder(folder.path())?.ok_or("not found")?;
    assert_eq!(
        (found.resize, found.rounding),
        (Resize::ShorterSide(256), CropRounding::DownPadded)
    );
    write("preprocessor_config.json", "{")?;
    let error = in_folder(&weights).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("preprocessor_config.json: not a readable configuration"), "{error}");
    std::fs::write(folder.path().join("preprocessor_config.json"), [0xff, 0xfe])?;
    let error = in_folder(&weights);
    assert!(matches!(error, Err(Error::Image(ImageError::ConfigFormat { .. }))), "{error:?}");
    assert_eq!(in_folder(Path::new("no such folder/model.safetensors"))?, None);
    Ok(())
}

/// The crop of Hugging Face's NumPy processors begins a pixel earlier where torchvision's rounds
/// up.
#[test]
fn crops_round_as_each_library_does() -> Outcome {
    let plan = |rounding| Preprocess {
        resize: Resize::None,
        crop: [4, 4],
        rounding,
        ..Preprocess::imagenet_v1()
    };
    let image = Image::from_fn(7, 7, |x, y| [x as u8, y as u8, 0])?;
    let corner = |rounding| plan(rounding).pixels(&image).map(|pixels| pixels.pixel(0, 0));
    assert_eq!(corner(CropRounding::HalfToEven)?, Some([2, 2, 0]));
    assert_eq!(corner(CropRounding::Down)?, Some([1, 1, 0]));
    assert_eq!(corner(CropRounding::DownPadded)?, Some([1, 1, 0]));
    Ok(())
}
