//! Repeats every use of the library: the results stay the same, and the resources do not grow.

use std::time::{Duration, Instant};

use wgpu_bottleneck::{
    BlockChain, Gpu, HostTensor, Image, ImagePipeline, LoadOptions, Network, NetworkWeights,
    Source, Trainer, TrainingOptions,
};

use super::cases::{Case, cases, image, inputs, preprocess, state, weights};
use super::holds::{Holds, holds};
use super::lifetime::cancelled_run;
use super::load::THREADS;
use super::{Failure, Outcome, wrong};

/// How often each use is repeated in a turn.
const REPEATS: u32 = 20;
/// The turns after which the resources must not grow. Until then, caches are filled.
const WARM_TURNS: u32 = 3;
/// The number of image sizes. The pipeline keeps the weights of each size.
const SIZES: u32 = 12;
/// Memory may grow by this factor.
const GROWTH: f64 = 1.05;
/// Before this time, the allocator's pools still grow, and memory is not checked.
const MEMORY_AFTER: Duration = Duration::from_secs(600);
/// A kind of Vulkan's objects may grow by this number: wgpu keeps some for the next submit.
const MORE_OBJECTS: i64 = 16;
/// The time between two lines of the report.
const REPORT: Duration = Duration::from_secs(15);

/// What lives as long as the soak.
struct Soak {
    gpu: Gpu,
    cases: Vec<Case>,
    weights: NetworkWeights,
    chains: Vec<BlockChain>,
    network: Network,
    pipeline: ImagePipeline,
    trainer: Trainer,
    input: HostTensor,
    batch: HostTensor,
    fixed: Image,
    outputs: Vec<(String, HostTensor)>,
    vector: HostTensor,
    /// These threads live as long as the soak: wgpu keeps some memory for each thread that has
    /// called it (`upstream/error_scopes_keep_an_entry_per_thread.md`).
    workers: rayon::ThreadPool,
}

/// A use of the library, for the time with this number.
type Work = fn(&mut Soak, u32) -> Outcome;

/// The uses of a turn by name. The last ends with a submit of one thread, when nothing else is in
/// flight: the layer counts at submits.
const WORK: [(&str, Work); 8] = [
    ("threads", Soak::threads),
    ("blocks", Soak::blocks),
    ("networks", Soak::networks),
    ("images", Soak::images),
    ("training", Soak::training),
    ("reloads", Soak::reloads),
    ("cancelled", Soak::cancelled),
    ("devices", Soak::devices),
];

/// Repeats the uses with a name in `only`, or all of them if there is none.
pub fn soak(time: Duration, only: &[String]) -> Outcome {
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|wanted| wanted == name);
    let work: Vec<Work> =
        WORK.iter().filter(|(name, _)| is_wanted(name)).map(|(_, work)| *work).collect();
    if work.is_empty() {
        return Err(Failure::Error(format!("no use is named {}", only.join(", "))));
    }
    // The counts of an earlier run.
    if let Some(file) = std::env::var_os("LIVE") {
        let _ = std::fs::remove_file(file);
    }
    let mut soak = Soak::new()?;
    let (start, mut turn, mut reported) = (Instant::now(), 0, None);
    let mut warm = Holds::default();
    while start.elapsed() < time || turn <= WARM_TURNS {
        for work in &work {
            (0..REPEATS).try_for_each(|repeat| work(&mut soak, turn * REPEATS + repeat))?;
        }
        turn += 1;
        let now = holds();
        if turn == WARM_TURNS {
            println!("after {turn} turns: {now}");
            warm = now;
        } else if reported.is_none_or(|at: Instant| at.elapsed() > REPORT) {
            println!("{} s: {turn} turns, {now}", start.elapsed().as_secs());
            reported = Some(Instant::now());
        }
    }
    let now = holds();
    println!("{} s: {turn} turns, {now}", start.elapsed().as_secs());
    let growth = now.memory as f64 / warm.memory as f64;
    println!("memory: {growth:.3} of the memory after {WARM_TURNS} turns");
    grown(&warm, &now, start.elapsed() >= MEMORY_AFTER)?;
    println!("total: {turn} turns, 0 violations");
    Ok(())
}

/// An error if more resources are held now.
fn grown(warm: &Holds, now: &Holds, is_long: bool) -> Outcome {
    if std::env::var_os("LIVE").is_some() && now.objects.is_empty() {
        return wrong("the layer counts no objects");
    }
    for (kind, before) in &warm.objects {
        let after = now.objects.get(kind).copied().unwrap_or_default();
        if after > before + MORE_OBJECTS {
            return wrong(format!("{after} objects of the kind {kind}, {before} at the start"));
        }
    }
    if now.files > warm.files || now.threads > warm.threads {
        return wrong(format!("{now}; at the start {warm}"));
    }
    if is_long && now.memory as f64 > GROWTH * warm.memory as f64 {
        return wrong(format!("{now}; at the start {warm}"));
    }
    Ok(())
}

