//! Runs every command that reads a network on files written by `train`.

use wgpu_bottleneck::plan::{KernelChoice, MemoryBudget};

use super::*;

/// Runs every command on a copy of model.safetensors alone; settings come from its metadata.
fn every_command(name: &str) -> Outcome {
    let (work, case) = (Work::new()?, expected(name)?);
    let alone = work.path("alone.safetensors");
    std::fs::copy(golden(name).join("model.safetensors"), &alone)?;
    let (files, size) = (image_files()?, case["size"].as_u64().ok_or("no size")?);
    let logits = numbers(&case["logits"]);

    let verdicts = work.classify(&alone, &[])?;
    let mut right = 0;
    for ((verdict, (file, class)), logits) in
        verdicts.iter().zip(&files).zip(logits.chunks_exact(CLASSES.len()))
    {
        let what = format!("{name}: classify {}", file.display());
        near(&what, &probabilities(verdict), &softmax(logits));
        let first = &verdict["classes"][0];
        right += u64::from(first["class"] == *class);
        let names = verdict["classes"].as_array().ok_or("no classes")?;
        let is_named = |guess: &Value| {
            guess["label"] == CLASSES[guess["class"].as_u64().unwrap_or(9) as usize]
        };
        assert!(names.iter().all(is_named), "{what}: {names:?}");
        assert!(
            verdict["label_source"].as_str().is_some_and(|source| source.contains("metadata")),
            "{verdict}"
        );
    }
    assert_eq!(Some(right), case["right"].as_u64(), "{name}");

    let folder = golden("images").display().to_string();
    work.good("embed", &alone, &["--out", "vectors.safetensors", &folder])?;
    let bytes = std::fs::read(work.path("vectors.safetensors"))?;
    let vectors = floats(SafeTensors::deserialize(&bytes)?.tensor("vectors")?.data());
    near(&format!("{name}: embed"), &wide(&vectors), &numbers(&case["pooled"]));

    let images = images()?;
    let input = prepared(size).tensor(&images)?;
    let mut file = DictBuilder::default();
    file.f32("input", &input.shape().dims(), input.data());
    std::fs::write(work.path("in"), file.bytes())?;
    work.good("run", &alone, &["--input", "in", "--output", "out", "--features"])?;
    let out = StateDict::open(work.path("out"))?;
    near(&format!("{name}: run"), &wide(&out.tensor("logits")?.data), &logits);
    for (map, golden) in case["maps"].as_object().ok_or("no maps")? {
        let (found, values) = (out.tensor(map)?, numbers(&golden["values"]));
        assert_eq!(
            numbers(&golden["shape"]),
            found.dims.iter().map(|dim| *dim as f64).collect::<Vec<_>>()
        );
        let samples: Vec<f32> =
            (0..values.len()).map(|at| found.data[at * found.data.len() / values.len()]).collect();
        near(&format!("{name}: run: {map}"), &wide(&samples), &values);
    }

    let last = files.last().map(|(file, _)| file.display().to_string()).ok_or("no image")?;
    work.good("features", &alone, &["--picture", &last, "--png", "maps", "--channels", "1"])?;
    maps_are_shown(&work, name, &prepared(size), images.last().ok_or("no image")?, &out)?;

    let output = work.good("verify", &alone, &["--json", &folder])?;
    let verified: Value = serde_json::from_slice(&output.stdout)?;
    verified_by_library(name, &verified, &alone, &prepared(size), &images)?;

    let loss = train_frozen(&work, &alone, "again", name != "identity", &case)?;
    near(&format!("{name}: train --init"), &[loss], &[case["loss"].as_f64().ok_or("no loss")?]);
    Ok(())
}

/// Checks the files of `features`: the network's input, and the channel with the largest variance
/// of each map, in colour.
fn maps_are_shown(
    work: &Work,
    name: &str,
    preprocess: &Preprocess,
    image: &Image,
    out: &StateDict,
) -> Outcome {
    let seen = preprocess.pixels(image)?;
    let overview = Image::open(work.path("maps/overview.png"))?;
    for (x, y) in (0..seen.height()).flat_map(|y| (0..seen.width()).map(move |x| (x, y))) {
        assert_eq!(overview.pixel(2 + x, 2 + y), seen.pixel(x, y), "{name}: {x}, {y}");
    }
    for map in ["stem", "layer1", "layer2"] {
        let tensor = out.tensor(map)?;
        let [images, channels, height, width] = tensor.dims[..] else {
            return Err("not a map".into());
        };
        let last = &tensor.data[(images - 1) * channels * height * width..];
        let variance = |channel: &&[f32]| {
            let mean =
                channel.iter().map(|&value| f64::from(value)).sum::<f64>() / channel.len() as f64;
            channel.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>()
        };
        let liveliest =
            last.chunks_exact(height * width).max_by(|a, b| variance(a).total_cmp(&variance(b)));
        let liveliest = liveliest.ok_or("no channel")?;
        let (least, most) = liveliest
            .iter()
            .fold((f32::MAX, f32::MIN), |(a, b), &value| (a.min(value), b.max(value)));
        let sheet = Image::open(work.path(&format!("maps/{map}.png")))?;
        let scale = (sheet.width() - 4) / width as u32;
        for (at, &value) in liveliest.iter().enumerate() {
            let (x, y) = ((at % width) as u32, (at / width) as u32);
            let found = sheet.pixel(2 + x * scale, 2 + y * scale).ok_or("no pixel")?;
            let colour = viridis(f64::from(value - least) / f64::from(most - least));
            let off = found.iter().zip(colour).map(|(a, b)| a.abs_diff(b)).max();
            assert!(off <= Some(1), "{name}: {map} at {x}, {y}: {found:?} and not {colour:?}");
        }
    }
    Ok(())
}

