//! Differences between a checkpoint and a network.

use std::fmt;

/// How many keys of each kind the message names; the fields hold all of them.
const NAMED: usize = 3;

/// The tensors in which a checkpoint differs from a network, identified by the keys that the
/// checkpoint has or should have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Differences {
    /// Tensors that the network needs, in torchvision's order.
    pub missing: Vec<String>,
    /// Tensors that the network does not have.
    pub unexpected: Vec<String>,
    /// Tensors with the wrong shape, in torchvision's order.
    pub shapes: Vec<ShapeDifference>,
    /// The network that the checkpoint seems to belong to, if any.
    pub looks_like: Option<String>,
}

/// A tensor whose shape differs from the one the network needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeDifference {
    /// The full key.
    pub tensor: String,
    /// The required dimensions.
    pub expected: Vec<usize>,
    /// The dimensions found.
    pub found: Vec<usize>,
}

impl Differences {
    /// Whether there are no differences.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.shapes.is_empty()
    }
}

impl fmt::Display for ShapeDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {:?}, found {:?}", self.tensor, self.expected, self.found)
    }
}

impl fmt::Display for Differences {
    /// One line: counts, and the first few keys of each kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            some("missing", &self.missing),
            some("unexpected", &self.unexpected),
            some("of another shape", &self.shapes),
        ];
        f.write_str(&kinds.into_iter().flatten().collect::<Vec<_>>().join("; "))?;
        match &self.looks_like {
            Some(network) => write!(f, "; it is one of {network}"),
            None => Ok(()),
        }
    }
}

/// "5 tensors missing (a, b, c, ...)"; `None` for an empty list.
fn some<T: fmt::Display>(what: &str, items: &[T]) -> Option<String> {
    let named: Vec<String> = items.iter().take(NAMED).map(T::to_string).collect();
    let (plural, more) =
        (if items.len() == 1 { "" } else { "s" }, if items.len() > NAMED { ", ..." } else { "" });
    (!items.is_empty())
        .then(|| format!("{} tensor{plural} {what} ({}{more})", items.len(), named.join(", ")))
}
