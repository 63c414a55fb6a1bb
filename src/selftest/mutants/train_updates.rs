//! Mutants of the kernels of optimisers.

use super::shared::of_every_value;
use super::{Mutant, mutants};

pub(super) const MUTANTS: &[&[Mutant]] = &[
    of_every_value!(Accumulate, "accumulate", "train/accumulate"),
    ACCUMULATE,
    of_every_value!(Velocity, "velocity", "train/velocity"),
    VELOCITY,
    of_every_value!(Descend, "descend", "train/descend"),
    of_the_descent!(Descend, "descend"),
    of_every_value!(DescendNesterov, "descend_nesterov", "train/descend"),
    of_the_descent!(DescendNesterov, "descend_nesterov"),
    NESTEROV,
    of_every_value!(Moment, "moment", "train/moment"),
    of_the_moment!(Moment, "moment"),
    of_every_value!(SquareMoment, "square_moment", "train/moment"),
    of_the_moment!(SquareMoment, "square_moment"),
    SQUARES,
    of_every_value!(AdamW, "adamw", "train/adamw"),
    ADAMW,
];

/// Faults of both forms of SGD's step.
macro_rules! of_the_descent {
    ($family:ident, $prefix:literal) => {
        mutants! { $family, $prefix:
            "rate_lost" LostBias { "train/descend": "control.rate.x * step" => "step" }
            "uphill" WrongTerm { "train/descend": "before - control" => "before + control" }
            "value_lost" WrongTerm {
                "train/descend": "before - control.rate.x * step"
                    => "-control.rate.x * step"
            }
            "always_applied" StaleTile { "train/descend": "control.apply.x != 0.0" => "true" }
            "steered_by_another" SwappedStride {
                "train/descend": "control.apply.x"
                    => "control.keep.x"
            }
            "velocity_of_next_value" OffByOne {
                "train/descend": "= velocity[at]"
                    => "= velocity[at + 1u]"
            }
            "nan_swallowed" NanSwallowed {
                "train/descend": "= velocity[at]"
                    => "= max(velocity[at], vec4<f32>(-1e9))"
            }
        }
    };
}

use of_the_descent;

/// Faults of both running means.
macro_rules! of_the_moment {
    ($family:ident, $prefix:literal) => {
        mutants! { $family, $prefix:
            "nothing_fades" LostBias {
                "train/moment": "bitcast<f32>(params.kept) * before[at]"
                    => "before[at]"
            }
            "gradient_whole" LostBias {
                "train/moment": "bitcast<f32>(params.fresh) * fresh"
                    => "fresh"
            }
            "shares_exchanged" SwappedStride { "train/moment": "params.fresh" => "params.kept" }
            "always_applied" StaleTile { "train/moment": "control.apply.x != 0.0" => "true" }
            "steered_by_another" SwappedStride {
                "train/moment": "control.apply.x"
                    => "control.keep.x"
            }
            "subtracted" WrongTerm {
                "train/moment": "before[at] + bitcast"
                    => "before[at] - bitcast"
            }
            "gradient_of_next_value" OffByOne {
                "train/moment": "= gradient[at]"
                    => "= gradient[at + 1u]"
            }
            "nan_swallowed" NanSwallowed {
                "train/moment": "select(before[at], mean,"
                    => "select(before[at], max(mean, vec4<f32>(-1e9)),"
            }
        }
    };
}

use of_the_moment;

const ACCUMULATE: &[Mutant] = mutants! { Accumulate, "accumulate":
    "multiplied_away" WrongTerm {
        "train/accumulate": "select(vec4<f32>(0.0), before[at], control.keep.x != 0.0)"
            => "before[at] * control.keep.x"
    }
    "always_kept" StaleTile { "train/accumulate": "control.keep.x != 0.0" => "true" }
    "never_kept" StaleTile { "train/accumulate": "control.keep.x != 0.0" => "false" }
    "steered_by_another" SwappedStride { "train/accumulate": "control.keep.x" => "control.apply.x" }
    "gradient_lost" WrongTerm { "train/accumulate": "gradient[at] + select" => "select" }
    "gradient_of_next_value" OffByOne {
        "train/accumulate": "= gradient[at]"
            => "= gradient[at + 1u]"
    }
    "nan_swallowed" NanSwallowed {
        "train/accumulate": "= gradient[at]"
            => "= max(gradient[at], vec4<f32>(-1e9))"
    }
};

const VELOCITY: &[Mutant] = mutants! { Velocity, "velocity":
    "decay_lost" LostBias { "train/velocity": " + bitcast<f32>(params.decay) * value[at]" => "" }
    "decay_of_the_velocity" SwappedStride { "train/velocity": "* value[at]" => "* before[at]" }
    "decay_turned_round" WrongTerm {
        "train/velocity": "gradient[at] + bitcast"
            => "gradient[at] - bitcast"
    }
    "nothing_fades" LostBias {
        "train/velocity": "bitcast<f32>(params.kept) * before[at]"
            => "before[at]"
    }
    "always_applied" StaleTile { "train/velocity": "control.apply.x != 0.0" => "true" }
    "steered_by_another" SwappedStride { "train/velocity": "control.apply.x" => "control.keep.x" }
    "gradient_of_next_value" OffByOne {
        "train/velocity": "= gradient[at]"
            => "= gradient[at + 1u]"
    }
    "nan_swallowed" NanSwallowed {
        "train/velocity": "= gradient[at]"
            => "= max(gradient[at], vec4<f32>(-1e9))"
    }
};

const NESTEROV: &[Mutant] = mutants! { DescendNesterov, "descend_nesterov":
    "does_not_look_ahead" LostBias { "train/descend": " + bitcast<f32>(params.kept) * step" => "" }
    "decay_lost" LostBias { "train/descend": " + bitcast<f32>(params.decay) * before" => "" }
    "gradient_of_next_value" OffByOne {
        "train/descend": "(gradient[at] +"
            => "(gradient[at + 1u] +"
    }
};

const SQUARES: &[Mutant] = mutants! { SquareMoment, "square_moment":
    "not_squared" WrongTerm { "train/moment": "fresh *= fresh;" => "" }
};

const ADAMW: &[Mutant] = mutants! { AdamW, "adamw":
    "decay_lost" LostBias {
        "train/adamw": "1.0 - control.rate.x * bitcast<f32>(params.decay)"
            => "1.0"
    }
    "eps_lost" LostBias { "train/adamw": " + bitcast<f32>(params.eps)" => "" }
    "no_root" WrongTerm { "train/adamw": "sqrt(squares[at])" => "squares[at]" }
    "squares_not_corrected" WrongTerm { "train/adamw": " * control.second.x" => "" }
    "mean_not_corrected" WrongTerm {
        "train/adamw": "control.rate.x * control.first.x"
            => "control.rate.x"
    }
    "corrections_exchanged" SwappedStride { "train/adamw": "control.second.x" => "control.first.x" }
    "uphill" WrongTerm { "train/adamw": "decayed - (" => "decayed + (" }
    "always_applied" StaleTile { "train/adamw": "control.apply.x != 0.0" => "true" }
    "squares_of_next_value" OffByOne { "train/adamw": "squares[at]" => "squares[at + 1u]" }
    "nan_swallowed" NanSwallowed {
        "train/adamw": "(mean[at] / root)"
            => "(max(mean[at], vec4<f32>(-1e9)) / root)"
    }
};
