//! Measured kernels: the fastest kernels by measurement, which a scheduler can use instead of the
//! ranking rule.

use std::collections::BTreeMap;
use std::fmt;

use super::{Kernel, Problem};
use crate::op::{Conv, Epilogue, Op, PoolWindows};
use crate::tensor::{ChannelLayout, DType, Shape};

/// The names of kernels for some problems, fastest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Measured {
    /// Keyed by the problem's [`Display`](fmt::Display) text.
    by_problem: BTreeMap<String, Vec<String>>,
}

impl Measured {
    /// The fastest of the candidates, by name; `None` if none of them was measured for this
    /// problem.
    #[must_use]
    pub fn fastest(&self, problem: &Problem, candidates: &[Kernel]) -> Option<Kernel> {
        let names = self.by_problem.get(&problem.to_string())?;
        names
            .iter()
            .find_map(|name| candidates.iter().copied().find(|kernel| kernel.name() == *name))
    }
}

impl FromIterator<(String, Vec<String>)> for Measured {
    /// Collects pairs of a displayed problem and its kernel names, fastest first.
    fn from_iter<I: IntoIterator<Item = (String, Vec<String>)>>(problems: I) -> Self {
        Self { by_problem: problems.into_iter().collect() }
    }
}

impl fmt::Display for Problem {
    /// One line that identifies the problem uniquely: `conv3x3 groups 32, bias, relu: [1, 128, 28,
    /// 28] -> [1, 128, 28, 28]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.name())?;
        let flags = |f: &mut fmt::Formatter<'_>, flags: &[(bool, &str)]| {
            flags.iter().filter(|(set, _)| *set).try_for_each(|(_, name)| write!(f, ", {name}"))
        };
        match self.op {
            Op::Conv { conv, epilogue: Epilogue { bias, residual, relu } } => {
                steps(f, &conv)?;
                flags(f, &[(bias, "bias"), (residual, "residual"), (relu, "relu")])?;
            }
            Op::JoinedConv { main, shortcut, relu } => {
                steps(f, &main)?;
                f.write_str(" +")?;
                steps(f, &shortcut)?;
                flags(f, &[(relu, "relu")])?;
            }
            Op::BatchNorm { relu, .. } | Op::Add { relu, .. } => flags(f, &[(relu, "relu")])?,
            Op::MaxPool { windows, .. } => {
                flags(f, &[(windows == PoolWindows::CeilMode, "ceil mode")])?
            }
            Op::GlobalAvgPool { .. } | Op::Convert { .. } => {}
            Op::Train(op) => write!(f, " {op:?}")?,
        }
        let [reads, writes] = [self.dtype, self.output_dtype].map(|dtype| dtype == DType::F16);
        let half = [
            (reads && writes, "f16"),
            (reads && !writes, "f16 to f32"),
            (!reads && writes, "f32 to f16"),
        ];
        flags(f, &half)?;
        flags(f, &[(self.weights_change, "weights that change")])?;
        for (at, input) in self.inputs.iter().enumerate() {
            f.write_str(if at == 0 { ": " } else { " + " })?;
            tensor(f, *input)?;
        }
        f.write_str(" -> ")?;
        tensor(f, self.output)
    }
}

/// Stride, dilation and groups, if they are not 1.
fn steps(f: &mut fmt::Formatter<'_>, conv: &Conv) -> fmt::Result {
    let all = [("stride", conv.stride), ("dilation", conv.dilation), ("groups", conv.groups)];
    all.into_iter()
        .filter(|(_, value)| *value != 1)
        .try_for_each(|(name, value)| write!(f, " {name} {value}"))
}

/// The shape, and the layout if channels are padded in groups.
fn tensor(f: &mut fmt::Formatter<'_>, (shape, layout): (Shape, ChannelLayout)) -> fmt::Result {
    write!(f, "{shape}")?;
    match layout.groups {
        1 => Ok(()),
        groups => write!(f, " in {groups} x {}", layout.per_group),
    }
}
