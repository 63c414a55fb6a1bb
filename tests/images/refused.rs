//! What cannot be used: files that are no images, damaged ones, sizes beyond every limit, buffers
//! and textures that do not fit. A typed error each, and never a panic.

use std::panic::catch_unwind;

use wgpu_bottleneck::error::{ErrorKind, GpuError, ImageError};
use wgpu_bottleneck::gpu::Source;
use wgpu_bottleneck::image::{Image, MAX_PIXELS, Preprocess, Resize, Taps};
use wgpu_bottleneck::wgpu::{
    BufferDescriptor, BufferUsages, CommandEncoderDescriptor, Extent3d, Texture, TextureDescriptor,
    TextureDimension, TextureFormat, TextureUsages,
};
use wgpu_bottleneck::{Error, Gpu, Preprocessor};

use super::golden::{self, Goldens, crc32, pattern};
use crate::common::seeded::Seeded;
use crate::common::{Outcome, any_gpu, targets};

/// Files by name.
type Files = Vec<(String, Vec<u8>)>;

/// The bytes of every golden file.
fn files() -> Result<Files, Box<dyn std::error::Error>> {
    let read = |name: String| Ok((name.clone(), std::fs::read(golden::path(&name))?));
    Goldens::read()?.files.into_iter().map(|file| read(file.file)).collect()
}

#[test]
fn files_that_are_no_images_are_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    let goldens = files()?;
    let png =
        |name: &str| goldens.iter().find(|(file, _)| file == name).map(|(_, bytes)| bytes.clone());
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("empty.jpg", Vec::new(), "the file is empty"),
        ("text.png", b"not a picture at all".to_vec(), "not PNG, JPEG"),
        ("head.png", b"\x89PNG\r\n\x1a\n".to_vec(), "not a readable image"),
        ("head.jpg", vec![0xff, 0xd8, 0xff], "ends before the image does"),
        ("half.png", png("rgb.png").ok_or("no rgb.png")?[..1500].to_vec(), "not a readable image"),
        (
            "half.jpg",
            png("420.jpg").ok_or("no 420.jpg")?[..900].to_vec(),
            "ends before the image does",
        ),
    ];
    for (name, bytes, said) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)?;
        let Err(error) = Image::open(&path) else {
            return Err(format!("{name} was read").into());
        };
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(said) && !text.contains('\n'), "{text}");
        assert!(matches!(error, Error::Image(ImageError::Format { .. })), "{error:?}");
    }
    let missing = folder.path().join("none.png");
    for error in [Image::open(&missing).err(), Image::decoding_bytes(&missing).err()] {
        assert!(matches!(&error, Some(Error::Io { path, .. }) if *path == missing), "{error:?}");
    }
    Ok(())
}

/// A pipe without a writer would be waited for, a device has no end, and a hole of a TiB would be
/// read.
#[test]
fn only_regular_files_are_read_and_none_too_long() -> Outcome {
    let folder = tempfile::tempdir()?;
    let mut no_files = vec![folder.path().to_owned()];
    if cfg!(unix) {
        let pipe = folder.path().join("pipe.png");
        if std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .is_ok_and(|status| status.success())
        {
            no_files.push(pipe);
        }
        no_files.push("/dev/zero".into());
    }
    let long = folder.path().join("long.png");
    std::fs::File::create(&long)?.set_len(1 << 40)?;
    let outcomes = |path: &std::path::Path| {
        [
            Image::open(path).err(),
            Image::decoding_bytes(path).err(),
            Preprocess::from_config(path).err(),
        ]
    };
    for path in no_files {
        for error in outcomes(&path) {
            let named = matches!(
                &error,
                Some(Error::Image(ImageError::NotAFile { path: named, .. }))
                    if *named == path.display().to_string()
            );
            assert!(named, "{error:?}");
        }
    }
    for error in outcomes(&long) {
        let bytes = 1 << 40;
        let counted = matches!(
            &error,
            Some(Error::Image(ImageError::TooManyBytes { bytes: found, .. }))
                if *found == bytes
        );
        assert!(counted, "{error:?}");
    }
    Ok(())
}

#[test]
fn a_image_cut_off_is_not_made_whole_by_another() -> Outcome {
    for name in ["420.jpg", "progressive.jpg", "restarts.jpg"] {
        let whole = std::fs::read(golden::path(name))?;
        assert!(Image::from_bytes(&[&whole[..], &whole].concat()).is_ok(), "{name} and another");
        // Within its scans.
        for cut in [whole.len() - 100, whole.len() - 2] {
            let error = Image::from_bytes(&[&whole[..cut], &whole].concat())
                .err()
                .map(|error| error.to_string());
            assert!(
                error.as_deref().is_some_and(|text| text.contains("ends before the image does")),
                "{name}: {error:?}"
            );
        }
    }
    Ok(())
}

