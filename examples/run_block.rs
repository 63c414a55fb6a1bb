//! Runs one block of a checkpoint on the best GPU.
//!
//!     scripts/with-gpu cargo run --release --example run_block [FILE.safetensors]
//!
//! FILE contains the block's state dict with PyTorch's keys and an NCHW tensor `input`. If it also
//! contains PyTorch's output `out`, the result is compared with it. The default is a small ResNeXt
//! block that PyTorch wrote.

use std::error::Error;

use wgpu_bottleneck::tensor::{Tolerance, compare};
use wgpu_bottleneck::{Block, BlockChain, BlockOptions, Gpu, LoadOptions, StateDict};

const DEFAULT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/demo/resnext.safetensors");

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| DEFAULT.to_owned());
    let file = StateDict::open(&path)?;

    // What no tensor's shape says is given here: stride, dilation and norm (with its eps). The
    // prefix is empty because the file holds one block; a whole network's file would want e.g.
    // "layer2.0.".
    let block = Block::from_state_dict(&file, "", &BlockOptions::default())?;
    let input = file.nchw("input")?;

    let gpu = Gpu::new()?;
    println!("{}", gpu.describe());

    // Planned, compiled and uploaded once for this input shape; run as often as you like.
    let mut model = BlockChain::load(&gpu, &[block], input.shape(), &LoadOptions::default())?;
    let output = model.run(&input)?;

    // Without PyTorch's output at hand, the f64 reference on the CPU says what is right.
    let (expected, tolerance) = match file.nchw("out") {
        Ok(expected) => (expected, Tolerance::relative(1e-5)),
        Err(_) => (model.reference(&input)?, model.tolerance()),
    };
    let comparison = compare(&expected, &output, tolerance);
    println!("{} -> {}: {comparison}", input.shape(), output.shape());
    if comparison.passed() { Ok(()) } else { Err("the numbers are wrong".into()) }
}
