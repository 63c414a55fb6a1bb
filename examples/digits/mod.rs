//! The handwritten digits of `digits.png`, whose script says where they come from.

use std::error::Error;

use image::GenericImageView as _;
use wgpu_bottleneck::Image;

const SHEET: &[u8] = include_bytes!("digits.png");

/// Pixels of a digit's side.
pub const SIDE: u32 = 8;

/// A digit: what it shows, its place among its like, and its pixels.
pub struct Digit {
    pub class: usize,
    pub index: usize,
    pub image: Image,
}

impl Digit {
    /// Whether it is not trained on: every fifth of its like.
    pub fn is_held_out(&self) -> bool {
        self.index % 5 == 4
    }
}

/// Every digit of the sheet, line by line.
pub fn all() -> Result<Vec<Digit>, Box<dyn Error>> {
    let sheet = image::load_from_memory(SHEET)?.into_luma8();
    let mut digits = Vec::new();
    for class in 0..10 {
        for index in 0..sheet.width() / SIDE {
            let tile = sheet.view(index * SIDE, class * SIDE, SIDE, SIDE).to_image();
            // No digit is without ink: what is left of the line is empty.
            if tile.pixels().all(|pixel| pixel.0[0] == 0) {
                break;
            }
            let image = Image::from_fn(SIDE, SIDE, |x, y| [tile.get_pixel(x, y).0[0]; 3])?;
            digits.push(Digit { class: class as usize, index: index as usize, image });
        }
    }
    Ok(digits)
}
