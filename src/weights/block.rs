//! One Bottleneck out of a state dict: its specification from options and shapes, its tensors, and the parameters of each
//! step of a plan.

use super::StateDict;
use super::fold::{self, Affine};
use crate::error::{Result, SpecError, WeightsError};
use crate::network::{Bottleneck, Norm};
use crate::op::{Conv, Op, StepParams};
use crate::plan::{Plan, Role};

/// What a state dict does not say of its block. `None` means: take it from the shapes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockOptions {
    /// Stride of the 3x3 convolution and the downsample.
    pub stride: usize,
    /// Dilation and padding of the 3x3 convolution.
    pub dilation: usize,
    /// Groups of the 3x3 convolution; must agree with `conv2.weight`.
    pub groups: Option<usize>,
    /// Base width; must give the width that `conv2.weight` has.
    pub base_width: Option<usize>,
    /// The norm layer.
    pub norm: Norm,
}

impl Default for BlockOptions {
    fn default() -> Self {
        Self { stride: 1, dilation: 1, groups: None, base_width: None, norm: Norm::default() }
    }
}

/// A convolution's weights and the norm behind it.
#[derive(Debug, Clone, PartialEq)]
struct Layer {
    conv_key: String,
    norm_key: String,
    weight: Vec<f32>,
    norm: Affine,
}

/// A Bottleneck with its weights, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    spec: Bottleneck,
    conv1: Layer,
    conv2: Layer,
    conv3: Layer,
    downsample: Option<Layer>,
}

impl Block {
    /// The block whose keys begin with `prefix` (empty, or e.g. `layer2.0.`; the last dot may be left out). Planes come from
    /// `conv3.weight`, inplanes from `conv1.weight`, groups and width from `conv2.weight`; a downsample is there if its keys
    /// are. A BatchNorm without affine parameters is one where no norm of the block has `weight` or `bias`.
    ///
    /// # Errors
    /// A [`WeightsError`] that names the tensor, or a [`SpecError`] that names the parameter.
    pub fn from_state_dict(dict: &StateDict, prefix: &str, options: &BlockOptions) -> Result<Self> {
        let dot = if prefix.is_empty() || prefix.ends_with('.') { "" } else { "." };
        let reader = Reader { dict, prefix: format!("{prefix}{dot}"), norm: options.norm };
        let spec = reader.spec(options)?;
        reader.check_norm_keys(&spec)?;
        let affine = reader.has_affine(&spec)?;
        let layer = |conv: Conv, conv_key: &str, norm_key: &str| reader.layer(conv, conv_key, norm_key, affine);
        let downsample = spec.downsample_conv().map(|conv| layer(conv, "downsample.0", "downsample.1")).transpose()?;
        Ok(Self {
            spec,
            conv1: layer(spec.conv1(), "conv1", "bn1")?,
            conv2: layer(spec.conv2(), "conv2", "bn2")?,
            conv3: layer(spec.conv3(), "conv3", "bn3")?,
            downsample,
        })
    }

    /// Its specification.
    #[must_use]
    pub fn spec(&self) -> &Bottleneck {
        &self.spec
    }

    /// The parameters of every step of a plan of these blocks, in order.
    ///
    /// # Errors
    /// [`WeightsError::FoldOverflow`].
    pub fn params(blocks: &[Self], plan: &Plan) -> Result<Vec<StepParams>, WeightsError> {
        plan.steps.iter().map(|step| blocks[step.block].step_params(step.role, &step.op)).collect()
    }

