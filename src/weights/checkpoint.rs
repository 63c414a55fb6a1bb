//! Finds the network of a checkpoint, and the key of each of its tensors.

use std::collections::BTreeMap;

use super::detect::Tensors;
use super::foreign::other_network;
use super::head::{Extras, Head};
use super::search::{Place, is_average, places};
use super::{CheckpointOptions, Naming, Shapes};
use crate::error::{Error, Result, WeightsError};
use crate::network::ResNet;

/// A network found in a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    network: ResNet,
    prefix: String,
    naming: Naming,
    keys: BTreeMap<String, String>,
    extras: Extras,
    averages: Vec<String>,
}

/// The network at a place.
struct Found<'a> {
    tensors: Tensors<'a>,
    network: ResNet,
}

impl Checkpoint {
    /// Detects the network of a checkpoint: depths, widths, groups, classes and block kind from the
    /// shapes, strides and dilations from the options. The prefix is the one under which all
    /// tensors of a network exist; without such a prefix in the options there must be only one, not
    /// counting averages of its weights (EMA). Names may follow torchvision, Hugging Face,
    /// detectron2 or `nn.Sequential(*children)`. Other tensors are ignored
    /// ([`Checkpoint::ignored`]), and `num_batches_tracked` is optional.
    ///
    /// # Errors
    /// [`WeightsError::SeveralNetworks`]; [`WeightsError::NoNetwork`];
    /// [`WeightsError::ForeignPart`] for a part that a ResNet does not have;
    /// [`WeightsError::Missing`] and [`WeightsError::Shape`] for tensors that are needed for the
    /// detection; [`WeightsError::Network`] if the other tensors do not fit the detected network;
    /// [`WeightsError::Dilated`] for a backbone of a segmentation head that dilates it; a
    /// [`SpecError`](crate::error::SpecError) if such a network is invalid.
    pub fn detect(dict: &impl Shapes, options: &CheckpointOptions) -> Result<Self> {
        let prefix = options.prefix.as_deref();
        let (found, averages) = choose(dict, prefix, |tensors| {
            let network = tensors.network(options, None)?;
            let differences = tensors.differences(&network);
            if differences.is_empty() {
                return Ok(Found { tensors, network });
            }
            let classes = extras(dict, &tensors, &network, prefix).head.classes();
            let network = tensors.network(options, classes)?.to_string();
            let differences = Box::new(differences);
            Err(WeightsError::Network { network, differences }.into())
        })?;
        let Found { tensors, network } = found;
        let extras = extras(dict, &tensors, &network, prefix);
        if options.replace_stride_with_dilation.is_none() {
            check_dilation(&extras)?;
        }
        let network = tensors.network(options, extras.head.classes())?;
        Ok(Self::of(tensors, network, extras, averages))
    }

    /// The keys of a known network. A prefix of `None` is chosen as by [`Checkpoint::detect`].
    ///
    /// # Errors
    /// As [`Checkpoint::detect`]; [`WeightsError::Network`] lists the differences and, if the
    /// checkpoint contains another network, names it.
    pub fn matching(dict: &impl Shapes, network: &ResNet, prefix: Option<&str>) -> Result<Self> {
        let (found, averages) = choose(dict, prefix, |tensors| {
            let extras = extras(dict, &tensors, network, prefix);
            let mut differences = tensors.differences(network);
            tensors.compare_head(network, &extras.head, &mut differences);
            if differences.is_empty() {
                return Ok(Found { tensors, network: network.clone() });
            }
            differences.looks_like = tensors.looks_like(network.norm(), &extras.head);
            let (network, differences) = (network.to_string(), Box::new(differences));
            Err(WeightsError::Network { network, differences }.into())
        })?;
        let Found { tensors, network } = found;
        let extras = extras(dict, &tensors, &network, prefix);
        Ok(Self::of(tensors, network, extras, averages))
    }

    fn of(tensors: Tensors<'_>, network: ResNet, extras: Extras, averages: Vec<String>) -> Self {
        let Tensors { place: Place { prefix, naming }, named, .. } = tensors;
        let mut keys: BTreeMap<String, String> =
            named.into_iter().map(|(name, (key, _))| (name, key.to_owned())).collect();
        if let Head::Linear { weight, bias, .. } = &extras.head {
            keys.insert("fc.weight".to_owned(), weight.clone());
            keys.extend(bias.clone().map(|bias| ("fc.bias".to_owned(), bias)));
        }
        Self { network, prefix, naming, keys, extras, averages }
    }

    /// The same without the linear layer.
    pub(super) fn without_head(self) -> Self {
        Self { network: self.network.without_classes(), ..self }
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &ResNet {
        &self.network
    }

    /// The prefix of the keys of stem and blocks, including wrappers; empty, or ending in a dot.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The naming convention of its keys.
    #[must_use]
    pub fn naming(&self) -> Naming {
        self.naming
    }

    /// The checkpoint's key for a tensor by torchvision's name (`layer1.0.conv1.weight`), or `None`
    /// if there is none.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&str> {
        self.keys.get(name).map(String::as_str)
    }

