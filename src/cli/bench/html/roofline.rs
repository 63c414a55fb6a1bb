//! The roofline plot: operations per second of every workload and step over its operations per
//! byte, below the ceilings of the device. Both axes are logarithmic.

use maud::{Markup, html};
use wgpu_bottleneck::tensor::DType;

use super::super::parts::StepReport;
use super::super::report::{Report, WorkloadReport};
use super::notation::{colour, short};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 460.0;
/// Left, right, top and bottom of the plot's inside.
const INSIDE: [f64; 4] = [58.0, WIDTH - 14.0, 14.0, HEIGHT - 42.0];
/// The least distance of names: the height of a line.
const LINE: f64 = 15.0;
/// The approximate width of a name.
const NAME: f64 = 80.0;
/// With more workloads, names would hide the plot and are left out.
const MOST_NAMES: usize = 12;

/// The plot with its caption.
pub fn figure(report: &Report) -> Markup {
    let plot = Plot::new(report);
    html! {
        figure {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label="roofline plot" {
                (plot.grid())
                @for (index, workload) in report.workloads.iter().enumerate() {
                    (plot.steps(index, workload))
                }
                @for (index, workload) in report.workloads.iter().enumerate() {
                    (plot.workload(index, workload))
                }
                @if !report.quick { (plot.roof()) }
                @if report.workloads.len() <= MOST_NAMES { (plot.names(&report.workloads)) }
            }
            figcaption {
                "Large dots are workloads, small ones their steps"
                @if !report.quick {
                    ". The lines are the limits of the device's arithmetic and memory. Steps that \
                    stay in caches or save operations may be above them"
                }
                ". Point at a dot for its numbers."
            }
        }
    }
}

/// A logarithmic axis.
struct Axis {
    values: [f64; 2],
    pixels: [f64; 2],
}

impl Axis {
    /// An axis with room for some values, all above zero.
    fn new(values: impl Iterator<Item = f64>, pixels: [f64; 2]) -> Self {
        let (least, most) = values
            .filter(|value| value.is_finite() && *value > 0.0)
            .fold((f64::INFINITY, 0.0f64), |(least, most), value| {
                (least.min(value), most.max(value))
            });
        let values = if least <= most { [least / 1.6, most * 1.6] } else { [0.1, 10.0] };
        Self { values, pixels }
    }

    fn at(&self, value: f64) -> f64 {
        let [low, high] = self.values.map(f64::ln);
        let [from, to] = self.pixels;
        from + (value.ln() - low) / (high - low) * (to - from)
    }

    /// Round numbers: 1, 2, 5, 10, ... or, on a long axis, 1, 10, 100, ...
    fn ticks(&self) -> Vec<f64> {
        let [low, high] = self.values;
        let steps: &[f64] = if high / low < 300.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let all =
            decades.flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)));
        all.filter(|tick| (low..=high).contains(tick)).collect()
    }
}

struct Plot<'a> {
    report: &'a Report,
    x: Axis,
    y: Axis,
}

impl<'a> Plot<'a> {
    fn new(report: &'a Report) -> Self {
        let [left, right, top, bottom] = INSIDE;
        let points = || {
            let steps = report.workloads.iter().flat_map(WorkloadReport::steps).filter_map(point);
            steps.chain(
                report.workloads.iter().map(|workload| (workload.intensity, workload.gflops)),
            )
        };
        let (arithmetic, _) = arithmetic(report);
        let ridge = arithmetic / report.ceilings.copy_gbps;
        // Room for the roof, where there is one.
        let [xs, ys] = if report.quick {
            [&[][..]; 2]
        } else {
            [&[ridge / 2.0, ridge * 4.0][..], &[arithmetic]]
        };
        let x = Axis::new(points().map(|(x, _)| x).chain(xs.iter().copied()), [left, right]);
        let y = Axis::new(points().map(|(_, y)| y).chain(ys.iter().copied()), [bottom, top]);
        Self { report, x, y }
    }

    fn grid(&self) -> Markup {
        let [left, right, top, bottom] = INSIDE;
        html! {
            @for (tick, x) in self.x.ticks().into_iter().map(|tick| (tick, px(self.x.at(tick)))) {
                line.grid x1=(x) y1=(top) x2=(x) y2=(bottom) {}
                text x=(x) y=(bottom + 18.0) text-anchor="middle" { (tick) }
            }
            @for (tick, y) in self.y.ticks().into_iter().map(|tick| (tick, px(self.y.at(tick)))) {
                line.grid x1=(left) y1=(y) x2=(right) y2=(y) {}
                text x=(left - 8.0) y=(y) dy="4" text-anchor="end" { (tick) }
            }
            text x=(right) y=(HEIGHT - 6.0) text-anchor="end" { "FLOP per byte" }
            text x=(left + 6.0) y=(top + 12.0) { "GFLOP/s" }
        }
    }

