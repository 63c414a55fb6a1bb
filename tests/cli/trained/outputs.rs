//! The outputs of `classify`, and files that name an unsupported network.

use super::*;

/// One output is reported as a score without a class; multi-label networks have a score per class.
#[test]
fn one_output_is_a_score() -> Outcome {
    let work = Work::new()?;
    let weights = work.path("one.safetensors");
    let network =
        ResNet::builder(BlockKind::Bottleneck).depths([1, 1]).planes([4, 8]).stem_planes(5);
    let spec = network.clone().classes(Some(1)).build()?;
    std::fs::write(&weights, seeded_network::file(&spec))?;
    let (file, _) = image_files()?.swap_remove(0);
    let image = Image::open(&file)?;
    let name = file.display().to_string();
    let score = |weights: &Path| -> Result<Vec<f64>> {
        let weights = NetworkWeights::open(weights, &CheckpointOptions::default())?;
        let input = Preprocess::imagenet_v1();
        let mut pipeline =
            ImagePipeline::load(&Gpu::new()?, &weights, &input, 1, &LoadOptions::default())?;
        let logits = pipeline.logits(&[(&image).into()])?;
        Ok(wide(logits.data()).iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect())
    };
    let expected = score(&weights)?;
    let output = work.good("classify", &weights, &["--json", &name])?;
    let verdicts: Value = serde_json::from_slice(&output.stdout)?;
    near("score", &[verdicts[0]["score"].as_f64().ok_or("no score")?], &expected);
    assert!(verdicts[0]["classes"].is_null() && verdicts[0]["label"].is_null(), "{verdicts}");
    let output = work.good("classify", &weights, &["--csv", &name])?;
    let csv = text(&output.stdout);
    assert!(csv.starts_with("picture,rank,class,label,score,error,label_source\n"), "{csv}");
    let table = text(&work.good("classify", &weights, &[&name])?.stdout);
    assert!(
        table.contains("score") && !table.contains('%') && !table.contains("class 0"),
        "{table}"
    );
    assert!(table.contains(&format!("{:.4}", expected[0])), "{table}");
    std::fs::write(work.path("labels"), "is a cat\n")?;
    let table = text(&work.good("classify", &weights, &["--labels", "labels", &name])?.stdout);
    assert!(table.contains("is a cat"), "{table}");

    // Hugging Face's multi-label networks: one sigmoid per class.
    let folder = work.path("many");
    std::fs::create_dir(&folder)?;
    std::fs::write(
        folder.join("model.safetensors"),
        seeded_network::file(&network.classes(Some(3)).build()?),
    )?;
    std::fs::write(
        folder.join("config.json"),
        r#"{"model_type": "resnet", "problem_type": "multi_label_classification"}"#,
    )?;
    let output = work.good("classify", &folder, &["--json", &name])?;
    let verdicts: Value = serde_json::from_slice(&output.stdout)?;
    let mut found: Vec<(u64, f64)> = verdicts[0]["classes"]
        .as_array()
        .ok_or("no classes")?
        .iter()
        .filter_map(|guess| Some((guess["class"].as_u64()?, guess["score"].as_f64()?)))
        .collect();
    found.sort_by_key(|(class, _)| *class);
    near("scores", &found.iter().map(|(_, score)| *score).collect::<Vec<_>>(), &score(&folder)?);
    Ok(())
}

/// `block` reads norm and eps from the metadata of a trained network.
#[test]
fn a_block_of_a_trained_network_has_its_eps() -> Outcome {
    let work = Work::new()?;
    let mut input = DictBuilder::default();
    input.f32(
        "input",
        &[1, 8, 6, 6],
        &(0..288).map(|at| (at % 17) as f32 / 8.0).collect::<Vec<_>>(),
    );
    std::fs::write(work.path("in"), input.bytes())?;
    let weights = golden("eps").join("model.safetensors");
    let out = |args: &[&str]| -> Result<Vec<f32>> {
        let usual = ["--prefix", "layer1.0.", "--input", "in", "--output", "out"];
        work.good("block", &weights, &[&usual[..], args].concat())?;
        Ok(StateDict::open(work.path("out"))?.tensor("out")?.data)
    };
    assert_eq!(out(&[])?, out(&["--eps", "1e-2"])?);
    assert_ne!(out(&[])?, out(&["--eps", "1e-5"])?);
    Ok(())
}

/// ImageNet's names are used for 1000 classes without names, and marked as assumed.
#[test]
fn imagenets_names_are_assumed() -> Outcome {
    let work = Work::new()?;
    let network = ResNet::builder(BlockKind::Bottleneck)
        .depths([1])
        .planes([4])
        .stem_planes(4)
        .classes(Some(1000));
    let weights = work.path("w.safetensors");
    std::fs::write(&weights, seeded_network::file(&network.build()?))?;
    let name = image_files()?.swap_remove(0).0.display().to_string();
    for args in [&[][..], &["--json"], &["--csv"]] {
        let said = text(&work.good("classify", &weights, &[args, &[&name]].concat())?.stdout);
        assert!(said.contains("assumed"), "{args:?}: {said}");
        let names: Vec<String> = (0..1000).map(|class| format!("thing {class}")).collect();
        std::fs::write(
            work.path("config.json"),
            serde_json::json!({ "id2label": names }).to_string(),
        )?;
        let said = text(&work.good("classify", &weights, &[args, &[&name]].concat())?.stdout);
        assert!(said.contains("thing ") && !said.contains("assumed"), "{args:?}: {said}");
        std::fs::remove_file(work.path("config.json"))?;
    }
    Ok(())
}

/// A .pth file whose `arch` names an anti-aliased network with the same keys is refused.
#[test]
fn a_pth_that_names_another_arithmetic_is_refused() -> Outcome {
    let work = Work::new()?;
    let images = golden("images").display().to_string();
    let blurred = golden("arch_resnetblur50.pth");
    let says = ["arch_resnetblur50.pth", "arch is \"resnetblur50\"", "anti-aliasing"];
    for (command, args) in [
        ("classify", vec![images.as_str()]),
        ("embed", vec!["--out", "v.npy", &images]),
        ("features", vec!["--image", "x.png", "--png", "maps"]),
        ("verify", vec![&images]),
        ("run", vec!["--input", "in", "--output", "out"]),
    ] {
        assert_eq!(complaint(&work.run(command, &blurred, &args)?, 2, &says), None, "{command}");
    }
    assert!(NetworkWeights::open(&blurred, &CheckpointOptions::default()).is_err());
    let mut train = bottleneck();
    train
        .current_dir(work.0.path())
        .args(["train", "--data", &images, "--out", "o", "--batch", "4", "--init"]);
    assert_eq!(complaint(&run(train.arg(&blurred))?, 2, &says), None);
    // A longer name that contains such a name is accepted.
    let plain =
        work.classify(&golden("arch_my_resnetblur50.pth"), &["--config", &config_of("plain")])?;
    let expected: Vec<f64> =
        numbers(&expected("plain")?["logits"]).chunks_exact(4).flat_map(softmax).collect();
    near("arch", &plain.iter().flat_map(probabilities).collect::<Vec<_>>(), &expected);
    Ok(())
}