/// The colours of `features`.
fn viridis(share: f64) -> [u8; 3] {
    let table: [u32; 10] = [
        0x44_0154, 0x48_2878, 0x3e_4989, 0x31_688e, 0x26_828e, 0x1f_9e89, 0x35_b779, 0x6e_ce58,
        0xb5_de2b, 0xfd_e725,
    ];
    let place = share * 9.0;
    let at = (place as usize).min(8);
    [16, 8, 0].map(|shift| {
        let [a, b] = [at, at + 1].map(|at| f64::from(table[at] >> shift & 255));
        (a + (b - a) * (place - at as f64)).round() as u8
    })
}

/// Compares `verify` with the library, which gets all settings explicitly and matches PyTorch in
/// f32.
fn verified_by_library(
    name: &str,
    verified: &Value,
    file: &Path,
    preprocess: &Preprocess,
    images: &[Image],
) -> Outcome {
    let gpu = Gpu::new()?;
    let weights = NetworkWeights::open(file, &options(name))?;
    let sources: Vec<Source<'_>> = images.iter().map(Source::from).collect();
    // The same batches as the command, so that the same kernels give the same bits.
    let batch = 8;
    let runs = images.len().div_ceil(batch) as u32;
    let tensors = |precision| -> Result<Vec<(String, Vec<f32>)>> {
        let (kernels, budget) =
            (KernelChoice::RankedFor(runs), MemoryBudget { extra_weight_bytes: 9 << 20 });
        let options =
            LoadOptions { precision, kernels, budget, keep_blocks: true, ..Default::default() };
        let mut pipeline = ImagePipeline::load(&gpu, &weights, preprocess, batch, &options)?;
        let mut all: Vec<(String, Vec<f32>)> = Vec::new();
        for part in sources.chunks(batch) {
            let found = pipeline.run(part)?;
            all.resize_with(found.len(), Default::default);
            for ((name, values), (found_name, found)) in all.iter_mut().zip(found) {
                *name = found_name;
                values.extend(found.data());
            }
        }
        Ok(all)
    };
    let (single, half) = (tensors(Precision::F32)?, tensors(Precision::F16)?);
    let logits = single.iter().find(|(name, _)| name == "logits").ok_or("no logits")?;
    near(&format!("{name}: the library"), &wide(&logits.1), &numbers(&expected(name)?["logits"]));
    let said = verified["tensors"].as_array().ok_or("no tensors")?;
    assert_eq!(said.len(), single.len(), "{name}");
    for (((tensor, single), (_, half)), said) in single.iter().zip(&half).zip(said) {
        let (single, half) = (wide(single), wide(half));
        let largest = single.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let error =
            single.iter().zip(&half).fold(0.0, |worst: f64, (a, b)| worst.max((a - b).abs()));
        assert_eq!(said["name"].as_str(), Some(tensor.as_str()), "{name}");
        let (found, share) = (said["largest_error"].as_f64().ok_or("no error")?, error / largest);
        assert!(
            (found - share).abs() <= 1e-6 * share,
            "{name}: verify says {found:e} of {tensor}, the library {share:e}"
        );
    }
    assert_eq!(verified["pictures"].as_u64(), Some(images.len() as u64));
    Ok(())
}

#[test]
fn every_command_follows_a_plain_run() -> Outcome {
    every_command(RUNS[0])
}

#[test]
fn every_command_follows_a_run_with_crops_at_224() -> Outcome {
    every_command(RUNS[1])
}

#[test]
fn every_command_follows_a_dilated_run() -> Outcome {
    every_command(RUNS[2])
}

#[test]
fn every_command_follows_a_run_with_another_eps() -> Outcome {
    every_command(RUNS[3])
}

#[test]
fn every_command_follows_a_run_without_norms() -> Outcome {
    every_command(RUNS[4])
}

#[test]
fn every_command_follows_a_run_with_frozen_norms() -> Outcome {
    every_command(RUNS[5])
}

#[test]
fn every_command_follows_a_run_of_caffes_form() -> Outcome {
    every_command(RUNS[6])
}
