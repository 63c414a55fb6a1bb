//! Known driver bugs: typed, narrow expectations. A tolerance is never loosened for a driver.

use super::report::{Check, Device, Failure, KnownFailure};
use crate::kernel::Family;

/// The bugs known today.
pub static KNOWN_BUGS: &[KnownBug] = &[];

/// A driver bug that a self test detects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownBug {
    /// wgpu's name of the API: `vulkan`, `metal`, `dx12`, `gl`.
    pub backend: &'static str,
    /// Part of the device's or the driver's name.
    pub driver: &'static str,
    /// The first version with the bug. A driver that does not report its version matches neither
    /// this nor `until`.
    pub since: Option<[u32; 3]>,
    /// The first version without the bug.
    pub until: Option<[u32; 3]>,
    /// The affected kernel family only: names of some families begin with those of others.
    pub family: Family,
    /// The affected case, if not every case is.
    pub case: Option<&'static str>,
    /// The check that fails.
    pub check: Check,
    /// What is wrong, and where it is documented.
    pub reason: &'static str,
}

impl KnownBug {
    /// Whether the device's driver has the bug.
    #[must_use]
    pub fn is_on(&self, device: &Device) -> bool {
        let named = device.name.contains(self.driver) || device.driver.contains(self.driver);
        let version = version(&device.driver_info);
        let new_enough =
            self.since.is_none_or(|since| version.is_some_and(|version| version >= since));
        let old_enough =
            self.until.is_none_or(|until| version.is_some_and(|version| version < until));
        device.backend == self.backend && named && new_enough && old_enough
    }

    /// Whether this bug explains a failure.
    #[must_use]
    pub fn explains(&self, failure: &Failure) -> bool {
        failure.check == self.check && self.concerns(failure.family, failure.case)
    }

    fn concerns(&self, family: Family, case: &str) -> bool {
        family == self.family && self.case.is_none_or(|mine| mine == case)
    }
}

/// The first number with dots in a text, after "Mesa" if the text contains that: 22.3.6 in "4.5
/// (Core Profile) Mesa 22.3.6". Missing parts are 0.
fn version(text: &str) -> Option<[u32; 3]> {
    let text = text.split_once("Mesa").map_or(text, |(_, behind)| behind);
    let numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    let found =
        numbers.map(|number| number.trim_matches('.')).find(|number| number.contains('.'))?;
    let mut parts = found.split('.').map(|part| part.parse().ok());
    Some([parts.next()??, parts.next().unwrap_or(Some(0))?, parts.next().unwrap_or(Some(0))?])
}

/// The failures of a self test, sorted by the known bugs of the device.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sorted {
    pub failures: Vec<Failure>,
    pub known: Vec<KnownFailure>,
    pub no_longer_seen: Vec<&'static str>,
}

/// A case that was run, and the family of the kernel.
pub(super) type Tested = (Family, &'static str);

/// Sorts failures into new and known ones. Also reports known bugs that did not occur although one
/// of their cases was `tested`.
pub(super) fn sort(
    bugs: &[KnownBug],
    device: &Device,
    tested: &[Tested],
    all: Vec<Failure>,
) -> Sorted {
    let here: Vec<&KnownBug> = bugs.iter().filter(|bug| bug.is_on(device)).collect();
    let looked_for =
        |bug: &&&KnownBug| tested.iter().any(|&(family, case)| bug.concerns(family, case));
    let unseen = |bug: &&&KnownBug| !all.iter().any(|failure| bug.explains(failure));
    let no_longer_seen =
        here.iter().filter(looked_for).filter(unseen).map(|bug| bug.reason).collect();
    let (mut failures, mut known) = (Vec::new(), Vec::new());
    for failure in all {
        match here.iter().find(|bug| bug.explains(&failure)) {
            Some(bug) => known.push(KnownFailure { failure, reason: bug.reason }),
            None => failures.push(failure),
        }
    }
    Sorted { failures, known, no_longer_seen }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUG: KnownBug = KnownBug {
        backend: "vulkan",
        driver: "llvmpipe",
        since: Some([22, 3, 0]),
        until: Some([23, 1, 0]),
        family: Family::Conv3x3,
        case: None,
        check: Check::NonFinite,
        reason: "an example",
    };

    fn device(info: &str) -> Device {
        Device {
            name: "llvmpipe (LLVM 15.0.6, 256 bits)".to_owned(),
            backend: "vulkan",
            driver: "llvmpipe".to_owned(),
            driver_info: info.to_owned(),
            software: true,
            subgroup_size: Some(8),
            runtime_checks: false,
        }
    }

    fn failure(family: Family, check: Check) -> Failure {
        let (kernel, what) = (format!("{}_l8s1r8c1", family.name()), "wrong".to_owned());
        Failure { kernel, family, case: "a case", check, what, first: None }
    }

    #[test]
    fn a_bug_is_on_its_driver_and_versions_alone() {
        for (info, on) in [
            ("Mesa 22.3.6 (LLVM 15.0.6)", true),
            ("4.5 (Core Profile) Mesa 22.3.6", true),
            ("Mesa 22.2.9", false),
            ("Mesa 23.1", false),
            ("23.0.9-devel", true),
            ("Mesa", false),
            ("", false),
        ] {
            assert_eq!(BUG.is_on(&device(info)), on, "{info}");
        }
        let here = device("Mesa 22.3.6");
        assert!(!BUG.is_on(&Device { backend: "gl", ..here.clone() }));
        assert!(!KnownBug { driver: "radv", ..BUG }.is_on(&here));
        assert!(KnownBug { until: None, ..BUG }.is_on(&device("Mesa 99.0.0")));
        assert!(KnownBug { since: None, until: None, ..BUG }.is_on(&device("")));
    }

    #[test]
    fn only_what_a_bug_explains_is_known() {
        let here = device("Mesa 22.3.6");
        let tested = [Family::Conv3x3, Family::Conv3x3Staged].map(|family| (family, "a case"));
        let mine = failure(Family::Conv3x3, Check::NonFinite);
        let kind = failure(Family::Conv3x3, Check::Exact);
        // A family whose name begins with the bug's.
        let other = failure(Family::Conv3x3Staged, Check::NonFinite);
        let all = vec![mine.clone(), kind.clone(), other.clone()];
        let known = vec![KnownFailure { failure: mine, reason: BUG.reason }];
        for bug in [BUG, KnownBug { case: Some("a case"), ..BUG }] {
            let sorted = sort(&[bug], &here, &tested, all.clone());
            let failures = vec![kind.clone(), other.clone()];
            assert_eq!(sorted, Sorted { failures, known: known.clone(), no_longer_seen: vec![] });
        }
        // In another case and on another version every failure counts.
        let every = Sorted { failures: all.clone(), known: vec![], no_longer_seen: vec![] };
        let another = KnownBug { case: Some("another case"), ..BUG };
        assert_eq!(sort(&[another], &here, &tested, all.clone()), every);
        assert_eq!(sort(&[BUG], &device("Mesa 24.0.0"), &tested, all), every);
    }

    #[test]
    fn a_bug_that_is_gone_is_told_of_where_it_was_looked_for() {
        let here = device("Mesa 22.3.6");
        let bug = KnownBug { case: Some("a case"), ..BUG };
        let gone = |family, case| sort(&[bug], &here, &[(family, case)], Vec::new()).no_longer_seen;
        assert_eq!(gone(Family::Conv3x3, "a case"), ["an example"]);
        assert_eq!(gone(Family::Conv3x3, "another case"), [""; 0]);
        assert_eq!(gone(Family::Conv3x3Staged, "a case"), [""; 0]);
    }
}
