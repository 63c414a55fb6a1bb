//! The style of text: line lengths, and phrases that documentation and messages do not use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};

use crate::common::Outcome;

/// Columns of a line of code, comments or Markdown prose.
const COLUMNS: usize = 100;

/// Files and folders whose lines are counted, below the repository's root.
const WRITTEN: &[&str] = &[
    ".ci",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.toml",
    "README.md",
    "SECURITY.md",
    "benches",
    "build.rs",
    "docs",
    "examples",
    "fuzz",
    "scripts",
    "shaders",
    "src",
    "tests",
];

/// Folders of generated or installed files.
const GENERATED: &[&str] = &[
    "benches/results",
    "benches/peers/.venv",
    "benches/peers/burn/target",
    "fuzz/artifacts",
    "fuzz/corpus",
    "fuzz/coverage",
    "fuzz/target",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files at or below a path.
fn files(path: PathBuf, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if GENERATED.iter().any(|generated| path == root().join(generated)) {
        return Ok(());
    }
    if !path.is_dir() {
        found.push(path);
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path)? {
        entries.push(entry?.path());
    }
    entries.sort();
    entries.into_iter().try_for_each(|entry| files(entry, found))
}

/// Whether a file is code: by its extension, or a script by its first line.
fn is_code(path: &Path, text: &str) -> bool {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some(extension) => ["rs", "wgsl", "py", "sh", "toml", "css"].contains(&extension),
        None => text.starts_with("#!"),
    }
}

/// The long lines of Markdown prose: tables, code and lines that no space breaks may be longer.
fn long_prose(text: &str) -> Vec<usize> {
    let (mut long, mut in_code) = (Vec::new(), false);
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        in_code ^= start.starts_with("```");
        let breaks = start.trim_start_matches(['-', '*', '#', '>', ' ']).contains(' ');
        if !in_code && !start.starts_with('|') && breaks && line.chars().count() > COLUMNS {
            long.push(index + 1);
        }
    }
    long
}

#[test]
fn no_line_is_over_100_columns() -> Outcome {
    let mut found = Vec::new();
    for path in WRITTEN {
        files(root().join(path), &mut found)?;
    }
    let (mut counted, mut long) = (0, Vec::new());
    for path in found {
        // Weights, images and other data are not text.
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let lines: Vec<usize> = if path.extension().is_some_and(|extension| extension == "md") {
            long_prose(&text)
        } else if is_code(&path, &text) {
            let is_long = |(index, line): (usize, &str)| {
                (line.chars().count() > COLUMNS).then_some(index + 1)
            };
            text.lines().enumerate().filter_map(is_long).collect()
        } else {
            continue;
        };
        counted += 1;
        let short = path.strip_prefix(root())?.display().to_string();
        long.extend(lines.into_iter().map(|line| format!("{short}:{line}")));
    }
    assert!(counted > 400, "counted only {counted} files");
    assert!(long.is_empty(), "over {COLUMNS} columns:\n{}", long.join("\n"));
    Ok(())
}

/// The values of the string literals of Rust code.
fn literals(tokens: TokenStream, found: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => literals(group.stream(), found),
            TokenTree::Literal(literal) => {
                if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                    found.push(text.value());
                }
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}

/// The doc comments of Rust code, a run of lines each.
fn doc_comments(text: &str) -> Vec<String> {
    let (mut comments, mut in_comment) = (Vec::<String>::new(), false);
    for line in text.lines() {
        let line = line.trim_start();
        match line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) {
            Some(line) if in_comment => {
                comments.last_mut().into_iter().for_each(|text| *text += line)
            }
            Some(line) => comments.push(line.to_owned()),
            None => {}
        }
        in_comment = line.starts_with("///") || line.starts_with("//!");
    }
    comments
}

