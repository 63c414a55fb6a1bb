//! The resources that this process holds.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

/// Resident memory, open files, threads, and Vulkan's objects.
#[derive(Debug, Clone, Default)]
pub struct Holds {
    /// Resident memory in bytes.
    pub memory: u64,
    /// Open files.
    pub files: usize,
    /// Threads.
    pub threads: usize,
    /// The number of Vulkan's objects by kind, if the layer `live` writes them to a file.
    pub objects: BTreeMap<String, i64>,
}

/// Returns the current resources of this process. Vulkan's objects are counted at the last submit.
pub fn holds() -> Holds {
    let count = |folder| fs::read_dir(folder).map_or(0, Iterator::count);
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    let live = std::env::var_os("LIVE").and_then(|path| fs::read_to_string(path).ok());
    let objects = live.unwrap_or_default();
    let objects = objects.lines().filter_map(|line| {
        let (kind, number) = line.split_once(' ')?;
        Some((kind.to_owned(), number.parse().ok()?))
    });
    Holds {
        memory: pages * 4096,
        files: count("/proc/self/fd"),
        threads: count("/proc/self/task"),
        objects: objects.collect(),
    }
}

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory, files, threads, objects } = self;
        write!(f, "{:.1} MiB, {files} files, {threads} threads", *memory as f64 / 1048576.0)?;
        if !objects.is_empty() {
            write!(f, ", {} objects of Vulkan", objects.values().sum::<i64>())?;
        }
        Ok(())
    }
}
