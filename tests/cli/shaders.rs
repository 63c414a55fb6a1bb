//! `bottleneck shaders`: a file per kernel and language, an index that agrees with the files, and
//! what is refused.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use wgpu_bottleneck::kernel::{Kernel, all_specialisations};
use wgpu_bottleneck::shader::{Target, inspect};

use super::program::{Result, bottleneck, complaint, run, stderr, text};
use crate::common::Outcome;

/// `bottleneck shaders` into a folder, with more arguments.
fn shaders(target: &str, out: &Path, args: &[&str]) -> Result<Output> {
    run(bottleneck().args(["shaders", "--target", target, "--out"]).arg(out).args(args))
}

fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let entries = std::fs::read_dir(folder)?;
    Ok(entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?)
}

/// The kernels that a language can express.
fn expressible(target: Target) -> Vec<Kernel> {
    all_specialisations()
        .into_iter()
        .filter(|kernel| target.expresses(kernel.extensions()))
        .collect()
}

/// Writes every kernel, and returns the index.
fn written(target: Target, out: &Path) -> Result<Value> {
    let output = shaders(target.name(), out, &[])?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let (said, index) = (text(&output.stdout), format!("index-{}.json", target.name()));
    assert_eq!(said.lines().count(), 1, "{said}");
    let count = format!("{} kernels", expressible(target).len());
    assert!(
        [&count, &index, &out.display().to_string()].iter().all(|part| said.contains(*part)),
        "{said}"
    );
    let extension = target.extension();
    let kernels = expressible(target)
        .into_iter()
        .map(|kernel| format!("{}.{extension}", kernel.name()))
        .chain([index]);
    let kernels: BTreeSet<String> = kernels.collect();
    let mut found = names(out)?;
    found.retain(|name| {
        name.ends_with(extension) || name.ends_with(&format!("-{}.json", target.name()))
    });
    assert_eq!(found, kernels);
    Ok(serde_json::from_slice(&std::fs::read(out.join(format!("index-{}.json", target.name())))?)?)
}

/// What a text must hold where the index says that `slot` is a kernel's binding.
fn declared(target: Target, slot: &str) -> String {
    match target {
        // naga writes the binding's qualifiers between layout and block.
        Target::Glsl => slot.split_inclusive(')').next().unwrap_or(slot).to_owned(),
        _ => slot.to_owned(),
    }
}

#[test]
fn every_kernel_is_written_in_every_language() -> Outcome {
    // One folder for all: languages do not get in each other's way.
    let folder = tempfile::tempdir()?;
    for target in Target::ALL {
        let index = written(target, folder.path())?;
        assert_eq!(index["target"], target.name());
        let (kernels, entries) =
            (expressible(target), index["kernels"].as_array().ok_or("no kernels")?);
        let skipped = index["skipped"].as_array().ok_or("nothing about skipped ones")?;
        assert_eq!(
            (entries.len(), entries.len() + skipped.len()),
            (kernels.len(), all_specialisations().len())
        );
        // A language that some kernels are written in half precision in does not lack it.
        let has_half = kernels.iter().any(|kernel| kernel.extensions().f16);
        for reason in skipped.iter().map(|kernel| kernel["reason"].as_str().unwrap_or_default()) {
            assert!(reason.starts_with("the language has no "), "{target:?}: {reason}");
            assert!(!(has_half && reason.contains("half precision")), "{target:?}: {reason}");
        }
        for (kernel, entry) in kernels.iter().zip(entries) {
            let file = entry["file"].as_str().ok_or("no file")?;
            let bytes = std::fs::read(folder.path().join(file))?;
            agrees(kernel, entry).map_err(|what| format!("{file}: {what}"))?;
            if target == Target::SpirV {
                assert_eq!(bytes[..4], [3, 2, 35, 7], "{file}");
                continue;
            }
            let text = text(&bytes);
            let entry_point = entry["entry_point"].as_str().ok_or("no entry point")?;
            assert!(text.contains(&format!(" {entry_point}(")), "{file}: {entry_point}");
            let bindings = entry["bindings"]
                .as_array()
                .ok_or("no bindings")?
                .iter()
                .map(|binding| &binding["slot"]);
            for slot in bindings.chain(Some(&entry["buffer_sizes"]).filter(|slot| !slot.is_null()))
            {
                let slot = declared(target, slot.as_str().ok_or("no slot")?);
                assert_eq!(text.matches(&slot).count(), 1, "{file}: {slot}");
            }
            assert!(!text.contains("fake"), "{file}: a binding without a number");
        }
    }
    Ok(())
}

