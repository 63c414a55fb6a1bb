//! Hugging Face's `preprocessor_config.json`.

use serde_json::Value;

use super::{Config, ConfiguredPreprocess};
use crate::error::ImageError;
use crate::image::{CropRounding, Filter, Preprocess, Resize};

/// The default fraction of a resized image that the ConvNext processor crops.
const CONVNEXT_CROP_PCT: f64 = 224.0 / 256.0;
/// From this size on, the ConvNext processor warps images to a square and does not crop.
const CONVNEXT_WARPS_FROM: u32 = 384;

impl Config {
    /// The name of the image processor class.
    pub(super) fn class(&self) -> Option<&str> {
        ["image_processor_type", "feature_extractor_type"]
            .into_iter()
            .find_map(|key| self.map.get(key)?.as_str())
    }

    pub(super) fn hugging_face(
        &self,
        version: Option<&str>,
    ) -> Result<ConfiguredPreprocess, ImageError> {
        let Some(class) = self.class() else {
            return Err(self.wrong(
                "image_processor_type",
                self.map.get("image_processor_type"),
                CLASSES,
            ));
        };
        let wrong = || self.wrong("image_processor_type", Some(&Value::from(class)), CLASSES);
        let (family, suffix) = Suffix::of(class).ok_or_else(wrong)?;
        let version = Version::of(version);
        let (rounding, rule) = rule(family, suffix, class, version);
        let (resize, crop) = match family {
            "ConvNext" => self.convnext(rounding)?,
            "ViT" => self.vit(suffix, version)?,
            "CLIP" | "Bit" => self.resize_and_crop(false, true)?,
            _ => return Err(wrong()),
        };
        self.check_rescale()?;
        let (mean, std) = if self.hf_flag("do_normalize", true)? {
            let colours = |key: &str| {
                self.colours(key)?.ok_or_else(|| self.wrong(key, None, "three numbers"))
            };
            (colours("image_mean")?, colours("image_std")?)
        } else {
            ([0.0; 3], [1.0; 3])
        };
        let filter = match resize {
            Resize::None => Filter::default(),
            _ => self
                .map
                .get("resample")
                .and_then(Value::as_u64)
                .and_then(Filter::numbered)
                .ok_or_else(|| {
                    self.wrong(
                        "resample",
                        self.map.get("resample"),
                        "the number of one of Pillow's filters, 0 to 5",
                    )
                })?,
        };
        self.check_pad(rounding)?;
        let preprocess = self.checked(Preprocess { resize, filter, crop, rounding, mean, std })?;
        Ok(ConfiguredPreprocess { preprocess, rule: Some(rule) })
    }

    /// ViTImageProcessor. The Pillow class of transformers 4 ignores `do_center_crop`; the others
    /// crop.
    fn vit(&self, suffix: Suffix, version: Version) -> Result<(Resize, [u32; 2]), ImageError> {
        let crops = match (suffix, version) {
            (Suffix::Fast | Suffix::Pil, _) => true,
            (Suffix::None, Version::Given(version)) => version >= (5, 0),
            (Suffix::None, Version::Unknown) => false,
        };
        if !crops && self.flag("do_center_crop")? == Some(true) {
            let expected = "false: ViTImageProcessor of transformers 4 does not crop, that of 5 \
                does, and no config.json states the version";
            return Err(self.wrong("do_center_crop", self.map.get("do_center_crop"), expected));
        }
        self.resize_and_crop(true, false)
    }

    /// ConvNextImageProcessor, which ResNets use too.
    fn convnext(&self, rounding: CropRounding) -> Result<(Resize, [u32; 2]), ImageError> {
        // The torchvision classes would crop a second time; the Pillow class ignores the flag.
        if rounding != CropRounding::Down && self.flag("do_center_crop")? == Some(true) {
            return Err(self.wrong("do_center_crop", self.map.get("do_center_crop"), "false"));
        }
        if !self.hf_flag("do_resize", true)? {
            return Err(self.wrong(
                "do_resize",
                self.map.get("do_resize"),
                "true, or images would differ in size",
            ));
        }
        let Some(Size::Shorter(side)) = self.size("size", false)? else {
            return Err(self.wrong("size", self.map.get("size"), "a number, or a shortest_edge"));
        };
        let crop = [side, side];
        if side >= CONVNEXT_WARPS_FROM {
            return Ok((Resize::Exact { height: side, width: side }, crop));
        }
        let share = self.number("crop_pct")?.unwrap_or(CONVNEXT_CROP_PCT);
        Ok((Resize::ShorterSide(self.divided(side, share)?), crop))
    }

    /// The processors that resize to `size` and crop to `crop_size`. A single number as size means
    /// a `square`, or the shorter side.
    fn resize_and_crop(&self, square: bool, crops: bool) -> Result<(Resize, [u32; 2]), ImageError> {
        let resize = if self.hf_flag("do_resize", true)? {
            match self.size("size", square)? {
                Some(Size::Shorter(side)) => Resize::ShorterSide(side),
                Some(Size::Exact([height, width])) => Resize::Exact { height, width },
                None => return Err(self.wrong("size", None, SIZES)),
            }
        } else {
            Resize::None
        };
        let crops = self.hf_flag("do_center_crop", crops)?;
        match (resize, crops) {
            (_, true) => match self.size("crop_size", true)? {
                Some(Size::Exact(crop)) => Ok((resize, crop)),
                _ => Err(self.wrong(
                    "crop_size",
                    self.map.get("crop_size"),
                    "a number, or a height and a width",
                )),
            },
            (Resize::Exact { height, width }, false) => Ok((resize, [height, width])),
            _ => {
                let found = self.map.get("do_center_crop").cloned().unwrap_or(Value::Bool(false));
                Err(self.wrong(
                    "do_center_crop",
                    Some(&found),
                    "true, or images would differ in size",
                ))
            }
        }
    }

