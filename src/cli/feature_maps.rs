//! The feature maps of a network, by name: `stem`, `layer1`, `layer2`, ...

use wgpu_bottleneck::network::plan_network;
use wgpu_bottleneck::{HostTensor, NetworkWeights, PlanKind, Preprocess, Result, Shape};

/// Whether an output of a network is a feature map.
pub fn is_map(name: &str) -> bool {
    name == "stem" || name.starts_with("layer")
}

/// The name and the NCHW shape of each feature map, for one image.
pub fn of(
    weights: &NetworkWeights,
    preprocess: &Preprocess,
    kind: PlanKind,
) -> Result<Vec<(String, Shape)>> {
    let plan = plan_network(weights.spec(), preprocess.shape(1)?, kind)?;
    let named = plan.fetches.iter().map(|&id| plan.tensor(id));
    let maps = named.filter(|tensor| is_map(&tensor.name));
    Ok(maps.map(|tensor| (tensor.name.clone(), tensor.shape)).collect())
}

/// The mean over the pixels of each channel, `[batch, channels, 1, 1]`, summed in f64.
pub fn mean(map: &HostTensor) -> Result<HostTensor> {
    let shape = map.shape();
    let pixels = shape.h * shape.w;
    let mean = |channel: &[f32]| {
        channel.iter().map(|&value| f64::from(value)).sum::<f64>() / pixels as f64
    };
    let means = map.data().chunks_exact(pixels).map(|channel| mean(channel) as f32).collect();
    Ok(HostTensor::new(Shape { h: 1, w: 1, ..shape }, means)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_per_image_and_channel() -> Result<()> {
        let map = HostTensor::from_fn(Shape::new(2, 2, 1, 3)?, |at| at as f32);
        assert_eq!(mean(&map)?.shape(), Shape::new(2, 2, 1, 1)?);
        assert_eq!(mean(&map)?.data(), [1.0, 4.0, 7.0, 10.0]);
        Ok(())
    }
}
