//! Every device gives the reference's bits: whatever the filter, the sizes, the source and the
//! strips, into any image of an input, whose other bytes stay as they were.

use std::collections::BTreeMap;

use wgpu_bottleneck::gpu::Source;
use wgpu_bottleneck::image::{Channels, Image, Resize};
use wgpu_bottleneck::tensor::{ChannelLayout, Tolerance, compare};
use wgpu_bottleneck::wgpu::{
    Buffer, BufferDescriptor, BufferUsages, CommandEncoderDescriptor, Extent3d,
    TexelCopyBufferLayout, Texture, TextureDescriptor, TextureDimension, TextureFormat,
    TextureUsages,
};
use wgpu_bottleneck::{Gpu, HostTensor, Preprocess, Preprocessor};

use super::golden::{Goldens, pattern};
use crate::common::{Outcome, Target, targets};

type Any<T> = Result<T, Box<dyn std::error::Error>>;

/// A NaN that no kernel makes.
const POISON: [u8; 4] = 0x7fc0_dead_u32.to_le_bytes();

/// Bytes of one image of an input.
fn image_bytes(preprocess: &Preprocess) -> usize {
    preprocess.crop.iter().product::<u32>() as usize * 16
}

/// An input with room for an image before and one behind so many, all of it poison.
fn poisoned(gpu: &Gpu, preprocess: &Preprocess, images: usize) -> Buffer {
    let bytes = image_bytes(preprocess) * (images + 2);
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
    let descriptor =
        BufferDescriptor { label: None, size: bytes as u64, usage, mapped_at_creation: false };
    let buffer = gpu.device().create_buffer(&descriptor);
    gpu.queue().write_buffer(&buffer, 0, &POISON.repeat(bytes / 4));
    buffer
}

