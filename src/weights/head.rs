//! What follows the pooling: the tensors of a checkpoint that are not the network's trunk.

use std::collections::BTreeMap;

use super::Shapes;

/// Last parts of the names of classifiers, without indices. A linear layer without a bias is a
/// classifier only under one of these names: losses have such layers too.
const CLASSIFIERS: [&str; 7] =
    ["fc", "last_linear", "classifier", "head", "linear", "logits", "probe"];

/// Parts of the names of layers whose outputs are no classes.
const EMBEDDINGS: [&str; 4] = ["embed", "proj", "neck", "margin"];

/// What follows the pooling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// Nothing with parameters.
    None,
    /// A single linear layer.
    Linear {
        /// The key of its weights.
        weight: String,
        /// The key of its bias, if it has one.
        bias: Option<String>,
        /// Its outputs.
        classes: usize,
    },
    /// Something else: the keys of its layers' first tensors.
    Other(Vec<String>),
}

impl Head {
    /// The outputs of a single linear layer.
    pub(super) fn classes(&self) -> Option<usize> {
        match self {
            Self::Linear { classes, .. } => Some(*classes),
            Self::None | Self::Other(_) => None,
        }
    }
}

/// The tensors next to the trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extras {
    pub head: Head,
    /// The key of a learned exponent of the pooling (GeM).
    pub exponent: Option<String>,
    /// Modules that are not used, each named by the key of its first tensor.
    pub ignored: Vec<String>,
}

/// A module's tensors: the last part of each key, and its dimensions.
type Parts<'a> = BTreeMap<&'a str, &'a [usize]>;

impl Extras {
    /// Sorts the tensors with these keys, for a trunk with this number of output channels.
    pub fn of<'a>(
        dict: &'a impl Shapes,
        keys: impl Iterator<Item = &'a str>,
        features: usize,
    ) -> Self {
        let mut modules: BTreeMap<&str, Parts<'_>> = BTreeMap::new();
        for key in keys {
            let (module, part) = key.rsplit_once('.').unwrap_or(("", key));
            modules.entry(module).or_default().insert(part, dict.dims(key).unwrap_or_default());
        }
        let exponent = modules.iter().find_map(|(module, parts)| exponent(module, parts));
        let layers: Vec<(&str, &Parts<'_>)> = modules
            .iter()
            .filter(|(_, parts)| is_layer(parts))
            .map(|(module, parts)| (*module, parts))
            .collect();
        let head = match layers[..] {
            [] => Head::None,
            [(module, parts)] => linear(module, parts, features),
            _ => {
                Head::Other(layers.iter().map(|(module, parts)| first_key(module, parts)).collect())
            }
        };
        let used = match &head {
            Head::Linear { weight, .. } => weight.rsplit_once('.').map(|(module, _)| module),
            Head::None | Head::Other(_) => None,
        };
        let ignored = modules.keys().filter(|module| Some(**module) != used);
        let names = |module: &&str| match *module {
            "" => modules[""].keys().map(|part| (*part).to_owned()).collect(),
            module => vec![first_key(module, &modules[module])],
        };
        let ignored = ignored.flat_map(names).collect();
        Self { head, exponent, ignored }
    }
}

/// Whether a module computes something: it has weights, or it normalises.
fn is_layer(parts: &Parts<'_>) -> bool {
    let has_weights = parts.iter().any(|(part, dims)| part.contains("weight") && dims.len() > 1);
    let vector = |part: &str| parts.get(part).is_some_and(|dims| dims.len() == 1);
    has_weights || parts.contains_key("running_mean") || (vector("weight") && vector("bias"))
}

