//! `bottleneck classify`: the likeliest classes of pictures.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wgpu_bottleneck::{Backbone, Picture};

use super::each::each;
use super::error::CliError;
use super::labels::Labels;
use super::network_args::ClassifyArgs;
use super::output::{self, Cell, Table};
use super::pictures::{self, Pictures};

/// A class of a picture.
struct Guess {
    class: usize,
    probability: f64,
}

/// A picture and its likeliest classes, or why it has none.
struct Verdict {
    file: PathBuf,
    guesses: Result<Vec<Guess>, String>,
}

/// Runs the command.
pub fn run(args: &ClassifyArgs) -> Result<(), CliError> {
    let files = pictures::find(&args.files)?;
    let weights = args.pictures.network.weights()?;
    let Some(classes) = weights.spec().classes() else {
        let file = args.pictures.network.weights.display();
        return Err(CliError::Usage(format!("{file}: a network without classes; `bottleneck embed` takes such")));
    };
    let labels = Labels::of(args.labels.as_deref(), classes)?;
    let mut backbone = args.pictures.load(&weights, Some(files.len()))?;
    let batch = backbone.network().input_shape().n;

    let mut verdicts: Vec<Verdict> = Vec::new();
    let mut decoded = Pictures::decode(files.clone());
    loop {
        let batch = decoded.batch(batch);
        if batch.is_empty() {
            break;
        }
        let readable: Vec<&Picture> = batch.iter().filter_map(|one| one.picture.as_ref().ok()).collect();
        let mut of_pictures = each(&mut backbone, &readable, Backbone::logits)?.into_iter();
        for one in &batch {
            let guesses = match &one.picture {
                Ok(_) => of_pictures
                    .next()
                    .unwrap_or_else(|| Err("it has no logits".to_owned()))
                    .map(|logits| best(&logits, args.top as usize)),
                // The picture's name stands beside it.
                Err(error) => Err(pictures::without_name(&files[one.index], error)),
            };
            verdicts.push(Verdict { file: files[one.index].clone(), guesses });
        }
    }
    print(args, &verdicts, &labels)?;
    let failed = verdicts.iter().filter(|verdict| verdict.guesses.is_err()).count();
    if failed == 0 {
        Ok(())
    } else {
        Err(CliError::Incomplete(format!("{failed} of {} pictures could not be used", verdicts.len())))
    }
}

/// The likeliest classes by softmax of finite logits, in f64; of equal ones the first.
fn best(logits: &[f32], top: usize) -> Vec<Guess> {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |largest, &logit| largest.max(f64::from(logit)));
    let powers: Vec<f64> = logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    let guess = |(class, power): (usize, f64)| Guess { class, probability: power / sum };
    let mut guesses: Vec<Guess> = powers.into_iter().enumerate().map(guess).collect();
    guesses.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    guesses.truncate(top);
    guesses
}

fn print(args: &ClassifyArgs, verdicts: &[Verdict], labels: &Labels) -> Result<(), CliError> {
    if args.json {
        return output::json(&verdicts.iter().map(|verdict| as_json(verdict, labels)).collect());
    }
    if args.csv {
        return output::print(&as_csv(verdicts, labels)?);
    }
    let mut table = Table::new(&["picture", ">probability", "class"]);
    for verdict in verdicts {
        let name = name(&verdict.file);
        match &verdict.guesses {
            Ok(guesses) => {
                for (rank, Guess { class, probability }) in guesses.iter().enumerate() {
                    let name = if rank == 0 { name.as_str() } else { "" };
                    table.row([
                        name.into(),
                        format!("{:.2} %", 100.0 * probability).into(),
                        labels.name(*class).into(),
                    ]);
                }
            }
            Err(error) => table.row([name.into(), "-".into(), Cell::bad(error)]),
        }
    }
    output::print(&table.render())
}

fn as_json(verdict: &Verdict, labels: &Labels) -> Value {
    let picture = name(&verdict.file);
    match &verdict.guesses {
        Ok(guesses) => {
            let class = |&Guess { class, probability }: &Guess| json!({ "class": class, "label": labels.name(class), "probability": probability });
            json!({ "picture": picture, "classes": guesses.iter().map(class).collect::<Value>() })
        }
        Err(error) => json!({ "picture": picture, "error": error }),
    }
}

/// A line per class, or with the error.
fn as_csv(verdicts: &[Verdict], labels: &Labels) -> Result<String, CliError> {
    let failed = |error: csv::Error| CliError::io("standard output", std::io::Error::other(error));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["picture", "rank", "class", "label", "probability", "error"]).map_err(failed)?;
    for verdict in verdicts {
        let picture = name(&verdict.file);
        match &verdict.guesses {
            Ok(guesses) => {
                for (rank, guess) in (1..).zip(guesses) {
                    let (rank, class): (usize, _) = (rank, guess.class);
                    let numbers = [rank.to_string(), class.to_string(), guess.probability.to_string()];
                    let record = [&picture, &numbers[0], &numbers[1], labels.name(class), &numbers[2], ""];
                    writer.write_record(record).map_err(failed)?;
                }
            }
            Err(error) => writer.write_record([&picture, "", "", "", "", error]).map_err(failed)?,
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
        let guesses = best(&[1000.0, 999.0, -1000.0, 1000.0], 3);
        let classes: Vec<usize> = guesses.iter().map(|guess| guess.class).collect();
        assert_eq!(classes, [0, 3, 1]);
        let e = (-1.0_f64).exp();
        assert!((guesses[2].probability - e / (2.0 + e)).abs() < 1e-15);
    }
}
