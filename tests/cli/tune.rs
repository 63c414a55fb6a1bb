//! `bottleneck tune`, and what `--tuned` makes of its tables.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::common::Outcome;
use crate::program::{Folder, Result, bottleneck, complaint, good_folder, run, stderr};

/// The block of `good_folder`, on its input.
const BLOCK: [&str; 17] = [
    "tune",
    "--adapter",
    "0",
    "--block",
    "--inplanes",
    "8",
    "--planes",
    "4",
    "--stride",
    "2",
    "--groups",
    "2",
    "--base-width",
    "32",
    "--size",
    "5x7",
    "--batch=2",
];

/// Runs the program with a cache directory of its own.
fn tuned(folder: &Folder, args: &[&str]) -> Result<Output> {
    run(bottleneck()
        .args(args)
        .env("XDG_CACHE_HOME", folder.path("cache"))
        .env("LOCALAPPDATA", folder.path("cache")))
}

/// Kernel and reason of each step of the block's plan, and what was said on stderr.
fn plan(folder: &Folder, tuned_arg: Option<&str>) -> Result<(Vec<(String, String)>, String)> {
    let w = folder.path("w").display().to_string();
    let base = [
        "plan",
        "--weights",
        &w,
        "--stride",
        "2",
        "--shape",
        "2,8,5,7",
        "--adapter",
        "0",
        "--json",
    ];
    let output = tuned(folder, &[&base[..], tuned_arg.as_slice()].concat())?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let json: Value = serde_json::from_slice(&output.stdout)?;
    let dispatch = |step: &Value| {
        let dispatch = &step["dispatches"][0];
        [&dispatch["kernel"], &dispatch["why"]]
            .map(|text| text.as_str().unwrap_or_default().to_owned())
            .into()
    };
    Ok((
        json["steps"].as_array().ok_or("no steps")?.iter().map(dispatch).collect(),
        stderr(&output),
    ))
}

/// A table in a file, with a change.
fn change(path: &Path, change: impl Fn(&mut Value)) -> Outcome {
    let mut json: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    change(&mut json);
    Ok(std::fs::write(path, json.to_string())?)
}

