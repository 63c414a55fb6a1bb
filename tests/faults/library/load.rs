//! Load tests: many threads, many devices, and long runs.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wgpu_bottleneck::{Gpu, ImagePipeline, LoadOptions, Network, Source, Trainer, TrainingOptions};

use super::cases::{cases, image, inputs, preprocess, state, weights};
use super::{Failure, Outcome, wrong};

const THREADS: usize = 4;

/// The resources of the process: resident memory, open files and threads.
pub fn holds() -> String {
    let count = |folder| fs::read_dir(folder).map_or(0, Iterator::count);
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    let (files, threads) = (count("/proc/self/fd"), count("/proc/self/task"));
    format!("{} MiB, {files} files, {threads} threads", pages * 4 / 1024)
}

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

/// Repeats blocks, a network, images and training: the results are bit-identical, and the resources
/// do not grow.
pub fn soak(time: Duration) -> Outcome {
    let (gpu, cases, weights) = (Gpu::new()?, cases()?, weights()?);
    let (loading, (input, batch)) = (LoadOptions::default(), inputs()?);
    let mut chains = Vec::new();
    for case in &cases {
        chains.push(case.load(&gpu)?);
    }
    let mut network = Network::load(&gpu, &weights, input.shape(), &loading)?;
    let mut pipeline = ImagePipeline::load(&gpu, &weights, &preprocess(), 3, &loading)?;
    let options = TrainingOptions::default();
    let mut trainer = Trainer::load(&gpu, &state()?, batch.shape(), &options, &loading)?;
    let fixed = image(50, 40)?;
    let (first, first_vector) = (network.run(&input)?, pipeline.embed(&[(&fixed).into()])?);
    let (start, mut turns, mut reports) = (Instant::now(), 0_u32, 0);
    while start.elapsed() < time {
        for (case, chain) in cases.iter().zip(&mut chains) {
            if !case.is_right(&chain.run(&case.input)?) {
                return wrong("a block");
            }
        }
        if network.run(&input)? != first {
            return wrong("the bits of the network changed");
        }
        // Images of many sizes.
        let mut images = Vec::new();
        for number in 0..4 {
            let (width, height) =
                ((turns * 7 + number * 13) % 300, (turns * 5 + number * 11) % 200);
            images.push(image(20 + width, 20 + height)?);
        }
        pipeline.embed(&images.iter().map(Source::from).collect::<Vec<_>>())?;
        if pipeline.embed(&[(&fixed).into()])? != first_vector {
            return wrong("the bits of a vector changed");
        }
        trainer.step(&batch, &[0, 1, 2, 3], 1e-4)?;
        turns += 1;
        if start.elapsed().as_secs() / 15 >= reports {
            reports += 1;
            println!("{} s: {turns} turns, {}", start.elapsed().as_secs(), holds());
        }
    }
    Ok(())
}
