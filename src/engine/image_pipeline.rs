//! A network that takes images.

use super::network::{Wanted, last};
use super::{LoadOptions, Network};
use crate::error::{Result, SpecError};
use crate::gpu::{Gpu, Preprocessor, Source};
use crate::image::Preprocess;
use crate::tensor::HostTensor;
use crate::weights::NetworkWeights;

/// A network on a device, with preprocessing. It takes images, and returns classes, embeddings or
/// feature maps. Images of any size, in host memory or already on the GPU, are resized, cropped and
/// normalised on the GPU, directly into the network's input.
///
/// ```no_run
/// use wgpu_bottleneck::{
///     CheckpointOptions, Gpu, ImagePipeline, LoadOptions, NetworkWeights, Image,
/// };
///
/// let weights = NetworkWeights::open("resnet50.pth", &CheckpointOptions::default())?;
/// // From the model's configuration, or torchvision's IMAGENET1K_V1.
/// let preprocess = weights.preprocess()?;
/// let mut pipeline =
///     ImagePipeline::load(&Gpu::new()?, &weights, &preprocess, 8, &LoadOptions::default())?;
/// let images = [Image::open("cat.jpg")?, Image::open("dog.png")?];
/// let vectors = pipeline.embed(&[(&images[0]).into(), (&images[1]).into()])?;
/// assert_eq!(vectors.shape().dims(), [2, 2048, 1, 1]);
/// # Ok::<(), wgpu_bottleneck::Error>(())
/// ```
#[derive(Debug)]
pub struct ImagePipeline {
    network: Network,
    preprocessor: Preprocessor,
}

impl ImagePipeline {
    /// Loads a network for runs of at most `batch` images; larger batches are run in several parts.
    ///
    /// # Errors
    /// As [`Network::load`] and [`Preprocessor::new`]; [`ShapeError`](crate::error::ShapeError) if
    /// the network's images do not have three channels.
    pub fn load(
        gpu: &Gpu,
        weights: &NetworkWeights,
        preprocess: &Preprocess,
        batch: usize,
        options: &LoadOptions,
    ) -> Result<Self> {
        preprocess.check()?;
        let options = LoadOptions { half_edges: false, ..options.clone() };
        let network = Network::load(gpu, weights, preprocess.shape(batch)?, &options)?;
        // Not `gpu`, which may be lost if its driver does not compile a kernel.
        let preprocessor = Preprocessor::new(network.executor().gpu(), preprocess)?;
        Ok(Self { network, preprocessor })
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The preprocessing of the images.
    #[must_use]
    pub fn preprocess(&self) -> &Preprocess {
        self.preprocessor.preprocess()
    }

    /// As [`Network::logits`].
    ///
    /// # Errors
    /// As [`Preprocessor::record`] and [`Network::logits`];
    /// [`ShapeError`](crate::error::ShapeError) if there is no image.
    pub fn logits(&mut self, images: &[Source<'_>]) -> Result<HostTensor> {
        Ok(last(self.tensors(images, Wanted::Output)?))
    }

    /// As [`Network::embed`].
    ///
    /// # Errors
    /// As [`ImagePipeline::logits`].
    pub fn embed(&mut self, images: &[Source<'_>]) -> Result<HostTensor> {
        Ok(last(self.tensors(images, Wanted::Pooled)?))
    }

    /// As [`Network::features`].
    ///
    /// # Errors
    /// As [`ImagePipeline::logits`].
    pub fn features(&mut self, images: &[Source<'_>]) -> Result<Vec<(String, HostTensor)>> {
        self.tensors(images, Wanted::Features)
    }

    /// One feature map as NCHW: `stem`, `layer1`, `layer2`, ...
    ///
    /// # Errors
    /// [`SpecError::UnknownMap`] for an unknown name; otherwise as [`ImagePipeline::logits`].
    pub fn feature_map(&mut self, images: &[Source<'_>], name: &str) -> Result<HostTensor> {
        let names = |wanted| self.network.named(wanted).1;
        if names(Wanted::Map(name)).is_empty() {
            let known = [names(Wanted::Map("stem")), names(Wanted::Features)].concat();
            return Err(SpecError::UnknownMap { name: name.to_owned(), known }.into());
        }
        Ok(last(self.tensors(images, Wanted::Map(name))?))
    }

    /// As [`Network::run`].
    ///
    /// # Errors
    /// As [`ImagePipeline::logits`].
    pub fn run(&mut self, images: &[Source<'_>]) -> Result<Vec<(String, HostTensor)>> {
        self.tensors(images, Wanted::Everything)
    }

    fn tensors(
        &mut self,
        images: &[Source<'_>],
        wanted: Wanted<'_>,
    ) -> Result<Vec<(String, HostTensor)>> {
        // Says that there is none.
        self.preprocess().shape(images.len())?;
        let mut whole: Vec<(String, HostTensor)> = Vec::new();
        let mut rest = images;
        while !rest.is_empty() {
            // A run may leave the network with smaller parts, where half precision could not hold a
            // layer.
            let (part, others) = rest.split_at(rest.len().min(self.network.input_shape().n));
            rest = others;
            let preprocessor = &self.preprocessor;
            let found = self.network.run_images(preprocessor, part, wanted)?;
            if whole.is_empty() {
                whole = found;
                continue;
            }
            for ((_, whole), (_, part)) in whole.iter_mut().zip(&found) {
                whole.append(part)?;
            }
        }
        Ok(whole)
    }
}
