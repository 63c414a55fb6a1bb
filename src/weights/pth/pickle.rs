//! A pickle machine that executes nothing: it reads the opcodes that `torch.save` writes, in pickle protocols 2 to 5, and
//! keeps what a call would be given instead of calling.
//!
//! The opcodes are described in CPython's `Lib/pickletools.py`. Those that `torch.save` does not write are refused: the text
//! opcodes of protocols 0 and 1, INST and OBJ, PERSID, the extension registry, out-of-band buffers.
//!
//! Work and memory are bounded by [`budget`]: every opcode, and every element that one copies, costs a step.

use std::collections::HashMap;

use super::value::{Name, Node, Object, Value};
use crate::error::PthError;

/// Bytes in the name of a module, class or function.
const MAX_NAME: usize = 512;

/// Bytes in one text.
const MAX_TEXT: usize = 16 << 20;

/// Steps for a file of this size. A tensor takes some fifty and ResNet-152 has 932, in a file of 241 MB; a step takes up to
/// about a hundred bytes of memory.
pub(super) fn budget(file_bytes: usize) -> usize {
    200_000 + file_bytes / 256
}

/// Reads the pickle at the start of `input`. `base` is added to the places that errors name.
pub(super) fn read(input: &[u8], base: usize, budget: usize) -> Result<Object<'_>, PthError> {
    let mut machine = Machine {
        input,
        at: 0,
        base,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        nodes: Vec::new(),
        spent: 0,
        budget,
    };
    let root = machine.run()?;
    Ok(Object { root, nodes: machine.nodes, bytes: machine.at })
}

/// The state of a pickle machine.
pub(super) struct Machine<'a> {
    input: &'a [u8],
    at: usize,
    base: usize,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    pub(super) nodes: Vec<Node<'a>>,
    spent: usize,
    budget: usize,
}

impl<'a> Machine<'a> {
    /// Up to the opcode STOP, whose value is the object.
    fn run(&mut self) -> Result<Value<'a>, PthError> {
        loop {
            self.charge(1)?;
            match self.array::<1>("an opcode")?[0] {
                b'.' => return self.pop(),
                opcode => self.step(opcode)?,
            }
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), PthError> {
        match opcode {
            0x80 => match self.array::<1>("PROTO")?[0] {
                2..=5 => {}
                _ => return Err(self.damaged("a pickle protocol other than 2 to 5")),
            },
            0x95 => self.frame()?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => _ = self.pop()?,
            b'1' => _ = self.pop_to_mark()?,
            b'2' => {
                let top = self.pop()?;
                self.stack.extend([top, top]);
            }
            b'q' | b'r' | 0x94 => self.put(opcode)?,
            b'h' | b'j' => self.get(opcode)?,
            b'N' | 0x88 | 0x89 | b'J' | b'K' | b'M' | 0x8a | 0x8b | b'G' => self.number(opcode)?,
            b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e | 0x96 | b'T' | b'U' => self.text(opcode)?,
            b')' | 0x85..=0x87 | b't' | b']' | b'l' | b'}' | b'd' | 0x8f | 0x91 => self.container(opcode)?,
            b'a' | b'e' | b's' | b'u' | 0x90 => self.fill(opcode)?,
            b'c' | 0x93 => self.global(opcode)?,
            b'Q' => {
                let id = self.pop()?;
                let value = self.persistent(id)?;
                self.stack.push(value);
            }
            b'R' | 0x81 => {
                let (args, callee) = (self.pop()?, self.pop()?);
                let value = self.call(callee, args)?;
                self.stack.push(value);
            }
            0x92 => {
                let (_keywords, args, callee) = (self.pop()?, self.pop()?, self.pop()?);
                let value = self.call(callee, args)?;
                self.stack.push(value);
            }
            // BUILD sets an object's state. No object here has one: an OrderedDict's is its `_metadata`.
            b'b' => _ = self.pop()?,
            _ => return Err(PthError::Opcode { opcode, at: self.base + self.at - 1 }),
        }
        Ok(())
    }

    /// A frame only groups opcodes, for reading from a stream; here it must fit.
    fn frame(&mut self) -> Result<(), PthError> {
        let length = u64::from_le_bytes(self.array("FRAME")?);
        let left = self.input.len() - self.at;
        if usize::try_from(length).is_ok_and(|length| length <= left) {
            return Ok(());
        }
        Err(self.truncated("a frame"))
    }

