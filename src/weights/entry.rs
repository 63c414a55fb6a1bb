//! The location of a tensor in the bytes of a file, and its values.

use std::borrow::Cow;
use std::ops::Range;

use half::{bf16, f16};
use safetensors::Dtype;

/// A tensor as its file describes it, checked against the file's bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub dtype: Dtype,
    pub dims: Vec<usize>,
    /// Bytes from the tensor's first element to its last.
    pub range: Range<usize>,
    /// Elements between consecutive indices of each dimension; `None` if the elements are row-major
    /// without gaps. Other tensors are gathered when they are read, so that a file needs no more
    /// memory than its size.
    pub strides: Option<Vec<usize>>,
    /// Whether f64 may be rounded to f32: weights in a PyTorch file have whatever type they were
    /// trained in.
    pub rounds_f64: bool,
    /// Whether the values in the file must be negated.
    pub negated: bool,
}

impl Entry {
    /// Its values as f32, row-major, borrowed from the file if possible; `None` for an unsupported
    /// element type.
    pub fn values<'a>(&self, file: &'a [u8]) -> Option<Cow<'a, [f32]>> {
        let bytes = &file[self.range.clone()];
        if cfg!(target_endian = "little")
            && self.dtype == Dtype::F32
            && self.strides.is_none()
            && !self.negated
        {
            // No format must align its tensors, though all but the legacy one do.
            if let Ok(values) = bytemuck::try_cast_slice(bytes) {
                return Some(Cow::Borrowed(values));
            }
        }
        let mut values = self.copy(bytes)?;
        if self.negated {
            values.iter_mut().for_each(|value| *value = -*value);
        }
        Some(Cow::Owned(values))
    }

    /// Its values from its bytes.
    fn copy(&self, bytes: &[u8]) -> Option<Vec<f32>> {
        Some(match self.dtype {
            Dtype::F32 => self.gather(bytes, f32::from_le_bytes),
            Dtype::F16 => self.gather(bytes, |raw| f16::from_le_bytes(raw).to_f32()),
            Dtype::BF16 => self.gather(bytes, |raw| bf16::from_le_bytes(raw).to_f32()),
            Dtype::F64 if self.rounds_f64 => {
                self.gather(bytes, |raw| f64::from_le_bytes(raw) as f32)
            }
            _ => return None,
        })
    }

    /// Little-endian values of `N` bytes each.
    fn gather<const N: usize>(&self, bytes: &[u8], read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let elements = bytes.as_chunks::<N>().0;
        match &self.strides {
            None => elements.iter().map(|&raw| read(raw)).collect(),
            Some(strides) => {
                Strided::new(&self.dims, strides).map(|at| read(elements[at])).collect()
            }
        }
    }
}

/// The offsets of a strided tensor's elements, in row-major order of their indices.
struct Strided<'a> {
    dims: &'a [usize],
    strides: &'a [usize],
    index: Vec<usize>,
    at: usize,
    left: usize,
}

impl<'a> Strided<'a> {
    fn new(dims: &'a [usize], strides: &'a [usize]) -> Self {
        Self { dims, strides, index: vec![0; dims.len()], at: 0, left: dims.iter().product() }
    }
}

impl Iterator for Strided<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let found = self.at;
        for axis in (0..self.dims.len()).rev() {
            if self.index[axis] + 1 < self.dims[axis] {
                self.index[axis] += 1;
                self.at += self.strides[axis];
                break;
            }
            self.at -= self.index[axis] * self.strides[axis];
            self.index[axis] = 0;
        }
        Some(found)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

#[cfg(test)]
mod tests {
    use super::Strided;

    #[test]
    fn places_follow_the_strides() {
        assert_eq!(Strided::new(&[2, 3], &[1, 2]).collect::<Vec<_>>(), [0, 2, 4, 1, 3, 5]);
        assert_eq!(Strided::new(&[2, 2], &[0, 5]).collect::<Vec<_>>(), [0, 5, 0, 5]);
        assert_eq!(Strided::new(&[], &[]).collect::<Vec<_>>(), [0]);
        assert_eq!(Strided::new(&[3, 0], &[7, 7]).count(), 0);
    }
}
