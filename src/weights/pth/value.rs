//! What a pickle is made of while it is read: values on a stack, and the things they point to in an arena.
//!
//! A pickle can make a list that holds itself. In an arena that is two numbers, not an owner of itself, so nothing here
//! recurses, neither to look at a value nor to drop it.

use safetensors::Dtype;

/// A value: small, copied freely, text borrowed from the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than eight bytes, little-endian two's complement.
    Long(&'a [u8]),
    Float,
    Str(&'a str),
    Bytes,
    Node(usize),
}

/// What a [`Value::Node`] points to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node<'a> {
    Tuple(Vec<Value<'a>>),
    List(Vec<Value<'a>>),
    /// In the order of the file; a key given twice is twice in it.
    Dict(Vec<(Value<'a>, Value<'a>)>),
    Set,
    /// A class or function by name. It is never looked up.
    Global(Name<'a>),
    Storage(Storage<'a>),
    Tensor(Box<Tensor<'a>>),
    /// What calling an unknown class or function would have made. Nothing was called.
    Opaque(Name<'a>),
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

/// A storage: the pickle names it, the bytes lie elsewhere in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage<'a> {
    pub key: &'a str,
    pub dtype: Dtype,
    pub elements: usize,
}

/// A view of a storage. Nothing about it is checked yet: a tensor that nobody asks for may be wrong.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor<'a> {
    pub storage: Storage<'a>,
    /// First element.
    pub offset: usize,
    pub dims: Vec<usize>,
    /// In elements.
    pub strides: Vec<usize>,
}

/// The object of a pickle, and the arena that its nodes lie in.
#[derive(Debug)]
pub(super) struct Object<'a> {
    pub root: Value<'a>,
    pub nodes: Vec<Node<'a>>,
    /// Bytes of the pickle, up to and with its last opcode.
    pub bytes: usize,
    /// What reading it took of the budget.
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
            _ => None,
        }
    }

    /// What a value is, in words.
    pub fn kind(&self, value: Value<'a>) -> &'static str {
        match (value, self.node(value)) {
            (Value::None, _) => "None",
            (Value::Bool(_), _) => "a bool",
            (Value::Int(_) | Value::Long(_), _) => "an int",
            (Value::Float, _) => "a float",
            (Value::Str(_), _) => "a str",
            (Value::Bytes, _) => "bytes",
            (Value::Node(_), Some(Node::Tuple(_))) => "a tuple",
            (Value::Node(_), Some(Node::List(_))) => "a list",
            (Value::Node(_), Some(Node::Dict(_))) => "a dict",
            (Value::Node(_), Some(Node::Set)) => "a set",
            (Value::Node(_), Some(Node::Storage(_))) => "a storage",
            (Value::Node(_), Some(Node::Tensor(_))) => "a tensor without a name",
            (Value::Node(_), Some(Node::Global(_))) => "a class or function",
            (Value::Node(_), Some(Node::Opaque(_)) | None) => "an object",
        }
    }
}
