//! Preprocessing as others write it down: timm's `config.json` and Hugging Face's `preprocessor_config.json`.
//!
//! A value that asks for something else than is done here is an error that names it, never ignored: a network that is fed
//! slightly wrong pictures gives slightly wrong answers, and nobody notices.

use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use super::{CropRounding, Filter, IMAGENET_MEAN, IMAGENET_STD, Preprocess, Resize, file};
use crate::error::{Error, PictureError};

/// Bytes of the largest configuration that is read; those with thousands of labels have some hundred kilobytes.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// The share of a resized picture that timm crops where a configuration does not say.
const TIMM_CROP_PCT: f64 = 0.875;
/// The same for Hugging Face's ConvNext processor.
const CONVNEXT_CROP_PCT: f64 = 224.0 / 256.0;
/// From this size on the ConvNext processor warps pictures to a square and crops nothing.
const CONVNEXT_WARPS_FROM: u32 = 384;

impl Preprocess {
    /// The preprocessing that lies beside weights: in the folder of that file, or in that folder, `preprocessor_config.json`
    /// (Hugging Face), else a `config.json` of timm's. `None` where there is neither.
    ///
    /// # Errors
    /// As [`Preprocess::from_config`].
    pub fn beside(weights: impl AsRef<Path>) -> Result<Option<Self>, Error> {
        let weights = weights.as_ref();
        let folder = if weights.is_dir() { weights } else { weights.parent().unwrap_or(Path::new("")) };
        let processor = folder.join("preprocessor_config.json");
        if processor.is_file() {
            return Self::from_config(processor).map(Some);
        }
        let config = folder.join("config.json");
        if !config.is_file() {
            return Ok(None);
        }
        let text = read(&config)?;
        let name = config.display().to_string();
        let config = Config::parse(&name, &text)?;
        // Hugging Face's models have a config.json too, with nothing about pictures in it.
        if config.is_timm() { Ok(Some(config.timm()?)) } else { Ok(None) }
    }

    /// The preprocessing of a configuration file, timm's or Hugging Face's.
    ///
    /// # Errors
    /// [`Error::Io`]; [`PictureError::ConfigFormat`] for what is not JSON; [`PictureError::Config`] for a value that is missing or
    /// asks for what is not done here; [`PictureError::Setting`].
    pub fn from_config(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = read(path)?;
        Ok(Config::parse(&path.display().to_string(), &text)?.any()?)
    }

    /// The preprocessing of a configuration's text, timm's or Hugging Face's.
    ///
    /// # Errors
    /// As [`Preprocess::from_config`].
    pub fn from_config_text(json: &str) -> Result<Self, PictureError> {
        Config::parse("configuration", json)?.any()
    }
}

/// A whole file of text.
fn read(path: &Path) -> Result<String, Error> {
    let bytes = file::read(path, "a configuration", MAX_CONFIG_BYTES)?;
    let no_text =
        |error| Error::Io { path: path.to_owned(), source: io::Error::new(io::ErrorKind::InvalidData, error) };
    String::from_utf8(bytes).map_err(no_text)
}

/// A configuration and what it is called.
#[derive(Debug)]
struct Config {
    name: String,
    map: Map<String, Value>,
}

