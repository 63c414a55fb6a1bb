//! The result of a tuning: the picks of the ranking rule compared with the best candidates.

use std::path::Path;

use serde::Serialize;
use wgpu_bottleneck::kernel::{Kernel, Problem};
use wgpu_bottleneck::tune::{Clock, TunedDevice, TunedShape, TuningTable};

use super::super::error::CliError;
use super::super::output::{Cell, Table, count};

/// A rejected candidate.
#[derive(Debug, Serialize)]
pub struct Rejected {
    shape: String,
    kernel: String,
    why: String,
}

impl Rejected {
    /// A rejected candidate of a shape.
    pub fn new(problem: &Problem, kernel: &Kernel, why: &str) -> Self {
        Self { shape: problem.to_string(), kernel: kernel.name(), why: why.to_owned() }
    }
}

/// A shape, and how many times longer the rule's pick takes than the best candidate.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    tuned: TunedShape,
    /// `None` if the pick gave a wrong result.
    pick_over_best: Option<f64>,
}

/// All results of a tuning.
#[derive(Debug, Serialize)]
pub struct Summary {
    device: TunedDevice,
    /// The file of the table.
    file: String,
    shapes: Vec<Row>,
    rejected: Vec<Rejected>,
    /// The mean of the shapes; `None` without shapes.
    mean_pick_over_best: Option<f64>,
    /// The largest value of the shapes.
    worst_pick_over_best: Option<f64>,
}

impl Summary {
    /// Summarises this run.
    pub fn new(table: &TuningTable, rejected: Vec<Rejected>, path: &Path) -> Self {
        let row = |tuned: &TunedShape| Row { tuned: tuned.clone(), pick_over_best: tuned.behind() };
        let shapes: Vec<Row> = table.shapes().iter().map(row).collect();
        let behind: Vec<f64> = shapes.iter().filter_map(|row| row.pick_over_best).collect();
        let mean = behind.iter().sum::<f64>() / behind.len() as f64;
        Self {
            device: table.device().clone(),
            file: path.display().to_string(),
            rejected,
            mean_pick_over_best: (!behind.is_empty()).then_some(mean),
            worst_pick_over_best: behind.into_iter().max_by(f64::total_cmp),
            shapes,
        }
    }

    /// The summary as a table and some lines.
    pub fn text(&self) -> String {
        let mut table =
            Table::new(&["shape", ">pick / best", ">us", "best candidate", "pick, if different"]);
        for Row { tuned: TunedShape { shape, rule, candidates, .. }, pick_over_best } in
            &self.shapes
        {
            let Some(best) = candidates.first() else { continue };
            let behind = pick_over_best
                .map_or_else(|| Cell::bad("WRONG"), |behind| format!("{behind:.2}").into());
            let other = if *rule == best.kernel { "" } else { rule.as_str() };
            let us = format!("{:.1}", best.us);
            table.row([
                shape.as_str().into(),
                behind,
                us.into(),
                best.kernel.as_str().into(),
                other.into(),
            ]);
        }
        let mut text = format!("device  {}\n\n{}\n", self.device, table.render());
        if self.shapes.iter().any(|row| row.tuned.clock == Clock::Host) {
            text += "times   by the host's clock, as there are no timestamps\n";
        }
        for Rejected { shape, kernel, why } in &self.rejected {
            text += &format!("WRONG   {kernel}, {shape}: {why}\n");
        }
        if let (Some(mean), Some(worst)) = (self.mean_pick_over_best, self.worst_pick_over_best) {
            let shapes = count(self.shapes.len(), "shape", "shapes");
            text += &format!(
                "rule    takes {mean:.3} times the best candidate's time on average over {shapes}, "
            );
            text += &format!("{worst:.2} times at worst\n");
        } else {
            text += "rule    nothing to choose from\n";
        }
        text + &format!("table   {}\n", self.file)
    }

