//! Decodes image files on all cores ahead of the GPU.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use wgpu_bottleneck::{Error, Image};

/// Bytes of decoded images beyond which no more are decoded ahead.
const MOST_AHEAD_BYTES: u64 = 512 << 20;
/// The memory limit of all decoders together, in bytes, by estimates. An image that needs more is
/// decoded alone.
const MOST_DECODING_BYTES: u64 = 1 << 30;
/// Images that are decoded ahead, per core.
const AHEAD_PER_CORE: usize = 16;
/// Bytes of images beyond which a batch is full.
const BATCH_BYTES: u64 = 256 << 20;

/// The text of an error without the file's name at its beginning, to print next to the name.
pub fn without_name(file: &Path, error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    text.strip_prefix(&format!("{}: ", file.display())).map(str::to_owned).unwrap_or(text)
}

/// The result of decoding an image file.
#[derive(Debug)]
pub struct Decoded {
    /// The index of the file.
    pub index: usize,
    /// The image, or its error.
    pub image: Result<Image, Error>,
}

/// The images of some files, in order, decoded by as many threads as there are cores. Not all are
/// in memory at once.
#[derive(Debug)]
pub struct Images {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    count: usize,
}

#[derive(Debug)]
struct Shared {
    files: Vec<PathBuf>,
    ahead: usize,
    decoding: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The next file for a worker.
    next: usize,
    /// The file whose image is taken next.
    wanted: usize,
    /// Images that wait to be taken, and their bytes.
    waiting: BTreeMap<usize, Result<Image, Error>>,
    bytes: u64,
    /// The estimated bytes of the running decoders.
    decoding: u64,
    /// No more images are wanted.
    closed: bool,
}

impl Images {
    /// Begins to decode.
    pub fn decode(files: Vec<PathBuf>) -> Self {
        Self::decode_within(files, MOST_DECODING_BYTES)
    }

    /// Begins to decode. The decoders together take at most this many bytes, or one alone takes
    /// more.
    fn decode_within(files: Vec<PathBuf>, decoding: u64) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = files.len();
        let (state, changed) = (Mutex::default(), Condvar::new());
        let ahead = cores * AHEAD_PER_CORE;
        let shared = Arc::new(Shared { files, ahead, decoding, state, changed });
        let worker = |_| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.work())
        };
        Self { workers: (0..cores.min(count)).map(worker).collect(), shared, count }
    }

    /// The next images: at most `most`, and no more once they have [`BATCH_BYTES`]. Empty when
    /// there are no more.
    pub fn batch(&mut self, most: usize) -> Vec<Decoded> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < most && bytes < BATCH_BYTES {
            let Some(decoded) = self.next() else { break };
            bytes += size(&decoded.image);
            batch.push(decoded);
        }
        batch
    }
}

impl Iterator for Images {
    type Item = Decoded;

    fn next(&mut self) -> Option<Decoded> {
        let mut state = self.shared.lock();
        let index = state.wanted;
        if index == self.count {
            return None;
        }
        let image = loop {
            match state.waiting.remove(&index) {
                Some(image) => break image,
                None => {
                    state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
                }
            }
        };
        state.bytes -= size(&image);
        state.wanted += 1;
        self.shared.changed.notify_all();
        Some(Decoded { index, image })
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            // The library catches the panics of decoders, so a worker does not panic.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(index) = self.take() {
            let file = &self.files[index];
            // A file without an estimate is rejected once its header is read, and needs no more
            // memory than its size.
            let bytes = Image::decoding_bytes(file).unwrap_or(0);
            if !self.reserve(bytes) {
                return;
            }
            let image = Image::open(file);
            let mut state = self.lock();
            state.decoding -= bytes;
            state.bytes += size(&image);
            state.waiting.insert(index, image);
            self.changed.notify_all();
        }
    }

    /// Waits until a decoder may use this many bytes; false if no more images are wanted. A decoder
    /// with a reservation waits for nothing before it returns the bytes, so there is no deadlock.
    fn reserve(&self, bytes: u64) -> bool {
        let mut state = self.lock();
        while !state.closed
            && state.decoding > 0
            && state.decoding.saturating_add(bytes) > self.decoding
        {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.decoding += bytes;
        !state.closed
    }

    /// The next file, once there is room for its image. There is always room for the image that is
    /// taken next, so that the others cannot block it.
    fn take(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            let index = state.next;
            if state.closed || index == self.files.len() {
                return None;
            }
            let room = index < state.wanted + self.ahead && state.bytes < MOST_AHEAD_BYTES;
            if room || index == state.wanted {
                state.next += 1;
                return Some(index);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn size(image: &Result<Image, Error>) -> u64 {
    image.as_ref().map_or(0, |image| image.data().len() as u64)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn images_come_in_order_whatever_they_are() -> Outcome {
        let folder = tempfile::tempdir()?;
        // Text is none of the formats that are read, a bitmap of one pixel is.
        let bitmap = |level: u8| {
            let mut bytes =
                b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0"
                    .to_vec();
            bytes.resize(54, 0);
            bytes.extend([level, level, level, 0]);
            bytes
        };
        let files: Vec<PathBuf> =
            (0..200).map(|index| folder.path().join(format!("{index:03}.bmp"))).collect();
        for (index, file) in files.iter().enumerate() {
            fs::write(
                file,
                if index % 7 == 3 { b"P6: no image".to_vec() } else { bitmap(index as u8) },
            )?;
        }
        for decoding in [MOST_DECODING_BYTES, 1] {
            come_in_order(Images::decode_within(files.clone(), decoding));
        }
        // Taking none at all leaves no thread behind.
        drop(Images::decode(vec![folder.path().join("000.bmp"); 1000]));
        Ok(())
    }

    fn come_in_order(mut images: Images) {
        let mut seen = 0;
        loop {
            let batch = images.batch(16);
            assert_eq!(batch.len(), (200 - seen).min(16));
            for decoded in &batch {
                assert_eq!(decoded.index, seen);
                match &decoded.image {
                    Ok(image) => assert_eq!(image.data(), [seen as u8; 3]),
                    Err(_) => assert_eq!(seen % 7, 3),
                }
                seen += 1;
            }
            if batch.is_empty() {
                break;
            }
        }
        assert_eq!(seen, 200);
        assert_eq!(images.shared.lock().decoding, 0);
    }

    #[test]
    fn a_large_image_waits_until_it_is_alone() {
        let mut images = Images::decode_within(Vec::new(), 100);
        let shared = images.shared.clone();
        assert!(shared.reserve(60) && shared.reserve(40));
        let waiting = {
            let shared = shared.clone();
            std::thread::spawn(move || shared.reserve(500))
        };
        for bytes in [60, 40] {
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(!waiting.is_finished());
            shared.lock().decoding -= bytes;
            shared.changed.notify_all();
        }
        assert!(waiting.join().is_ok_and(|room| room));
        assert_eq!(shared.lock().decoding, 500);
        assert!(images.next().is_none());
        // A waiting decoder is released when no more images are wanted.
        drop(images);
        assert!(!shared.reserve(1));
    }
}
