//! Files of PyTorch's made in memory, right or wrong on purpose: pieces of pickles, and the two
//! containers.

/// An entry of a zip archive.
pub struct ZipEntry<'a> {
    pub name: &'a str,
    pub data: &'a [u8],
    /// 0 is stored, 8 deflated.
    pub method: u16,
    /// Bit 0 is encryption.
    pub flags: u16,
    /// The size before compression, as stated.
    pub size: u32,
    /// Whether it is a second record of the entry before it.
    pub again: bool,
}

pub fn stored<'a>(name: &'a str, data: &'a [u8]) -> ZipEntry<'a> {
    ZipEntry { name, data, method: 0, flags: 0, size: data.len() as u32, again: false }
}

/// The alignment of an entry's data, as PyTorch's: it is reached by an extra field, two letters and
/// a length in front.
const ALIGNMENT: usize = 64;

/// A zip archive with checksums.
pub fn zip(entries: &[ZipEntry<'_>]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    let mut offset = 0;
    let (mut checked, mut checksum): (&[u8], u32) = (&[], 0);
    for entry in entries {
        if !std::ptr::eq(checked, entry.data) {
            (checked, checksum) = (entry.data, crc32fast::hash(entry.data));
        }
        let mut common = vec![20, 0];
        common.extend(entry.flags.to_le_bytes());
        common.extend(entry.method.to_le_bytes());
        common.extend([0; 4]);
        common.extend(checksum.to_le_bytes());
        common.extend((entry.data.len() as u32).to_le_bytes());
        common.extend(entry.size.to_le_bytes());
        common.extend((entry.name.len() as u16).to_le_bytes());
        if !entry.again {
            offset = bytes.len() as u32;
            let filled = bytes.len() + 30 + entry.name.len() + 4;
            let fill = filled.next_multiple_of(ALIGNMENT) - filled;
            bytes.extend(
                b"PK\x03\x04".iter().chain(&common).chain(&(fill as u16 + 4).to_le_bytes()),
            );
            bytes.extend(
                entry.name.as_bytes().iter().chain(b"FB").chain(&(fill as u16).to_le_bytes()),
            );
            bytes.resize(bytes.len() + fill, b'Z');
            bytes.extend(entry.data);
        }
        directory.extend(b"PK\x01\x02\x14\x00".iter().chain(&common).chain(&[0; 12]));
        directory.extend(offset.to_le_bytes().iter().chain(entry.name.as_bytes()));
    }
    let start = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    let count = (entries.len() as u16).to_le_bytes();
    bytes.extend(count.iter().chain(&count));
    bytes.extend((directory.len() as u32).to_le_bytes().iter().chain(&start.to_le_bytes()));
    bytes.extend([0; 2]);
    bytes
}

/// A file of the zip format with this pickle and one storage of these bytes, key 0.
pub fn archive(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    zip(&[
        stored("a/data.pkl", pickle),
        stored("a/byteorder", b"little"),
        stored("a/data/0", storage),
    ])
}

/// A file of the legacy format: the object's pickle, and what follows it.
pub fn legacy(version: i64, object: &[u8], rest: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let system = pickle(&dict(&[("little_endian", vec![0x88])]));
    [magic.as_slice(), &pickle(&int(version)), &system, object, rest].concat()
}

/// A value as a whole pickle.
pub fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}

pub fn text(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

pub fn int(value: i64) -> Vec<u8> {
    [b"\x8a\x08".as_slice(), &value.to_le_bytes()].concat()
}

pub fn tuple(values: &[Vec<u8>]) -> Vec<u8> {
    [b"(".as_slice(), &values.concat(), b"t"].concat()
}

pub fn ints(values: &[i64]) -> Vec<u8> {
    tuple(&values.iter().map(|&value| int(value)).collect::<Vec<_>>())
}

pub fn dict(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let pairs: Vec<u8> =
        pairs.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(".as_slice(), &pairs, b"u"].concat()
}

pub fn call(module: &str, name: &str, args: &[Vec<u8>]) -> Vec<u8> {
    [format!("c{module}\n{name}\n").into_bytes(), tuple(args), b"R".to_vec()].concat()
}

pub fn storage(class: &str, key: &str, elements: i64) -> Vec<u8> {
    let class = format!("ctorch\n{class}\n").into_bytes();
    let id = tuple(&[text("storage"), class, text(key), text("cpu"), int(elements)]);
    [id, b"Q".to_vec()].concat()
}

/// A tensor of a storage.
pub fn view(storage: Vec<u8>, offset: i64, dims: &[i64], strides: &[i64]) -> Vec<u8> {
    let args = [storage, int(offset), ints(dims), ints(strides), vec![0x89], b")".to_vec()];
    call("torch._utils", "_rebuild_tensor_v2", &args)
}

/// An f32 tensor of storage 0, which has four elements.
pub fn tensor(offset: i64, dims: &[i64], strides: &[i64]) -> Vec<u8> {
    view(storage("FloatStorage", "0", 4), offset, dims, strides)
}
