//! Errors of PyTorch's own file formats.

/// Why a `.pth` file cannot be read. Limits carry the value found and the value allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PthError {
    /// The zip archive is damaged.
    #[error("damaged zip archive: {reason}")]
    Archive {
        /// The zip reader's message.
        reason: String,
    },
    /// The archive lacks an entry that a file of `torch.save` has, or that its pickle refers to.
    #[error("the archive has no entry {entry}: it was not written by torch.save, or is damaged")]
    NoEntry {
        /// The entry's name.
        entry: String,
    },
    /// An archive of NumPy arrays.
    #[error("an archive of NumPy arrays (.npz), not a state dict")]
    Npz,
    /// An archive that contains a checkpoint instead of being one.
    #[error("a zip archive that contains {entry}: unzip it and name that file")]
    Around {
        /// The entry's name.
        entry: String,
    },
    /// An entry is compressed or encrypted, which `torch.save` never does.
    #[error(
        "entry {entry} is packed as {method}, but torch.save writes uncompressed entries; pack it \
        again without compression"
    )]
    Packed {
        /// The entry's name.
        entry: String,
        /// The compression method, or "encrypted".
        method: String,
    },
    /// An entry's bytes do not have the checksum stated in the archive.
    #[error(
        "entry {entry}: checksum {found:#010x}, the archive states {stated:#010x}: the file is \
        damaged"
    )]
    Checksum {
        /// The entry's name.
        entry: String,
        /// The checksum of the bytes found.
        found: u32,
        /// The checksum stated in the archive.
        stated: u32,
    },
    /// A TorchScript archive, which contains a program.
    #[error("a TorchScript archive: load it with torch.jit.load and save its state_dict()")]
    TorchScript,
    /// The tar format of PyTorch before 0.1.10.
    #[error(
        "a tar archive: unpack it and name the checkpoint in it; if PyTorch before 0.1.10 wrote \
        it, load it and save it again with a newer PyTorch"
    )]
    Tar,
    /// A pickle that does not begin like a file of `torch.save`.
    #[error(
        "a pickle, but not written by torch.save: it has no tensors that can be read; load it in \
        Python and save the state dict with torch.save"
    )]
    NotTorch,
    /// The legacy format in a version other than 1001.
    #[error("version {found} of the legacy format, expected 1001")]
    Version {
        /// The version found.
        found: i64,
    },
    /// Written by a big-endian machine.
    #[error("written in big-endian byte order: save it again on a little-endian machine")]
    BigEndian,
    /// The pickle, or the data after it, ends early.
    #[error("the file is truncated: the data ends at byte {at} within {what}")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// The offset in the file or entry.
        at: usize,
    },
    /// An opcode that `torch.save` does not write.
    #[error("pickle opcode {opcode:#04x} at byte {at} is not one that torch.save writes")]
    Opcode {
        /// The opcode.
        opcode: u8,
        /// The offset in the file or entry.
        at: usize,
    },
    /// An inconsistent pickle.
    #[error("damaged pickle at byte {at}: {what}")]
    Pickle {
        /// What is wrong.
        what: &'static str,
        /// The offset in the file or entry.
        at: usize,
    },
    /// A number exceeds the limit for weights files.
    #[error("{what}: {found}, the limit is {limit}")]
    Limit {
        /// The counted quantity.
        what: &'static str,
        /// The value that the file has, or would need.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A storage of an unknown element type.
    #[error("unknown storage type {found}")]
    StorageType {
        /// The type's full name.
        found: String,
    },
    /// A tensor with metadata, so that its elements differ from its storage.
    #[error(
        "a tensor with metadata ({found}), expected none: save \
        tensor.resolve_neg().resolve_conj(), which holds its own values"
    )]
    Metadata {
        /// The first key of the metadata.
        found: String,
    },
    /// A storage is smaller than the pickle declares.
    #[error("storage {storage}: {needs} bytes are declared, the file holds {has}")]
    Storage {
        /// The storage's key.
        storage: String,
        /// Bytes that the pickle or the header declares.
        needs: u64,
        /// Bytes that the file holds for the storage.
        has: u64,
    },
    /// A NumPy array is stored as text that does not encode bytes.
    #[error("tensor {tensor}: its values are text with characters that are not bytes")]
    NotBytes {
        /// The full key.
        tensor: String,
    },
    /// A tensor reaches beyond its storage.
    #[error(
        "tensor {tensor}: dims {dims:?}, strides {strides:?}, offset {offset} reach beyond its \
        storage of {has} elements"
    )]
    Bounds {
        /// The full key.
        tensor: String,
        /// Its dimensions.
        dims: Vec<usize>,
        /// Its strides, in elements.
        strides: Vec<usize>,
        /// The offset of its first element.
        offset: usize,
        /// Elements of its storage.
        has: usize,
    },
    /// A whole model instead of its state dict.
    #[error(
        "{place} a whole model or another object ({class}), which only its own code can read; save \
        model.state_dict() instead"
    )]
    WholeModel {
        /// "the file is", or the key that holds it.
        place: String,
        /// The class's full name.
        class: String,
    },
    /// The file's object is neither a state dict nor a dict that contains one.
    #[error("the file holds {found}, expected a state dict or a dict with one")]
    NotADict {
        /// The object found, in words.
        found: &'static str,
    },
    /// The state of an optimiser, without the network's.
    #[error("the file holds the state of an optimizer, not the weights of a network")]
    Optimizer,
    /// The key that the caller chose leads to no dict with tensors.
    #[error("--key {key} leads to no dict with tensors; {keys}")]
    Key {
        /// The keys, joined by dots.
        key: String,
        /// Those of the file's dicts with tensors, in words.
        keys: String,
    },
    /// No dict that holds tensors.
    #[error("no state dict found: no dict of the file holds tensors; keys of the file: {keys}")]
    NoTensors {
        /// The first keys of the file.
        keys: String,
    },
}