#[test]
#[expect(clippy::too_many_lines, reason = "one job from start to end")]
fn a_table_is_written_and_used_where_it_is_asked_for() -> Outcome {
    let folder = good_folder()?;
    let output = tuned(&folder, &[&BLOCK[..], &["--quick", "--json", "--assert=1e9"]].concat())?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let summary: Value = serde_json::from_slice(&output.stdout)?;
    let shapes = summary["shapes"].as_array().ok_or("no shapes")?;
    assert_eq!((shapes.len(), &summary["rejected"]), (3, &json!([])), "{summary:#}");
    let ratios: Vec<f64> =
        shapes.iter().filter_map(|shape| shape["pick_over_best"].as_f64()).collect();
    let (mean, worst) =
        (ratios.iter().sum::<f64>() / 3.0, ratios.iter().copied().fold(1.0, f64::max));
    assert!(ratios.len() == 3 && ratios.iter().all(|&ratio| ratio >= 1.0), "{summary:#}");
    let near = |name: &str, value: f64| {
        summary[name].as_f64().is_some_and(|found| (found - value).abs() < 1e-9)
    };
    assert!(
        near("mean_pick_over_best", mean) && near("worst_pick_over_best", worst),
        "{summary:#}"
    );
    let path = std::path::PathBuf::from(summary["file"].as_str().ok_or("no file")?);
    assert!(
        cfg!(target_os = "macos") || path.starts_with(folder.path("cache")),
        "{}",
        path.display()
    );

    // Without --tuned nothing changes; with it the first of each shape is taken, whichever that is.
    // What the tuner calls the rule's is its pick for many runs.
    let (ranked, said) = plan(&folder, None)?;
    let (lasting, _) = plan(&folder, Some("--runs=4294967295"))?;
    assert!(ranked.iter().all(|(_, why)| !why.contains("measured")), "{ranked:?} {said}");
    change(&path, |json| {
        for shape in json["shapes"].as_array_mut().into_iter().flatten() {
            let rule = shape["rule"].clone();
            let candidates = shape["candidates"].as_array_mut().into_iter().flatten();
            let (picks, mut others): (Vec<Value>, Vec<Value>) = candidates
                .map(|candidate| candidate.clone())
                .partition(|candidate| candidate["kernel"] == rule);
            others.extend(picks);
            others.iter_mut().zip(1..).for_each(|(candidate, us)| candidate["us"] = us.into());
            shape["candidates"] = others.into();
        }
    })?;
    for argument in ["--tuned".to_owned(), format!("--tuned={}", path.display())] {
        let (found, _) = plan(&folder, Some(&argument))?;
        for ((kernel, why), (rule, _)) in found.iter().zip(&lasting) {
            assert!(kernel != rule && why.starts_with("measured: "), "{kernel}: {why}");
        }
    }
    let output = folder.block(&[
        "--stride",
        "2",
        "--adapter",
        "0",
        "--verify",
        &format!("--tuned={}", path.display()),
    ])?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

    // Tables of others, and what is none.
    let copy = folder.path("copy");
    let argument = format!("--tuned={}", copy.display());
    for (what, json) in [("another driver", true), ("no table", false)] {
        std::fs::copy(&path, &copy)?;
        match json {
            true => change(&copy, |json| json["device"]["driver"] = "another".into())?,
            false => std::fs::write(&copy, "{ no table")?,
        }
        let (found, said) = plan(&folder, Some(&argument))?;
        assert!(found == ranked && said.contains("is ignored"), "{what}: {said}");
    }
    let over = [&BLOCK[..], &["--output", copy.to_str().ok_or("no name")?]].concat();
    assert_eq!(
        complaint(&tuned(&folder, &over)?, 2, &["not a tuning table", "not overwritten"]),
        None
    );
    assert_eq!(std::fs::read_to_string(&copy)?, "{ no table");
    std::fs::remove_file(&path)?;
    let (found, said) = plan(&folder, Some("--tuned"))?;
    assert!(found == ranked && said.contains("has no times of this device"), "{said}");
    Ok(())
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_what_was_measured() -> Outcome {
    let folder = Folder::with(b"", b"")?;
    let path = folder.path("table.json");
    let mut command = bottleneck();
    command.args(["tune", "--model", "resnet18", "--size", "32", "--output"]).arg(&path);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    let shapes = |bytes: &[u8]| -> usize {
        let json: Value = serde_json::from_slice(bytes).unwrap_or_default();
        json["shapes"].as_array().map_or(0, Vec::len)
    };
    while shapes(&std::fs::read(&path).unwrap_or_default()) == 0 {
        assert!(child.try_wait()?.is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    crate::program::signal(&child, "-INT")?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("shapes measured") && output.stdout.is_empty(),
        "{}",
        stderr(&output)
    );
    assert!(shapes(&std::fs::read(&path)?) > 0);
    assert_eq!(folder.files()?, ["in", "table.json", "w"]);
    Ok(())
}

#[test]
fn wrong_arguments_are_refused() -> Outcome {
    let folder = good_folder()?;
    let w = folder.path("w").display().to_string();
    let plan = ["plan", "--weights", &w, "--stride", "2", "--shape", "2,8,5,7"];
    for (args, said) in [
        (&["tune", "--assert=-1"][..], "--assert"),
        (&["tune", "--assert=much"], "--assert"),
        (&["tune", "--only", "w7"], "w7"),
        (&["tune", "--output", "/dev/null/table"], "/dev/null"),
        (&[&plan[..], &["--tuned"]].concat(), "--adapter"),
        (&[&plan[..], &["--tuned", "--kernel", "conv"]].concat(), "--kernel"),
        (&[&plan[..], &["--tuned=/nowhere/table", "--adapter", "0"]].concat(), "/nowhere/table"),
    ] {
        assert_eq!(complaint(&tuned(&folder, args)?, 2, &[said]), None, "{args:?}");
    }
    Ok(())
}