/// Holds what does not depend on the language against the kernel.
fn agrees(kernel: &Kernel, entry: &Value) -> Result<()> {
    assert_eq!(entry["name"], kernel.name());
    let source = kernel.source()?;
    let (_, reflection) = inspect(&source, kernel.extensions())?;
    assert_eq!(entry["workgroup_size"], serde_json::json!(reflection.workgroup_size));
    assert_eq!(entry["workgroup_bytes"], reflection.workgroup_bytes);
    let (members, bytes) = kernel.host_params();
    assert_eq!(entry["params"]["bytes"], bytes);
    for (index, &(name, offset)) in members.iter().enumerate() {
        let member = &entry["params"]["members"][index];
        assert_eq!((&member["name"], &member["offset"]), (&name.into(), &offset.into()));
    }
    let roles =
        entry["bindings"].as_array().into_iter().flatten().map(|binding| binding["role"].as_str());
    let roles: Option<Vec<&str>> = roles.collect();
    let roles = roles.ok_or("no roles")?;
    assert_eq!(roles.len(), kernel.bindings().len());
    let written = entry["bindings"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|binding| binding["kind"] == "storage");
    assert_eq!((roles[0], written.count()), ("params", 1));
    Ok(())
}

#[test]
fn wgsl_is_the_assembled_text_behind_the_browsers_prelude() -> Outcome {
    let folder = tempfile::tempdir()?;
    written(Target::Wgsl, folder.path())?;
    for kernel in expressible(Target::Wgsl) {
        let text = std::fs::read_to_string(folder.path().join(format!("{}.wgsl", kernel.name())))?;
        let subgroups = kernel.family.uses_subgroups();
        let half = if kernel.extensions().f16 { "enable f16;\n" } else { "" };
        let lines = format!("{half}{}", if subgroups { "enable subgroups;\n" } else { "" });
        let body =
            text.strip_prefix(&lines).ok_or_else(|| format!("{}: {text:.30}", kernel.name()))?;
        assert_eq!(
            (body, body.contains("subgroupBroadcast(")),
            (kernel.source()?.as_str(), subgroups)
        );
        assert!(body.starts_with("// "), "{}: no comments", kernel.name());
        inspect(body, kernel.extensions())?;
    }
    Ok(())
}

#[test]
fn kernels_are_chosen_by_name_and_other_files_left_alone() -> Outcome {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("new");
    let wanted: Vec<String> = all_specialisations()
        .iter()
        .map(Kernel::name)
        .filter(|name| name.contains("residual_add"))
        .collect();
    assert_eq!(shaders("hlsl", &out, &["--kernel", "residual_add"])?.status.code(), Some(0));
    assert_eq!(names(&out)?.len(), wanted.len() + 1);

    std::fs::write(out.join("notes.txt"), "mine")?;
    let first = out.join(format!("{}.hlsl", wanted[0]));
    std::fs::write(&first, "old")?;
    assert_eq!(shaders("hlsl", &out, &["--kernel", "residual_add"])?.status.code(), Some(0));
    assert_eq!(std::fs::read_to_string(out.join("notes.txt"))?, "mine");
    assert_ne!(std::fs::read_to_string(first)?, "old");
    assert_eq!(names(&out)?.len(), wanted.len() + 2);
    Ok(())
}

#[test]
fn what_cannot_be_done_writes_nothing() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("file"), "mine")?;
    std::fs::create_dir_all(path("taken/index-glsl.json"))?;
    let cases = [
        (shaders("wgsl", &path("file"), &[])?, "not a folder"),
        (shaders("wgsl", &path("file/below"), &[])?, "file"),
        (shaders("wgsl", &path("no/parent"), &[])?, "no"),
        (shaders("glsl", &path("taken"), &[])?, "regular file"),
        (shaders("wgsl", &path("new"), &["--kernel", "winograd99"])?, "conv3x3_grouped_"),
        (shaders("wgsl", &path("new"), &["--kernel", ""])?, "--kernel"),
        (shaders("cuda", &path("new"), &[])?, "wgsl"),
        (run(bottleneck().args(["shaders", "--target", "msl"]))?, "--out"),
    ];
    for (output, said) in cases {
        assert_eq!(complaint(&output, 2, &[said]), None);
    }
    assert_eq!(names(folder.path())?, ["file", "taken"].map(str::to_owned).into());
    assert_eq!(names(&path("taken"))?.len(), 1);
    assert_eq!(std::fs::read_to_string(path("file"))?, "mine");
    Ok(())
}

/// Not even root may write there.
#[cfg(target_os = "linux")]
#[test]
fn an_unwritable_folder_is_reported() -> Outcome {
    for out in ["/proc", "/proc/new"] {
        assert_eq!(
            complaint(
                &shaders("wgsl", Path::new(out), &["--kernel", "residual_add"])?,
                2,
                &["/proc"]
            ),
            None
        );
    }
    Ok(())
}
