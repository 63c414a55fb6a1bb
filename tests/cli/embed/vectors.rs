//! `--layer` and `--normalize`: other vectors of the same images.

use safetensors::SafeTensors;
use wgpu_bottleneck::StateDict;

use super::studio::{FORMATS, LENGTH, Studio, floats, table};
use crate::common::Outcome;
use crate::common::dict::DictBuilder;
use crate::program::{Result, bottleneck, complaint, run, stderr};

/// Vectors `[rows, values]` of an output.
fn vectors(studio: &Studio, out: &str) -> Result<(Vec<usize>, Vec<f32>)> {
    let bytes = studio.read(out)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let vectors = file.tensor("vectors")?;
    Ok((vectors.shape().to_vec(), floats(vectors.data())))
}

/// Whether two vectors differ by at most a part in 100 000 of the largest value.
fn is_near(a: &[f32], b: &[f32]) -> bool {
    let largest = b.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * largest)
}

#[test]
fn normalized_vectors_have_the_norm_one() -> Outcome {
    let studio = Studio::with(7)?;
    std::fs::write(studio.path("p/notes.png"), "no image")?;
    for format in FORMATS {
        let (plain, normal) = (format!("plain.{format}"), format!("normal.{format}"));
        studio.expect(3, &plain, &[])?;
        studio.expect(3, &normal, &["--normalize"])?;
        let (plain, normal) = (table(&studio.path(&plain))?, table(&studio.path(&normal))?);
        assert_eq!((plain.len(), normal.len()), (8, 8));
        for (path, row) in &plain {
            let Ok(vector) = row else {
                assert!(normal[path] == *row, "{path}");
                continue;
            };
            let norm = vector.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
            let expected: Vec<f32> =
                vector.iter().map(|&value| (f64::from(value) / norm) as f32).collect();
            assert_eq!(normal[path].as_ref(), Ok(&expected), "{path}");
        }
    }
    Ok(())
}

/// A last block whose norms give zero: its vectors have no direction.
#[test]
fn a_vector_of_zeros_stays_zero() -> Outcome {
    let studio = Studio::with(2)?;
    let (source, mut dict) = (studio.read("w.safetensors")?, DictBuilder::default());
    for (key, view) in SafeTensors::deserialize(&source)?.tensors() {
        let is_zero = ["bn3", "downsample.1"].iter().any(|norm| {
            ["weight", "bias"].iter().any(|part| key == format!("layer2.0.{norm}.{part}"))
        });
        let values: Vec<f32> = floats(view.data());
        dict.f32(&key, view.shape(), &if is_zero { vec![0.0; values.len()] } else { values });
    }
    std::fs::write(studio.path("w.safetensors"), dict.bytes())?;
    studio.expect(0, "out.npy", &["--normalize"])?;
    let rows = table(&studio.path("out.npy"))?;
    assert!(rows.len() == 2 && rows.values().all(|row| *row == Ok(vec![0.0; LENGTH])), "{rows:?}");
    Ok(())
}

#[test]
fn the_mean_of_a_layer_is_that_of_its_map() -> Outcome {
    let studio = Studio::with(5)?;
    studio.expect(0, "pooled.safetensors", &[])?;
    let (shape, pooled) = vectors(&studio, "pooled.safetensors")?;
    assert_eq!(shape, [5, LENGTH]);
    let features = run(bottleneck().current_dir(studio.0.path()).args([
        "features",
        "--weights",
        "w.safetensors",
        "--image",
        "p/0/000.png",
        "--raw",
        "maps",
    ]))?;
    assert_eq!(features.status.code(), Some(0), "{}", stderr(&features));
    let maps = StateDict::open(studio.path("maps"))?;
    for (layer, channels) in [("stem", 5), ("layer1", 16), ("layer2", LENGTH)] {
        let out = format!("{layer}.safetensors");
        studio.expect(0, &out, &["--layer", layer])?;
        let (shape, found) = vectors(&studio, &out)?;
        assert_eq!(shape, [5, channels]);
        let map = maps.nchw(layer)?;
        let pixels = map.shape().h * map.shape().w;
        let mean = |channel: &[f32]| {
            (channel.iter().map(|&value| f64::from(value)).sum::<f64>() / pixels as f64) as f32
        };
        let means: Vec<f32> = map.data().chunks(pixels).map(mean).collect();
        assert!(is_near(&found[..channels], &means), "{layer}: {found:?}, expected {means:?}");
    }
    // The last map is the one that is pooled by default.
    assert!(is_near(&vectors(&studio, "layer2.safetensors")?.1, &pooled));
    // Both together.
    studio.expect(0, "both.safetensors", &["--layer", "layer1", "--normalize"])?;
    let (_, both) = vectors(&studio, "both.safetensors")?;
    for vector in both.chunks(16) {
        let norm: f32 = vector.iter().map(|value| value * value).sum();
        assert!((norm - 1.0).abs() < 1e-5, "{norm}");
    }
    Ok(())
}

#[test]
fn vectors_of_different_kinds_are_never_mixed() -> Outcome {
    let studio = Studio::with(4)?;
    for format in FORMATS {
        let out = format!("out.{format}");
        studio.expect(0, &out, &["--normalize"])?;
        let bytes = studio.bytes(&out)?;
        for args in [&["--resume"][..], &["--resume", "--layer", "layer2", "--normalize"]] {
            let says = [&out, "settings", "L2 norm 1", "in the file", "now"];
            assert_eq!(complaint(&studio.embed(&out, args)?, 2, &says), None);
        }
        studio.expect(0, &out, &["--resume", "--normalize"])?;
        assert!(studio.bytes(&out)? == bytes, "{out}");
    }
    Ok(())
}

#[test]
fn an_unknown_layer_is_refused_with_the_names() -> Outcome {
    let studio = Studio::with(2)?;
    for layer in ["layer3", "pooled", "logits", "layer1.0", ""] {
        let says = ["w.safetensors", &format!("no layer {layer:?}"), "stem, layer1, layer2"];
        let output = studio.embed("out.npy", &[&format!("--layer={layer}")])?;
        assert_eq!(complaint(&output, 2, &says), None, "{layer}");
    }
    assert!(studio.files()?.is_empty());
    Ok(())
}
