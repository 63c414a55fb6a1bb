//! `train`: initial weights, resuming, and the files it writes.

use wgpu_bottleneck::image::Filter;

use super::*;

/// A transformers network with downsample_in_bottleneck gives PyTorch's numbers. Another activation
/// is refused by every command.
#[test]
fn hugging_faces_configuration_is_followed_in_training_too() -> Outcome {
    let (work, case) = (Work::new()?, expected("huggingface")?);
    let folder = work.copy("huggingface", &["model.safetensors", "config.json"])?;
    let loss = train_frozen(&work, &folder, "hf", true, &case)?;
    near("train --init", &[loss], &[case["loss"].as_f64().ok_or("no loss")?]);
    // The trained network keeps the stride position.
    let trained = NetworkWeights::open(work.path("hf"), &CheckpointOptions::default())?;
    assert_eq!(trained.spec().stride_in(), StrideIn::Conv1);
    let images = images()?;
    let sources: Vec<Source<'_>> = images.iter().map(Source::from).collect();
    let opened = NetworkWeights::open(&folder, &CheckpointOptions::default())?;
    for weights in [trained, opened] {
        let mut pipeline =
            ImagePipeline::load(&Gpu::new()?, &weights, &prepared(48), 8, &LoadOptions::default())?;
        near("the library", &wide(pipeline.logits(&sources)?.data()), &numbers(&case["logits"]));
    }
    let config = std::fs::read_to_string(folder.join("config.json"))?;
    std::fs::write(folder.join("config.json"), config.replace("\"relu\"", "\"gelu\""))?;
    let images = golden("images").display().to_string();
    let says = ["config.json", "hidden_act", "gelu", "relu"];
    assert_eq!(
        complaint(&work.run("classify", &folder, &["--stride-in", "1x1", &images])?, 2, &says),
        None
    );
    let mut train = bottleneck();
    train
        .current_dir(work.0.path())
        .args(["train", "--data", &images, "--out", "gelu", "--batch", "4", "--init"]);
    assert_eq!(complaint(&run(train.arg(&folder).args(["--stride-in", "1x1"]))?, 2, &says), None);
    assert!(!work.path("gelu").exists());
    Ok(())
}

/// `train --init` accepts the options of the other commands.
#[test]
#[expect(clippy::too_many_lines, reason = "one job from start to end")]
fn training_begins_with_a_prefix_and_options() -> Outcome {
    let (work, case) = (Work::new()?, expected("caffe")?);
    let mut wrapped = DictBuilder::default();
    let bytes = bare("caffe")?;
    for (key, view) in SafeTensors::deserialize(&bytes)?.tensors() {
        wrapped.raw(&format!("teacher.{key}"), view.dtype(), view.shape(), view.data().to_vec());
    }
    std::fs::write(work.path("w.safetensors"), wrapped.bytes())?;
    let images = golden("images").display().to_string();
    let args = |out: &'static str, further: &[&'static str]| {
        let mut program = bottleneck();
        program.current_dir(work.0.path()).args([
            "train",
            "--data",
            &images,
            "--validation",
            &images,
            "--out",
            out,
        ]);
        program.args([
            "--model",
            "bottleneck",
            "--depths",
            "1,1",
            "--planes",
            "8,12",
            "--stem-planes",
            "8",
        ]);
        program.args([
            "--size",
            "48",
            "--batch",
            "12",
            "--epochs",
            "1",
            "--lr",
            "0",
            "--init",
            "w.safetensors",
        ]);
        program.args([
            "--freeze", "conv1", "--freeze", "bn1", "--freeze", "layer1", "--freeze", "layer2",
        ]);
        program.args(further);
        program
    };
    let prefix = ["--prefix", "teacher"];
    let output = run(&mut args(
        "good",
        &[&prefix[..], &["--stride-in", "1x1", "--max-pool", "ceil"]].concat(),
    ))?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    near(
        "caffe",
        &[validation(&work.path("good"), "validation_loss")?],
        &[case["loss"].as_f64().ok_or("no loss")?],
    );
    let output = run(&mut args("other", &prefix))?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let other = validation(&work.path("other"), "validation_loss")?;
    assert!((other - case["loss"].as_f64().ok_or("no loss")?).abs() > 1e-3, "{other}");
    // The prefix is found without the option.
    let output = run(&mut args("found", &[]))?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(validation(&work.path("found"), "validation_loss")?, other);
    let no_init =
        run(bottleneck().args(["train", "--data", &images, "--out", "x", "--prefix", "a"]))?;
    assert_eq!(complaint(&no_init, 2, &["--init"]), None);
    Ok(())
}

