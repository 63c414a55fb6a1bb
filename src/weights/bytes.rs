//! The bytes of a file of weights: memory-mapped or read.
//!
//! A mapped file needs no memory except the system's page cache, which the system can reclaim, and
//! parts that are not used are never read. The mapping is private and read-only, so this process
//! cannot change the file.
//!
//! The risk is that another process changes the file while it is mapped: reading beyond the end of
//! a truncated file kills the process with SIGBUS, and values may change after they were checked.
//! So the file stays open, and every access to its bytes ([`Bytes::now`]) first checks that length
//! and modification time are unchanged, and returns an error if not. A truncation during an access
//! is still fatal; [`StateDict::open`] describes how to avoid a mapping. If a file is removed, or
//! replaced by renaming another, the open mapping does not change; `torch.save`, however, truncates
//! and writes. On Windows a mapped file cannot be truncated.
//!
//! [`StateDict::open`]: super::StateDict::open

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::time::SystemTime;

use memmap2::{Mmap, MmapOptions};

use crate::error::WeightsError;

/// Smaller files are read: that costs about as much as mapping them, without the risks.
const MAPPED: u64 = 1 << 20;

/// Bytes with a stable address for as long as this lives.
pub(super) enum Bytes {
    Read(Vec<u8>),
    Mapped(Mapping),
}

/// A memory-mapped file.
pub(super) struct Mapping {
    name: String,
    file: File,
    /// The modification time, if the system reports it.
    changed: Option<SystemTime>,
    map: Mmap,
}

impl Bytes {
    /// The bytes of a file, whose first bytes, `start`, have been read. It is mapped if that is
    /// permitted, worthwhile for its size and supported by the file system; otherwise it is read.
    pub fn open(
        name: &str,
        file: File,
        about: &Metadata,
        start: Vec<u8>,
        may_map: bool,
    ) -> io::Result<Self> {
        let length = usize::try_from(about.len()).ok().filter(|_| may_map && about.len() >= MAPPED);
        if let Some(length) = length {
            // SAFETY: the slice must not change while it is borrowed. This process does not write
            // to the file. Other processes may, which no program can prevent; detectable changes
            // are detected before every borrow (see above). No reference into the slice is stored:
            // parsed values are copied or stored as ranges, and every bit pattern is a valid f32.
            if let Ok(map) = unsafe { MmapOptions::new().len(length).map_copy_read_only(&file) } {
                return Ok(Self::Mapped(Mapping {
                    name: name.to_owned(),
                    file,
                    changed: about.modified().ok(),
                    map,
                }));
            }
        }
        let mut bytes = start;
        // At most the length that was checked, even if the file grows.
        file.take(about.len().saturating_sub(bytes.len() as u64)).read_to_end(&mut bytes)?;
        Ok(Self::Read(bytes))
    }

    /// The bytes, if the file has not changed since it was opened.
    ///
    /// # Errors
    /// [`WeightsError::Changed`].
    pub fn now(&self) -> Result<&[u8], WeightsError> {
        match self {
            Self::Read(bytes) => Ok(bytes),
            Self::Mapped(mapping) => mapping.now(),
        }
    }

    /// Returns a mapping's memory to the system; later accesses read from the file again.
    pub fn let_go(&self) {
        #[cfg(unix)]
        if let Self::Mapped(mapping) = self {
            // SAFETY: the advice drops data written to private pages; these pages are read-only.
            // Later reads load the bytes from the file again, and every access checks first that
            // the file is unchanged. A failure is harmless: the memory stays in use.
            let _ = unsafe { mapping.map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }
}

impl Mapping {
    fn now(&self) -> Result<&[u8], WeightsError> {
        let refuse = |how| WeightsError::Changed { source_name: self.name.clone(), how };
        let length = self.map.len() as u64;
        match self.file.metadata() {
            Ok(about) if about.len() != length => {
                Err(refuse(format!("it had {length} bytes and has {} now", about.len())))
            }
            Ok(about) if about.modified().ok() != self.changed => {
                Err(refuse("it was written to".to_owned()))
            }
            Ok(_) => Ok(&self.map),
            Err(error) => Err(refuse(error.to_string())),
        }
    }
}

/// Prints the number of bytes, not their values.
impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Mapped(mapping) => {
                write!(f, "{} bytes of {}, mapped", mapping.map.len(), mapping.name)
            }
        }
    }
}
