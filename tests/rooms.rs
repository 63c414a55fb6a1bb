//! The rooms of the house: fails when a folder of `src/` imports from one that stands above it, or names wgpu where only the
//! GPU room and the public face may.

use std::path::{Path, PathBuf};

/// Room, and the rooms it may import. Nothing imports upward and there are no circles.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("tensor", &["error"]),
    ("picture", &["tensor", "error"]),
    ("op", &["tensor", "error"]),
    ("shader", &["tensor", "error"]),
    ("kernel", &["shader", "op", "tensor", "error"]),
    ("plan", &["kernel", "op", "tensor", "error"]),
    ("reference", &["plan", "op", "tensor", "error"]),
    ("gpu", &["plan", "kernel", "shader", "op", "picture", "tensor", "error"]),
    ("selftest", &["gpu", "reference", "plan", "kernel", "shader", "op", "tensor", "error"]),
    ("tune", &["selftest", "gpu", "reference", "plan", "kernel", "op", "tensor", "error"]),
    ("network", &["plan", "op", "tensor", "error"]),
    ("weights", &["network", "plan", "op", "picture", "tensor", "error"]),
    ("engine", &["weights", "network", "gpu", "reference", "plan", "kernel", "op", "picture", "tensor", "error"]),
];

/// Rooms that may name wgpu. `lib.rs` re-exports it.
const MAY_NAME_WGPU: &[&str] = &["gpu", "engine", "lib", "cli", "main"];

