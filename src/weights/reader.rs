//! Reads a block from a state dict: derives its specification from the shapes, and reports missing
//! and unexpected tensors.

use super::fold::Affine;
use super::layer::{Layer, LayerTensors, NormTensors};
use super::{BlockOptions, Checkpoint, StateDict};
use crate::error::{Result, SpecError, WeightsError};
use crate::network::{Bottleneck, EXPANSION, Norm};
use crate::op::Conv;

/// Reads one block's tensors.
pub(super) struct Reader<'a> {
    dict: &'a StateDict,
    /// Maps torchvision's names to keys; without it, the names are the keys.
    checkpoint: Option<&'a Checkpoint>,
    prefix: String,
    norm: Norm,
}

impl<'a> Reader<'a> {
    pub fn new(dict: &'a StateDict, prefix: &str, norm: Norm) -> Self {
        let dot = if prefix.is_empty() || prefix.ends_with('.') { "" } else { "." };
        Self { dict, checkpoint: None, prefix: format!("{prefix}{dot}"), norm }
    }

    /// A part of a checkpoint's network; the prefix uses torchvision's names.
    pub fn of_checkpoint(dict: &'a StateDict, checkpoint: &'a Checkpoint, prefix: &str) -> Self {
        Self {
            checkpoint: Some(checkpoint),
            ..Self::new(dict, prefix, checkpoint.network().norm())
        }
    }

    fn key(&self, name: &str) -> String {
        let name = format!("{}{name}", self.prefix);
        self.checkpoint
            .and_then(|checkpoint| checkpoint.key(&name))
            .map(str::to_owned)
            .unwrap_or(name)
    }

    fn has(&self, name: &str) -> bool {
        self.dict.dims(&self.key(name)).is_some()
    }

    /// The dimensions of a tensor; empty if it does not exist.
    fn found(&self, name: &str) -> Vec<usize> {
        self.dict.dims(&self.key(name)).unwrap_or_default().to_vec()
    }

    /// The dimensions of a convolution's weight, which must be four and non-zero, with this kernel
    /// size.
    fn conv_dims(&self, name: &str, side: usize) -> Result<[usize; 4], WeightsError> {
        let tensor = self.key(name);
        let missing = || WeightsError::Missing { tensor: tensor.clone(), hint: self.prefix_hint() };
        let found = self.dict.dims(&tensor).ok_or_else(missing)?;
        match *found {
            [o, i, h, w] if o != 0 && i != 0 && [h, w] == [side, side] => Ok([o, i, h, w]),
            _ => {
                let expected = format!("[out, in, {side}, {side}] without zeros");
                Err(WeightsError::Shape { tensor, expected, found: found.to_vec() })
            }
        }
    }

    /// The prefixes of blocks in this file, as a hint if the user forgot the prefix.
    fn prefix_hint(&self) -> String {
        let prefixes: Vec<&str> =
            self.dict.keys().filter_map(|key| key.strip_suffix("conv3.weight")).collect();
        match prefixes[..] {
            [] => " (no key of this file ends in conv3.weight)".to_owned(),
            [""] => " (the file holds one block without a prefix)".to_owned(),
            _ => {
                let some = prefixes.iter().take(4).copied().collect::<Vec<_>>().join(", ");
                format!(
                    " (prefixes of blocks in this file: {some}{})",
                    if prefixes.len() > 4 { ", ..." } else { "" }
                )
            }
        }
    }

