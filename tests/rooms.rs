//! The rooms of the house: fails when a folder of `src/` imports from one that stands above it, or names wgpu where only the
//! GPU room and the public face may.

use std::path::{Path, PathBuf};

/// Room, and the rooms it may import. Nothing imports upward and there are no circles.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("tensor", &["error"]),
    ("op", &["tensor", "error"]),
    ("shader", &["tensor", "error"]),
    ("kernel", &["shader", "op", "tensor", "error"]),
    ("plan", &["kernel", "op", "tensor", "error"]),
    ("reference", &["plan", "op", "tensor", "error"]),
    ("gpu", &["plan", "kernel", "shader", "op", "tensor", "error"]),
    ("network", &["plan", "op", "tensor", "error"]),
    ("weights", &["network", "plan", "op", "tensor", "error"]),
    ("engine", &["weights", "network", "gpu", "reference", "plan", "kernel", "op", "tensor", "error"]),
];

/// Rooms that may name wgpu. `lib.rs` re-exports it.
const MAY_NAME_WGPU: &[&str] = &["gpu", "engine", "lib", "cli", "main"];

/// The text without comments and string literals.
fn code(text: &str) -> String {
    let (mut output, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("'\"'") {
            3
        } else if first == '"' {
            string_length(rest)
        } else {
            output.push(first);
            first.len_utf8()
        };
        rest = &rest[skipped..];
    }
    output
}

/// Bytes of the string literal at the start of the text.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The first path segments behind every `crate::`, groups in braces included.
fn imported_rooms(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        let word_before = code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        // `$crate::` of a macro is a path like any other; `my_crate::` is not ours.
        if !word_before {
            rooms.extend(first_segments(code[at + found.len()..].trim_start()));
        }
    }
    rooms
}

/// `a::b` gives a; `{a::{b, c}, d}` gives a and d.
fn first_segments(path: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut starts, mut segments) = (0, true, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts = true,
            c if starts && (c.is_alphanumeric() || c == '_') => {
                segments.push(name(&group[at..]));
                starts = false;
            }
            _ => {}
        }
    }
    segments
}

/// Every Rust file below `src/` with its room.
fn files(folder: &Path, room: Option<&str>, found: &mut Vec<(String, PathBuf)>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let room = room.unwrap_or(&name).to_owned();
        if path.is_dir() {
            files(&path, Some(&room), found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((room, path));
        }
    }
    Ok(())
}

/// What is wrong with a file of a room.
fn violations(room: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let allowed = MAY_IMPORT.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
    let known = |name: &str| MAY_IMPORT.iter().any(|(known, _)| *known == name);
    let mut wrong: Vec<String> = match allowed {
        Some(allowed) => imported_rooms(&code)
            .into_iter()
            .filter(|name| name != room && !allowed.contains(&name.as_str()))
            .map(|name| if known(&name) { format!("imports {name}") } else { format!("imports {name} past its room") })
            .collect(),
        None => Vec::new(),
    };
    if code.contains("wgpu::") && !MAY_NAME_WGPU.contains(&room) {
        wrong.push("names wgpu".to_owned());
    }
    wrong
}

#[test]
fn no_room_imports_upward() -> std::io::Result<()> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&src, None, &mut found)?;
    let mut wrong = Vec::new();
    for (room, path) in &found {
        let known = ["lib", "main", "cli"].contains(&room.as_str()) || MAY_IMPORT.iter().any(|(name, _)| name == room);
        assert!(known, "{} is in no room of the table", path.display());
        let text = std::fs::read_to_string(path)?;
        wrong.extend(violations(room, &text).into_iter().map(|what| format!("{}: {what}", path.display())));
    }
    assert!(found.len() > 30, "found only {} files", found.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn the_table_has_no_circles() {
    for (at, (room, allowed)) in MAY_IMPORT.iter().enumerate() {
        for name in *allowed {
            let below = MAY_IMPORT[..at].iter().any(|(known, _)| known == name);
            assert!(below, "{room} may import {name}, which does not stand below it");
        }
    }
}

#[test]
fn violations_are_seen() {
    assert_eq!(violations("reference", "use crate::kernel::Kernel;"), ["imports kernel"]);
    assert_eq!(
        violations("op", "use crate::{\n    tensor::{Shape, Element},\n    plan::{self, Plan},\n};"),
        ["imports plan"]
    );
    assert_eq!(violations("plan", "fn f() { let x = crate::gpu::Gpu::new(); }"), ["imports gpu"]);
    assert_eq!(violations("kernel", "fn f(b: wgpu::Buffer) {}"), ["names wgpu"]);
    assert_eq!(violations("tensor", "use crate::Bottleneck;"), ["imports Bottleneck past its room"]);
    let fine =
        "// crate::gpu\n/// [`crate::gpu::Gpu`]\nconst A: &str = \"crate::gpu \\\" wgpu::\";\nuse crate::op::Op;";
    assert_eq!(violations("plan", fine), [""; 0]);
}
