//! Files and paths that must be refused: exit code 2, the name of the file, no output.

use safetensors::Dtype;

use super::program::{Folder, bottleneck, complaint, good_folder, input, run, weights};
use crate::common::Outcome;
use crate::common::dict::{DictBuilder, with_header};

/// Files that are no safetensors, and what of the parser's answer must be said.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn damaged_files() -> Vec<(&'static str, Vec<u8>)> {
    let whole = weights().bytes();
    let header = |text: &str, data| with_header(text, data);
    let lying_length = |length: u64| [&length.to_le_bytes()[..], &whole[8..]].concat();
    vec![
        ("empty file", Vec::new()),
        ("text file", b"conv1.weight: see the attached spreadsheet\n".to_vec()),
        ("three bytes", whole[..3].to_vec()),
        ("truncated header", whole[..100].to_vec()),
        ("truncated data", whole[..whole.len() - 1].to_vec()),
        ("data too long", [&whole[..], &[0; 4]].concat()),
        ("huge header length", lying_length(u64::MAX)),
        ("header length beyond the file", lying_length(whole.len() as u64)),
        ("header length too short", lying_length(20)),
        ("header length zero", lying_length(0)),
        (
            "header is not UTF-8",
            header("{\"a\u{fffd}", 0)
                .into_iter()
                .map(|b| if b == 0xef { 0xff } else { b })
                .collect(),
        ),
        ("header is no object", header("[1, 2, 3]", 12)),
        (
            "negative dimension",
            header(r#"{"input":{"dtype":"F32","shape":[1,-8,1,1],"data_offsets":[0,32]}}"#, 32),
        ),
        (
            "unknown type",
            header(r#"{"input":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#, 4),
        ),
        (
            "offsets beyond the data",
            header(r#"{"input":{"dtype":"F32","shape":[1,8,1,1],"data_offsets":[0,32]}}"#, 16),
        ),
        (
            "offsets backwards",
            header(r#"{"input":{"dtype":"F32","shape":[1,8,1,1],"data_offsets":[32,0]}}"#, 32),
        ),
        (
            "overlapping offsets",
            header(
                concat!(
                    r#"{"input":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"#,
                    r#""b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#
                ),
                12,
            ),
        ),
        (
            "a hole between tensors",
            header(
                concat!(
                    r#"{"input":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"#,
                    r#""b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#
                ),
                12,
            ),
        ),
        (
            "shape and offsets disagree",
            header(r#"{"input":{"dtype":"F32","shape":[1,8,1,2],"data_offsets":[0,32]}}"#, 32),
        ),
        (
            "sizes that overflow",
            header(
                concat!(
                    r#"{"input":{"dtype":"F32","#,
                    r#""shape":[4294967296,4294967296,4294967296,4],"data_offsets":[0,32]}}"#
                ),
                32,
            ),
        ),
        (
            "huge declared sizes",
            header(
                concat!(
                    r#"{"input":{"dtype":"F32","#,
                    r#""shape":[1,8,1073741824,1073741824],"data_offsets":[0,36893488147419103]}}"#
                ),
                32,
            ),
        ),
    ]
}

#[test]
fn damaged_files_are_refused() -> Outcome {
    let mut complaints = Vec::new();
    for (name, bytes) in damaged_files() {
        for (damaged, folder) in [
            ("w", Folder::with(&bytes, &input().bytes())?),
            ("in", Folder::with(&weights().bytes(), &bytes)?),
        ] {
            let path = folder.path(damaged);
            let output = folder.block(&["--stride", "2"])?;
            let complaint = complaint(&output, 2, &[&path.display().to_string(), "not a "]);
            complaints
                .extend(complaint.map(|complaint| format!("{name} as {damaged}: {complaint}")));
            assert_eq!(folder.files()?, ["in", "w"], "{name}");
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
    Ok(())
}

#[test]
fn wrong_inputs_are_refused() -> Outcome {
    let zeros = |dims: &[usize]| {
        let mut dict = DictBuilder::default();
        dict.f32("input", dims, &vec![0.0; dims.iter().product()]);
        dict
    };
    let raw = |dtype, bytes| {
        let mut dict = DictBuilder::default();
        dict.raw("input", dtype, &[1, 8, 1, 1], vec![0; bytes]);
        dict
    };
    let cases = [
        ("no tensor input", weights(), "tensor input is missing"),
        ("other channels", zeros(&[1, 7, 5, 5]), "[1, 7, 5, 5]"),
        ("more channels", zeros(&[1, 16, 5, 5]), "[1, 16, 5, 5]"),
        ("three dimensions", zeros(&[8, 5, 5]), "input: expected 4 dimensions"),
        ("five dimensions", zeros(&[1, 8, 5, 5, 1]), "input: expected 4 dimensions"),
        ("no dimensions", zeros(&[]), "input: expected 4 dimensions"),
        ("empty batch", zeros(&[0, 8, 5, 5]), "input: shape [0, 8, 5, 5]"),
        ("no channels", zeros(&[1, 0, 5, 5]), "input: shape [1, 0, 5, 5]"),
        ("no rows", zeros(&[1, 8, 0, 5]), "input: shape [1, 8, 0, 5]"),
        ("no columns", zeros(&[1, 8, 5, 0]), "input: shape [1, 8, 5, 0]"),
        ("doubles", raw(Dtype::F64, 64), "F64"),
        ("integers", raw(Dtype::I32, 32), "I32"),
    ];
    let mut complaints = Vec::new();
    for (name, dict, says) in cases {
        let folder = Folder::with(&weights().bytes(), &dict.bytes())?;
        let output = folder.block(&["--stride", "2"])?;
        complaints.extend(
            complaint(&output, 2, &[says, "input"]).map(|complaint| format!("{name}: {complaint}")),
        );
        assert_eq!(folder.files()?, ["in", "w"], "{name}");
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
    Ok(())
}

#[test]
fn wrong_paths_are_refused() -> Outcome {
    let folder = good_folder()?;
    let [w, input, missing] =
        ["w", "in", "missing"].map(|name| folder.path(name).display().to_string());
    let nested = folder.path("no/such/out").display().to_string();
    let here = folder.path("").display().to_string();
    #[cfg(unix)]
    let linked = {
        std::os::unix::fs::symlink("in", folder.path("link"))?;
        folder.path("link").display().to_string()
    };
    #[cfg(not(unix))]
    let linked = folder.path("../").join(folder.path("in")).display().to_string();
    let (before_w, before_in) = (std::fs::read(&w)?, std::fs::read(&input)?);
    let names = folder.files()?;
    for (w, input, out, says) in [
        (&missing, &input, &missing, "missing"),
        (&w, &missing, &missing, "missing"),
        (&here, &input, &missing, here.as_str()),
        (&w, &input, &w, "same file"),
        (&w, &input, &input, "same file"),
        (&w, &input, &linked, "same file"),
        (&w, &input, &nested, "no/such"),
        (&w, &input, &here, "regular file"),
    ] {
        let args = ["block", "--stride", "2", "--weights", w, "--input", input, "--output", out];
        let complaint = complaint(&run(bottleneck().args(args))?, 2, &[says]);
        assert_eq!(complaint, None, "{args:?}");
    }
    // Also not the table of kernels.
    let tuned = format!("--tuned={input}");
    for train in [&[][..], &["--train"]] {
        let args = ["block", "--stride", "2", "--weights", &w, "--input", &w, "--output", &input];
        let output = run(bottleneck().args(args).arg(&tuned).args(train))?;
        assert_eq!(complaint(&output, 2, &["same file"]), None, "{train:?}");
    }
    assert_eq!(folder.files()?, names);
    assert_eq!((std::fs::read(&w)?, std::fs::read(&input)?), (before_w, before_in));
    Ok(())
}

#[test]
fn wrong_usage_is_refused() -> Outcome {
    let folder = good_folder()?;
    let w = folder.path("w").display().to_string();
    let cases: [(&[&str], &str); 8] = [
        (&["blok"], "blok"),
        (&["block"], "--weights"),
        (&["block", "--weights", &w], "--input"),
        (&["plan", "--weights", &w], "--shape"),
        (&["plan", "--weights", &w, "--stride", "2", "--shape", "1,8,5"], "4 dimensions"),
        (&["plan", "--weights", &w, "--stride", "2", "--shape", "1,8,0,5"], "size zero"),
        (
            &["plan", "--weights", &w, "--stride", "2", "--shape", "1,8,4294967295,4294967295"],
            "overflows",
        ),
        (&["plan", "--weights", &w, "--stride", "2", "--shape", "1,8,65535,65535"], "limit"),
    ];
    for (args, says) in cases {
        assert_eq!(complaint(&run(bottleneck().args(args))?, 2, &[says]), None, "{args:?}");
    }
    Ok(())
}
