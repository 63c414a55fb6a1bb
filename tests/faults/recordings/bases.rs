//! The valid recordings that are then changed.

use wgpu_bottleneck::kernel::Capabilities;
use wgpu_bottleneck::network::{Optimizer, plan_network_training};
use wgpu_bottleneck::plan::{KernelChoice, MemoryBudget, Plan, PlanKind, Recording, schedule};
use wgpu_bottleneck::{
    BlockKind, Bottleneck, LoadOptions, ResNet, Result, Shape, TrainingOptions, record,
    record_network,
};

use super::single;

/// The number of kernel choices per plan.
const CHOICES: usize = 6;

/// Valid recordings for a device: single steps, chains of blocks, networks and their training.
pub struct Bases {
    single: Vec<Recording>,
    large: Vec<Recording>,
}

impl Bases {
    pub fn new(capabilities: &Capabilities) -> Result<Self> {
        let mut single = Vec::new();
        for plan in single::plans()? {
            for nth in 0..CHOICES {
                let choice = KernelChoice::Nth(nth * 5);
                single.push(scheduled(plan.clone(), capabilities, choice)?);
            }
        }
        let mut large = Vec::new();
        for nth in 0..CHOICES {
            large.extend(chains(capabilities, &KernelChoice::Nth(nth * 3))?);
        }
        large.extend(chains(capabilities, &KernelChoice::Ranked)?);
        large.extend(networks(capabilities)?);
        for recording in single.iter().chain(&large) {
            recording.check(capabilities)?;
        }
        Ok(Self { single, large })
    }

    /// The base with this number: three in four are single steps, which run quickly.
    pub fn pick(&self, number: usize) -> &Recording {
        let from = if number.is_multiple_of(4) { &self.large } else { &self.single };
        &from[number / 4 % from.len()]
    }
}

fn scheduled(plan: Plan, capabilities: &Capabilities, choice: KernelChoice) -> Result<Recording> {
    schedule(plan, capabilities, &choice, MemoryBudget::UNBOUNDED)
}

fn chains(capabilities: &Capabilities, choice: &KernelChoice) -> Result<Vec<Recording>> {
    let strided = Bottleneck::torchvision(16, 4).stride(2).downsample(true).build()?;
    let plain = Bottleneck::torchvision(16, 4).build()?;
    let grouped = Bottleneck::torchvision(32, 8).groups(2).base_width(64).build()?;
    let mut recordings = Vec::new();
    for plan in [PlanKind::Fused, PlanKind::Unfused] {
        let options = LoadOptions { plan, kernels: choice.clone(), ..LoadOptions::default() };
        let chain = record(&[strided, plain], Shape::new(2, 16, 9, 7)?, capabilities, &options)?;
        recordings.push(chain);
        recordings.push(record(&[grouped], Shape::new(1, 32, 6, 5)?, capabilities, &options)?);
    }
    Ok(recordings)
}

/// A small network: inference, and training with each optimiser.
fn networks(capabilities: &Capabilities) -> Result<Vec<Recording>> {
    let network = ResNet::builder(BlockKind::Bottleneck)
        .depths(vec![1, 1])
        .planes(vec![4, 8])
        .stem_planes(4)
        .classes(Some(5))
        .build()?;
    let keep_blocks = LoadOptions { keep_blocks: true, ..LoadOptions::default() };
    let input = Shape::new(2, 3, 32, 32)?;
    let mut recordings = vec![record_network(&network, input, capabilities, &keep_blocks)?];
    let accumulated = TrainingOptions {
        optimizer: Optimizer::adamw(),
        batches_per_step: 2,
        recompute: true,
        ..TrainingOptions::default()
    };
    for options in [TrainingOptions::default(), accumulated] {
        let plan = plan_network_training(&network, Shape::new(2, 3, 16, 16)?, &options)?.plan;
        for choice in [KernelChoice::Ranked, KernelChoice::Nth(1)] {
            recordings.push(scheduled(plan.clone(), capabilities, choice)?);
        }
    }
    Ok(recordings)
}
