//! What a path leads to, if not to a regular file.

use std::fmt;
use std::fs::Metadata;

/// A path that does not lead to a regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct NotRegular {
    /// What it leads to, such as "a folder".
    pub found: &'static str,
}

impl NotRegular {
    /// The error of something with this metadata.
    #[must_use]
    pub fn of(about: &Metadata) -> Self {
        let kind = about.file_type();
        #[cfg(unix)]
        {
            use std::os::unix::fs::FileTypeExt as _;
            let kinds = [
                ("a named pipe", kind.is_fifo()),
                ("a socket", kind.is_socket()),
                ("a device", kind.is_char_device() || kind.is_block_device()),
            ];
            if let Some((found, _)) = kinds.into_iter().find(|(_, is_it)| *is_it) {
                return Self { found };
            }
        }
        Self { found: if kind.is_dir() { "a folder" } else { "a special file" } }
    }

    /// What to do instead.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self.found {
            "a folder" => "name a file in it",
            _ => "save its data to a file, and name that file",
        }
    }
}

impl fmt::Display for NotRegular {
    /// `a folder, not a regular file`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, not a regular file", self.found)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn it_is_said_what_was_found() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let found =
            |path: &std::path::Path| Ok::<_, std::io::Error>(NotRegular::of(&fs::metadata(path)?));
        let said = |path: &std::path::Path| found(path).map(|it| format!("{it}: {}", it.advice()));
        assert_eq!(said(folder.path())?, "a folder, not a regular file: name a file in it");
        #[cfg(unix)]
        {
            let socket = folder.path().join("socket");
            let _listener = std::os::unix::net::UnixListener::bind(&socket)?;
            let pipe = folder.path().join("pipe");
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status()?.success());
            assert_eq!(found(&socket)?.found, "a socket");
            assert_eq!(found(&pipe)?.found, "a named pipe");
            let device = said("/dev/zero".as_ref())?;
            let advice = "save its data to a file, and name that file";
            assert_eq!(device, format!("a device, not a regular file: {advice}"));
        }
        Ok(())
    }
}
