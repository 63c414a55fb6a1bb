//! Optimisers: their rules and settings, and the tensors that control their steps.

use crate::error::SpecError;
use crate::op::CONTROL;
use crate::plan::{Plan, TensorId, TensorInfo};
use crate::tensor::{ChannelLayout, Shape};

/// The rule that updates parameters from their gradients. Formulas and defaults are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// `torch.optim.SGD`, without dampening.
    Sgd {
        /// The factor that multiplies the velocity at each step; 0 or more.
        momentum: f64,
        /// Whether to use Nesterov momentum; needs a momentum above 0.
        nesterov: bool,
        /// The weight decay; 0 or more.
        weight_decay: f64,
        /// Whether norms' parameters and biases decay too.
        decay_all: bool,
    },
    /// `torch.optim.AdamW`.
    AdamW {
        /// The factor that multiplies the running mean of gradients at each step; at least 0, below
        /// 1.
        beta1: f64,
        /// The same for the running mean of squared gradients.
        beta2: f64,
        /// Added to the root; above 0.
        eps: f64,
        /// The weight decay; 0 or more.
        weight_decay: f64,
        /// Whether norms' parameters and biases decay too.
        decay_all: bool,
    },
}

impl Optimizer {
    /// SGD with a momentum of 0.9 and a weight decay of 1e-4 on all parameters, as usual for
    /// ResNets.
    #[must_use]
    pub const fn sgd() -> Self {
        Self::Sgd { momentum: 0.9, nesterov: false, weight_decay: 1e-4, decay_all: true }
    }

    /// AdamW with PyTorch's defaults: betas of 0.9 and 0.999, eps of 1e-8, a weight decay of 1e-2
    /// on all parameters.
    #[must_use]
    pub const fn adamw() -> Self {
        Self::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 1e-2, decay_all: true }
    }

    /// Checks that the settings are valid.
    ///
    /// # Errors
    /// [`SpecError::Optimizer`], which names the parameter.
    pub fn check(&self) -> Result<(), SpecError> {
        let check = |parameter: &'static str, value: f64, holds: bool, expected: &'static str| {
            match holds {
                true => Ok(()),
                false => Err(SpecError::Optimizer { parameter, value, expected }),
            }
        };
        let not_negative = |parameter, value: f64| {
            check(
                parameter,
                value,
                value.is_finite() && value >= 0.0,
                "a finite number, not negative",
            )
        };
        match *self {
            Self::Sgd { momentum, nesterov, weight_decay, .. } => {
                not_negative("momentum", momentum)?;
                check("momentum", momentum, !nesterov || momentum > 0.0, "above 0 for Nesterov")?;
                not_negative("weight_decay", weight_decay)
            }
            Self::AdamW { beta1, beta2, eps, weight_decay, .. } => {
                for (name, beta) in [("beta1", beta1), ("beta2", beta2)] {
                    check(name, beta, (0.0..1.0).contains(&beta), "at least 0 and below 1")?;
                }
                check("eps", eps, eps.is_finite() && eps > 0.0, "a finite number above 0")?;
                not_negative("weight_decay", weight_decay)
            }
        }
    }

    /// The names of the optimiser state of each parameter, as in PyTorch.
    #[must_use]
    pub const fn state_names(&self) -> &'static [&'static str] {
        match self {
            Self::Sgd { .. } => &["momentum_buffer"],
            Self::AdamW { .. } => &["exp_avg", "exp_avg_sq"],
        }
    }

    /// The bias corrections after this many steps: [`CONTROL`]'s last two numbers.
    #[must_use]
    pub fn corrections(&self, steps: u64) -> [f64; 2] {
        let power = |beta: f64| beta.powf(steps.max(1) as f64);
        match *self {
            Self::Sgd { .. } => [1.0; 2],
            Self::AdamW { beta1, beta2, .. } => {
                [1.0 / (1.0 - power(beta1)), 1.0 / (1.0 - power(beta2)).sqrt()]
            }
        }
    }
}

/// The optimiser of a plan under construction.
pub(super) struct Updates {
    pub optimizer: Optimizer,
    /// Batches per step.
    pub over: usize,
    /// Variable: the scalars that control the updates.
    pub control: TensorId,
    /// The same, gated by the losses once they are known.
    pub gated: Option<TensorId>,
}

impl Updates {
    pub fn new(optimizer: &Optimizer, over: usize, plan: &mut Plan) -> Self {
        let shape = Shape { n: 1, c: 1, h: 1, w: CONTROL };
        let control = TensorId(plan.tensors.len());
        plan.tensors.push(TensorInfo::pixels("control", shape, ChannelLayout::dense(1)));
        plan.variables.push(control);
        Self { optimizer: *optimizer, over, control, gated: None }
    }
}
