//! Computes the embeddings of images, and compares them by cosine similarity. An embedding is the
//! mean of the last feature map.
//!
//!     scripts/with-gpu cargo run --release --example embed
//!     scripts/with-gpu cargo run --release --example embed resnet50.safetensors cat.jpg

mod support;

use std::error::Error;

use wgpu_bottleneck::{CheckpointOptions, Gpu, Image, ImagePipeline, LoadOptions, Source};

fn main() -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::new()?;
    println!("{}", gpu.describe());
    let weights = support::weights(&CheckpointOptions::default())?;
    let mut pipeline =
        ImagePipeline::load(&gpu, &weights, &weights.preprocess()?, 2, &LoadOptions::default())?;

    // Images may differ in size. Three run as a batch of two and one of one.
    let image = support::image()?;
    let (width, height) = (image.width(), image.height());
    let mirrored =
        Image::from_fn(width, height, |x, y| image.pixel(width - 1 - x, y).unwrap_or_default())?;
    let grey = Image::from_fn(400, 300, |_, _| [128; 3])?;
    let sources: Vec<Source<'_>> = [&image, &mirrored, &grey].map(Into::into).to_vec();
    let vectors = pipeline.embed(&sources)?;

    let length = vectors.shape().c;
    println!("{} vectors of {length}", vectors.shape().n);
    let vector = |image: usize| &vectors.data()[image * length..][..length];
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    let cosine = |a, b| {
        dot(vector(a), vector(b)) / (dot(vector(a), vector(a)) * dot(vector(b), vector(b))).sqrt()
    };
    let (mirror, other) = (cosine(0, 1), cosine(0, 2));
    println!("cosine with its mirror image {mirror:.4}, with plain grey {other:.4}");
    if mirror > other {
        Ok(())
    } else {
        Err("an image should be more like its mirror image than like plain grey".into())
    }
}
