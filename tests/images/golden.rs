//! What Pillow and torchvision made: see tests/golden/README.md.

use std::path::PathBuf;

use serde_json::Value;
use wgpu_bottleneck::Preprocess;
use wgpu_bottleneck::image::{Filter, Image, Resize};

use crate::common::golden_dir;

type Any<T> = Result<T, Box<dyn std::error::Error>>;

/// A file of the goldens.
pub fn path(file: &str) -> PathBuf {
    golden_dir().join("pictures").join(file)
}

pub struct Goldens {
    pub resizes: Vec<ResizeCase>,
    pub files: Vec<FileCase>,
}

/// An image from integers, and what becomes of it.
#[derive(Debug, Clone)]
pub struct ResizeCase {
    pub kind: String,
    pub size: [u32; 2],
    pub resize: Resize,
    pub crop: [u32; 2],
    pub filter: Filter,
    pub pixels_crc32: u32,
    pub tensor_crc32: u32,
    #[allow(dead_code, reason = "for whoever reads a failure")]
    pub middle: Vec<u32>,
}

/// An image file, and what it holds.
pub struct FileCase {
    pub file: String,
    pub size: [u32; 2],
    pub crc32: u32,
    pub expected: Option<String>,
}

impl Goldens {
    pub fn read() -> Any<Self> {
        let all: Value = serde_json::from_str(&std::fs::read_to_string(path("goldens.json"))?)?;
        let list = |key: &str| all[key].as_array().cloned().ok_or("not a list");
        let resizes = list("resizes")?.iter().map(ResizeCase::read).collect::<Any<_>>()?;
        let files = list("files")?.iter().map(FileCase::read).collect::<Any<_>>()?;
        Ok(Self { resizes, files })
    }
}

fn number(value: &Value) -> Any<u32> {
    Ok(u32::try_from(value.as_u64().ok_or("not a number")?)?)
}

fn numbers(value: &Value) -> Any<Vec<u32>> {
    value.as_array().ok_or("not a list")?.iter().map(number).collect()
}

fn pair(value: &Value) -> Any<[u32; 2]> {
    Ok(numbers(value)?.try_into().map_err(|_| "not two numbers")?)
}

impl ResizeCase {
    fn read(value: &Value) -> Any<Self> {
        let text = |key: &str| value[key].as_str().ok_or("not a text");
        let resize = match &value["resize"] {
            Value::Null => Resize::None,
            Value::Array(_) => {
                let [height, width] = pair(&value["resize"])?;
                Resize::Exact { height, width }
            }
            side => Resize::ShorterSide(number(side)?),
        };
        Ok(Self {
            kind: text("kind")?.to_owned(),
            size: pair(&value["size"])?,
            resize,
            crop: pair(&value["crop"])?,
            filter: Filter::named(text("filter")?).ok_or("no such filter")?,
            pixels_crc32: number(&value["pixels_crc32"])?,
            tensor_crc32: number(&value["tensor_crc32"])?,
            middle: numbers(&value["middle"])?,
        })
    }

    pub fn preprocess(&self) -> Any<Preprocess> {
        Ok(Preprocess {
            resize: self.resize,
            crop: self.crop,
            filter: self.filter,
            ..Preprocess::imagenet_v1()
        })
    }

    pub fn image(&self) -> Any<Image> {
        Ok(pattern(&self.kind, self.size[0], self.size[1])?)
    }
}

impl FileCase {
    fn read(value: &Value) -> Any<Self> {
        Ok(Self {
            file: value["file"].as_str().ok_or("not a text")?.to_owned(),
            size: pair(&value["size"])?,
            crc32: number(&value["crc32"])?,
            expected: value["expected"].as_str().map(str::to_owned),
        })
    }
}

/// The twin of `pattern` in tests/golden/pictures.py.
pub fn pattern(
    kind: &str,
    width: u32,
    height: u32,
) -> Result<Image, wgpu_bottleneck::error::ImageError> {
    let noise = |x: u32, y: u32, c: u32| {
        let mut n =
            x.wrapping_mul(73_856_093) ^ y.wrapping_mul(19_349_663) ^ c.wrapping_mul(83_492_791);
        n ^= n >> 13;
        n = n.wrapping_mul(0x5bd1_e995);
        (n ^ (n >> 15)) as u8
    };
    Image::from_fn(width, height, |x, y| {
        [0, 1, 2].map(|c| match kind {
            "edges" => ((x / 3 + y / 5 + c) % 2 * 255) as u8,
            _ => noise(x, y, c),
        })
    })
}

/// The checksum of zlib and PNG.
pub fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    let table: Vec<u32> = (0..256).map(|byte| (0..8).fold(byte, step)).collect();
    !bytes
        .iter()
        .fold(!0, |crc: u32, &byte| (crc >> 8) ^ table[((crc ^ u32::from(byte)) & 255) as usize])
}
