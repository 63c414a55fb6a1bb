//! `bottleneck features --raw`: the values of feature maps.

use std::process::Output;

use wgpu_bottleneck::{Image, Preprocess, StateDict};

use crate::common::Outcome;
use crate::common::dict::DictBuilder;
use crate::embed::studio::Studio;
use crate::program::{Result, bottleneck, complaint, run, stderr};

fn features(studio: &Studio, args: &[&str]) -> Result<Output> {
    let network = ["features", "--weights", "w.safetensors"];
    let image = ["--image", "p/0/000.png"];
    run(bottleneck().current_dir(studio.0.path()).args(network).args(image).args(args))
}

/// Compares the maps with the output of `run --features` for the same pixels.
#[test]
fn raw_maps_are_those_of_run() -> Outcome {
    let studio = Studio::with(1)?;
    let output = features(&studio, &["--raw", "maps.safetensors"])?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(studio.files()?, ["maps.safetensors"]);

    let preprocess = Preprocess::from_config(studio.path("config.json"))?;
    let input = preprocess.tensor(&[Image::open(studio.path("p/0/000.png"))?])?;
    let mut dict = DictBuilder::default();
    dict.f32("input", &input.shape().dims(), input.data());
    std::fs::write(studio.path("in"), dict.bytes())?;
    let arguments = "run --weights w.safetensors --input in --output out --features";
    let output = run(bottleneck().current_dir(studio.0.path()).args(arguments.split(' ')))?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

    let (maps, all) =
        (StateDict::open(studio.path("maps.safetensors"))?, StateDict::open(studio.path("out"))?);
    let mut names: Vec<&str> = maps.keys().collect();
    names.sort_unstable();
    assert_eq!(names, ["layer1", "layer2", "stem"]);
    for name in names {
        let (found, expected) = (maps.nchw(name)?, all.nchw(name)?);
        assert_eq!(found.shape(), expected.shape(), "{name}");
        let largest = expected.data().iter().fold(0.0, |most: f32, value| most.max(value.abs()));
        let is_near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * largest;
        assert!(found.data().iter().zip(expected.data()).all(is_near), "{name}");
    }
    Ok(())
}

#[test]
fn values_and_images_can_be_written_together() -> Outcome {
    let studio = Studio::with(1)?;
    let output = features(&studio, &["--raw", "maps.safetensors", "--png", "maps"])?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("overview.png: ") && said.contains("maps.safetensors: "), "{said}");
    assert_eq!(studio.files()?, ["maps", "maps.safetensors"]);
    assert!(studio.path("maps/layer2.png").exists());
    assert_eq!(StateDict::open(studio.path("maps.safetensors"))?.keys().count(), 3);
    Ok(())
}

#[test]
fn impossible_outputs_are_refused() -> Outcome {
    let studio = Studio::with(1)?;
    std::fs::create_dir(studio.path("maps"))?;
    std::fs::write(studio.path("w.json"), "{}")?;
    let cases: [(&[&str], &[&str]); 7] = [
        (&[], &["--png", "required"]),
        (&["--raw", "maps"], &["maps: ", "regular file"]),
        (&["--raw", "none/maps.safetensors"], &["none"]),
        (&["--raw", "w.safetensors"], &["w.safetensors", "same file"]),
        (&["--raw", "w.json", "--tuned=w.json"], &["w.json", "same file"]),
        (&["--raw", "maps/stem.png", "--png", "maps"], &["maps/stem.png", "another name"]),
        (&["--raw", "out", "--channels", "3"], &["--png"]),
    ];
    for (args, says) in cases {
        assert_eq!(complaint(&features(&studio, args)?, 2, says), None, "{args:?}");
    }
    // If the images cannot be written, nor are the values.
    std::fs::create_dir(studio.path("maps/layer1.png"))?;
    let output = features(&studio, &["--raw", "out", "--png", "maps"])?;
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("error: maps/layer1.png: the output must be a regular file"));
    assert_eq!(studio.files()?, ["maps", "w.json"]);
    Ok(())
}
