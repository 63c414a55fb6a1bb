//! Paths as text that can be read back.

use std::path::{MAIN_SEPARATOR, Path, PathBuf};

/// Converts a path within a folder to text, with `/` between its parts. A backslash is written as
/// `\\`, and a byte that is not UTF-8 as `\xff`.
pub fn encode(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                // Not a pattern: on Windows it is the same letter as the next one.
                letter if letter == MAIN_SEPARATOR => text.push('/'),
                '\\' => text.push_str("\\\\"),
                other => text.push(other),
            }
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// The inverse of [`encode`]; `None` if the text is not an encoded path.
pub fn decode(text: &str) -> Option<PathBuf> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            bytes.push(first);
        } else if let Some(after) = rest.strip_prefix(b"\\") {
            bytes.push(b'\\');
            rest = after;
        } else {
            let digits = std::str::from_utf8(rest.strip_prefix(b"x")?.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[3..];
        }
    }
    path(bytes)
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere not every name is a path")]
fn path(bytes: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    Some(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn path(bytes: Vec<u8>) -> Option<PathBuf> {
    let text = String::from_utf8(bytes).ok()?;
    Some(text.replace('/', std::path::MAIN_SEPARATOR_STR).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_back() {
        for (text, native) in [("a/ü b.png", "a/ü b.png"), ("x\\\\ff", "x\\ff")] {
            if cfg!(unix) {
                assert_eq!(encode(Path::new(native)), text);
            }
            assert_eq!(decode(text).as_deref(), Some(Path::new(native)));
        }
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            let path = Path::new(std::ffi::OsStr::from_bytes(b"caf\xe9/\\xe9.png"));
            assert_eq!(encode(path), "caf\\xe9/\\\\xe9.png");
            assert_eq!(decode(&encode(path)).as_deref(), Some(path));
        }
        for wrong in ["\\", "\\x", "\\x1", "\\xgg", "\\y00", "\\xé"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
