//! Prints the most likely classes of an image. The image is preprocessed and run on the GPU; only
//! the logits are read back.
//!
//!     scripts/with-gpu cargo run --release --example classify
//!     scripts/with-gpu cargo run --release --example classify resnet50.pth cat.jpg

mod support;

use std::error::Error;

use wgpu_bottleneck::{CheckpointOptions, Gpu, ImagePipeline, LoadOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::new()?;
    println!("{}", gpu.describe());

    // Depths, widths, groups and classes are read off the checkpoint's shapes.
    let weights = support::weights(&CheckpointOptions::default())?;
    println!("{}", weights.spec());
    // Preprocessing and class names come from the file's metadata or the configuration next to it.
    let mut pipeline =
        ImagePipeline::load(&gpu, &weights, &weights.preprocess()?, 1, &LoadOptions::default())?;
    let logits = pipeline.logits(&[(&support::image()?).into()])?.into_data();
    if let [logit] = logits[..] {
        println!("score {:.3}", 1.0 / (1.0 + (-logit).exp()));
        return Ok(());
    }

    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    if !sum.is_finite() {
        return Err("the logits are not finite".into());
    }
    let mut classes: Vec<usize> = (0..powers.len()).collect();
    classes.sort_by(|&a, &b| powers[b].total_cmp(&powers[a]));
    for class in classes.into_iter().take(5) {
        let names =
            weights.config().class_names().map(|names| &names.names[..]).unwrap_or_default();
        let name = names.get(class).map_or_else(|| format!("class {class}"), String::clone);
        println!("{name}: {:.1} %", 100.0 * powers[class] / sum);
    }
    Ok(())
}
