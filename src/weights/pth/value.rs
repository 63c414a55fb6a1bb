//! The data of a pickle while it is read: values on a stack, and the nodes they refer to in an
//! arena.
//!
//! A pickle can make a list that contains itself. In an arena this is an index, not ownership, so
//! nothing here recurses, neither to inspect a value nor to drop it.

use safetensors::Dtype;

/// A value: small and `Copy`, with text borrowed from the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than eight bytes, little-endian two's complement.
    Long(&'a [u8]),
    Float,
    Str(&'a str),
    Bytes(&'a [u8]),
    Node(usize),
}

/// A node that [`Value::Node`] refers to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node<'a> {
    Tuple(Vec<Value<'a>>),
    List(Vec<Value<'a>>),
    /// In the order of the file, including duplicate keys.
    Dict(Vec<(Value<'a>, Value<'a>)>),
    Set,
    /// A class or function by name. It is never looked up.
    Global(Name<'a>),
    Storage(Storage<'a>),
    Tensor(Box<Tensor<'a>>),
    /// A NumPy array whose state has not been set yet.
    ArraySlot,
    /// The element type of a NumPy array.
    Dtype(Dtype),
    /// A text whose characters are the bytes of a NumPy array.
    Encoded(&'a str),
    /// The result of calling an unknown class or function, which was not called, and the pairs that
    /// were set on it: it may be a subclass of a dict.
    Opaque(Name<'a>, Vec<(Value<'a>, Value<'a>)>),
}

/// A Python module and a name in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub module: &'a str,
    pub name: &'a str,
}

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

/// A storage: named in the pickle, with its bytes elsewhere in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage<'a> {
    pub key: &'a str,
    pub dtype: Dtype,
    pub elements: usize,
}

/// A view of a storage, not checked yet: a tensor that is never used may be invalid.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor<'a> {
    pub storage: Storage<'a>,
    /// Index of the first element.
    pub offset: usize,
    pub dims: Vec<usize>,
    /// In elements.
    pub strides: Vec<usize>,
    /// Whether the values in the storage must be negated.
    pub negated: bool,
    /// The values, if they are in the pickle and not in a storage.
    pub inline: Option<Inline<'a>>,
}

/// The bytes of a NumPy array in a pickle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Inline<'a> {
    Bytes(&'a [u8]),
    /// One character per byte: the form in which Python 3 writes bytes in protocol 2.
    Latin1(&'a str),
}

/// The object of a pickle, and the arena with its nodes.
#[derive(Debug)]
pub(super) struct Object<'a> {
    pub root: Value<'a>,
    pub nodes: Vec<Node<'a>>,
    /// Bytes of the pickle, including its last opcode.
    pub bytes: usize,
    /// Steps of the budget that were used.
    pub steps: usize,
}

impl<'a> Object<'a> {
    pub fn node(&self, value: Value<'a>) -> Option<&Node<'a>> {
        match value {
            Value::Node(at) => self.nodes.get(at),
            _ => None,
        }
    }

    /// The pairs of a dict.
    pub fn dict(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        match self.node(value)? {
            Node::Dict(pairs) => Some(pairs),
            Node::Opaque(_, pairs) if !pairs.is_empty() => Some(pairs),
            _ => None,
        }
    }

    /// A description of the kind of a value.
    pub fn kind(&self, value: Value<'a>) -> &'static str {
        match (value, self.node(value)) {
            (Value::None, _) => "None",
            (Value::Bool(_), _) => "a bool",
            (Value::Int(_) | Value::Long(_), _) => "an int",
            (Value::Float, _) => "a float",
            (Value::Str(_), _) => "a str",
            (Value::Bytes(_), _) => "bytes",
            (Value::Node(_), Some(Node::Tuple(_))) => "a tuple",
            (Value::Node(_), Some(Node::List(_))) => "a list",
            (Value::Node(_), Some(Node::Dict(_))) => "a dict",
            (Value::Node(_), Some(Node::Opaque(_, pairs))) if !pairs.is_empty() => "a dict",
            (Value::Node(_), Some(Node::Set)) => "a set",
            (Value::Node(_), Some(Node::Storage(_))) => "a storage",
            (Value::Node(_), Some(Node::Tensor(_))) => "a tensor without a name",
            (Value::Node(_), Some(Node::Global(_))) => "a class or function",
            (
                Value::Node(_),
                Some(Node::ArraySlot | Node::Dtype(_) | Node::Encoded(_) | Node::Opaque(..)) | None,
            ) => "an object",
        }
    }
}

/// The size of an element in bytes. Every supported type has a whole number of bytes.
pub(super) fn size(dtype: Dtype) -> usize {
    dtype.bitsize().div_ceil(8)
}
