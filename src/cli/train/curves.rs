//! The curves of a run, loss and accuracy over the epochs, as SVG.

use std::fmt::Write as _;

use super::log::Epoch;

/// A line of a plot.
struct Curve {
    name: &'static str,
    colour: &'static str,
    points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 40.0;

/// Both plots, one above the other.
pub fn draw(epochs: &[Epoch]) -> String {
    let of = |value: &dyn Fn(&Epoch) -> Option<f64>| -> Vec<(f64, f64)> {
        epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64, value(epoch)?))).collect()
    };
    let losses = [
        Curve { name: "training", colour: "#1f6feb", points: of(&|epoch| Some(epoch.loss)) },
        Curve { name: "validation", colour: "#d1570b", points: of(&|epoch| epoch.validation_loss) },
    ];
    let accuracies = [
        Curve {
            name: "training",
            colour: "#1f6feb",
            points: of(&|epoch| Some(100.0 * epoch.accuracy)),
        },
        Curve {
            name: "validation",
            colour: "#d1570b",
            points: of(&|epoch| epoch.validation_accuracy.map(|share| 100.0 * share)),
        },
    ];
    let last = epochs.last().map_or(1.0, |epoch| epoch.epoch as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" \
        font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        2.0 * HEIGHT
    );
    plot(&mut svg, 0.0, "loss", last, &losses);
    plot(&mut svg, HEIGHT, "accuracy in %", last, &accuracies);
    svg.push_str("</svg>\n");
    svg
}

/// One plot whose upper edge is at `top`. Writing to a String cannot fail.
#[expect(clippy::too_many_lines, reason = "one image, drawn from top to bottom")]
fn plot(svg: &mut String, top: f64, title: &str, last: f64, curves: &[Curve]) {
    let values = || {
        curves
            .iter()
            .flat_map(|curve| &curve.points)
            .map(|point| point.1)
            .filter(|value| value.is_finite())
    };
    let (low, high) =
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let (low, high) = if low < high { (low, high) } else { (0.0, 1.0) };
    let step = tick(high - low);
    let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
    let x = |epoch: f64| LEFT + (epoch - 1.0) / (last - 1.0).max(1.0) * (WIDTH - LEFT - RIGHT);
    let y =
        |value: f64| top + HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM);
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{title}</text>",
        top + 24.0
    );
    let ticks = ((high - low) / step).round() as usize;
    for at in 0..=ticks {
        let value = low + at as f64 * step;
        let line = y(value);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{line:.1}\" y2=\"{line:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            line + 4.0,
            trimmed(value)
        );
    }
    let every = tick(last).max(1.0).round();
    let mut epoch = every;
    while epoch <= last {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{epoch}</text>",
            x(epoch),
            top + HEIGHT - BOTTOM + 18.0
        );
        epoch += every;
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">epoch</text>",
        WIDTH - RIGHT,
        top + HEIGHT - BOTTOM + 34.0
    );
    for (at, curve) in curves.iter().filter(|curve| !curve.points.is_empty()).enumerate() {
        let finite = curve.points.iter().filter(|point| point.1.is_finite());
        let points: Vec<String> =
            finite.map(|&(epoch, value)| format!("{:.1},{:.1}", x(epoch), y(value))).collect();
        let (colour, name) = (curve.colour, curve.name);
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>",
            points.join(" "),
            WIDTH - RIGHT - 100.0 * at as f64,
            top + 24.0
        );
    }
}

/// A round distance between ticks, about a sixth of a range.
fn tick(range: f64) -> f64 {
    let rough = (range / 6.0).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|times| times * power)
        .find(|&step| step >= rough)
        .unwrap_or(power * 10.0)
}

/// A number without trailing zeros.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!([6.0, 0.07, 100.0, 1.3].map(tick), [1.0, 0.02, 20.0, 0.5]);
        assert_eq!([0.5, 2.0, -0.0, 0.0625].map(trimmed), ["0.5", "2", "0", "0.0625"]);
    }

    #[test]
    fn every_epoch_is_drawn_and_nothing_that_is_no_number() {
        let epoch = |epoch: u64, loss: f64| Epoch {
            epoch,
            steps: epoch,
            rate: 0.1,
            loss,
            accuracy: 0.5,
            validation_loss: None,
            validation_accuracy: None,
            images_per_second: 1.0,
        };
        let svg = draw(&[epoch(1, 2.0), epoch(2, f64::NAN), epoch(3, 1.0)]);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"));
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(draw(&[]).contains("</svg>"));
    }
}