    /// The specification that results from the shapes and the options.
    pub fn spec(&self, options: &BlockOptions) -> Result<Bottleneck> {
        let [width, inplanes, ..] = self.conv_dims("conv1.weight", 1)?;
        let [_, in_per_group, ..] = self.conv_dims("conv2.weight", 3)?;
        let [outplanes, ..] = self.conv_dims("conv3.weight", 1)?;
        let planes = outplanes / EXPANSION;
        if planes * EXPANSION != outplanes {
            let expected = "[4 * planes, width, 1, 1]".to_owned();
            let found = self.found("conv3.weight");
            return Err(
                WeightsError::Shape { tensor: self.key("conv3.weight"), expected, found }.into()
            );
        }
        let tensor = self.key("conv2.weight");
        let contradicts = |parameter, given, found| SpecError::Contradicts {
            parameter,
            given,
            tensor: tensor.clone(),
            found,
        };
        if width % in_per_group != 0 {
            let expected =
                format!("[{width}, a divisor of {width}, 3, 3], as conv1 writes {width} channels");
            return Err(WeightsError::Shape {
                tensor,
                expected,
                found: self.found("conv2.weight"),
            }
            .into());
        }
        let groups = width / in_per_group;
        check_groups(options.groups, width, groups, |given| {
            let found = format!("groups {groups} ({in_per_group} channels each)");
            contradicts("groups", given, found)
        })?;
        // int(planes * base_width / 64) = channels per group has several solutions, of which any
        // gives the same block, or, beyond 64 planes, none.
        let base_width = options.base_width.unwrap_or_else(|| (in_per_group * 64).div_ceil(planes));
        if options.base_width.is_none() && planes * base_width / 64 != in_per_group {
            let expected = format!("a width of the form int({planes} * base_width / 64) * groups");
            return Err(WeightsError::Shape {
                tensor,
                expected,
                found: self.found("conv2.weight"),
            }
            .into());
        }
        self.check_shortcut()?;
        let spec = Bottleneck::torchvision(inplanes, planes)
            .stride(options.stride)
            .downsample(self.has("downsample.0.weight"))
            .groups(groups)
            .base_width(base_width)
            .dilation(options.dilation)
            .norm_layer(options.norm)
            .build()?;
        if spec.width() != width {
            let found = format!("width {width}, while this base_width gives {}", spec.width());
            return Err(contradicts("base_width", base_width, found).into());
        }
        Ok(spec)
    }

    /// Rejects shortcuts other than one strided 1x1 convolution and its norm.
    fn check_shortcut(&self) -> Result<(), WeightsError> {
        let refuse =
            |name: &str, what| Err(WeightsError::Shortcut { tensor: self.key(name), what });
        match self.dict.dims(&self.key("downsample.1.weight")) {
            Some(dims) if dims.len() == 4 => {
                return refuse(
                    "downsample.1.weight",
                    "a pooled (ResNet-D) shortcut: AvgPool2d before the convolution",
                );
            }
            _ => {}
        }
        for name in ["downsample.2.weight", "downsample.2.running_mean"] {
            if self.has(name) {
                return refuse(name, "a shortcut of more than two layers");
            }
        }
        match self.dict.dims(&self.key("downsample.0.weight")) {
            Some(dims) if dims.len() == 4 && dims[2..] != [1, 1] => {
                refuse("downsample.0.weight", "a shortcut whose convolution is not 1x1")
            }
            Some(_) => Ok(()),
            // Keys of the norm without the convolution: half a downsample.
            None if ["weight", "bias", "running_mean", "running_var"]
                .iter()
                .any(|k| self.has(&format!("downsample.1.{k}"))) =>
            {
                Err(WeightsError::Missing {
                    tensor: self.key("downsample.0.weight"),
                    hint: String::new(),
                })
            }
            None => Ok(()),
        }
    }

    /// Rejects tensors of parts that a Bottleneck does not have, such as a squeeze-and-excitation
    /// layer: without them, the results would be wrong. Keys without a dot (an `input` in the same
    /// file) belong to no module.
    pub fn check_no_other_parts(&self) -> Result<(), WeightsError> {
        let of_conv = |part: &str| matches!(part, "weight" | "bias");
        let of_norm = |part: &str| {
            of_conv(part) || matches!(part, "running_mean" | "running_var" | "num_batches_tracked")
        };
        let known = |name: &str| match name.rsplit_once('.') {
            None => true,
            Some(("conv1" | "conv2" | "conv3" | "downsample.0", part)) => of_conv(part),
            Some(("bn1" | "bn2" | "bn3" | "downsample.1", part)) => of_norm(part),
            Some(_) => false,
        };
        let ours = self.dict.keys().filter_map(|key| key.strip_prefix(&self.prefix));
        match ours.into_iter().find(|name| !known(name)) {
            None => Ok(()),
            Some(name) => {
                let why = "a Bottleneck has no such part";
                Err(WeightsError::Unexpected { tensor: self.key(name), why })
            }
        }
    }

    /// Rejects keys for a norm of Identity, and reports norms without any running statistics as
    /// batch statistics.
    pub fn check_norm_keys(&self, norms: &[&str]) -> Result<()> {
        if self.norm == Norm::Identity {
            for norm in norms {
                for part in ["weight", "bias", "running_mean", "running_var"] {
                    let name = format!("{norm}.{part}");
                    if self.has(&name) {
                        let why = "norm Identity has no tensors: is the block's norm another one?";
                        return Err(
                            WeightsError::Unexpected { tensor: self.key(&name), why }.into()
                        );
                    }
                }
            }
            return Ok(());
        }
        let without = |part: &str| norms.iter().all(|norm| !self.has(&format!("{norm}.{part}")));
        if without("running_mean") && without("running_var") && !without("weight") {
            return Err(SpecError::BatchStatistics { norm: self.norm.name().to_owned() }.into());
        }
        Ok(())
    }

