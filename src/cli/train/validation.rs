//! Measures a network on the validation images.

use std::collections::BTreeMap;

use rayon::prelude::*;
use wgpu_bottleneck::weights::NetworkState;
use wgpu_bottleneck::{Gpu, LoadOptions, Network, NetworkWeights, Preprocess, StateDict};

use super::super::error::CliError;
use super::batches::{joined, opened, or_reason};
use super::list::{Failure, Part, Since};

/// The results of a validation.
#[derive(Debug)]
pub struct Measured {
    /// The mean loss and the fraction of correctly classified images; `None` without any image.
    pub result: Option<(f64, f64)>,
    /// Images that could not be decoded.
    pub failed: Vec<Failure>,
}

/// Measures the network after an epoch, with the norms folded as in eval mode. Batches are formed
/// from the whole list, so a batch with images that are left out is smaller.
pub fn measure(
    gpu: &Gpu,
    state: &NetworkState,
    (preprocess, batch): (Preprocess, usize),
    part: &Part,
    epoch: u64,
) -> Result<Measured, CliError> {
    let dict = StateDict::from_bytes(state.to_safetensors(&[], &BTreeMap::new())?)?;
    let weights = NetworkWeights::matching(dict, state.spec(), Some(""))?;
    let batch = batch.min(part.images.len()).max(1);
    let shape = preprocess.shape(batch).map_err(wgpu_bottleneck::Error::from)?;
    let mut network = Network::load(gpu, &weights, shape, &LoadOptions::default())?;
    let (mut losses, mut right, mut seen, mut failed) = (0.0, 0, 0, Vec::new());
    let since = Since { epoch, place: 0 };
    let one = |(image, class): (usize, usize)| {
        let path = part.path(image);
        let made = opened(&path).and_then(|image| Ok(preprocess.tensor(&[image])?));
        let made = or_reason(&path, made)?;
        Ok::<_, CliError>(made.map(|tensor| (tensor, class, image)).map_err(|reason| Failure {
            image,
            since,
            reason,
        }))
    };
    let all: Vec<(usize, usize)> =
        part.images.iter().enumerate().map(|(image, (_, class))| (image, *class)).collect();
    for part_of_all in all.chunks(batch) {
        let used = part_of_all.par_iter().filter(|(image, _)| !part.is_left_out(*image, since));
        let made: Vec<_> = used.map(|&of| one(of)).collect();
        let mut ready = Vec::new();
        for one in made {
            match one? {
                Ok(one) => ready.push(one),
                Err(failure) => failed.push(failure),
            }
        }
        if ready.is_empty() {
            continue;
        }
        let made = joined(ready)?;
        let logits = network.logits(&made.images)?;
        seen += made.classes.len();
        for (scores, &class) in logits.data().chunks_exact(logits.shape().c).zip(&made.classes) {
            let (loss, first) = judged(scores, class);
            losses += loss;
            right += usize::from(first);
        }
    }
    let result = (seen > 0).then(|| (losses / seen as f64, right as f64 / seen as f64));
    Ok(Measured { result, failed })
}

/// The cross entropy of the scores, and whether the class has the highest score. The first of
/// several equal scores counts as the highest.
fn judged(scores: &[f32], class: usize) -> (f64, bool) {
    let score = |at: usize| f64::from(scores[at]);
    let largest = (0..scores.len()).map(score).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = (0..scores.len()).map(|at| (score(at) - largest).exp()).sum();
    let before = |at: usize| score(at) > score(class) || score(at) == score(class) && at < class;
    (largest + sum.ln() - score(class), !(0..scores.len()).any(before))
}
