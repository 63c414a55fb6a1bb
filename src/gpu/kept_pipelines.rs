//! A file of what the driver made of kernels, so that the next process need not have them compiled again.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use wgpu::{Features, PipelineCache, PipelineCacheDescriptor};

use super::{Gpu, describe, user_cache};
use crate::error::GpuError;

/// Where the driver's cache of pipelines is kept.
#[derive(Debug)]
pub(super) struct KeptPipelines {
    pub cache: PipelineCache,
    file: PathBuf,
    /// The checksum of what the file holds.
    kept: Mutex<Option<u32>>,
}

/// What such a file begins with; then comes the checksum of the rest.
const MAGIC: &[u8] = b"bottleneck pipelines 1\n";

impl Gpu {
    /// Keeps what the driver makes of kernels in a file: what is there is used from now on, and each load that has a kernel
    /// compiled writes it anew. Returns whether the device can do so: Vulkan's can, with `Features::PIPELINE_CACHE`, which
    /// [`required`](super::required) asks for, and only the first file is taken. A file that is missing, damaged, or another
    /// device's or driver's is as good as empty, and safe to delete; what goes wrong with it is said in the log.
    ///
    /// What is in the file is run on the device, so it must lie where nobody else can write.
    ///
    /// # Errors
    /// [`GpuError::Lost`], or what the device reported.
    pub fn keep_pipelines(&self, file: &Path) -> Result<bool, GpuError> {
        let inner = &self.inner;
        if inner.kept_pipelines.get().is_some() || !inner.device.features().contains(Features::PIPELINE_CACHE) {
            return Ok(false);
        }
        let data = match fs::read(file) {
            Ok(bytes) => checked(&bytes).map(<[u8]>::to_vec).or_else(|| {
                tracing::warn!("{} is ignored: it is damaged, or no file of pipelines", file.display());
                None
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!("{} is ignored: {error}", file.display());
                None
            }
        };
        let cache = inner.monitor.guarded(&inner.device, "reading kept pipelines", || {
            let descriptor =
                PipelineCacheDescriptor { label: Some("kept pipelines"), data: data.as_deref(), fallback: true };
            // SAFETY: the data is what `PipelineCache::get_data` gave to a process of this crate, as the checksum says; wgpu
            // holds it against the adapter and the version of its driver.
            unsafe { inner.device.create_pipeline_cache(&descriptor) }
        })?;
        let kept = Mutex::new(data.as_deref().map(crc32fast::hash));
        Ok(inner.kept_pipelines.set(KeptPipelines { cache, file: file.to_owned(), kept }).is_ok())
    }

    /// A place for [`Gpu::keep_pipelines`] in the user's cache directory: one file per device, API and driver. `None` where the
    /// environment does not say where the user keeps things.
    #[must_use]
    pub fn default_pipelines_path(&self) -> Option<PathBuf> {
        let checks = if self.runtime_checks() { " with runtime checks" } else { "" };
        let name = user_cache::file_name(&format!("{}{checks}", describe(self.info())), "bin");
        Some(user_cache::folder("pipelines")?.join(name))
    }

    /// Writes the file of [`Gpu::keep_pipelines`], if there is one and the driver has more to keep than it holds.
    pub(super) fn save_pipelines(&self) {
        let Some(KeptPipelines { cache, file, kept }) = self.inner.kept_pipelines.get() else { return };
        let Some(data) = cache.get_data() else { return };
        let checksum = crc32fast::hash(&data);
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if *kept == Some(checksum) {
            return;
        }
        match user_cache::write_whole(file, &[MAGIC, &checksum.to_le_bytes(), &data]) {
            Ok(()) => *kept = Some(checksum),
            Err(error) => tracing::warn!("pipelines are not kept: {error}"),
        }
    }
}

/// The data of a file that is as it was written.
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
