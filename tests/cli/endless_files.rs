//! Pipes and devices in place of files: no command waits for a writer or reads without end.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::Outcome;
use crate::program::{Folder, Result, bottleneck, complaint, expect, good_folder, make_pipe};

/// The output of a command, which must end within a minute.
fn ended(command: &mut Command) -> Result<Output> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let begun = Instant::now();
    while child.try_wait()?.is_none() {
        if begun.elapsed() > Duration::from_secs(60) {
            child.kill()?;
            return Err(format!("{command:?} does not end").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(child.wait_with_output()?)
}

/// The block of the folder, with its own cache directory.
fn block(folder: &Folder, args: &[&str]) -> Command {
    let mut command = folder.block_command(&["--stride", "2"]);
    command.args(args).env("XDG_CACHE_HOME", folder.path("cache"));
    command
}

#[test]
fn options_refuse_pipes_and_devices() -> Outcome {
    let folder = good_folder()?;
    make_pipe(&folder.path("pipe"))?;
    for path in [folder.path("pipe").display().to_string(), "/dev/zero".to_owned()] {
        let tuned = format!("--tuned={path}");
        let tune = ["tune", "--block", "--inplanes", "8", "--planes", "4", "--size", "4"];
        let mut commands = [block(&folder, &[&tuned]), bottleneck(), bottleneck(), bottleneck()];
        commands[1].args(["bench", "--compare", &path, &path]);
        commands[2].args(tune).args(["--output", &path]);
        commands[3].args(["plan", "--weights", &path, "--shape", "1,8,4,4"]);
        for command in &mut commands {
            let wrong = complaint(&ended(command)?, 2, &[&path, "not a regular file"]);
            assert!(wrong.is_none(), "{command:?}: {wrong:?}");
        }
    }
    Ok(())
}

#[test]
fn pipes_in_the_cache_are_ignored() -> Outcome {
    let folder = good_folder()?;
    expect(0, &ended(&mut block(&folder, &[]))?)?;
    let kept = folder.path("cache/wgpu-bottleneck/pipelines");
    if !kept.exists() {
        eprintln!("not tested: this device keeps no pipelines");
        return Ok(());
    }
    for entry in std::fs::read_dir(&kept)? {
        let path = entry?.path();
        std::fs::remove_file(&path)?;
        make_pipe(&path)?;
    }
    let said = expect(0, &ended(&mut block(&folder, &[]))?)?;
    assert!(said.contains("is ignored: a named pipe, not a regular file"), "{said}");
    Ok(())
}

/// `--compare <(COMMAND) after.json` of a shell.
#[test]
fn reports_may_come_from_a_pipe_that_is_open() -> Outcome {
    let folder = Folder::with(b"{}", b"")?;
    let mut shell = Command::new("sh");
    let script = "cat \"$1\" | \"$0\" bench --compare /dev/stdin \"$1\"";
    shell
        .args(["-c", script])
        .arg(bottleneck().get_program())
        .arg(folder.path("w"))
        .env_remove("RUST_LOG");
    let wrong = complaint(&ended(&mut shell)?, 2, &["/dev/stdin: not a report", "no schema"]);
    assert_eq!(wrong, None);
    Ok(())
}
