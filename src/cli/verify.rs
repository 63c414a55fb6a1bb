//! `bottleneck verify`: the error of half precision, block by block.

use std::collections::BTreeSet;

use serde_json::json;
use wgpu_bottleneck::plan::Precision;
use wgpu_bottleneck::{
    Error, Gpu, HostTensor, Image, ImagePipeline, LoadOptions, NetworkWeights, Source,
};

use super::error::CliError;
use super::images::{self, Images};
use super::network_args::VerifyArgs;
use super::output::{self, Table, count};

/// The difference of one tensor of a network, over all images so far.
#[derive(Debug, Clone, Default)]
struct Difference {
    name: String,
    largest: f64,
    largest_error: f64,
    sum: f64,
    sum_of_errors: f64,
    /// Products of the two with each other and themselves.
    dot: f64,
    squares: [f64; 2],
}

impl Difference {
    fn add(&mut self, single: &HostTensor, half: &HostTensor) {
        for (&a, &b) in single.data().iter().zip(half.data()) {
            let (a, b) = (f64::from(a), f64::from(b));
            let error = (a - b).abs();
            self.largest = self.largest.max(a.abs());
            // Not f64::max, which passes over NaN.
            if error > self.largest_error || error.is_nan() {
                self.largest_error = error;
            }
            self.sum += a.abs();
            self.sum_of_errors += error;
            self.dot += a * b;
            self.squares = [self.squares[0] + a * a, self.squares[1] + b * b];
        }
    }

    /// The largest error as a share of the largest value.
    fn worst(&self) -> f64 {
        share(self.largest_error, self.largest)
    }

    /// The mean error as a share of the mean value.
    fn mean(&self) -> f64 {
        share(self.sum_of_errors, self.sum)
    }

    /// The cosine of the angle between the two; 1 if both are all zeros.
    fn cosine(&self) -> f64 {
        match self.squares {
            [0.0, 0.0] => 1.0,
            [a, b] => self.dot / (a * b).sqrt(),
        }
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if part == 0.0 { 0.0 } else { part / whole }
}

/// How often the two agree on the most likely classes.
#[derive(Debug, Clone, Copy, Default)]
struct Agreement {
    images: usize,
    /// Images on whose most likely class both agree.
    top1: usize,
    /// How many of the five most likely classes of one are among those of the other, over all
    /// images.
    top5: usize,
    /// The largest possible value of `top5`.
    most_top5: usize,
}

impl Agreement {
    fn add(&mut self, single: &HostTensor, half: &HostTensor) {
        let classes = single.shape().c;
        for (a, b) in single.data().chunks(classes).zip(half.data().chunks(classes)) {
            // With one output, compare whether the sigmoid is above 0.5.
            let same = classes > 1 || (a[0] > 0.0) == (b[0] > 0.0);
            let (a, b) = (likeliest(a), likeliest(b));
            self.images += 1;
            self.top1 += usize::from(same && a.first() == b.first());
            let among: BTreeSet<usize> = b.iter().copied().collect();
            self.top5 += a.iter().filter(|class| among.contains(class)).count();
            self.most_top5 += a.len();
        }
    }
}

/// The five classes with the largest logits, the largest first.
fn likeliest(logits: &[f32]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..logits.len()).collect();
    classes.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    classes.truncate(5);
    classes
}

/// Runs the command.
pub fn run(args: &VerifyArgs) -> Result<(), CliError> {
    let images = images(args)?;
    let weights = args.images.network.weights()?;
    args.images.tell_preprocess(&weights)?;
    let engine = &args.images.network.engine;
    let gpu = engine.adapter.gpu_with_kept_pipelines()?;
    let batch = images.len().min(args.images.batch as usize);
    let asked =
        engine.load_options(Some(&gpu), u32::try_from(images.len().div_ceil(batch)).ok())?;
    let asked = LoadOptions { keep_blocks: true, ..asked };
    // There is nothing to verify in single precision.
    let precision =
        if asked.precision == Precision::F32 { Precision::F16 } else { asked.precision };
    let mut single = load(
        args,
        &gpu,
        &weights,
        batch,
        &LoadOptions { precision: Precision::F32, ..asked.clone() },
    )?;
    let mut half = load(args, &gpu, &weights, batch, &LoadOptions { precision, ..asked })?;
    let (mut differences, mut agreement) = (Vec::new(), Agreement::default());
    for part in images.chunks(batch) {
        let sources: Vec<Source<'_>> = part.iter().map(Source::from).collect();
        let (expected, found) = (single.run(&sources)?, half.run(&sources)?);
        differences.resize_with(expected.len(), Difference::default);
        for (((name, expected), (_, found)), difference) in
            expected.iter().zip(&found).zip(&mut differences)
        {
            difference.name.clone_from(name);
            difference.add(expected, found);
            if name == "logits" {
                agreement.add(expected, found);
            }
        }
    }
    if !half.network().recording().has_half() {
        output::progress("warning: both ran in f32: this device has no half precision");
    }
    let in_single = half.network().kept_in_f32();
    if args.json {
        return output::json(&as_json(&gpu, &differences, &agreement, in_single));
    }
    print(&gpu, args, &differences, &agreement, in_single)
}

