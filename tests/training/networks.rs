//! Networks: twenty steps as PyTorch takes them, and what a run must not do.

use std::collections::BTreeMap;

use wgpu_bottleneck::error::TrainingError;
use wgpu_bottleneck::kernel::Capabilities;
use wgpu_bottleneck::network::{Optimizer, ResNet, TrainingOptions, plan_network_training};
use wgpu_bottleneck::weights::{Initialization, NetworkState};
use wgpu_bottleneck::{BlockKind, CheckpointOptions, Network, NetworkWeights, Trainer};

use super::*;
use crate::common::{Outcome, any_gpu, golden_dir, targets};

/// How far losses may be from PyTorch's in f32,
const LOSS: f64 = 1e-4;
/// and what the network is at the end, as a share of the largest value of each tensor.
const STATE: f64 = 1e-3;

/// What PyTorch made of a network in twenty steps.
struct Run {
    name: String,
    dict: StateDict,
    options: TrainingOptions,
    rate: f64,
    steps: usize,
}

impl Run {
    fn open(path: &std::path::Path) -> Result<Self> {
        let dict = StateDict::open(path)?;
        let json = |key: &str| -> Result<serde_json::Value> {
            Ok(serde_json::from_str(dict.metadata(key).ok_or_else(|| format!("no {key}"))?)?)
        };
        let (about, run) = (json("optimizer")?, json("run")?);
        let number = |key: &str| about[key].as_f64().unwrap_or_default();
        let flag = |key: &str| about[key].as_bool().unwrap_or_default();
        let (weight_decay, decay_all) = (number("weight_decay"), flag("decay_all"));
        let optimizer = match about["name"].as_str() {
            Some("sgd") => {
                let (momentum, nesterov) = (number("momentum"), flag("nesterov"));
                Optimizer::Sgd { momentum, nesterov, weight_decay, decay_all }
            }
            _ => {
                let [beta1, beta2, eps] = ["beta1", "beta2", "eps"].map(number);
                Optimizer::AdamW { beta1, beta2, eps, weight_decay, decay_all }
            }
        };
        let frozen =
            run["frozen"].as_array().into_iter().flatten().filter_map(|name| name.as_str());
        let options = TrainingOptions {
            optimizer,
            frozen: frozen.map(str::to_owned).collect(),
            label_smoothing: run["smoothing"].as_f64().unwrap_or_default(),
            batches_per_step: run["over"].as_u64().unwrap_or(1) as usize,
            ..TrainingOptions::default()
        };
        let rate = run["rate"].as_f64().unwrap_or(0.004);
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let steps = run["steps"].as_u64().unwrap_or(20) as usize;
        Ok(Self { name, dict, options, rate, steps })
    }

    fn all() -> Result<Vec<Self>> {
        let entries = std::fs::read_dir(golden_dir().join("training/networks"))?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        paths.sort();
        paths.iter().map(|path| Self::open(path)).collect()
    }

    fn named(name: &str) -> Result<Self> {
        Self::all()?
            .into_iter()
            .find(|run| run.name == name)
            .ok_or_else(|| format!("no run {name}").into())
    }

    fn spec(&self) -> Result<ResNet> {
        let about: serde_json::Value =
            serde_json::from_str(self.dict.metadata("network").ok_or("no network")?)?;
        let list = |key: &str| -> Vec<usize> {
            about[key]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|n| n.as_u64())
                .map(|n| n as usize)
                .collect()
        };
        let number = |key: &str, default: u64| about[key].as_u64().unwrap_or(default) as usize;
        let kind =
            if about["kind"] == "Bottleneck" { BlockKind::Bottleneck } else { BlockKind::Basic };
        let dilate: Vec<bool> = about["dilate"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(serde_json::Value::as_bool)
            .collect();
        let builder = ResNet::builder(kind).depths(list("depths")).planes(list("planes"));
        let builder = builder.stem_planes(number("stem", 64)).classes(Some(number("classes", 0)));
        let builder =
            builder.groups(number("groups", 1)).width_per_group(number("width_per_group", 64));
        Ok(builder.replace_stride_with_dilation(dilate).build()?)
    }

    fn before(&self) -> Result<NetworkState> {
        let options =
            CheckpointOptions { prefix: Some("before".to_owned()), ..CheckpointOptions::default() };
        let weights =
            NetworkWeights::matching(self.dict.clone(), &self.spec()?, options.prefix.as_deref())?;
        Ok(NetworkState::read(&weights)?)
    }

