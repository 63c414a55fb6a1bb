//! The table of the targets.

use crate::target::{Seeds, Target};
use crate::{checksums, configs, dicts, images, program, recordings};

/// Bytes of a MiB.
pub(crate) const MIB: usize = 1 << 20;

/// Every target.
pub static TARGETS: &[Target] = &[
    Target {
        seeds: &[
            Seeds::new("tests/golden/pth", "").starting(b"PK"),
            Seeds::new("tests/golden/checkpoints", "").starting(b"PK"),
        ],
        correct: Some(checksums::zip),
        ..dict("pth_zip")
    },
    Target {
        seeds: &[
            Seeds::new("tests/golden/pth", "").starting(b"\x80"),
            Seeds::new("tests/golden/checkpoints", "").starting(b"\x80"),
        ],
        ..dict("pth_legacy")
    },
    Target {
        seeds: &[
            Seeds::new("tests/golden", ".safetensors"),
            Seeds::new("tests/golden/pth", ".safetensors"),
            Seeds::new("tests/golden/checkpoints", ".safetensors"),
        ],
        ..dict("safetensors")
    },
    plain("config", configs::read),
    Target {
        seeds: &[
            Seeds::new("tests/golden/pictures", ".png"),
            Seeds::new("tests/faults/inputs", ".png"),
        ],
        correct: Some(checksums::png),
        ..image("image_png")
    },
    Target { seeds: &[Seeds::new("tests/golden/pictures", ".jpg")], ..image("image_jpeg") },
    Target { seeds: &[Seeds::new("tests/golden/pictures", ".tif")], ..image("image_tiff") },
    Target {
        seeds: &[
            Seeds::new("tests/golden/pictures", ".webp"),
            Seeds::new("tests/faults/inputs", ".webp"),
        ],
        ..image("image_webp")
    },
    Target { seeds: &[Seeds::new("tests/golden/pictures", ".gif")], ..image("image_gif") },
    Target { seeds: &[Seeds::new("tests/golden/pictures", ".bmp")], ..image("image_bmp") },
    Target {
        seeds: &[
            Seeds::new("tests/golden/pictures", ".pbm"),
            Seeds::new("tests/golden/pictures", ".pgm"),
            Seeds::new("tests/golden/pictures", ".ppm"),
        ],
        ..image("image_pnm")
    },
    Target { seeds: &[Seeds::new("tests/golden/pictures", ".qoi")], ..image("image_qoi") },
    Target {
        correct: Some(checksums::journal),
        detects_flips: true,
        ..plain("journal", program::journal)
    },
    Target {
        correct: Some(checksums::checkpoint),
        detects_flips: true,
        ..plain("training_checkpoint", program::checkpoint)
    },
    Target {
        correct: Some(checksums::lines),
        detects_flips: true,
        ..plain("image_list", program::image_list)
    },
    plain("tuning_table", configs::table),
    plain("recordings", recordings::read),
];

/// The target of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// A target without further seeds and checksums.
const fn plain(name: &'static str, read: fn(&[u8]) -> Vec<String>) -> Target {
    Target { name, seeds: &[], read, correct: None, detects_flips: false, memory: of_length }
}

const fn dict(name: &'static str) -> Target {
    plain(name, dicts::read)
}

const fn image(name: &'static str) -> Target {
    Target { memory: images::memory, ..plain(name, images::read) }
}

/// A multiple of the file, which a length that the file claims does not change.
fn of_length(bytes: &[u8]) -> usize {
    64 * MIB + 64 * bytes.len()
}