impl Config {
    fn parse(name: &str, text: &str) -> Result<Self, PictureError> {
        let refuse = |reason| PictureError::ConfigFormat { config: name.to_owned(), reason };
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(Self { name: name.to_owned(), map }),
            Ok(_) => Err(refuse("expected an object".to_owned())),
            Err(error) => Err(refuse(error.to_string())),
        }
    }

    /// Whichever it is.
    fn any(&self) -> Result<Preprocess, PictureError> {
        if self.is_timm() { self.timm() } else { self.hugging_face() }
    }

    fn is_timm(&self) -> bool {
        self.map.contains_key("pretrained_cfg") || (self.map.contains_key("input_size") && self.class().is_none())
    }

    /// timm.data.create_transform for evaluation, with the configuration's own sizes rather than those for tests.
    fn timm(&self) -> Result<Preprocess, PictureError> {
        let inner = match self.map.get("pretrained_cfg") {
            Some(Value::Object(map)) => Self { name: self.name.clone(), map: map.clone() },
            Some(other) => return Err(self.wrong("pretrained_cfg", Some(other), "an object")),
            None => Self { name: self.name.clone(), map: self.map.clone() },
        };
        let size = inner.map.get("input_size").and_then(Value::as_array).map(Vec::as_slice);
        let Some([channels, height, width]) = size else {
            return Err(inner.wrong("input_size", inner.map.get("input_size"), "three sizes: channels, height, width"));
        };
        if channels.as_u64() != Some(3) {
            return Err(inner.wrong("input_size", Some(channels), "3 channels"));
        }
        let crop = [inner.side("input_size", height)?, inner.side("input_size", width)?];
        let share = inner.number("crop_pct")?.unwrap_or(TIMM_CROP_PCT);
        let scaled = [inner.divided(crop[0], share)?, inner.divided(crop[1], share)?];
        let resize = match inner.text("crop_mode")?.unwrap_or("center") {
            "center" if scaled[0] == scaled[1] => Resize::ShorterSide(scaled[0]),
            "squash" => Resize::Exact { height: scaled[0], width: scaled[1] },
            "center" => {
                return Err(inner.wrong("input_size", inner.map.get("input_size"), "a square, as crop_mode is center"));
            }
            _ => return Err(inner.wrong("crop_mode", inner.map.get("crop_mode"), "center or squash")),
        };
        let filter = match inner.text("interpolation")? {
            None => Filter::Bicubic,
            Some(name) => Filter::named(name).ok_or_else(|| {
                inner.wrong("interpolation", inner.map.get("interpolation"), "the name of one of Pillow's filters")
            })?,
        };
        let mean = inner.colours("mean")?.unwrap_or(IMAGENET_MEAN);
        let std = inner.colours("std")?.unwrap_or(IMAGENET_STD);
        checked(Preprocess { resize, filter, crop, rounding: CropRounding::HalfToEven, mean, std })
    }

    /// The class of Hugging Face's that reads the configuration.
    fn class(&self) -> Option<&str> {
        ["image_processor_type", "feature_extractor_type"].into_iter().find_map(|key| self.map.get(key)?.as_str())
    }

    fn hugging_face(&self) -> Result<Preprocess, PictureError> {
        let expected = "the image processor of ConvNext, ViT, CLIP or Bit";
        let Some(class) = self.class() else {
            return Err(self.wrong("image_processor_type", self.map.get("image_processor_type"), expected));
        };
        let on_tensors = class.strip_suffix("Fast");
        let kind = on_tensors.unwrap_or(class);
        let kind = kind.strip_suffix("ImageProcessor").or_else(|| kind.strip_suffix("FeatureExtractor"));
        let (resize, crop) = match kind {
            Some("ConvNext") => self.convnext()?,
            // The one on arrays has no crop, and ignores what asks for it.
            Some("ViT") if on_tensors.is_none() && self.flag("do_center_crop")? == Some(true) => {
                let expected = "false for ViTImageProcessor, which does not crop, or ViTImageProcessorFast";
                return Err(self.wrong("do_center_crop", self.map.get("do_center_crop"), expected));
            }
            Some("ViT") => self.resize_and_crop(true, false)?,
            Some("CLIP" | "Bit") => self.resize_and_crop(false, true)?,
            _ => return Err(self.wrong("image_processor_type", Some(&Value::from(class)), expected)),
        };
        let rounding = if on_tensors.is_some() { CropRounding::HalfToEven } else { CropRounding::Down };
        self.check_rescale()?;
        let (mean, std) = if self.flag("do_normalize")?.unwrap_or(true) {
            let colours = |key: &str| self.colours(key)?.ok_or_else(|| self.wrong(key, None, "three numbers"));
            (colours("image_mean")?, colours("image_std")?)
        } else {
            ([0.0; 3], [1.0; 3])
        };
        let filter = match resize {
            Resize::None => Filter::default(),
            _ => self.map.get("resample").and_then(Value::as_u64).and_then(Filter::numbered).ok_or_else(|| {
                self.wrong("resample", self.map.get("resample"), "the number of one of Pillow's filters, 0 to 5")
            })?,
        };
        checked(Preprocess { resize, filter, crop, rounding, mean, std })
    }

    /// ConvNextImageProcessor, which ResNets use too.
    fn convnext(&self) -> Result<(Resize, [u32; 2]), PictureError> {
        if !self.flag("do_resize")?.unwrap_or(true) {
            return Err(self.wrong("do_resize", self.map.get("do_resize"), "true, or pictures would differ in size"));
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

    /// The processors that resize to `size` and crop to `crop_size`. A number alone as size is a `square`, or a shorter side.
    fn resize_and_crop(&self, square: bool, crops: bool) -> Result<(Resize, [u32; 2]), PictureError> {
        let resize = if self.flag("do_resize")?.unwrap_or(true) {
            match self.size("size", square)? {
                Some(Size::Shorter(side)) => Resize::ShorterSide(side),
                Some(Size::Exact([height, width])) => Resize::Exact { height, width },
                None => return Err(self.wrong("size", None, SIZES)),
            }
        } else {
            Resize::None
        };
        let crops = self.flag("do_center_crop")?.unwrap_or(crops);
        match (resize, crops) {
            (_, true) => match self.size("crop_size", true)? {
                Some(Size::Exact(crop)) => Ok((resize, crop)),
                _ => Err(self.wrong("crop_size", self.map.get("crop_size"), "a number, or a height and a width")),
            },
            (Resize::Exact { height, width }, false) => Ok((resize, [height, width])),
            _ => {
                let found = self.map.get("do_center_crop").cloned().unwrap_or(Value::Bool(false));
                Err(self.wrong("do_center_crop", Some(&found), "true, or pictures would differ in size"))
            }
        }
    }

    /// Values go from 0 to 1, or the mean and the deviation would be others.
    fn check_rescale(&self) -> Result<(), PictureError> {
        if !self.flag("do_rescale")?.unwrap_or(true) {
            return Err(self.wrong("do_rescale", self.map.get("do_rescale"), "true"));
        }
        match self.number("rescale_factor")? {
            Some(factor) if (factor * 255.0 - 1.0).abs() > 1e-6 => {
                Err(self.wrong("rescale_factor", self.map.get("rescale_factor"), "1/255"))
            }
            _ => Ok(()),
        }
    }

    fn wrong(&self, key: &str, found: Option<&Value>, expected: &'static str) -> PictureError {
        let found = found.map_or_else(|| "missing".to_owned(), |value| value.to_string().chars().take(80).collect());
        PictureError::Config { config: self.name.clone(), key: key.to_owned(), found, expected }
    }

    /// A value that may be absent or null, as `convert` takes it.
    fn optional<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, PictureError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => convert(value).map(Some).ok_or_else(|| self.wrong(key, Some(value), expected)),
        }
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, PictureError> {
        self.optional(key, "true or false", Value::as_bool)
    }

    fn number(&self, key: &str) -> Result<Option<f64>, PictureError> {
        self.optional(key, "a number", Value::as_f64)
    }

    fn text(&self, key: &str) -> Result<Option<&str>, PictureError> {
        self.optional(key, "a text", Value::as_str)
    }

    /// A number for each of red, green and blue, or one for all.
    fn colours(&self, key: &str) -> Result<Option<[f32; 3]>, PictureError> {
        self.optional(key, "three numbers", |value| match value {
            Value::Array(values) => {
                let values: Vec<f32> = values.iter().map(|v| Some(v.as_f64()? as f32)).collect::<Option<_>>()?;
                values.try_into().ok()
            }
            other => other.as_f64().map(|value| [value as f32; 3]),
        })
    }

    /// A size in pixels.
    fn side(&self, key: &str, value: &Value) -> Result<u32, PictureError> {
        let side = value.as_u64().and_then(|side| u32::try_from(side).ok()).filter(|side| *side > 0);
        side.ok_or_else(|| self.wrong(key, Some(value), "a size in pixels"))
    }

    /// A size divided by the share of it that is kept, cut to whole pixels.
    fn divided(&self, side: u32, share: f64) -> Result<u32, PictureError> {
        let divided = f64::from(side) / share;
        // Also refuses what is not a number.
        if divided >= 1.0 && divided < f64::from(u32::MAX) {
            return Ok(divided as u32);
        }
        Err(self.wrong("crop_pct", self.map.get("crop_pct"), "the share of the resized picture that is kept"))
    }

    /// A size as Hugging Face writes it.
    fn size(&self, key: &str, square: bool) -> Result<Option<Size>, PictureError> {
        let Some(value) = self.map.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
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

const SIZES: &str = "a number, a shortest_edge, or a height and a width";

/// A size as Hugging Face means it.
#[derive(Debug, Clone, Copy)]
enum Size {
    /// The shorter side.
    Shorter(u32),
    /// Height and width.
    Exact([u32; 2]),
}

fn checked(preprocess: Preprocess) -> Result<Preprocess, PictureError> {
    preprocess.check()?;
    Ok(preprocess)
}
