//! What loading a network's weights costs, and what happens when their file changes meanwhile.

mod resnet;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::common::Outcome;
#[cfg(unix)]
use crate::common::dict::DictBuilder;
use wgpu_bottleneck::error::Error;
use wgpu_bottleneck::{Block, BlockOptions, StateDict};
#[cfg(unix)]
use wgpu_bottleneck::{PlanKind, Shape, error::WeightsError, network::plan_chain};

/// Names the file that [`load_in_a_process_of_its_own`] loads.
const FILE: &str = "BOTTLENECK_TEST_LOADS";

/// Every f32 of a ResNet-50 file, the blocks' within blocks.
fn load(path: &Path) -> Result<(StateDict, Vec<Block>), Error> {
    let dict = StateDict::open(path)?;
    let block = |(prefix, stride): (String, usize)| {
        Block::from_state_dict(&dict, &prefix, &BlockOptions { stride, ..Default::default() })
    };
    let blocks = resnet::blocks().into_iter().map(block).collect::<Result<_, _>>()?;
    let others = resnet::tensors().into_iter().filter(|(key, _)| !key.starts_with("layer"));
    for (key, dims) in others {
        dict.weight(&key, &dims)?;
    }
    Ok((dict, blocks))
}

/// A line of the kernel's account of this process, in bytes.
fn memory(line: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let found = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':'))?;
    Some(found.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// What loading ResNet-50 from a file takes: the best of three times, in seconds, and the most
/// memory beyond what the process had before, mapped pages included, where the system tells.
fn measure(path: &Path) -> Result<(f64, Option<u64>), Box<dyn std::error::Error>> {
    let child = Command::new(std::env::current_exe()?)
        .args(["--exact", "loading::load_in_a_process_of_its_own", "--ignored", "--nocapture"])
        .env(FILE, path)
        .output()?;
    let output = String::from_utf8_lossy(&child.stdout);
    let (_, found) = output.split_once("measured ").ok_or_else(|| format!("{output}{child:?}"))?;
    let mut words = found.split_whitespace();
    let seconds = words.next().ok_or("no time")?.parse()?;
    Ok((seconds, words.next().and_then(|bytes| bytes.parse().ok())))
}

#[test]
#[ignore = "started by resnet50_loads_in_a_second_and_its_own_size"]
fn load_in_a_process_of_its_own() -> Outcome {
    let Some(path) = std::env::var_os(FILE) else { return Ok(()) };
    let before = memory("VmRSS");
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let start = Instant::now();
        let loaded = load(path.as_ref())?;
        best = best.min(start.elapsed().as_secs_f64());
        assert_eq!(loaded.1.len(), 16);
    }
    let extra = memory("VmHWM").zip(before).map(|(most, before)| (most - before).to_string());
    println!("measured {best} {}", extra.unwrap_or_default());
    Ok(())
}

#[test]
fn resnet50_loads_in_a_second_and_its_own_size() -> Outcome {
    let _alone = crate::alone();
    let folder = tempfile::tempdir()?;
    for (name, bytes) in resnet::files() {
        let (path, size) = (folder.path().join(name), bytes.len() as f64);
        std::fs::write(&path, bytes)?;
        let (seconds, extra) = measure(&path)?;
        let share = extra.map(|extra| extra as f64 / size);
        crate::common::loudly(&format!(
            "{name}: {:.1} MB loaded in {seconds:.3} s, {share:?} of it in memory",
            size / 1e6
        ));
        assert!(cfg!(debug_assertions) || seconds < 1.0, "{name}: {seconds} s");
        assert!(
            share.is_none_or(|share| share < 1.5),
            "{name}: {share:?} times its size in memory"
        );
        assert!(share.is_some() || !cfg!(target_os = "linux"), "{name}: nothing measured");
        std::fs::remove_file(&path)?;
    }
    Ok(())
}

#[test]
fn the_formats_load_the_same() -> Outcome {
    let _alone = crate::alone();
    let folder = tempfile::tempdir()?;
    let load = |(name, bytes): (&str, Vec<u8>)| -> Result<Vec<Block>, Box<dyn std::error::Error>> {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)?;
        Ok(load(&path)?.1)
    };
    let [safetensors, half, zip, legacy] = resnet::files().map(load);
    let safetensors = safetensors?;
    assert!(safetensors == half? && safetensors == zip? && safetensors == legacy?);
    Ok(())
}

#[test]
fn f32_that_lie_askew_are_read() -> Outcome {
    let _alone = crate::alone();
    // The crate that writes safetensors pads headers; others need not.
    let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    for spaces in 0..4 {
        let mut bytes =
            crate::common::dict::with_header(&format!("{header}{}", " ".repeat(spaces)), 0);
        bytes.extend([1.5f32, -2.0].map(f32::to_le_bytes).as_flattened());
        assert_eq!(StateDict::from_bytes(bytes)?.tensor("a")?.data, [1.5, -2.0]);
    }
    Ok(())
}

/// A block of 256 planes, 4.5 MB: large enough to be mapped.
#[cfg(unix)]
fn block_file() -> Vec<u8> {
    let mut dict = DictBuilder::default();
    let of_block =
        |(key, dims): (String, Vec<usize>)| Some((key.strip_prefix("layer3.1.")?.to_owned(), dims));
    for (key, dims) in resnet::tensors().into_iter().filter_map(of_block) {
        let count = dims.iter().product();
        dict.f32(&key, &dims, &vec![0.25; count]);
    }
    dict.bytes()
}

/// What is refused of a block's file that was changed after the block was loaded from it: the
/// block, and another one.
#[cfg(unix)]
fn changed(
    change: impl Fn(&Path) -> std::io::Result<()>,
) -> Result<[Option<Error>; 2], Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("block.safetensors");
    std::fs::write(&path, block_file())?;
    let dict = StateDict::open(&path)?;
    let options = BlockOptions::default();
    let blocks = [Block::from_state_dict(&dict, "", &options)?];
    let plan = plan_chain(&[*blocks[0].spec()], Shape::new(1, 1024, 4, 4)?, PlanKind::Fused)?;
    Block::params(&blocks, &plan)?;
    change(&path)?;
    let params = Block::params(&blocks, &plan).err().map(Error::from);
    Ok([params, Block::from_state_dict(&dict, "", &options).err()])
}

// Windows lets nobody truncate a file that is mapped.
#[cfg(unix)]
#[test]
fn a_file_that_changes_while_it_is_mapped_is_an_error() -> Outcome {
    let _alone = crate::alone();
    let open = |path: &Path| std::fs::OpenOptions::new().write(true).open(path);
    let truncated = changed(|path| open(path)?.set_len(4096))?;
    let emptied = changed(|path| std::fs::write(path, b""))?;
    let written = changed(|path| {
        // A file system's clock may tick only every few milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(50));
        std::os::unix::fs::FileExt::write_all_at(&open(path)?, &f32::NAN.to_le_bytes(), 1 << 20)
    })?;
    for error in [truncated, emptied, written].into_iter().flatten() {
        assert!(matches!(&error, Some(Error::Weights(WeightsError::Changed { .. }))), "{error:?}");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_file_that_is_replaced_or_removed_stays_as_it_was() -> Outcome {
    let _alone = crate::alone();
    let replaced = changed(|path| {
        let other = path.with_extension("other");
        std::fs::write(&other, b"another file")?;
        std::fs::rename(other, path)
    })?;
    let removed = changed(|path| std::fs::remove_file(path))?;
    assert!([replaced, removed].as_flattened().iter().all(Option::is_none));
    Ok(())
}