    /// Whether the norms have gamma and beta: either all or none have, and FrozenBatchNorm2d always
    /// does.
    pub fn has_affine(&self, norms: &[&str]) -> bool {
        let mut parts =
            norms.iter().flat_map(|norm| ["weight", "bias"].map(|part| format!("{norm}.{part}")));
        let none = parts.all(|name| !self.has(&name));
        !(none && matches!(self.norm, Norm::BatchNorm2d { .. }))
    }

    pub fn layer(
        &self,
        conv: Conv,
        conv_name: &str,
        norm_name: &str,
        affine: bool,
    ) -> Result<Layer, WeightsError> {
        let side = conv.kernel.side();
        let conv_key = self.key(&format!("{conv_name}.weight"));
        let weight =
            self.dict.finite(&conv_key, &[conv.out_channels, conv.in_per_group(), side, side])?;
        let bias = format!("{conv_name}.bias");
        if self.has(&bias) {
            let why = "the convolutions of a ResNet have no bias";
            return Err(WeightsError::Unexpected { tensor: self.key(&bias), why });
        }
        let norm = self.affine(norm_name, conv.out_channels, affine)?;
        Ok(Layer { norm_key: self.key(norm_name), weight, norm })
    }

    /// A layer's tensors, not folded.
    pub fn layer_tensors(
        &self,
        conv: Conv,
        conv_name: &str,
        norm_name: &str,
        affine: bool,
    ) -> Result<LayerTensors, WeightsError> {
        // An error here is an error for inference too.
        let layer = self.layer(conv, conv_name, norm_name, affine)?;
        let key = |part: &str| self.key(&format!("{norm_name}.{part}"));
        let part = |part: &str| self.dict.weight(&key(part), &[conv.out_channels]);
        let norm = match self.norm.eps() {
            None => None,
            Some(_) => Some(NormTensors {
                gamma: if affine { part("weight")? } else { vec![1.0; conv.out_channels] },
                beta: if affine { part("bias")? } else { vec![0.0; conv.out_channels] },
                affine: affine && matches!(self.norm, Norm::BatchNorm2d { .. }),
                running_mean: part("running_mean")?,
                running_var: part("running_var")?,
                num_batches_tracked: self.dict.counter(&key("num_batches_tracked"))?,
                key: layer.norm_key,
            }),
        };
        Ok(LayerTensors {
            key: layer.weight.key.clone(),
            weight: layer.weight.get()?.into_owned(),
            norm,
        })
    }

    /// A norm's scale and shift in f64.
    fn affine(&self, norm: &str, channels: usize, affine: bool) -> Result<Affine, WeightsError> {
        let Some(eps) = self.norm.eps() else { return Ok(Affine::identity(channels)) };
        let part = |part: &str| self.dict.weight(&self.key(&format!("{norm}.{part}")), &[channels]);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        let bad = |value: f32| value < 0.0 || f64::from(value) + eps <= 0.0;
        if let Some(index) = variance.iter().position(|&value| bad(value)) {
            let tensor = self.key(&format!("{norm}.running_var"));
            return Err(WeightsError::Variance { tensor, index, value: variance[index], eps });
        }
        let ones = || Ok(vec![1.0; channels]);
        let (gamma, beta) =
            if affine { (part("weight")?, part("bias")?) } else { (ones()?, vec![0.0; channels]) };
        let scale: Vec<f64> = gamma
            .iter()
            .zip(&variance)
            .map(|(&gamma, &var)| f64::from(gamma) / (f64::from(var) + eps).sqrt())
            .collect();
        let terms = beta.iter().zip(&mean).zip(&scale);
        let shift = terms
            .map(|((&beta, &mean), scale)| f64::from(beta) - f64::from(mean) * scale)
            .collect();
        Ok(Affine { scale, shift })
    }
}

/// Checks that a number of groups is the one of the weights.
fn check_groups(
    given: Option<usize>,
    width: usize,
    groups: usize,
    contradicts: impl Fn(usize) -> SpecError,
) -> Result<(), SpecError> {
    match given {
        Some(0) => Err(SpecError::Zero { parameter: "groups" }),
        Some(given) if given != groups && !width.is_multiple_of(given) => {
            Err(SpecError::GroupsDoNotDivide { what: "width", channels: width, groups: given })
        }
        Some(given) if given != groups => Err(contradicts(given)),
        _ => Ok(()),
    }
}
