//! Images in, numbers out: what comes out of a backbone is what its network gives for the
//! reference's preprocessing.

use crate::common::seeded_network::weights;
use crate::common::{Outcome, targets};
use wgpu_bottleneck::error::SpecError;
use wgpu_bottleneck::image::Resize;
use wgpu_bottleneck::network::BlockKind;
use wgpu_bottleneck::{
    Error, Image, ImagePipeline, LoadOptions, Network, Preprocess, ResNet, Source,
};

#[test]
fn images_of_any_size_in_batches_of_any_size() -> Outcome {
    let builder = ResNet::builder(BlockKind::Bottleneck)
        .depths([1, 1])
        .planes([4, 8])
        .stem_planes(5)
        .classes(Some(3));
    let (weights, _) = weights(&builder.build()?)?;
    let preprocess =
        Preprocess { resize: Resize::ShorterSide(30), crop: [28, 27], ..Preprocess::default() };
    let image = |width, height| {
        Image::from_fn(width, height, |x, y| [(3 * x) as u8, (5 * y) as u8, (x ^ y) as u8])
    };
    let images = [image(40, 30)?, image(1, 1)?, image(20, 90)?, image(200, 100)?, image(30, 30)?];
    let sources: Vec<Source<'_>> = images.iter().map(Into::into).collect();
    let input = preprocess.tensor(&images)?;
    for target in targets() {
        let mut network =
            Network::load(&target.gpu, &weights, input.shape(), &LoadOptions::default())?;
        let expected = network.run(&input)?;
        let mut pipeline =
            ImagePipeline::load(&target.gpu, &weights, &preprocess, 2, &LoadOptions::default())?;
        assert_eq!(pipeline.network().input_shape().n, 2);
        let close = |name: &str, found: &wgpu_bottleneck::HostTensor| {
            let expected =
                &expected.iter().find(|(other, _)| other == name).expect("the same names").1;
            let comparison = wgpu_bottleneck::tensor::compare(expected, found, network.tolerance());
            assert!(comparison.passed(), "{} {name}: {comparison}", target.name);
        };
        let all = pipeline.run(&sources)?;
        assert_eq!(all.len(), expected.len());
        all.iter().for_each(|(name, found)| close(name, found));
        close("logits", &pipeline.logits(&sources)?);
        close("pooled", &pipeline.embed(&sources)?);
        pipeline.features(&sources)?.iter().for_each(|(name, found)| close(name, found));
        for name in ["stem", "layer1", "layer2"] {
            close(name, &pipeline.feature_map(&sources, name)?);
        }
        for unknown in ["layer3", "pooled", "logits", "conv1", ""] {
            let error = pipeline.feature_map(&sources, unknown).err();
            let is_named = matches!(
                &error,
                Some(Error::Spec(SpecError::UnknownMap { name, known }))
                    if name == unknown && *known == ["stem", "layer1", "layer2"]
            );
            assert!(is_named, "{error:?}");
        }
        // A vector does not depend on what else is in the batch: the same bits.
        let alone = pipeline.embed(&sources[3..4])?;
        assert_eq!(
            alone.data(),
            &pipeline.embed(&sources)?.data()[3 * 32..4 * 32],
            "{}",
            target.name
        );
        assert!(matches!(pipeline.embed(&[]), Err(Error::Shape(_))));
    }
    Ok(())
}

#[test]
fn what_cannot_take_images_is_refused() -> Outcome {
    let builder = ResNet::builder(BlockKind::Bottleneck)
        .depths([1])
        .planes([4])
        .stem_planes(4)
        .in_channels(1);
    let (grey, _) = weights(&builder.build()?)?;
    let gpu = &targets()[0].gpu;
    let load = |preprocess: &Preprocess, batch| {
        ImagePipeline::load(gpu, &grey, preprocess, batch, &LoadOptions::default())
    };
    assert!(
        matches!(load(&Preprocess::default(), 1), Err(Error::Shape(_))),
        "three channels for one"
    );
    assert!(matches!(load(&Preprocess::default(), 0), Err(Error::Shape(_))), "a batch of nothing");
    let flat = Preprocess { std: [1.0, 0.0, 1.0], ..Preprocess::default() };
    assert!(matches!(load(&flat, 1), Err(Error::Image(_))), "a standard deviation of zero");
    Ok(())
}
