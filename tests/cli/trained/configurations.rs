//! Configurations: round trips and errors.

use super::*;
use wgpu_bottleneck::image::Channels;

/// Invalid and unsupported values are errors that name the key.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn values_that_cannot_be_are_named() -> Outcome {
    for (json, key) in [
        (r#"{"wgpu_bottleneck": 3}"#, "wgpu_bottleneck"),
        (r#"{"wgpu_bottleneck": {"dilation": [1, 3]}}"#, "dilation"),
        (r#"{"wgpu_bottleneck": {"dilation": [2, 2]}}"#, "dilation"),
        (r#"{"wgpu_bottleneck": {"dilation": [1, 9223372036854775808]}}"#, "dilation"),
        (r#"{"wgpu_bottleneck": {"norm": "GroupNorm"}}"#, "norm"),
        (r#"{"wgpu_bottleneck": {"eps": -1}}"#, "eps"),
        (r#"{"wgpu_bottleneck": {"activation": "gelu"}}"#, "activation"),
        (r#"{"wgpu_bottleneck": {"of a later version": 1}}"#, "of a later version"),
        (r#"{"wgpu_bottleneck": {"stride_in": "7x7"}}"#, "stride_in"),
        (r#"{"wgpu_bottleneck": {"max_pool": "none"}}"#, "max_pool"),
        (r#"{"wgpu_bottleneck": {"color_order": "GBR"}}"#, "color_order"),
        (r#"{"wgpu_bottleneck": {"color_range": [0, 2]}}"#, "color_range"),
        (
            r#"{"model_type": "resnet", "downsample_in_bottleneck": "yes"}"#,
            "downsample_in_bottleneck",
        ),
        (r#"{"architecture": "resnet50", "model_args": {"output_stride": 7}}"#, "output_stride"),
    ] {
        let error = ModelConfig::from_text("c.json", json)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(error.starts_with("c.json: ") && error.contains(key), "{json}: {error}");
    }
    let colours = |json: &str| -> Result<Preprocess> {
        let config = ModelConfig::from_text("c.json", json)?;
        Ok(config.preprocess()?.ok_or("no preprocessing")?.preprocess)
    };
    let caffe = Preprocess::imagenet_v1().with_channels(Channels::Bgr).of_bytes();
    let json = r#"{"wgpu_bottleneck": {"color_order": "BGR", "color_range": [0, 255]}}"#;
    assert_eq!(colours(json)?, caffe);
    // A mean is in the order and the range of its configuration.
    let json = r#"{"pretrained_cfg": {"mean": [51, 102, 204], "std": [255, 255, 255],
        "input_size": [3, 224, 224]},
        "wgpu_bottleneck": {"color_order": "BGR", "color_range": [0, 255]}}"#;
    let found = colours(json)?;
    assert_eq!((found.channels, found.mean, found.std), (Channels::Bgr, [0.2, 0.4, 0.8], [1.0; 3]));
    for (json, key) in [
        (r#"{"model_type": "resnet", "hidden_act": "gelu"}"#, "hidden_act"),
        (
            r#"{"model_type": "resnet", "downsample_in_first_stage": true}"#,
            "downsample_in_first_stage",
        ),
        (r#"{"architecture": "resnetaa50"}"#, "architecture"),
        (r#"{"architecture": "resnetblur50.bt_in1k"}"#, "architecture"),
        (r#"{"architecture": "resnet50", "model_args": {"aa_layer": "blurpc"}}"#, "aa_layer"),
        (r#"{"architecture": "resnet50", "global_pool": "max"}"#, "global_pool"),
        (r#"{"pretrained_cfg": {}, "model_args": {"act_layer": "silu"}}"#, "act_layer"),
    ] {
        let config = ModelConfig::from_text("c.json", json)?;
        let error = config.options().err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with("c.json: ") && error.contains(key), "{json}: {error}");
    }
    for json in [
        "{}",
        r#"{"model_type": "vit", "hidden_act": "gelu"}"#,
        r#"{"architecture": "tv_resnet50", "global_pool": "avg", "model_args": {"drop_rate": 0.2,
            "aa_layer": null, "act_layer": "relu", "layers": [3, 4, 6, 3],
            "replace_stem_pool": false, "block_args": {}}}"#,
        // Configurations of other programs.
        r#"{"bottleneck": true, "model_args": {"name": "resnet50", "act_layer": "gelu"},
            "lr": 0.1}"#,
    ] {
        assert_eq!(
            ModelConfig::from_text("c.json", json)?.options()?,
            &CheckpointOptions::default(),
            "{json}"
        );
    }
    let timm = ModelConfig::from_text(
        "c.json",
        r#"{"architecture": "resnet50", "model_args": {"output_stride": 8}}"#,
    )?;
    assert_eq!(timm.options()?.replace_stride_with_dilation, Some(vec![false, true, true]));
    // An error stands unless a source with higher precedence describes the network.
    let of = |json: &str| ModelConfig::from_text("c.json", json);
    let blurred = of(r#"{"architecture": "resnetblur50"}"#)?;
    for silent in [
        r#"{"pretrained_cfg": {"input_size": [3, 64, 64]}}"#,
        r#"{"wgpu_bottleneck": {"eps": 1e-3}}"#,
        "{}",
    ] {
        assert!(of(silent)?.or(blurred.clone()).options().is_err(), "{silent}");
    }
    for plain in
        [r#"{"architecture": "resnet50"}"#, r#"{"wgpu_bottleneck": {"activation": "relu"}}"#]
    {
        assert!(of(plain)?.or(blurred.clone()).options().is_ok(), "{plain}");
    }
    Ok(())
}

/// A written configuration rebuilds the same network; timm's keys are used where timm has them.
#[test]
fn configurations_are_read_as_they_are_written() -> Outcome {
    let named = |name: &str| ResNet::named(name);
    let networks = [
        (named("resnet50")?.classes(Some(7)), Some("resnet50")),
        (named("resnet18")?, Some("resnet18")),
        (named("resnet50")?.replace_stride_with_dilation([false, true, true]), Some("resnet50")),
        (named("resnet50")?.replace_stride_with_dilation([true, false, true]), None),
        (
            named("resnet50")?
                .replace_stride_with_dilation([false, false, true])
                .multi_grid([1, 2, 4]),
            None,
        ),
        (named("resnet50")?.norm_layer(NormKind::BatchNorm2d.norm(Some(1.0 / 3.0))), None),
        (named("resnet50")?.norm_layer(NormKind::FrozenBatchNorm2d.norm(None)), None),
        (named("resnet101")?.stride_in(StrideIn::Conv1), None),
        (named("resnet101")?.max_pool(PoolWindows::CeilMode), None),
        (ResNet::builder(BlockKind::Bottleneck).depths([1, 2]).planes([4, 8]), None),
    ];
    for (builder, architecture) in networks {
        let network = builder.build()?;
        let names: Vec<String> =
            (0..network.classes().unwrap_or(0)).map(|class| format!("\"{class}\" ä\n")).collect();
        let config = ModelConfig::of_network(&network).with_preprocess(prepared(33), "x");
        let json = config.with_class_names(names.clone(), "x").to_json(&network)?;
        let parsed: Value = serde_json::from_str(&json)?;
        assert_eq!(parsed["architecture"].as_str(), architecture, "{json}");
        let read = ModelConfig::from_text("c.json", &json)?;
        assert_eq!(read.options()?, &CheckpointOptions::of_network(&network), "{json}");
        assert_eq!(read.preprocess()?.map(|found| found.preprocess), Some(prepared(33)));
        assert_eq!(read.class_names().map(|found| &found.names), Some(&names));
    }
    Ok(())
}

/// Errors name a configuration that describes another network or does not fit the weights.
#[test]
fn configurations_of_other_networks_are_refused() -> Outcome {
    let network = ResNet::builder(BlockKind::Bottleneck)
        .depths([1, 1])
        .planes([4, 8])
        .stem_planes(5)
        .build()?;
    let bytes = seeded_network::file(&network);
    let open = |json: &str| -> Result<NetworkWeights> {
        let config = ModelConfig::from_text("c.json", json)?;
        let dict = StateDict::from_bytes(bytes.clone())?;
        Ok(NetworkWeights::detect_with(dict, &CheckpointOptions::default(), config)?)
    };
    for (json, says) in [
        (r#"{"architecture": "resnet18"}"#, "architecture is \"resnet18\""),
        (r#"{"model_type": "resnet", "layer_type": "basic"}"#, "layer_type"),
        (r#"{"model_type": "resnet", "depths": [1, 2]}"#, "depths"),
        (r#"{"model_type": "resnet", "hidden_sizes": [16, 64]}"#, "hidden_sizes"),
        (r#"{"wgpu_bottleneck": {"dilation": [1, 2, 4]}}"#, "the settings in c.json"),
        (r#"{"wgpu_bottleneck": {"multi_grid": [1, 2]}}"#, "the settings in c.json"),
        (r#"{"wgpu_bottleneck": {"norm": "Identity"}}"#, "the settings in c.json"),
    ] {
        let error = open(json).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("c.json") && error.contains(says), "{json}: {error}");
    }
    let same = r#"{"model_type": "resnet", "layer_type": "bottleneck", "depths": [1, 1],
        "hidden_sizes": [16, 32]}"#;
    assert_eq!(open(same)?.spec(), &network);
    assert!(open(r#"{"architecture": "of_my_own", "model_args": {"output_stride": 32}}"#).is_ok());
    assert!(
        open(
            r#"{"architecture": "resnet50", "model_args": {"layers": [1, 1], "channels": [4, 8]}}"#
        )
        .is_ok()
    );
    // An error caused by an explicit option does not name the configuration.
    let dict = StateDict::from_bytes(bytes.clone())?;
    let options = CheckpointOptions { multi_grid: Some(vec![1, 2]), ..Default::default() };
    let config = ModelConfig::from_text("c.json", r#"{"wgpu_bottleneck": {"eps": 1e-3}}"#)?;
    let error =
        NetworkWeights::detect_with(dict, &options, config).err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("multi_grid") && !error.contains("c.json")));
    Ok(())
}
