//! Derives a network from the shapes of its tensors, and compares the two.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{self, Naming, OPTIMIZER};
use super::{CheckpointOptions, Shapes};
use crate::error::{Differences, Result, ShapeDifference, WeightsError};
use crate::network::{BlockKind, Norm, ResNet, Stem};

/// Higher numbers of stages and blocks are not recognised: no network has them, and a file must not
/// be able to enlarge a network that far.
const MOST: (usize, usize) = (16, 1024);

/// The first weight of every network.
const STEM: &str = "conv1.weight";

const BATCHES: &str = ".num_batches_tracked";

/// The tensors of a checkpoint by torchvision's names.
pub(super) struct Tensors<'a> {
    pub prefix: String,
    pub naming: Naming,
    /// Name to key and dimensions.
    pub named: BTreeMap<String, (&'a str, &'a [usize])>,
    /// Keys that do not follow the naming.
    unnamed: Vec<&'a str>,
    /// The prefixes of other networks in the file, as a hint.
    elsewhere: String,
}

/// The properties of a stage's first block, from its shapes.
struct Stage {
    planes: usize,
    /// Output channels of the first convolution.
    width: usize,
    /// Input channels per group of the second convolution.
    in_per_group: usize,
}

/// Whether a key belongs to the network, not to the state of an optimiser.
fn is_networks(key: &&str) -> bool {
    !key.starts_with(OPTIMIZER)
}

impl<'a> Tensors<'a> {
    /// # Errors
    /// [`WeightsError::ForeignPart`].
    pub fn new(dict: &'a impl Shapes, prefix: Option<&str>) -> Result<Self, WeightsError> {
        let prefix = match prefix {
            Some(prefix) if prefix.is_empty() || prefix.ends_with('.') => prefix.to_owned(),
            Some(prefix) => format!("{prefix}."),
            None => names::wrappers(dict.keys().filter(is_networks)),
        };
        let inner = || {
            dict.keys()
                .filter(is_networks)
                .filter_map(|key| Some((key, key.strip_prefix(&prefix)?)))
        };
        let naming = Naming::of(inner().map(|(_, inner)| inner));
        let (mut named, mut unnamed) = (BTreeMap::new(), Vec::new());
        for (key, inner) in inner().filter(|(_, inner)| inner.contains('.')) {
            let dims = dict.dims(key).unwrap_or_default();
            match naming.name(inner) {
                Some(name) => match names::foreign_part(&name, dims) {
                    Some(what) => {
                        return Err(WeightsError::ForeignPart { tensor: key.to_owned(), what });
                    }
                    None => drop(named.insert(name, (key, dims))),
                },
                None => unnamed.push(key),
            }
        }
        let elsewhere = elsewhere(dict);
        Ok(Self { prefix, naming, named, unnamed, elsewhere })
    }

    /// The actual or expected key of a tensor.
    fn key(&self, name: &str) -> String {
        format!("{}{}", self.prefix, self.naming.key(name).unwrap_or_else(|| name.to_owned()))
    }

