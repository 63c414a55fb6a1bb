//! PyTorch's own files: what `torch.save` wrote is read to the bit, and what it would not write is
//! refused, quickly and without a panic. `tests/golden/pth.py` made the files.

mod hostile;
mod mutated;

use std::path::PathBuf;

use crate::common::{Outcome, golden_dir};
use wgpu_bottleneck::StateDict;
use wgpu_bottleneck::error::{Error, PthError, WeightsError};

/// Every file of the golden folder with this extension, by name.
fn files(extension: &str) -> Result<Vec<PathBuf>, std::io::Error> {
    let entries = std::fs::read_dir(golden_dir().join("pth"))?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    Ok(paths)
}

/// The case that a file is a form of: `half_legacy_protocol4.pth` is one of `half`.
fn case(path: &std::path::Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let forms = ["_protocol4", "_legacy", "_no_checksums"];
    forms
        .into_iter()
        .fold(stem, |stem, form| stem.strip_suffix(form).map(str::to_owned).unwrap_or(stem))
}

/// The reason why bytes are refused as a file of PyTorch's.
fn refused(bytes: Vec<u8>) -> Result<PthError, String> {
    match StateDict::from_bytes(bytes) {
        Err(Error::Weights(WeightsError::Pth { error, .. })) => Ok(*error),
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
        let mut keys: Vec<&str> =
            expected.keys().chain(integers.iter().map(String::as_str)).collect();
        keys.sort_unstable();
        assert_eq!(found.keys().collect::<Vec<_>>(), keys, "{name}");
        for key in expected.keys() {
            let (found, expected) = (found.tensor(key)?, expected.tensor(key)?);
            assert_eq!(found.dims, expected.dims, "{name}: {key}");
            // Which NaN a conversion gives is nobody's promise.
            let bits =
                |value: &f32| if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() };
            let bits = |data: &[f32]| data.iter().map(bits).collect::<Vec<_>>();
            assert_eq!(bits(&found.data), bits(&expected.data), "{name}: {key}");
        }
        for key in &integers {
            assert!(
                matches!(found.tensor(key), Err(WeightsError::ElementType { .. })),
                "{name}: {key}"
            );
        }
        for key in &others {
            assert!(
                matches!(found.tensor(key), Err(WeightsError::NotATensor { .. })),
                "{name}: {key}"
            );
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
        assert!(
            matches!(&error, PthError::WholeModel { class, .. } if class == "__main__.Net"),
            "{error:?}"
        );
    }
    let error = open("model_in_checkpoint.pth")?;
    assert!(
        matches!(&error, PthError::WholeModel { class, .. } if class == "__main__.Net"),
        "{error:?}"
    );
    assert!(error.to_string().contains("its key model holds"), "{error}");
    assert_eq!(open("torchscript.pt")?, PthError::TorchScript);
    assert_eq!(open("tensor.pth")?, PthError::NotADict { found: "a tensor without a name" });
    assert_eq!(open("list.pth")?, PthError::NotADict { found: "a list" });
    let error = open("no_tensors.pth")?;
    assert!(
        matches!(
            &error,
            PthError::NoTensors { keys } if keys == "epoch, lr, args (argparse.Namespace)"
        ),
        "{error:?}"
    );
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
    assert!(
        matches!(&error, PthError::Checksum { entry, .. } if entry == "zip/data/0"),
        "{error:?}"
    );
    Ok(())
}
