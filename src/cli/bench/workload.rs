//! What is measured: blocks and networks, each at a size.

use std::collections::HashSet;

use wgpu_bottleneck::network::{BlockSpec, VARIANTS, plan_block, plan_network};
use wgpu_bottleneck::{Bottleneck, Error, PlanKind, ResNet, Shape};

use super::super::error::CliError;
use super::args::{PresetArg, WorkloadArgs};

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

impl Workload {
    /// Floating-point operations of its convolutions, two per multiply-add.
    pub fn conv_flops(&self) -> Result<u64, Error> {
        let plan = match &self.subject {
            Subject::Block(spec) => plan_block(spec, self.input, PlanKind::Fused),
            Subject::Network(spec) => plan_network(spec, self.input, PlanKind::Fused),
        };
        Ok(plan?.conv_flops())
    }
}

/// The side of ImageNet's crops.
const IMAGE: usize = 224;

/// The workloads that are asked for: each at every size, in every batch.
pub fn workloads(args: &WorkloadArgs) -> Result<Vec<Workload>, CliError> {
    let mut single: Vec<Workload> = Vec::new();
    for image in sizes(&args.size) {
        let named = of_size(args, image)?;
        single.extend(named.into_iter().map(|workload| match args.size.len() {
            0 | 1 => workload,
            _ => Workload { name: format!("{}_{}", workload.name, side(image)), ..workload },
        }));
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

/// The sizes of images, ImageNet's where none is asked for.
fn sizes(asked: &[[usize; 2]]) -> Vec<[usize; 2]> {
    if asked.is_empty() { vec![[IMAGE; 2]] } else { asked.to_vec() }
}

/// `224`, or `224x112`.
fn side([height, width]: [usize; 2]) -> String {
    if height == width { height.to_string() } else { format!("{height}x{width}") }
}

/// What is asked for, on images of a size.
fn of_size(args: &WorkloadArgs, image: [usize; 2]) -> Result<Vec<Workload>, CliError> {
    let block = args.shape.bottleneck()?;
    let nothing_named = args.model.is_empty() && block.is_none();
    let preset = args.preset.or(nothing_named.then_some(PresetArg::PeersCheck));
    if !args.size.is_empty() && preset == Some(PresetArg::PeersCheck) {
        return Err(CliError::Usage("--size: the workloads of peers-check have sizes of their own".to_owned()));
    }
    let mut single = match preset {
        Some(PresetArg::PeersCheck) => peers_check()?,
        Some(PresetArg::Family) => family(image)?,
        None => Vec::new(),
    };
    for name in &args.model {
        single.push(network(name, &args.replace_stride_with_dilation, image)?);
    }
    if let Some(block) = block {
        single.push(sized("block", describe(&block), block, image)?);
    }
    Ok(single)
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
    let w6 = network("resnet50", &[], [IMAGE; 2]).map(|network| Workload { name: "w6".to_owned(), ..network });
    blocks.chain([w6]).collect()
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

/// A network by torchvision's name; a dilated one is also called by its output stride.
fn network(variant: &str, dilate: &[bool], [h, w]: [usize; 2]) -> Result<Workload, CliError> {
    let builder = ResNet::named(variant).map_err(Error::from)?.replace_stride_with_dilation(dilate);
    let network = builder.build().map_err(Error::from)?;
    let input = Shape::new(1, network.stem().in_channels, h, w).map_err(Error::from)?;
    let name = match network.output_stride() {
        32 => variant.to_owned(),
        stride => format!("{variant}_os{stride}"),
    };
    Ok(Workload { name, what: network.to_string(), subject: Subject::Network(network), input })
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::super::args::{Cli, Command};
    use super::*;

    /// The names and inputs of the workloads that the arguments ask for.
    fn named(args: &[&str]) -> Option<Vec<(String, [usize; 4])>> {
        let cli = Cli::try_parse_from([&["bottleneck", "bench"], args].concat()).ok()?;
        let Some(Command::Bench(args)) = cli.command else { return None };
        Some(workloads(&args.what).ok()?.into_iter().map(|workload| (workload.name, workload.input.dims())).collect())
    }

    fn expected(workloads: &[(&str, [usize; 4])]) -> Option<Vec<(String, [usize; 4])>> {
        Some(workloads.iter().map(|(name, input)| ((*name).to_owned(), *input)).collect())
    }

    #[test]
    fn nothing_asked_for_means_what_the_peers_run() {
        let wanted = [
            ("w1", [1, 256, 56, 56]),
            ("w2", [1, 256, 56, 56]),
            ("w3", [1, 1024, 14, 14]),
            ("w4", [1, 512, 28, 28]),
            ("w5", [1, 2048, 28, 28]),
            ("w6", [1, 3, 224, 224]),
        ];
        assert_eq!(named(&[]), expected(&wanted));
        assert_eq!(named(&["--only", "w6", "--batch", "1,4"]), expected(&[wanted[5], ("w6_b4", [4, 3, 224, 224])]));
    }

    #[test]
    fn sizes_and_batches_have_names_of_their_own() {
        let block = ["--block", "--inplanes", "16", "--planes", "4", "--size", "4,6x5", "--batch", "1,2"];
        let wanted = [
            ("block_4", [1, 16, 4, 4]),
            ("block_4_b2", [2, 16, 4, 4]),
            ("block_6x5", [1, 16, 6, 5]),
            ("block_6x5_b2", [2, 16, 6, 5]),
        ];
        assert_eq!(named(&block), expected(&wanted));
        let dilated = ["--model", "resnet50", "--replace-stride-with-dilation", "false,true,true", "--size", "33"];
        assert_eq!(named(&dilated), expected(&[("resnet50_os8", [1, 3, 33, 33])]));
    }

    #[test]
    fn the_family_has_each_shape_once() -> Result<(), CliError> {
        let all = family([IMAGE; 2])?;
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].iter().any(|other| other.subject == one.subject && other.input == one.input));
        }
        let of = |name: &str| all.iter().filter(|workload| workload.name.starts_with(name)).count();
        // Each stage's first block and those behind it; other depths of the same widths add none.
        assert_eq!((of("resnet50."), of("resnet101."), of("resnext50_32x4d.")), (8, 0, 8));
        Ok(())
    }
}
