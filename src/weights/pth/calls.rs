//! The few calls in a pickle that matter for weights. Any other call results in a [`Node::Opaque`]
//! with its name: checkpoints hold argument lists, schedulers and meters next to the weights, which
//! cause an error only if one of them is needed.
//!
//! The functions are those of PyTorch's `torch/_utils.py` and `torch/_tensor.py`; the persistent
//! ids of storages those of `torch/serialization.py`.

use safetensors::Dtype;

use super::numpy;
use super::pickle::Machine;
use super::value::{Name, Node, Storage, Tensor, Value, size};
use crate::error::PthError;

/// Maximum number of dimensions of a tensor. A convolution's weight has four.
const MAX_DIMS: usize = 16;

/// A tensor whose metadata changes its values in an unknown way.
const WITH_METADATA: Name<'static> = Name { module: "torch", name: "Tensor with metadata" };

impl<'a> Machine<'a> {
    /// The result of calling `callee`, a class or a function.
    #[expect(clippy::too_many_lines, reason = "a table: one arm per function")]
    pub(super) fn call(
        &mut self,
        callee: Value<'a>,
        args: Value<'a>,
    ) -> Result<Value<'a>, PthError> {
        let name = match self.node(callee) {
            Some(Node::Global(name) | Node::Opaque(name, _)) => *name,
            _ => return Err(self.damaged("a call of something other than a class or function")),
        };
        let Some(args) = self.tuple(args) else {
            return Err(self.damaged("a call without a tuple of arguments"));
        };
        let is_class = matches!(self.node(callee), Some(Node::Global(_)));
        match (name.module, name.name, args) {
            _ if !is_class => Ok(self.add_node(Node::Opaque(name, Vec::new()))),
            ("collections", "OrderedDict", []) => Ok(self.add_node(Node::Dict(Vec::new()))),
            ("collections", "OrderedDict", &[items]) => self.ordered_dict(items),
            (
                "torch._utils",
                "_rebuild_tensor" | "_rebuild_tensor_v2",
                &[storage, offset, dims, strides, ref rest @ ..],
            ) => {
                // After whether it requires a gradient, and its hooks.
                let Some(negated) = self.is_negated(rest.get(2)) else {
                    return Ok(self.add_node(Node::Opaque(WITH_METADATA, Vec::new())));
                };
                match self.storage(storage)? {
                    Ok(storage) => self.tensor(storage, offset, dims, strides, negated),
                    Err(unknown) => Ok(self.add_node(Node::Opaque(unknown, Vec::new()))),
                }
            }
            (
                "torch._utils",
                "_rebuild_tensor_v3",
                &[storage, offset, dims, strides, _, _, dtype, ref rest @ ..],
            ) => {
                let Some(negated) = self.is_negated(rest.first()) else {
                    return Ok(self.add_node(Node::Opaque(WITH_METADATA, Vec::new())));
                };
                match self.storage_as(storage, dtype)? {
                    Ok(storage) => self.tensor(storage, offset, dims, strides, negated),
                    Err(unknown) => Ok(self.add_node(Node::Opaque(unknown, Vec::new()))),
                }
            }
            (
                "torch._utils",
                "_rebuild_parameter" | "_rebuild_parameter_with_state",
                &[tensor, ..],
            ) => Ok(tensor),
            ("torch", "Size", &[dims]) => Ok(dims),
            ("numpy", "dtype", &[Value::Str(code), ..]) => Ok(match numpy::dtype(code) {
                Some(dtype) => self.add_node(Node::Dtype(dtype)),
                None => self.add_node(Node::Opaque(name, Vec::new())),
            }),
            ("_codecs", "encode", &[Value::Str(text), Value::Str("latin1" | "latin-1")]) => {
                Ok(self.add_node(Node::Encoded(text)))
            }
            _ if numpy::makes_array(&name) => Ok(self.add_node(Node::ArraySlot)),
            // A tensor with attributes: the call that makes it, and what is set on it.
            ("torch._tensor", "_rebuild_from_type_v2", &[function, _, inner, ..])
                if self.rebuilds_tensor(function) =>
            {
                self.call(function, inner)
            }
            (
                "torch._utils",
                "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3",
                _,
            ) => Err(self.damaged("a tensor with too few arguments")),
            _ => Ok(self.add_node(Node::Opaque(name, Vec::new()))),
        }
    }

    /// Whether a function is one of the above that make tensors from storages, so that calls cannot
    /// nest further.
    fn rebuilds_tensor(&self, function: Value<'a>) -> bool {
        matches!(self.node(function), Some(Node::Global(Name { module: "torch._utils", name }))
            if name.starts_with("_rebuild_tensor") || name.starts_with("_rebuild_parameter"))
    }

    /// An OrderedDict from a list of pairs, as Python 2 wrote it.
    fn ordered_dict(&mut self, items: Value<'a>) -> Result<Value<'a>, PthError> {
        let (Some(Node::List(items)) | Some(Node::Tuple(items))) = self.node(items) else {
            return Err(self.damaged("an OrderedDict that is not made from a list"));
        };
        let pair = |item: &Value<'a>| match self.node(*item)? {
            Node::Tuple(pair) | Node::List(pair) => {
                <[Value<'a>; 2]>::try_from(pair.as_slice()).ok()
            }
            _ => None,
        };
        // The list may be used repeatedly, so its copy is charged before it is made.
        let count = items.len();
        let pairs: Option<Vec<_>> =
            items.iter().map(|item| pair(item).map(|[key, value]| (key, value))).collect();
        let pairs =
            pairs.ok_or_else(|| self.damaged("an OrderedDict that is not made from pairs"))?;
        self.charge(count)?;
        Ok(self.add_node(Node::Dict(pairs)))
    }

    /// Whether a tensor's metadata marks it as negated; `None` for other metadata. PyTorch writes
    /// metadata only for tensors that differ from their storage: negated and conjugated views. The
    /// conjugate of a real number is the number.
    fn is_negated(&self, metadata: Option<&Value<'a>>) -> Option<bool> {
        let Some(&metadata) = metadata else { return Some(false) };
        match (metadata, self.node(metadata)) {
            (Value::None, _) => Some(false),
            (_, Some(Node::Dict(pairs))) => {
                let known = |(key, value): &(Value<'a>, Value<'a>)| {
                    matches!(key, Value::Str("neg" | "conj")) && matches!(value, Value::Bool(_))
                };
                let negated =
                    |pair: &(Value<'a>, Value<'a>)| *pair == (Value::Str("neg"), Value::Bool(true));
                pairs.iter().all(known).then(|| pairs.iter().any(negated))
            }
            _ => None,
        }
    }

    /// A storage, or the name of its type if that is unknown.
    fn storage(&self, value: Value<'a>) -> Result<Result<Storage<'a>, Name<'a>>, PthError> {
        match self.node(value) {
            Some(Node::Storage(storage)) => Ok(Ok(*storage)),
            Some(Node::Opaque(unknown, _)) => Ok(Err(*unknown)),
            _ => Err(self.damaged("a tensor without a storage")),
        }
    }

    /// A storage of bytes, reinterpreted as elements of a type.
    fn storage_as(
        &self,
        value: Value<'a>,
        dtype: Value<'a>,
    ) -> Result<Result<Storage<'a>, Name<'a>>, PthError> {
        let storage = match self.storage(value)? {
            Ok(storage) => storage,
            Err(unknown) => return Ok(Err(unknown)),
        };
        let Some(Node::Global(name)) = self.node(dtype) else {
            return Err(self.damaged("a tensor whose element type is not a name"));
        };
        let Some(dtype) = named_dtype(name) else { return Ok(Err(*name)) };
        let bytes = storage.elements.saturating_mul(size(storage.dtype));
        Ok(Ok(Storage { key: storage.key, dtype, elements: bytes / size(dtype) }))
    }

    fn tensor(
        &mut self,
        storage: Storage<'a>,
        offset: Value<'a>,
        dims: Value<'a>,
        strides: Value<'a>,
        negated: bool,
    ) -> Result<Value<'a>, PthError> {
        let (dims, strides) = (self.sizes(dims)?, self.sizes(strides)?);
        if dims.len() != strides.len() {
            return Err(self.damaged("a tensor with different numbers of strides and dimensions"));
        }
        self.charge(dims.len())?;
        let offset = self.size(offset)?;
        Ok(self.add_node(Node::Tensor(Box::new(Tensor {
            storage,
            offset,
            dims,
            strides,
            negated,
            inline: None,
        }))))
    }

    pub(super) fn sizes(&self, value: Value<'a>) -> Result<Vec<usize>, PthError> {
        let values =
            self.tuple(value).ok_or_else(|| self.damaged("a shape that is not a tuple"))?;
        if values.len() > MAX_DIMS {
            return Err(PthError::Limit {
                what: "dimensions of a tensor",
                found: values.len(),
                limit: MAX_DIMS,
            });
        }
        values.iter().map(|&value| self.size(value)).collect()
    }

    fn size(&self, value: Value<'a>) -> Result<usize, PthError> {
        let size = if let Value::Int(size) = value { usize::try_from(size).ok() } else { None };
        size.ok_or_else(|| self.damaged("a size that is not an integer from 0 to 2^63 - 1"))
    }

    /// The value of a persistent id: a storage, or in old files a class with its source text.
    pub(super) fn persistent(&mut self, id: Value<'a>) -> Result<Value<'a>, PthError> {
        let Some(parts) = self.tuple(id) else {
            return Err(self.damaged("a persistent id that is not a tuple"));
        };
        match *parts {
            [Value::Str("storage"), class, Value::Str(key), _location, elements, ref rest @ ..] => {
                if rest.iter().any(|view| *view != Value::None) {
                    return Err(self.damaged(
                        "a storage that is a view of another, as PyTorch before 0.4 wrote",
                    ));
                }
                let elements = self.size(elements)?;
                Ok(match self.storage_type(class)? {
                    Ok((dtype, each)) => {
                        let elements = elements.saturating_mul(each);
                        self.add_node(Node::Storage(Storage { key, dtype, elements }))
                    }
                    Err(unknown) => self.add_node(Node::Opaque(unknown, Vec::new())),
                })
            }
            [Value::Str("module"), class, ..] => Ok(class),
            _ => Err(self.damaged("a persistent id that is neither a storage nor a module")),
        }
    }

    /// The element type of a storage class, and how many of it an element has; the class's name if
    /// it is unknown.
    fn storage_type(&self, class: Value<'a>) -> Result<Result<(Dtype, usize), Name<'a>>, PthError> {
        let Some(Node::Global(name)) = self.node(class) else {
            return Err(self.damaged("a storage whose type is not a class"));
        };
        let known = match (name.module, name.name) {
            ("torch.storage", "UntypedStorage") => Some((Dtype::U8, 1)),
            // No element type of safetensors has 16 bytes.
            ("torch" | "torch.cuda", "ComplexDoubleStorage") => Some((Dtype::C64, 2)),
            ("torch" | "torch.cuda", storage) => storage_dtype(storage).map(|dtype| (dtype, 1)),
            _ => None,
        };
        Ok(known.ok_or(*name))
    }
}

/// The element type of a storage class in module `torch`.
fn storage_dtype(class: &str) -> Option<Dtype> {
    Some(match class {
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "DoubleStorage" => Dtype::F64,
        "LongStorage" => Dtype::I64,
        "IntStorage" | "QInt32Storage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" | "QInt8Storage" => Dtype::I8,
        "ByteStorage" | "UntypedStorage" | "QUInt8Storage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        "ComplexFloatStorage" => Dtype::C64,
        _ => return None,
    })
}

/// A `torch.dtype` by its name.
fn named_dtype(name: &Name<'_>) -> Option<Dtype> {
    Some(match (name.module, name.name) {
        ("torch", "float32") => Dtype::F32,
        ("torch", "float16") => Dtype::F16,
        ("torch", "bfloat16") => Dtype::BF16,
        ("torch", "float64") => Dtype::F64,
        ("torch", "int64") => Dtype::I64,
        ("torch", "uint64") => Dtype::U64,
        ("torch", "int32") => Dtype::I32,
        ("torch", "uint32") => Dtype::U32,
        ("torch", "int16") => Dtype::I16,
        ("torch", "uint16") => Dtype::U16,
        ("torch", "int8") => Dtype::I8,
        ("torch", "uint8") => Dtype::U8,
        ("torch", "bool") => Dtype::BOOL,
        ("torch", "complex64") => Dtype::C64,
        ("torch", "float8_e4m3fn") => Dtype::F8_E4M3,
        ("torch", "float8_e5m2") => Dtype::F8_E5M2,
        _ => return None,
    })
}
