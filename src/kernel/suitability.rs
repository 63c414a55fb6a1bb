//! Whether a kernel can run on a device and for a problem.

use super::{Access, Capabilities, DeviceKind, Family, Kernel, Method, Problem, Tile, split_k};
use crate::op::Op;
use crate::tensor::DType;

impl Kernel {
    /// Whether a device with these capabilities can run the kernel, and the kernel is useful there.
    ///
    /// # Errors
    /// The reason, in words.
    pub fn runs_on(&self, capabilities: &Capabilities) -> Result<(), &'static str> {
        let Tile { workgroup_x, workgroup_y, .. } = self.tile;
        let demands = [
            (
                !self.family.uses_subgroups() || capabilities.subgroup_size == Some(workgroup_x),
                "not every subgroup has as many lanes as its tile",
            ),
            (self.access == Access::Vectors || capabilities.int64, "no 64-bit integers"),
            (!self.uses_f16() || capabilities.f16, "no half precision"),
            (
                match self.matrix_side {
                    0 => true,
                    8 => capabilities.matrices_of_8,
                    _ => capabilities.matrices_of_16,
                },
                "no matrix units for matrices of its side",
            ),
            (
                self.access == Access::Vectors || capabilities.kind == DeviceKind::Software,
                "weights from a texture are for software drivers",
            ),
            (
                workgroup_x <= capabilities.max_workgroup_x
                    && workgroup_y <= capabilities.max_workgroup_y
                    && workgroup_x * workgroup_y <= capabilities.max_invocations,
                "the workgroup is too large",
            ),
            (
                self.workgroup_bytes() <= capabilities.max_workgroup_bytes,
                "too little workgroup memory",
            ),
        ];
        demands.iter().find(|(met, _)| !met).map_or(Ok(()), |&(_, why)| Err(why))?;
        if self.is_refused(capabilities.refused) {
            return Err("the driver does not compile it");
        }
        Ok(())
    }

    /// Whether one of its dispatches has one of these names.
    pub(super) fn is_refused(&self, names: &[String]) -> bool {
        !names.is_empty() && self.dispatches().iter().any(|kernel| names.contains(&kernel.name()))
    }

    /// Whether the kernel supports the problem's form and size, beyond its operation.
    pub(super) fn suits(&self, problem: &Problem, capabilities: &Capabilities) -> bool {
        if self.winograd.is_some() && problem.weights_change != self.transforms_weights_each_run {
            return false;
        }
        if self.family == Family::WeightGradSubgroup && self.access == Access::Texture {
            let size = self.copied_texture(problem, capabilities).map(|(size, _)| size);
            return size.is_some_and(|[width, _]| width <= capabilities.max_texture_side);
        }
        let copied = self.copied_texture(problem, capabilities).map(|(size, _)| size);
        let texture = self.weights_texture(problem).or(copied).unwrap_or_default();
        // Weights that change are copied into their texture, and such copies require rows of a
        // multiple of 256 bytes.
        if problem.weights_change
            && !(texture[0] as usize * 4 * DType::F32.bytes()).is_multiple_of(256)
        {
            return false;
        }
        if texture.into_iter().any(|side| side > capabilities.max_texture_side) {
            return false;
        }
        let fits = |bytes: usize| bytes as u64 <= capabilities.max_binding_bytes;
        if self.is_split() {
            return split_k::suits(self, problem)
                && self.scratch_bytes(problem).into_iter().all(fits);
        }
        let Op::Conv { conv, .. } = problem.op else { return true };
        if let Some(winograd) = self.winograd {
            let weights = self.packed_values(problem).saturating_mul(DType::F32.bytes());
            return winograd.suits(&conv)
                && fits(weights)
                && self.scratch_bytes(problem).into_iter().all(fits);
        }
        let (lanes, columns) = (self.tile.workgroup_x as usize, self.tile.cols_per_thread as usize);
        let group_columns = problem.output.1.vec4_per_pixel() / conv.groups;
        let short_steps = conv.dilation == 1 && conv.stride <= 2;
        match self.family.method() {
            // All columns of a lane lie in one group.
            Method::Window => short_steps && group_columns.is_multiple_of(columns),
            // Each lane reads the weights of a single vec4 of channels.
            Method::Slide => {
                let in_columns = problem.inputs[0].1.vec4_per_pixel() / conv.groups;
                conv.dilation == 1 && conv.stride == 1 && in_columns == 1
            }
            // A tile's columns are whole groups, or a part of one; and its input columns lie as
            // they do.
            Method::Matrix if self.family == Family::Conv3x3GroupedMatrix => {
                let in_columns = problem.inputs[0].1.vec4_per_pixel() / conv.groups;
                let columns = self.tile_columns() as usize;
                in_columns == group_columns
                    && (columns.is_multiple_of(group_columns)
                        || group_columns.is_multiple_of(columns))
            }
            // A workgroup's columns are whole groups, and its input columns the same.
            Method::StagedGroups => {
                let in_columns = problem.inputs[0].1.vec4_per_pixel() / conv.groups;
                short_steps && in_columns == group_columns && lanes.is_multiple_of(group_columns)
            }
            _ => true,
        }
    }
}
