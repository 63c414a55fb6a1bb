//! Selects the state dict among the dicts of a checkpoint.

use std::collections::{BTreeMap, HashSet};

use super::value::{Node, Object, Tensor, Value};
use crate::error::PthError;

/// Keys under which training scripts store a state dict, in the order in which they are tried in a
/// file without a network. Averages of the weights come last.
pub(super) const WRAPPERS: [&str; 14] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "backbone",
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
];

/// Maximum nesting of a state dict, as in `{"model": {"state_dict": ...}}`.
const MAX_DEPTH: usize = 8;

/// Maximum number of dicts that are looked at. An optimiser has one for each parameter.
const MAX_DICTS: usize = 50_000;

/// Maximum bytes in the key of a tensor.
const MAX_KEY: usize = 4096;

type Pairs<'p, 'a> = &'p [(Value<'a>, Value<'a>)];

/// A dict of the file that holds tensors.
pub(super) struct Candidate<'p, 'a> {
    /// The keys that lead to it, joined by dots; empty for the file's object.
    pub path: String,
    /// The name of the network (`arch`) in this dict or in the nearest one around it that has one.
    pub arch: Option<&'a str>,
    pairs: Pairs<'p, 'a>,
}

/// A state dict: its tensors, and a description of the values of its other keys.
#[derive(Debug, Default)]
pub(super) struct Sorted<'p, 'a> {
    pub tensors: BTreeMap<&'a str, &'p Tensor<'a>>,
    pub others: BTreeMap<&'a str, String>,
}

/// Every dict that holds tensors: the file's object and the dicts in it. Each dict is visited once,
/// since it may contain itself.
pub(super) fn candidates<'p, 'a>(object: &'p Object<'a>) -> Vec<Candidate<'p, 'a>> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    let mut next = vec![(object.root, String::new(), None::<&'a str>, 0)];
    while let Some((value, path, arch, depth)) = next.pop() {
        let (Value::Node(at), Some(pairs)) = (value, object.dict(value)) else { continue };
        if depth > MAX_DEPTH || seen.len() >= MAX_DICTS || !seen.insert(at) {
            continue;
        }
        let arch = match get(pairs, "arch") {
            Some(Value::Str(name)) => Some(name),
            _ => arch,
        };
        let holds_tensor = |(key, value): &(Value<'a>, Value<'a>)| {
            matches!(key, Value::Str(_)) && matches!(object.node(*value), Some(Node::Tensor(_)))
        };
        if pairs.iter().any(holds_tensor) {
            found.push(Candidate { path: path.clone(), arch, pairs });
        }
        for &(key, value) in pairs.iter().rev() {
            let Value::Str(key) = key else { continue };
            if key.len() <= MAX_KEY && object.dict(value).is_some() {
                let dot = if path.is_empty() { "" } else { "." };
                next.push((value, format!("{path}{dot}{key}"), arch, depth + 1));
            }
        }
    }
    found
}

/// The candidate in a file without a network: the candidate whose path begins with the earliest
/// entry of [`WRAPPERS`], else the file's object. A file may have a tensor next to the state dict:
/// `{"state_dict": ..., "best": tensor}`.
pub(super) fn usual(candidates: &[Candidate<'_, '_>]) -> Option<usize> {
    let rank = |candidate: &Candidate<'_, '_>| {
        let ranks = candidate.path.split('.').map(|key| {
            WRAPPERS.iter().position(|wrapper| *wrapper == key).unwrap_or(WRAPPERS.len() + 1)
        });
        match candidate.path.as_str() {
            "" => vec![WRAPPERS.len()],
            _ => ranks.collect(),
        }
    };
    (0..candidates.len()).min_by_key(|&at| rank(&candidates[at])).filter(|&at| {
        let is_usual = |key: &str| key.is_empty() || WRAPPERS.contains(&key);
        candidates.len() == 1 || candidates[at].path.split('.').all(is_usual)
    })
}

/// Why a file has no candidate.
pub(super) fn nothing(object: &Object<'_>) -> PthError {
    if let Some(class) = class(object, object.root) {
        return PthError::WholeModel { place: "the file is".to_owned(), class };
    }
    let Some(top) = object.dict(object.root) else {
        return PthError::NotADict { found: object.kind(object.root) };
    };
    for wrapper in WRAPPERS {
        if let Some(class) = get(top, wrapper).and_then(|value| class(object, value)) {
            return PthError::WholeModel { place: format!("its key {wrapper} holds"), class };
        }
    }
    if get(top, "param_groups").is_some() && get(top, "state").is_some() {
        return PthError::Optimizer;
    }
    PthError::NoTensors { keys: keys(object, top) }
}

/// The first keys of a dict, shortened, and the classes of their objects.
fn keys(object: &Object<'_>, pairs: Pairs<'_, '_>) -> String {
    let shown = pairs.iter().take(8).map(|(key, value)| {
        let key: String = match key {
            Value::Str(key) => key.chars().take(64).collect(),
            _ => "?".to_owned(),
        };
        match class(object, *value) {
            Some(class) => format!("{key} ({class})"),
            None => key,
        }
    });
    shown.collect::<Vec<String>>().join(", ")
}

/// The value of a key. As in Python, the last one counts.
fn get<'a>(pairs: Pairs<'_, 'a>, wanted: &str) -> Option<Value<'a>> {
    pairs.iter().rev().find(|(key, _)| *key == Value::Str(wanted)).map(|(_, value)| *value)
}

/// The class of an opaque object.
fn class(object: &Object<'_>, value: Value<'_>) -> Option<String> {
    match value {
        Value::Node(at) => match object.nodes.get(at)? {
            Node::Opaque(name, pairs) if pairs.is_empty() => Some(name.to_string()),
            _ => None,
        },
        _ => None,
    }
}

impl<'p, 'a> Candidate<'p, 'a> {
    /// Its tensors, and what its other keys hold.
    pub fn sort(&self, object: &'p Object<'a>) -> Result<Sorted<'p, 'a>, PthError> {
        let mut sorted = Sorted::default();
        for &(key, value) in self.pairs {
            let Value::Str(key) = key else { continue };
            if key.len() > MAX_KEY {
                return Err(PthError::Limit {
                    what: "bytes in a key",
                    found: key.len(),
                    limit: MAX_KEY,
                });
            }
            sorted.tensors.remove(key);
            sorted.others.remove(key);
            match object.node(value) {
                Some(Node::Tensor(tensor)) => _ = sorted.tensors.insert(key, tensor),
                _ => {
                    let found =
                        class(object, value).unwrap_or_else(|| object.kind(value).to_owned());
                    sorted.others.insert(key, described(found));
                }
            }
        }
        Ok(sorted)
    }
}

/// A class in words, where its name does not say what it is.
fn described(class: String) -> String {
    match class.as_str() {
        "torch._utils._rebuild_qtensor" => format!("a quantised tensor ({class})"),
        "torch._utils._rebuild_sparse_tensor" => format!("a sparse tensor ({class})"),
        _ => class,
    }
}
