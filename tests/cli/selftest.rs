//! `bottleneck selftest`: what it prints and how it exits.

use serde_json::Value;

use crate::common::Outcome;
use crate::program::{Result, bottleneck, complaint, json, run, stderr, text};

/// Small kernels, so that the tests are fast.
const SMALL: &str = "conv1x1_l8s1r4c1_bias_relu";

fn selftest(args: &[&str]) -> Result<std::process::Output> {
    run(bottleneck().arg("selftest").args(args))
}

#[test]
fn a_good_device_passes() -> Outcome {
    let output = selftest(&["--kernel", SMALL])?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = text(&output.stdout);
    for part in ["device ", "driver ", "tested   1 kernel, ", "\npassed\n"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let report: Value = json(&["selftest", "--json", "--kernel", SMALL])?;
    assert_eq!(report["kernels"], serde_json::json!([SMALL]));
    assert_eq!(report["failures"], serde_json::json!([]));
    Ok(())
}

#[test]
fn with_a_mutant_it_fails_and_names_it() -> Outcome {
    let output = selftest(&["--mutant", "conv1x1.lost_bias", "--kernel", SMALL])?;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let complaint = stderr(&output);
    assert!(
        complaint.contains("error: self test failed: ")
            && complaint.ends_with("the mutant conv1x1.lost_bias")
    );
    let said = text(&output.stdout);
    for part in [
        "mutant   conv1x1.lost_bias",
        "FAILED   conv1x1_l8s1r4c1_bias_relu, several tiles: wrong numbers",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    Ok(())
}

#[test]
fn mutants_are_listed_with_what_caught_them() -> Outcome {
    let output = selftest(&["--mutants", "--kernel", "residual_add"])?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = text(&output.stdout);
    let caught = said.lines().filter(|line| line.contains(" caught ")).count();
    assert!(
        caught >= 12
            && said.contains("residual_add_l64s1r1c1_relu, several workgroups: wrong numbers"),
        "{said}"
    );
    let all: Value = json(&["selftest", "--mutants", "--json", "--kernel", "batchnorm_relu"])?;
    assert!(all["device"]["name"].is_string(), "{all:#}");
    let all = all["mutants"].as_array().ok_or("no list")?;
    assert!(
        all.len() >= 12
            && all.iter().all(|mutant| mutant["verdict"]["caught"]["kernel"].is_string()),
        "{all:?}"
    );
    Ok(())
}

#[test]
fn kernels_of_training_are_tested_by_name_too() -> Outcome {
    let report: Value = json(&["selftest", "--json", "--kernel", "weight_grad_l8s1r1c1"])?;
    assert_eq!(
        (&report["kernels"][0], &report["failures"]),
        (&"weight_grad_l8s1r1c1".into(), &Value::Array(vec![]))
    );
    let output = selftest(&["--mutant", "input_grad.right_edge"])?;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        text(&output.stdout).contains("FAILED   input_grad_l64s1r1c1, "),
        "{}",
        text(&output.stdout)
    );
    let all: Value = json(&["selftest", "--mutants", "--json", "--kernel", "relu_grad"])?;
    assert!(all["mutants"].as_array().is_some_and(|mutants| mutants.len() >= 12), "{all:#}");
    Ok(())
}

#[test]
fn wrong_arguments_are_refused() -> Outcome {
    for (args, said) in [
        (&["--kernel", "conv9x9"][..], "conv9x9"),
        (&["--mutant", "conv1x1.no_such_fault"], "conv1x1.no_such_fault"),
        (&["--mutant", "conv1x1.lost_bias", "--kernel", "conv3x3"], "conv3x3"),
        (&["--mutants", "--kernel", "conv9x9"], "conv9x9"),
        (&["--mutants", "--mutant", "conv1x1.lost_bias"], "--mutant"),
        (&["--kernel", ""], "--kernel"),
        (&["--adapter", "no such adapter"], "no such adapter"),
    ] {
        assert_eq!(complaint(&selftest(args)?, 2, &[said]), None, "{args:?}");
    }
    Ok(())
}

#[test]
fn no_driver_is_a_failure_of_the_gpu() -> Outcome {
    let output = run(bottleneck()
        .arg("selftest")
        .envs([("WGPU_BACKEND", "vulkan"), ("VK_DRIVER_FILES", "/nowhere.json")]))?;
    assert_eq!(complaint(&output, 4, &["no adapter"]), None);
    Ok(())
}