    fn put(&mut self, opcode: u8) -> Result<(), PthError> {
        let index = match opcode {
            b'q' => u32::from(self.array::<1>("BINPUT")?[0]),
            b'r' => u32::from_le_bytes(self.array("LONG_BINPUT")?),
            // As many as there are steps, so they fit.
            _ => self.memo.len() as u32,
        };
        let top = *self.stack.last().ok_or_else(|| self.damaged("an empty stack"))?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn get(&mut self, opcode: u8) -> Result<(), PthError> {
        let index = match opcode {
            b'h' => u32::from(self.array::<1>("BINGET")?[0]),
            _ => u32::from_le_bytes(self.array("LONG_BINGET")?),
        };
        let value = *self.memo.get(&index).ok_or_else(|| self.damaged("nothing at this place of the memo"))?;
        self.stack.push(value);
        Ok(())
    }

    fn number(&mut self, opcode: u8) -> Result<(), PthError> {
        let value = match opcode {
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
        };
        self.stack.push(value);
        Ok(())
    }

    fn text(&mut self, opcode: u8) -> Result<(), PthError> {
        let length = match opcode {
            0x8c | b'C' | b'U' => self.array::<1>("a text")?[0].into(),
            b'X' | b'B' | b'T' => u32::from_le_bytes(self.array("a text")?).into(),
            _ => u64::from_le_bytes(self.array("a text")?),
        };
        let length = usize::try_from(length).map_err(|_| self.truncated("a text"))?;
        let bytes = self.take(length, "a text")?;
        if length > MAX_TEXT {
            return Err(PthError::Limit { what: "bytes in a text", found: length, limit: MAX_TEXT });
        }
        // T and U are texts of Python 2.
        let is_text = matches!(opcode, b'X' | 0x8c | 0x8d | b'T' | b'U');
        let text = if is_text { std::str::from_utf8(bytes).ok() } else { None };
        self.stack.push(text.map_or(Value::Bytes, Value::Str));
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Result<(), PthError> {
        let node = match opcode {
            b')' => Node::Tuple(Vec::new()),
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let start = self.stack.len().checked_sub(count).filter(|start| *start >= self.floor());
                let start = start.ok_or_else(|| self.damaged("an empty stack"))?;
                Node::Tuple(self.stack.split_off(start))
            }
            b't' => Node::Tuple(self.pop_to_mark()?),
            b']' => Node::List(Vec::new()),
            b'l' => Node::List(self.pop_to_mark()?),
            b'}' => Node::Dict(Vec::new()),
            b'd' => {
                let values = self.pop_to_mark()?;
                Node::Dict(self.pairs(&values)?)
            }
            0x8f => Node::Set,
            _ => {
                self.pop_to_mark()?;
                Node::Set
            }
        };
        self.push_node(node);
        Ok(())
    }

    /// Adds to the container below. What is added to something unknown is dropped with it.
    fn fill(&mut self, opcode: u8) -> Result<(), PthError> {
        let values = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                vec![key, value]
            }
            _ => self.pop_to_mark()?,
        };
        let pairs = if matches!(opcode, b's' | b'u') { self.pairs(&values)? } else { Vec::new() };
        let target = match self.stack.last() {
            Some(Value::Node(at)) => self.nodes.get_mut(*at),
            _ => None,
        };
        match (opcode, target) {
            (b'a' | b'e', Some(Node::List(list))) => list.extend(values),
            (b's' | b'u', Some(Node::Dict(dict))) => dict.extend(pairs),
            (0x90, Some(Node::Set)) | (_, Some(Node::Opaque(_))) => {}
            _ => return Err(self.damaged("an opcode that adds to a container, without that container")),
        }
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Result<(), PthError> {
        let name = if opcode == b'c' {
            Name { module: self.line()?, name: self.line()? }
        } else {
            match (self.pop()?, self.pop()?) {
                (Value::Str(name), Value::Str(module)) if name.len().max(module.len()) <= MAX_NAME => {
                    Name { module, name }
                }
                _ => return Err(self.damaged("a class or function whose name is no short text")),
            }
        };
        self.push_node(Node::Global(name));
        Ok(())
    }

    /// Text up to a line feed.
    fn line(&mut self) -> Result<&'a str, PthError> {
        let rest = &self.input[self.at..];
        let window = &rest[..rest.len().min(MAX_NAME + 1)];
        let length = window.iter().position(|byte| *byte == b'\n');
        let length = length.ok_or_else(|| self.damaged("the name of a class or function does not end"))?;
        self.at += length + 1;
        std::str::from_utf8(&rest[..length]).map_err(|_| self.damaged("the name of a class or function is not UTF-8"))
    }

    /// Key and value in turn, as a dict's pairs.
    pub(super) fn pairs(&self, values: &[Value<'a>]) -> Result<Vec<(Value<'a>, Value<'a>)>, PthError> {
        let (pairs, rest) = values.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.damaged("a key without a value"));
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    pub(super) fn node(&self, value: Value<'a>) -> Option<&Node<'a>> {
        match value {
            Value::Node(at) => self.nodes.get(at),
            _ => None,
        }
    }

    /// The elements of a tuple.
    pub(super) fn tuple(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.node(value)? {
            Node::Tuple(values) => Some(values),
            _ => None,
        }
    }

    /// Adds to the arena.
    pub(super) fn add_node(&mut self, node: Node<'a>) -> Value<'a> {
        self.nodes.push(node);
        Value::Node(self.nodes.len() - 1)
    }

    fn push_node(&mut self, node: Node<'a>) {
        let value = self.add_node(node);
        self.stack.push(value);
    }

    /// Spends some of the budget.
    pub(super) fn charge(&mut self, steps: usize) -> Result<(), PthError> {
        self.spent = self.spent.saturating_add(steps);
        if self.spent > self.budget {
            return Err(PthError::Limit { what: "steps of the pickle", found: self.spent, limit: self.budget });
        }
        Ok(())
    }

    /// The stack's height that opcodes may not go below.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value<'a>, PthError> {
        let value = if self.stack.len() > self.floor() { self.stack.pop() } else { None };
        value.ok_or_else(|| self.damaged("an empty stack"))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>, PthError> {
        let mark = self.marks.pop().ok_or_else(|| self.damaged("no mark on the stack"))?;
        Ok(self.stack.split_off(mark))
    }

    fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], PthError> {
        let taken = self.input[self.at..].get(..length).ok_or_else(|| self.truncated(what))?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], PthError> {
        let array = *self.input[self.at..].first_chunk().ok_or_else(|| self.truncated(what))?;
        self.at += N;
        Ok(array)
    }

    fn truncated(&self, what: &'static str) -> PthError {
        PthError::Truncated { what, at: self.base + self.at }
    }

    pub(super) fn damaged(&self, what: &'static str) -> PthError {
        PthError::Pickle { what, at: self.base + self.at }
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