fn load(
    args: &VerifyArgs,
    gpu: &Gpu,
    weights: &NetworkWeights,
    batch: usize,
    options: &LoadOptions,
) -> Result<ImagePipeline, CliError> {
    Ok(ImagePipeline::load(gpu, weights, &args.images.preprocess(weights)?, batch, options)?)
}

/// The given images, or, if none are given, seeded ones: soft blots of colour with some noise.
fn images(args: &VerifyArgs) -> Result<Vec<Image>, CliError> {
    if args.files.is_empty() {
        return (0..args.generate).map(generated).collect();
    }
    let files = images::find(&args.files)?;
    let mut decoded = Images::decode(files);
    let mut found = Vec::new();
    loop {
        let batch = decoded.batch(64);
        if batch.is_empty() {
            return Ok(found);
        }
        for one in batch {
            found.push(one.image?);
        }
    }
}

/// A seeded image.
fn generated(seed: u32) -> Result<Image, CliError> {
    let wave = |at: u32, channel: u32| {
        let phase = f64::from(at) * 0.02 * f64::from(1 + (seed + channel) % 5)
            + f64::from(seed * 3 + channel);
        phase.sin()
    };
    let noise = |x: u32, y: u32| {
        f64::from((x.wrapping_mul(7919) ^ y.wrapping_mul(104_729) ^ seed) % 31) - 15.0
    };
    let pixel = |x: u32, y: u32| {
        [0, 1, 2].map(|channel| {
            (128.0 + 80.0 * wave(x, channel) * wave(y, channel + 1) + noise(x, y)) as u8
        })
    };
    Ok(Image::from_fn(256, 256, pixel).map_err(Error::from)?)
}

fn print(
    gpu: &Gpu,
    args: &VerifyArgs,
    differences: &[Difference],
    agreement: &Agreement,
    in_single: &[String],
) -> Result<(), CliError> {
    let (one, many) = if args.files.is_empty() {
        ("generated image", "generated images")
    } else {
        ("image", "images")
    };
    let images = count(agreement.images, one, many);
    output::heading(&format!("{}: half precision against single, {images}", gpu.describe()))?;
    let mut table = Table::new(&["tensor", ">largest error", ">mean error", ">1 - cosine"]);
    for difference in differences {
        table.row([
            difference.name.as_str().into(),
            format!("{:.1e}", difference.worst()).into(),
            format!("{:.1e}", difference.mean()).into(),
            // Rounding alone may make it a little less than 0.
            format!("{:.1e}", (1.0 - difference.cosine()).abs()).into(),
        ]);
    }
    output::print(&table.render())?;
    let Agreement { images, top1, top5, most_top5 } = *agreement;
    if images > 0 {
        let images = count(images, "image", "images");
        output::print(&format!(
            "top-1 agrees on {top1} of {images}, top-5 on {top5} of {most_top5} classes\n"
        ))?;
    }
    match in_single {
        [] => Ok(()),
        steps => output::print(&format!("computed in f32: {}\n", steps.join(", "))),
    }
}

fn as_json(
    gpu: &Gpu,
    differences: &[Difference],
    agreement: &Agreement,
    in_single: &[String],
) -> serde_json::Value {
    let tensor = |difference: &Difference| {
        json!({
            "name": difference.name,
            "largest_error": difference.worst(),
            "mean_error": difference.mean(),
            "cosine": difference.cosine(),
        })
    };
    let Agreement { images, top1, top5, most_top5 } = *agreement;
    json!({
        "device": gpu.describe(),
        "tensors": differences.iter().map(tensor).collect::<Vec<_>>(),
        "pictures": images,
        "top1_agrees": top1,
        "top5_agrees": top5,
        "top5_of": most_top5,
        "computed_in_f32": in_single,
    })
}
