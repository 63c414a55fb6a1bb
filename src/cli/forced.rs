//! `--kernel` for several models: the kernel is used for every step that it fits.

use std::cell::RefCell;

use wgpu_bottleneck::error::GpuError;
use wgpu_bottleneck::plan::KernelChoice;
use wgpu_bottleneck::{Block, BlockChain, Error, Gpu, LoadOptions, PlanKind, Shape};

use super::error::CliError;

/// The requested kernel, and whether a model has used it.
pub struct Forced<'a> {
    gpu: &'a Gpu,
    kernel: Option<&'a str>,
    /// The error of the last model without the kernel.
    missing: RefCell<Option<Error>>,
    met: RefCell<bool>,
}

impl<'a> Forced<'a> {
    /// For models on this device.
    pub fn new(gpu: &'a Gpu, kernel: Option<&'a str>) -> Self {
        Self { gpu, kernel, missing: RefCell::default(), met: RefCell::default() }
    }

    /// The device.
    pub fn gpu(&self) -> &'a Gpu {
        self.gpu
    }

    /// Loads a model, with the kernel where the model has a step for it.
    pub fn load(
        &self,
        blocks: &[Block],
        input: Shape,
        plan: PlanKind,
    ) -> Result<BlockChain, Error> {
        self.load_by(|kernels| {
            BlockChain::load(
                self.gpu,
                blocks,
                input,
                &LoadOptions { plan, kernels, ..Default::default() },
            )
        })
    }

    /// Loads anything else in the same way.
    pub fn load_by<T>(&self, load: impl Fn(KernelChoice) -> Result<T, Error>) -> Result<T, Error> {
        let Some(kernel) = self.kernel else { return load(KernelChoice::Ranked) };
        match load(KernelChoice::Named(kernel.to_owned())) {
            Err(error @ Error::Gpu(GpuError::NoSuchKernel { .. })) => {
                *self.missing.borrow_mut() = Some(error);
                load(KernelChoice::Ranked)
            }
            loaded => {
                *self.met.borrow_mut() = true;
                loaded
            }
        }
    }

    /// Fails if no model had the kernel.
    pub fn check(&self) -> Result<(), CliError> {
        match self.missing.take() {
            Some(error) if !*self.met.borrow() => Err(error.into()),
            _ => Ok(()),
        }
    }
}
