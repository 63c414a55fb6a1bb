//! Load tests: many threads and many devices.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wgpu_bottleneck::Gpu;

use super::cases::cases;
use super::holds::holds;
use super::{Failure, Outcome, wrong};

pub const THREADS: usize = 4;

/// Runs `work` on several threads; the number of the thread is its argument.
fn on_threads(work: impl Fn(usize) -> Outcome + Sync) -> Outcome {
    thread::scope(|scope| {
        let work = &work;
        let spawn = |number| scope.spawn(move || work(number));
        let handles: Vec<_> = (0..THREADS).map(spawn).collect();
        let panicked = |_| Failure::Wrong("a thread panicked".to_owned());
        handles.into_iter().try_for_each(|handle| handle.join().map_err(panicked)?)
    })
}

/// Several threads share one device.
pub fn threads(time: Duration) -> Outcome {
    let (gpu, cases, end) = (Gpu::new()?, cases()?, Instant::now() + time);
    let runs = AtomicUsize::new(0);
    on_threads(|number| {
        let mut turn = number;
        while Instant::now() < end {
            let case = &cases[turn % cases.len()];
            let mut chain = case.load(&gpu)?;
            for run in 0..5 {
                let output = match (run + number) % 2 {
                    0 => chain.run(&case.input)?,
                    _ => pollster::block_on(chain.run_async(&case.input))?,
                };
                if !case.is_right(&output) {
                    return wrong(format!("thread {number}"));
                }
                runs.fetch_add(1, Ordering::Relaxed);
            }
            turn += 1;
        }
        Ok(())
    })?;
    println!("{THREADS} threads on one device: {} right runs", runs.into_inner());
    Ok(())
}

/// Several threads, each of which repeatedly creates a device.
pub fn devices(time: Duration) -> Outcome {
    let (cases, end, runs) = (cases()?, Instant::now() + time, AtomicUsize::new(0));
    on_threads(|number| {
        while Instant::now() < end {
            let case = &cases[number % cases.len()];
            let gpu = Gpu::new()?;
            let mut chain = case.load(&gpu)?;
            drop(gpu);
            for _ in 0..3 {
                if !case.is_right(&chain.run(&case.input)?) {
                    return wrong(format!("thread {number}"));
                }
                runs.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    })?;
    println!("{THREADS} threads with devices: {} right runs, {}", runs.into_inner(), holds());
    Ok(())
}
