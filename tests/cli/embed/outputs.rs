//! Files that must not be written, and files that nothing may be added to.

use super::studio::{FORMATS, Studio, network};
use crate::common::Outcome;
use crate::common::seeded::Seeded;
use crate::program::{bottleneck, complaint, run};

#[test]
fn vectors_of_other_weights_are_never_mixed() -> Outcome {
    let studio = Studio::with(10)?;
    for format in FORMATS {
        let out = format!("out.{format}");
        std::fs::write(studio.path("w.safetensors"), network(1.0)?)?;
        studio.expect(0, &out, &[])?;
        let bytes = studio.bytes(&out)?;
        std::fs::write(studio.path("w.safetensors"), network(1.25)?)?;
        for flag in ["--resume", "--retry-failed"] {
            assert_eq!(
                complaint(&studio.embed(&out, &[flag])?, 2, &[&out, "weights", "crc32"]),
                None
            );
        }
        assert!(studio.bytes(&out)? == bytes);
        // Anew it is replaced.
        studio.expect(0, &out, &[])?;
        assert!(studio.bytes(&out)? != bytes);
    }
    assert_eq!(studio.files()?, ["out.npy", "out.npy.json", "out.parquet", "out.safetensors"]);
    Ok(())
}

/// An output that somebody has damaged is an error, whatever is wrong with it, and stays as it is.
#[test]
fn damaged_outputs_are_refused() -> Outcome {
    let studio = Studio::with(12)?;
    std::fs::write(studio.path("p/notes.png"), "no picture")?;
    let mut random = Seeded::new(21);
    for format in FORMATS {
        let out = format!("out.{format}");
        studio.expect(3, &out, &[])?;
        let good = studio.read(&out)?;
        let mut cases = vec![Vec::new(), b"my own file".to_vec(), [&good[..], b"x"].concat()];
        for _ in 0..6 {
            cases.push(good[..random.below(good.len())].to_vec());
            let mut flipped = good.clone();
            flipped[random.below(good.len())] ^= 1 << random.below(8);
            cases.push(flipped);
        }
        for (index, case) in cases.iter().enumerate() {
            std::fs::write(studio.path(&out), case)?;
            let output = studio.embed(&out, &["--resume"])?;
            // A bit that means nothing, as those of a vector that there is none of, may be passed
            // over; the result must be right.
            if output.status.code() == Some(3) {
                assert!(studio.read(&out)? == good, "{out}, case {index}");
                continue;
            }
            assert_eq!(complaint(&output, 2, &[&out]), None, "{out}, case {index}");
            assert!(
                studio.read(&out)? == *case && !studio.journal(&out).exists(),
                "{out}, case {index}"
            );
        }
        std::fs::write(studio.path(&out), &good)?;
    }
    // Names that belong to other vectors.
    std::fs::write(studio.path("p/more.png"), "no picture either")?;
    let old = studio.read("out.npy.json")?;
    studio.expect(3, "out.npy", &[])?;
    std::fs::write(studio.path("out.npy.json"), &old)?;
    assert_eq!(complaint(&studio.embed("out.npy", &["--resume"])?, 2, &["out.npy.json"]), None);
    std::fs::remove_file(studio.path("out.npy.json"))?;
    assert_eq!(complaint(&studio.embed("out.npy", &["--resume"])?, 2, &["out.npy.json"]), None);
    Ok(())
}

#[test]
fn the_output_may_lie_among_the_images() -> Outcome {
    let studio = Studio::with(6)?;
    for format in FORMATS {
        let out = format!("p/out.{format}");
        studio.expect(0, &out, &[])?;
        let bytes = studio.bytes(&out)?;
        for args in [&[][..], &["--resume"]] {
            studio.expect(0, &out, args)?;
            assert!(studio.bytes(&out)? == bytes);
        }
        std::fs::remove_file(studio.path(&out))?;
        let _ = std::fs::remove_file(studio.path("p/out.npy.json"));
    }
    Ok(())
}

#[test]
fn impossible_outputs_are_refused_before_anything_is_done() -> Outcome {
    let studio = Studio::with(3)?;
    std::fs::create_dir(studio.path("d.npy"))?;
    std::fs::create_dir(studio.path("n.npy.json"))?;
    std::fs::create_dir(studio.path(".j.npy.journal"))?;
    std::fs::copy(studio.path("p/0/000.png"), studio.path("picture.npy"))?;
    std::fs::write(studio.path("table.npy"), "{}")?;
    let cases = [
        ("out.csv", "out.csv: the output must end in .parquet, .npy or .safetensors"),
        ("out", ".parquet, .npy or .safetensors"),
        ("nowhere/out.npy", "nowhere"),
        ("config.json/out.npy", "not a directory"),
        ("d.npy", "regular file"),
        ("n.npy", "regular file"),
        ("j.npy", ".j.npy.journal"),
        ("w.safetensors", "same file"),
        ("picture.npy", "same file"),
        ("table.npy", "same file"),
    ];
    #[cfg(unix)]
    let cases = {
        std::os::unix::fs::symlink("s.npy", studio.path("s.npy.json"))?;
        [&cases[..], &[("s.npy", "both lead to")]].concat()
    };
    let before = studio.files()?;
    for (out, why) in cases {
        let mut command = studio.command(out, &["--tuned=table.npy"]);
        assert_eq!(complaint(&run(command.arg("picture.npy"))?, 2, &[why]), None, "{out}");
    }
    assert_eq!(studio.files()?, before);
    let none = run(bottleneck().args(["embed", "--weights", "w", "--out", "out.npy"]))?;
    assert_eq!(complaint(&none, 2, &["DIRS"]), None);
    Ok(())
}
