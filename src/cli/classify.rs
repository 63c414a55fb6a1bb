//! `bottleneck classify`: the most likely classes of images.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wgpu_bottleneck::{Image, ImagePipeline, ModelConfig};

use super::each::each;
use super::error::CliError;
use super::images::{self, Images};
use super::labels::{ASSUMED, Labels};
use super::network_args::ClassifyArgs;
use super::output::{self, Cell, Table};

/// The meaning of the outputs of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// One of several classes: a softmax.
    OneClass,
    /// Several labels at once (Hugging Face's multi-label networks): one sigmoid per class.
    ManyClasses,
    /// A network with one output: its sigmoid.
    OneScore,
}

impl Meaning {
    fn of(classes: usize, config: &ModelConfig) -> Self {
        match classes {
            1 => Self::OneScore,
            _ if config.is_multi_label() => Self::ManyClasses,
            _ => Self::OneClass,
        }
    }

    /// The name of the number: probabilities sum to 1, scores do not.
    const fn name(self) -> &'static str {
        match self {
            Self::OneClass => "probability",
            Self::ManyClasses | Self::OneScore => "score",
        }
    }
}

/// A class of an image, and its probability or score.
struct Guess {
    class: usize,
    probability: f64,
}

/// An image and its most likely classes, or its error.
struct Verdict {
    file: PathBuf,
    guesses: Result<Vec<Guess>, String>,
}

/// Runs the command.
pub fn run(args: &ClassifyArgs) -> Result<(), CliError> {
    let files = images::find(&args.files)?;
    let weights = args.images.network.weights()?;
    let Some(classes) = weights.spec().classes() else {
        let file = args.images.network.source.weights.display();
        return Err(CliError::Usage(format!(
            "{file}: the network has no classes; use `bottleneck embed`"
        )));
    };
    let labels = Labels::of(args.labels.as_deref(), weights.config(), classes)?;
    let meaning = Meaning::of(classes, weights.config());
    let mut pipeline = args.images.load(&weights, Some(files.len()))?;
    let batch = pipeline.network().input_shape().n;

    let mut verdicts: Vec<Verdict> = Vec::new();
    let mut decoded = Images::decode(files.clone());
    loop {
        let batch = decoded.batch(batch);
        if batch.is_empty() {
            break;
        }
        let readable: Vec<&Image> =
            batch.iter().filter_map(|one| one.image.as_ref().ok()).collect();
        let mut of_images = each(&mut pipeline, &readable, &ImagePipeline::logits)?.into_iter();
        for one in &batch {
            let guesses = match &one.image {
                Ok(_) => of_images
                    .next()
                    .unwrap_or_else(|| Err("no logits were computed".to_owned()))
                    .map(|logits| best(&logits, args.top as usize, meaning)),
                // The image's name stands beside it.
                Err(error) => Err(images::without_name(&files[one.index], error)),
            };
            verdicts.push(Verdict { file: files[one.index].clone(), guesses });
        }
    }
    print(args, &verdicts, &labels, meaning)?;
    let failed = verdicts.iter().filter(|verdict| verdict.guesses.is_err()).count();
    if failed == 0 {
        Ok(())
    } else {
        let images = output::count(verdicts.len(), "image", "images");
        Err(CliError::Incomplete(format!("{failed} of {images} failed")))
    }
}

/// The most likely classes of finite logits, computed in f64. Ties go to the lower class.
fn best(logits: &[f32], top: usize, meaning: Meaning) -> Vec<Guess> {
    let softmax = || {
        let largest =
            logits.iter().fold(f64::NEG_INFINITY, |largest, &logit| largest.max(f64::from(logit)));
        let powers: Vec<f64> =
            logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.into_iter().map(|power| power / sum).collect::<Vec<_>>()
    };
    let sigmoid = |&logit: &f32| 1.0 / (1.0 + (-f64::from(logit)).exp());
    let numbers: Vec<f64> = match meaning {
        Meaning::OneClass => softmax(),
        Meaning::ManyClasses | Meaning::OneScore => logits.iter().map(sigmoid).collect(),
    };
    let guess = |(class, probability): (usize, f64)| Guess { class, probability };
    let mut guesses: Vec<Guess> = numbers.into_iter().enumerate().map(guess).collect();
    guesses.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    guesses.truncate(top);
    guesses
}

