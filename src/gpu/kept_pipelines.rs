//! A cache file of compiled pipelines, so that later processes need not compile the kernels again.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use wgpu::{Device, PipelineCache, PipelineCacheDescriptor};

use super::compiling::Compiling;
use super::monitor::Monitor;
use super::user_cache;
use crate::error::GpuError;
use crate::input_file::Refused;

/// The driver's pipeline cache and its file.
#[derive(Debug)]
pub(super) struct KeptPipelines {
    pub cache: PipelineCache,
    file: PathBuf,
    /// The checksum of the file's contents.
    kept: Mutex<Option<u32>>,
}

/// The maximum length of such a file in bytes. Drivers' caches have up to some tens of MB.
const MAX_BYTES: u64 = 1 << 30;

/// The header of such a file; the checksum of the rest follows.
const MAGIC: &[u8] = b"bottleneck pipelines 1\n";

impl KeptPipelines {
    /// Opens a file, which may be missing. A file counts as empty if it is damaged, too long, not a
    /// regular file, or (on Unix) owned by another user, and once after a process died while it
    /// compiled.
    ///
    /// # Errors
    /// [`GpuError::Lost`], or any error of the device.
    pub fn open(device: &Device, monitor: &Monitor, file: &Path) -> Result<Self, GpuError> {
        let interrupted = Compiling::was_interrupted(file);
        let data = match user_cache::read_own(file, MAX_BYTES) {
            Ok(_) if interrupted => {
                tracing::warn!(
                    "{} is ignored this time: a process ended while the driver compiled kernels",
                    file.display()
                );
                None
            }
            Ok(bytes) => checked(&bytes).map(<[u8]>::to_vec).or_else(|| {
                tracing::warn!(
                    "{} is ignored: it is damaged, or not a pipeline cache",
                    file.display()
                );
                None
            }),
            Err(Refused::Io(error)) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!("{} is ignored: {error}", file.display());
                None
            }
        };
        // The driver reads the data here, or when the first kernel is compiled.
        let compiling = data.as_ref().and_then(|_| Compiling::begin(file));
        let cache = monitor.guarded(device, "reading kept pipelines", || {
            let descriptor = PipelineCacheDescriptor {
                label: Some("kept pipelines"),
                data: data.as_deref(),
                fallback: true,
            };
            // SAFETY: the checksum shows that the data came from `PipelineCache::get_data` in a
            // process of this crate; wgpu compares it with the adapter and the version of its
            // driver.
            unsafe { device.create_pipeline_cache(&descriptor) }
        })?;
        drop(compiling);
        let kept = Mutex::new(data.as_deref().map(crc32fast::hash));
        Ok(Self { cache, file: file.to_owned(), kept })
    }

    /// Marks that kernels are compiled, until the result is dropped.
    pub fn compiling(&self) -> Option<Compiling> {
        Compiling::begin(&self.file)
    }

    /// Writes the data of the driver's cache to the file if it has changed.
    pub fn save(&self, data: &[u8]) {
        let Self { file, kept, .. } = self;
        let checksum = crc32fast::hash(data);
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if *kept == Some(checksum) {
            return;
        }
        let length = (MAGIC.len() + size_of::<u32>() + data.len()) as u64;
        if length > MAX_BYTES {
            tracing::warn!("pipelines are not kept: {length} bytes, the limit is {MAX_BYTES}");
            return;
        }
        match user_cache::write_whole(file, &[MAGIC, &checksum.to_le_bytes(), data]) {
            Ok(()) => *kept = Some(checksum),
            Err(error) => tracing::warn!("pipelines are not kept: {error}"),
        }
    }
}

/// The data of an intact file.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (checksum, data) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
    (crc32fast::hash(data) == u32::from_le_bytes(*checksum)).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_is_not_taken() {
        let data = b"what a driver made".as_slice();
        let whole = [MAGIC, &crc32fast::hash(data).to_le_bytes(), data].concat();
        assert_eq!(checked(&whole), Some(data));
        for length in 0..whole.len() {
            assert_eq!(checked(&whole[..length]), None, "{length} bytes");
            let mut changed = whole.clone();
            changed[length] ^= 4;
            assert_eq!(checked(&changed), None, "another byte {length}");
        }
    }
}
