//! Finds the file of weights in a folder written by `save_pretrained`, timm or `bottleneck train`.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result, WeightsError};

/// Usual names, in order of preference.
const USUAL: [&str; 3] = ["model.safetensors", "pytorch_model.bin", "best.safetensors"];
/// Endings of files of weights.
const ENDINGS: [&str; 6] = [".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".pth.tar"];
/// Endings of files of a checkpoint in several files.
const SHARDS: [&str; 3] = [".safetensors.index.json", ".bin.index.json", ".distcp"];
/// The number of files that an error lists.
const NAMED: usize = 8;

/// The file of weights for a path. A path to a file is returned unchanged. In a folder it is
/// `model.safetensors`, else `pytorch_model.bin`, else `best.safetensors` (of an unfinished run of
/// `bottleneck train`), else the only file with an ending of weights
/// (`.safetensors`, `.pth`, `.pt`, `.bin`, `.ckpt`, `.pth.tar`).
///
/// # Errors
/// [`Error::Io`] if the folder cannot be read; [`WeightsError::Folder`] if it has no such file, or
/// several.
pub fn weights_file(path: impl AsRef<Path>) -> Result<PathBuf> {
    let path = path.as_ref();
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    if let Some(file) =
        USUAL.iter().map(|name| path.join(name)).find(|file| file.symlink_metadata().is_ok())
    {
        return Ok(file);
    }
    if let Some(found) = shards(path)? {
        return Err(WeightsError::Shards { folder: path.display().to_string(), found }.into());
    }
    let mut found = weights_in(path)?;
    match &found[..] {
        [only] => Ok(path.join(only)),
        _ => {
            let (folder, count) = (path.display().to_string(), found.len());
            found.truncate(NAMED);
            Err(WeightsError::Folder { folder, count, found }.into())
        }
    }
}

/// The file of a folder that shows that it holds a checkpoint in several files.
fn shards(folder: &Path) -> Result<Option<String>> {
    let io = |source| Error::Io { path: folder.to_owned(), source };
    let mut found: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let name = entry.map_err(io)?.file_name().to_string_lossy().into_owned();
        if SHARDS.iter().any(|ending| name.ends_with(ending)) {
            found.push(name);
        }
    }
    found.sort();
    Ok(found.into_iter().next())
}

/// The names of all files of weights in a folder, by their endings, sorted.
///
/// # Errors
/// [`Error::Io`].
pub fn weights_in(folder: impl AsRef<Path>) -> Result<Vec<String>> {
    let folder = folder.as_ref();
    let io = |source| Error::Io { path: folder.to_owned(), source };
    let mut found: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let lower = name.to_ascii_lowercase();
        let ends = ENDINGS.iter().any(|ending| lower.ends_with(ending));
        if ends && !name.starts_with('.') && entry.path().is_file() {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_file_comes_first_then_the_only_one() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("bottleneck-folder-{}", std::process::id()));
        let io = |source| Error::Io { path: folder.clone(), source };
        std::fs::create_dir_all(&folder).map_err(io)?;
        let write = |name: &str| std::fs::write(folder.join(name), "").map_err(io);
        let error =
            |found: Result<PathBuf>| found.err().map(|error| error.to_string()).unwrap_or_default();
        write("config.json")?;
        assert!(error(weights_file(&folder)).contains("0 files of weights"));
        write("b.PTH")?;
        assert_eq!(weights_file(&folder)?, folder.join("b.PTH"));
        write("a.ckpt")?;
        assert!(error(weights_file(&folder)).contains("2 files of weights (a.ckpt, b.PTH)"));
        for name in ["pytorch_model.bin", "model.safetensors"] {
            write(name)?;
            assert_eq!(weights_file(&folder)?, folder.join(name));
        }
        // Other paths are returned unchanged, whether the file exists or not.
        assert_eq!(weights_file("none.pth")?, PathBuf::from("none.pth"));
        std::fs::remove_dir_all(&folder).map_err(io)?;
        Ok(())
    }
}