    /// Every tensor as torchvision's name and the checkpoint's key, in the order of the names.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &str)> {
        self.keys.iter().map(|(name, key)| (name.as_str(), key.as_str()))
    }

    /// What follows the pooling.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.extras.head
    }

    /// The key of a learned exponent of the pooling (GeM), if there is one. The pooling of a
    /// [`ResNet`] is the mean, so that only the feature maps of such a network are right.
    #[must_use]
    pub fn pooling_exponent(&self) -> Option<&str> {
        self.extras.exponent.as_deref()
    }

    /// The modules of the checkpoint that are not used, each named by the key of its first tensor.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.extras.ignored
    }

    /// The prefixes of averages (EMA) of the same network's weights, which are not used.
    #[must_use]
    pub fn averages(&self) -> &[String] {
        &self.averages
    }
}

/// The only network of a checkpoint, and the prefixes of averages of it. `check` decides whether a
/// place has a whole network.
fn choose<'a>(
    dict: &'a impl Shapes,
    prefix: Option<&str>,
    check: impl Fn(Tensors<'a>) -> Result<Found<'a>>,
) -> Result<(Found<'a>, Vec<String>)> {
    let mut candidates = places(dict);
    let all: Vec<String> = candidates.iter().map(|place| place.prefix.clone()).collect();
    if let Some(prefix) = prefix {
        let wanted = dotted(prefix);
        candidates.retain(|place| place.prefix == wanted);
    }
    let (mut whole, mut refused) = (Vec::new(), None::<Error>);
    for place in candidates {
        match Tensors::new(dict, place).map_err(Error::from).and_then(&check) {
            Ok(found) => whole.push(found),
            Err(error) => _ = refused.get_or_insert(error),
        }
    }
    let mut averages = Vec::new();
    if whole.len() > 1 {
        let (average, plain): (Vec<_>, Vec<_>) =
            whole.into_iter().partition(|found| is_average(&found.tensors.place.prefix));
        whole = if plain.is_empty() {
            average
        } else {
            averages = average.into_iter().map(|found| found.tensors.place.prefix).collect();
            plain
        };
    }
    match (whole.pop(), whole.is_empty()) {
        (Some(found), true) => Ok((found, averages)),
        (Some(last), false) => {
            let all = whole.iter().chain([&last]).map(|found| &found.tensors.place.prefix);
            let prefixes = all.map(|prefix| format!("--prefix {}", quoted(prefix))).collect();
            Err(WeightsError::SeveralNetworks { selectors: prefixes }.into())
        }
        (None, _) => Err(refused.unwrap_or_else(|| nothing(dict, prefix, &all).into())),
    }
}

/// A name as an argument of a shell.
pub(super) fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if !name.is_empty() && name.chars().all(is_plain) {
        return name.to_owned();
    }
    format!("'{}'", name.escape_debug().to_string().replace('\'', "'\\''"))
}

/// A prefix that ends with a dot, or is empty.
fn dotted(prefix: &str) -> String {
    let dot = if prefix.is_empty() || prefix.ends_with('.') { "" } else { "." };
    format!("{prefix}{dot}")
}

/// The error for a checkpoint, or a prefix of it, without any block of a ResNet.
fn nothing(dict: &impl Shapes, prefix: Option<&str>, places: &[String]) -> WeightsError {
    let keys = || dict.keys().filter(|key| key.contains('.'));
    let hint = match (prefix, places) {
        (Some(prefix), []) => format!("no key begins with {prefix}layer1.0."),
        (Some(prefix), places) => {
            let names = places.iter().take(4).map(|place| match place.as_str() {
                "" => "none (leave the option out)",
                place => place,
            });
            format!(
                "none at prefix {}; prefixes with a network: {}",
                dotted(prefix),
                names.collect::<Vec<_>>().join(", ")
            )
        }
        (None, _) => {
            let looks = match other_network(dict) {
                Some((family, key)) => format!("{key} is that of {family}"),
                None => "no key ends in layer1.0.conv1.weight".to_owned(),
            };
            format!("{looks}; keys: {}", keys().take(4).collect::<Vec<_>>().join(", "))
        }
    };
    WeightsError::NoNetwork { hint }
}

/// The tensors next to a network's trunk. With a given prefix, other keys belong to other modules.
fn extras<'a>(
    dict: &'a impl Shapes,
    tensors: &Tensors<'a>,
    network: &ResNet,
    prefix: Option<&str>,
) -> Extras {
    let others: Vec<String> = places(dict)
        .into_iter()
        .map(|place| place.prefix)
        // A network at the root or around this one does not make its tensors another's.
        .filter(|other| *other != tensors.place.prefix && !tensors.place.prefix.starts_with(other))
        .collect();
    let is_others = |key: &str| others.iter().any(|other| key.starts_with(other.as_str()));
    tensors.extras(dict, network, |key| !is_others(key), |key| prefix.is_none() && !is_others(key))
}

/// Refuses the backbone of a head of torchvision's DeepLab or FCN, whose last two stages dilate:
/// shapes do not show that.
fn check_dilation(extras: &Extras) -> Result<(), WeightsError> {
    let has = |key: &str| extras.ignored.iter().any(|ignored| ignored == key);
    // FCN's head is two convolutions, with a norm between them.
    let is_fcn = has("classifier.0.weight") && has("classifier.4.weight");
    let dilates = |module: &&String| {
        module.starts_with("classifier.0.convs.")
            || module.starts_with("aux_classifier.")
            || (is_fcn && *module == "classifier.0.weight")
    };
    match extras.ignored.iter().find(dilates) {
        None => Ok(()),
        Some(module) => Err(WeightsError::Dilated { module: module.clone() }),
    }
}
