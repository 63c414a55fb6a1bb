//! `bottleneck features`: the feature maps of an image, as images or values.

use std::path::{Path, PathBuf};

use image::codecs::png::PngEncoder;
use image::{RgbImage, imageops};
use wgpu_bottleneck::{Error, HostTensor, Image};

use super::error::CliError;
use super::feature_maps::is_map;
use super::files::{self, OutputFile, OutputFolder, Staged};
use super::network_args::FeaturesArgs;
use super::output;

/// The least length of a channel's longer side in a sheet. Smaller channels are enlarged by whole
/// factors.
const LEAST_SIDE: u32 = 56;
/// Pixels between the channels of a sheet.
const GAP: u32 = 2;
/// The largest number of columns of a sheet.
const COLUMNS: u32 = 8;

/// Matplotlib's viridis (CC0), at equal distances.
const VIRIDIS: [[u8; 3]; 10] = [
    [0x44, 0x01, 0x54],
    [0x48, 0x28, 0x78],
    [0x3e, 0x49, 0x89],
    [0x31, 0x68, 0x8e],
    [0x26, 0x82, 0x8e],
    [0x1f, 0x9e, 0x89],
    [0x35, 0xb7, 0x79],
    [0x6e, 0xce, 0x58],
    [0xb5, 0xde, 0x2b],
    [0xfd, 0xe7, 0x25],
];

/// Runs the command.
pub fn run(args: &FeaturesArgs) -> Result<(), CliError> {
    let mut inputs = args.images.network.inputs()?;
    inputs.push(args.image.clone());
    let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
    let folder = args.png.as_deref().map(OutputFolder::check).transpose()?;
    let raw = args.raw.as_deref().map(|raw| OutputFile::check(raw, &inputs)).transpose()?;
    check_names(args)?;
    let weights = args.images.network.weights()?;
    let image = Image::open(&args.image)?;
    let mut pipeline = args.images.load(&weights, Some(1))?;
    let maps: Vec<Map> =
        pipeline.run(&[(&image).into()])?.into_iter().filter(|(name, _)| is_map(name)).collect();
    for (name, map) in &maps {
        if map.data().iter().any(|value| !value.is_finite()) {
            return Err(CliError::Wrong(format!("{name} holds values that are not finite")));
        }
    }
    let images = match &folder {
        Some(_) => {
            let seen = pipeline.preprocess().pixels(&image).map_err(Error::from)?;
            pngs(&seen, &maps, args.channels as usize)?
        }
        None => Vec::new(),
    };
    // Complete under a temporary name before the images are written, so that an error leaves
    // neither.
    let staged = raw.as_ref().map(|raw| stage(raw, &maps)).transpose()?;
    if let Some(folder) = &folder {
        folder.write(&images, &inputs)?;
    }
    staged.map_or(Ok(()), Staged::persist)?;
    tell(args, &maps);
    Ok(())
}

/// Refuses a `--raw` file whose name `--png` may give to an image.
fn check_names(args: &FeaturesArgs) -> Result<(), CliError> {
    let (Some(folder), Some(raw)) = (&args.png, &args.raw) else { return Ok(()) };
    let is_png = raw.extension().is_some_and(|extension| extension == "png");
    let real = |folder: &Path| std::fs::canonicalize(folder).ok();
    if is_png && real(files::parent(raw)).is_some_and(|parent| real(folder) == Some(parent)) {
        let (raw, folder) = (raw.display(), folder.display());
        return Err(CliError::Usage(format!(
            "{raw}: .png names in --png {folder} are for images; choose another name for --raw"
        )));
    }
    Ok(())
}

/// The name of a feature map, and the feature map.
type Map = (String, HostTensor);

/// The names and contents of the image files.
fn pngs(seen: &Image, maps: &[Map], channels: usize) -> Result<Vec<(String, Vec<u8>)>, CliError> {
    let mut files = vec![("overview.png".to_owned(), png(&overview(seen, maps))?)];
    for (name, map) in maps {
        files.push((format!("{name}.png"), png(&sheet(map, channels))?));
    }
    Ok(files)
}

/// Writes the values under a temporary name.
fn stage<'a>(raw: &'a OutputFile, maps: &[Map]) -> Result<Staged<'a>, CliError> {
    let dims: Vec<_> = maps.iter().map(|(_, map)| map.shape().dims()).collect();
    let tensors = maps.iter().zip(&dims);
    raw.stage_tensors(tensors.map(|((name, map), dims)| (&**name, &dims[..], map.data())))
}

/// Reports what was written.
fn tell(args: &FeaturesArgs, maps: &[Map]) {
    let shown = |map: &HostTensor| {
        output::count((args.channels as usize).min(map.shape().c), "channel", "channels")
    };
    for (name, map) in maps {
        let shape = map.shape();
        output::progress(&match &args.png {
            Some(_) => {
                let shown = shown(map);
                format!("{name}: {shape}, the {shown} with the largest variance in {name}.png")
            }
            None => format!("{name}: {shape}"),
        });
    }
    if args.png.is_some() {
        output::progress(
            "overview.png: the image as the network sees it, and the mean of each map's channels",
        );
    }
    if let Some(raw) = &args.raw {
        output::progress(&format!("{}: the values", raw.display()));
    }
}

