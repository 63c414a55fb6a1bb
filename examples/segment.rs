//! Computes feature maps for segmentation: runs the backbone at output stride 8, as FCN and DeepLab
//! do, and applies the network's last layer as a 1x1 convolution to classify every position.
//!
//!     scripts/with-gpu cargo run --release --example segment
//!     scripts/with-gpu cargo run --release --example segment resnet50.safetensors cat.jpg

mod support;

use std::error::Error;

use wgpu_bottleneck::image::Resize;
use wgpu_bottleneck::op::StepParams;
use wgpu_bottleneck::plan::Role;
use wgpu_bottleneck::{CheckpointOptions, Gpu, ImagePipeline, LoadOptions, Preprocess};

fn main() -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::new()?;
    println!("{}", gpu.describe());

    // The strides of the last two stages become dilations: nothing is retrained, the maps are four
    // times as fine.
    let replace_stride_with_dilation = Some(vec![false, true, true]);
    let weights = support::weights(&CheckpointOptions {
        replace_stride_with_dilation,
        ..Default::default()
    })?;
    let preprocess =
        Preprocess { resize: Resize::ShorterSide(192), crop: [192, 256], ..weights.preprocess()? };
    let mut pipeline =
        ImagePipeline::load(&gpu, &weights, &preprocess, 1, &LoadOptions::default())?;
    let maps = pipeline.features(&[(&support::image()?).into()])?;
    for (name, map) in &maps {
        println!("{name}: {}", map.shape());
    }
    let Some((_, map)) = maps.last() else { return Err("a network has at least one stage".into()) };
    let (height, width) = (map.shape().h, map.shape().w);
    if (height, width) != (192 / 8, 256 / 8) {
        return Err(format!("expected a map of 24 x 32, found {height} x {width}").into());
    }

    let plan = &pipeline.network().recording().plan;
    let fc =
        plan.steps.iter().find(|step| step.role == Role::Fc).ok_or("a network without classes")?;
    let StepParams::Conv { weight, bias } = weights.step_params(fc)? else {
        return Err("fc is a convolution".into());
    };
    let class_at = |place: usize| {
        let logit = |(row, bias): (&[f32], &f32)| {
            let channels = map.data()[place..].iter().step_by(height * width);
            row.iter().zip(channels).map(|(weight, value)| weight * value).sum::<f32>() + bias
        };
        let logits = weight.chunks_exact(map.shape().c).zip(&bias).map(logit);
        let best = logits.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        best.map_or(0, |(class, _)| class)
    };
    println!("the class of each place, by its last digit:");
    for y in 0..height {
        let line: String =
            (0..width).map(|x| char::from(b'0' + (class_at(y * width + x) % 10) as u8)).collect();
        println!("  {line}");
    }
    Ok(())
}