    fn dims(&self, name: &str) -> Option<&'a [usize]> {
        self.named.get(name).map(|(_, dims)| *dims)
    }

    fn shape_error(&self, name: &str, expected: String) -> WeightsError {
        let found = self.dims(name).unwrap_or_default().to_vec();
        WeightsError::Shape { tensor: self.key(name), expected, found }
    }

    /// Output channels and input channels per group of a convolution, whose kernel must have this
    /// size.
    fn conv(&self, name: &str, side: usize) -> Result<(usize, usize), WeightsError> {
        // A missing stem may mean that the network has another prefix; another missing convolution
        // means that it is incomplete.
        let hint = if name == STEM { self.elsewhere.clone() } else { String::new() };
        let missing = || WeightsError::Missing { tensor: self.key(name), hint };
        match *self.dims(name).ok_or_else(missing)? {
            [o, i, h, w] if o != 0 && i != 0 && [h, w] == [side, side] => Ok((o, i)),
            _ => Err(self.shape_error(name, format!("[out, in, {side}, {side}] without zeros"))),
        }
    }

    /// The network that results from the shapes and the options.
    pub fn network(&self, options: &CheckpointOptions) -> Result<ResNet> {
        let (stem_planes, in_channels) = self.conv(STEM, Stem::KERNEL)?;
        let (kind, depths) = (self.kind(), self.depths());
        let first = depths.len().max(1);
        let stages =
            (1..=first).map(|stage| self.stage(kind, stage)).collect::<Result<Vec<_>, _>>()?;
        let Stage { width, in_per_group, .. } = stages[0];
        if width % in_per_group != 0 {
            let expected =
                format!("[{width}, a divisor of {width}, 3, 3], as conv1 writes {width} channels");
            return Err(self.shape_error("layer1.0.conv2.weight", expected).into());
        }
        let builder = ResNet::builder(kind)
            .depths(depths)
            .planes(stages.iter().map(|stage| stage.planes).collect::<Vec<_>>())
            .in_channels(in_channels)
            .stem_planes(stem_planes)
            .classes(self.classes());
        let builder = options.apply(builder);
        // A BasicBlock has neither; where its shapes say otherwise, the comparison names them.
        Ok(match kind {
            BlockKind::Basic => builder.build()?,
            BlockKind::Bottleneck => {
                builder.groups(width / in_per_group).width_per_group(base_width(&stages)).build()?
            }
        })
    }

    fn kind(&self) -> BlockKind {
        let has_conv3 = self
            .named
            .keys()
            .filter_map(|name| names::split(name))
            .any(|(.., l)| l == "conv3.weight");
        if has_conv3 { BlockKind::Bottleneck } else { BlockKind::Basic }
    }

    /// Blocks per stage, by the highest numbers, so that a missing block is reported and does not
    /// end its stage.
    fn depths(&self) -> Vec<usize> {
        let mut depths = Vec::new();
        for (stage, block, _) in self.named.keys().filter_map(|name| names::split(name)) {
            if (1..=MOST.0).contains(&stage) && block < MOST.1 {
                depths.resize(depths.len().max(stage), 0);
                depths[stage - 1] = depths[stage - 1].max(block + 1);
            }
        }
        depths
    }

    fn stage(&self, kind: BlockKind, stage: usize) -> Result<Stage, WeightsError> {
        let name = |conv: &str| format!("layer{stage}.0.{conv}.weight");
        let (width, _) = self.conv(&name("conv1"), if kind == BlockKind::Basic { 3 } else { 1 })?;
        let (second, in_per_group) = self.conv(&name("conv2"), 3)?;
        let planes = match kind {
            BlockKind::Basic => second,
            BlockKind::Bottleneck => {
                let (outplanes, _) = self.conv(&name("conv3"), 1)?;
                if outplanes % kind.expansion() != 0 {
                    return Err(
                        self.shape_error(&name("conv3"), "[4 * planes, width, 1, 1]".to_owned())
                    );
                }
                outplanes / kind.expansion()
            }
        };
        Ok(Stage { planes, width, in_per_group })
    }

    fn classes(&self) -> Option<usize> {
        let dims =
            self.dims("fc.weight").filter(|dims| !dims.is_empty()).or_else(|| self.dims("fc.bias"));
        dims.and_then(<[usize]>::first).copied()
    }

    /// The differences between the checkpoint and a network. A missing `num_batches_tracked` is
    /// ignored: old files lack it, and frozen norms do not need it.
    pub fn differences(&self, network: &ResNet) -> Differences {
        let mut differences = Differences::default();
        let expected = network.state_dict_shapes();
        for (name, dims) in expected.iter().filter(|(name, _)| !name.ends_with(BATCHES)) {
            match self.dims(name) {
                None => differences.missing.push(self.key(name)),
                Some(found) if found != dims => {
                    let (tensor, expected, found) = (self.key(name), dims.clone(), found.to_vec());
                    differences.shapes.push(ShapeDifference { tensor, expected, found });
                }
                Some(_) => {}
            }
        }
        let known: BTreeSet<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
        let is_known = |name: &str| match name.strip_suffix(BATCHES) {
            Some(norm) => known.contains(format!("{norm}.running_var").as_str()),
            None => known.contains(name),
        };
        let unexpected =
            self.named.iter().filter(|(name, _)| !is_known(name)).map(|(_, (key, _))| *key);
        differences.unexpected =
            unexpected.chain(self.unnamed.iter().copied()).map(str::to_owned).collect();
        differences
    }

    /// The checkpoint's network, if it is valid with this norm.
    pub fn looks_like(&self, norm: Norm) -> Option<String> {
        let options =
            CheckpointOptions { norm: Some(norm.kind()), eps: norm.eps(), ..Default::default() };
        let network = self.network(&options).ok()?;
        self.differences(&network).is_empty().then(|| network.to_string())
    }
}

/// Width per group. int(planes * base_width / 64) has several solutions, which all give the same
/// blocks. Returns the smallest that gives every stage's width, or the usual 64 if that does too.
fn base_width(stages: &[Stage]) -> usize {
    let least = |stage: &Stage| stage.in_per_group.saturating_mul(64).div_ceil(stage.planes);
    let beyond = |stage: &Stage| {
        stage.in_per_group.saturating_add(1).saturating_mul(64).div_ceil(stage.planes)
    };
    let smallest = stages.iter().map(least).max().unwrap_or(64);
    let usual = smallest <= 64 && stages.iter().map(beyond).all(|beyond| beyond > 64);
    if usual { 64 } else { smallest }
}

/// Prefixes of networks in a file, as a hint if the user gave no prefix.
fn elsewhere(dict: &impl Shapes) -> String {
    let begins = |key: &'_ str| -> Option<String> {
        let is_stem = dict.dims(key).is_some_and(|dims| dims.ends_with(&[Stem::KERNEL; 2]));
        let stems = [Naming::Torchvision, Naming::HuggingFace, Naming::HuggingFaceModel];
        let prefix =
            |naming: Naming| key.strip_suffix(&naming.key("conv1.weight")?).map(str::to_owned);
        stems.into_iter().find_map(prefix).filter(|_| is_stem)
    };
    let prefixes: Vec<String> = dict.keys().filter_map(begins).take(4).collect();
    match &prefixes[..] {
        [] => " (no key of this file ends in conv1.weight and is 7x7)".to_owned(),
        [prefix] if prefix.is_empty() => " (the file holds a network without a prefix)".to_owned(),
        _ => format!(" (prefixes of networks in this file: {})", prefixes.join(", ")),
    }
}
