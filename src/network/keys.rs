//! The state dict of a network.

use super::{Norm, ResNet};
use crate::op::Conv;

/// A list of keys and shapes under construction.
struct Keys {
    norm: Norm,
    shapes: Vec<(String, Vec<usize>)>,
}

impl Keys {
    fn push(&mut self, module: &str, part: &str, dims: &[usize]) {
        self.shapes.push((format!("{module}.{part}"), dims.to_vec()));
    }

    /// A norm's tensors, in PyTorch's order.
    fn norm(&mut self, module: &str, channels: usize) {
        if self.norm == Norm::Identity {
            return;
        }
        for part in ["weight", "bias", "running_mean", "running_var"] {
            self.push(module, part, &[channels]);
        }
        if matches!(self.norm, Norm::BatchNorm2d { .. }) {
            self.push(module, "num_batches_tracked", &[]);
        }
    }
}

impl ResNet {
    /// Every key of the state dict and its shape, in torchvision's order; `num_batches_tracked` is
    /// a scalar, `[]`.
    #[must_use]
    pub fn state_dict_shapes(&self) -> Vec<(String, Vec<usize>)> {
        let mut keys = Keys { norm: self.norm(), shapes: Vec::new() };
        keys.push("conv1", "weight", &weight_dims(&self.stem().conv()));
        keys.norm("bn1", self.stem().planes);
        for (name, block) in self.blocks() {
            for layer in block.layers() {
                keys.push(
                    &format!("{name}.{}", layer.conv_name),
                    "weight",
                    &weight_dims(&layer.conv),
                );
                keys.norm(&format!("{name}.{}", layer.norm_name), layer.conv.out_channels);
            }
        }
        if let Some(classes) = self.classes() {
            keys.push("fc", "weight", &[classes, self.features()]);
            keys.push("fc", "bias", &[classes]);
        }
        keys.shapes
    }

    /// The number of values that PyTorch counts as parameters: weights and biases. A norm's
    /// statistics are buffers, as are all tensors of a FrozenBatchNorm2d.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        let frozen = matches!(self.norm(), Norm::FrozenBatchNorm2d { .. });
        let counted = |key: &str, dims: &[usize]| match key.rsplit_once('.') {
            Some((module, "weight" | "bias")) => !frozen || dims.len() > 1 || module == "fc",
            _ => false,
        };
        let shapes = self.state_dict_shapes();
        let sizes = shapes.iter().filter(|(key, dims)| counted(key, dims));
        let sizes = sizes
            .map(|(_, dims)| dims.iter().fold(1u64, |size, &dim| size.saturating_mul(dim as u64)));
        sizes.fold(0, u64::saturating_add)
    }
}

/// `[out, in / groups, k, k]`.
fn weight_dims(conv: &Conv) -> [usize; 4] {
    let side = conv.kernel.side();
    [conv.out_channels, conv.in_per_group(), side, side]
}
