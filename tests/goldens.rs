//! PyTorch's numbers: every golden block, fused and unfused, with every candidate kernel, on every
//! device, and in the reference.

use crate::common::{Outcome, goldens, is_wanted, most_candidates, targets};
use wgpu_bottleneck::plan::{KernelChoice, PlanKind};
use wgpu_bottleneck::tensor::{Tolerance, compare};
use wgpu_bottleneck::{BlockChain, LoadOptions, kernel, network, record};

/// The largest error accepted, as a share of the largest value that PyTorch gives.
const TOLERANCE: Tolerance = Tolerance::relative(1e-5);

#[test]
fn every_candidate_matches_pytorch() -> Outcome {
    let goldens = goldens()?;
    assert!(goldens.len() >= 30, "only {} goldens", goldens.len());
    let (mut failures, mut runs) = (Vec::new(), 0);
    for target in targets() {
        for golden in &goldens {
            for plan in [PlanKind::Fused, PlanKind::Unfused] {
                let spec = *golden.block()?.spec();
                let steps = network::plan_block(&spec, golden.input.shape(), plan)?;
                for candidate in 0..most_candidates(&steps, target.gpu.capabilities(), false) {
                    let options = LoadOptions {
                        plan,
                        kernels: KernelChoice::Nth(candidate),
                        ..Default::default()
                    };
                    if !is_wanted(&record(
                        &[spec],
                        golden.input.shape(),
                        target.gpu.capabilities(),
                        &options,
                    )?) {
                        continue;
                    }
                    let mut model = BlockChain::load(
                        &target.gpu,
                        &[golden.block()?],
                        golden.input.shape(),
                        &options,
                    )?;
                    model.executor_mut().poison()?;
                    let found = model.run(&golden.input)?;
                    let spreads = model.tolerance().spreads;
                    let comparison =
                        compare(&golden.output, &found, Tolerance { spreads, ..TOLERANCE });
                    runs += 1;
                    if !comparison.passed() {
                        let kernels: Vec<String> = model
                            .recording()
                            .steps()
                            .flat_map(|s| &s.dispatches)
                            .map(|d| d.kernel.name())
                            .collect();
                        failures.push(format!(
                            "{} on {}: {comparison} ({})",
                            golden.name,
                            target.name,
                            kernels.join(", ")
                        ));
                    }
                }
            }
        }
        println!("{}: {runs} runs so far", target.name);
    }
    assert!(
        failures.is_empty(),
        "{} of {runs} runs failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
    Ok(())
}

#[test]
fn reference_matches_pytorch() -> Outcome {
    let capabilities = kernel::Capabilities::CORE;
    for golden in goldens()? {
        for plan in [PlanKind::Fused, PlanKind::Unfused] {
            let block = golden.block()?;
            let options = LoadOptions { plan, ..Default::default() };
            let recording = wgpu_bottleneck::record(
                &[*block.spec()],
                golden.input.shape(),
                &capabilities,
                &options,
            )?;
            let params = wgpu_bottleneck::Block::params(&[block], &recording.plan)?;
            let found = wgpu_bottleneck::reference::run(&recording, &params, &golden.input)?;
            let comparison = compare(&golden.output, &found, TOLERANCE);
            assert!(comparison.passed(), "{} {plan:?}: {comparison}", golden.name);
        }
    }
    Ok(())
}
