//! Runs that end early: kills, Ctrl-C, and what they leave.

use super::studio::{FORMATS, LENGTH, Studio, table};
use crate::common::Outcome;
use crate::common::seeded::Seeded;
use crate::program::complaint;
#[cfg(unix)]
use crate::program::{signal, stderr};

/// Killed three times at random moments and resumed, a run ends with the bytes of one that nobody
/// disturbed.
#[test]
fn killed_runs_go_on_where_they_were() -> Outcome {
    let studio = Studio::with(500)?;
    std::fs::write(studio.path("p/1/broken.png"), "no picture")?;
    let mut random = Seeded::new(4);
    // Every row is in the journal: so many bytes in all, more or less.
    let journal = 501 * (8 + 5 + 10 + 4 * LENGTH as u64);
    for format in FORMATS {
        let out = format!("killed.{format}");
        for kill in 0..3 {
            let share = 10 + 25 * kill + random.below(15) as u64;
            let mut child = studio.begun(
                &out,
                if kill == 0 { &[] } else { &["--resume"] },
                journal * share / 100,
            )?;
            child.kill()?;
            child.wait()?;
            assert!(
                studio.journal(&out).exists() && !studio.path(&out).exists(),
                "{out}: killed too late"
            );
        }
        studio.expect(3, &out, &["--resume"])?;
        let undisturbed = format!("whole.{format}");
        studio.expect(3, &undisturbed, &[])?;
        assert!(studio.bytes(&out)? == studio.bytes(&undisturbed)?, "{format}: not the same");
        let table = table(&studio.path(&out))?;
        assert_eq!((table.len(), table.values().filter(|row| row.is_err()).count()), (501, 1));
    }
    assert!(studio.files()?.iter().all(|name| !name.starts_with('.')), "{:?}", studio.files()?);
    Ok(())
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_a_valid_file_of_what_was_done() -> Outcome {
    let studio = Studio::with(300)?;
    for format in FORMATS {
        let (out, whole) = (format!("out.{format}"), format!("whole.{format}"));
        studio.expect(0, &whole, &[])?;
        let child = studio.begun(&out, &[], 9000)?;
        signal(&child, "-INT")?;
        let output = child.wait_with_output()?;
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
        let (part, all) = (table(&studio.path(&out))?, table(&studio.path(&whole))?);
        assert!((1..300).contains(&part.len()), "{out}: {} rows", part.len());
        assert!(part.iter().all(|(path, row)| all.get(path) == Some(row)), "{out}");
        assert!(!studio.journal(&out).exists());
        // It goes on from the file as from a journal.
        studio.expect(0, &out, &["--resume"])?;
        assert!(studio.bytes(&out)? == studio.bytes(&whole)?, "{out}");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_second_ctrl_c_ends_at_once() -> Outcome {
    let studio = Studio::with(300)?;
    studio.expect(0, "whole.npy", &[])?;
    let child = studio.begun("out.npy", &[], 5000)?;
    signal(&child, "-INT")?;
    signal(&child, "-INT")?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    studio.expect(0, "out.npy", &["--resume"])?;
    assert!(studio.bytes("out.npy")? == studio.bytes("whole.npy")?);
    Ok(())
}

/// What a journal may be when the power has failed: cut off, filled with zeros, or with wrong bytes
/// in it.
#[test]
fn damaged_journals_lose_what_is_damaged_and_no_more() -> Outcome {
    let studio = Studio::with(120)?;
    studio.expect(0, "whole.parquet", &[])?;
    let whole = studio.read("whole.parquet")?;
    let mut child = studio.begun("out.parquet", &[], 8000)?;
    child.kill()?;
    child.wait()?;
    let journal = std::fs::read(studio.journal("out.parquet"))?;
    let mut random = Seeded::new(9);
    let mut within = || 800 + random.below(journal.len() - 800);
    let mut cases = vec![
        journal.clone(),
        [&journal[..], &[0; 100]].concat(),
        [&journal[..], b"garbage"].concat(),
    ];
    cases.extend([0, 1, 20, 28, 30, 40, 100].map(|length| journal[..length].to_vec()));
    cases.extend((0..4).map(|_| journal[..within()].to_vec()));
    for _ in 0..4 {
        let mut damaged = journal.clone();
        damaged[within()] ^= 1;
        cases.push(damaged);
    }
    for (index, case) in cases.iter().enumerate() {
        std::fs::write(studio.journal("out.parquet"), case)?;
        // One without a row is not in the way.
        let args = if case.len() <= 100 { &[][..] } else { &["--resume"] };
        studio.expect(0, "out.parquet", args)?;
        assert!(studio.read("out.parquet")? == whole, "case {index}");
        assert!(!studio.journal("out.parquet").exists(), "case {index}");
        std::fs::remove_file(studio.path("out.parquet"))?;
    }
    // What is no journal at all, or one whose beginning is damaged, is left alone.
    let mut beginning = journal.clone();
    beginning[50] ^= 1;
    for foreign in [b"my own notes".to_vec(), beginning] {
        std::fs::write(studio.journal("out.parquet"), &foreign)?;
        for args in [&[][..], &["--resume"]] {
            assert_eq!(
                complaint(
                    &studio.embed("out.parquet", args)?,
                    2,
                    &[".out.parquet.journal", "delete"]
                ),
                None
            );
            assert_eq!(std::fs::read(studio.journal("out.parquet"))?, foreign);
        }
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_journal_is_never_thrown_away() -> Outcome {
    let studio = Studio::with(120)?;
    let mut child = studio.begun("out.npy", &[], 3000)?;
    signal(&child, "-STOP")?;
    for args in [&[][..], &["--resume"], &["--retry-failed"]] {
        assert_eq!(
            complaint(&studio.embed("out.npy", args)?, 2, &["another process", "--out"]),
            None
        );
    }
    child.kill()?;
    child.wait()?;
    let journal = std::fs::read(studio.journal("out.npy"))?;
    assert_eq!(
        complaint(&studio.embed("out.npy", &[])?, 2, &["--resume", "delete", ".out.npy.journal"]),
        None
    );
    let made_otherwise = [
        (&["--resume", "--preset", "v2"][..], "preprocessing"),
        (&["--resume", "--shard", "1/2"], "shard"),
        (&["--resume", "--eps", "0.1"], "settings"),
        (&["--resume", "--precision", "auto"], "settings"),
        (&["--resume", "--normalize"], "settings"),
        (&["--resume", "--layer", "layer1"], "length of a vector"),
    ];
    for (args, part) in made_otherwise {
        assert_eq!(
            complaint(
                &studio.embed("out.npy", args)?,
                2,
                &[".out.npy.journal", part, "in the file", "now"]
            ),
            None
        );
    }
    assert_eq!(std::fs::read(studio.journal("out.npy"))?, journal);
    std::fs::remove_file(studio.journal("out.npy"))?;
    studio.expect(0, "out.npy", &[])?;
    Ok(())
}
