//! PyTorch's own files: what `torch.save` wrote is read to the bit, and what it would not write is refused, quickly and
//! without a panic. `tests/golden/pth.py` made the files.

mod common;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use common::torch::{self, ZipEntry, call, dict, int, ints, legacy, storage, stored, tensor, text, tuple};
use common::{Outcome, golden_dir};
use proptest::prelude::*;
use wgpu_bottleneck::StateDict;
use wgpu_bottleneck::error::{Error, PthError, WeightsError};

/// Every file of the golden folder with this extension, by name.
fn files(extension: &str) -> Result<Vec<PathBuf>, std::io::Error> {
    let entries = std::fs::read_dir(golden_dir().join("pth"))?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    Ok(paths)
}

/// The case that a file is a form of: `half_legacy_protocol4.pth` is one of `half`.
fn case(path: &std::path::Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let forms = ["_protocol4", "_legacy", "_no_checksums"];
    forms.into_iter().fold(stem, |stem, form| stem.strip_suffix(form).map(str::to_owned).unwrap_or(stem))
}

/// The reason why bytes are refused as a file of PyTorch's.
fn refused(bytes: Vec<u8>) -> Result<PthError, String> {
    match StateDict::from_bytes(bytes) {
        Err(Error::Weights(WeightsError::Pth { error, .. })) => Ok(error),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn files_of_torch_save_are_read_to_the_bit() -> Outcome {
    let mut read = 0;
    for path in files("pth")? {
        let expected = golden_dir().join("pth").join(case(&path)).with_extension("safetensors");
        if !expected.exists() {
            continue;
        }
        let name = path.display();
        let (found, expected) = (StateDict::open(&path)?, StateDict::open(&expected)?);
        let listed = |key: &str| -> Vec<String> {
            let text = expected.metadata(key).unwrap_or_default();
            text.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect()
        };
        let (integers, others) = (listed("integers"), listed("others"));
        let mut keys: Vec<&str> = expected.keys().chain(integers.iter().map(String::as_str)).collect();
        keys.sort_unstable();
        assert_eq!(found.keys().collect::<Vec<_>>(), keys, "{name}");
        for key in expected.keys() {
            let (found, expected) = (found.tensor(key)?, expected.tensor(key)?);
            assert_eq!(found.dims, expected.dims, "{name}: {key}");
            // Which NaN a conversion gives is nobody's promise.
            let bits = |value: &f32| if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() };
            let bits = |data: &[f32]| data.iter().map(bits).collect::<Vec<_>>();
            assert_eq!(bits(&found.data), bits(&expected.data), "{name}: {key}");
        }
        for key in &integers {
            assert!(matches!(found.tensor(key), Err(WeightsError::ElementType { .. })), "{name}: {key}");
        }
        for key in &others {
            assert!(matches!(found.tensor(key), Err(WeightsError::NotATensor { .. })), "{name}: {key}");
        }
        let bytes = StateDict::from_bytes(std::fs::read(&path)?)?;
        assert_eq!(bytes.keys().count(), keys.len(), "{name}");
        read += 1;
    }
    assert!(read >= 25, "only {read} files");
    Ok(())
}

#[test]
fn what_is_no_state_dict_says_what_it_is() -> Outcome {
    let open = |name: &str| -> Result<PthError, Box<dyn std::error::Error>> {
        Ok(refused(std::fs::read(golden_dir().join("pth").join(name))?)?)
    };
    for form in ["", "_protocol4", "_legacy", "_legacy_protocol4"] {
        let error = open(&format!("whole_model{form}.pth"))?;
        assert!(matches!(&error, PthError::WholeModel { class, .. } if class == "__main__.Net"), "{error:?}");
    }
    let error = open("model_in_checkpoint.pth")?;
    assert!(matches!(&error, PthError::WholeModel { class, .. } if class == "__main__.Net"), "{error:?}");
    assert!(error.to_string().contains("its key model holds"), "{error}");
    assert_eq!(open("torchscript.pt")?, PthError::TorchScript);
    assert_eq!(open("tensor.pth")?, PthError::NotADict { found: "a tensor without a name" });
    assert_eq!(open("list.pth")?, PthError::NotADict { found: "a list" });
    let error = open("no_tensors.pth")?;
    assert!(matches!(&error, PthError::NoTensors { keys, .. } if keys == "epoch, lr, args"), "{error:?}");
    Ok(())
}

#[test]
fn a_damaged_storage_is_seen_by_its_checksum() -> Outcome {
    let mut bytes = std::fs::read(golden_dir().join("pth/zip.pth"))?;
    let end = b"zip/data/0";
    let name = bytes.windows(end.len()).position(|window| window == end).ok_or("no storage 0")?;
    // The name, up to 64 bytes of padding in front of the data, and the second byte of it.
    let extra = usize::from(u16::from_le_bytes([bytes[name - 2], bytes[name - 1]]));
    bytes[name + end.len() + extra + 1] ^= 1;
    let error = refused(bytes)?;
    assert!(matches!(&error, PthError::Checksum { entry, .. } if entry == "zip/data/0"), "{error:?}");
    Ok(())
}

/// Refused within a second.
fn refused_quickly(name: &str, bytes: Vec<u8>) -> Result<PthError, String> {
    let start = Instant::now();
    let error = refused(bytes).map_err(|found| format!("{name}: {found}"))?;
    assert!(start.elapsed().as_secs_f64() < 1.0, "{name}: {:?}", start.elapsed());
    Ok(error)
}

/// An archive whose object is this value, with a storage of four floats.
fn with_object(value: &[u8]) -> Vec<u8> {
    torch::archive(&torch::pickle(value), &[0; 16])
}

type Check = fn(&PthError) -> bool;

fn all_refused(cases: Vec<(&str, Vec<u8>, Check)>) -> Outcome {
    for (name, bytes, expected) in cases {
        let error = refused_quickly(name, bytes)?;
        assert!(expected(&error), "{name}: {error:?}");
    }
    Ok(())
}

#[test]
fn hand_made_files_are_read() -> Outcome {
    let weight = tensor(1, &[1, 3], &[9, 1]);
    let zipped = StateDict::from_bytes(with_object(&dict(&[("w", weight.clone())])))?;
    assert_eq!(zipped.tensor("w")?.dims, [1, 3]);
    let rest = [torch::pickle(&[b"](".as_slice(), &text("0"), b"e"].concat()), 4u64.to_le_bytes().into(), vec![0; 16]];
    let old = StateDict::from_bytes(legacy(1001, &torch::pickle(&dict(&[("w", weight)])), &rest.concat()))?;
    assert_eq!(old.tensor("w")?, zipped.tensor("w")?);
    Ok(())
}

#[test]
fn hostile_archives_are_refused() -> Outcome {
    let good = torch::pickle(&dict(&[("w", tensor(0, &[4], &[1]))]));
    let floats = [0; 16];
    let data = || stored("a/data/0", &floats);
    let packed =
        |method, flags, size| torch::zip(&[ZipEntry { name: "a/data.pkl", data: &good, method, flags, size }, data()]);
    let length = good.len() as u32;
    let whole = torch::archive(&good, &floats);
    let key = |key: &str| dict(&[("w", torch::view(storage("FloatStorage", key, 4), 0, &[4], &[1]))]);
    let many = b"PK\x01\x02".repeat(200_000);
    all_refused(vec![
        ("no entries", torch::zip(&[]), |e| matches!(e, PthError::Archive { .. } | PthError::NoEntry { .. })),
        ("no pickle", torch::zip(&[data()]), |e| matches!(e, PthError::NoEntry { .. })),
        ("deflated", packed(8, 0, length), |e| matches!(e, PthError::Packed { .. })),
        ("a bomb", packed(8, 0, u32::MAX - 1), |e| matches!(e, PthError::Packed { .. })),
        ("encrypted", packed(0, 1, length), |e| matches!(e, PthError::Packed { .. })),
        ("two sizes", packed(0, 0, length + 1), |e| matches!(e, PthError::Archive { .. })),
        ("truncated", whole[..whole.len() - 30].to_vec(), |e| matches!(e, PthError::Archive { .. })),
        ("no directory", whole[..100].to_vec(), |e| matches!(e, PthError::Archive { .. })),
        ("many records", [b"PK\x03\x04", many.as_slice()].concat(), |e| matches!(e, PthError::Limit { .. })),
        ("big-endian", torch::zip(&[stored("a/data.pkl", &good), stored("a/byteorder", b"big"), data()]), |e| {
            matches!(e, PthError::BigEndian)
        }),
        ("a path", with_object(&key("../../../etc/passwd")), |e| matches!(e, PthError::NoEntry { .. })),
        ("another key", with_object(&key("1")), |e| matches!(e, PthError::NoEntry { .. })),
        ("a short storage", torch::archive(&good, &[0; 15]), |e| {
            matches!(e, PthError::Storage { needs: 16, has: 15, .. })
        }),
        ("a tar", [vec![b'x'; 257], b"ustar\0".to_vec()].concat(), |e| matches!(e, PthError::Tar)),
    ])
}

#[test]
fn hostile_pickles_are_refused() -> Outcome {
    let flood = |unit: &[u8], count| with_object(&unit.repeat(count));
    let wrapped = |wrapper| [b"}q\x00".to_vec(), text(wrapper), b"h\x00s".to_vec()].concat();
    let within_itself = [
        b"}q\x00(".to_vec(),
        ["state_dict", "model", "net", "module"].map(text).join(b"h\x00".as_slice()),
        b"h\x00u".to_vec(),
    ]
    .concat();
    // A list of 1000 pairs, made an OrderedDict again and again.
    let pairs = [b"](".to_vec(), tuple(&[text("a"), int(1)]).repeat(1000), b"eq\x00".to_vec()].concat();
    let again = [pairs, b"ccollections\nOrderedDict\nq\x010".to_vec(), b"h\x01h\x00\x85R0".repeat(10_000)].concat();
    all_refused(vec![
        ("INST", with_object(b"(ios\nsystem\n"), |e| matches!(e, PthError::Opcode { opcode: b'i', .. })),
        ("text opcodes", with_object(b"I1\n"), |e| matches!(e, PthError::Opcode { opcode: b'I', .. })),
        ("PERSID", with_object(b"P0\n"), |e| matches!(e, PthError::Opcode { .. })),
        ("EXT1", with_object(b"\x82\x01"), |e| matches!(e, PthError::Opcode { .. })),
        ("protocol 0", torch::archive(b"\x80\x00}.", &[]), |e| matches!(e, PthError::Pickle { .. })),
        ("nothing", torch::archive(b"", &[]), |e| matches!(e, PthError::Truncated { .. })),
        ("empty stack", with_object(b"0"), |e| matches!(e, PthError::Pickle { .. })),
        ("below a mark", with_object(b"N(\x85"), |e| matches!(e, PthError::Pickle { .. })),
        ("no mark", with_object(b"Nt"), |e| matches!(e, PthError::Pickle { .. })),
        ("no memo", with_object(b"h\x07"), |e| matches!(e, PthError::Pickle { .. })),
        ("a lone key", with_object(b"}(Nu"), |e| matches!(e, PthError::Pickle { .. })),
        ("a list as a dict", with_object(b"](NNu"), |e| matches!(e, PthError::Pickle { .. })),
        ("a call of a text", with_object(&[text("x"), b")R".to_vec()].concat()), |e| {
            matches!(e, PthError::Pickle { .. })
        }),
        ("a huge text", with_object(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff"), |e| {
            matches!(e, PthError::Truncated { .. })
        }),
        ("a huge number", with_object(b"\x8b\xff\xff\xff\xff"), |e| matches!(e, PthError::Truncated { .. })),
        ("a huge frame", with_object(b"\x95\xff\xff\xff\xff\xff\xff\xff\xff"), |e| {
            matches!(e, PthError::Truncated { .. })
        }),
        ("an endless name", with_object(&[b"c".to_vec(), vec![b'x'; 1 << 20]].concat()), |e| {
            matches!(e, PthError::Pickle { .. })
        }),
        ("lists", flood(b"]", 20 << 20), |e| matches!(e, PthError::Limit { .. })),
        ("marks", flood(b"(", 20 << 20), |e| matches!(e, PthError::Limit { .. })),
        ("nested tuples", flood(b"\x85", 20 << 20), |e| matches!(e, PthError::Pickle { .. })),
        ("memo", with_object(&[b"N".to_vec(), b"\x94".repeat(20 << 20)].concat()), |e| {
            matches!(e, PthError::Limit { .. })
        }),
        ("deep tuples", with_object(&[b"N".to_vec(), b"\x85".repeat(150_000)].concat()), |e| {
            matches!(e, PthError::NotADict { .. })
        }),
        ("copies", with_object(&again), |e| matches!(e, PthError::Limit { .. })),
        ("itself", with_object(&wrapped("state_dict")), |e| matches!(e, PthError::NoTensors { .. })),
        ("itself everywhere", with_object(&within_itself), |e| matches!(e, PthError::NoTensors { .. })),
        (
            "a program",
            with_object(&call("os", "system", &[text("true")])),
            |e| matches!(e, PthError::WholeModel { class, .. } if class == "os.system"),
        ),
    ])
}

#[test]
fn tensors_beyond_their_storage_are_refused() -> Outcome {
    let one = |tensor: Vec<u8>| with_object(&dict(&[("w", tensor)]));
    let bounds: Check = |e| matches!(e, PthError::Bounds { tensor, .. } if tensor == "w");
    let most = i64::MAX;
    let key = "k".repeat(5000);
    all_refused(vec![
        ("one too many", one(tensor(0, &[5], &[1])), bounds),
        ("offset", one(tensor(1, &[4], &[1])), bounds),
        ("stride", one(tensor(0, &[2], &[4])), bounds),
        ("overflow of dims", one(tensor(0, &[most, most, most], &[0, 0, 0])), bounds),
        ("overflow of strides", one(tensor(0, &[most, 2], &[most, most])), bounds),
        ("overflow of the offset", one(tensor(most, &[2], &[most])), bounds),
        ("scalar beyond", one(tensor(4, &[], &[])), bounds),
        ("negative dim", one(tensor(0, &[-1], &[1])), |e| matches!(e, PthError::Pickle { .. })),
        ("negative stride", one(tensor(3, &[4], &[-1])), |e| matches!(e, PthError::Pickle { .. })),
        ("dims and strides", one(tensor(0, &[2, 2], &[1])), |e| matches!(e, PthError::Pickle { .. })),
        ("expanded", one(tensor(0, &[1 << 40], &[0])), |e| matches!(e, PthError::Limit { .. })),
        ("many dims", one(tensor(0, &[1; 17], &[1; 17])), |e| matches!(e, PthError::Limit { .. })),
        ("long key", with_object(&dict(&[(key.as_str(), tensor(0, &[4], &[1]))])), |e| {
            matches!(e, PthError::Limit { .. })
        }),
        ("storage", one(torch::view(storage("FloatStorage", "0", most), 0, &[4], &[1])), |e| {
            matches!(e, PthError::Storage { .. })
        }),
        (
            "storage type",
            one(torch::view(storage("QInt8Storage", "0", 4), 0, &[4], &[1])),
            |e| matches!(e, PthError::StorageType { found } if found == "torch.QInt8Storage"),
        ),
    ])
}

#[test]
fn hostile_legacy_files_are_refused() -> Outcome {
    let object = torch::pickle(&dict(&[("w", tensor(0, &[4], &[1]))]));
    let keys = torch::pickle(&[b"](".as_slice(), &text("0"), b"e"].concat());
    let with = |rest: &[&[u8]]| legacy(1001, &object, &rest.concat());
    all_refused(vec![
        ("a plain pickle", torch::pickle(&dict(&[])), |e| matches!(e, PthError::NotTorch)),
        ("magic alone", legacy(1001, &[], &[])[..15].to_vec(), |e| matches!(e, PthError::Truncated { .. })),
        ("version", legacy(1000, &object, &keys), |e| matches!(e, PthError::Version { found: 1000 })),
        ("no keys", with(&[]), |e| matches!(e, PthError::Truncated { .. })),
        ("keys are a dict", with(&[&torch::pickle(b"}")]), |e| matches!(e, PthError::Pickle { .. })),
        ("no sizes", with(&[&keys]), |e| matches!(e, PthError::Truncated { .. })),
        ("huge size", with(&[&keys, &[0xff; 8], &[0; 16]]), |e| matches!(e, PthError::Storage { .. })),
        ("cut data", with(&[&keys, &4u64.to_le_bytes(), &[0; 15]]), |e| matches!(e, PthError::Storage { .. })),
        ("smaller storage", with(&[&keys, &3u64.to_le_bytes(), &[0; 16]]), |e| matches!(e, PthError::Storage { .. })),
        ("no storage", with(&[&torch::pickle(b"]")]), |e| matches!(e, PthError::NoEntry { .. })),
    ])
}

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
        read_all(torch::archive(&[b"\x80\x02".to_vec(), pickle.concat(), b".".to_vec()].concat(), &[0; 16]));
    }
}

fn unchecked_files() -> &'static [Vec<u8>] {
    static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let paths = files("pth").unwrap_or_else(|error| panic!("{error}"));
        let unchecked =
            |path: &PathBuf| path.to_string_lossy().contains("legacy") || path.ends_with("zip_no_checksums.pth");
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
    let single = b"(012N\x88\x89)]}tldaesu\x85\x86\x87\x8f\x90\x91\x92\x93\x94Qb\x81R".map(|byte| vec![byte]).to_vec();
    proptest::sample::select([whole, single].concat())
}