    /// The result of the command: an error for wrong results and, with `percent`, for a rule whose
    /// picks take that many percent longer than the best.
    pub fn verdict(&self, percent: Option<f64>) -> Result<(), CliError> {
        if let Some(Rejected { shape, kernel, why }) = self.rejected.first() {
            let all = count(self.rejected.len(), "candidate", "candidates");
            return Err(CliError::Wrong(format!("{all}; first {kernel}, {shape}: {why}")));
        }
        let Some(percent) = percent else { return Ok(()) };
        let behind =
            |row: &&Row| row.pick_over_best.is_none_or(|behind| behind > 1.0 + percent / 100.0);
        let slow: Vec<&Row> = self.shapes.iter().filter(behind).collect();
        let Some(worst) = slow.iter().max_by(|a, b| {
            let behind = |row: &Row| row.pick_over_best.unwrap_or(f64::INFINITY);
            behind(a).total_cmp(&behind(b))
        }) else {
            return Ok(());
        };
        let of = count(self.shapes.len(), "shape", "shapes");
        let (shape, times) = (&worst.tuned.shape, worst.pick_over_best.unwrap_or(f64::INFINITY));
        let what = format!(
            "the kernel that ranks first is more than {percent} % slower on {} of {of}",
            slow.len()
        );
        Err(CliError::TooSlow(format!("{what}; worst {times:.2} times the best, {shape}")))
    }
}

#[cfg(test)]
mod tests {
    use wgpu_bottleneck::tune::TunedKernel;

    use super::*;

    /// Shapes whose picks take this many times the best candidate's time; `None` for a wrong pick.
    fn summary(behind: &[Option<f64>], rejected: Vec<Rejected>) -> Summary {
        let row = |(at, behind): (usize, &Option<f64>)| {
            let kernel = |name: &str, us| TunedKernel { kernel: name.to_owned(), us };
            let pick = behind.map(|behind| kernel("pick", 10.0 * behind));
            let candidates = [kernel("best", 10.0)].into_iter().chain(pick).collect();
            let (shape, rule) = (format!("shape {at}"), "pick".to_owned());
            let tuned = TunedShape { shape, rule, clock: Clock::Gpu, candidates };
            Row { pick_over_best: tuned.behind(), tuned }
        };
        let device = TunedDevice {
            name: String::new(),
            backend: String::new(),
            driver: String::new(),
            runtime_checks: false,
        };
        let (mean_pick_over_best, worst_pick_over_best) = (None, None);
        let shapes = behind.iter().enumerate().map(row).collect();
        Summary {
            device,
            file: String::new(),
            shapes,
            rejected,
            mean_pick_over_best,
            worst_pick_over_best,
        }
    }

    #[test]
    fn a_rule_that_is_too_far_behind_fails_where_it_is_asked() {
        let codes = |behind: &[Option<f64>], percent: Option<f64>| {
            summary(behind, Vec::new())
                .verdict(percent)
                .map_err(|error| (error.exit_code(), error.to_string()))
        };
        let good = [Some(1.0), Some(1.149)];
        assert_eq!((codes(&good, Some(15.0)), codes(&[], Some(0.0))), (Ok(()), Ok(())));
        let slow = [Some(1.0), Some(1.16), Some(1.5)];
        assert_eq!(codes(&slow, None), Ok(()));
        let said = "the kernel that ranks first is more than 15 % slower on 2 of 3 shapes; worst \
            1.50 times the best, shape 2";
        assert_eq!(codes(&slow, Some(15.0)), Err((1, said.to_owned())));
        // A wrong pick ranks after all others.
        assert!(
            codes(&[Some(1.0), None], Some(1e9))
                .is_err_and(|(code, said)| code == 1 && said.ends_with("shape 1"))
        );
    }

    #[test]
    fn wrong_numbers_fail_whatever_was_asked() {
        let rejected =
            Rejected { shape: "shape".to_owned(), kernel: "k".to_owned(), why: "wrong".to_owned() };
        let summary = summary(&[Some(1.0)], vec![rejected]);
        assert!(summary.verdict(None).is_err_and(|error| error.exit_code() == 1));
        let text = summary.text();
        for part in ["shape 0", "1.00", "10.0", "WRONG   k, shape: wrong", "table   "] {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
    }
}
