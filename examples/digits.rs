//! Unpacks the handwritten digits of `examples/digits/digits.png` into one folder per class, for
//! `bottleneck train`: four fifths of each class into DIR/train, every fifth image into DIR/test.
//! Without DIR it only counts them.
//!
//!     cargo run --release --example digits -- DIR

#[path = "digits/mod.rs"]
mod sheet;

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let digits = sheet::all()?;
    let held_out = digits.iter().filter(|digit| digit.is_held_out()).count();
    if let Some(folder) = std::env::args_os().nth(1) {
        for digit in &digits {
            let part = if digit.is_held_out() { "test" } else { "train" };
            let class = Path::new(&folder).join(part).join(digit.class.to_string());
            std::fs::create_dir_all(&class)?;
            let file = class.join(format!("{:03}.png", digit.index));
            image::save_buffer(
                file,
                digit.image.data(),
                sheet::SIDE,
                sheet::SIDE,
                image::ColorType::Rgb8,
            )?;
        }
    }
    println!("{} digits to train on, {held_out} to test on", digits.len() - held_out);
    Ok(())
}