impl Soak {
    fn new() -> Outcome<Self> {
        let (gpu, cases, weights) = (Gpu::new()?, cases()?, weights()?);
        let (loading, (input, batch)) = (LoadOptions::default(), inputs()?);
        let mut chains = Vec::new();
        for case in &cases {
            chains.push(case.load(&gpu)?);
        }
        let mut network = Network::load(&gpu, &weights, input.shape(), &loading)?;
        let mut pipeline = ImagePipeline::load(&gpu, &weights, &preprocess(), 3, &loading)?;
        let options = TrainingOptions::default();
        let trainer = Trainer::load(&gpu, &state()?, batch.shape(), &options, &loading)?;
        let fixed = image(50, 40)?;
        let (outputs, vector) = (network.run(&input)?, pipeline.embed(&[(&fixed).into()])?);
        let workers = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build();
        let workers = workers.map_err(|error| Failure::Error(error.to_string()))?;
        Ok(Self {
            gpu,
            cases,
            weights,
            chains,
            network,
            pipeline,
            trainer,
            input,
            batch,
            fixed,
            outputs,
            vector,
            workers,
        })
    }

    fn blocks(&mut self, _: u32) -> Outcome {
        for (case, chain) in self.cases.iter().zip(&mut self.chains) {
            if !case.is_right(&chain.run(&case.input)?) {
                return wrong("a block");
            }
        }
        Ok(())
    }

    fn networks(&mut self, _: u32) -> Outcome {
        if self.network.run(&self.input)? != self.outputs {
            return wrong("the bits of the network changed");
        }
        Ok(())
    }

    fn images(&mut self, time: u32) -> Outcome {
        let mut images = Vec::new();
        for number in 0..4 {
            let seed = (time * 4 + number) % SIZES;
            images.push(image(20 + seed * 71 % 300, 20 + seed * 53 % 200)?);
        }
        self.pipeline.embed(&images.iter().map(Source::from).collect::<Vec<_>>())?;
        if self.pipeline.embed(&[(&self.fixed).into()])? != self.vector {
            return wrong("the bits of a vector changed");
        }
        Ok(())
    }

    fn training(&mut self, _: u32) -> Outcome {
        self.trainer.step(&self.batch, &[0, 1, 2, 3], 1e-4)?;
        Ok(())
    }

    /// Loads, runs and drops a block, a network and a trainer.
    fn reloads(&mut self, time: u32) -> Outcome {
        let case = self.case(time);
        if !case.is_right(&case.load(&self.gpu)?.run(&case.input)?) {
            return wrong("a block after it was loaded");
        }
        let loading = LoadOptions::default();
        let mut network = Network::load(&self.gpu, &self.weights, self.input.shape(), &loading)?;
        if network.run(&self.input)? != self.outputs {
            return wrong("the bits of a network after it was loaded");
        }
        let options = TrainingOptions::default();
        Trainer::load(&self.gpu, &state()?, self.batch.shape(), &options, &loading)?.step(
            &self.batch,
            &[0, 1, 2, 3],
            1e-4,
        )?;
        Ok(())
    }

    fn cancelled(&mut self, time: u32) -> Outcome {
        for (case, chain) in self.cases.iter().zip(&mut self.chains) {
            cancelled_run(chain, case, time as usize % 5);
            if !case.is_right(&chain.run(&case.input)?) {
                return wrong("a block after a cancelled run");
            }
        }
        Ok(())
    }

    fn devices(&mut self, time: u32) -> Outcome {
        let (gpu, case) = (Gpu::new()?, self.case(time));
        match case.is_right(&case.load(&gpu)?.run(&case.input)?) {
            true => Ok(()),
            false => wrong("a block on a new device"),
        }
    }

    fn threads(&mut self, _: u32) -> Outcome {
        let Self { gpu, cases, workers, .. } = self;
        let work = |worker: rayon::BroadcastContext<'_>| {
            let case = &cases[worker.index() % cases.len()];
            match case.is_right(&case.load(gpu)?.run(&case.input)?) {
                true => Ok(()),
                false => wrong(format!("thread {}", worker.index())),
            }
        };
        workers.broadcast(work).into_iter().collect()
    }

    fn case(&self, time: u32) -> &Case {
        &self.cases[time as usize % self.cases.len()]
    }
}