/// The head that a single layer is.
fn linear(module: &str, parts: &Parts<'_>, features: usize) -> Head {
    let key =
        |part: &str| if module.is_empty() { part.to_owned() } else { format!("{module}.{part}") };
    let other = || Head::Other(vec![first_key(module, parts)]);
    let classes = match parts.get("weight").copied() {
        Some(&[classes, inputs] | &[classes, inputs, 1, 1])
            if inputs == features && classes > 0 =>
        {
            classes
        }
        _ => return other(),
    };
    let bias = match parts.get("bias").copied() {
        None => None,
        Some(&[outputs]) if outputs == classes => Some(key("bias")),
        Some(_) => return other(),
    };
    let mut segments = module.rsplit('.');
    let named = segments.find(|segment| segment.parse::<usize>().is_err()).unwrap_or_default();
    if EMBEDDINGS.iter().any(|part| named.contains(part)) {
        return other();
    }
    // Children of a Sequential have no other name.
    if bias.is_none() && !CLASSIFIERS.contains(&named) && !named.is_empty() {
        return other();
    }
    Head::Linear { weight: key("weight"), bias, classes }
}

fn first_key(module: &str, parts: &Parts<'_>) -> String {
    let part =
        if parts.contains_key("weight") { Some("weight") } else { parts.keys().next().copied() };
    match (module, part.unwrap_or_default()) {
        ("", part) => part.to_owned(),
        (module, part) => format!("{module}.{part}"),
    }
}

/// The key of a pooling's exponent: a single number `p` of a module that pools.
fn exponent(module: &str, parts: &Parts<'_>) -> Option<String> {
    let numbers: usize = parts.get("p")?.iter().product();
    let last = module.rsplit('.').next().unwrap_or_default().to_lowercase();
    (numbers == 1 && (last.contains("pool") || last.contains("gem"))).then(|| format!("{module}.p"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(tensors: &[(&str, &[usize])]) -> Extras {
        let dict: BTreeMap<String, Vec<usize>> =
            tensors.iter().map(|(key, dims)| ((*key).to_owned(), dims.to_vec())).collect();
        Extras::of(&dict, tensors.iter().map(|(key, _)| *key), 8)
    }

    fn other(keys: &[&str]) -> Head {
        Head::Other(keys.iter().map(|key| (*key).to_owned()).collect())
    }

    #[test]
    fn one_linear_layer_is_a_classifier() {
        let linear = |weight: &str, bias: Option<&str>, classes| Head::Linear {
            weight: weight.to_owned(),
            bias: bias.map(str::to_owned),
            classes,
        };
        let found = head(&[("fc.weight", &[5, 8]), ("fc.bias", &[5]), ("crit.weight", &[5])]);
        assert_eq!(found.head, linear("fc.weight", Some("fc.bias"), 5));
        assert_eq!(found.ignored, ["crit.weight"]);
        assert_eq!(
            head(&[("m.fc.1.weight", &[3, 8, 1, 1])]).head,
            linear("m.fc.1.weight", None, 3)
        );
        assert_eq!(head(&[("1.weight", &[3, 8])]).head, linear("1.weight", None, 3));
        assert_eq!(head(&[]).head, Head::None);
    }

    #[test]
    fn other_heads_are_named() {
        assert_eq!(head(&[("margin.weight", &[5, 8])]).head, other(&["margin.weight"]));
        assert_eq!(head(&[("fc.weight", &[5, 7])]).head, other(&["fc.weight"]));
        let mlp = head(&[("fc.0.weight", &[8, 8]), ("fc.0.bias", &[8]), ("fc.2.weight", &[5, 8])]);
        assert_eq!(mlp.head, other(&["fc.0.weight", "fc.2.weight"]));
        assert_eq!(mlp.ignored, ["fc.0.weight", "fc.2.weight"]);
        let neck = head(&[("neck.weight", &[8]), ("neck.bias", &[8]), ("fc.weight", &[5, 8])]);
        assert_eq!(neck.head, other(&["fc.weight", "neck.weight"]));
    }

    #[test]
    fn an_exponent_belongs_to_a_pooling() {
        assert_eq!(head(&[("pool.p", &[1])]).exponent.as_deref(), Some("pool.p"));
        assert_eq!(head(&[("gem.p", &[])]).exponent.as_deref(), Some("gem.p"));
        assert_eq!(head(&[("drop.p", &[1]), ("pool.p", &[8])]).exponent, None);
    }
}
