//! The workloads: blocks and networks, each at a size.

use std::rc::Rc;

use wgpu_bottleneck::network::{BlockSpec, ResNetBuilder, VARIANTS, plan_block, plan_network};
use wgpu_bottleneck::{Bottleneck, Error, PlanKind, ResNet, Shape};

use super::super::block_or_network::BlockOrNetwork;
use super::super::error::CliError;
use super::args::{PresetArg, WorkloadArgs};
use super::source::Source;

/// The block or network to run.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// One block.
    Block(Bottleneck),
    /// A whole network.
    Network(ResNet),
}

impl Subject {
    /// The block or network of a file.
    fn of(weights: &BlockOrNetwork) -> Self {
        match weights {
            BlockOrNetwork::Block(block) => Self::Block(*block.spec()),
            BlockOrNetwork::Network(network) => Self::Network(network.spec().clone()),
        }
    }
}

/// A block or network on an input.
#[derive(Debug, Clone)]
pub struct Workload {
    /// A short name, by which reports are compared.
    pub name: String,
    /// What it is, in words.
    pub what: String,
    /// The block or network to run.
    pub subject: Subject,
    /// The shape of the input, NCHW.
    pub input: Shape,
    /// The file of its weights; `None` if they are seeded.
    pub source: Option<Rc<Source>>,
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

/// The side of ImageNet's crops, in pixels.
const IMAGE: usize = 224;

/// The requested workloads, each at every size and in every batch.
pub fn workloads(args: &WorkloadArgs) -> Result<Vec<Workload>, CliError> {
    args.check()?;
    let source = Source::open(args)?.map(Rc::new);
    let sizes = if args.size.is_empty() {
        vec![None]
    } else {
        args.size.iter().copied().map(Some).collect()
    };
    let mut single: Vec<Workload> = Vec::new();
    for &size in &sizes {
        let named = of_size(args, source.as_ref(), size)?;
        single.extend(named.into_iter().map(|workload| match size {
            Some(size) if sizes.len() > 1 => {
                Workload { name: format!("{}_{}", workload.name, side(size)), ..workload }
            }
            _ => workload,
        }));
    }
    let all = single
        .iter()
        .flat_map(|single| args.batch.iter().map(|&batch| in_batch(single, batch as usize)));
    only(unique(all.collect::<Result<_, _>>()?)?, &args.only)
}

/// Each workload once. Reports identify workloads by name, so two workloads of one name are an
/// error.
fn unique(all: Vec<Workload>) -> Result<Vec<Workload>, CliError> {
    let mut unique: Vec<Workload> = Vec::with_capacity(all.len());
    for workload in all {
        match unique.iter().find(|other| other.name == workload.name) {
            None => unique.push(workload),
            Some(other)
                if other.source.is_some() == workload.source.is_some()
                    && other.subject == workload.subject => {}
            Some(_) => {
                let name = &workload.name;
                return Err(CliError::Usage(format!(
                    "--weights {name}: another workload is called {name}; rename the file"
                )));
            }
        }
    }
    Ok(unique)
}

/// The workloads whose names contain one of these; all if `wanted` is empty.
fn only(mut all: Vec<Workload>, wanted: &[String]) -> Result<Vec<Workload>, CliError> {
    if let Some(missing) =
        wanted.iter().find(|&name| !all.iter().any(|workload| workload.name.contains(name)))
    {
        let known: Vec<&str> = all.iter().map(|workload| &*workload.name).collect();
        let known = known.join(", ");
        return Err(CliError::Usage(format!(
            "--only {missing}: no such workload; the workloads are {known}"
        )));
    }
    all.retain(|workload| {
        wanted.is_empty() || wanted.iter().any(|name| workload.name.contains(name))
    });
    Ok(all)
}

/// `224`, or `224x112`.
fn side([height, width]: [usize; 2]) -> String {
    if height == width { height.to_string() } else { format!("{height}x{width}") }
}

/// The requested workloads, on images of a size.
fn of_size(
    args: &WorkloadArgs,
    source: Option<&Rc<Source>>,
    size: Option<[usize; 2]>,
) -> Result<Vec<Workload>, CliError> {
    let image = size.unwrap_or([IMAGE; 2]);
    let block = args.shape.bottleneck()?;
    let nothing_named = args.model.is_empty() && block.is_none() && source.is_none();
    let preset = args.preset.or(nothing_named.then_some(PresetArg::PeersCheck));
    if size.is_some() && preset == Some(PresetArg::PeersCheck) {
        return Err(CliError::Usage(
            "--size: the workloads of peers-check have fixed sizes".to_owned(),
        ));
    }
    let mut single = match preset {
        Some(PresetArg::PeersCheck) => peers_check()?,
        Some(PresetArg::Family) => family(image)?,
        None => Vec::new(),
    };
    let options = args.variant.options(None)?;
    for name in &args.model {
        let builder = options.apply(ResNet::named(name).map_err(Error::from)?);
        single.push(network(name, builder.build().map_err(Error::from)?, image)?);
    }
    if let Some(block) = block {
        single.push(sized("block", describe(&block), block, image)?);
    }
    if let Some(source) = source {
        single.push(from_file(source, size)?);
    }
    Ok(single)
}

/// The block or the network of a file. Without a size, the images have the size of its
/// configuration.
fn from_file(source: &Rc<Source>, size: Option<[usize; 2]>) -> Result<Workload, CliError> {
    let workload = match Subject::of(&source.weights) {
        Subject::Block(block) => {
            let file = source.file.display();
            let unknown = || {
                CliError::Usage(format!(
                    "--weights {file}: a block; set the size of its input with --size"
                ))
            };
            sized("", describe(&block), block, size.ok_or_else(unknown)?)?
        }
        Subject::Network(spec) => network("", spec, size.or(source.size()).unwrap_or([IMAGE; 2]))?,
    };
    Ok(Workload { name: source.name(), source: Some(source.clone()), ..workload })
}

/// The workloads for comparison with other engines.
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
    let resnet50 = ResNet::named("resnet50").and_then(ResNetBuilder::build).map_err(Error::from)?;
    let w6 = network("w6", resnet50, [IMAGE; 2]);
    blocks.chain([w6]).collect()
}

