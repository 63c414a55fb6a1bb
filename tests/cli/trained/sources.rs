//! Precedence: option, `--config`, metadata, folder, default.

use super::*;

/// config.json gives the same results as the metadata, and --weights accepts the folder.
#[test]
fn the_configuration_in_the_folder_is_enough() -> Outcome {
    let work = Work::new()?;
    for name in ["eps", "dilated", "caffe"] {
        let folder = work.copy(name, &["config.json"])?;
        std::fs::write(folder.join("model.safetensors"), bare(name)?)?;
        let expected: Vec<f64> =
            numbers(&expected(name)?["logits"]).chunks_exact(4).flat_map(softmax).collect();
        for weights in [folder.clone(), folder.join("model.safetensors")] {
            let verdicts = work.classify(&weights, &[])?;
            near(name, &verdicts.iter().flat_map(probabilities).collect::<Vec<_>>(), &expected);
            assert_eq!(verdicts[0]["classes"].as_array().map(Vec::len), Some(4));
            let source = verdicts[0]["label_source"].as_str().unwrap_or_default().to_owned();
            assert!(source.ends_with("config.json"), "{source}");
        }
        // The library accepts the folder too.
        let weights = NetworkWeights::open(&folder, &CheckpointOptions::default())?;
        assert_eq!(weights.preprocess()?, prepared(48));
        assert_eq!(weights.config().class_names().map(|names| names.names.len()), Some(4));
        let by_hand = NetworkWeights::detect(StateDict::from_bytes(bare(name)?)?, &options(name))?;
        assert_eq!(weights.spec(), by_hand.spec());
        // Without config.json the network differs.
        let nothing = NetworkWeights::detect(
            StateDict::from_bytes(bare(name)?)?,
            &CheckpointOptions::default(),
        )?;
        assert_ne!(weights.spec(), nothing.spec());
    }
    Ok(())
}

/// Precedence of each value: option, --preset or --config, metadata, folder, default.
#[test]
#[expect(clippy::too_many_lines, reason = "one job from start to end")]
fn the_nearest_word_counts() -> Outcome {
    let work = Work::new()?;
    let folder = work.copy("eps", &["model.safetensors"])?;
    let weights = folder.join("model.safetensors");
    // A configuration of another network; the metadata have precedence.
    let other = r#"{"architecture": "resnetblur50", "label_names": ["a", "b", "c", "d"],
        "pretrained_cfg": {"input_size": [3, 32, 32], "crop_pct": 1.0, "interpolation": "bicubic"},
        "wgpu_bottleneck": {"eps": 0.5, "stride_in": "1x1", "max_pool": "ceil"}}"#;
    std::fs::write(folder.join("config.json"), other)?;
    let numbers_of = |args: &[&str]| -> Result<Vec<f64>> {
        Ok(work.classify(&weights, args)?.iter().flat_map(probabilities).collect())
    };
    let metadata: Vec<f64> =
        numbers(&expected("eps")?["logits"]).chunks_exact(4).flat_map(softmax).collect();
    near("metadata before the folder", &numbers_of(&[])?, &metadata);

    // --config has precedence over the metadata for the values it contains; it has no norm.
    let given = r#"{"label_names": ["e", "f", "g", "h"],
        "pretrained_cfg": {"input_size": [3, 32, 32], "crop_pct": 1.0, "crop_mode": "squash",
        "interpolation": "box"}}"#;
    std::fs::write(work.path("given.json"), given)?;
    let library = |eps: f64, preprocess: &Preprocess| -> Result<Vec<f64>> {
        let options = CheckpointOptions { eps: Some(eps), ..Default::default() };
        let weights = NetworkWeights::detect(StateDict::from_bytes(bare("eps")?)?, &options)?;
        let images = images()?;
        let sources: Vec<Source<'_>> = images.iter().map(Source::from).collect();
        let logits =
            ImagePipeline::load(&Gpu::new()?, &weights, preprocess, 8, &LoadOptions::default())?
                .logits(&sources)?;
        Ok(wide(logits.data()).chunks_exact(4).flat_map(softmax).collect())
    };
    let of_config = Preprocess::from_config(work.path("given.json"))?;
    let found = numbers_of(&["--config", "given.json"])?;
    near("--config before the metadata", &found, &library(1e-2, &of_config)?);
    assert!(
        work.classify(&weights, &["--config", "given.json"])?[0]["label_source"] == "given.json"
    );
    near(
        "--preset",
        &numbers_of(&["--preset", "v1"])?,
        &library(1e-2, &Preprocess::imagenet_v1())?,
    );
    near("--eps", &numbers_of(&["--eps", "1e-5"])?, &library(1e-5, &prepared(48))?);
    std::fs::write(work.path("labels"), "i\nj\nk\nl\n")?;
    let named = work.classify(&weights, &["--config", "given.json", "--labels", "labels"])?;
    assert_eq!(
        (&named[0]["label_source"], named[0]["classes"][0]["label"].as_str().map(str::len)),
        (&"labels".into(), Some(1))
    );

    // Without metadata the network in config.json is refused.
    std::fs::write(&weights, bare("eps")?)?;
    let images = golden("images").display().to_string();
    let refused = work.run("classify", &weights, &[&images])?;
    assert_eq!(
        complaint(&refused, 2, &["config.json", "architecture", "resnetblur50", "anti-aliasing"]),
        None
    );
    // A warning says that names for another number of classes are ignored.
    std::fs::write(folder.join("config.json"), r#"{"id2label": {"0": "cat", "1": "dog"}}"#)?;
    let output = work.good("classify", &weights, &["--csv", "--eps", "1e-2", &images])?;
    assert!(
        stderr(&output).contains("has 2 class names, but the network has 4 classes"),
        "{}",
        stderr(&output)
    );
    assert!(text(&output.stdout).contains(",class 0,"), "{}", text(&output.stdout));
    Ok(())
}