    /// The images and classes of a batch.
    fn batch(&self, index: usize) -> Result<(HostTensor, Vec<usize>)> {
        let (images, classes) = (self.dict.nchw("pictures")?, self.dict.tensor("classes")?.data);
        let shape = Shape { n: 8, ..images.shape() };
        let at = index % 2;
        let values = images.data()[at * shape.len()..][..shape.len()].to_vec();
        let classes = classes[at * 8..][..8].iter().map(|&class| class as usize).collect();
        Ok((HostTensor::new(shape, values)?, classes))
    }

    fn load(&self, gpu: &Gpu, loading: &LoadOptions) -> Result<Trainer> {
        let shape = self.batch(0)?.0.shape();
        Ok(Trainer::load(gpu, &self.before()?, shape, &self.options, loading)?)
    }

    /// The learning rate of a step.
    fn rate(&self, step: usize) -> f64 {
        self.rate * 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / self.steps as f64).cos())
    }

    /// Takes steps, and says each batch's loss.
    fn train(&self, network: &mut Trainer, steps: std::ops::Range<usize>) -> Result<Vec<f64>> {
        let (over, mut losses) = (self.options.batches_per_step, Vec::new());
        for (step, part) in steps.flat_map(|step| (0..over).map(move |part| (step, part))) {
            let (images, classes) = self.batch(step * over + part)?;
            losses.push(network.step(&images, &classes, self.rate(step))?.loss());
        }
        Ok(losses)
    }

    /// How far the losses and the network at the end are from PyTorch's.
    fn off(&self, losses: &[f64], state: &NetworkState) -> Result<(f64, f64)> {
        let expected = self.dict.tensor("losses")?.data;
        assert_eq!(expected.len(), losses.len());
        let apart = expected.iter().zip(losses).map(|(a, b)| (f64::from(*a) - b).abs());
        let loss = apart
            .fold(0.0, |worst: f64, off| if off.is_nan() { f64::INFINITY } else { worst.max(off) });
        let (mut worst, mut compared) = (0.0_f64, 0);
        for (key, _) in self.spec()?.state_dict_shapes() {
            match key.strip_suffix(".num_batches_tracked") {
                Some(norm) => {
                    assert_eq!(
                        self.dict.counter(&format!("after.{key}"))?,
                        state.batches(norm),
                        "{}, {key}",
                        self.name
                    );
                }
                None => {
                    worst = worst.max(off(
                        &self.dict.tensor(&format!("after.{key}"))?.data,
                        state.values(&key)?,
                    ))
                }
            }
            compared += 1;
        }
        assert_eq!(compared, self.dict.keys().filter(|key| key.starts_with("after.")).count());
        Ok((loss, worst))
    }
}

#[test]
fn twenty_steps_are_pytorchs() -> Outcome {
    let runs = Run::all()?;
    assert!(runs.len() >= 6, "{} runs", runs.len());
    for (target, run) in
        targets().iter().flat_map(|target| runs.iter().map(move |run| (target, run)))
    {
        let mut network = run.load(&target.gpu, &LoadOptions::default())?;
        let losses = run.train(&mut network, 0..run.steps)?;
        let (loss, state) = run.off(&losses, &network.state()?)?;
        println!("{}, {}: losses {loss:.1e}, state {state:.1e}", target.name, run.name);
        assert!(
            loss < LOSS && state < STATE,
            "{}, {}: losses {loss:.1e}, state {state:.1e}",
            target.name,
            run.name
        );
    }
    Ok(())
}

/// Activations that are computed again are the same bits.
#[test]
fn recomputing_changes_nothing() -> Outcome {
    let gpu = any_gpu();
    for run in Run::all()? {
        let mut again = Run {
            options: TrainingOptions { recompute: true, ..run.options.clone() },
            ..Run::named(&run.name)?
        };
        again.rate = run.rate;
        let (mut kept, mut recomputed) =
            (run.load(&gpu, &LoadOptions::default())?, again.load(&gpu, &LoadOptions::default())?);
        assert_eq!(
            run.train(&mut kept, 0..3)?,
            again.train(&mut recomputed, 0..3)?,
            "{}",
            run.name
        );
        assert_eq!(kept.state()?, recomputed.state()?, "{}", run.name);
    }
    Ok(())
}

/// Computing activations again halves what they take, at least; parameters and what the optimiser
/// keeps stay.
#[test]
fn recomputing_halves_the_memory_of_activations() -> Outcome {
    for (name, image) in [
        ("resnet50", Shape::new(8, 3, 224, 224)?),
        ("resnext50_32x4d", Shape::new(8, 3, 224, 224)?),
    ] {
        let spec = ResNet::named(name)?.build()?;
        let activations = |recompute: bool| -> Result<usize> {
            let options = TrainingOptions { recompute, ..TrainingOptions::default() };
            let plan = plan_network_training(&spec, image, &options)?.plan;
            let given: usize = plan.variables.iter().map(|&id| plan.tensor(id).bytes()).sum();
            let recording = schedule(
                plan,
                &Capabilities::CORE,
                &KernelChoice::Ranked,
                MemoryBudget::default(),
            )?;
            Ok(recording.workspace_bytes() - given)
        };
        let (kept, again) = (activations(false)?, activations(true)?);
        println!("{name}, {image}: {} MiB kept, {} MiB recomputed", kept >> 20, again >> 20);
        assert!(2 * again <= kept, "{name}: {again} of {kept} bytes");
    }
    Ok(())
}

