//! Kernels that the driver does not compile. They are left out, and remembered in a file next to
//! the cache of pipelines.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::device::Inner;
use super::{Gpu, user_cache};
use crate::error::{Error, GpuError, Result};
use crate::input_file::Refused;

/// How often a load is tried again.
const RETRIES: usize = 3;

/// The largest file of names.
const MAX_BYTES: u64 = 1 << 20;

impl Gpu {
    /// The same device without the kernels of these names: no step of a later load uses them. For a
    /// driver that does not compile them ([`GpuError::Compile`]). Names that no kernel has are
    /// ignored. Call it before [`Gpu::keep_pipelines`], which applies to one handle.
    #[must_use]
    pub fn without_kernels(&self, names: &[String]) -> Self {
        let mut refused = self.capabilities().refused.to_vec();
        refused.extend_from_slice(names);
        refused.sort_unstable();
        refused.dedup();
        if refused == self.capabilities().refused {
            return self.clone();
        }
        let Inner { capabilities, opened, kept_path, .. } = &*self.inner;
        // SAFETY: fewer kernels are allowed, and none that was not.
        let mut gpu = unsafe { self.with_capabilities(*capabilities) };
        if let Some(inner) = Arc::get_mut(&mut gpu.inner) {
            // Capabilities are plain data that may live as long as the process. There are few such
            // lists, as there are few such kernels.
            inner.capabilities.refused = refused.leak();
            inner.opened.clone_from(opened);
            inner.kept_path.clone_from(kept_path);
        }
        gpu
    }

    /// [`Gpu::without_kernels`] with the names in the file of [`refused_kernels`]. Later loads add
    /// the kernels to it that the driver does not compile.
    #[must_use]
    pub fn without_refused(&self, pipelines: &Path) -> Self {
        let gpu = self.without_kernels(&refused_kernels(pipelines).0);
        let _ = gpu.inner.kept_path.set(pipelines.to_owned());
        gpu
    }

    /// Loads, and again without a kernel that the driver does not compile, if the device is one of
    /// this crate: on a fresh device if this one is lost.
    ///
    /// # Errors
    /// Any error of `load`; [`GpuError::Compile`] if there is no other kernel for a step, or if
    /// four loads have failed.
    pub(crate) fn load_what_compiles<T>(
        &self,
        mut load: impl FnMut(&Self) -> Result<T>,
    ) -> Result<T> {
        let mut gpu = self.clone();
        for _ in 0..RETRIES {
            match load(&gpu) {
                Err(Error::Gpu(GpuError::Compile { kernel, reason }))
                    if !gpu.is_borrowed() && !gpu.capabilities().refused.contains(&kernel) =>
                {
                    tracing::warn!("the driver does not compile the kernel {kernel}: {reason}");
                    gpu = gpu.again_without(kernel)?;
                }
                done => return done,
            }
        }
        load(&gpu)
    }

    /// This device, or a fresh one if it is lost, without one more kernel.
    fn again_without(&self, kernel: String) -> Result<Self> {
        let names = [self.capabilities().refused, &[kernel]].concat();
        let Inner { device, monitor, kept_path, .. } = &*self.inner;
        let lost = monitor.check_alive(device).is_err();
        let new = if lost { self.reopened() } else { None };
        let gpu = new.transpose()?.unwrap_or_else(|| self.clone()).without_kernels(&names);
        if let Some(file) = kept_path.get() {
            gpu.keep_pipelines(file)?;
        }
        Ok(gpu)
    }

    /// Adds a kernel that the driver does not compile to the file of such kernels, if there is one,
    /// so that later processes leave it out.
    pub(super) fn keep_refused(&self, kernel: &str) {
        let Some(file) = self.inner.kept_path.get() else { return };
        let (mut names, file) = refused_kernels(file);
        if names.iter().any(|name| name == kernel) {
            return;
        }
        names.push(kernel.to_owned());
        names.sort_unstable();
        let text: String = names.iter().map(|name| format!("{name}\n")).collect();
        if let Err(error) = user_cache::write_whole(&file, &[text.as_bytes()]) {
            tracing::warn!("the names of refused kernels are not kept: {error}");
        }
    }
}

/// The kernels that earlier processes found that this driver does not compile, by name, and the
/// file that lists them. `pipelines` is the path of [`Gpu::keep_pipelines`], which depends on the
/// driver's version. Delete the file to try the kernels again.
#[must_use]
pub fn refused_kernels(pipelines: &Path) -> (Vec<String>, PathBuf) {
    let file = refused_path(pipelines);
    let names = match user_cache::read_own(&file, MAX_BYTES) {
        Ok(bytes) => names(&bytes).unwrap_or_else(|| {
            tracing::warn!("{} is ignored: it is no list of kernels", file.display());
            Vec::new()
        }),
        Err(Refused::Io(error)) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::warn!("{} is ignored: {error}", file.display());
            Vec::new()
        }
    };
    (names, file)
}

fn refused_path(pipelines: &Path) -> PathBuf {
    pipelines.with_extension("refused.txt")
}

/// The names in a file, one per line.
fn names(bytes: &[u8]) -> Option<Vec<String>> {
    let is_name = |line: &&str| {
        line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte))
    };
    let lines = std::str::from_utf8(bytes).ok()?.lines();
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    lines.iter().all(is_name).then(|| lines.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_read() {
        assert_eq!(names(b"a_1x8\nb\n"), Some(vec!["a_1x8".to_owned(), "b".to_owned()]));
        assert_eq!(names(b""), Some(Vec::new()));
        assert_eq!(names(b"\n\n"), Some(Vec::new()));
        assert_eq!(names(b"a b"), None);
        assert_eq!(names(b"\xff"), None);
    }
}
