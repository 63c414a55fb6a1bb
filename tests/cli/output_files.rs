//! Output files of every command: symbolic links, files that killed runs leave, the file size
//! limit.

use std::fs::File;
use std::process::Command;
#[cfg(unix)]
use std::process::Output;

use crate::common::Outcome;
use crate::common::dict::DictBuilder;
use crate::common::seeded_network::uniform;
use crate::embed::studio::Studio;
use crate::program::{Result, bottleneck, expect, input, names_in, run, weights};
#[cfg(unix)]
use crate::program::{complaint, stderr};
use crate::train::command as train;

/// Commands that write a file, and the name of the file. They run in the folder of [`studio`].
const COMMANDS: [(&str, &str); 8] = [
    ("block --stride 2 --weights b --input i --output", "out"),
    ("block --train --stride 2 --weights b --input i --output", "out"),
    ("run --weights w.safetensors --input n --output", "out"),
    ("embed --resume --weights w.safetensors p --out", "out.npy"),
    ("features --weights w.safetensors --image p/0/000.png --raw", "out"),
    ("tune --quick --assert=1e9 --block --inplanes 8 --planes 4 --size 4x4 --output", "out"),
    ("bench --quick --block --inplanes 8 --planes 4 --size 4x4 --html", "out"),
    ("bench --quick --block --inplanes 8 --planes 4 --size 4x4 --trace", "out"),
];

/// A command that writes several files to a folder.
const SHADERS: &str = "shaders --target wgsl --kernel conv1x1_l8s1r4c1 --out";

/// A folder with images, a network, a block, and inputs for both.
fn studio() -> Result<Studio> {
    let studio = Studio::with(3)?;
    std::fs::write(studio.path("b"), weights().bytes())?;
    std::fs::write(studio.path("i"), input().bytes())?;
    let mut network = DictBuilder::default();
    network.f32("input", &[1, 3, 32, 32], &uniform("input", 3 * 32 * 32).collect::<Vec<_>>());
    std::fs::write(studio.path("n"), network.bytes())?;
    std::fs::create_dir(studio.path("elsewhere"))?;
    Ok(studio)
}

/// A command with its output, in the folder of the studio.
fn command(studio: &Studio, command: &str, output: &str) -> Command {
    let mut program = bottleneck();
    program.current_dir(studio.0.path()).args(command.split(' ')).arg(output);
    program
}