/// The channels with the largest variance, in descending order, each from its smallest value (dark)
/// to its largest (bright).
fn sheet(map: &HostTensor, most: usize) -> RgbImage {
    let shape = map.shape();
    let (width, height) = (shape.w as u32, shape.h as u32);
    let mut channels: Vec<&[f32]> = map.data().chunks_exact(shape.h * shape.w).collect();
    channels.sort_by(|a, b| variance(b).total_cmp(&variance(a)));
    channels.truncate(most);
    let scale = LEAST_SIDE.div_ceil(width.max(height)).max(1);
    let count = channels.len() as u32;
    let (columns, rows) = (COLUMNS.min(count), count.div_ceil(COLUMNS));
    let (step_x, step_y) = (width * scale + GAP, height * scale + GAP);
    let mut sheet = RgbImage::new(columns * step_x + GAP, rows * step_y + GAP);
    for (at, channel) in (0..).zip(channels) {
        let tile = coloured(channel, width, height);
        let tile =
            imageops::resize(&tile, width * scale, height * scale, imageops::FilterType::Nearest);
        let (x, y) = (at % COLUMNS * step_x + GAP, at / COLUMNS * step_y + GAP);
        imageops::replace(&mut sheet, &tile, i64::from(x), i64::from(y));
    }
    sheet
}

/// The image, and the mean of each map's channels at the same size.
fn overview(seen: &Image, maps: &[Map]) -> RgbImage {
    let (width, height) = (seen.width(), seen.height());
    let mut tiles =
        vec![RgbImage::from_raw(width, height, seen.data().to_vec()).unwrap_or_default()];
    for (_, map) in maps {
        let shape = map.shape();
        let plane = shape.h * shape.w;
        let mean =
            |at: usize| map.data().iter().skip(at).step_by(plane).sum::<f32>() / shape.c as f32;
        let means: Vec<f32> = (0..plane).map(mean).collect();
        let tile = coloured(&means, shape.w as u32, shape.h as u32);
        tiles.push(imageops::resize(&tile, width, height, imageops::FilterType::Nearest));
    }
    let mut row = RgbImage::new(tiles.len() as u32 * (width + GAP) + GAP, height + 2 * GAP);
    for (at, tile) in (0..).zip(&tiles) {
        imageops::replace(&mut row, tile, i64::from(GAP + at * (width + GAP)), i64::from(GAP));
    }
    row
}

fn variance(values: &[f32]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count
}

/// Values as colours, from the smallest to the largest. Equal values give one colour.
fn coloured(values: &[f32], width: u32, height: u32) -> RgbImage {
    let least = values.iter().fold(f32::INFINITY, |least, &value| least.min(value));
    let largest = values.iter().fold(f32::NEG_INFINITY, |largest, &value| largest.max(value));
    // In f64, where the range of any two f32 is finite.
    let range = f64::from(largest) - f64::from(least);
    let share =
        |value: f32| if range > 0.0 { (f64::from(value) - f64::from(least)) / range } else { 0.0 };
    let bytes = values.iter().flat_map(|&value| viridis(share(value))).collect();
    RgbImage::from_raw(width, height, bytes).unwrap_or_default()
}

/// The colour of a number from 0 to 1.
fn viridis(share: f64) -> [u8; 3] {
    let place = share * (VIRIDIS.len() - 1) as f64;
    let at = (place as usize).min(VIRIDIS.len() - 2);
    let part = place - at as f64;
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * part).round() as u8;
    std::array::from_fn(|channel| mix(VIRIDIS[at][channel], VIRIDIS[at + 1][channel]))
}

fn png(image: &RgbImage) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let failed = |error| CliError::io("PNG", std::io::Error::other(error));
    // Not `write_to`, which would compile the encoders of all formats.
    image.write_with_encoder(PngEncoder::new(&mut bytes)).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu_bottleneck::Shape;

    #[test]
    fn colours_go_from_dark_to_bright() {
        assert_eq!((viridis(0.0), viridis(1.0)), (VIRIDIS[0], VIRIDIS[9]));
        assert_eq!(viridis(1.0 / 9.0), VIRIDIS[1]);
        let image = coloured(&[f32::MIN, f32::MAX, 0.0], 3, 1);
        assert_eq!((image.get_pixel(0, 0).0, image.get_pixel(1, 0).0), (VIRIDIS[0], VIRIDIS[9]));
        assert!(coloured(&[7.0; 4], 2, 2).pixels().all(|pixel| pixel.0 == VIRIDIS[0]));
    }

    #[test]
    fn sheets_show_the_liveliest_channels() -> Result<(), wgpu_bottleneck::error::ShapeError> {
        // Channel 1 varies most, then 2; channel 0 does not at all.
        let map =
            HostTensor::from_fn(Shape::new(1, 3, 1, 2)?, |at| [1.0, 1.0, 0.0, 9.0, 4.0, 3.0][at]);
        let sheet = sheet(&map, 2);
        let scale = LEAST_SIDE / 2;
        assert_eq!(sheet.dimensions(), (2 * (2 * scale + GAP) + GAP, scale + 2 * GAP));
        let left = |tile: u32| sheet.get_pixel(GAP + tile * (2 * scale + GAP), GAP).0;
        assert_eq!((left(0), left(1)), (VIRIDIS[0], VIRIDIS[9]));
        Ok(())
    }
}
