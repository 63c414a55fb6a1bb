//! The few calls in a pickle that matter for weights. Any other call results in a [`Node::Opaque`]
//! with its name: checkpoints hold argument lists, schedulers and meters next to the weights, which
//! cause an error only if one of them is needed.
//!
//! The functions are those of PyTorch's `torch/_utils.py` and `torch/_tensor.py`; the persistent
//! ids of storages those of `torch/serialization.py`.

use safetensors::Dtype;

use super::pickle::Machine;
use super::value::{Name, Node, Storage, Tensor, Value};
use crate::error::PthError;

/// Maximum number of dimensions of a tensor. A convolution's weight has four.
const MAX_DIMS: usize = 16;

impl<'a> Machine<'a> {
    /// The result of calling `callee`, a class or a function.
    pub(super) fn call(
        &mut self,
        callee: Value<'a>,
        args: Value<'a>,
    ) -> Result<Value<'a>, PthError> {
        let name = match self.node(callee) {
            Some(Node::Global(name) | Node::Opaque(name)) => *name,
            _ => return Err(self.damaged("a call of something other than a class or function")),
        };
        let Some(args) = self.tuple(args) else {
            return Err(self.damaged("a call without a tuple of arguments"));
        };
        let is_class = matches!(self.node(callee), Some(Node::Global(_)));
        match (name.module, name.name, args) {
            _ if !is_class => Ok(self.add_node(Node::Opaque(name))),
            ("collections", "OrderedDict", []) => Ok(self.add_node(Node::Dict(Vec::new()))),
            ("collections", "OrderedDict", &[items]) => self.ordered_dict(items),
            (
                "torch._utils",
                "_rebuild_tensor" | "_rebuild_tensor_v2",
                &[storage, offset, dims, strides, ref rest @ ..],
            ) => {
                // Behind whether it requires a gradient, and its hooks.
                self.check_metadata(rest.get(2))?;
                let storage = self.storage(storage)?;
                self.tensor(storage, offset, dims, strides)
            }
            (
                "torch._utils",
                "_rebuild_tensor_v3",
                &[storage, offset, dims, strides, _, _, dtype, ref rest @ ..],
            ) => {
                self.check_metadata(rest.first())?;
                let storage = self.storage_as(storage, dtype)?;
                self.tensor(storage, offset, dims, strides)
            }
            (
                "torch._utils",
                "_rebuild_parameter" | "_rebuild_parameter_with_state",
                &[tensor, ..],
            ) => Ok(tensor),
            ("torch", "Size", &[dims]) => Ok(dims),
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
            _ => Ok(self.add_node(Node::Opaque(name))),
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

    /// Rejects metadata: it marks tensors that differ from their storage, for example negated or
    /// conjugated views. PyTorch writes it only for those.
    fn check_metadata(&self, metadata: Option<&Value<'a>>) -> Result<(), PthError> {
        let Some(&metadata) = metadata else { return Ok(()) };
        let found = match (metadata, self.node(metadata)) {
            (Value::None, _) => return Ok(()),
            (_, Some(Node::Dict(pairs))) if pairs.is_empty() => return Ok(()),
            (_, Some(Node::Dict(pairs))) => match pairs[0].0 {
                Value::Str(key) => key.chars().take(40).collect(),
                _ => "a key that is not text".to_owned(),
            },
            _ => "not a dict".to_owned(),
        };
        Err(PthError::Metadata { found })
    }

    fn storage(&self, value: Value<'a>) -> Result<Storage<'a>, PthError> {
        match self.node(value) {
            Some(Node::Storage(storage)) => Ok(*storage),
            _ => Err(self.damaged("a tensor without a storage")),
        }
    }

    /// A storage of bytes, reinterpreted as elements of a type.
    fn storage_as(&self, value: Value<'a>, dtype: Value<'a>) -> Result<Storage<'a>, PthError> {
        let storage = self.storage(value)?;
        let Some(Node::Global(name)) = self.node(dtype) else {
            return Err(self.damaged("a tensor whose element type is not a name"));
        };
        let unknown = || PthError::StorageType { found: name.to_string() };
        let dtype = named_dtype(name).ok_or_else(unknown)?;
        let bytes = storage.elements.saturating_mul(size(storage.dtype));
        Ok(Storage { key: storage.key, dtype, elements: bytes / size(dtype) })
    }

    fn tensor(
        &mut self,
        storage: Storage<'a>,
        offset: Value<'a>,
        dims: Value<'a>,
        strides: Value<'a>,
    ) -> Result<Value<'a>, PthError> {
        let (dims, strides) = (self.sizes(dims)?, self.sizes(strides)?);
        if dims.len() != strides.len() {
            return Err(self.damaged("a tensor with different numbers of strides and dimensions"));
        }
        self.charge(dims.len())?;
        let offset = self.size(offset)?;
        Ok(self.add_node(Node::Tensor(Box::new(Tensor { storage, offset, dims, strides }))))
    }

    fn sizes(&self, value: Value<'a>) -> Result<Vec<usize>, PthError> {
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
                let (dtype, elements) = (self.storage_type(class)?, self.size(elements)?);
                Ok(self.add_node(Node::Storage(Storage { key, dtype, elements })))
            }
            [Value::Str("module"), class, ..] => Ok(class),
            _ => Err(self.damaged("a persistent id that is neither a storage nor a module")),
        }
    }

    fn storage_type(&self, class: Value<'a>) -> Result<Dtype, PthError> {
        let Some(Node::Global(name)) = self.node(class) else {
            return Err(self.damaged("a storage whose type is not a class"));
        };
        let known = match (name.module, name.name) {
            ("torch.storage", "UntypedStorage") => Some(Dtype::U8),
            ("torch" | "torch.cuda", storage) => storage_dtype(storage),
            _ => None,
        };
        known.ok_or_else(|| PthError::StorageType { found: name.to_string() })
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
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" | "UntypedStorage" => Dtype::U8,
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

/// Size of an element in bytes; every supported type has whole bytes.
pub(super) fn size(dtype: Dtype) -> usize {
    dtype.bitsize().div_ceil(8)
}