    fn step_params(&self, role: Role, op: &Op) -> Result<StepParams, WeightsError> {
        let layer = match role {
            Role::Conv1 | Role::Bn1 => &self.conv1,
            Role::Conv2 | Role::Bn2 => &self.conv2,
            Role::Conv3 | Role::Bn3 => &self.conv3,
            Role::Downsample | Role::DownsampleBn => match &self.downsample {
                Some(layer) => layer,
                None => return Ok(StepParams::None),
            },
            Role::Add => return Ok(StepParams::None),
        };
        match (op, &self.downsample) {
            (Op::Conv { epilogue, .. }, _) if !epilogue.bias => {
                Ok(StepParams::Conv { weight: layer.weight.clone(), bias: Vec::new() })
            }
            (Op::Conv { .. }, _) => {
                Ok(StepParams::Conv { weight: layer.folded()?, bias: fold::round(&layer.norm.shift, &layer.norm_key)? })
            }
            (Op::JoinedConv { .. }, Some(shortcut)) => {
                let both: Vec<f64> = layer.norm.shift.iter().zip(&shortcut.norm.shift).map(|(a, b)| a + b).collect();
                let bias = fold::round(&both, &layer.norm_key)?;
                Ok(StepParams::JoinedConv { main: layer.folded()?, shortcut: shortcut.folded()?, bias })
            }
            (Op::BatchNorm { .. }, _) => {
                let (scale, shift) = layer.norm.rounded(&layer.norm_key)?;
                Ok(StepParams::Affine { scale, shift })
            }
            (Op::JoinedConv { .. } | Op::Add { .. }, _) => Ok(StepParams::None),
        }
    }
}

impl Layer {
    fn folded(&self) -> Result<Vec<f32>, WeightsError> {
        fold::fold(&self.weight, &self.norm, &self.conv_key)
    }
}

/// Reads one block's tensors.
struct Reader<'a> {
    dict: &'a StateDict,
    prefix: String,
    norm: Norm,
}

