//! NumPy arrays in a pickle. detectron2's model zoo and other converters store weights in this
//! form: a call of `numpy.core.multiarray._reconstruct` creates an array, and BUILD sets its state.

use safetensors::Dtype;

use super::pickle::Machine;
use super::value::{Inline, Name, Node, Storage, Tensor, Value, size};
use crate::error::PthError;

/// Whether a function creates an array whose state is set by BUILD.
pub(super) fn makes_array(name: &Name<'_>) -> bool {
    let modules = ["numpy.core.multiarray", "numpy._core.multiarray"];
    modules.contains(&name.module) && name.name == "_reconstruct"
}

/// The element type of `numpy.dtype(code, ...)`.
pub(super) fn dtype(code: &str) -> Option<Dtype> {
    Some(match code.trim_start_matches(['<', '=', '|']) {
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        "f2" => Dtype::F16,
        "i8" => Dtype::I64,
        "i4" => Dtype::I32,
        "i2" => Dtype::I16,
        "i1" => Dtype::I8,
        "u1" => Dtype::U8,
        "b1" => Dtype::BOOL,
        _ => return None,
    })
}

impl<'a> Machine<'a> {
    /// Sets the state of the object that BUILD finds on the stack. Only the states of arrays and of
    /// their element types are used; the state of an OrderedDict is its `_metadata`.
    pub(super) fn build(&mut self, target: Value<'a>, state: Value<'a>) -> Result<(), PthError> {
        let Value::Node(at) = target else { return Ok(()) };
        let built = match self.nodes.get(at) {
            Some(Node::ArraySlot) => self.array(state)?,
            // (version, byte order, ...): ">" is big-endian.
            Some(Node::Dtype(_)) => match self.tuple(state) {
                Some([_, Value::Str(">"), ..]) => {
                    Some(Node::Opaque(Name { module: "numpy", name: "dtype(>)" }, Vec::new()))
                }
                _ => None,
            },
            _ => None,
        };
        if let (Some(node), Some(slot)) = (built, self.nodes.get_mut(at)) {
            *slot = node;
        }
        Ok(())
    }

    /// The array of a state `(version, shape, dtype, is_fortran, data)`; `None` for another type.
    fn array(&mut self, state: Value<'a>) -> Result<Option<Node<'a>>, PthError> {
        let Some(&[_, shape, dtype, fortran, data]) = self.tuple(state) else { return Ok(None) };
        let (Some(Node::Dtype(dtype)), Value::Bool(fortran)) = (self.node(dtype), fortran) else {
            return Ok(None);
        };
        let dtype = *dtype;
        let inline = match (data, self.node(data)) {
            (Value::Bytes(bytes), _) => Inline::Bytes(bytes),
            // A text of Python 2 that happens to be UTF-8.
            (Value::Str(text), _) => Inline::Bytes(text.as_bytes()),
            (_, Some(Node::Encoded(text))) => Inline::Latin1(text),
            _ => return Ok(None),
        };
        let dims = self.sizes(shape)?;
        self.charge(dims.len())?;
        let bytes = match inline {
            Inline::Bytes(bytes) => bytes.len(),
            Inline::Latin1(text) => text.chars().count(),
        };
        let elements = bytes / size(dtype);
        let mut strides = vec![1usize; dims.len()];
        let order: Vec<usize> =
            if fortran { (0..dims.len()).collect() } else { (0..dims.len()).rev().collect() };
        let mut step = 1usize;
        for axis in order {
            strides[axis] = step;
            step = step.saturating_mul(dims[axis]);
        }
        let storage = Storage { key: "", dtype, elements };
        let (offset, negated) = (0, false);
        let tensor = Tensor { storage, offset, dims, strides, negated, inline: Some(inline) };
        Ok(Some(Node::Tensor(Box::new(tensor))))
    }
}

/// Converts text to bytes, one byte per character; `None` if a character is not in Latin-1.
pub(super) fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}