    /// A flag. If absent it has the default of the class; null is false, as in Python.
    fn hf_flag(&self, key: &str, default: bool) -> Result<bool, ImageError> {
        match self.map.get(key) {
            None => Ok(default),
            Some(_) => Ok(self.flag(key)?.unwrap_or(false)),
        }
    }

    /// The torchvision classes pad if `do_pad` is set; the Pillow classes do not have this flag.
    fn check_pad(&self, rounding: CropRounding) -> Result<(), ImageError> {
        if rounding != CropRounding::Down && self.hf_flag("do_pad", false)? {
            return Err(self.wrong("do_pad", self.map.get("do_pad"), "false"));
        }
        Ok(())
    }

    /// Checks that values are scaled to 0 to 1, for which mean and standard deviation are defined.
    fn check_rescale(&self) -> Result<(), ImageError> {
        if !self.hf_flag("do_rescale", true)? {
            return Err(self.wrong("do_rescale", self.map.get("do_rescale"), "true"));
        }
        match self.number("rescale_factor")? {
            Some(factor) if (factor * 255.0 - 1.0).abs() > 1e-6 => {
                Err(self.wrong("rescale_factor", self.map.get("rescale_factor"), "1/255"))
            }
            _ => Ok(()),
        }
    }

    /// A size in Hugging Face's format.
    fn size(&self, key: &str, square: bool) -> Result<Option<Size>, ImageError> {
        let Some(value) = self.map.get(key).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let Value::Object(map) = value else {
            let side = self.side(key, value)?;
            return Ok(Some(if square { Size::Exact([side, side]) } else { Size::Shorter(side) }));
        };
        match (map.len(), map.get("shortest_edge"), map.get("height"), map.get("width")) {
            (1, Some(side), ..) => Ok(Some(Size::Shorter(self.side(key, side)?))),
            (2, None, Some(height), Some(width)) => {
                Ok(Some(Size::Exact([self.side(key, height)?, self.side(key, width)?])))
            }
            _ => Err(self.wrong(key, Some(value), SIZES)),
        }
    }
}

const CLASSES: &str = "the image processor of ConvNext, ViT, CLIP or Bit";

/// The suffix after `ImageProcessor` in a class name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suffix {
    /// None. The old suffix `FeatureExtractor` also counts as none.
    None,
    /// `Fast`: the torchvision backend.
    Fast,
    /// `Pil`: the Pillow backend, since transformers 5.4.
    Pil,
}

impl Suffix {
    /// Splits a class name into family and suffix.
    fn of(class: &str) -> Option<(&str, Self)> {
        let (rest, suffix) = match (class.strip_suffix("Fast"), class.strip_suffix("Pil")) {
            (Some(rest), _) => (rest, Self::Fast),
            (_, Some(rest)) => (rest, Self::Pil),
            (None, None) => (class, Self::None),
        };
        let old = || class.strip_suffix("FeatureExtractor").map(|family| (family, Self::None));
        rest.strip_suffix("ImageProcessor").map(|family| (family, suffix)).or_else(old)
    }
}

/// A version of transformers, as (major, minor).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Given((u32, u32)),
    Unknown,
}

impl Version {
    fn of(text: Option<&str>) -> Self {
        let parse = |text: &str| {
            let mut numbers = text.split('.');
            Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
        };
        text.and_then(parse).map_or(Self::Unknown, Self::Given)
    }

    /// Whether the version is at least `first`. An unknown version is the newest.
    fn is_from(self, first: (u32, u32)) -> bool {
        match self {
            Self::Given(version) => version >= first,
            Self::Unknown => true,
        }
    }
}

const PILLOW: &str = "Pillow backend, centre crop rounds down";

/// The position of the centre crop, and the rule as a sentence. Determined by running the classes
/// of transformers 4.49.0 to 5.24.0 (tests/golden/processors.py). The Pillow classes use NumPy's
/// position. The torchvision classes used torchvision's position before 4.57.0 (ConvNext: before
/// 5.0.0) and round down since. A name without suffix is the Pillow class in 4.x; since 5.0.0
/// `AutoImageProcessor` loads the torchvision class for it.
fn rule(family: &str, suffix: Suffix, class: &str, version: Version) -> (CropRounding, String) {
    let changed = if family == "ConvNext" { (5, 0) } else { (4, 57) };
    let (rounding, how) = match suffix {
        Suffix::Pil => (CropRounding::Down, PILLOW),
        Suffix::None if !version.is_from((5, 0)) => (CropRounding::Down, PILLOW),
        Suffix::Fast if !version.is_from(changed) => {
            (CropRounding::HalfToEven, "torchvision backend, centre crop rounds halves to even")
        }
        Suffix::Fast | Suffix::None => {
            (CropRounding::DownPadded, "torchvision backend, centre crop rounds down")
        }
    };
    let version = match version {
        Version::Given((major, minor)) => format!("transformers {major}.{minor}"),
        Version::Unknown => "transformers 5 (assumed, no config.json gives a version)".to_owned(),
    };
    let filter = if how == PILLOW { "" } else { "; resized with Pillow's filter" };
    (rounding, format!("{class}: rules of {version}: {how}{filter}"))
}

const SIZES: &str = "a number, a shortest_edge, or a height and a width";

/// A size as Hugging Face defines it.
#[derive(Debug, Clone, Copy)]
enum Size {
    /// The shorter side.
    Shorter(u32),
    /// Height and width.
    Exact([u32; 2]),
}
