//! The host side of a launch: `Params` and workgroups, from the module of each kind of kernel.

use super::limits::check_iterations;
use super::{
    Capabilities, Family, HostStruct, Kernel, Problem, conv, elementwise, pool, split_k, train,
    update, winograd_transforms,
};
use crate::error::GpuError;
use crate::op::{Op, TrainOp};

impl Kernel {
    /// The bytes of `Params` and the number of workgroups for a problem.
    ///
    /// # Errors
    /// [`GpuError::TooManyWorkgroups`] if the device cannot launch this many;
    /// [`GpuError::KernelLimit`] for sums longer than the loop limit of a software driver.
    pub fn dispatch(
        &self,
        problem: &Problem,
        capabilities: &Capabilities,
    ) -> Result<(Vec<u8>, [u32; 3]), GpuError> {
        check_iterations(&self.name(), self.iterations(problem), capabilities)?;
        match self.family {
            Family::BatchNormRelu | Family::ResidualAdd | Family::Convert => {
                elementwise::dispatch(self, problem, capabilities)
            }
            Family::MaxPool | Family::GlobalAvgPool => pool::dispatch(self, problem, capabilities),
            Family::WinogradInput | Family::WinogradOutput => {
                winograd_transforms::dispatch(self, problem, capabilities)
            }
            Family::WinogradWeights => {
                winograd_transforms::weights_dispatch(self, problem, capabilities)
            }
            Family::SplitKSum => split_k::dispatch(self, problem, capabilities),
            Family::ReluGrad => elementwise::dispatch(self, problem, capabilities),
            Family::MaxPoolGrad | Family::AvgPoolGrad => {
                pool::dispatch(self, problem, capabilities)
            }
            Family::CrossEntropy | Family::CrossEntropyGrad | Family::Gate => {
                update::loss(self, problem, capabilities)
            }
            family if family.is_training() => match problem.op {
                Op::Train(TrainOp::Update(op)) => update::update(self, op, problem, capabilities),
                _ => train::dispatch(self, problem, capabilities),
            },
            _ => conv::dispatch(self, problem, capabilities),
        }
    }

    /// The members of the host's `Params` for this kernel as (name, byte offset), and its size, for
    /// comparison with the WGSL.
    #[must_use]
    pub fn host_params(&self) -> (&'static [(&'static str, usize)], usize) {
        match self.family {
            Family::BatchNormRelu | Family::ResidualAdd | Family::Convert => {
                elementwise::ElementwiseParams::layout()
            }
            Family::MaxPool | Family::GlobalAvgPool => pool::PoolParams::layout(),
            family if family.is_transform() => winograd_transforms::WinogradParams::layout(),
            Family::SplitKSum => split_k::SplitKParams::layout(),
            Family::ReluGrad => elementwise::ElementwiseParams::layout(),
            Family::MaxPoolGrad | Family::AvgPoolGrad => pool::PoolParams::layout(),
            Family::CrossEntropy | Family::CrossEntropyGrad | Family::Gate => {
                update::LossParams::layout()
            }
            family if family.is_update() => update::UpdateParams::layout(),
            Family::MirroredWeights
            | Family::InputGrad
            | Family::WeightGrad
            | Family::WeightGradSubgroup
            | Family::WeightGradSum => train::ConvGradParams::layout(),
            family if family.is_training() => train::NormParams::layout(),
            _ => conv::ConvParams::layout(),
        }
    }
}
