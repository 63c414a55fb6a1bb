//! `bottleneck plan` of networks, and of files that hold none.

use serde_json::{Value, json};
use wgpu_bottleneck::network::BlockKind;
use wgpu_bottleneck::{ResNet, StrideIn};

use crate::common::Outcome;
use crate::common::dict::DictBuilder;
use crate::common::seeded_network::file;
use crate::program::{self, Folder, Result, bottleneck, complaint, good_folder, run, stderr, text};

fn tiny() -> Result<ResNet> {
    let builder =
        ResNet::builder(BlockKind::Bottleneck).depths([1, 1]).planes([4, 8]).stem_planes(5);
    Ok(builder.classes(Some(4)).build()?)
}

const SHAPE: [&str; 2] = ["--shape", "2,3,33,40"];

/// The plan of `w` in a folder, as JSON.
fn plan(folder: &Folder, args: &[&str]) -> Result<Value> {
    let w = folder.path("w").display().to_string();
    program::json(&[&["plan", "--json", "--weights", &w], args].concat())
}

#[test]
fn the_plan_of_a_network_is_shown() -> Outcome {
    let folder = Folder::with(&file(&tiny()?), b"")?;
    let shown = plan(&folder, &SHAPE)?;
    assert!(shown["block"].is_null(), "{shown:#}");
    let network = &shown["network"];
    assert_eq!(network["name"], tiny()?.to_string());
    assert_eq!((&network["depths"], &network["classes"]), (&json!([1, 1]), &json!(4)));
    assert_eq!((&network["stride_in"], &network["settings_from"]), (&json!("3x3"), &Value::Null));
    assert_eq!((&shown["input"], &shown["output"]), (&json!([2, 3, 33, 40]), &json!([2, 4, 1, 1])));
    // Stem, two blocks, head: each a command buffer of its own.
    assert_eq!(shown["command_buffers"], 4);
    let steps = shown["steps"].as_array().ok_or("no steps")?;
    let names: Vec<&str> = steps.iter().filter_map(|step| step["name"].as_str()).collect();
    assert!(names.contains(&"layer2.0.conv2") && names.contains(&"fc"), "{names:?}");
    assert!(
        steps.iter().all(|step| step["dispatches"].as_array().is_some_and(|all| !all.is_empty())),
        "{shown:#}"
    );
    // `run` becomes `plan`, and a folder stands for its file.
    std::fs::rename(folder.path("w"), folder.path("model.safetensors"))?;
    let path = folder.0.path().display().to_string();
    let same = program::json(
        &[&["plan", "--json", "--weights", &path, "--output", "out", "--verify"], &SHAPE[..]]
            .concat(),
    )?;
    assert_eq!(same, shown);
    Ok(())
}

/// As `classify` and `run` read them: options, then --config, then the files next to the weights.
#[test]
fn settings_come_from_the_configuration() -> Outcome {
    let folder = Folder::with(&file(&tiny()?), b"")?;
    let config = r#"{"wgpu_bottleneck": {"stride_in": "1x1", "max_pool": "ceil", "eps": 0.001}}"#;
    std::fs::write(folder.path("config.json"), config)?;
    let shown = plan(&folder, &SHAPE)?;
    let network = &shown["network"];
    assert_eq!(
        (&network["stride_in"], &network["max_pool"], &network["eps"]),
        (&json!("1x1"), &json!("ceil"), &json!(0.001))
    );
    assert!(
        network["settings_from"].as_str().is_some_and(|source| source.ends_with("config.json")),
        "{network:#}"
    );
    let asked = plan(&folder, &[&SHAPE[..], &["--stride-in", "3x3", "--eps", "1e-5"]].concat())?;
    assert_eq!(
        (&asked["network"]["stride_in"], &asked["network"]["max_pool"]),
        (&json!("3x3"), &json!("ceil"))
    );
    assert!(asked["flops"].as_u64() > shown["flops"].as_u64(), "strides later");

    let other = folder.path("other.json").display().to_string();
    std::fs::write(&other, r#"{"wgpu_bottleneck": {"stride_in": "3x3"}}"#)?;
    let given = plan(&folder, &[&SHAPE[..], &["--config", &other]].concat())?;
    assert_eq!(
        (&given["network"]["stride_in"], &given["network"]["max_pool"]),
        (&json!("3x3"), &json!("ceil"))
    );
    let w = folder.path("w").display().to_string();
    let output = run(bottleneck().args(["plan", "--weights", &w]).args(SHAPE))?;
    let said = text(&output.stdout);
    for part in
        ["BatchNorm2d eps 1e-3, stride in 1x1, max pool ceil", "(settings from ", "layer1.0.conv1"]
    {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let options = wgpu_bottleneck::CheckpointOptions {
        stride_in: Some(StrideIn::Conv1),
        ..Default::default()
    };
    let weights = wgpu_bottleneck::NetworkWeights::open(folder.path("w"), &options)?;
    assert_eq!(network["name"], weights.spec().to_string());
    Ok(())
}

/// One block of a network's file is planned as before.
#[test]
fn a_prefix_selects_a_block() -> Outcome {
    let folder = Folder::with(&file(&tiny()?), b"")?;
    for prefix in ["layer2.0.", "layer2.0"] {
        let shown = plan(&folder, &["--prefix", prefix, "--stride", "2", "--shape", "1,16,8,8"])?;
        assert_eq!(
            (&shown["block"]["planes"], &shown["output"]),
            (&json!(8), &json!([1, 32, 4, 4]))
        );
        assert!(shown["network"].is_null());
    }
    Ok(())
}

#[test]
fn what_is_neither_is_named() -> Outcome {
    let (folder, block) = (Folder::with(&file(&tiny()?), b"")?, good_folder()?);
    let mut other = DictBuilder::default();
    other.f32("embedding.weight", &[2, 3], &[0.0; 6]);
    std::fs::write(folder.path("other"), other.bytes())?;
    let [w, other] = ["w", "other"].map(|name| folder.path(name).display().to_string());
    let block = block.path("w").display().to_string();
    let cases: [(&[&str], &[&str]); 8] = [
        (
            &["--weights", &other],
            &[
                "other: neither a block nor a network",
                "as a block: tensor conv1.weight",
                "as a network: no ResNet in this checkpoint",
            ],
        ),
        (
            &["--weights", &w, "--prefix", "layer9.0."],
            &["neither", "layer9.0.conv1.weight is missing"],
        ),
        (
            &["--weights", &w, "--dilation", "2"],
            &["--dilation", "a setting of a block", "w holds a network"],
        ),
        (
            &["--weights", &block, "--model", "resnet50"],
            &["--model", "a setting of a network", "w holds a block"],
        ),
        (&["--weights", &w, "--model", "resnet50"], &["w: ", "does not fit resnet50"]),
        (&["--weights", &w, "--multi-grid", "1,2"], &["multi_grid"]),
        (&["--weights", &w, "--norm", "identity"], &["w: ", "bn1"]),
        (&["--weights", "/nowhere"], &["/nowhere"]),
    ];
    for (args, says) in cases {
        let output = run(bottleneck().arg("plan").args(args).args(SHAPE))?;
        assert_eq!(complaint(&output, 2, says), None, "{args:?}");
    }
    let output = run(bottleneck().args(["plan", "--weights", &w, "--shape", "1,4,8,8"]))?;
    assert_eq!(complaint(&output, 2, &["[1, 3, 8, 8]"]), None, "{}", stderr(&output));
    Ok(())
}