/// Text without line breaks and double spaces, in lower case.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// The phrases of a list that a text contains as whole words.
fn contained<'a>(text: &str, phrases: &'a [(String, String)]) -> Vec<&'a (String, String)> {
    let text = plain(text);
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let contains = |phrase: &str| {
        text.match_indices(phrase).any(|(at, _)| {
            let (before, after) = (&text[..at], &text[at + phrase.len()..]);
            let open = phrase.chars().last().is_some_and(char::is_alphanumeric);
            !is_word(before.chars().next_back()) && (!open || !is_word(after.chars().next()))
        })
    };
    phrases.iter().filter(|(phrase, _)| contains(phrase)).collect()
}

fn phrases() -> Vec<(String, String)> {
    let lines = include_str!("phrases.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('\t'))
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect()
}

#[test]
fn texts_have_no_phrase_of_the_list() -> Outcome {
    let (phrases, mut wrong, mut counted) = (phrases(), Vec::new(), 0);
    let mut found = Vec::new();
    for path in
        ["src", "docs", "README.md", "examples/README.md", "benches/README.md", "CONTRIBUTING.md"]
    {
        files(root().join(path), &mut found)?;
    }
    for path in found {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let texts = match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => {
                let mut texts = doc_comments(&text);
                literals(
                    text.parse().map_err(|error| format!("{}: {error}", path.display()))?,
                    &mut texts,
                );
                texts
            }
            Some("md") => text.split("\n\n").map(str::to_owned).collect(),
            _ => continue,
        };
        counted += texts.len();
        for (phrase, better) in texts.iter().flat_map(|text| contained(text, &phrases)) {
            let short = path.strip_prefix(root())?.display();
            wrong.push(format!("{short}: \"{phrase}\" (better: {better})"));
        }
    }
    assert!(counted > 3000, "searched only {counted} texts");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn phrases_are_found_as_words() {
    let phrases = phrases();
    let found = |text: &str| contained(text, &phrases).len();
    assert_eq!(found("Its value is\n   of no account."), 1);
    assert_eq!(found("There is nonetheless a value, for whom the nonet is played."), 0);
    assert_eq!(long_prose("| a table\n```\ncode\n```\nhttps://example.org\n"), Vec::<usize>::new());
    assert_eq!(long_prose(&format!("{} word", "a".repeat(COLUMNS))), [1]);
}

/// Old identifiers, with the new ones (CHANGELOG.md has the table).
const RENAMED: &[(&str, &str)] = &[
    ("Model", "BlockChain"),
    ("Backbone", "ImagePipeline"),
    ("Element", "DType"),
    ("element", "dtype"),
    ("output_element", "output_dtype"),
    ("TrainedBlock", "BlockTrainer"),
    ("TrainedNetwork", "Trainer"),
    ("TrainedBatch", "BatchMetrics"),
    ("TrainedLayer", "PlannedLayer"),
    ("TrainedLinear", "PlannedLinear"),
    ("TrainedNorm", "PlannedNorm"),
    ("TrainedParameter", "PlannedParameter"),
    ("TrainableBlock", "BlockState"),
    ("TrainingSetup", "TrainingOptions"),
    ("BlockTraining", "BlockTrainingPlan"),
    ("NetworkTraining", "NetworkTrainingPlan"),
    ("Carry", "Update"),
    ("Placement", "Location"),
    ("Places", "MemoryPlan"),
    ("record_in_parts", "record_micro_batches"),
    ("bind_beside", "bind_shared"),
    ("compile_beside", "compile_while"),
    ("beside_weights", "without_weights"),
    ("is_beside", "is_auxiliary"),
    ("cols", "cols_per_thread"),
    ("Balance", "Pow2Scale"),
    ("Picture", "Image"),
    ("picture", "image"),
    ("pictures", "images"),
    ("Piece", "RowRun"),
];

/// Old identifiers that also have an ordinary meaning, with the folders where they are old.
const RENAMED_IN: &[(&str, &str, &[&str])] = &[
    ("given", "variables", &["plan", "engine", "gpu", "network/training"]),
    ("give", "write", &["plan", "engine", "gpu", "network"]),
    ("kept", "fetches", &["plan"]),
    ("carried", "updates", &["plan", "engine", "gpu", "network"]),
    ("places", "locations", &["plan"]),
    ("elements", "dtypes", &["kernel", "plan", "selftest"]),
    ("products", "gemm_batch", &["kernel", "plan", "gpu", "network"]),
    ("parts", "micro_batches", &["engine"]),
    ("cut", "tiling", &["engine", "plan"]),
    ("lines", "rows", &["engine"]),
    ("beside", "auxiliary", &["kernel", "plan", "gpu", "engine", "weights"]),
    ("slices", "workgroup_y", &["kernel/candidates.rs", "kernel/tile.rs", "plan", "tune"]),
    ("cols", "cols_per_thread", &["kernel", "plan", "selftest", "tune"]),
    ("stages", "dispatches", &["kernel", "plan", "gpu", "selftest", "tune"]),
    ("fresh", "transforms_weights_each_run", &["plan", "gpu", "selftest"]),
    ("Launch", "Pass", &["gpu/preprocess"]),
    ("Planner", "TrainingPlanner", &["network"]),
];

/// Old names of files, without extension.
const RENAMED_FILES: &[&str] = &[
    "backbone",
    "balance",
    "cut",
    "lifetime",
    "near",
    "picture",
    "pictures",
    "places",
    "spread",
    "stages",
    "trainable",
    "trained_block",
    "trained_network",
];

fn identifiers(tokens: TokenStream, found: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => identifiers(group.stream(), found),
            TokenTree::Ident(name) => {
                found.insert(name.to_string());
            }
            TokenTree::Literal(_) | TokenTree::Punct(_) => {}
        }
    }
}

