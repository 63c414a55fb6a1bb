//! TIFF: checks the tags of the first image before the decoder reads their values. The decoder
//! allocates memory for the count of a tag without a check, and prints a line to stderr for a text
//! that is too long.

use std::io::{BufRead, Seek, SeekFrom};

use tiff::tags::Tag;

/// The maximum number of values of a tag. The decoder needs up to 32 bytes for each.
const MAX_VALUES: u64 = 1 << 23;

/// The tags whose values are read before or while the pixels are decoded.
const READ: [Tag; 21] = [
    Tag::ImageWidth,
    Tag::ImageLength,
    Tag::BitsPerSample,
    Tag::Compression,
    Tag::PhotometricInterpretation,
    Tag::FillOrder,
    Tag::StripOffsets,
    Tag::SamplesPerPixel,
    Tag::RowsPerStrip,
    Tag::StripByteCounts,
    Tag::PlanarConfiguration,
    Tag::Predictor,
    Tag::ColorMap,
    Tag::TileWidth,
    Tag::TileLength,
    Tag::TileOffsets,
    Tag::TileByteCounts,
    Tag::ExtraSamples,
    Tag::SampleFormat,
    Tag::JPEGTables,
    Tag::ChromaSubsampling,
];

/// The tags of the first image.
#[derive(Debug, Default)]
pub(super) struct Tags {
    entries: Vec<Entry>,
    /// The length of the file in bytes.
    file_bytes: u64,
}

/// A tag. Values of up to four bytes are in its entry, others at an offset.
#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: u16,
    /// The number of values.
    count: u64,
    /// The bytes of all values.
    bytes: u64,
    offset: u64,
}

impl Tags {
    /// Reads the tags, but not their values. There are none if the decoder reports an error.
    pub fn read(file: &mut (impl BufRead + Seek)) -> Self {
        Self::of(file).unwrap_or_default()
    }

    fn of(file: &mut (impl BufRead + Seek)) -> Option<Self> {
        let file_bytes = file.seek(SeekFrom::End(0)).ok()?;
        file.rewind().ok()?;
        let mut header = [0; 8];
        file.read_exact(&mut header).ok()?;
        let order = Order { is_little: header.starts_with(b"II") };
        file.seek(SeekFrom::Start(order.long(&header[4..]).into())).ok()?;
        let mut count = [0; 2];
        file.read_exact(&mut count).ok()?;
        let mut entries = Vec::new();
        for _ in 0..order.short(&count) {
            let mut entry = [0; 12];
            // The decoder reports a directory that ends early.
            if file.read_exact(&mut entry).is_err() {
                break;
            }
            entries.extend(Entry::new(order, &entry));
        }
        Some(Self { entries, file_bytes })
    }

    /// Checks the tags that decoding needs. The error is the message to report.
    pub fn check(&self) -> Result<(), String> {
        let needed = |tag| READ.iter().any(|it| it.to_u16() == tag);
        let mut wrong = self.entries.iter().filter(|entry| !self.holds(entry));
        let Some(Entry { tag, count, bytes, offset }) = wrong.find(|entry| needed(entry.tag))
        else {
            return Ok(());
        };
        if *count > MAX_VALUES {
            return Err(format!("its tag {tag} has {count} values, the limit is {MAX_VALUES}"));
        }
        let all = self.file_bytes;
        Err(format!(
            "its tag {tag} has {bytes} bytes of values at byte {offset}, but the file has {all}"
        ))
    }

    /// Whether a tag is missing, or its values are within the file and within the limit.
    pub fn may_read(&self, tag: Tag) -> bool {
        let mut entries = self.entries.iter().filter(|entry| entry.tag == tag.to_u16());
        entries.all(|entry| self.holds(entry))
    }

    fn holds(&self, entry: &Entry) -> bool {
        let is_within =
            entry.bytes <= 4 || entry.offset.saturating_add(entry.bytes) <= self.file_bytes;
        entry.count <= MAX_VALUES && is_within
    }
}

impl Entry {
    /// An entry from its bytes; `None` for a type that the decoder does not read.
    fn new(order: Order, entry: &[u8; 12]) -> Option<Self> {
        let (tag, kind) = (order.short(entry), order.short(&entry[2..]));
        let (count, offset) = (order.long(&entry[4..]).into(), order.long(&entry[8..]).into());
        let value_bytes = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => return None,
        };
        Some(Self { tag, count, bytes: value_bytes * count, offset })
    }
}

/// The order of bytes in numbers.
#[derive(Debug, Clone, Copy)]
struct Order {
    is_little: bool,
}

impl Order {
    /// The number in the first two bytes; zero if there are fewer.
    fn short(self, bytes: &[u8]) -> u16 {
        let value = bytes.first_chunk().copied().unwrap_or_default();
        if self.is_little { u16::from_le_bytes(value) } else { u16::from_be_bytes(value) }
    }

    /// The number in the first four bytes; zero if there are fewer.
    fn long(self, bytes: &[u8]) -> u32 {
        let value = bytes.first_chunk().copied().unwrap_or_default();
        if self.is_little { u32::from_le_bytes(value) } else { u32::from_be_bytes(value) }
    }
}
