//! The textures that a kernel reads: its packed parameters, or a copy of an input or of scratch.

use super::{Access, Capabilities, Family, Kernel, Problem, train};

impl Kernel {
    /// Width and height of the texture that holds the packed parameters as texels of four values,
    /// if the kernel reads them from a texture: one row per quad of K, and one for the bias, which
    /// may end early.
    #[must_use]
    pub fn weights_texture(&self, problem: &Problem) -> Option<[u32; 2]> {
        let width = problem.output.1.vec4_per_pixel().saturating_mul(4);
        let height = self.packed_values(problem).div_ceil(width.saturating_mul(4));
        let transforms = self.family.is_transform()
            || self.family.is_training()
            || self.transforms_weights_each_run;
        let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        (self.access == Access::Texture && !transforms).then(|| [width, height].map(side))
    }

    /// Width and height of the texture into which data is copied before a launch, if the kernel
    /// reads an input or scratch from a texture. For the gradient of an output, also the base-2
    /// logarithm of the number of pixels in a texture row.
    #[must_use]
    pub fn copied_texture(
        &self,
        problem: &Problem,
        capabilities: &Capabilities,
    ) -> Option<([u32; 2], u32)> {
        match self.family {
            _ if self.access != Access::Texture => None,
            Family::WeightGradSubgroup => {
                train::gradient_texture(problem, capabilities.max_texture_side)
            }
            _ if self.transforms_weights_each_run => {
                Self { transforms_weights_each_run: false, ..*self }
                    .weights_texture(problem)
                    .map(|size| (size, 0))
            }
            _ => None,
        }
    }
}
