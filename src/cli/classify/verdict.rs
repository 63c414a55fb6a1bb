//! The most likely classes of an image, from the outputs of a network.

use std::path::PathBuf;

use wgpu_bottleneck::ModelConfig;

/// The meaning of the outputs of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// One of several classes: a softmax.
    OneClass,
    /// Several labels at once (Hugging Face's multi-label networks): one sigmoid per class.
    ManyClasses,
    /// A network with one output: its sigmoid.
    OneScore,
}

impl Meaning {
    /// The meaning for a network with this many classes.
    pub fn of(classes: usize, config: &ModelConfig) -> Self {
        match classes {
            1 => Self::OneScore,
            _ if config.is_multi_label() => Self::ManyClasses,
            _ => Self::OneClass,
        }
    }

    /// The name of the number: probabilities sum to 1, scores do not.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneClass => "probability",
            Self::ManyClasses | Self::OneScore => "score",
        }
    }
}

/// A class of an image, and its probability or score.
pub struct Guess {
    /// Its number.
    pub class: usize,
    /// From 0 to 1.
    pub probability: f64,
}

/// An image and its most likely classes, or its error.
pub struct Verdict {
    pub file: PathBuf,
    pub guesses: Result<Vec<Guess>, String>,
}

/// The most likely classes of finite logits, computed in f64. Ties go to the lower class.
pub fn best(logits: &[f32], top: usize, meaning: Meaning) -> Vec<Guess> {
    let softmax = || {
        let largest =
            logits.iter().fold(f64::NEG_INFINITY, |largest, &logit| largest.max(f64::from(logit)));
        let powers: Vec<f64> =
            logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.into_iter().map(|power| power / sum).collect::<Vec<_>>()
    };
    let sigmoid = |&logit: &f32| 1.0 / (1.0 + (-f64::from(logit)).exp());
    let numbers: Vec<f64> = match meaning {
        Meaning::OneClass => softmax(),
        Meaning::ManyClasses | Meaning::OneScore => logits.iter().map(sigmoid).collect(),
    };
    let guess = |(class, probability): (usize, f64)| Guess { class, probability };
    let mut guesses: Vec<Guess> = numbers.into_iter().enumerate().map(guess).collect();
    guesses.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    guesses.truncate(top);
    guesses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_is_exact_where_f32_is_not() {
        let guesses = best(&[1000.0, 999.0, -1000.0, 1000.0], 3, Meaning::OneClass);
        let classes: Vec<usize> = guesses.iter().map(|guess| guess.class).collect();
        assert_eq!(classes, [0, 3, 1]);
        let e = (-1.0_f64).exp();
        assert!((guesses[2].probability - e / (2.0 + e)).abs() < 1e-15);
    }

    #[test]
    fn sigmoids_stand_alone() {
        let score = |logit: f32| best(&[logit], 5, Meaning::OneScore)[0].probability;
        assert_eq!((score(0.0), score(1000.0), score(-1000.0)), (0.5, 1.0, 0.0));
        assert!((score(-2.0) - 0.119_202_922_022_117_56).abs() < 1e-15);
        let guesses = best(&[-1.0, 3.0], 5, Meaning::ManyClasses);
        assert_eq!((guesses[0].class, guesses[1].class), (1, 0));
        assert!(guesses[0].probability + guesses[1].probability > 1.2);
    }
}