#[test]
fn no_identifier_has_an_old_name() -> Outcome {
    let (mut found, mut all, mut wrong) = (Vec::new(), BTreeSet::new(), Vec::new());
    files(root().join("src"), &mut found)?;
    for path in found {
        let name = path.strip_prefix(root().join("src"))?.to_owned();
        let stem = name.file_stem().unwrap_or_default().to_string_lossy();
        if RENAMED_FILES.contains(&&*stem) {
            wrong.push(format!("{}: an old file name", name.display()));
        }
        if name.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let mut names = BTreeSet::new();
        identifiers(std::fs::read_to_string(&path)?.parse()?, &mut names);
        let here = RENAMED_IN
            .iter()
            .filter(|(.., folders)| folders.iter().any(|folder| name.starts_with(folder)))
            .map(|(old, new, _)| (*old, *new));
        for (old, new) in RENAMED.iter().copied().chain(here) {
            if names.contains(old) {
                wrong.push(format!("{}: {old} is called {new} now", name.display()));
            }
        }
        all.append(&mut names);
    }
    for new in RENAMED.iter().map(|(_, new)| new).chain(RENAMED_IN.iter().map(|(_, new, _)| new)) {
        assert!(all.contains(*new), "{new} is nowhere in src/");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The number of unsafe blocks and functions in a file of src/, by its path.
fn unsafe_code() -> Result<BTreeMap<String, usize>, Box<dyn std::error::Error>> {
    let mut sources = Vec::new();
    files(root().join("src"), &mut sources)?;
    let mut found = BTreeMap::new();
    for path in sources.iter().filter(|path| path.extension().is_some_and(|it| it == "rs")) {
        let text = std::fs::read_to_string(path)?;
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let count =
            code.map(|line| line.matches("unsafe {").count() + line.matches("unsafe fn ").count());
        match count.sum() {
            0 => {}
            count => {
                let name = path.strip_prefix(root())?.to_string_lossy().replace('\\', "/");
                found.insert(name, count);
            }
        }
    }
    Ok(found)
}

#[test]
fn security_lists_every_unsafe_block() -> Outcome {
    let text = std::fs::read_to_string(root().join("SECURITY.md"))?;
    let mut listed = BTreeMap::new();
    for row in text.lines().filter_map(|line| line.strip_prefix("| `src/")) {
        let file = row.split('`').next().unwrap_or_default();
        *listed.entry(format!("src/{file}")).or_default() += 1;
    }
    assert_eq!(listed, unsafe_code()?);
    Ok(())
}