fn print(
    args: &ClassifyArgs,
    verdicts: &[Verdict],
    labels: &Labels,
    meaning: Meaning,
) -> Result<(), CliError> {
    if args.json {
        return output::json(
            &verdicts.iter().map(|verdict| as_json(verdict, labels, meaning)).collect(),
        );
    }
    if args.csv {
        return output::print(&as_csv(verdicts, labels, meaning)?);
    }
    let number = if meaning == Meaning::OneClass { ">probability" } else { ">score" };
    let mut table = Table::new(&["image", number, "class"]);
    for verdict in verdicts {
        let name = name(&verdict.file);
        match &verdict.guesses {
            Ok(guesses) => {
                for (rank, Guess { class, probability }) in guesses.iter().enumerate() {
                    let name = if rank == 0 { name.as_str() } else { "" };
                    let number = match meaning {
                        Meaning::OneScore => format!("{probability:.4}"),
                        Meaning::OneClass | Meaning::ManyClasses => {
                            format!("{:.2} %", 100.0 * probability)
                        }
                    };
                    let label = output::shown(label(labels, *class, meaning).unwrap_or("-"));
                    table.row([name.into(), number.into(), (&*label).into()]);
                }
            }
            Err(error) => table.row([name.into(), "-".into(), Cell::bad(error)]),
        }
    }
    output::print(&table.render())?;
    if labels.source == ASSUMED {
        output::print("  (class names assumed to be ImageNet-1k's; --labels FILE sets others)\n")?;
    }
    Ok(())
}

/// The name of a class. A network with one output has a name only if one was given.
fn label(labels: &Labels, class: usize, meaning: Meaning) -> Option<&str> {
    (meaning != Meaning::OneScore || labels.are_names()).then(|| labels.name(class))
}

fn as_json(verdict: &Verdict, labels: &Labels, meaning: Meaning) -> Value {
    let image = name(&verdict.file);
    let source = &labels.source;
    match (&verdict.guesses, meaning) {
        (Err(error), _) => json!({ "picture": image, "error": error }),
        (Ok(guesses), Meaning::OneScore) => {
            let score = guesses.first().map(|guess| guess.probability);
            json!({
                "picture": image,
                "score": score,
                "label": label(labels, 0, meaning),
                "label_source": source,
            })
        }
        (Ok(guesses), _) => {
            let class = |&Guess { class, probability }: &Guess| {
                json!({
                    "class": class,
                    "label": labels.name(class),
                    meaning.name(): probability,
                })
            };
            let classes: Value = guesses.iter().map(class).collect();
            json!({ "picture": image, "classes": classes, "label_source": source })
        }
    }
}

fn as_csv(verdicts: &[Verdict], labels: &Labels, meaning: Meaning) -> Result<String, CliError> {
    let failed = |error: csv::Error| CliError::io("standard output", std::io::Error::other(error));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = ["picture", "rank", "class", "label", meaning.name(), "error", "label_source"];
    writer.write_record(header).map_err(failed)?;
    for verdict in verdicts {
        let image = name(&verdict.file);
        match &verdict.guesses {
            Ok(guesses) => {
                for (rank, guess) in (1..).zip(guesses) {
                    let (rank, class): (usize, _) = (rank, guess.class);
                    let numbers =
                        [rank.to_string(), class.to_string(), guess.probability.to_string()];
                    let name = label(labels, class, meaning).unwrap_or("");
                    let source = &labels.source;
                    let record = [&image, &numbers[0], &numbers[1], name, &numbers[2], "", source];
                    writer.write_record(record).map_err(failed)?;
                }
            }
            Err(error) => {
                writer.write_record([&image, "", "", "", "", error, ""]).map_err(failed)?
            }
        }
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn name(file: &Path) -> String {
    file.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_is_exact_where_f32_is_not() {
        let guesses = best(&[1000.0, 999.0, -1000.0, 1000.0], 3, Meaning::OneClass);
        let classes: Vec<usize> = guesses.iter().map(|guess| guess.class).collect();
        assert_eq!(classes, [0, 3, 1]);
        let e = (-1.0_f64).exp();
        assert!((guesses[2].probability - e / (2.0 + e)).abs() < 1e-15);
    }

    #[test]
    fn sigmoids_stand_alone() {
        let score = |logit: f32| best(&[logit], 5, Meaning::OneScore)[0].probability;
        assert_eq!((score(0.0), score(1000.0), score(-1000.0)), (0.5, 1.0, 0.0));
        assert!((score(-2.0) - 0.119_202_922_022_117_56).abs() < 1e-15);
        let guesses = best(&[-1.0, 3.0], 5, Meaning::ManyClasses);
        assert_eq!((guesses[0].class, guesses[1].class), (1, 0));
        assert!(guesses[0].probability + guesses[1].probability > 1.2);
    }
}