    /// The ceilings: traffic, which allows more operations the more there are per byte, then
    /// arithmetic.
    fn roof(&self) -> Markup {
        let ((arithmetic, what), copy) = (arithmetic(self.report), self.report.ceilings.copy_gbps);
        let ([first, last], lowest) = (self.x.values, self.y.values[0]);
        let ridge = arithmetic / copy;
        // Where the line comes in: from the left, or from below.
        let start = first.max(lowest / copy).min(ridge);
        let corner = |x: f64, y: f64| (self.x.at(x), self.y.at(y));
        let (from, top, to) =
            (corner(start, start * copy), corner(ridge, arithmetic), corner(last, arithmetic));
        let angle = (top.1 - from.1).atan2(top.0 - from.0).to_degrees();
        let middle = ((from.0 + top.0) / 2.0, (from.1 + top.1) / 2.0);
        let points = [from, top, to].map(|(x, y)| format!("{x:.1},{y:.1}")).join(" ");
        let turn = format!("translate({:.1} {:.1}) rotate({angle:.1})", middle.0, middle.1);
        html! {
            polyline.roof points=(points) {}
            text.roof-label x=(px(to.0 - 6.0)) y=(px(to.1 - 7.0)) text-anchor="end" {
                (short(arithmetic)) " GFLOP/s of " (what)
            }
            text.roof-label transform=(turn) y="-7" text-anchor="middle" {
                (short(copy)) " GB/s of copying"
            }
        }
    }

    fn steps(&self, index: usize, workload: &WorkloadReport) -> Markup {
        html! {
            g class=(colour(index)) {
                @for (step, at) in workload.steps().filter_map(|step| Some((step, point(step)?))) {
                    (self.dot("step", 3.5, at, &format!("{} {}", workload.name, step.name)))
                }
            }
        }
    }

    fn workload(&self, index: usize, workload: &WorkloadReport) -> Markup {
        let title = format!("{}: {}", workload.name, workload.what);
        html! {
            g class=(colour(index)) {
                @if workload.intensity > 0.0 {
                    (self.dot("workload", 7.0, (workload.intensity, workload.gflops), &title))
                }
            }
        }
    }

    fn dot(&self, class: &str, radius: f64, (x, y): (f64, f64), title: &str) -> Markup {
        html! {
            circle class=(class) cx=(px(self.x.at(x))) cy=(px(self.y.at(y))) r=(radius) {
                title { (title) "\n" (short(y)) " GFLOP/s, " (short(x)) " FLOP per byte" }
            }
        }
    }

    /// The names next to their dots, from the highest on, each moved down until it overlaps no
    /// other.
    fn names(&self, workloads: &[WorkloadReport]) -> Markup {
        let drawn = workloads.iter().filter(|workload| workload.intensity > 0.0);
        let mut wanted: Vec<(f64, f64, &str)> = drawn
            .map(|workload| {
                (
                    self.x.at(workload.intensity) + 11.0,
                    self.y.at(workload.gflops) + 4.0,
                    &*workload.name,
                )
            })
            .collect();
        wanted.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut placed: Vec<(f64, f64, &str)> = Vec::new();
        for (x, mut y, name) in wanted {
            // From the highest on, so that one pass is enough.
            for (_, other, _) in placed.iter().filter(|(other, ..)| (other - x).abs() < NAME) {
                if (y - other).abs() < LINE {
                    y = other + LINE;
                }
            }
            placed.push((x, y, name));
        }
        html! { @for (x, y, name) in placed { text.name x=(px(x)) y=(px(y)) { (name) } } }
    }
}

/// The ceiling of arithmetic, and its name: that of f16 if a step computes in f16.
fn arithmetic(report: &Report) -> (f64, &'static str) {
    let half = report.workloads.iter().flat_map(WorkloadReport::steps).any(|step| step.half);
    let gflops = report.ceilings.arithmetic_gflops(if half { DType::F16 } else { DType::F32 });
    (gflops, if gflops > report.ceilings.fma_gflops { "matrix units" } else { "multiply-adds" })
}

/// Operations per byte and 10^9 operations per second; `None` for a step without operations or
/// time.
fn point(step: &StepReport) -> Option<(f64, f64)> {
    let rate = step.cost.giga_a_second(step.cost.flops).filter(|&rate| rate > 0.0)?;
    Some((step.cost.flops as f64 / step.cost.bytes.max(1) as f64, rate))
}

/// A tenth of a pixel is enough.
fn px(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_room_for_its_values_and_round_ticks() {
        let axis = Axis::new([2.0, 40.0, f64::NAN, 0.0].into_iter(), [100.0, 0.0]);
        assert!(axis.at(2.0) < 100.0 && axis.at(40.0) > 0.0 && axis.at(2.0) > axis.at(3.0));
        assert_eq!(axis.ticks(), [2.0, 5.0, 10.0, 20.0, 50.0]);
        let long = Axis::new([1.0, 1e4].into_iter(), [0.0, 1.0]);
        assert_eq!(long.ticks(), [1.0, 10.0, 100.0, 1e3, 1e4]);
        assert!(Axis::new(std::iter::empty(), [0.0, 1.0]).at(1.0) > 0.0);
    }
}