/// A resumed run is bit-identical with and without --init: the checkpoint contains everything that
/// was read from --init.
#[test]
#[expect(clippy::too_many_lines, reason = "one job from start to end")]
fn a_run_goes_on_as_it_began() -> Outcome {
    let work = Work::new()?;
    let folder = work.path("init");
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("model.safetensors"), bare("dilated")?)?;
    let config = r#"{"wgpu_bottleneck": {"dilation": [1, 2], "multi_grid": [4], "eps": 1e-4,
        "max_pool": "ceil", "stride_in": "1x1"},
        "pretrained_cfg": {"input_size": [3, 40, 40], "crop_pct": 1.0, "crop_mode": "squash",
        "interpolation": "bicubic", "mean": [0.5, 0.4, 0.3], "std": [0.25, 0.5, 0.75]}}"#;
    std::fs::write(folder.join("config.json"), config)?;
    let images = golden("images").display().to_string();
    // Network and size come from --init.
    let train = |out: &str, epochs: &str, further: &[&str]| {
        let mut program = bottleneck();
        program.current_dir(work.0.path()).args([
            "train",
            "--data",
            &images,
            "--validation",
            &images,
            "--out",
            out,
        ]);
        program
            .args(["--batch", "4", "--lr", "0.01", "--checkpoint-every", "1", "--epochs", epochs])
            .args(further);
        program
    };
    let init = ["--init", "init"];
    let whole = run(&mut train("whole", "3", &init))?;
    assert_eq!(whole.status.code(), Some(0), "{}", stderr(&whole));
    assert!(
        stderr(&whole).contains("40 x 40 (bicubic), mean [0.5, 0.4, 0.3]"),
        "{}",
        stderr(&whole)
    );
    for (out, again) in [("again", &init[..]), ("without", &[])] {
        let mut child = train(out, "3", &init).stderr(std::process::Stdio::null()).spawn()?;
        while !work.path(out).join("log.csv").exists() {
            assert!(child.try_wait()?.is_none(), "it ended by itself");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.kill()?;
        child.wait()?;
        let output = run(&mut train(out, "3", &[again, &["--resume"]].concat()))?;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        for file in ["model.safetensors", "config.json"] {
            let [one, other] =
                ["whole", out].map(|folder| std::fs::read(work.path(folder).join(file)));
            assert!(one? == other?, "{out}: {file}");
        }
    }
    let trained = NetworkWeights::open(work.path("whole"), &CheckpointOptions::default())?;
    assert_eq!((trained.spec().multi_grid(), trained.spec().norm().eps()), (vec![4], Some(1e-4)));
    let preprocess = trained.preprocess()?;
    assert_eq!(
        (preprocess.crop, preprocess.mean, preprocess.filter),
        ([40, 40], [0.5, 0.4, 0.3], Filter::Bicubic)
    );
    let other = run(&mut train("without", "3", &["--resume", "--eps", "1e-5"]))?;
    assert_eq!(complaint(&other, 2, &["other settings: network"]), None);
    // The multi grid can be overridden.
    let output = run(&mut train("dropped", "1", &[&init[..], &["--multi-grid", "1"]].concat()))?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        NetworkWeights::open(work.path("dropped"), &CheckpointOptions::default())?
            .spec()
            .multi_grid(),
        [1]
    );
    // An unsupported preprocessing is an error.
    std::fs::write(
        folder.join("preprocessor_config.json"),
        r#"{"image_processor_type": "DeiTImageProcessor"}"#,
    )?;
    let refused = run(&mut train("unknown", "1", &init))?;
    assert_eq!(
        complaint(&refused, 2, &["preprocessor_config.json", "DeiT", "to another folder"]),
        None
    );
    assert!(!work.path("unknown").exists());
    Ok(())
}

