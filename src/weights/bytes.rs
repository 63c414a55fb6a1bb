//! The bytes of a file of weights: mapped into memory, or read into it.
//!
//! A mapped file costs no memory but the system's cache of it, which the system can take back, and what nobody asks for is not
//! even read. The mapping is private and read-only, so that nothing here can change the file.
//!
//! What others do to the file while it is mapped is the danger: reading behind the end of a file that was truncated ends the
//! process with SIGBUS, and values that were checked may change. So the file stays open, and every look at its bytes
//! ([`Bytes::now`]) asks first whether it still has the length and the time of change that it was mapped with; if not, that is
//! an error. Who truncates in the very moment of a look still wins, which is why [`StateDict::open`] names the way without a
//! mapping. A file that is removed, or replaced by renaming another, stays as it was for whoever has it open;
//! `torch.save` truncates and writes. On Windows a mapped file cannot be truncated.
//!
//! [`StateDict::open`]: super::StateDict::open

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::time::SystemTime;

use memmap2::{Mmap, MmapOptions};

use crate::error::WeightsError;

/// Files below this size are read: that costs about as much as mapping them, and leaves nothing to go wrong.
const MAPPED: u64 = 1 << 20;

/// Bytes that stay where they are as long as this lives.
pub(super) enum Bytes {
    Read(Vec<u8>),
    Mapped(Mapping),
}

/// A file in the address space.
pub(super) struct Mapping {
    name: String,
    file: File,
    /// Where the system says so.
    changed: Option<SystemTime>,
    map: Mmap,
}

impl Bytes {
    /// A file's bytes, of which the first, `start`, have been read. It is mapped if it may be, is large enough to be worth it
    /// and the file system can; otherwise it is read.
    pub fn open(name: &str, mut file: File, about: &Metadata, start: Vec<u8>, may_map: bool) -> io::Result<Self> {
        let length = usize::try_from(about.len()).ok().filter(|_| may_map && about.len() >= MAPPED);
        if let Some(length) = length {
            // SAFETY: the slice must not change while it is borrowed. Nobody here writes to the file. Others may, which no
            // program can rule out; as far as they can be noticed, they are, before every borrow (see above). No reference into
            // the slice is kept: what is parsed from it is copied or kept as ranges, and its f32 may have any bits.
            if let Ok(map) = unsafe { MmapOptions::new().len(length).map_copy_read_only(&file) } {
                return Ok(Self::Mapped(Mapping { name: name.to_owned(), file, changed: about.modified().ok(), map }));
            }
        }
        let mut bytes = start;
        file.read_to_end(&mut bytes)?;
        Ok(Self::Read(bytes))
    }

    /// The bytes, if they are still those of the file that was opened.
    ///
    /// # Errors
    /// [`WeightsError::Changed`].
    pub fn now(&self) -> Result<&[u8], WeightsError> {
        match self {
            Self::Read(bytes) => Ok(bytes),
            Self::Mapped(mapping) => mapping.now(),
        }
    }

    /// Gives the memory that a mapping took back to the system; what is looked at again is read from the file again.
    pub fn let_go(&self) {
        #[cfg(unix)]
        if let Self::Mapped(mapping) = self {
            // SAFETY: this drops what was written to private pages; these are read-only. The bytes stay those of the file, and
            // whether they still are is asked before every look at them. That it fails is no harm: the memory stays taken.
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
            Ok(about) if about.modified().ok() != self.changed => Err(refuse("it was written to".to_owned())),
            Ok(_) => Ok(&self.map),
            Err(error) => Err(refuse(error.to_string())),
        }
    }
}

/// How many bytes there are, not which.
impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Mapped(mapping) => write!(f, "{} bytes of {}, mapped", mapping.map.len(), mapping.name),
        }
    }
}