/// A folder in timm's format: `pytorch_model.bin` and a configuration without our key.
#[test]
fn a_folder_of_timms_is_opened() -> Outcome {
    let work = Work::new()?;
    let folder = work.path("timm");
    std::fs::create_dir(&folder)?;
    std::fs::copy(golden("arch_my_resnetblur50.pth"), folder.join("pytorch_model.bin"))?;
    std::fs::write(folder.join("notes.bin"), "not the usual name")?;
    let config = r#"{"architecture": "resnet_of_mine", "num_classes": 4,
        "label_names": ["none", "period03", "period06", "period12"],
        "pretrained_cfg": {"input_size": [3, 48, 48], "interpolation": "bilinear", "crop_pct": 1.0,
        "crop_mode": "squash", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}"#;
    std::fs::write(folder.join("config.json"), config)?;
    let verdicts = work.classify(&folder, &[])?;
    let expected: Vec<f64> =
        numbers(&expected("plain")?["logits"]).chunks_exact(4).flat_map(softmax).collect();
    near("timm's folder", &verdicts.iter().flat_map(probabilities).collect::<Vec<_>>(), &expected);
    assert!(
        verdicts[0]["label_source"].as_str().is_some_and(|source| source.ends_with("config.json"))
    );
    Ok(())
}

/// --preset and --config override configurations in the folder that cannot be used.
#[test]
fn what_lies_in_the_folder_is_not_in_the_way() -> Outcome {
    let work = Work::new()?;
    let folder = work.path("folder");
    std::fs::create_dir(&folder)?;
    let weights = folder.join("model.safetensors");
    std::fs::write(&weights, bare("plain")?)?;
    let images = golden("images").display().to_string();
    let processor = folder.join("preprocessor_config.json");
    std::fs::write(
        &processor,
        r#"{"image_processor_type": "EfficientNetImageProcessor", "size": 224}"#,
    )?;
    let refused = work.run("classify", &weights, &[&images])?;
    assert_eq!(
        complaint(
            &refused,
            2,
            &["preprocessor_config.json", "EfficientNet", "--preset or --config"]
        ),
        None
    );
    for command in ["classify", "verify"] {
        work.good(command, &weights, &["--preset", "v1", &images])?;
    }
    std::fs::write(folder.join("config.json"), "not json")?;
    let refused = work.run("classify", &weights, &["--preset", "v1", &images])?;
    assert_eq!(complaint(&refused, 2, &["config.json: not a readable configuration"]), None);
    let config = config_of("plain");
    let output = work.good("classify", &weights, &["--config", &config, "--json", &images])?;
    assert!(stderr(&output).contains("warning: ignored: "), "{}", stderr(&output));
    // A broken link is an error.
    #[cfg(unix)]
    {
        std::fs::remove_file(folder.join("config.json"))?;
        std::os::unix::fs::symlink("nowhere", folder.join("config.json"))?;
        let refused = work.run("classify", &weights, &["--preset", "v1", &images])?;
        assert_eq!(complaint(&refused, 2, &["config.json"]), None);
    }
    // The error names both networks, and --config overrides the file.
    std::fs::remove_file(&processor)?;
    let _ = std::fs::remove_file(folder.join("config.json"));
    std::fs::write(folder.join("config.json"), r#"{"architecture": "resnet18"}"#)?;
    let refused = work.run("classify", &weights, &[&images])?;
    assert_eq!(
        complaint(
            &refused,
            2,
            &["architecture is \"resnet18\"", "the weights belong to ResNet", "--config"]
        ),
        None
    );
    work.good("classify", &weights, &["--config", &config, &images])?;
    // Inputs are never overwritten.
    std::fs::remove_file(folder.join("config.json"))?;
    std::fs::copy(golden("plain").join("config.json"), folder.join("config.json"))?;
    std::fs::write(work.path("in"), "")?;
    let over = folder.join("config.json").display().to_string();
    let refused = work.run("run", &weights, &["--input", "in", "--output", &over])?;
    assert_eq!(complaint(&refused, 2, &["same file"]), None);
    Ok(())
}