/// Trains on stripes from scratch; `classify` must agree with the reported validation accuracy.
#[test]
#[expect(clippy::too_many_lines, reason = "one job from start to end")]
fn what_was_trained_is_classified_as_validation_saw_it() -> Outcome {
    let work = Work::new()?;
    for (folder, count) in [("train", 24_u32), ("val", 6)] {
        for (name, period) in CLASSES.iter().zip([0.0, 3.0, 6.0, 12.0]) {
            let class = work.path(folder).join(name);
            std::fs::create_dir_all(&class)?;
            for index in 0..count {
                let turn = f64::from(index * 37 + count) * 0.1;
                stripes(period, turn).save(class.join(format!("{index:02}.png")))?;
            }
        }
    }
    let mut train = bottleneck();
    train.current_dir(work.0.path()).args([
        "train",
        "--data",
        "train",
        "--validation",
        "val",
        "--out",
        "out",
    ]);
    train.args([
        "--model",
        "bottleneck",
        "--depths",
        "1,1",
        "--planes",
        "8,12",
        "--stem-planes",
        "8",
        "--size",
        "48",
    ]);
    train.args([
        "--epochs", "8", "--batch", "16", "--warmup", "1", "--crop", "0.5,1", "--eps", "1e-3",
    ]);
    let output = run(&mut train)?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let reported = (validation(&work.path("out"), "validation_accuracy")? * 24.0).round() as usize;
    assert!(reported > 12, "nothing was learned: {reported} of 24");
    std::fs::create_dir(work.path("elsewhere"))?;
    std::fs::copy(work.path("out/model.safetensors"), work.path("elsewhere/any name.safetensors"))?;
    std::fs::copy(
        work.path("out/checkpoint.safetensors"),
        work.path("elsewhere/checkpoint.safetensors"),
    )?;
    for weights in [
        "out",
        "out/model.safetensors",
        "elsewhere/any name.safetensors",
        "elsewhere/checkpoint.safetensors",
    ] {
        let output = work.good("classify", Path::new(weights), &["--json", "--top", "1", "val"])?;
        let verdicts: Vec<Value> = serde_json::from_slice(&output.stdout)?;
        let is_right = |verdict: &&Value| {
            let (image, label) =
                (verdict["picture"].as_str(), verdict["classes"][0]["label"].as_str());
            image
                .zip(label)
                .is_some_and(|(image, label)| image.split(['/', '\\']).any(|part| part == label))
        };
        assert_eq!(verdicts.iter().filter(is_right).count(), reported, "{weights}");
    }
    // Two weights files, neither with a usual name.
    let refused = work.run("classify", Path::new("elsewhere"), &["val"])?;
    assert_eq!(
        complaint(
            &refused,
            2,
            &["elsewhere: 2 files of weights", "checkpoint.safetensors", "name the file"]
        ),
        None
    );
    // The configuration has timm's format with one additional key.
    let config: Value =
        serde_json::from_str(&std::fs::read_to_string(work.path("out/config.json"))?)?;
    assert_eq!((&config["architecture"], &config["num_classes"]), (&Value::Null, &4.into()));
    assert_eq!(config["wgpu_bottleneck"]["eps"], 1e-3);
    let pretrained = &config["pretrained_cfg"];
    assert_eq!(
        (&pretrained["crop_mode"], &pretrained["crop_pct"]),
        (&"squash".into(), &1.0.into())
    );
    // A network saved by the library alone is read with the same settings.
    let network = ResNet::builder(BlockKind::Bottleneck).depths([1]).planes([4]).stem_planes(4);
    let network = network
        .norm_layer(NormKind::BatchNorm2d.norm(Some(0.25)))
        .max_pool(PoolWindows::CeilMode)
        .build()?;
    let state = wgpu_bottleneck::weights::NetworkState::initial(&network, Default::default());
    let bytes = state.to_safetensors(&[], &Default::default())?;
    let again =
        NetworkWeights::detect(StateDict::from_bytes(bytes)?, &CheckpointOptions::default())?;
    assert_eq!(*again.spec(), network);
    Ok(())
}

/// An image of stripes with this period, or of one grey.
fn stripes(period: f64, turn: f64) -> image::RgbImage {
    image::RgbImage::from_fn(48, 48, |x, y| {
        let along = f64::from(x) * turn.cos() + f64::from(y) * turn.sin();
        let wave = if period > 0.0 {
            (along / period * std::f64::consts::TAU + turn).sin()
        } else {
            turn.sin() * 0.5
        };
        let noise = f64::from(((x * 7919) ^ (y * 10_473)) % 13) - 6.0;
        image::Rgb(
            [0.0, 1.0, 2.0]
                .map(|c| (125.0 + wave * (60.0 + 20.0 * (turn + c).cos()) + noise) as u8),
        )
    })
}
