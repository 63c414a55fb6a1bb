//! Shows the effect of a Bottleneck's three BatchNorm2d layers: trains the same small network on
//! the same digits with and without them, at several learning rates, and plots the accuracy.
//!
//!     cargo run --release --example why_batchnorm -- DIR
//!
//! This command writes DIR/why_batchnorm.csv and DIR/why_batchnorm.svg. Without DIR, the example
//! takes a few steps of each and writes nothing.

#[path = "digits/mod.rs"]
mod sheet;

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use wgpu_bottleneck::image::{Preprocess, Resize};
use wgpu_bottleneck::network::{Norm, Optimizer, ResNet, TrainingOptions};
use wgpu_bottleneck::weights::{Initialization, NetworkState};
use wgpu_bottleneck::{
    BlockKind, Gpu, HostTensor, LoadOptions, Network, NetworkWeights, Shape, StateDict, Trainer,
    error,
};

const RATES: [f64; 4] = [0.01, 0.05, 0.2, 0.8];
const EPOCHS: usize = 10;
const BATCH: usize = 32;
const SIDE: u32 = 32;

/// The result of an epoch. There is none for epochs after a run has diverged.
struct Row {
    norm: &'static str,
    rate: f64,
    epoch: usize,
    loss: f64,
    accuracy: f64,
}

/// Normalised images, and their classes.
struct Data {
    images: HostTensor,
    classes: Vec<usize>,
}

impl Data {
    fn of(held_out: bool) -> Result<Self, Box<dyn Error>> {
        let preprocess = Preprocess {
            resize: Resize::Exact { height: SIDE, width: SIDE },
            crop: [SIDE, SIDE],
            ..Preprocess::imagenet_v1()
        };
        let digits: Vec<_> =
            sheet::all()?.into_iter().filter(|digit| digit.is_held_out() == held_out).collect();
        let classes = digits.iter().map(|digit| digit.class).collect();
        let images: Vec<_> = digits.into_iter().map(|digit| digit.image).collect();
        Ok(Self { images: preprocess.tensor(&images)?, classes })
    }

    /// These images, in this order.
    fn pick(&self, indices: &[usize]) -> Result<(HostTensor, Vec<usize>), Box<dyn Error>> {
        let shape = Shape { n: indices.len(), ..self.images.shape() };
        let length = shape.len() / shape.n;
        let values = indices
            .iter()
            .flat_map(|&at| &self.images.data()[at * length..][..length])
            .copied()
            .collect();
        Ok((HostTensor::new(shape, values)?, indices.iter().map(|&at| self.classes[at]).collect()))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1);
    let (gpu, train, test) = (Gpu::new()?, Data::of(false)?, Data::of(true)?);
    // A glance, where nothing is written.
    let (epochs, steps) =
        if folder.is_some() { (EPOCHS, train.classes.len() / BATCH) } else { (1, 3) };
    let mut rows = Vec::new();
    for (name, norm) in [("BatchNorm2d", Norm::default()), ("without", Norm::Identity)] {
        for rate in RATES {
            run(&gpu, (name, norm), rate, [&train, &test], [epochs, steps], &mut rows)?;
        }
    }
    if let Some(folder) = folder {
        let folder = Path::new(&folder);
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("why_batchnorm.csv"), csv(&rows))?;
        std::fs::write(folder.join("why_batchnorm.svg"), svg(&rows))?;
    }
    Ok(())
}

/// Trains one network; a NaN loss stops training.
fn run(
    gpu: &Gpu,
    (name, norm): (&'static str, Norm),
    rate: f64,
    [train, test]: [&Data; 2],
    [epochs, steps]: [usize; 2],
    rows: &mut Vec<Row>,
) -> Result<(), Box<dyn Error>> {
    let builder =
        ResNet::builder(BlockKind::Bottleneck).depths([2, 2]).planes([8, 16]).stem_planes(16);
    let spec = builder.norm_layer(norm).classes(Some(10)).build()?;
    let state = NetworkState::initial(&spec, Initialization { seed: 1, zero_init_residual: false });
    let optimizer =
        Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 1e-4, decay_all: true };
    let options = TrainingOptions { optimizer, ..TrainingOptions::default() };
    let shape = Shape { n: BATCH, ..train.images.shape() };
    let mut network = Trainer::load(gpu, &state, shape, &options, &LoadOptions::default())?;
    for epoch in 1..=epochs {
        let mut losses = 0.0;
        for step in 0..steps {
            // Strides through the digits that meet each once, another one every epoch.
            let count = train.classes.len();
            let stride = [997, 613, 1009, 419, 839][epoch % 5];
            let indices: Vec<usize> =
                (0..BATCH).map(|at| ((step * BATCH + at) * stride + epoch) % count).collect();
            let (images, classes) = train.pick(&indices)?;
            match network.step(&images, &classes, rate) {
                Ok(batch) => losses += batch.loss(),
                Err(wgpu_bottleneck::Error::Training(
                    why @ error::TrainingError::NotFinite { .. },
                )) => {
                    println!("{name:<12} rate {rate:<5} diverged in epoch {epoch}: {why}");
                    return Ok(());
                }
                Err(other) => return Err(other.into()),
            }
        }
        let accuracy = accuracy(gpu, &network.state()?, test)?;
        let loss = losses / steps as f64;
        println!(
            "{name:<12} rate {rate:<5} epoch {epoch:>2}: loss {loss:.4}, {:.1} % of the others \
            right",
            100.0 * accuracy
        );
        rows.push(Row { norm: name, rate, epoch, loss, accuracy });
    }
    Ok(())
}

