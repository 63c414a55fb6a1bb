//! The computation of vectors: the feature map that is used, and the normalisation.

use wgpu_bottleneck::{HostTensor, ImagePipeline, NetworkWeights, Preprocess, Result, Source};

use super::args::EmbedArgs;
use crate::cli::error::CliError;
use crate::cli::{feature_maps, setting_texts};

/// The settings of the vectors.
#[derive(Debug)]
pub struct Vectors {
    /// The feature map that is averaged; `None` for the output `pooled` of the network.
    layer: Option<String>,
    normalize: bool,
    /// The number of values in a vector.
    pub length: usize,
}

impl Vectors {
    /// The settings of a run. A layer that the network does not have is an error.
    pub fn of(
        args: &EmbedArgs,
        weights: &NetworkWeights,
        preprocess: &Preprocess,
    ) -> Result<Self, CliError> {
        let (layer, normalize) = (args.layer.clone(), args.normalize);
        let Some(name) = &layer else {
            return Ok(Self { layer, normalize, length: weights.spec().features() });
        };
        let file = args.images.network.file()?;
        let kind = args.images.network.engine.plan_kind();
        let maps = feature_maps::of(weights, preprocess, kind).map_err(CliError::in_file(&file))?;
        let Some((_, shape)) = maps.iter().find(|(found, _)| found == name) else {
            let names: Vec<&str> = maps.iter().map(|(name, _)| name.as_str()).collect();
            let (file, names) = (file.display(), names.join(", "));
            return Err(CliError::Usage(format!(
                "{file}: the network has no layer {name:?}; --layer takes one of {names}"
            )));
        };
        Ok(Self { length: shape.c, layer, normalize })
    }

    /// The text of these settings in the fingerprint.
    pub fn text(&self) -> String {
        setting_texts::vectors(self.layer.as_deref(), self.normalize)
    }

    /// The vectors of some images, before they are normalised.
    pub fn compute(
        &self,
        pipeline: &mut ImagePipeline,
        images: &[Source<'_>],
    ) -> Result<HostTensor> {
        match &self.layer {
            None => pipeline.embed(images),
            Some(layer) => feature_maps::mean(&pipeline.feature_map(images, layer)?),
        }
    }

    /// Finishes a computed vector: normalises it if the settings require this.
    pub fn finish(&self, vector: Vec<f32>) -> Vec<f32> {
        if self.normalize { normalized(vector) } else { vector }
    }
}

/// A vector divided by its L2 norm. A vector of zeros is not changed.
fn normalized(mut vector: Vec<f32>) -> Vec<f32> {
    // In f64, which holds the square of every f32.
    let norm = vector.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_get_the_norm_one() {
        assert_eq!(normalized(vec![3.0, 0.0, -4.0]), [0.6, 0.0, -0.8]);
        assert_eq!(normalized(vec![0.0, -0.0]), [0.0, 0.0]);
        // Their squares are neither zero nor infinite.
        assert_eq!(normalized(vec![f32::MAX, 0.0]), [1.0, 0.0]);
        assert_eq!(normalized(vec![0.0, f32::from_bits(1)]), [0.0, 1.0]);
    }
}
