//! What is measured: blocks and networks, each at a size.

use std::collections::HashSet;

use wgpu_bottleneck::network::{BlockSpec, VARIANTS};
use wgpu_bottleneck::{Bottleneck, Error, ResNet, Shape};

use super::super::error::CliError;
use super::args::{BenchArgs, PresetArg};

/// What runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// One block.
    Block(Bottleneck),
    /// A whole network.
    Network(ResNet),
}

/// A subject on an input.
#[derive(Debug, Clone)]
pub struct Workload {
    /// A short name, by which reports are compared.
    pub name: String,
    /// What it is, in words.
    pub what: String,
    /// What runs.
    pub subject: Subject,
    /// On what: NCHW.
    pub input: Shape,
}

/// The side of ImageNet's crops.
const IMAGE: usize = 224;

/// The workloads that are asked for, batches in turn.
pub fn workloads(args: &BenchArgs) -> Result<Vec<Workload>, CliError> {
    let block = args.shape.bottleneck()?;
    let nothing_named = args.model.is_empty() && block.is_none();
    let preset = args.preset.or(nothing_named.then_some(PresetArg::PeersCheck));
    if args.size.is_some() && preset == Some(PresetArg::PeersCheck) {
        return Err(CliError::Usage("--size: the workloads of peers-check have sizes of their own".to_owned()));
    }
    let image = args.size.unwrap_or([IMAGE; 2]);
    let mut single = match preset {
        Some(PresetArg::PeersCheck) => peers_check()?,
        Some(PresetArg::Family) => family(image)?,
        None => Vec::new(),
    };
    for name in &args.model {
        single.push(network(name, name, image)?);
    }
    if let Some(block) = block {
        single.push(sized("block", describe(&block), block, image)?);
    }
    let wanted = args.only.as_deref().unwrap_or_default();
    let all = single.iter().flat_map(|single| args.batch.iter().map(|&batch| in_batch(single, batch as usize)));
    let mut chosen = all.collect::<Result<Vec<Workload>, CliError>>()?;
    let mut seen = HashSet::new();
    chosen.retain(|workload| workload.name.contains(wanted) && seen.insert(workload.name.clone()));
    match chosen.is_empty() {
        true => Err(CliError::Usage(format!("--only {wanted}: no workload of this name"))),
        false => Ok(chosen),
    }
}

/// What other engines are compared on.
fn peers_check() -> Result<Vec<Workload>, CliError> {
    let block = Bottleneck::torchvision;
    let blocks = [
        ("w1", "ResNet-50 layer1.1", block(256, 64), 56),
        ("w2", "ResNet-50 layer2.0", block(256, 128).stride(2).downsample(true), 56),
        ("w3", "ResNet-50 layer3.1", block(1024, 256), 14),
        ("w4", "ResNeXt-50 32x4d layer2.1", block(512, 128).groups(32).base_width(4), 28),
        ("w5", "ResNet-50 layer4.1, dilation 2", block(2048, 512).dilation(2), 28),
    ];
    let blocks = blocks.into_iter().map(|(name, what, builder, side)| {
        sized(name, what.to_owned(), builder.build().map_err(Error::from)?, [side; 2])
    });
    blocks.chain([network("w6", "resnet50", [IMAGE; 2])]).collect()
}

/// Every Bottleneck of torchvision's networks, at the size at which its network runs it, each shape once.
fn family([height, width]: [usize; 2]) -> Result<Vec<Workload>, CliError> {
    let mut found: Vec<Workload> = Vec::new();
    for variant in VARIANTS {
        let network = variant.builder().build().map_err(Error::from)?;
        let shrunk = |side: usize, stride: usize| side.div_ceil(stride);
        let (mut h, mut w) = (shrunk(shrunk(height, 2), 2), shrunk(shrunk(width, 2), 2));
        for (name, spec) in network.blocks() {
            if let BlockSpec::Bottleneck(block) = spec {
                let workload = sized(&format!("{}.{name}", variant.name), describe(block), *block, [h, w])?;
                let known = |other: &Workload| other.subject == workload.subject && other.input == workload.input;
                if !found.iter().any(known) {
                    found.push(workload);
                }
            }
            (h, w) = (shrunk(h, spec.stride()), shrunk(w, spec.stride()));
        }
    }
    Ok(found)
}

fn network(name: &str, variant: &str, [h, w]: [usize; 2]) -> Result<Workload, CliError> {
    let network = ResNet::named(variant).and_then(|builder| builder.build()).map_err(Error::from)?;
    let input = Shape::new(1, network.stem().in_channels, h, w).map_err(Error::from)?;
    Ok(Workload { name: name.to_owned(), what: network.to_string(), subject: Subject::Network(network), input })
}

fn sized(name: &str, what: String, block: Bottleneck, [h, w]: [usize; 2]) -> Result<Workload, CliError> {
    let input = Shape::new(1, block.inplanes(), h, w).map_err(Error::from)?;
    Ok(Workload { name: name.to_owned(), what, subject: Subject::Block(block), input })
}

/// A workload of one image with more of them; its name says so.
fn in_batch(single: &Workload, batch: usize) -> Result<Workload, CliError> {
    let name = if batch == 1 { single.name.clone() } else { format!("{}_b{batch}", single.name) };
    let Shape { c, h, w, .. } = single.input;
    Ok(Workload { name, input: Shape::new(batch, c, h, w).map_err(Error::from)?, ..single.clone() })
}

/// A block in a few words.
fn describe(block: &Bottleneck) -> String {
    let mut words = vec![format!("Bottleneck {} -> {}, width {}", block.inplanes(), block.outplanes(), block.width())];
    for (name, value) in [("stride", block.stride()), ("groups", block.groups()), ("dilation", block.dilation())] {
        if value != 1 {
            words.push(format!("{name} {value}"));
        }
    }
    if block.has_downsample() {
        words.push("downsample".to_owned());
    }
    words.join(", ")
}