/// From what was saved after some steps, another process would go on to the same bits.
#[test]
fn a_run_goes_on_from_what_was_saved() -> Outcome {
    let gpu = any_gpu();
    for run in Run::all()? {
        let mut whole = run.load(&gpu, &LoadOptions::default())?;
        let losses = run.train(&mut whole, 0..run.steps)?;
        let mut first = run.load(&gpu, &LoadOptions::default())?;
        let mut parts = run.train(&mut first, 0..7)?;
        let (state, kept) = (first.state()?, first.optimizer_state()?);
        drop(first);
        let bytes = state.to_safetensors(&kept.tensors, &BTreeMap::new())?;
        let weights =
            NetworkWeights::matching(StateDict::from_bytes(bytes)?, state.spec(), Some(""))?;
        let state = NetworkState::read(&weights)?;
        let shape = run.batch(0)?.0.shape();
        let mut second = Trainer::load(&gpu, &state, shape, &run.options, &LoadOptions::default())?;
        second.restore(&kept)?;
        parts.extend(run.train(&mut second, 7..run.steps)?);
        assert_eq!(losses, parts, "{}", run.name);
        assert_eq!(whole.state()?, second.state()?, "{}", run.name);
        assert_eq!(whole.optimizer_state()?, second.optimizer_state()?, "{}", run.name);
    }
    Ok(())
}