/// Every Bottleneck of torchvision's networks, at its size in the network, each shape once.
fn family([height, width]: [usize; 2]) -> Result<Vec<Workload>, CliError> {
    let mut found: Vec<Workload> = Vec::new();
    for variant in VARIANTS {
        let network = variant.builder().build().map_err(Error::from)?;
        let shrunk = |side: usize, stride: usize| side.div_ceil(stride);
        let (mut h, mut w) = (shrunk(shrunk(height, 2), 2), shrunk(shrunk(width, 2), 2));
        for (name, spec) in network.blocks() {
            if let BlockSpec::Bottleneck(block) = spec {
                let workload =
                    sized(&format!("{}.{name}", variant.name), describe(block), *block, [h, w])?;
                let known = |other: &Workload| {
                    other.subject == workload.subject && other.input == workload.input
                };
                if !found.iter().any(known) {
                    found.push(workload);
                }
            }
            (h, w) = (shrunk(h, spec.stride()), shrunk(w, spec.stride()));
        }
    }
    Ok(found)
}

/// A network; the name of a dilated one includes its output stride.
fn network(name: &str, network: ResNet, [h, w]: [usize; 2]) -> Result<Workload, CliError> {
    let input = Shape::new(1, network.stem().in_channels, h, w).map_err(Error::from)?;
    let name = match network.output_stride() {
        32 => name.to_owned(),
        stride => format!("{name}_os{stride}"),
    };
    let what = network.to_string();
    Ok(Workload { name, what, subject: Subject::Network(network), input, source: None })
}

fn sized(
    name: &str,
    what: String,
    block: Bottleneck,
    [h, w]: [usize; 2],
) -> Result<Workload, CliError> {
    let input = Shape::new(1, block.inplanes(), h, w).map_err(Error::from)?;
    Ok(Workload {
        name: name.to_owned(),
        what,
        subject: Subject::Block(block),
        input,
        source: None,
    })
}

/// A workload of one image with a larger batch, which is part of its name.
fn in_batch(single: &Workload, batch: usize) -> Result<Workload, CliError> {
    let name = if batch == 1 { single.name.clone() } else { format!("{}_b{batch}", single.name) };
    let Shape { c, h, w, .. } = single.input;
    Ok(Workload { name, input: Shape::new(batch, c, h, w).map_err(Error::from)?, ..single.clone() })
}

/// A block in a few words.
fn describe(block: &Bottleneck) -> String {
    let mut words = vec![format!(
        "Bottleneck {} -> {}, width {}",
        block.inplanes(),
        block.outplanes(),
        block.width()
    )];
    for (name, value) in
        [("stride", block.stride()), ("groups", block.groups()), ("dilation", block.dilation())]
    {
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

    use super::super::super::command::{Cli, Command};
    use super::*;

    /// The names and inputs of the requested workloads.
    fn named(args: &[&str]) -> Option<Vec<(String, [usize; 4])>> {
        let cli = Cli::try_parse_from([&["bottleneck", "bench"], args].concat()).ok()?;
        let Some(Command::Bench(args)) = cli.command else { return None };
        Some(
            workloads(&args.what)
                .ok()?
                .into_iter()
                .map(|workload| (workload.name, workload.input.dims()))
                .collect(),
        )
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
        assert_eq!(
            named(&["--only", "w6", "--batch", "1,4"]),
            expected(&[wanted[5], ("w6_b4", [4, 3, 224, 224])])
        );
    }

    #[test]
    fn sizes_and_batches_have_names_of_their_own() {
        let block =
            ["--block", "--inplanes", "16", "--planes", "4", "--size", "4,6x5", "--batch", "1,2"];
        let wanted = [
            ("block_4", [1, 16, 4, 4]),
            ("block_4_b2", [2, 16, 4, 4]),
            ("block_6x5", [1, 16, 6, 5]),
            ("block_6x5_b2", [2, 16, 6, 5]),
        ];
        assert_eq!(named(&block), expected(&wanted));
        let dilated = [
            "--model",
            "resnet50",
            "--replace-stride-with-dilation",
            "false,true,true",
            "--size",
            "33",
        ];
        assert_eq!(named(&dilated), expected(&[("resnet50_os8", [1, 3, 33, 33])]));
    }

    #[test]
    fn the_family_has_each_shape_once() -> Result<(), CliError> {
        let all = family([IMAGE; 2])?;
        for (index, one) in all.iter().enumerate() {
            assert!(
                !all[..index]
                    .iter()
                    .any(|other| other.subject == one.subject && other.input == one.input)
            );
        }
        let of = |name: &str| all.iter().filter(|workload| workload.name.starts_with(name)).count();
        // The first block of each stage and the blocks after it; other depths of the same widths
        // add none.
        assert_eq!((of("resnet50."), of("resnet101."), of("resnext50_32x4d.")), (8, 0, 8));
        Ok(())
    }
}
