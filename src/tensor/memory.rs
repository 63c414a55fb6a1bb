//! Checks that host memory is available before it is allocated, because a failed allocation ends
//! the process.

use crate::error::ShapeError;

/// For fewer bytes, the system's available memory is not queried.
pub(crate) const LARGE: u64 = 256 << 20;

/// Whether this many bytes can be allocated now. Other threads and processes may take them before
/// the caller does.
pub(crate) fn is_available(bytes: u64) -> bool {
    let mut probe: Vec<u8> = Vec::new();
    let reserved = usize::try_from(bytes).map(|bytes| probe.try_reserve_exact(bytes));
    // Keeps the compiler from removing the allocation.
    std::hint::black_box(&mut probe);
    // Some systems overcommit memory, and kill a process that uses it.
    matches!(reserved, Ok(Ok(()))) && (bytes < LARGE || left().is_none_or(|left| bytes <= left))
}

/// Checks that the memory for a tensor, or for several, is available.
pub(crate) fn check(tensor: &str, dims: &[usize], bytes: u64) -> Result<(), ShapeError> {
    if is_available(bytes) {
        return Ok(());
    }
    Err(ShapeError::Memory { tensor: tensor.to_owned(), dims: dims.to_vec(), bytes })
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
        assert!(is_available(0) && is_available(1 << 20));
        for bytes in [1 << 55, u64::MAX] {
            let error = check("input", &[1, 2, 3, 4], bytes);
            let named = matches!(
                &error,
                Err(ShapeError::Memory { tensor, dims, bytes: found })
                    if tensor == "input" && *dims == [1, 2, 3, 4] && *found == bytes
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
