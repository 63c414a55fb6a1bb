//! Prints verdicts one batch after another, as a table, a JSON array or CSV.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::verdict::{Guess, Meaning, Verdict};
use crate::cli::error::CliError;
use crate::cli::image_files;
use crate::cli::labels::{ASSUMED, Labels};
use crate::cli::output::{self, Cell, Table};

/// The form of the output.
#[derive(Debug)]
enum Form {
    Table(Table),
    /// Contains the number of elements printed so far.
    Json(usize),
    Csv,
}

/// The output while it is being printed.
#[derive(Debug)]
pub struct Rows<'a> {
    form: Form,
    labels: &'a Labels,
    meaning: Meaning,
}

impl<'a> Rows<'a> {
    /// A table, aligned for the names of these files.
    pub fn table(labels: &'a Labels, meaning: Meaning, files: &[PathBuf]) -> Self {
        let number = if meaning == Meaning::OneClass { ">probability" } else { ">score" };
        let names = files.iter().map(|file| name(file).chars().count()).max().unwrap_or(0);
        let numbers = number_text(1.0, meaning).len();
        let table = Table::new(&["image", number, "class"]).widened([names, numbers]);
        Self { form: Form::Table(table), labels, meaning }
    }

    /// A JSON array. Call [`Rows::finish`] to close it, even after an error.
    pub fn json(labels: &'a Labels, meaning: Meaning) -> Result<Self, CliError> {
        output::print("[")?;
        Ok(Self { form: Form::Json(0), labels, meaning })
    }

    /// CSV, with its header.
    pub fn csv(labels: &'a Labels, meaning: Meaning) -> Result<Self, CliError> {
        let number = meaning.name();
        let header = ["picture", "rank", "class", "label", number, "error", "label_source"];
        output::print(&csv([header.map(str::to_owned)])?)?;
        Ok(Self { form: Form::Csv, labels, meaning })
    }

    /// Prints verdicts.
    pub fn add(&mut self, verdicts: &[Verdict]) -> Result<(), CliError> {
        let (labels, meaning) = (self.labels, self.meaning);
        let text = match &mut self.form {
            Form::Table(table) => {
                verdicts.iter().for_each(|verdict| add_rows(table, verdict, labels, meaning));
                table.take()
            }
            Form::Json(elements) => verdicts.iter().fold(String::new(), |text, verdict| {
                let before = if *elements == 0 { "\n" } else { ",\n" };
                *elements += 1;
                text + before + &indented(&as_json(verdict, labels, meaning))
            }),
            Form::Csv => {
                csv(verdicts.iter().flat_map(|verdict| records(verdict, labels, meaning)))?
            }
        };
        output::print(&text)
    }

    /// Prints the end of the output.
    pub fn finish(self) -> Result<(), CliError> {
        match self.form {
            Form::Table(_) if self.labels.source == ASSUMED => output::print(
                "  (class names assumed to be ImageNet-1k's; --labels FILE sets others)\n",
            ),
            Form::Json(0) => output::print("]\n"),
            Form::Json(_) => output::print("\n]\n"),
            Form::Table(_) | Form::Csv => Ok(()),
        }
    }
}

/// A value as an element of an array, indented as in `{:#}`.
fn indented(value: &Value) -> String {
    let lines: Vec<String> = format!("{value:#}").lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}

/// A number of the table.
fn number_text(probability: f64, meaning: Meaning) -> String {
    match meaning {
        Meaning::OneScore => format!("{probability:.4}"),
        Meaning::OneClass | Meaning::ManyClasses => format!("{:.2} %", 100.0 * probability),
    }
}

fn add_rows(table: &mut Table, verdict: &Verdict, labels: &Labels, meaning: Meaning) {
    let name = name(&verdict.file);
    match &verdict.guesses {
        Ok(guesses) => {
            for (rank, Guess { class, probability }) in guesses.iter().enumerate() {
                let name = if rank == 0 { name.as_str() } else { "" };
                let number = number_text(*probability, meaning);
                let label = output::shown(label(labels, *class, meaning).unwrap_or("-"));
                table.row([name.into(), number.into(), (&*label).into()]);
            }
        }
        Err(error) => table.row([name.into(), "-".into(), Cell::bad(error)]),
    }
}

/// The name of a class. The class of a network with one output has a name only if names are set.
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

/// The records of a verdict, one per class.
fn records(verdict: &Verdict, labels: &Labels, meaning: Meaning) -> Vec<[String; 7]> {
    let text = str::to_owned;
    let image = name(&verdict.file);
    let record = |(rank, guess): (usize, &Guess)| {
        [
            image.clone(),
            rank.to_string(),
            guess.class.to_string(),
            text(label(labels, guess.class, meaning).unwrap_or("")),
            guess.probability.to_string(),
            text(""),
            labels.source.clone(),
        ]
    };
    match &verdict.guesses {
        Ok(guesses) => (1..).zip(guesses).map(record).collect(),
        Err(error) => {
            let [rank, class, label, number, source] = [""; 5].map(text);
            vec![[image, rank, class, label, number, error.clone(), source]]
        }
    }
}

/// Records as CSV.
fn csv(records: impl IntoIterator<Item = [String; 7]>) -> Result<String, CliError> {
    let failed = |error: csv::Error| CliError::io("standard output", std::io::Error::other(error));
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in records {
        writer.write_record(&record).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn name(file: &Path) -> String {
    image_files::text(file)
}
