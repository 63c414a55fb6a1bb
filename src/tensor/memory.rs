//! Checks that host memory is available before it is allocated, because a failed allocation ends
//! the process.

use crate::error::{ImageError, ShapeError};

/// For fewer bytes, the system's available memory is not queried.
pub(crate) const LARGE: u64 = 256 << 20;

/// A lack of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lack {
    /// The bytes that are needed.
    pub bytes: u64,
    /// The bytes that are available, if the system reports that they are fewer. They are not if
    /// a limit of the process is the cause.
    pub available: Option<u64>,
}

impl Lack {
    /// The lack of memory after an allocation that failed.
    pub fn of(bytes: u64) -> Self {
        Self { bytes, available: left().filter(|&left| left < bytes) }
    }

    /// As the error of a tensor, or of several.
    pub fn of_tensor(self, tensor: &str, dims: &[usize]) -> ShapeError {
        let (Self { bytes, available }, dims) = (self, dims.to_vec());
        ShapeError::Memory { tensor: tensor.to_owned(), dims, bytes, available }
    }

    /// As the error of an image or its file.
    pub fn of_image(self, name: &str) -> ImageError {
        let Self { bytes, available } = self;
        ImageError::Memory { image: name.to_owned(), bytes, available }
    }
}

/// Checks that this many bytes can be allocated now. Other threads and processes may take them
/// before the caller does.
pub(crate) fn reserve(bytes: u64) -> Result<(), Lack> {
    let mut probe: Vec<u8> = Vec::new();
    let reserved = usize::try_from(bytes).map(|bytes| probe.try_reserve_exact(bytes));
    // Keeps the compiler from removing the allocation.
    std::hint::black_box(&mut probe);
    // Some systems overcommit memory, and kill a process that uses it.
    let has_room = || bytes < LARGE || left().is_none_or(|left| bytes <= left);
    if matches!(reserved, Ok(Ok(()))) && has_room() { Ok(()) } else { Err(Lack::of(bytes)) }
}

/// Checks that the memory for a tensor, or for several, is available.
pub(crate) fn check(tensor: &str, dims: &[usize], bytes: u64) -> Result<(), ShapeError> {
    reserve(bytes).map_err(|lack| lack.of_tensor(tensor, dims))
}

/// The memory that the system can give to processes, in bytes; `None` if it does not report it.
fn left() -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    left_in(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

/// The sum of available memory and free swap in a text as in `/proc/meminfo`.
fn left_in(text: &str) -> Option<u64> {
    let value = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(key, _)| *key == name)?;
        value.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    value("MemAvailable")?.checked_add(value("SwapFree").unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_a_machine_does_not_have_is_an_error() {
        assert!(reserve(0).is_ok() && reserve(1 << 20).is_ok());
        for bytes in [1 << 55, u64::MAX] {
            let error = check("input", &[1, 2, 3, 4], bytes);
            let named = matches!(
                &error,
                Err(ShapeError::Memory { tensor, dims, bytes: found, available })
                    if tensor == "input" && *dims == [1, 2, 3, 4] && *found == bytes
                        && available.is_some() == cfg!(target_os = "linux")
            );
            assert!(named, "{error:?}");
        }
    }

    #[test]
    fn the_system_says_how_much_is_left() {
        let text = "MemTotal: 9 kB\nMemAvailable:   20 kB\nSwapTotal: 5 kB\nSwapFree: 3 kB\n";
        assert_eq!(left_in(text), Some(23 * 1024));
        assert_eq!(left_in("MemAvailable: 20 kB\n"), Some(20 * 1024));
        assert_eq!(left_in("MemTotal: 9 kB\n"), None);
        assert!(!cfg!(target_os = "linux") || left().is_some_and(|left| left > 0));
    }
}
