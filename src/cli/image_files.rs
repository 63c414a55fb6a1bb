//! Which files are images, and the images in folders.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::error::CliError;
use super::input_file;
use super::output::{self, count};

/// Extensions of image files, in lower case: first the supported formats, then other formats that
/// are common for photos. A file in one of the other formats is reported as an error.
const ENDINGS: &[&str] = &[
    "png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "dib", "tif", "tiff",
    "heic", "heif", "hif", "avif", "jxl", "jp2", "j2k", "ppm", "pgm", "pbm", "pnm", "tga",
];

/// Number of bytes that are read to recognise an image.
const FIRST_BYTES: u64 = 16;

/// The images in a folder.
#[derive(Debug, Default)]
pub struct Found {
    /// Sorted by path.
    pub files: Vec<PathBuf>,
    /// The number of files that are not images.
    pub others: usize,
}

/// Returns the given files, in the given order. A folder is replaced by the images below it (see
/// [`below`]). A file that is given twice is returned once. A line on stderr reports the number of
/// files that are not images.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let (mut found, mut others) = (Vec::new(), 0);
    for path in paths {
        let metadata = fs::metadata(path).map_err(|source| CliError::io(path, source))?;
        if !metadata.is_dir() {
            found.push(path.clone());
            continue;
        }
        let within = below(path, &[])?;
        found.extend(within.files);
        others += within.others;
    }
    let mut seen = HashSet::new();
    found.retain(|path| seen.insert(path.clone()));
    if found.is_empty() {
        let named: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        let others = if others == 0 { String::new() } else { format!(", only {others} others") };
        return Err(CliError::Usage(format!("{}: no image files found{others}", named.join(", "))));
    }
    if others > 0 {
        output::progress(&left_out(others));
    }
    Ok(found)
}

/// The line about files that are not images.
pub fn left_out(others: usize) -> String {
    let files = count(others, "file", "files");
    format!("left out {files}: not images, by name and first bytes")
}

/// The images below a folder: files that have the extension or the first bytes of an image format.
/// Names that begin with a dot are left out. A link to a folder is followed, unless that folder has
/// already been visited. The folders in `before` count as visited.
pub fn below(folder: &Path, before: &[&Path]) -> Result<Found, CliError> {
    let mut walk = Walk::default();
    for folder in before.iter().copied().chain([folder]) {
        walk.visit(folder)?;
    }
    walk.tree(folder, false)?;
    // After the folders themselves, so that an image is found by its own path first.
    while let Some(link) = walk.links.pop_front() {
        if walk.visit(&link)? {
            walk.tree(&link, true)?;
        }
    }
    walk.found.files.sort();
    Ok(walk.found)
}

#[derive(Debug, Default)]
struct Walk {
    found: Found,
    /// Folders, with all links resolved.
    visited: HashSet<PathBuf>,
    /// Links to folders that have not been followed yet.
    links: VecDeque<PathBuf>,
}

impl Walk {
    /// Records a visit. Returns false if the folder has been visited before.
    fn visit(&mut self, folder: &Path) -> Result<bool, CliError> {
        let path = fs::canonicalize(folder).map_err(|source| CliError::io(folder, source))?;
        Ok(self.visited.insert(path))
    }

    fn tree(&mut self, folder: &Path, is_linked: bool) -> Result<(), CliError> {
        let io = |source| CliError::io(folder, source);
        let mut entries =
            fs::read_dir(folder).map_err(io)?.collect::<Result<Vec<_>, _>>().map_err(io)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries.iter().filter(|entry| !is_hidden(entry)) {
            let path = entry.path();
            if entry.file_type().map_err(io)?.is_dir() {
                if self.visit(&path)? || !is_linked {
                    self.tree(&path, is_linked)?;
                }
                continue;
            }
            match fs::metadata(&path) {
                Ok(about) if about.is_dir() => self.links.push_back(path),
                // Pipes, sockets and devices: one may wait for a pipe for ever.
                Ok(about) if !about.is_file() => {}
                // Links to nothing too, by their names.
                _ if is_image(&path) => self.found.files.push(path),
                _ => self.found.others += 1,
            }
        }
        Ok(())
    }
}

/// Whether a name begins with a dot.
pub fn is_hidden(entry: &fs::DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

/// Whether a file has the name or the first bytes of an image.
fn is_image(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    if ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) {
        return true;
    }
    let mut first = Vec::new();
    let read =
        input_file::open(path).and_then(|file| file.take(FIRST_BYTES).read_to_end(&mut first));
    read.is_ok() && begins_as_image(&first)
}

