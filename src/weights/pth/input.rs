//! Reads a pickle's bytes from front to back: the operands of opcodes.

use super::value::Value;
use crate::error::PthError;

/// Maximum bytes in the name of a module, class or function.
pub(super) const MAX_NAME: usize = 512;

/// Maximum bytes in one text.
const MAX_TEXT: usize = 16 << 20;

/// A position in a pickle.
pub(super) struct Input<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    /// The offset of the pickle in the file, for errors.
    pub base: usize,
}

impl<'a> Input<'a> {
    /// Checks a frame. It only groups opcodes for reading from a stream; here it must fit.
    pub fn frame(&mut self) -> Result<(), PthError> {
        let length = u64::from_le_bytes(self.array("FRAME")?);
        let left = self.bytes.len() - self.at;
        if usize::try_from(length).is_ok_and(|length| length <= left) {
            return Ok(());
        }
        Err(self.truncated("a frame"))
    }

    /// The value of an opcode for a number, a boolean or None.
    pub fn number(&mut self, opcode: u8) -> Result<Value<'a>, PthError> {
        Ok(match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'J' => Value::Int(i32::from_le_bytes(self.array("BININT")?).into()),
            b'K' => Value::Int(self.array::<1>("BININT1")?[0].into()),
            b'M' => Value::Int(u16::from_le_bytes(self.array("BININT2")?).into()),
            b'G' => {
                self.array::<8>("BINFLOAT")?;
                Value::Float
            }
            0x8a => {
                let length = self.array::<1>("LONG1")?[0].into();
                long(self.take(length, "LONG1")?)
            }
            _ => {
                let length = u32::from_le_bytes(self.array("LONG4")?) as usize;
                long(self.take(length, "LONG4")?)
            }
        })
    }

    /// The operand of an opcode for text or bytes.
    pub fn text(&mut self, opcode: u8) -> Result<Value<'a>, PthError> {
        let length = match opcode {
            0x8c | b'C' | b'U' => self.array::<1>("a text")?[0].into(),
            b'X' | b'B' | b'T' => u32::from_le_bytes(self.array("a text")?).into(),
            _ => u64::from_le_bytes(self.array("a text")?),
        };
        let length = usize::try_from(length).map_err(|_| self.truncated("a text"))?;
        let bytes = self.take(length, "a text")?;
        if length > MAX_TEXT {
            return Err(PthError::Limit {
                what: "bytes in a text",
                found: length,
                limit: MAX_TEXT,
            });
        }
        // T and U are texts of Python 2.
        let is_text = matches!(opcode, b'X' | 0x8c | 0x8d | b'T' | b'U');
        let text = if is_text { std::str::from_utf8(bytes).ok() } else { None };
        Ok(text.map_or(Value::Bytes(bytes), Value::Str))
    }

    /// Text up to a line feed.
    pub fn line(&mut self) -> Result<&'a str, PthError> {
        let rest = &self.bytes[self.at..];
        let window = &rest[..rest.len().min(MAX_NAME + 1)];
        let length = window.iter().position(|byte| *byte == b'\n');
        let length =
            length.ok_or_else(|| self.damaged("the name of a class or function does not end"))?;
        self.at += length + 1;
        std::str::from_utf8(&rest[..length])
            .map_err(|_| self.damaged("the name of a class or function is not UTF-8"))
    }

    fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], PthError> {
        let taken = self.bytes[self.at..].get(..length).ok_or_else(|| self.truncated(what))?;
        self.at += length;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], PthError> {
        let array = *self.bytes[self.at..].first_chunk().ok_or_else(|| self.truncated(what))?;
        self.at += N;
        Ok(array)
    }

    fn truncated(&self, what: &'static str) -> PthError {
        PthError::Truncated { what, at: self.place() }
    }

    /// The offset of the next byte, as reported in errors.
    pub fn place(&self) -> usize {
        self.base + self.at
    }

    pub fn damaged(&self, what: &'static str) -> PthError {
        PthError::Pickle { what, at: self.place() }
    }
}

/// An integer in little-endian two's complement.
fn long(bytes: &[u8]) -> Value<'_> {
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    match wide.get_mut(..bytes.len()) {
        Some(low) => {
            low.copy_from_slice(bytes);
            Value::Int(i64::from_le_bytes(wide))
        }
        None => Value::Long(bytes),
    }
}
