//! A problem with input values and expected results.

use crate::error::{Error, GpuError, Result};
use crate::gpu::{Executor, ExecutorOptions, Gpu};
use crate::kernel::Problem;
use crate::op::StepParams;
use crate::plan::{KernelChoice, MemoryBudget, Plan, TensorId, schedule};
use crate::reference;
use crate::selftest::{Seeded, exact_params, small_integers};
use crate::tensor::{DType, HostTensor, Shape, Tolerance, compare, memory};

/// Maximum error of a candidate, relative to the largest value. The inputs are integers and
/// quarters, for which kernels that sum are exact: a missing or repeated term exceeds this.
const TOLERANCE: f64 = 1e-5;

/// Bytes of the inputs and of two outputs, in f32.
fn bytes(problem: &Problem) -> u64 {
    let (inputs, output) = (problem.inputs.iter().map(|(shape, _)| shape), &problem.output.0);
    let values = inputs.chain([output, output]).map(|shape| shape.len() as u64);
    values.fold(0, u64::saturating_add).saturating_mul(size_of::<f32>() as u64)
}

/// A problem with inputs, parameters and the reference's results.
pub(super) struct Sample {
    plan: Plan,
    tolerance: f64,
    params: StepParams,
    inputs: Vec<HostTensor>,
    /// For the first and the last image only: in f64 on the CPU, a whole batch would take longer
    /// than everything else.
    expected: Vec<(usize, HostTensor)>,
    /// The output for the whole batch of the first candidate that passed.
    agreed: Option<HostTensor>,
}

impl Sample {
    pub fn new(problem: &Problem) -> Result<Self> {
        memory::check("a sample", &problem.output.0.dims(), bytes(problem))?;
        let params = exact_params(&problem.op, &mut Seeded::new(7));
        let inputs: Vec<HostTensor> = (1..)
            .zip(&problem.inputs)
            .map(|(seed, (shape, _))| small_integers(*shape, seed))
            .collect();
        let mut images = vec![0, problem.output.0.n - 1];
        images.dedup();
        let expected = |at: usize| {
            let images = inputs.iter().map(|input| image(input, at)).collect::<Result<Vec<_>>>()?;
            Ok((at, reference::run_op(&problem.op, &params, &images.iter().collect::<Vec<_>>())?))
        };
        let expected = images.into_iter().map(expected).collect::<Result<_>>()?;
        // Values in half precision may be rounded up or down.
        let rounding = match problem.output_dtype {
            DType::F16 => 2.0 * DType::F16.unit_roundoff(),
            _ => 0.0,
        };
        let (plan, tolerance) = (Plan::single(problem), TOLERANCE.max(rounding));
        Ok(Self { plan, tolerance, params, inputs, expected, agreed: None })
    }

    /// Runs the candidate with this index and returns its executor, with the sample's weights, if
    /// the results were correct. The inner error describes what is wrong.
    ///
    /// # Errors
    /// A device that is lost or out of memory, after which no candidate can be checked.
    pub fn check(&mut self, gpu: &Gpu, candidate: usize) -> Result<Result<Executor, String>> {
        match self.run(gpu, candidate) {
            Ok((executor, output)) => Ok(self.compare(output)?.map(|()| executor)),
            Err(Error::Gpu(error)) if error.is_device_failure() => Err(error.into()),
            Err(error) => gpu.wait().map(|()| Err(error.to_string())),
        }
    }

    /// Runs a candidate with NaN in all memory except the inputs.
    fn run(&self, gpu: &Gpu, candidate: usize) -> Result<(Executor, HostTensor)> {
        let recording = schedule(
            self.plan.clone(),
            gpu.capabilities(),
            &KernelChoice::Nth(candidate),
            MemoryBudget::UNBOUNDED,
        )?;
        let params = std::slice::from_ref(&self.params);
        let mut executor = Executor::new(gpu, recording, params, ExecutorOptions::default())?;
        let variables: Vec<(TensorId, &HostTensor)> =
            (0..).map(TensorId).zip(&self.inputs).collect();
        let probe = executor.probe(&variables)?;
        let wrong = |reason: String| Err(GpuError::Wrong { doing: "tuning", reason }.into());
        match (probe.padding, &probe.changed[..]) {
            (Some(value), _) => {
                wrong(format!("a padding channel of the output holds {value}, not 0"))
            }
            (None, [changed, ..]) => wrong(format!("changed {changed}")),
            (None, []) => Ok((executor, probe.output)),
        }
    }

    /// Compares an output with the reference, and with the output of the first candidate.
    fn compare(&mut self, output: HostTensor) -> Result<Result<(), String>> {
        for (at, expected) in &self.expected {
            let comparison =
                compare(expected, &image(&output, *at)?, Tolerance::relative(self.tolerance));
            if !comparison.passed() {
                return Ok(Err(format!("wrong numbers in image {at}: {comparison}")));
            }
        }
        // The allowed difference between two candidates.
        let tolerance = Tolerance::relative(2.0 * self.tolerance);
        let comparison =
            compare(self.agreed.get_or_insert_with(|| output.clone()), &output, tolerance);
        Ok(if comparison.passed() { Ok(()) } else { Err(format!("wrong numbers: {comparison}")) })
    }
}

/// One image of a batch.
fn image(batch: &HostTensor, at: usize) -> Result<HostTensor> {
    let shape = Shape { n: 1, ..batch.shape() };
    Ok(HostTensor::new(shape, batch.data()[at * shape.len()..(at + 1) * shape.len()].to_vec())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Bottleneck, plan_block};
    use crate::plan::PlanKind;

    #[test]
    fn sizes_beyond_every_number_are_the_largest_one() -> Result<()> {
        let spec = Bottleneck::torchvision(16, 4).build()?;
        let plan = plan_block(&spec, Shape::new(1, 16, 6, 5)?, PlanKind::Fused)?;
        let mut problem = plan.problem(&plan.steps[0]);
        assert_eq!(bytes(&problem), 4 * 30 * (16 + 2 * 4));
        problem.output.0 = Shape { n: 1, c: 1, h: 1, w: usize::MAX };
        assert_eq!(bytes(&problem), u64::MAX);
        Ok(())
    }
}