/// What to put around it is palette's here and black there.
#[test]
fn a_frame_that_does_not_fill_its_image_is_refused() -> Outcome {
    for name in ["palette.gif", "transparent.gif", "animated.gif"] {
        let whole = std::fs::read(golden::path(name))?;
        let [width, height] = [6, 8].map(|at| u16::from_le_bytes([whole[at], whole[at + 1]]));
        let sizes = [(width + 1, height), (width, height + 1), (width - 1, height)];
        for (wide, high) in sizes {
            let mut bytes = whole.clone();
            bytes[6..10].copy_from_slice(&[wide.to_le_bytes(), high.to_le_bytes()].concat());
            let error = Image::from_bytes(&bytes).err().map(|error| error.to_string());
            let said = format!(
                "its first frame, {width} x {height} at (0, 0), does not fill the {wide} x {high} \
                pixels"
            );
            assert!(error.as_deref().is_some_and(|text| text.contains(&said)), "{name}: {error:?}");
        }
    }
    Ok(())
}

/// Programs that read many at once trust the estimate.
#[test]
fn memory_is_estimated_from_the_header() -> Outcome {
    for (name, bytes) in files()? {
        let path = golden::path(&name);
        let image = Image::open(&path)?;
        let (least, estimate) = (bytes.len() + image.data().len(), Image::decoding_bytes(&path)?);
        assert!(estimate >= least as u64, "{name}: {estimate}");
        assert!(estimate <= (bytes.len() + 8 * image.data().len()) as u64, "{name}: {estimate}");
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("large.png");
    std::fs::write(&path, huge_png(13_300, 13_300))?;
    assert!(Image::decoding_bytes(&path)? > 6 * 13_300 * 13_300);
    // Wider than the decoder's own limit.
    let mut jpeg = std::fs::read(golden::path("444.jpg"))?;
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).ok_or("no frame")?;
    jpeg[frame + 5..frame + 9].copy_from_slice(&[30, 0, 0xff, 0xff]);
    std::fs::write(&path, jpeg)?;
    assert!(Image::decoding_bytes(&path)? > 6 * 7680 * 65535);
    Ok(())
}

#[test]
fn no_damaged_file_makes_a_panic() -> Outcome {
    let (mut random, mut panicked, mut read, mut refused) = (Seeded::new(3), Vec::new(), 0, 0);
    let mut check = |name: &str, what: String, bytes: &[u8]| -> bool {
        let outcome = catch_unwind(|| Image::from_bytes(bytes).is_ok());
        match outcome {
            Ok(true) => read += 1,
            Ok(false) => refused += 1,
            Err(_) => panicked.push(format!("{name}, {what}")),
        }
        outcome.unwrap_or(false)
    };
    for (name, bytes) in files()? {
        let cut = |share: usize| bytes.len() * share / 10;
        for length in (0..48).chain((1..10).map(cut)).chain(bytes.len() - 20..bytes.len()) {
            let was_read =
                check(&name, format!("cut to {length} bytes"), &bytes[..length.min(bytes.len())]);
            // The first of two frames may be whole.
            let may = length > cut(8) || name == "animated.gif";
            assert!(
                !was_read || may,
                "{name} was read though cut to {length} of {} bytes",
                bytes.len()
            );
        }
        for round in 0..300 {
            let mut bytes = bytes.clone();
            for _ in 0..1 + random.below(4) {
                // Headers have most to lose.
                let length = if round % 2 == 0 { bytes.len().min(100) } else { bytes.len() };
                bytes[random.below(length)] =
                    random.pick(&[0, 1, 0x7f, 0x80, 0xff, random.clone().next() as u8]);
            }
            check(&name, format!("round {round}"), &bytes);
        }
    }
    println!("{read} damaged files read, {refused} refused");
    assert!(panicked.is_empty(), "{}", panicked.join("\n"));
    Ok(())
}

/// A PNG that says so many pixels, and has none.
fn huge_png(width: u32, height: u32) -> Vec<u8> {
    let chunk = |name: &[u8; 4], data: &[u8]| {
        let named = [&name[..], data].concat();
        [&(data.len() as u32).to_be_bytes()[..], &named, &crc32(&named).to_be_bytes()].concat()
    };
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &header),
        chunk(b"IDAT", &[]),
        chunk(b"IEND", &[]),
    ]
    .concat()
}