/// A link to a file, or to a missing file in an existing folder, is followed. Others are refused.
#[cfg(unix)]
#[test]
fn links_are_followed_or_refused() -> Outcome {
    use std::os::unix::fs::symlink;
    let studio = studio()?;
    let before = studio.files()?;
    for (arguments, name) in COMMANDS {
        let (link, target) = (studio.path(name), studio.path("elsewhere").join(name));
        symlink(format!("elsewhere/{name}"), &link)?;
        // The target is missing at first.
        for _ in 0..2 {
            expect(0, &run(&mut command(&studio, arguments, name))?)?;
            assert!(link.is_symlink(), "{arguments}: the link was replaced");
            assert!(target.is_file() && !target.is_symlink(), "{arguments}");
        }
        std::fs::remove_file(&link)?;
        let written = std::fs::read_dir(studio.path("elsewhere"))?.count();
        assert_eq!(written, 1 + usize::from(name == "out.npy"), "{arguments}");
        std::fs::remove_dir_all(studio.path("elsewhere"))?;
        std::fs::create_dir(studio.path("elsewhere"))?;
        for (to, says) in [
            (format!("missing/{name}"), "in a folder that does not exist"),
            (name.to_owned(), "leads back to itself"),
        ] {
            symlink(to, &link)?;
            let output = run(&mut command(&studio, arguments, name))?;
            let says = [&format!("{name}: a symbolic link"), says];
            assert_eq!(complaint(&output, 2, &says), None, "{arguments}");
            assert!(link.is_symlink(), "{arguments}: the link was replaced");
            std::fs::remove_file(&link)?;
        }
        assert_eq!(studio.files()?, before, "{arguments}");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn links_to_folders_and_in_folders_are_followed_or_refused() -> Outcome {
    use std::os::unix::fs::symlink;
    let studio = studio()?;
    let commands: [(&str, &dyn Fn() -> Command, &str); 3] = [
        ("shaders", &|| command(&studio, SHADERS, "out"), "index-wgsl.json"),
        (
            "features",
            &|| {
                command(
                    &studio,
                    "features --weights w.safetensors --image p/0/000.png --png",
                    "out",
                )
            },
            "overview.png",
        ),
        ("train", &|| train(&studio, "out", &["--data", "p", "--batch", "3"]), "log.csv"),
    ];
    let link = studio.path("out");
    for (name, command, file) in commands {
        for (to, says) in
            [("missing/out", "in a folder that does not exist"), ("out", "leads back to itself")]
        {
            symlink(to, &link)?;
            let output = run(&mut command())?;
            assert_eq!(complaint(&output, 2, &["out: a symbolic link", says]), None, "{name}");
            assert!(link.is_symlink(), "{name}: the link was replaced");
            std::fs::remove_file(&link)?;
        }
        // The folder is created.
        symlink("elsewhere/out", &link)?;
        expect(0, &run(&mut command())?)?;
        let folder = studio.path("elsewhere/out");
        assert!(link.is_symlink() && folder.join(file).is_file(), "{name}");
        // A link in the folder, to another folder.
        std::fs::remove_dir_all(&folder)?;
        std::fs::create_dir(&folder)?;
        symlink("../file", folder.join(file))?;
        expect(0, &run(&mut command())?)?;
        assert!(link.is_symlink() && folder.join(file).is_symlink(), "{name}");
        assert!(std::fs::metadata(studio.path("elsewhere/file"))?.len() > 0, "{name}");
        std::fs::remove_file(studio.path("elsewhere/file"))?;
        std::fs::remove_dir_all(&folder)?;
        std::fs::remove_file(&link)?;
    }
    Ok(())
}

/// The next run that writes to a folder removes the temporary files of killed runs, and no others.
#[test]
fn stale_files_are_removed() -> Outcome {
    let studio = studio()?;
    let dead = [".bottleneck-7-1.part", ".bottleneck-7-2.part", ".bottleneck-7-2-0.part"];
    let alive = [".bottleneck-7-3.part", ".bottleneck-7-3-0.part"];
    let others = [".bottleneck-7.part", ".bottleneck-Ab12cd", "x.part"];
    std::fs::create_dir(studio.path("out"))?;
    for (arguments, out) in
        [(COMMANDS[0].0, "out/file"), (COMMANDS[3].0, "out/v.npy"), (SHADERS, "out")]
    {
        for name in dead.iter().chain(&alive).chain(&others) {
            std::fs::write(studio.path("out").join(name), "left")?;
        }
        // Another run would hold this lock.
        let lock = File::open(studio.path("out").join(alive[0]))?;
        lock.lock()?;
        expect(0, &run(&mut command(&studio, arguments, out))?)?;
        let is_left = |name: &&&str| studio.path("out").join(name).exists();
        assert_eq!(dead.iter().find(is_left), None, "{arguments}");
        assert_eq!(alive.iter().chain(&others).filter(is_left).count(), 5, "{arguments}");
        drop(lock);
    }
    let output =
        train(&studio, "out", &["--data", "p", "--batch", "3", "--epochs", "1"]).output()?;
    // The folder has a .npy file, which is not a network's.
    expect(0, &output)?;
    assert!(!studio.path("out").join(alive[0]).exists());
    Ok(())
}

/// Concurrent runs that write the same files. Each file is complete.
#[test]
fn concurrent_runs_do_not_disturb_each_other() -> Outcome {
    let studio = studio()?;
    let mut shaders = Vec::new();
    for _ in 0..6 {
        shaders.push(
            command(&studio, SHADERS, "elsewhere").stdout(std::process::Stdio::null()).spawn()?,
        );
    }
    for mut child in shaders {
        assert!(child.wait()?.success());
    }
    let names = names_in(&studio.path("elsewhere"))?;
    assert!(names.len() > 2 && names.iter().all(|name| !name.ends_with(".part")), "{names:?}");
    Ok(())
}

/// By default, the signal SIGXFSZ would end the process and leave a temporary file.
#[cfg(unix)]
#[test]
fn the_file_size_limit_is_an_error() -> Outcome {
    let studio = studio()?;
    let before = studio.files()?;
    let limited = |of: &Command, limit: u32| -> Result<Output> {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -f {limit}; exec \"$0\" \"$@\"")]);
        shell.arg(of.get_program()).args(of.get_args()).current_dir(studio.0.path());
        shell.env("XDG_CACHE_HOME", studio.path("elsewhere"));
        run(&mut shell)
    };
    for (arguments, name) in COMMANDS {
        let output = limited(&command(&studio, arguments, name), 0)?;
        let journal = format!(".{name}.journal");
        let at = if arguments.starts_with("embed") { &journal } else { name };
        // Some commands report their settings first.
        let (said, named) = (stderr(&output), format!("error: {at}: "));
        let error = said.lines().find(|line| line.starts_with(&named)).unwrap_or_default();
        assert!(output.status.code() == Some(2) && error.contains("file size limit"), "{said}");
        assert_eq!(studio.files()?, before, "{arguments}");
    }
    let output = limited(&command(&studio, SHADERS, "out"), 1)?;
    assert_eq!(complaint(&output, 2, &["out/", "file size limit"]), None);
    assert_eq!(studio.files()?, before);
    let output = limited(&train(&studio, "out", &["--data", "p", "--batch", "3"]), 0)?;
    assert_eq!(complaint(&output, 2, &["out/images.jsonl", "file size limit"]), None);
    assert_eq!(std::fs::read_dir(studio.path("out"))?.count(), 0);
    Ok(())
}