/// Makes the sources the images 1, 2, ... of an input, the last one first, and returns them; the
/// padding must be zero, and the bytes before and after it unchanged.
fn made(preprocessor: &Preprocessor, sources: &[Source<'_>]) -> Any<HostTensor> {
    let (gpu, preprocess) = (preprocessor.gpu(), preprocessor.preprocess());
    let input = poisoned(gpu, preprocess, sources.len());
    let mut encoder = gpu.device().create_command_encoder(&CommandEncoderDescriptor::default());
    for (index, source) in sources.iter().enumerate().rev() {
        preprocessor.record(&mut encoder, *source, &input, index + 1)?;
    }
    gpu.queue().submit([encoder.finish()]);
    let bytes = gpu.download(&input)?;
    let (image, end) = (image_bytes(preprocess), bytes.len() - image_bytes(preprocess));
    for guard in [&bytes[..image], &bytes[end..]] {
        assert!(guard.chunks_exact(4).all(|word| word == POISON), "written outside the images");
    }
    let values: Vec<f32> = bytes[image..end]
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    assert!(values.chunks_exact(4).all(|pixel| pixel[3].to_bits() == 0), "padding is not zero");
    let shape = preprocess.shape(sources.len())?;
    Ok(HostTensor::from_nhwc(shape, ChannelLayout::dense(shape.c), &values)?)
}

/// Whether two tensors have the same bits, and if not what differs.
fn same(expected: &HostTensor, found: &HostTensor) -> Result<(), String> {
    let bits =
        |tensor: &HostTensor| tensor.data().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    if expected.shape() == found.shape() && bits(expected) == bits(found) {
        return Ok(());
    }
    Err(compare(expected, found, Tolerance::EXACT).to_string())
}

fn each(check: impl Fn(&Target) -> Outcome) -> Outcome {
    for target in targets() {
        check(target).map_err(|error| format!("{}: {error}", target.name))?;
    }
    Ok(())
}

#[test]
fn every_device_gives_the_bits_of_the_reference() -> Outcome {
    // One preprocessor for all images of a plan and filter, as an app would have it.
    let mut plans: BTreeMap<String, (Preprocess, Vec<Image>)> = BTreeMap::new();
    for case in &Goldens::read()?.resizes {
        let preprocess = case.preprocess()?;
        let plan = plans.entry(format!("{preprocess:?}")).or_insert((preprocess, Vec::new()));
        plan.1.push(case.image()?);
    }
    assert_eq!(plans.len(), 36);
    for (name, (preprocess, images)) in &plans {
        let expected = preprocess.tensor(images)?;
        let sources: Vec<Source<'_>> = images.iter().map(Into::into).collect();
        each(|target| {
            let preprocessor = Preprocessor::new(&target.gpu, preprocess)?;
            Ok(same(&expected, &made(&preprocessor, &sources)?)
                .map_err(|error| format!("{name}: {error}"))?)
        })?;
    }
    Ok(())
}

/// Four bytes a pixel: the image's three in this order, and one of alpha.
fn with_alpha(image: &Image, order: [usize; 3]) -> Vec<u8> {
    let pixels = image.data().chunks_exact(3).enumerate();
    pixels
        .flat_map(|(at, pixel)| [pixel[order[0]], pixel[order[1]], pixel[order[2]], at as u8])
        .collect()
}

fn texture(gpu: &Gpu, image: &Image, format: TextureFormat) -> Texture {
    let size = Extent3d { width: image.width(), height: image.height(), depth_or_array_layers: 1 };
    let plain = [format.remove_srgb_suffix()];
    let texture = gpu.device().create_texture(&TextureDescriptor {
        label: None,
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: TextureDimension::D2,
        format,
        usage: TextureUsages::TEXTURE_BINDING | TextureUsages::COPY_DST,
        view_formats: if format.is_srgb() { &plain } else { &[] },
    });
    let order = if plain[0] == TextureFormat::Bgra8Unorm { [2, 1, 0] } else { [0, 1, 2] };
    let layout = TexelCopyBufferLayout {
        offset: 0,
        bytes_per_row: Some(image.width() * 4),
        rows_per_image: None,
    };
    gpu.queue().write_texture(texture.as_image_copy(), &with_alpha(image, order), layout, size);
    texture
}

/// A buffer that begins with so many bytes of something else.
fn buffer(gpu: &Gpu, image: &Image, offset: u64) -> Buffer {
    let bytes = [vec![77; offset as usize], with_alpha(image, [0, 1, 2])].concat();
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST;
    let descriptor = BufferDescriptor {
        label: None,
        size: bytes.len() as u64,
        usage,
        mapped_at_creation: false,
    };
    let buffer = gpu.device().create_buffer(&descriptor);
    gpu.queue().write_buffer(&buffer, 0, &bytes);
    buffer
}

#[test]
fn buffers_textures_and_strips_give_the_same_bits() -> Outcome {
    let v1 = Preprocess::imagenet_v1();
    // Wide, tall (the columns first), and smaller than the crop.
    let plans = [
        (v1, pattern("noise", 301, 202)?),
        (v1, pattern("noise", 270, 801)?),
        (
            Preprocess { resize: Resize::Exact { height: 30, width: 61 }, crop: [40, 50], ..v1 },
            pattern("noise", 131, 97)?,
        ),
        (Preprocess { resize: Resize::None, crop: [13, 17], ..v1 }, pattern("noise", 29, 31)?),
        (v1.with_channels(Channels::Bgr).of_bytes(), pattern("noise", 131, 97)?),
        (v1.with_channels(Channels::Gray), pattern("noise", 131, 270)?),
    ];
    for (preprocess, image) in &plans {
        let expected = preprocess.tensor(std::slice::from_ref(image))?;
        let (width, height) = (image.width(), image.height());
        each(|target| {
            let gpu = &target.gpu;
            let preprocessor = Preprocessor::new(gpu, preprocess)?;
            let check = |preprocessor: &Preprocessor, source: Source<'_>, what: &str| -> Outcome {
                let found = made(preprocessor, &[source])?;
                Ok(same(&expected, &found)
                    .map_err(|error| format!("{what} of {image:?}: {error}"))?)
            };
            for format in [
                TextureFormat::Rgba8Unorm,
                TextureFormat::Rgba8UnormSrgb,
                TextureFormat::Bgra8Unorm,
                TextureFormat::Bgra8UnormSrgb,
            ] {
                // OpenGL has no views of another format; there a texture in sRGB is refused, see
                // the test of refusals.
                if !(format.is_srgb() && target.name == "OpenGL") {
                    check(
                        &preprocessor,
                        (&texture(gpu, image, format)).into(),
                        &format!("{format:?}"),
                    )?;
                }
            }
            // Strips of a few rows; a row is made of some.
            let in_strips =
                Preprocessor::new(gpu, preprocess)?.with_strip_bytes(256 + u64::from(width) * 40);
            for offset in [0, 4, 1024, 1348] {
                let buffer = buffer(gpu, image, offset);
                let source = Source::Rgba8 { buffer: &buffer, offset, width, height };
                check(&preprocessor, source, &format!("a buffer from byte {offset}"))?;
                check(&in_strips, source, &format!("strips of a buffer from byte {offset}"))?;
            }
            check(&in_strips, Source::Rgb8 { data: image.data(), width, height }, "strips")
        })?;
    }
    Ok(())
}

#[test]
fn a_grid_goes_on_in_the_next_dimension() -> Outcome {
    // The first pass makes 2200 x 2000 pixels: more than 65535 groups of 64.
    let preprocess = Preprocess {
        resize: Resize::Exact { height: 16, width: 2200 },
        crop: [16, 2200],
        ..Preprocess::imagenet_v1()
    };
    let image = pattern("noise", 4200, 2000)?;
    let expected = preprocess.tensor(std::slice::from_ref(&image))?;
    each(|target| {
        let preprocessor = Preprocessor::new(&target.gpu, &preprocess)?;
        Ok(same(&expected, &made(&preprocessor, &[(&image).into()])?)?)
    })
}

#[test]
fn run_gives_the_reference() -> Outcome {
    let preprocess = Preprocess::imagenet_v2();
    let images = [pattern("noise", 320, 240)?, pattern("edges", 240, 320)?];
    let sources: Vec<Source<'_>> = images.iter().map(Into::into).collect();
    each(|target| {
        let preprocessor = Preprocessor::new(&target.gpu, &preprocess)?;
        Ok(same(&preprocess.tensor(&images)?, &preprocessor.run(&sources)?)?)
    })
}
