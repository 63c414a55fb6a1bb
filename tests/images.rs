//! Images: resized, cropped and normalised as torchvision and Pillow do it, on the CPU and on
//! every device to the bit; files decoded as Pillow decodes them; configurations of others; and
//! input that is none.

mod config;
mod files;
mod formats;
mod golden;
mod gpu;
mod processors;
mod refused;

use std::collections::BTreeMap;

use crate::common::Outcome;
use golden::{Goldens, crc32};
use wgpu_bottleneck::image::{Geometry, Image, Taps};

#[test]
fn the_reference_is_torchvision_to_the_bit() -> Outcome {
    let goldens = Goldens::read()?;
    assert!(goldens.resizes.len() > 500, "only {} resizes", goldens.resizes.len());
    let mut failures = Vec::new();
    for case in &goldens.resizes {
        let preprocess = case.preprocess()?;
        let pixels = preprocess.pixels(&case.image()?)?;
        let [height, width] = case.crop;
        if crc32(pixels.data()) != case.pixels_crc32 {
            let middle = pixels.pixel(width / 2, height / 2);
            failures.push(format!("{case:?}: other pixels, in the middle {middle:?}"));
            continue;
        }
        let tensor = preprocess.tensor(&[case.image()?])?;
        let bytes: Vec<u8> = tensor.data().iter().flat_map(|value| value.to_le_bytes()).collect();
        if crc32(&bytes) != case.tensor_crc32 {
            failures.push(format!("{case:?}: normalised to other values"));
        }
    }
    let count = failures.len();
    failures.truncate(20);
    assert!(
        failures.is_empty(),
        "{count} of {} differ:\n{}",
        goldens.resizes.len(),
        failures.join("\n")
    );
    Ok(())
}

#[test]
fn weights_sum_to_one_and_stay_inside() -> Outcome {
    for case in &Goldens::read()?.resizes {
        let preprocess = case.preprocess()?;
        let Geometry { columns, rows, .. } =
            Geometry::new(&preprocess, case.size[0], case.size[1])?;
        for axis in [columns, rows] {
            let taps = Taps::new(preprocess.filter, &axis)?;
            assert!(taps.first + taps.span <= axis.input, "{case:?}: {axis:?}");
            for kept in 0..axis.kept {
                let (first, weights) = taps.of(kept);
                assert!(!weights.is_empty() && first >= taps.first, "{case:?}: {axis:?}");
                assert!(
                    first + weights.len() as u32 <= taps.first + taps.span,
                    "{case:?}: {axis:?}"
                );
                // Each weight is rounded by itself.
                let error = (weights.iter().sum::<i32>() - (1 << 22)).unsigned_abs();
                assert!(
                    error as usize <= weights.len().div_ceil(2),
                    "{case:?}: off by {error} units"
                );
                // What an i32 holds of 255 times them, whatever the order of the sum.
                let largest: i64 = weights.iter().map(|weight| i64::from(weight.abs()) * 255).sum();
                assert!(largest + (1 << 21) <= i64::from(i32::MAX), "{case:?}: {axis:?} overflows");
            }
        }
    }
    Ok(())
}

#[test]
fn files_are_decoded_as_pillow_does() -> Outcome {
    let goldens = Goldens::read()?;
    assert!(goldens.files.len() > 45, "only {} files", goldens.files.len());
    let (mut failures, mut levels) = (Vec::new(), BTreeMap::new());
    for file in &goldens.files {
        let image = match Image::open(golden::path(&file.file)) {
            Ok(image) => image,
            Err(error) => {
                failures.push(error.to_string());
                continue;
            }
        };
        if [image.width(), image.height()] != file.size {
            failures.push(format!("{}: {image:?} instead of {:?}", file.file, file.size));
            continue;
        }
        let Some(expected) = &file.expected else {
            if crc32(image.data()) != file.crc32 {
                failures.push(format!(
                    "{}: other pixels, the first {:?}",
                    file.file,
                    &image.data()[..12]
                ));
            }
            continue;
        };
        let expected = Image::open(golden::path(expected))?;
        assert_eq!(crc32(expected.data()), file.crc32, "{}: the golden itself", file.file);
        let off: Vec<u8> =
            image.data().iter().zip(expected.data()).map(|(a, b)| a.abs_diff(*b)).collect();
        let worst = off.iter().copied().max().unwrap_or(0);
        let mean = off.iter().map(|&off| f64::from(off)).sum::<f64>() / off.len() as f64;
        levels.insert(&file.file, (worst, mean));
        let bound = files::lossy_bound(&file.file);
        if worst > bound {
            failures.push(format!(
                "{}: off by {worst} levels, {mean:.3} on average; {bound} accepted",
                file.file
            ));
        }
    }
    for (file, (worst, mean)) in levels {
        println!("{file}: off by {worst} levels at most, {mean:.3} on average");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}
