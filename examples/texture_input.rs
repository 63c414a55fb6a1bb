//! Runs a network on an image that is already on the GPU, in one of the app's textures. The image
//! is never copied to the host.
//!
//!     scripts/with-gpu cargo run --release --example texture_input
//!     scripts/with-gpu cargo run --release --example texture_input resnet50.safetensors cat.jpg

mod support;

use std::error::Error;

use wgpu_bottleneck::wgpu::{
    Extent3d, TexelCopyBufferLayout, TextureDescriptor, TextureDimension, TextureFormat,
    TextureUsages,
};
use wgpu_bottleneck::{CheckpointOptions, Gpu, ImagePipeline, LoadOptions};

fn main() -> Result<(), Box<dyn Error>> {
    // An app that has its own device hands it over with Gpu::from_wgpu (the example own_device
    // shows how).
    let gpu = Gpu::new()?;
    println!("{}", gpu.describe());

    // In an app the texture would come from a camera, a video or a render pass. It needs
    // TEXTURE_BINDING.
    let image = support::image()?;
    let size = Extent3d { width: image.width(), height: image.height(), depth_or_array_layers: 1 };
    let texture = gpu.device().create_texture(&TextureDescriptor {
        label: Some("frame"),
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: TextureDimension::D2,
        format: TextureFormat::Rgba8Unorm,
        usage: TextureUsages::TEXTURE_BINDING | TextureUsages::COPY_DST,
        view_formats: &[],
    });
    let rgba: Vec<u8> =
        image.data().chunks_exact(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect();
    let layout = TexelCopyBufferLayout {
        offset: 0,
        bytes_per_row: Some(4 * size.width),
        rows_per_image: None,
    };
    gpu.queue().write_texture(texture.as_image_copy(), &rgba, layout, size);

    let weights = support::weights(&CheckpointOptions::default())?;
    let mut pipeline =
        ImagePipeline::load(&gpu, &weights, &weights.preprocess()?, 1, &LoadOptions::default())?;
    let from_texture = pipeline.embed(&[(&texture).into()])?;
    let from_host = pipeline.embed(&[(&image).into()])?;
    println!("a vector of {}: {:?} ...", from_texture.shape().c, &from_texture.data()[..4]);
    if from_texture == from_host {
        Ok(())
    } else {
        Err("texture and host give different vectors".into())
    }
}
