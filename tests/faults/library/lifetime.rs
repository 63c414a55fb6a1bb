//! Drops in unusual orders, cancelled futures, and many loads and devices.

use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use wgpu_bottleneck::wgpu::{Buffer, BufferDescriptor, BufferUsages, PollType};
use wgpu_bottleneck::{BlockChain, Gpu, LoadOptions, Network};

use super::cases::{Case, cases, tensor, weights};
use super::holds::holds;
use super::{Failure, Outcome, wrong};

/// Loads a block, binds it to buffers and drops everything in another order each round.
pub fn drops() -> Outcome {
    let case = Case::open("plain", 1)?;
    for round in 0..30 {
        let gpu = Gpu::new()?;
        let chain = case.load(&gpu)?;
        drop_in_order(round % 6, &case, gpu, chain)?;
    }
    println!("30 rounds of drops in 6 orders, {}", holds());
    Ok(())
}

fn drop_in_order(order: usize, case: &Case, gpu: Gpu, mut chain: BlockChain) -> Outcome {
    let sizes = [chain.executor().input_bytes(), chain.executor().output_bytes()];
    let [input, output] = sizes.map(|size| buffer(&gpu, size));
    let bound = chain.bind(&input, &output)?;
    let commands = bound.record()?;
    let (queue, device) = (gpu.queue().clone(), gpu.device().clone());
    let polled = |_| Failure::Error("polling failed".to_owned());
    match order {
        0 => {
            drop(gpu);
            if !case.is_right(&chain.run(&case.input)?) {
                return wrong("after the device's owner was dropped");
            }
            drop((chain, bound));
        }
        1 => {
            drop((chain, gpu));
            queue.submit(commands);
            drop(bound);
            device.poll(PollType::wait_indefinitely()).map_err(polled)?;
        }
        2 => {
            drop((input, output, gpu, chain));
            queue.submit(commands);
            drop(bound);
            device.poll(PollType::wait_indefinitely()).map_err(polled)?;
        }
        3 => {
            let threads = [thread::spawn(move || drop(chain)), thread::spawn(move || drop(bound))];
            for thread in threads {
                if thread.join().is_err() {
                    return wrong("a drop panicked");
                }
            }
            queue.submit(commands);
            drop(gpu);
        }
        4 => {
            drop(chain.run_async(&case.input));
            drop((commands, bound, input, gpu, chain, output));
        }
        _ => {
            drop((queue, device, commands));
            let mut other = case.load(&gpu)?;
            drop(chain);
            if !case.is_right(&other.run(&case.input)?) {
                return wrong("after another chain was dropped");
            }
            drop((other, bound, gpu));
        }
    }
    Ok(())
}

pub fn buffer(gpu: &Gpu, size: u64) -> Buffer {
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
    let descriptor = BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
    gpu.device().create_buffer(&descriptor)
}

/// Drops the future of a run after this many polls. Returns early if the run ends.
pub fn cancelled_run(chain: &mut BlockChain, case: &Case, polls: usize) {
    let mut context = Context::from_waker(Waker::noop());
    let mut run = Box::pin(chain.run_async(&case.input));
    for _ in 0..polls {
        if run.as_mut().poll(&mut context).is_ready() {
            break;
        }
        thread::sleep(Duration::from_micros(100));
    }
}

/// Drops futures after some polls. Later runs must be right.
pub fn cancel() -> Outcome {
    let gpu = Gpu::new()?;
    let (case, other) = (Case::open("odd_13x9_batch3", 1)?, Case::open("plain", 1)?);
    let (mut chain, mut other_chain) = (case.load(&gpu)?, other.load(&gpu)?);
    let target = buffer(&gpu, 64);
    let mut context = Context::from_waker(Waker::noop());
    for round in 0..400 {
        cancelled_run(&mut chain, &case, round % 5);
        if round % 2 == 0 && !other.is_right(&other_chain.run(&other.input)?) {
            return wrong("another chain after a cancelled run");
        }
        if round % 4 != 1 && !case.is_right(&chain.run(&case.input)?) {
            return wrong(format!("round {round} after a cancelled run"));
        }
        if round % 7 == 0 {
            let mut download = Box::pin(gpu.download_async(&target));
            let _ = download.as_mut().poll(&mut context);
        }
    }
    println!("400 futures cancelled, {}", holds());
    Ok(())
}

/// Loads, runs and drops blocks and networks on one device, then devices.
pub fn reload() -> Outcome {
    let (gpu, cases, weights) = (Gpu::new()?, cases()?, weights()?);
    for round in 0..200 {
        let case = &cases[round % cases.len()];
        if !case.is_right(&case.load(&gpu)?.run(&case.input)?) {
            return wrong(format!("round {round}"));
        }
        let input = tensor([1 + round % 3, 3, 32, 32])?;
        let mut network = Network::load(&gpu, &weights, input.shape(), &LoadOptions::default())?;
        network.logits(&input)?;
        if round % 25 == 24 {
            println!("{} loads, {}", round + 1, holds());
        }
    }
    for round in 0..40 {
        let (gpu, case) = (Gpu::new()?, &cases[round % cases.len()]);
        if !case.is_right(&case.load(&gpu)?.run(&case.input)?) {
            return wrong(format!("device {round}"));
        }
        if round % 10 == 9 {
            println!("{} devices, {}", round + 1, holds());
        }
    }
    Ok(())
}
