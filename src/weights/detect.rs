//! Derives a network from the shapes of its tensors, and compares the two.

use std::collections::{BTreeMap, BTreeSet};

use super::foreign::foreign_part;
use super::head::{Extras, Head};
use super::names::{self, OPTIMIZER};
use super::search::Place;
use super::{CheckpointOptions, Shapes};
use crate::error::{Differences, Result, ShapeDifference, WeightsError};
use crate::network::{BlockKind, Norm, ResNet, StemKind};

/// Higher numbers of stages and blocks are not recognised: no network has them, and a file must not
/// be able to enlarge a network that far.
const MOST: (usize, usize) = (16, 1024);

/// The first weight of every network.
const STEM: &str = "conv1.weight";

const BATCHES: &str = ".num_batches_tracked";

/// The tensors of a place of a checkpoint by torchvision's names.
pub(super) struct Tensors<'a> {
    pub place: Place,
    /// The trunk: name to key and dimensions.
    pub named: BTreeMap<String, (&'a str, &'a [usize])>,
    /// Keys at this place that belong to no stem or block.
    others: Vec<&'a str>,
}

/// The properties of a stage's first block, from its shapes.
struct Stage {
    planes: usize,
    /// Output channels of the first convolution.
    width: usize,
    /// Input channels per group of the second convolution.
    in_per_group: usize,
}

impl<'a> Tensors<'a> {
    /// # Errors
    /// [`WeightsError::ForeignPart`].
    pub fn new(dict: &'a impl Shapes, place: Place) -> Result<Self, WeightsError> {
        let (mut named, mut others) = (BTreeMap::new(), Vec::new());
        for key in dict.keys().filter(|key| !key.starts_with(OPTIMIZER)) {
            let Some(inner) = key.strip_prefix(place.prefix.as_str()) else { continue };
            let dims = dict.dims(key).unwrap_or_default();
            let name = place.naming.name(inner);
            if let Some(what) = name.as_deref().and_then(|name| foreign_part(name, dims)) {
                return Err(WeightsError::ForeignPart { tensor: key.to_owned(), what });
            }
            match name {
                Some(name) if names::is_trunk(&name) => _ = named.insert(name, (key, dims)),
                _ => others.push(key),
            }
        }
        let tensors = Self { place, named, others };
        tensors.check_norms()?;
        Ok(tensors)
    }

    /// Refuses norms that a ResNet of batch norms does not have.
    fn check_norms(&self) -> Result<(), WeightsError> {
        let has = |name: &str| self.named.contains_key(name);
        let refuse = |name: &str, what| {
            let tensor = self.key(name);
            Err(WeightsError::ForeignPart { tensor, what })
        };
        if has("layer1.0.bn1.weight")
            && has(STEM)
            && !self.named.keys().any(|n| n.starts_with("bn1."))
        {
            return refuse("layer1.0.bn1.weight", "a pre-activation block (ResNetV2)");
        }
        let statistics = self.named.keys().any(|name| name.ends_with(".running_mean"));
        if has("bn1.weight") && has(STEM) && !statistics {
            return refuse("bn1.weight", "GroupNorm, or another norm without running statistics,");
        }
        Ok(())
    }

    /// The actual or expected key of a tensor.
    fn key(&self, name: &str) -> String {
        self.place.key(name)
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
        let missing = || WeightsError::Missing { tensor: self.key(name), hint: String::new() };
        match *self.dims(name).ok_or_else(missing)? {
            [o, i, h, w] if o != 0 && i != 0 && [h, w] == [side, side] => Ok((o, i)),
            _ => Err(self.shape_error(name, format!("[out, in, {side}, {side}] without zeros"))),
        }
    }

    /// The network that results from the shapes and the options.
    pub fn network(&self, options: &CheckpointOptions, classes: Option<usize>) -> Result<ResNet> {
        let (stem, side) = match self.dims(STEM) {
            Some([_, _, 3, 3]) => (StemKind::Cifar, 3),
            _ => (StemKind::ImageNet, 7),
        };
        let (stem_planes, in_channels) = self.conv(STEM, side)?;
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
            .stem(stem)
            .stem_planes(stem_planes)
            .classes(classes);
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

    /// The tensors next to the trunk of this network: those at its place for which `is_own` returns
    /// true, and others for which `is_next_to` does.
    pub fn extras(
        &self,
        dict: &'a impl Shapes,
        network: &ResNet,
        is_own: impl Fn(&str) -> bool,
        is_next_to: impl Fn(&str) -> bool,
    ) -> Extras {
        let prefix = self.place.prefix.as_str();
        let outside = dict.keys().filter(|key| {
            !key.starts_with(prefix) && !key.starts_with(OPTIMIZER) && is_next_to(key)
        });
        let own = self.others.iter().copied().filter(|key| is_own(key));
        Extras::of(dict, own.chain(outside), network.features())
    }

    /// The differences between the trunk of a network and the checkpoint's tensors. A missing
    /// `num_batches_tracked` is ignored: old files lack it, and frozen norms do not need it.
    pub fn differences(&self, network: &ResNet) -> Differences {
        let mut differences = Differences::default();
        let expected = network.state_dict_shapes();
        let needed = expected.iter().filter(|(name, _)| names::is_trunk(name));
        for (name, dims) in needed.filter(|(name, _)| !name.ends_with(BATCHES)) {
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
        differences.unexpected = unexpected.map(str::to_owned).collect();
        differences
    }

    /// Adds the differences between the head of a network and the one found.
    pub fn compare_head(&self, network: &ResNet, head: &Head, differences: &mut Differences) {
        let Some(classes) = network.classes() else { return };
        match head {
            Head::Linear { classes: found, .. } if *found == classes => {}
            Head::Linear { classes: found, weight, bias } => {
                let features = network.features();
                let mut add = |tensor: &String, expected, found| {
                    let tensor = tensor.clone();
                    differences.shapes.push(ShapeDifference { tensor, expected, found });
                };
                add(weight, vec![classes, features], vec![*found, features]);
                bias.iter().for_each(|bias| add(bias, vec![classes], vec![*found]));
            }
            Head::None => differences.missing.push(self.key("fc.weight")),
            Head::Other(keys) => differences.unexpected.extend(keys.iter().cloned()),
        }
    }

    /// The checkpoint's network, if it is valid with this norm.
    pub fn looks_like(&self, norm: Norm, head: &Head) -> Option<String> {
        let options =
            CheckpointOptions { norm: Some(norm.kind()), eps: norm.eps(), ..Default::default() };
        let network = self.network(&options, head.classes()).ok()?;
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