/// What was trained classifies, its norms folded, as it did unfolded in eval mode.
#[test]
fn what_is_trained_can_be_run() -> Outcome {
    let (gpu, run) = (any_gpu(), Run::named("thin")?);
    let mut network = run.load(&gpu, &LoadOptions::default())?;
    run.train(&mut network, 0..20)?;
    let bytes = network.state()?.to_safetensors(&[], &BTreeMap::new())?;
    let weights =
        NetworkWeights::detect(StateDict::from_bytes(bytes)?, &CheckpointOptions::default())?;
    let (images, _) = run.batch(0)?;
    let mut folded = Network::load(&gpu, &weights, images.shape(), &LoadOptions::default())?;
    let (found, expected) = (folded.logits(&images)?, folded.reference(&weights, &images)?);
    let (_, expected) = expected.last().ok_or("no logits")?;
    assert!(off(expected.data(), found.data()) < 1e-5);
    Ok(())
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_and_names_the_layer() -> Outcome {
    let (gpu, run) = (any_gpu(), Run::named("thin")?);
    let mut network = run.load(&gpu, &LoadOptions::default())?;
    run.train(&mut network, 0..2)?;
    let before = network.state()?;
    let (mut images, classes) = run.batch(0)?;
    let mut values = images.data().to_vec();
    values[5] = f32::NAN;
    images = HostTensor::new(images.shape(), values)?;
    let refused = network.step(&images, &classes, 0.1).err().ok_or("went on")?;
    let found = matches!(
        &refused,
        Error::Training(TrainingError::NotFinite { step: 3, layer: Some(layer), .. })
            if layer == "conv1"
    );
    assert!(found, "{refused}");
    // No parameter took anything of it.
    let after = network.state()?;
    for (key, _) in run.spec()?.state_dict_shapes() {
        if key.ends_with("weight") || key.ends_with("bias") {
            assert_eq!(before.values(&key)?, after.values(&key)?, "{key}");
        }
    }
    Ok(())
}

/// What a batch that is no number has left in the sum of several batches' gradients is not added
/// to.
#[test]
fn a_step_of_several_batches_begins_anew_behind_a_loss_that_is_no_number() -> Outcome {
    let (gpu, run) = (any_gpu(), Run::named("two_blocks_accumulated")?);
    let (mut network, mut other) =
        (run.load(&gpu, &LoadOptions::default())?, run.load(&gpu, &LoadOptions::default())?);
    let (images, classes) = run.batch(0)?;
    let bad = HostTensor::from_fn(images.shape(), |_| f32::NAN);
    network.step(&images, &classes, 0.01)?;
    assert!(network.step(&bad, &classes, 0.01).is_err());
    for network in [&mut network, &mut other] {
        run.train(network, 0..1)?;
    }
    for (key, _) in run.spec()?.state_dict_shapes() {
        if key.ends_with("weight") || key.ends_with("bias") {
            assert_eq!(network.state()?.values(&key)?, other.state()?.values(&key)?, "{key}");
        }
    }
    Ok(())
}

#[test]
fn what_cannot_be_is_refused() -> Outcome {
    let (gpu, run) = (any_gpu(), Run::named("thin")?);
    let mut network = run.load(&gpu, &LoadOptions::default())?;
    let (images, mut classes) = run.batch(0)?;
    let text = |result: wgpu_bottleneck::Result<_>| {
        result.map(|_: wgpu_bottleneck::engine::BatchMetrics| ()).map_err(|error| error.to_string())
    };
    assert_eq!(
        text(network.step(&images, &classes[1..], 0.1)),
        Err("classes of the images: expected 8 values, found 7".to_owned())
    );
    assert!(
        text(network.step(&images, &classes, f64::NAN))
            .is_err_and(|error| error.contains("learning rate"))
    );
    classes[3] = 7;
    assert!(
        text(network.step(&images, &classes, 0.1))
            .is_err_and(|error| error.contains("image 3 has class 7"))
    );
    let shape = images.shape();
    let refused = |options: TrainingOptions| {
        let loaded = Trainer::load(&gpu, &run.before()?, shape, &options, &LoadOptions::default());
        loaded.err().map(|error| error.to_string()).ok_or_else(|| "loaded".into())
    };
    let plain = || TrainingOptions::default();
    let expect = |options: TrainingOptions, part: &str| -> Outcome {
        let error: String = refused(options).map_err(|error: Box<dyn std::error::Error>| error)?;
        assert!(error.contains(part), "{error}");
        Ok(())
    };
    expect(TrainingOptions { frozen: vec!["layer9".to_owned()], ..plain() }, "no part layer9")?;
    expect(
        TrainingOptions {
            frozen: ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"]
                .map(str::to_owned)
                .to_vec(),
            ..plain()
        },
        "nothing to train",
    )?;
    expect(TrainingOptions { batches_per_step: 0, ..plain() }, "batches_per_step")?;
    expect(TrainingOptions { batches_per_step: usize::MAX, ..plain() }, "batches_per_step")?;
    expect(TrainingOptions { bn_momentum: None, ..plain() }, "bn_momentum = None")?;
    expect(TrainingOptions { label_smoothing: 1.0, ..plain() }, "label_smoothing")?;
    let nesterov =
        Optimizer::Sgd { momentum: 0.0, nesterov: true, weight_decay: 0.0, decay_all: true };
    expect(TrainingOptions { optimizer: nesterov, ..plain() }, "momentum")?;
    let adamw =
        Optimizer::AdamW { beta1: 1.0, beta2: 0.9, eps: 1e-8, weight_decay: 0.0, decay_all: true };
    expect(TrainingOptions { optimizer: adamw, ..plain() }, "beta1")?;
    Ok(())
}

/// Parameters begin as torchvision's do: their spread is what He et al. say, and the seed says
/// them.
#[test]
fn initial_parameters_are_spread_as_torchvisions() -> Outcome {
    let spec = ResNet::builder(BlockKind::Bottleneck)
        .depths([1, 1])
        .planes([32, 64])
        .classes(Some(10))
        .build()?;
    let begin = |seed, zero_init_residual| {
        NetworkState::initial(&spec, Initialization { seed, zero_init_residual })
    };
    let state = begin(1, false);
    assert_eq!(state, begin(1, false));
    assert_ne!(state, begin(2, false));
    for (key, dims) in spec.state_dict_shapes() {
        if key.ends_with("num_batches_tracked") {
            continue;
        }
        let values = state.values(&key)?;
        let mean = values.iter().copied().map(f64::from).sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>()
            / values.len() as f64;
        match dims.as_slice() {
            &[out, _, h, w] => {
                let expected = 2.0 / (out * h * w) as f64;
                assert!(
                    (variance / expected - 1.0).abs() < 0.15,
                    "{key}: {variance} for {expected}"
                );
            }
            _ if key.starts_with("fc") => {
                let bound = 1.0 / (spec.features() as f64).sqrt();
                assert!(values.iter().all(|value| f64::from(value.abs()) <= bound), "{key}");
                assert!(
                    values.len() < 100 || (variance / (bound * bound / 3.0) - 1.0).abs() < 0.15,
                    "{key}: {variance}"
                );
            }
            _ => assert!(variance == 0.0 && [0.0, 1.0].contains(&mean), "{key}"),
        }
    }
    let zero = begin(1, true);
    assert!(zero.values("layer1.0.bn3.weight")?.iter().all(|&gamma| gamma == 0.0));
    assert!(zero.values("layer1.0.bn2.weight")?.iter().all(|&gamma| gamma == 1.0));
    Ok(())
}
