//! `bottleneck run`, `classify` and `features`: what they write and print, and how they exit.

use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;
use wgpu_bottleneck::network::BlockKind;
use wgpu_bottleneck::{
    CheckpointOptions, Gpu, HostTensor, Image, LoadOptions, Network, NetworkWeights, Preprocess,
    ResNet, Shape, StateDict,
};

use crate::common::Outcome;
use crate::common::dict::DictBuilder;
use crate::common::seeded_network::{file, uniform};
use crate::program::{Folder, Result, bottleneck, complaint, run, stderr, text};

/// A network that a software driver runs in milliseconds.
fn tiny() -> Result<ResNet> {
    let builder =
        ResNet::builder(BlockKind::Bottleneck).depths([1, 1]).planes([4, 8]).stem_planes(5);
    Ok(builder.classes(Some(4)).build()?)
}

fn images() -> Result<HostTensor> {
    let shape = Shape::new(3, 3, 17, 20)?;
    Ok(HostTensor::new(shape, uniform("input", shape.len()).map(|value| value - 0.5).collect())?)
}

/// The network as `w`, three images as `in`, and two images, one broken one and one that is none
/// in `images`.
fn folder() -> Result<Folder> {
    let images = images()?;
    let mut input = DictBuilder::default();
    input.f32("input", &images.shape().dims(), images.data());
    let folder = Folder::with(&file(&tiny()?), &input.bytes())?;
    std::fs::create_dir(folder.path("pictures"))?;
    for (name, side) in [("a.bmp", 40_u8), ("b.bmp", 60)] {
        std::fs::write(folder.path("pictures").join(name), bitmap(side))?;
    }
    std::fs::write(folder.path("pictures/c.bmp"), &bitmap(50)[..60])?;
    std::fs::write(folder.path("pictures/d.tif"), "no picture")?;
    Ok(folder)
}

/// A square image as a Windows bitmap: 24 bits a pixel, from the bottom up.
fn bitmap(side: u8) -> Vec<u8> {
    let row = (3 * usize::from(side)).next_multiple_of(4);
    let mut bytes = vec![0; 54];
    bytes[..2].copy_from_slice(b"BM");
    bytes[10] = 54;
    bytes[14] = 40;
    (bytes[18], bytes[22], bytes[26], bytes[28]) = (side, side, 1, 24);
    for y in 0..side {
        let mut line: Vec<u8> =
            (0..side).flat_map(|x| [x.wrapping_mul(6), y.wrapping_mul(5), x ^ y]).collect();
        line.resize(row, 0);
        bytes.extend(line);
    }
    bytes
}

fn command(folder: &Folder, command: &str, args: &[&str]) -> Result<Output> {
    run(bottleneck()
        .arg(command)
        .arg("--weights")
        .arg(folder.path("w"))
        .args(args)
        .current_dir(folder.0.path()))
}

fn succeeds(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
}

/// A name, dimensions and values.
type NamedTensor = (String, Vec<usize>, Vec<f32>);

fn tensors(path: PathBuf) -> Result<Vec<NamedTensor>> {
    let dict = StateDict::open(path)?;
    let keys: Vec<String> = dict.keys().map(str::to_owned).collect();
    keys.into_iter()
        .map(|key| {
            dict.tensor(&key).map(|tensor| (key, tensor.dims, tensor.data)).map_err(Into::into)
        })
        .collect()
}