#[test]
fn sizes_beyond_the_limit_are_refused_before_they_are_allocated() -> Outcome {
    let side = MAX_PIXELS.isqrt() as u32 + 1;
    let gif = |side: u16| -> std::io::Result<Vec<u8>> {
        let mut bytes = std::fs::read(golden::path("palette.gif"))?;
        bytes[6..10].copy_from_slice(&[side.to_le_bytes(), side.to_le_bytes()].concat());
        Ok(bytes)
    };
    let mut bmp = std::fs::read(golden::path("rgb.bmp"))?;
    bmp[18..26].copy_from_slice(&[60_000u32.to_le_bytes(), 60_000u32.to_le_bytes()].concat());
    let mut jpeg = std::fs::read(golden::path("444.jpg"))?;
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).ok_or("no frame")?;
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    let cases = [huge_png(side, side), huge_png(1, u32::MAX >> 1), gif(u16::MAX)?, bmp, jpeg];
    for (case, bytes) in cases.iter().enumerate() {
        let error = Image::from_bytes(bytes);
        assert!(
            matches!(error, Err(ImageError::TooLarge { limit: MAX_PIXELS, of: "pixels", .. })),
            "case {case}: {error:?}"
        );
    }
    // A row that is too long even for a decoder's own memory.
    let row = Image::from_bytes(&huge_png(u32::MAX >> 1, 1)).err().map(|error| error.to_string());
    assert!(row.as_deref().is_some_and(|text| text.contains("limit")), "{row:?}");
    assert!(Image::from_bytes(&huge_png(0, 7)).is_err());
    assert!(Image::from_bytes(&gif(0)?).is_err());
    Ok(())
}

/// A file of `tests/faults/inputs`.
fn hostile(name: &str) -> std::io::Result<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/inputs");
    std::fs::read(std::path::Path::new(folder).join(name))
}

/// These files made a decoder panic, or allocate 4 GiB.
#[test]
fn hostile_files_are_refused_by_name() -> Outcome {
    let cases = [
        ("png-plte-of-4-bytes.png", "its palette has 4 bytes"),
        ("png-plte-of-85-bytes.png", "its palette has 85 bytes"),
        ("webp-exif-of-4GiB.webp", "its chunk EXIF at byte 56 has 4294901760 bytes"),
    ];
    let folder = tempfile::tempdir()?;
    for (name, said) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, hostile(name)?)?;
        let error = Image::open(&path).err().map(|error| error.to_string());
        let starts = format!("{}: not a readable image: {said}", path.display());
        assert!(error.as_deref().is_some_and(|text| text.starts_with(&starts)), "{error:?}");
        let error = Image::from_bytes(&hostile(name)?);
        assert!(matches!(error, Err(ImageError::Format { .. })), "{name}: {error:?}");
    }
    Ok(())
}

/// Tag, type, count and value or offset.
type Entry = (u16, u16, u32, u32);
const ASCII: u16 = 2;
const SHORT: u16 = 3;
const LONG: u16 = 4;

/// A grey TIFF file with one pixel of level 7. An entry replaces the usual entry with the same tag.
fn tiff(changed: &[Entry]) -> Vec<u8> {
    const PIXEL_AT: u32 = 8;
    let mut entries = std::collections::BTreeMap::new();
    for (tag, value) in [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (277, 1), (278, 1)] {
        entries.insert(tag, (tag, SHORT, 1, value));
    }
    entries.insert(273, (273, LONG, 1, PIXEL_AT));
    entries.insert(279, (279, LONG, 1, 1));
    entries.extend(changed.iter().map(|&entry| (entry.0, entry)));
    let mut bytes = [b"II*\0", &10_u32.to_le_bytes()[..], &[7, 0]].concat();
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries.into_values() {
        bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        bytes.extend([count.to_le_bytes(), value.to_le_bytes()].concat());
    }
    bytes.extend([0; 4]);
    bytes
}

