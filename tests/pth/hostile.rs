//! Files that lie, made by hand: each is refused for its lie, within a second.

use std::time::Instant;

use wgpu_bottleneck::StateDict;
use wgpu_bottleneck::error::PthError;

use super::refused;
use crate::common::Outcome;
use crate::common::torch::{
    self, ZipEntry, call, dict, int, ints, legacy, storage, stored, tensor, text, tuple,
};

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

/// A tensor with metadata behind its other arguments.
fn described(function: &str, metadata: Vec<u8>) -> Vec<u8> {
    let mut args = vec![
        storage("FloatStorage", "0", 4),
        int(0),
        ints(&[4]),
        ints(&[1]),
        vec![0x89],
        b")".to_vec(),
    ];
    if function == "_rebuild_tensor_v3" {
        args.push(b"ctorch\nfloat32\n".to_vec());
    }
    args.push(metadata);
    with_object(&dict(&[("w", call("torch._utils", function, &args))]))
}

/// An archive in which 2000 records name the same 64 MB, and a tensor each: 128 GB to compute
/// checksums of.
fn named_often() -> Vec<u8> {
    const TIMES: usize = 2000;
    let keys: Vec<String> = (0..TIMES).map(|at| at.to_string()).collect();
    let tensor = |key: &String| torch::view(storage("FloatStorage", key, 4), 0, &[4], &[1]);
    let pairs: Vec<_> = keys.iter().map(|key| (key.as_str(), tensor(key))).collect();
    let (pickle, data) = (torch::pickle(&dict(&pairs)), vec![0; 64 << 20]);
    let names: Vec<String> = keys.iter().map(|key| format!("a/data/{key}")).collect();
    let mut entries = vec![stored("a/data.pkl", &pickle), stored("a/data/first", &data)];
    entries.extend(names.iter().map(|name| ZipEntry { again: true, ..stored(name, &data) }));
    torch::zip(&entries)
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
    let rest = [
        torch::pickle(&[b"](".as_slice(), &text("0"), b"e"].concat()),
        4u64.to_le_bytes().into(),
        vec![0; 16],
    ];
    let old = StateDict::from_bytes(legacy(
        1001,
        &torch::pickle(&dict(&[("w", weight)])),
        &rest.concat(),
    ))?;
    assert_eq!(old.tensor("w")?, zipped.tensor("w")?);
    Ok(())
}

#[test]
fn metadata_that_changes_elements_counts() -> Outcome {
    for function in ["_rebuild_tensor_v2", "_rebuild_tensor_v3"] {
        for nothing in [b"N".to_vec(), b"}".to_vec()] {
            assert_eq!(StateDict::from_bytes(described(function, nothing))?.tensor("w")?.dims, [4]);
        }
        let values = |metadata| -> Result<Vec<f32>, Box<dyn std::error::Error>> {
            Ok(StateDict::from_bytes(described(function, metadata))?.tensor("w")?.data)
        };
        let (plain, negated) = (values(b"}".to_vec())?, values(dict(&[("neg", vec![0x88])]))?);
        assert!(plain.iter().zip(&negated).all(|(a, b)| *a == -*b), "{plain:?} {negated:?}");
        assert_eq!(values(dict(&[("conj", vec![0x88])]))?, plain);
        let unknown: Check = |e| {
            let named = "w (torch.Tensor with metadata)";
            matches!(e, PthError::NoTensors { keys } if keys == named)
        };
        all_refused(vec![
            ("other metadata", described(function, dict(&[("x", vec![0x88])])), unknown),
            ("no dict", described(function, int(1)), unknown),
        ])?;
    }
    Ok(())
}