impl Reader<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn has(&self, name: &str) -> bool {
        self.dict.dims(&self.key(name)).is_some()
    }

    /// The dimensions of a convolution's weight, which must be four and not zero, with a kernel of this side.
    fn conv_dims(&self, name: &str, side: usize) -> Result<[usize; 4], WeightsError> {
        let tensor = self.key(name);
        let missing = || WeightsError::Missing { tensor: tensor.clone(), hint: self.prefix_hint() };
        let found = self.dict.dims(&tensor).ok_or_else(missing)?;
        match found[..] {
            [o, i, h, w] if o != 0 && i != 0 && [h, w] == [side, side] => Ok([o, i, h, w]),
            _ => {
                let expected = format!("[out, in, {side}, {side}] without zeros");
                Err(WeightsError::Shape { tensor, expected, found })
            }
        }
    }

    /// Where else a block begins in this file, for a user who forgot the prefix.
    fn prefix_hint(&self) -> String {
        let keys = self.dict.keys().unwrap_or_default();
        let mut prefixes: Vec<&str> = keys.iter().filter_map(|key| key.strip_suffix("conv3.weight")).collect();
        prefixes.sort_unstable();
        match prefixes[..] {
            [] => " (no key of this file ends in conv3.weight)".to_owned(),
            [""] => " (the file holds one block without a prefix)".to_owned(),
            _ => {
                let some = prefixes.iter().take(4).copied().collect::<Vec<_>>().join(", ");
                format!(" (prefixes of blocks in this file: {some}{})", if prefixes.len() > 4 { ", ..." } else { "" })
            }
        }
    }

    /// The specification that the shapes and the options give together.
    fn spec(&self, options: &BlockOptions) -> Result<Bottleneck> {
        let [width, inplanes, ..] = self.conv_dims("conv1.weight", 1)?;
        let [_, in_per_group, ..] = self.conv_dims("conv2.weight", 3)?;
        let [outplanes, ..] = self.conv_dims("conv3.weight", 1)?;
        let planes = outplanes / crate::network::EXPANSION;
        if planes * crate::network::EXPANSION != outplanes {
            let expected = "[4 * planes, width, 1, 1]".to_owned();
            let found = self.dict.dims(&self.key("conv3.weight")).unwrap_or_default();
            return Err(WeightsError::Shape { tensor: self.key("conv3.weight"), expected, found }.into());
        }
        let tensor = self.key("conv2.weight");
        let contradicts =
            |parameter, given, found| SpecError::Contradicts { parameter, given, tensor: tensor.clone(), found };
        if width % in_per_group != 0 {
            let what = "conv2 (width, groups by its weight's shape)";
            return Err(SpecError::GroupsDoNotDivide { what, channels: width, groups: in_per_group }.into());
        }
        let groups = width / in_per_group;
        if let Some(given) = options.groups.filter(|&given| given != groups) {
            if given == 0 {
                return Err(SpecError::Zero { parameter: "groups" }.into());
            }
            if width % given != 0 {
                return Err(SpecError::GroupsDoNotDivide { what: "width", channels: width, groups: given }.into());
            }
            return Err(contradicts("groups", given, format!("groups {groups} ({in_per_group} channels each)")).into());
        }
        // int(planes * base_width / 64) = channels per group has several solutions; any gives the same block.
        let base_width = match options.base_width {
            Some(base_width) => base_width,
            None => (in_per_group * 64).div_ceil(planes),
        };
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
            let found = format!("width {width}, which that gives {} of", spec.width());
            return Err(contradicts("base_width", base_width, found).into());
        }
        Ok(spec)
    }

    /// Refuses shortcuts that are not one strided 1x1 convolution and its norm.
    fn check_shortcut(&self) -> Result<(), WeightsError> {
        let refuse = |name: &str, what| Err(WeightsError::Shortcut { tensor: self.key(name), what });
        match self.dict.dims(&self.key("downsample.1.weight")) {
            Some(dims) if dims.len() == 4 => {
                return refuse("downsample.1.weight", "a pooled (ResNet-D) shortcut: AvgPool2d before the convolution");
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
                Err(WeightsError::Missing { tensor: self.key("downsample.0.weight"), hint: String::new() })
            }
            None => Ok(()),
        }
    }

    fn norm_keys(spec: &Bottleneck) -> &'static [&'static str] {
        if spec.has_downsample() { &["bn1", "bn2", "bn3", "downsample.1"] } else { &["bn1", "bn2", "bn3"] }
    }

    /// Identity has no keys; batch statistics (no running statistics anywhere) are named as what they are.
    fn check_norm_keys(&self, spec: &Bottleneck) -> Result<()> {
        let norms = Self::norm_keys(spec);
        if self.norm == Norm::Identity {
            for norm in norms {
                for part in ["weight", "bias", "running_mean", "running_var"] {
                    let name = format!("{norm}.{part}");
                    if self.has(&name) {
                        let why = "norm Identity has no tensors: is the block's norm another one?";
                        return Err(WeightsError::Unexpected { tensor: self.key(&name), why }.into());
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

    /// Whether the norms have gamma and beta: all of them or none, and FrozenBatchNorm2d always.
    fn has_affine(&self, spec: &Bottleneck) -> Result<bool, WeightsError> {
        let parts =
            || Self::norm_keys(spec).iter().flat_map(|norm| ["weight", "bias"].map(|part| format!("{norm}.{part}")));
        let none = parts().all(|name| !self.has(&name));
        Ok(!(none && matches!(self.norm, Norm::BatchNorm2d { .. })))
    }

    fn layer(&self, conv: Conv, conv_name: &str, norm_name: &str, affine: bool) -> Result<Layer, WeightsError> {
        let side = if conv.taps() == 9 { 3 } else { 1 };
        let conv_key = self.key(&format!("{conv_name}.weight"));
        let weight = self.dict.weight(&conv_key, &[conv.out_channels, conv.in_per_group(), side, side])?;
        let bias = format!("{conv_name}.bias");
        if self.has(&bias) {
            let why = "the convolutions of a Bottleneck have no bias";
            return Err(WeightsError::Unexpected { tensor: self.key(&bias), why });
        }
        let norm = self.affine(norm_name, conv.out_channels, affine)?;
        Ok(Layer { conv_key, norm_key: self.key(norm_name), weight, norm })
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
        let (gamma, beta) = if affine { (part("weight")?, part("bias")?) } else { (ones()?, vec![0.0; channels]) };
        let scale: Vec<f64> = gamma
            .iter()
            .zip(&variance)
            .map(|(&gamma, &var)| f64::from(gamma) / (f64::from(var) + eps).sqrt())
            .collect();
        let terms = beta.iter().zip(&mean).zip(&scale);
        let shift = terms.map(|((&beta, &mean), scale)| f64::from(beta) - f64::from(mean) * scale).collect();
        Ok(Affine { scale, shift })
    }
}
