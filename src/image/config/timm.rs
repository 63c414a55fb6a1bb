//! timm's `pretrained_cfg`: reading and writing.

use serde_json::{Map, Value, json};

use super::Config;
use crate::error::ImageError;
use crate::image::{Channels, CropRounding, Filter, Preprocess, Resize};

/// timm's default fraction of a resized image that is cropped.
const CROP_PCT: f64 = 0.875;

impl Config {
    /// timm.data.create_transform for evaluation, with the configuration's main sizes instead of
    /// its test sizes.
    pub(super) fn timm(&self) -> Result<Preprocess, ImageError> {
        let inner = match self.map.get("pretrained_cfg") {
            Some(Value::Object(map)) => Self { name: self.name.clone(), map: map.clone() },
            Some(other) => return Err(self.wrong("pretrained_cfg", Some(other), "an object")),
            None => Self { name: self.name.clone(), map: self.map.clone() },
        };
        let size = inner.map.get("input_size").and_then(Value::as_array).map(Vec::as_slice);
        let Some([channels, height, width]) = size else {
            return Err(inner.wrong(
                "input_size",
                inner.map.get("input_size"),
                "three sizes: channels, height, width",
            ));
        };
        let channels = inner.channels(channels)?;
        let crop = [inner.side("input_size", height)?, inner.side("input_size", width)?];
        let share = inner.number("crop_pct")?.unwrap_or(CROP_PCT);
        let scaled = [inner.divided(crop[0], share)?, inner.divided(crop[1], share)?];
        let resize = match inner.text("crop_mode")?.unwrap_or("center") {
            "center" if scaled[0] == scaled[1] => Resize::ShorterSide(scaled[0]),
            "squash" => Resize::Exact { height: scaled[0], width: scaled[1] },
            "center" => {
                return Err(inner.wrong(
                    "input_size",
                    inner.map.get("input_size"),
                    "a square, as crop_mode is center",
                ));
            }
            _ => {
                return Err(inner.wrong(
                    "crop_mode",
                    inner.map.get("crop_mode"),
                    "center or squash",
                ));
            }
        };
        let filter = match inner.text("interpolation")? {
            None => Filter::Bicubic,
            Some(name) => Filter::named(name).ok_or_else(|| {
                inner.wrong(
                    "interpolation",
                    inner.map.get("interpolation"),
                    "the name of one of Pillow's filters",
                )
            })?,
        };
        let Preprocess { mean, std, .. } = Preprocess::imagenet_v1().with_channels(channels);
        let mean = inner.colours("mean")?.unwrap_or(mean);
        let std = inner.colours("std")?.unwrap_or(std);
        inner.checked(Preprocess {
            resize,
            filter,
            crop,
            rounding: CropRounding::HalfToEven,
            channels,
            mean,
            std,
        })
    }

    /// The channels of an `input_size`.
    fn channels(&self, count: &Value) -> Result<Channels, ImageError> {
        match count.as_u64() {
            Some(3) => Ok(Channels::Rgb),
            Some(1) => Ok(Channels::Gray),
            _ => Err(self.wrong("input_size", Some(count), "3 channels, or 1")),
        }
    }
}

impl Preprocess {
    /// Converts to timm's `pretrained_cfg`.
    ///
    /// # Errors
    /// [`ImageError::Setting`] if timm's format cannot express it: a crop that is neither the
    /// size of an exact resize nor a square from a resized shorter side, or another crop rounding.
    pub(crate) fn to_timm(self) -> Result<Map<String, Value>, ImageError> {
        let Self { resize, filter, crop: [height, width], rounding, channels, mean, std } = self;
        let (mode, share) = match resize {
            Resize::Exact { height: rows, width: columns }
                if [rows, columns] == [height, width] =>
            {
                ("squash", 1.0)
            }
            Resize::ShorterSide(side) if height == width => ("center", share(height, side)),
            _ => return Err(unsaid("resize", format!("{resize}, cropped to {height} x {width}"))),
        };
        if rounding != CropRounding::HalfToEven {
            return Err(unsaid("rounding", format!("{rounding:?}")));
        }
        // The shortest decimals that parse to the same f32.
        let decimals = |values: [f32; 3]| {
            values.map(|value| value.to_string().parse::<f64>().unwrap_or(value.into()))
        };
        let said = json!({
            "input_size": [channels.count(), height, width],
            "fixed_input_size": false,
            "interpolation": filter.name(),
            "crop_pct": share,
            "crop_mode": mode,
            "mean": decimals(mean),
            "std": decimals(std),
        });
        match said {
            Value::Object(map) => Ok(map),
            _ => Ok(Map::new()),
        }
    }
}

fn unsaid(setting: &'static str, found: String) -> ImageError {
    ImageError::Setting { setting, found, expected: "a setting that timm's format supports" }
}

/// The `crop_pct` for which `int(crop / crop_pct)` is the resized side.
fn share(crop: u32, side: u32) -> f64 {
    let mut share = f64::from(crop) / f64::from(side);
    while (f64::from(crop) / share) as u32 != side {
        share = if ((f64::from(crop) / share) as u32) < side {
            share.next_down()
        } else {
            share.next_up()
        };
    }
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() -> Result<(), ImageError> {
        let exact = |height, width| Preprocess {
            resize: Resize::Exact { height, width },
            crop: [height, width],
            mean: [0.1, 1.0 / 3.0, f32::MIN_POSITIVE],
            std: [0.3, 1e9, 0.7],
            ..Preprocess::imagenet_v1()
        };
        let shorter = |crop, side| Preprocess {
            resize: Resize::ShorterSide(side),
            crop: [crop, crop],
            filter: Filter::Lanczos,
            ..Preprocess::imagenet_v1()
        };
        let mut cases = vec![
            exact(48, 48),
            exact(1, 333),
            Preprocess::imagenet_v1(),
            Preprocess::imagenet_v2(),
        ];
        cases.extend((1..700).map(|side| shorter(224, side)));
        for preprocess in cases {
            let map = preprocess.to_timm()?;
            let text = Value::Object(map).to_string();
            assert_eq!(Preprocess::from_config_text(&text)?, preprocess, "{text}");
        }
        let odd = Preprocess { crop: [20, 30], ..Preprocess::imagenet_v1() };
        let down = Preprocess { rounding: CropRounding::Down, ..Preprocess::imagenet_v1() };
        assert!(odd.to_timm().is_err() && down.to_timm().is_err());
        Ok(())
    }
}
