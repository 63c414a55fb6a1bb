//! Files and pickles changed at random: whatever they are, nothing panics and nothing takes long.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use proptest::prelude::*;
use wgpu_bottleneck::StateDict;

use super::files;
use crate::common;
use crate::common::torch::{self, dict, int, ints, storage, tensor, text};

/// Opens bytes and reads every tensor that is found.
fn read_all(bytes: Vec<u8>) {
    if let Ok(dict) = StateDict::from_bytes(bytes) {
        for key in dict.keys() {
            _ = dict.tensor(key);
        }
    }
}

proptest! {
    #![proptest_config(common::specs::config(3000))]

    #[test]
    fn mutated_files_never_panic(
        which in any::<proptest::sample::Index>(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::weighted(0.2, any::<proptest::sample::Index>()),
    ) {
        // Those whose changes no checksum catches.
        let files = unchecked_files();
        let mut bytes = files[which.index(files.len())].clone();
        let length = bytes.len();
        changes.iter().for_each(|(at, value)| bytes[at.index(length)] = *value);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let start = Instant::now();
        read_all(bytes);
        prop_assert!(start.elapsed().as_secs_f64() < 1.0);
    }

    #[test]
    fn random_pickles_never_panic(pickle in proptest::collection::vec(opcode(), 0..60)) {
        read_all(torch::archive(
            &[b"\x80\x02".to_vec(), pickle.concat(), b".".to_vec()].concat(),
            &[0; 16],
        ));
    }
}

fn unchecked_files() -> &'static [Vec<u8>] {
    static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let paths = files("pth").unwrap_or_else(|error| panic!("{error}"));
        let unchecked = |path: &PathBuf| {
            path.to_string_lossy().contains("legacy") || path.ends_with("zip_no_checksums.pth")
        };
        let read = |path: PathBuf| std::fs::read(path).unwrap_or_else(|error| panic!("{error}"));
        paths.into_iter().filter(unchecked).map(read).collect()
    })
}

/// An opcode with a likely argument.
fn opcode() -> impl Strategy<Value = Vec<u8>> {
    let whole = vec![
        text("storage"),
        text("state_dict"),
        text("0"),
        int(4),
        int(-1),
        ints(&[2, 2]),
        ints(&[2, 1]),
        dict(&[]),
        storage("FloatStorage", "0", 4),
        tensor(0, &[2, 2], &[1, 2]),
        b"ctorch._utils\n_rebuild_tensor_v2\n".to_vec(),
        b"ctorch\nFloatStorage\n".to_vec(),
        b"ccollections\nOrderedDict\n".to_vec(),
        b"cargparse\nNamespace\n".to_vec(),
        b"q\x00".to_vec(),
        b"h\x00".to_vec(),
        b"K\x02".to_vec(),
    ];
    let single = b"(012N\x88\x89)]}tldaesu\x85\x86\x87\x8f\x90\x91\x92\x93\x94Qb\x81R"
        .map(|byte| vec![byte])
        .to_vec();
    proptest::sample::select([whole, single].concat())
}