/// The text without comments and string literals.
fn code(text: &str) -> String {
    let (mut output, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let in_word = output.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment_length(rest)
        } else if let Some(quote) = ["'\"'", "'\\\"'"].into_iter().find(|quote| rest.starts_with(quote)) {
            quote.len()
        } else if let Some(length) = raw_string_length(rest).filter(|_| !in_word) {
            length
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

/// Bytes of the block comment at the start of the text; they nest.
fn block_comment_length(text: &str) -> usize {
    let (bytes, mut depth, mut at) = (text.as_bytes(), 0, 0);
    while at < bytes.len() {
        match bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Bytes of the raw string literal at the start of the text, if there is one: `r"..."`, `r#"..."#`, `br"..."`.
fn raw_string_length(text: &str) -> Option<usize> {
    let body = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let inner = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inner.find(&end).map_or(inner.len(), |at| at + end.len());
    Some(text.len() - inner.len() + length)
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

/// The first path segments behind every `crate::`, and behind every chain of `super::` that ends at the crate's root; groups
/// in braces included. `depth` is how many modules the file lies below the root.
fn imported_rooms(code: &str, depth: usize) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        // `$crate::` of a macro is a path like any other; `my_crate::` is not ours.
        if !word_before(code, at) {
            rooms.extend(first_segments(code[at + found.len()..].trim_start()));
        }
    }
    for (at, _) in code.match_indices("super::") {
        if word_before(code, at) || code[..at].ends_with("super::") {
            continue;
        }
        let behind = code[at..].trim_start_matches("super::");
        let climbed = (code.len() - at - behind.len()) / "super::".len();
        if climbed >= depth + inline_modules(&code[..at]) {
            rooms.extend(first_segments(behind));
        } else if behind.starts_with('{') && first_segments(behind).iter().any(|name| name == "super") {
            rooms.push("super within braces".to_owned());
        }
    }
    rooms
}

fn word_before(code: &str, at: usize) -> bool {
    code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// How many `mod name {` are open at the end of the text.
fn inline_modules(code: &str) -> usize {
    let mut open = Vec::new();
    for (at, brace) in code.match_indices(['{', '}']) {
        if brace == "}" {
            open.pop();
        } else {
            let mut words = code[..at].split_whitespace().rev();
            open.push(words.nth(1) == Some("mod"));
        }
    }
    open.into_iter().filter(|module| *module).count()
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

/// A file of `src/`, the room that it stands in, and how many modules it lies below the crate's root.
struct Source {
    path: PathBuf,
    room: String,
    depth: usize,
}

/// Every Rust file of a folder; `inside` is the room and depth of the folder itself.
fn files(folder: &Path, inside: Option<(&str, usize)>, found: &mut Vec<Source>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (room, above) = inside.map_or((name.as_str(), 0), |(room, depth)| (room, depth));
        if path.is_dir() {
            files(&path, Some((room, above + 1)), found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let depth = above + usize::from(!["mod", "lib", "main"].contains(&name.as_str()));
            found.push(Source { room: room.to_owned(), depth, path });
        }
    }
    Ok(())
}

/// What is wrong with a file of a room.
fn violations(room: &str, depth: usize, text: &str) -> Vec<String> {
    let code = code(text);
    let allowed = MAY_IMPORT.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
    let known = |name: &str| MAY_IMPORT.iter().any(|(known, _)| *known == name);
    let mut wrong: Vec<String> = match allowed {
        Some(allowed) => imported_rooms(&code, depth)
            .into_iter()
            .filter(|name| name != room && !allowed.contains(&name.as_str()))
            .map(|name| if known(&name) { format!("imports {name}") } else { format!("imports {name} past its room") })
            .collect(),
        None => Vec::new(),
    };
    if code.contains("wgpu_bottleneck") && allowed.is_some() {
        wrong.push("names its own crate".to_owned());
    }
    let names_wgpu = code.match_indices("wgpu").any(|(at, word)| {
        let word_behind = code[at + word.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        !word_before(&code, at) && !word_behind
    });
    if names_wgpu && !MAY_NAME_WGPU.contains(&room) {
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
    for Source { path, room, depth } in &found {
        let known = ["lib", "main", "cli"].contains(&room.as_str()) || MAY_IMPORT.iter().any(|(name, _)| name == room);
        assert!(known, "{} is in no room of the table", path.display());
        let text = std::fs::read_to_string(path)?;
        wrong.extend(violations(room, *depth, &text).into_iter().map(|what| format!("{}: {what}", path.display())));
    }
    for (room, _) in MAY_IMPORT {
        assert!(found.iter().any(|source| source.room == *room), "room {room} of the table is not in src/");
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
    let one = |room: &str, text: &str| violations(room, 2, text);
    assert_eq!(one("reference", "use crate::kernel::Kernel;"), ["imports kernel"]);
    assert_eq!(one("op", "use crate::{\n    tensor::{Shape, Element},\n    plan::{self, Plan},\n};"), ["imports plan"]);
    assert_eq!(one("plan", "fn f() { let x = crate::gpu::Gpu::new(); }"), ["imports gpu"]);
    assert_eq!(one("tensor", "use crate::Bottleneck;"), ["imports Bottleneck past its room"]);
    assert_eq!(one("tensor", "macro_rules! m { () => { $crate::kernel::f() } }"), ["imports kernel"]);
    assert_eq!(one("kernel", "fn f(b: wgpu::Buffer) {}"), ["names wgpu"]);
    assert_eq!(one("kernel", "use wgpu as w;"), ["names wgpu"]);
    assert_eq!(one("network", "use wgpu_bottleneck::Gpu;"), ["names its own crate"]);
}

#[test]
fn climbing_to_the_root_is_seen() {
    assert_eq!(violations("plan", 2, "use super::super::gpu::Gpu;"), ["imports gpu"]);
    assert_eq!(violations("plan", 1, "use super::{engine, op};"), ["imports engine"]);
    assert_eq!(
        violations("plan", 2, "use super::{Plan, super::gpu::Gpu};"),
        ["imports super within braces past its room"]
    );
    let tests = "#[cfg(test)]\nmod tests { use super::super::Shape; fn f() { super::super::super::gpu::f() } }";
    assert_eq!(violations("tensor", 2, tests), ["imports gpu"]);
    assert_eq!(violations("plan", 2, "use super::{Plan, Step};\nmod tests { use super::*; }"), [""; 0]);
    assert_eq!(violations("plan", 2, "pub(super) fn f() {}\npub(in crate::plan) fn g() {}"), [""; 0]);
}

#[test]
fn comments_and_strings_are_not_code() {
    let fine = [
        "// crate::gpu\n/// [`crate::gpu::Gpu`]\nuse crate::op::Op;",
        "const A: &str = \"crate::gpu \\\" wgpu::\";",
        "const A: &str = r#\"crate::gpu \" wgpu::\"#; const B: &[u8] = br\"wgpu\";",
        "/* wgpu /* nested */ crate::gpu */ use crate::op::Op;",
        "const A: [char; 2] = ['\"', '\\\"']; // wgpu \"",
    ];
    for text in fine {
        assert_eq!(violations("plan", 2, text), [""; 0], "{text}");
    }
    let behind = "const A: char = '\"'; /* a /* b */ c */ const B: &str = r\"x\\\"; use crate::gpu::Gpu; // \"";
    assert_eq!(violations("plan", 2, behind), ["imports gpu"]);
}
