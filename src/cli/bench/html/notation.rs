//! How the page writes numbers, shapes and colours.

use super::super::report::WorkloadReport;

/// The number of colours of workloads, which are used in turn.
const COLOURS: usize = 8;

/// The class of a workload's colour.
pub(super) fn colour(index: usize) -> String {
    format!("c{}", index % COLOURS)
}

/// A number with three significant digits.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 || size == 0.0 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.9995 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A share in percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// The shape of a workload's input.
pub(super) fn shape(workload: &WorkloadReport) -> String {
    workload.input.map(|size| size.to_string()).join(" × ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let shown = [0.0, 0.01234, 0.9996, 1.234, 9.996, 12.34, 99.96, 123.4, 12345.6].map(short);
        assert_eq!(shown, ["0", "0.012", "1.00", "1.23", "10.0", "12.3", "100", "123", "12346"]);
    }
}