#[test]
fn a_network_is_run_on_a_file() -> Outcome {
    let folder = folder()?;
    let files = ["--input", "in", "--output", "out"];
    let output =
        command(&folder, "run", &[&files[..], &["--features", "--verify", "--memory"]].concat())?;
    succeeds(&output);
    assert!(output.stdout.is_empty());
    let said = stderr(&output);
    for part in
        ["[3, 3, 17, 20] in 1 run", "verified", "4 classes", "device memory: packed weights", "MiB"]
    {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let all = tensors(folder.path("out"))?;
    let shapes: Vec<(&str, &[usize])> =
        all.iter().map(|(name, dims, _)| (name.as_str(), &dims[..])).collect();
    let expected: [(&str, &[usize]); 5] = [
        ("layer1", &[3, 16, 5, 5]),
        ("layer2", &[3, 32, 3, 3]),
        ("logits", &[3, 4]),
        ("pooled", &[3, 32]),
        ("stem", &[3, 5, 5, 5]),
    ];
    assert_eq!(shapes, expected);

    let gpu = Gpu::new()?;
    let weights = NetworkWeights::open(folder.path("w"), &CheckpointOptions::default())?;
    let images = images()?;
    let logits =
        Network::load(&gpu, &weights, images.shape(), &LoadOptions::default())?.logits(&images)?;
    assert_eq!(all[2].2, logits.data());

    // In batches it is the same, and without --features the logits stand alone.
    succeeds(&command(
        &folder,
        "run",
        &[&files[..], &["--batch", "2", "--model", "auto"]].concat(),
    )?);
    let alone = tensors(folder.path("out"))?;
    assert_eq!((alone.len(), &alone[0]), (1, &all[2]));
    Ok(())
}

#[test]
fn what_fits_no_network_is_named() -> Outcome {
    let folder = folder()?;
    let files = ["--input", "in", "--output", "out"];
    let cases: [(&[&str], &[&str]); 6] = [
        (&["--model", "resnet51"], &["resnet51", "resnet50", "resnext101_64x4d"]),
        (
            &["--model", "resnet50"],
            &["w: ", "does not fit resnet50", "missing", "layer1.1.conv1.weight", "it is one of"],
        ),
        (&["--prefix", "backbone"], &["w: ", "none at prefix backbone.", "leave the option out"]),
        (&["--multi-grid", "1,2"], &["multi_grid"]),
        (&["--norm", "identity"], &["w: ", "bn1"]),
        (&["--batch", "0"], &["--batch"]),
    ];
    let mut complaints = Vec::new();
    for (args, says) in cases {
        let output = command(&folder, "run", &[&files[..], args].concat())?;
        complaints.extend(complaint(&output, 2, says).map(|said| format!("{args:?}: {said}")));
    }
    let mut input = DictBuilder::default();
    input.f32("input", &[1, 1, 8, 8], &[0.0; 64]);
    std::fs::write(folder.path("in"), input.bytes())?;
    complaints.extend(complaint(
        &command(&folder, "run", &files)?,
        2,
        &["in: ", "expected", "[1, 3, 8, 8]"],
    ));
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
    assert!(!folder.path("out").exists());
    Ok(())
}

#[test]
fn where_a_block_strides_is_read_beside_the_weights() -> Outcome {
    let folder = folder()?;
    let files = ["--input", "in", "--output", "out"];
    let logits = |args: &[&str]| -> Result<Vec<f32>> {
        succeeds(&command(&folder, "run", &[&files[..], args].concat())?);
        Ok(tensors(folder.path("out"))?.remove(0).2)
    };
    let (v15, v1) = (logits(&[])?, logits(&["--stride-in", "1x1"])?);
    assert_ne!(v15, v1);
    let config = folder.path("config.json");
    std::fs::write(&config, r#"{"model_type": "resnet", "downsample_in_bottleneck": true}"#)?;
    assert_eq!(logits(&[])?, v1);
    assert_eq!(logits(&["--stride-in", "3x3"])?, v15);
    std::fs::write(&config, r#"{"model_type": "resnet", "hidden_act": "gelu"}"#)?;
    let says = ["config.json", "hidden_act", "gelu", "relu"];
    assert_eq!(complaint(&command(&folder, "run", &files)?, 2, &says), None);
    Ok(())
}

#[test]
fn images_are_classified() -> Outcome {
    let folder = folder()?;
    let output = command(&folder, "classify", &["--top", "2", "--json", "pictures"])?;
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("error: 2 of 4 images failed"));
    let verdicts: Value = serde_json::from_slice(&output.stdout)?;
    let verdicts = verdicts.as_array().ok_or("a list")?;
    let names: Vec<&str> =
        verdicts.iter().filter_map(|verdict| verdict["picture"].as_str()).collect();
    assert_eq!(names, ["pictures/a.bmp", "pictures/b.bmp", "pictures/c.bmp", "pictures/d.tif"]);
    assert!(verdicts[2]["error"].is_string() && verdicts[3]["error"].is_string(), "{verdicts:?}");

    // The same by hand: the reference's preprocessing, the library's network, softmax.
    let image = Image::open(folder.path("pictures/b.bmp"))?;
    let input = Preprocess::imagenet_v1().tensor(&[image])?;
    let weights = NetworkWeights::open(folder.path("w"), &CheckpointOptions::default())?;
    let logits = Network::load(&Gpu::new()?, &weights, input.shape(), &LoadOptions::default())?
        .logits(&input)?;
    let powers: Vec<f64> = logits.data().iter().map(|&logit| f64::from(logit).exp()).collect();
    let best = (0..4).max_by(|&a, &b| powers[a].total_cmp(&powers[b])).unwrap_or(0);
    let found = &verdicts[1]["classes"][0];
    assert_eq!(
        (found["class"].as_u64(), found["label"].as_str()),
        (Some(best as u64), Some(&*format!("class {best}")))
    );
    let probability = powers[best] / powers.iter().sum::<f64>();
    assert!(
        (found["probability"].as_f64().unwrap_or(f64::NAN) - probability).abs() < 1e-6,
        "{found} {probability}"
    );

    std::fs::write(folder.path("labels"), "cat\ndog, or so\ncow\nhen\n")?;
    let good = ["pictures/a.bmp", "pictures/b.bmp"];
    let output =
        command(&folder, "classify", &[&["--labels", "labels", "--csv"], &good[..]].concat())?;
    succeeds(&output);
    let csv = text(&output.stdout);
    assert_eq!(
        (csv.lines().count(), csv.lines().next()),
        (9, Some("picture,rank,class,label,probability,error,label_source"))
    );
    assert!(csv.contains(",\"dog, or so\","), "{csv}");
    let output = command(
        &folder,
        "classify",
        &[&["--labels", "labels", "--preset", "v2"], &good[..]].concat(),
    )?;
    succeeds(&output);
    let table = text(&output.stdout);
    assert!(
        table.contains("pictures/a.bmp") && table.contains(" %  ") && table.contains("hen"),
        "{table}"
    );
    Ok(())
}

#[test]
fn what_cannot_be_classified_is_told() -> Outcome {
    let folder = folder()?;
    std::fs::write(folder.path("labels"), "cat\ndog\n")?;
    std::fs::create_dir(folder.path("empty"))?;
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--labels", "labels", "pictures"], &["labels: ", "expected 4 labels", "found 2"]),
        (&["pictures", "nowhere"], &["nowhere: "]),
        (&["empty"], &["empty: no image files found"]),
        (&["--preset", "v3", "pictures"], &["preset", "v1 or v2"]),
        (&["--json", "--csv", "pictures"], &["--json", "--csv"]),
    ];
    let mut complaints = Vec::new();
    for (args, says) in cases {
        let output = command(&folder, "classify", args)?;
        complaints.extend(complaint(&output, 2, says).map(|said| format!("{args:?}: {said}")));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
    Ok(())
}

#[test]
fn feature_maps_become_images() -> Outcome {
    let folder = folder()?;
    let output = command(
        &folder,
        "features",
        &["--image", "pictures/a.bmp", "--png", "maps", "--channels", "9"],
    )?;
    succeeds(&output);
    let mut names: Vec<String> = std::fs::read_dir(folder.path("maps"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.sort();
    assert_eq!(names, ["layer1.png", "layer2.png", "overview.png", "stem.png"]);
    // The image, with three maps next to it.
    let overview = Image::open(folder.path("maps/overview.png"))?;
    assert_eq!((overview.width(), overview.height()), (4 * 226 + 2, 228));
    let seen = Preprocess::imagenet_v1().pixels(&Image::open(folder.path("pictures/a.bmp"))?)?;
    assert_eq!(overview.pixel(2 + 100, 2 + 50), seen.pixel(100, 50));
    // Nine channels in two rows; 28x28 pixels, doubled.
    let sheet = Image::open(folder.path("maps/layer2.png"))?;
    assert_eq!((sheet.width(), sheet.height()), (8 * 58 + 2, 2 * 58 + 2));

    let mut complaints = Vec::new();
    let cases: [(&[&str], &[&str]); 2] = [
        (
            &["--image", "pictures/d.tif", "--png", "maps"],
            &["pictures/d.tif", "not a readable image"],
        ),
        (&["--image", "pictures/a.bmp", "--png", "no/such"], &["no"]),
    ];
    for (args, says) in cases {
        complaints.extend(
            complaint(&command(&folder, "features", args)?, 2, says)
                .map(|said| format!("{args:?}: {said}")),
        );
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
    Ok(())
}
