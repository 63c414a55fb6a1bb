//! The networks that torchvision names.

use super::{BlockKind, ResNet, ResNetBuilder};
use crate::error::SpecError;

/// The parameters of a named network. Stem, planes (64, 128, 256, 512) and classes (1000) are the
/// same for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// Its name in torchvision.
    pub name: &'static str,
    /// The kind of its blocks.
    pub kind: BlockKind,
    /// Blocks per stage.
    pub depths: [usize; 4],
    /// Groups of the 3x3 convolutions.
    pub groups: usize,
    /// Width per 64 planes and group.
    pub width_per_group: usize,
}

/// Every named network.
pub const VARIANTS: [Variant; 10] = [
    variant("resnet18", BlockKind::Basic, [2, 2, 2, 2], 1, 64),
    variant("resnet34", BlockKind::Basic, [3, 4, 6, 3], 1, 64),
    variant("resnet50", BlockKind::Bottleneck, [3, 4, 6, 3], 1, 64),
    variant("resnet101", BlockKind::Bottleneck, [3, 4, 23, 3], 1, 64),
    variant("resnet152", BlockKind::Bottleneck, [3, 8, 36, 3], 1, 64),
    variant("resnext50_32x4d", BlockKind::Bottleneck, [3, 4, 6, 3], 32, 4),
    variant("resnext101_32x8d", BlockKind::Bottleneck, [3, 4, 23, 3], 32, 8),
    variant("resnext101_64x4d", BlockKind::Bottleneck, [3, 4, 23, 3], 64, 4),
    variant("wide_resnet50_2", BlockKind::Bottleneck, [3, 4, 6, 3], 1, 128),
    variant("wide_resnet101_2", BlockKind::Bottleneck, [3, 4, 23, 3], 1, 128),
];

const fn variant(
    name: &'static str,
    kind: BlockKind,
    depths: [usize; 4],
    groups: usize,
    width_per_group: usize,
) -> Variant {
    Variant { name, kind, depths, groups, width_per_group }
}

impl Variant {
    /// A builder with its parameters, and torchvision's defaults for everything else.
    pub fn builder(&self) -> ResNetBuilder {
        ResNet::builder(self.kind)
            .depths(self.depths)
            .groups(self.groups)
            .width_per_group(self.width_per_group)
    }
}

impl ResNet {
    /// A network by its name in torchvision, e.g. `resnet50`, with 1000 classes and no dilation.
    ///
    /// # Errors
    /// [`SpecError::UnknownNetwork`], which lists the known names.
    pub fn named(name: &str) -> Result<ResNetBuilder, SpecError> {
        match VARIANTS.iter().find(|variant| variant.name == name) {
            Some(variant) => Ok(variant.builder()),
            None => {
                let known = VARIANTS.iter().map(|variant| variant.name).collect();
                Err(SpecError::UnknownNetwork { name: name.to_owned(), known })
            }
        }
    }

    /// The named network with the same block kind, depths, groups, widths and stem. Classes, input
    /// channels, norm, strides and dilations may differ.
    #[must_use]
    pub fn variant(&self) -> Option<&'static Variant> {
        let widths = self.stem().planes == 64 && self.planes() == [64, 128, 256, 512];
        VARIANTS.iter().filter(|_| widths).find(|variant| {
            variant.kind == self.kind()
                && variant.depths == *self.depths()
                && (variant.groups, variant.width_per_group)
                    == (self.groups(), self.width_per_group())
        })
    }
}
