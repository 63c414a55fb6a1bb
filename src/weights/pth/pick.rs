//! Selects the state dict among the dicts of a checkpoint.

use std::collections::{BTreeMap, HashSet};

use super::value::{Node, Object, Tensor, Value};
use crate::error::PthError;

/// Keys under which training scripts store a state dict, in the order in which they are tried.
/// Averages of the weights come last.
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
const MAX_DEPTH: usize = 4;

/// Maximum bytes in the key of a tensor.
const MAX_KEY: usize = 4096;

type Pairs<'p, 'a> = &'p [(Value<'a>, Value<'a>)];

/// A state dict: its tensors, and a description of the values of its other keys.
#[derive(Debug, Default)]
pub(super) struct Picked<'p, 'a> {
    pub tensors: BTreeMap<&'a str, &'p Tensor<'a>>,
    pub others: BTreeMap<&'a str, String>,
    /// The name of the network (`arch`) that training scripts store.
    pub arch: Option<&'a str>,
}

/// The state dict of a checkpoint: the first of [`WRAPPERS`] that holds one, or the object itself.
pub(super) fn pick<'p, 'a>(object: &'p Object<'a>) -> Result<Picked<'p, 'a>, PthError> {
    if let Some(class) = class(object, object.root) {
        return Err(PthError::WholeModel { place: "the file is".to_owned(), class });
    }
    let Some(top) = object.dict(object.root) else {
        return Err(PthError::NotADict { found: object.kind(object.root) });
    };
    if let Some(Found { pairs, arch }) = find(object, object.root, MAX_DEPTH, &mut HashSet::new()) {
        return Ok(Picked { arch, ..sort(object, pairs)? });
    }
    for wrapper in WRAPPERS {
        if let Some(class) = get(top, wrapper).and_then(|value| class(object, value)) {
            return Err(PthError::WholeModel { place: format!("its key {wrapper} holds"), class });
        }
    }
    let keys =
        top.iter().take(8).map(|(key, _)| if let Value::Str(key) = key { *key } else { "?" });
    let keys = keys.map(|key| key.chars().take(64).collect()).collect::<Vec<String>>().join(", ");
    Err(PthError::NoTensors { looked: WRAPPERS.join(", "), keys })
}

/// A dict with tensors, and the `arch` of this dict or of the nearest enclosing dict that has one.
struct Found<'p, 'a> {
    pairs: Pairs<'p, 'a>,
    arch: Option<&'a str>,
}

/// The dict that holds tensors: a wrapped one first, as `{"state_dict": ..., "best": tensor}` has a
/// tensor next to it. Each dict is visited once, since it may contain itself.
fn find<'p, 'a>(
    object: &'p Object<'a>,
    value: Value<'a>,
    depth: usize,
    seen: &mut HashSet<usize>,
) -> Option<Found<'p, 'a>> {
    let (Value::Node(at), Some(pairs)) = (value, object.dict(value)) else { return None };
    if depth == 0 || !seen.insert(at) {
        return None;
    }
    let wrapped =
        WRAPPERS.iter().find_map(|wrapper| find(object, get(pairs, wrapper)?, depth - 1, seen));
    let holds_tensors = |(key, value): &(Value<'a>, Value<'a>)| {
        matches!(key, Value::Str(_)) && matches!(object.node(*value), Some(Node::Tensor(_)))
    };
    let found = wrapped
        .or_else(|| pairs.iter().any(holds_tensors).then_some(Found { pairs, arch: None }))?;
    let arch = match get(pairs, "arch") {
        Some(Value::Str(name)) => Some(name),
        _ => None,
    };
    Some(Found { arch: found.arch.or(arch), ..found })
}

/// The value of a key. As in Python, the last one counts.
fn get<'a>(pairs: Pairs<'_, 'a>, wanted: &str) -> Option<Value<'a>> {
    pairs.iter().rev().find(|(key, _)| *key == Value::Str(wanted)).map(|(_, value)| *value)
}

/// The class of an opaque object.
fn class(object: &Object<'_>, value: Value<'_>) -> Option<String> {
    match value {
        Value::Node(at) => match object.nodes.get(at)? {
            Node::Opaque(name) => Some(name.to_string()),
            _ => None,
        },
        _ => None,
    }
}

fn sort<'p, 'a>(object: &'p Object<'a>, pairs: Pairs<'p, 'a>) -> Result<Picked<'p, 'a>, PthError> {
    let mut picked = Picked::default();
    for &(key, value) in pairs {
        let Value::Str(key) = key else { continue };
        if key.len() > MAX_KEY {
            return Err(PthError::Limit {
                what: "bytes in a key",
                found: key.len(),
                limit: MAX_KEY,
            });
        }
        picked.tensors.remove(key);
        picked.others.remove(key);
        match object.node(value) {
            Some(Node::Tensor(tensor)) => _ = picked.tensors.insert(key, tensor),
            _ => {
                let found = class(object, value).unwrap_or_else(|| object.kind(value).to_owned());
                picked.others.insert(key, found);
            }
        }
    }
    Ok(picked)
}
