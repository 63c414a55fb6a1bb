//! A pickle machine that executes nothing: it reads the opcodes that `torch.save` writes, in pickle
//! protocols 2 to 5, and records a call's arguments instead of calling.
//!
//! The opcodes are described in CPython's `Lib/pickletools.py`. Those that `torch.save` does not
//! write are rejected: the text opcodes of protocols 0 and 1, INST and OBJ, PERSID, the extension
//! registry, out-of-band buffers.
//!
//! Work and memory are bounded by [`budget`]: every opcode, and every element that an opcode
//! copies, costs one step.

use std::collections::HashMap;

use super::input::{Input, MAX_NAME};
use super::value::{Name, Node, Object, Value};
use crate::error::PthError;

/// The budget of steps for a file of this size. A tensor takes about fifty, and ResNet-152 has 932
/// in a file of 241 MB; a step takes up to about a hundred bytes of memory.
pub(super) fn budget(file_bytes: usize) -> usize {
    200_000 + file_bytes / 256
}

/// Reads the pickle at the start of `input`. `base` is added to the offsets in errors.
pub(super) fn read(input: &[u8], base: usize, budget: usize) -> Result<Object<'_>, PthError> {
    let mut machine = Machine {
        input: Input { bytes: input, at: 0, base },
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        nodes: Vec::new(),
        spent: 0,
        budget,
    };
    let root = machine.run()?;
    Ok(Object { root, nodes: machine.nodes, bytes: machine.input.at, steps: machine.spent })
}

/// The state of a pickle machine.
pub(super) struct Machine<'a> {
    input: Input<'a>,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    pub(super) nodes: Vec<Node<'a>>,
    spent: usize,
    budget: usize,
}

impl<'a> Machine<'a> {
    /// Runs up to the opcode STOP and returns the object.
    fn run(&mut self) -> Result<Value<'a>, PthError> {
        loop {
            self.charge(1)?;
            match self.input.array::<1>("an opcode")?[0] {
                b'.' => return self.pop(),
                opcode => self.step(opcode)?,
            }
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), PthError> {
        match opcode {
            0x80 => match self.input.array::<1>("PROTO")?[0] {
                2..=5 => {}
                _ => return Err(self.damaged("a pickle protocol other than 2 to 5")),
            },
            0x95 => self.input.frame()?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => _ = self.pop()?,
            b'1' => _ = self.pop_to_mark()?,
            b'2' => {
                let top = self.pop()?;
                self.stack.extend([top, top]);
            }
            b'q' | b'r' | 0x94 => self.put(opcode)?,
            b'h' | b'j' => self.get(opcode)?,
            b'N' | 0x88 | 0x89 | b'J' | b'K' | b'M' | 0x8a | 0x8b | b'G' => {
                self.stack.push(self.input.number(opcode)?)
            }
            b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e | 0x96 | b'T' | b'U' => {
                self.stack.push(self.input.text(opcode)?)
            }
            b')' | 0x85..=0x87 | b't' | b']' | b'l' | b'}' | b'd' | 0x8f | 0x91 => {
                self.container(opcode)?
            }
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
            b'b' => {
                let state = self.pop()?;
                let target = *self.stack.last().ok_or_else(|| self.damaged("an empty stack"))?;
                self.build(target, state)?;
            }
            _ => return Err(PthError::Opcode { opcode, at: self.input.place() - 1 }),
        }
        Ok(())
    }

    fn put(&mut self, opcode: u8) -> Result<(), PthError> {
        let index = match opcode {
            b'q' => u32::from(self.input.array::<1>("BINPUT")?[0]),
            b'r' => u32::from_le_bytes(self.input.array("LONG_BINPUT")?),
            // As many as there are steps, so they fit.
            _ => self.memo.len() as u32,
        };
        let top = *self.stack.last().ok_or_else(|| self.damaged("an empty stack"))?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn get(&mut self, opcode: u8) -> Result<(), PthError> {
        let index = match opcode {
            b'h' => u32::from(self.input.array::<1>("BINGET")?[0]),
            _ => u32::from_le_bytes(self.input.array("LONG_BINGET")?),
        };
        let value = *self.memo.get(&index).ok_or_else(|| self.damaged("an empty memo entry"))?;
        self.stack.push(value);
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Result<(), PthError> {
        let node = match opcode {
            b')' => Node::Tuple(Vec::new()),
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let start =
                    self.stack.len().checked_sub(count).filter(|start| *start >= self.floor());
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

    /// Appends to the container below on the stack. Single items added to an unknown
    /// object are dropped with it.
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
            (b's' | b'u', Some(Node::Opaque(_, items))) => items.extend(pairs),
            (0x90, Some(Node::Set)) | (_, Some(Node::Opaque(..))) => {}
            _ => {
                return Err(
                    self.damaged("an opcode that adds to a container, without that container")
                );
            }
        }
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Result<(), PthError> {
        let name = if opcode == b'c' {
            Name { module: self.input.line()?, name: self.input.line()? }
        } else {
            match (self.pop()?, self.pop()?) {
                (Value::Str(name), Value::Str(module))
                    if name.len().max(module.len()) <= MAX_NAME =>
                {
                    Name { module, name }
                }
                _ => return Err(self.damaged("a class or function whose name is not a short text")),
            }
        };
        self.push_node(Node::Global(name));
        Ok(())
    }

    /// Alternating keys and values as pairs of a dict.
    pub(super) fn pairs(
        &self,
        values: &[Value<'a>],
    ) -> Result<Vec<(Value<'a>, Value<'a>)>, PthError> {
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
            return Err(PthError::Limit {
                what: "steps of the pickle",
                found: self.spent,
                limit: self.budget,
            });
        }
        Ok(())
    }

    /// The stack height that opcodes may not go below.
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

    pub(super) fn damaged(&self, what: &'static str) -> PthError {
        self.input.damaged(what)
    }
}