#[test]
fn tags_of_tiff_that_claim_too_much_are_refused_or_ignored() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.tif");
    // Metadata that cannot be read is ignored, and other tags are not read.
    let ignored: [&[Entry]; 5] = [
        &[],
        &[(700, ASCII, u32::MAX, 8)],
        &[(274, ASCII, 1 << 29, 8)],
        &[(270, ASCII, 1 << 30, 8)],
        &[(700, 1, 1 << 22, 8), (34377, 7, u32::MAX, u32::MAX)],
    ];
    for changed in ignored {
        std::fs::write(&path, tiff(changed))?;
        assert_eq!(Image::open(&path)?.data(), [7; 3], "{changed:?}");
        assert!(Image::decoding_bytes(&path).is_ok(), "{changed:?}");
    }
    let refused = [
        ((256, ASCII, u32::MAX, 8), "its tag 256 has 4294967295 values, the limit is 8388608"),
        ((258, ASCII, 1 << 29, 8), "its tag 258 has 536870912 values"),
        ((273, LONG, 100, 8), "its tag 273 has 400 bytes of values at byte 8, but the file has"),
        ((279, SHORT, 3, 1 << 31), "its tag 279 has 6 bytes of values at byte 2147483648"),
        ((320, SHORT, 768, 8), "its tag 320 has 1536 bytes of values"),
        ((339, 1, 1 << 24, 8), "its tag 339 has 16777216 values"),
    ];
    for (entry, said) in refused {
        std::fs::write(&path, tiff(&[entry]))?;
        for error in [Image::open(&path).err(), Image::decoding_bytes(&path).err()] {
            let text = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(text.contains("a.tif") && text.contains(said), "{entry:?}: {text}");
        }
    }
    Ok(())
}

#[test]
fn bitmaps_shorter_than_their_pixels_are_refused() -> Outcome {
    let whole = std::fs::read(golden::path("rgb.bmp"))?;
    for [width, height] in [[13_000, 13_000_i32], [13_000, -13_000]] {
        let mut bytes = whole.clone();
        bytes[18..26].copy_from_slice(&[width.to_le_bytes(), height.to_le_bytes()].concat());
        let error = Image::from_bytes(&bytes).err().map(|error| error.to_string());
        let said = "the file ends before the image does: 507000000 bytes of pixels";
        assert!(error.as_deref().is_some_and(|text| text.contains(said)), "{error:?}");
    }
    Ok(())
}