#[test]
fn hostile_archives_are_refused() -> Outcome {
    let good = torch::pickle(&dict(&[("w", tensor(0, &[4], &[1]))]));
    let floats = [0; 16];
    let data = || stored("a/data/0", &floats);
    let packed = |method, flags, size| {
        torch::zip(&[ZipEntry { method, flags, size, ..stored("a/data.pkl", &good) }, data()])
    };
    let length = good.len() as u32;
    let whole = torch::archive(&good, &floats);
    let key =
        |key: &str| dict(&[("w", torch::view(storage("FloatStorage", key, 4), 0, &[4], &[1]))]);
    let many = b"PK\x01\x02".repeat(200_000);
    let with = |name| torch::zip(&[stored("a/data.pkl", &good), data(), stored(name, &good)]);
    let folders: Check =
        |e| matches!(e, PthError::Archive { reason } if reason.contains("more than one folder"));
    all_refused(vec![
        ("no entries", torch::zip(&[]), |e| {
            matches!(e, PthError::Archive { .. } | PthError::NoEntry { .. })
        }),
        ("no pickle", torch::zip(&[data()]), |e| matches!(e, PthError::NoEntry { .. })),
        ("deflated", packed(8, 0, length), |e| matches!(e, PthError::Packed { .. })),
        ("a bomb", packed(8, 0, u32::MAX - 1), |e| matches!(e, PthError::Packed { .. })),
        ("encrypted", packed(0, 1, length), |e| matches!(e, PthError::Packed { .. })),
        ("two sizes", packed(0, 0, length + 1), |e| matches!(e, PthError::Archive { .. })),
        ("truncated", whole[..whole.len() - 30].to_vec(), |e| {
            matches!(e, PthError::Archive { .. })
        }),
        ("no directory", whole[..100].to_vec(), |e| matches!(e, PthError::Archive { .. })),
        ("many records", [b"PK\x03\x04", many.as_slice()].concat(), |e| {
            matches!(e, PthError::Limit { .. })
        }),
        ("one storage named often", named_often(), |e| matches!(e, PthError::Archive { .. })),
        (
            "big-endian",
            torch::zip(&[stored("a/data.pkl", &good), stored("a/byteorder", b"big"), data()]),
            |e| matches!(e, PthError::BigEndian),
        ),
        ("a path", with_object(&key("../../../etc/passwd")), |e| {
            matches!(e, PthError::NoEntry { .. })
        }),
        ("another key", with_object(&key("1")), |e| matches!(e, PthError::NoEntry { .. })),
        ("a short storage", torch::archive(&good, &[0; 15]), |e| {
            matches!(e, PthError::Storage { needs: 16, has: 15, .. })
        }),
        ("two folders", with("b/data.pkl"), folders),
        ("a folder of something else", with("b/x"), folders),
        ("no folder", with("data.pkl"), folders),
        (
            "two objects",
            with("a/data.pkl"),
            |e| matches!(e, PthError::Archive { reason } if reason.contains("the same name")),
        ),
        ("a tar", [vec![b'x'; 257], b"ustar\0".to_vec()].concat(), |e| matches!(e, PthError::Tar)),
    ])
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
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
    let pairs =
        [b"](".to_vec(), tuple(&[text("a"), int(1)]).repeat(1000), b"eq\x00".to_vec()].concat();
    let again =
        [pairs, b"ccollections\nOrderedDict\nq\x010".to_vec(), b"h\x01h\x00\x85R0".repeat(10_000)]
            .concat();
    all_refused(vec![
        ("INST", with_object(b"(ios\nsystem\n"), |e| {
            matches!(e, PthError::Opcode { opcode: b'i', .. })
        }),
        ("text opcodes", with_object(b"I1\n"), |e| {
            matches!(e, PthError::Opcode { opcode: b'I', .. })
        }),
        ("PERSID", with_object(b"P0\n"), |e| matches!(e, PthError::Opcode { .. })),
        ("EXT1", with_object(b"\x82\x01"), |e| matches!(e, PthError::Opcode { .. })),
        ("protocol 0", torch::archive(b"\x80\x00}.", &[]), |e| {
            matches!(e, PthError::Pickle { .. })
        }),
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
        ("a huge number", with_object(b"\x8b\xff\xff\xff\xff"), |e| {
            matches!(e, PthError::Truncated { .. })
        }),
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
        ("itself", with_object(&wrapped("state_dict")), |e| {
            matches!(e, PthError::NoTensors { .. })
        }),
        ("itself everywhere", with_object(&within_itself), |e| {
            matches!(e, PthError::NoTensors { .. })
        }),
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
        ("dims and strides", one(tensor(0, &[2, 2], &[1])), |e| {
            matches!(e, PthError::Pickle { .. })
        }),
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
            one(torch::view(storage("Bits8Storage", "0", 4), 0, &[4], &[1])),
            |e| matches!(e, PthError::NoTensors { keys } if keys == "w (torch.Bits8Storage)"),
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
        ("magic alone", legacy(1001, &[], &[])[..15].to_vec(), |e| {
            matches!(e, PthError::Truncated { .. })
        }),
        ("version", legacy(1000, &object, &keys), |e| {
            matches!(e, PthError::Version { found: 1000 })
        }),
        ("no keys", with(&[]), |e| matches!(e, PthError::Truncated { .. })),
        ("keys are a dict", with(&[&torch::pickle(b"}")]), |e| {
            matches!(e, PthError::Pickle { .. })
        }),
        ("no sizes", with(&[&keys]), |e| matches!(e, PthError::Truncated { .. })),
        ("huge size", with(&[&keys, &[0xff; 8], &[0; 16]]), |e| {
            matches!(e, PthError::Storage { .. })
        }),
        ("cut data", with(&[&keys, &4u64.to_le_bytes(), &[0; 15]]), |e| {
            matches!(e, PthError::Storage { .. })
        }),
        ("smaller storage", with(&[&keys, &3u64.to_le_bytes(), &[0; 16]]), |e| {
            matches!(e, PthError::Storage { .. })
        }),
        ("no storage", with(&[&torch::pickle(b"]")]), |e| matches!(e, PthError::NoEntry { .. })),
    ])
}
