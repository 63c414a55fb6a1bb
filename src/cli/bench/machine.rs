//! The machine that a bench runs on: operating system, processor.
//!
//! The sources are `/etc/os-release`, `/proc/sys/kernel/osrelease` and `/proc/cpuinfo` on Linux;
//! `SystemVersion.plist` and `sysctl` on macOS; `ver` and `PROCESSOR_IDENTIFIER` on Windows. If a
//! source is missing, and on other systems, the name is Rust's name of the system or the
//! architecture, and the version is unknown.

use std::process::{Command, Stdio};
use std::thread::available_parallelism;
use std::{env, fmt, fs};

use serde::{Deserialize, Serialize};

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The operating system, e.g. `Debian GNU/Linux`.
    pub os: String,
    /// Its version, on Linux with the kernel's; `None` if the system does not report it.
    pub os_version: Option<String>,
    /// The processor, or its architecture if the system does not name it.
    pub processor: String,
    /// Logical processors that the program may use.
    pub cores: usize,
}

impl Machine {
    /// This machine.
    pub fn this() -> Self {
        let (os, os_version) = match env::consts::OS {
            "linux" | "android" => {
                linux(read("/etc/os-release").or_else(|| read("/usr/lib/os-release")))
            }
            "macos" => mac_os(),
            "windows" => ("Windows".to_owned(), said("cmd", &["/c", "ver"])),
            other => (other.to_owned(), None),
        };
        let processor = match env::consts::OS {
            "linux" | "android" => read("/proc/cpuinfo").and_then(|text| of_cpuinfo(&text)),
            "macos" => said("sysctl", &["-n", "machdep.cpu.brand_string"]),
            "windows" => env::var("PROCESSOR_IDENTIFIER").ok().filter(|name| !name.is_empty()),
            _ => None,
        };
        let processor = processor.unwrap_or_else(|| env::consts::ARCH.to_owned());
        Self { os, os_version, processor, cores: available_parallelism().map_or(1, usize::from) }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { os, os_version, processor, cores } = self;
        let cores = if *cores == 1 { "1 core".to_owned() } else { format!("{cores} cores") };
        write!(f, "{processor}, {cores}, {os}")?;
        os_version.iter().try_for_each(|version| write!(f, " {version}"))
    }
}

/// The trimmed text of a file; `None` if it is empty or unreadable.
fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The output of a system command.
fn said(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// Name and version of a Linux system with this os-release.
fn linux(os_release: Option<String>) -> (String, Option<String>) {
    let text = os_release.unwrap_or_default();
    let value = |key: &str| {
        let mut lines = text.lines().rev().filter_map(|line| line.split_once('='));
        let value = lines
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value.trim_matches(['"', '\'']).to_owned());
        value.filter(|value| !value.is_empty())
    };
    let version = value("VERSION").or_else(|| value("VERSION_ID")).or_else(|| value("BUILD_ID"));
    let kernel = read("/proc/sys/kernel/osrelease").map(|kernel| format!("kernel {kernel}"));
    let all: Vec<String> = version.into_iter().chain(kernel).collect();
    (value("NAME").unwrap_or_else(|| "Linux".to_owned()), (!all.is_empty()).then(|| all.join(", ")))
}

/// The processor in `/proc/cpuinfo`, whose keys differ between architectures.
fn of_cpuinfo(text: &str) -> Option<String> {
    let value = |wanted: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
        let found =
            pairs.find(|(key, _)| key.trim() == wanted).map(|(_, value)| value.trim().to_owned());
        found.filter(|value| !value.is_empty())
    };
    ["model name", "Model Name", "cpu model", "uarch", "cpu", "Hardware", "Model"]
        .into_iter()
        .find_map(value)
}

fn mac_os() -> (String, Option<String>) {
    let list = read("/System/Library/CoreServices/SystemVersion.plist").unwrap_or_default();
    (
        of_plist(&list, "ProductName").unwrap_or_else(|| "macOS".to_owned()),
        of_plist(&list, "ProductVersion"),
    )
}

/// The string of a key in a property list in XML.
fn of_plist(list: &str, key: &str) -> Option<String> {
    let (_, rest) = list.split_once(&format!("<key>{key}</key>"))?;
    let (value, _) = rest.split_once("<string>")?.1.split_once("</string>")?;
    Some(value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_names() {
        let machine = Machine::this();
        assert!(
            !machine.os.is_empty() && !machine.processor.is_empty() && machine.cores > 0,
            "{machine:?}"
        );
        assert!(machine.to_string().contains(&machine.processor), "{machine}");
    }

    #[test]
    fn names_are_read() {
        let release = "PRETTY_NAME=\"Debian 12\"\nNAME=\"Debian \
            GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\n";
        let (name, version) = linux(Some(release.to_owned()));
        assert_eq!(name, "Debian GNU/Linux");
        assert!(
            !cfg!(target_os = "linux")
                || version.is_some_and(|version| version.starts_with("12 (bookworm)"))
        );
        assert_eq!(linux(Some("NAME=Arch\nBUILD_ID='rolling'".to_owned())).0, "Arch");
        assert_eq!(linux(None).0, "Linux");

        let x86 = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 9B14\n";
        let pi = "processor\t: 0\nBogoMIPS\t: 108.00\n\nHardware\t: \nModel\t\t: Raspberry Pi 4 \
            Model B\n";
        let names = [x86, pi, "processor\t: 0\n"].map(of_cpuinfo);
        assert_eq!(
            names,
            [Some("AMD EPYC 9B14".to_owned()), Some("Raspberry Pi 4 Model B".to_owned()), None]
        );

        let list = "<dict>\n<key>ProductName</key>\n<string>macOS</string>\n\
            <key>ProductVersion</key>\n<string>15.1</string>";
        assert_eq!(of_plist(list, "ProductVersion"), Some("15.1".to_owned()));
        assert_eq!(of_plist(list, "ProductBuildVersion"), None);
    }
}