#[test]
fn images_and_resizes_that_cannot_be_are_refused() -> Outcome {
    assert!(matches!(
        Image::new(0, 3, Vec::new()),
        Err(ImageError::Empty { width: 0, height: 3, .. })
    ));
    let wrong = Image::new(2, 3, vec![0; 17]);
    assert!(matches!(wrong, Err(ImageError::Length { expected: 18, found: 17, .. })), "{wrong:?}");
    assert!(matches!(Image::new(u32::MAX, u32::MAX, vec![0; 3]), Err(ImageError::Length { .. })));
    // A thread of pixels would become a street of them.
    let thread = Preprocess::imagenet_v1().pixels(&pattern("noise", 100_000, 1)?);
    assert!(
        matches!(thread, Err(ImageError::TooLarge { width: 25_600_000, of: "pixels a side", .. })),
        "{thread:?}"
    );
    // Sixteen million pixels make two: each weighs all of them.
    let exact = Resize::Exact { height: 1, width: 2000 };
    let strong = Preprocess { resize: exact, crop: [1, 2000], ..Preprocess::imagenet_v1() };
    let geometry = wgpu_bottleneck::image::Geometry::new(&strong, 1 << 24, 1)?;
    let wide = wgpu_bottleneck::image::Axis { kept: 2000, ..geometry.columns };
    let table = Taps::new(wgpu_bottleneck::image::Filter::Lanczos, &wide);
    assert!(matches!(table, Err(ImageError::TooManyBytes { what: "a table", .. })));
    Ok(())
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn what_does_not_fit_on_the_gpu_is_named() -> Outcome {
    let gpu = any_gpu();
    let preprocess = Preprocess::imagenet_v1();
    let preprocessor = Preprocessor::new(&gpu, &preprocess)?;
    let image = pattern("noise", 300, 200)?;
    let make = |size: u64, usage| {
        let descriptor = BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        gpu.device().create_buffer(&descriptor)
    };
    let image_bytes = 224 * 224 * 16;
    let input = preprocessor.input(2)?;
    let record = |source: Source<'_>, input: &wgpu_bottleneck::wgpu::Buffer, image: usize| {
        let mut encoder = gpu.device().create_command_encoder(&CommandEncoderDescriptor::default());
        preprocessor.record(&mut encoder, source, input, image).err().map(|error| error.to_string())
    };
    let data = image.data();
    let rgb8 = |bytes: usize, width, height| Source::Rgb8 { data: &data[..bytes], width, height };
    let small = make(16, BufferUsages::STORAGE);
    let copied = make(image_bytes, BufferUsages::COPY_DST);
    let rgba8 = |buffer, offset, width| Source::Rgba8 { buffer, offset, width, height: 2 };
    let texture = |format, usage, sample_count| {
        let size = Extent3d { width: 8, height: 8, depth_or_array_layers: 1 };
        let (dimension, mip_level_count, view_formats, label) =
            (TextureDimension::D2, 1, &[][..], None);
        gpu.device().create_texture(&TextureDescriptor {
            label,
            size,
            mip_level_count,
            sample_count,
            dimension,
            format,
            usage,
            view_formats,
        })
    };
    let bound = TextureUsages::TEXTURE_BINDING;
    let (float, plain) = (TextureFormat::Rgba16Float, TextureFormat::Rgba8Unorm);
    let float = texture(float, bound, 1);
    let unbound = texture(plain, TextureUsages::COPY_DST, 1);
    let many = texture(plain, bound | TextureUsages::RENDER_ATTACHMENT, 4);
    let cases: [(Option<String>, &str); 14] = [
        (record((&image).into(), &input, 2), "expected room for image 2 at 802816 bytes an image"),
        (record((&image).into(), &input, usize::MAX), "expected room for image"),
        (record((&image).into(), &copied, 0), "input buffer: expected usage STORAGE"),
        (record(rgb8(599, 20, 10), &input, 0), "20 x 10 RGB pixels are 600 bytes, found 599"),
        (record(rgb8(0, 0, 10), &input, 0), "the image is empty"),
        (
            record(rgba8(&small, 0, 3), &input, 0),
            "image buffer: expected at least 24 bytes, found 16",
        ),
        (record(rgba8(&small, u64::MAX, 3), &input, 0), "image buffer: expected at least"),
        (record(rgba8(&small, 2, 1), &input, 0), "a multiple of 4, found 2"),
        (record(rgba8(&copied, 0, 3), &input, 0), "image buffer: expected usage STORAGE"),
        (record(rgba8(&small, 0, 0), &input, 0), "the image is empty"),
        (record(rgba8(&input, 0, 3), &input, 1), "the same as the input that is written"),
        (record((&float).into(), &input, 0), "found Rgba16Float"),
        (record((&unbound).into(), &input, 0), "expected usage TEXTURE_BINDING"),
        (record((&many).into(), &input, 0), "found D2 and 4"),
    ];
    for (case, (found, said)) in cases.iter().enumerate() {
        let found = found.as_deref().unwrap_or("no error");
        assert!(found.contains(said), "case {case}: {found}");
    }
    let narrow = Preprocessor::new(&gpu, &preprocess)?.with_strip_bytes(899);
    let error = narrow.run(&[(&image).into()]);
    assert!(
        matches!(error, Err(Error::Gpu(GpuError::TooLarge { bytes: 904, limit: 899, .. }))),
        "{error:?}"
    );
    // With the columns first a strip must hold all rows that one is made of.
    let tall = pattern("noise", 300, 2000)?;
    let narrow = Preprocessor::new(&gpu, &preprocess)?.with_strip_bytes(1000);
    let error = narrow.run(&[(&tall).into()]);
    assert!(matches!(error, Err(Error::Gpu(GpuError::TooLarge { limit: 900, .. }))), "{error:?}");
    assert!(matches!(preprocessor.run(&[]), Err(Error::Shape(_))));
    // After all that the preprocessor works.
    assert_eq!(preprocessor.run(&[(&image).into()])?, preprocess.tensor(&[image])?);
    Ok(())
}

/// A texture in sRGB without another format for views.
fn srgb(gpu: &Gpu) -> Texture {
    gpu.device().create_texture(&TextureDescriptor {
        label: None,
        size: Extent3d { width: 8, height: 8, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: TextureDimension::D2,
        format: TextureFormat::Rgba8UnormSrgb,
        usage: TextureUsages::TEXTURE_BINDING,
        view_formats: &[],
    })
}

#[test]
fn a_texture_in_srgb_without_its_plain_format_is_refused() -> Outcome {
    for target in targets() {
        let gpu = &target.gpu;
        let texture = srgb(gpu);
        let preprocessor = Preprocessor::new(gpu, &Preprocess::imagenet_v1())?;
        let error = preprocessor.run(&[(&texture).into()]).err().ok_or("it ran")?;
        let of_format = matches!(
            &error,
            Error::Gpu(GpuError::ViewFormat { format, stored })
                if format == "Rgba8UnormSrgb" && stored == "Rgba8Unorm"
        );
        assert!(of_format && error.kind() == ErrorKind::Input, "{}: {error:?}", target.name);
        let said = error.to_string();
        assert!(
            ["Rgba8UnormSrgb", "view_formats: &[", "copy"].iter().all(|part| said.contains(part)),
            "{said}"
        );
        // After that the preprocessor works.
        let image = pattern("noise", 20, 30)?;
        assert_eq!(
            preprocessor.run(&[(&image).into()])?,
            preprocessor.preprocess().tensor(&[image])?
        );
    }
    Ok(())
}
