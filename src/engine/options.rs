//! Options for loading.

use crate::gpu::ExecutorOptions;
use crate::plan::{KernelChoice, MemoryBudget, PlanKind, Precision};

/// Options for loading blocks and networks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadOptions {
    /// Fused kernels (the default), or each operation as a separate step.
    pub plan: PlanKind,
    /// How kernels are chosen.
    pub kernels: KernelChoice,
    /// Memory that kernels may use beyond the minimum.
    pub budget: MemoryBudget,
    /// Options of the executor, such as the memory layout.
    pub executor: ExecutorOptions,
    /// Element type of weights and activations on the device. Input and output stay f32 unless
    /// `half_edges` is set.
    pub precision: Precision,
    /// Whether input and output are f16 too if the precision is f16, for apps that bind their own
    /// buffers. Host tensors are always f32. Ignored by an [`ImagePipeline`](crate::ImagePipeline),
    /// whose preprocessed images are f32.
    pub half_edges: bool,
    /// Whether the output of every block (`layer1.0`, ...) is also an output of the network, for
    /// inspection. Each of these tensors then needs device memory of its own size.
    pub keep_blocks: bool,
    /// Names of steps to compute in f32 if the precision is f16: `layer4.2.conv3`, or
    /// `block0.conv2` in a chain of blocks.
    pub keep_f32: Vec<String>,
}