/// Whether these are the first bytes of an image. Formats with a signature of only two letters
/// (PNM) are recognised by the file name only.
fn begins_as_image(first: &[u8]) -> bool {
    let marks: &[&[u8]] = &[
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"GIF87a",
        b"GIF89a",
        b"II*\0",
        b"MM\0*",
        b"II+\0",
        b"MM\0+",
        // JPEG XL and JPEG 2000.
        b"\xff\x0a",
        b"\0\0\0\x0cJXL \r\n\x87\n",
        b"\0\0\0\x0cjP  \r\n\x87\n",
    ];
    let webp = first.starts_with(b"RIFF") && first.get(8..12) == Some(b"WEBP");
    // Two letters and four zeros, so that a text is no bitmap.
    let bmp = first.starts_with(b"BM") && first.get(6..10) == Some(&[0; 4]);
    let brands: [&[u8]; 6] = [b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1"];
    let heif = first.get(4..8) == Some(b"ftyp")
        && first.get(8..12).is_some_and(|brand| brands.contains(&brand));
    webp || bmp || heif || marks.iter().any(|mark| first.starts_with(mark))
}

/// Converts a path to text. Bytes that are not UTF-8 are written as `\xff`, so two paths may have
/// the same text.
pub fn text(path: impl AsRef<Path>) -> String {
    let mut text = String::new();
    for chunk in path.as_ref().as_os_str().as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn folders_are_walked_in_order_and_hidden_names_left_out() -> Outcome {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("b/c"))?;
        fs::create_dir(path(".hidden"))?;
        for name in ["b/c/1.png", "b/0.JPG", "a.png", ".x.png", ".hidden/y.png", "c.txt"] {
            fs::write(path(name), name)?;
        }
        let found = find(&[folder.path().to_owned(), path("b/0.JPG"), path(".x.png")])?;
        let expected = ["a.png", "b/0.JPG", "b/c/1.png", ".x.png"];
        assert_eq!(found, expected.map(path));
        assert_eq!(below(folder.path(), &[])?.others, 1);
        // A file that is named is taken, whatever it is.
        assert_eq!(find(&[path("c.txt")])?, [path("c.txt")]);
        assert!(find(&[path("none")]).is_err());
        assert!(find(&[path("b"), path(".hidden/z")]).is_err());
        Ok(())
    }

    #[test]
    fn images_are_known_by_name_or_first_bytes() -> Outcome {
        let folder = tempfile::tempdir()?;
        for (name, bytes, is_one) in [
            ("empty.png", &b""[..], true),
            ("photo.HEIC", b"", true),
            ("Thumbs.db", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", false),
            ("desktop.ini", b"[.ShellClassInfo]", false),
            ("readme.txt", b"BMW and others, in folders", false),
            ("00001.json", b"{}", false),
            ("empty", b"", false),
            ("png", b"\x89PNG\r\n\x1a\n\0\0", true),
            ("jpeg.bin", b"\xff\xd8\xff\xe0", true),
            ("bitmap", b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0", true),
            ("webp", b"RIFF\x10\0\0\0WEBPVP8 ", true),
            ("wave", b"RIFF\x10\0\0\0WAVEfmt ", false),
            ("heif", b"\0\0\0\x18ftypheic\0\0", true),
            ("film", b"\0\0\0\x18ftypisom\0\0", false),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, bytes)?;
            assert_eq!(is_image(&path), is_one, "{name}");
        }
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn links_to_folders_are_followed_once() -> Outcome {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        for name in ["a/z", "elsewhere/deep"] {
            fs::create_dir_all(path(name))?;
            fs::write(path(name).join("1.png"), "")?;
        }
        fs::write(path("b.png"), "")?;
        symlink(path("elsewhere"), path("a/link"))?;
        symlink(path("elsewhere"), path("a/other"))?;
        symlink(path("elsewhere/deep"), path("a/another"))?;
        // Into itself, to what is above, and to a folder that has its own path.
        symlink(path("elsewhere"), path("elsewhere/again"))?;
        symlink(folder.path(), path("a/up"))?;
        symlink(path("a/z"), path("a/first"))?;
        let of = |found: Found| -> Vec<String> {
            found
                .files
                .iter()
                .map(|file| text(file.strip_prefix(path("a")).unwrap_or(file)))
                .collect()
        };
        assert_eq!(of(below(&path("a"), &[folder.path()])?), ["another/1.png", "z/1.png"]);
        let whole = of(below(&path("a"), &[])?);
        assert_eq!(whole, ["another/1.png", "up/b.png", "z/1.png"]);
        Ok(())
    }

    #[test]
    fn bytes_that_are_no_utf8_are_escaped() {
        assert_eq!(text("a/ü.png"), "a/ü.png");
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            let of = |bytes: &[u8]| text(std::ffi::OsStr::from_bytes(bytes));
            assert_eq!(of("ä/\n.png".as_bytes()), "ä/\n.png");
            assert_eq!(of(b"a\xff/\xc3.png"), "a\\xff/\\xc3.png");
        }
    }
}