/// The share of images that are classified correctly, in eval mode.
fn accuracy(gpu: &Gpu, state: &NetworkState, data: &Data) -> Result<f64, Box<dyn Error>> {
    let bytes = state.to_safetensors(&[], &Default::default())?;
    let weights = NetworkWeights::matching(StateDict::from_bytes(bytes)?, state.spec(), None)?;
    let mut network = Network::load(gpu, &weights, data.images.shape(), &LoadOptions::default())?;
    let logits = network.logits(&data.images)?;
    let best = |scores: &[f32]| (0..10).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let right = logits
        .data()
        .chunks_exact(10)
        .zip(&data.classes)
        .filter(|(scores, class)| best(scores) == Some(**class));
    Ok(right.count() as f64 / data.classes.len() as f64)
}

fn csv(rows: &[Row]) -> String {
    let mut text = "norm,rate,epoch,loss,accuracy\n".to_owned();
    for Row { norm, rate, epoch, loss, accuracy } in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{norm},{rate},{epoch},{loss:.5},{accuracy:.5}");
    }
    text
}

/// Accuracy over epochs: solid lines with norms, dashed without; one colour per learning rate.
fn svg(rows: &[Row]) -> String {
    let (width, height, left, bottom, top) = (820.0, 400.0, 60.0, 50.0, 40.0);
    let x =
        |epoch: usize| left + (epoch as f64 - 1.0) / (EPOCHS as f64 - 1.0) * (width - left - 270.0);
    let y = |accuracy: f64| height - bottom - accuracy * (height - bottom - top);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
        font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{left}\" y=\"24\" font-weight=\"bold\">Digits that the network never saw, in % \
         right, over epochs</text>\n"
    );
    for percent in (0..=100).step_by(20) {
        let line = y(f64::from(percent) / 100.0);
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" x2=\"{}\" y1=\"{line:.1}\" y2=\"{line:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{percent}</text>",
            x(EPOCHS),
            left - 8.0,
            line + 4.0
        );
    }
    for epoch in 1..=EPOCHS {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{epoch}</text>",
            x(epoch),
            height - bottom + 20.0
        );
    }
    let colours = ["#1f6feb", "#1a7f37", "#bf8700", "#cf222e"];
    for (at, (norm, dashes)) in
        [("BatchNorm2d", ""), ("without", " stroke-dasharray=\"6 4\"")].into_iter().enumerate()
    {
        for (line, (rate, colour)) in RATES.into_iter().zip(colours).enumerate() {
            let of_run = rows.iter().filter(|row| row.norm == norm && row.rate == rate);
            let points: Vec<String> =
                of_run.map(|row| format!("{:.1},{:.1}", x(row.epoch), y(row.accuracy))).collect();
            let diverged = if points.len() < EPOCHS { ", diverged" } else { "" };
            let name = if at == 0 { "with" } else { "without" };
            let legend = top + 20.0 + 24.0 * (4 * at + line) as f64;
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes} \
                points=\"{}\"/>\
                 <line x1=\"{}\" x2=\"{}\" y1=\"{legend}\" y2=\"{legend}\" stroke=\"{colour}\" \
                 stroke-width=\"2\"{dashes}/>\
                 <text x=\"{}\" y=\"{}\">{name}, rate {rate}{diverged}</text>",
                points.join(" "),
                width - 255.0,
                width - 230.0,
                width - 222.0,
                legend + 4.0
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}
