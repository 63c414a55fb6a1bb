//! Assembly: from a file of `shaders/` and some values to the WGSL of one specialisation.
//!
//! WGSL's `override`s cannot size register tiles, and naga does not pass on unroll hints, so the
//! inner loops are unrolled in the text. Everything else that is fixed per specialisation
//! (workgroup size, epilogue) is handled the same way: one text is one specialisation, and each can
//! be validated. The directives are comments in WGSL:
//!
//! ```text
//! //#include shared/relu       another file of the catalogue, assembled with the same values
//! //#repeat r ROWS             the lines up to the matching //#end, with r = 0 .. ROWS-1
//! //#if RELU                   kept if the value is not zero; //#else; //#end
//! ${r}, ${r/N}, ${r*S+t}       a value, in decimal; an expression of values with +, *, / and %
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::catalogue;
use super::patch::{Patch, patched};

/// Named numbers used by an assembly; flags are 0 or 1.
pub type Values = BTreeMap<&'static str, u32>;

/// An error in a template, always caused by a bug of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: {problem}")]
pub struct AssembleError {
    /// The file in `shaders/`.
    pub file: String,
    /// The line in the file, from 1.
    pub line: usize,
    /// The error.
    pub problem: String,
}

/// Assembles a file of the catalogue.
///
/// # Errors
/// [`AssembleError`] for an unknown file or value, or mismatched directives.
pub fn assemble(name: &str, values: &Values) -> Result<String, AssembleError> {
    assemble_with(name, values, &[])
}

/// [`assemble`] with patched files: each patch changes the file that it names, wherever that file
/// is included.
///
/// # Errors
/// As [`assemble`], and for a patch that does not match its file.
pub fn assemble_with(
    name: &str,
    values: &Values,
    patches: &[Patch],
) -> Result<String, AssembleError> {
    let mut output = String::new();
    file(name, Context { values, patches }, &mut output)?;
    Ok(output)
}

/// The data shared by all files of an assembly.
#[derive(Clone, Copy)]
struct Context<'a> {
    values: &'a Values,
    patches: &'a [Patch],
}

fn file(name: &str, context: Context<'_>, output: &mut String) -> Result<(), AssembleError> {
    let error = |line, problem: &str| AssembleError {
        file: name.to_owned(),
        line,
        problem: problem.to_owned(),
    };
    let text = catalogue::text(name).ok_or_else(|| error(0, "no such file"))?;
    let text =
        patched(name, text, context.patches).map_err(|problem| error(0, &problem.to_string()))?;
    let lines: Vec<Line<'_>> =
        text.lines().enumerate().map(|(at, text)| Line { number: at + 1, text }).collect();
    let scope: Vec<(&str, u32)> =
        context.values.iter().map(|(&name, &value)| (name, value)).collect();
    block(&lines, &scope, context, output).map_err(|(line, problem)| error(line, &problem))
}

/// A line of a file and its number.
#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    text: &'a str,
}

type Problem = (usize, String);

/// Writes lines after processing their directives. `scope` holds the values and the counters of the
/// enclosing repeats.
fn block(
    mut lines: &[Line<'_>],
    scope: &[(&str, u32)],
    context: Context<'_>,
    output: &mut String,
) -> Result<(), Problem> {
    while let [line, rest @ ..] = lines {
        lines = rest;
        let number = line.number;
        let Some(directive) = line.text.trim_start().strip_prefix("//#") else {
            substitute(*line, scope, output)?;
            continue;
        };
        match directive.split_whitespace().collect::<Vec<_>>()[..] {
            ["include", name] => {
                file(name, context, output).map_err(|error| (number, error.to_string()))?
            }
            ["repeat", counter, count] => {
                let Body { yes, after, .. } = body(number, rest)?;
                for index in 0..value(number, scope, count)? {
                    block(yes, &[scope, &[(counter, index)]].concat(), context, output)?;
                }
                lines = after;
            }
            ["if", condition] => {
                let Body { yes, no, after } = body(number, rest)?;
                let kept = if value(number, scope, condition)? != 0 { yes } else { no };
                block(kept, scope, context, output)?;
                lines = after;
            }
            _ => return Err((number, format!("unknown directive {directive}"))),
        }
    }
    Ok(())
}

/// The parts of a multi-line directive.
struct Body<'l, 't> {
    /// Up to `//#else` or `//#end`.
    yes: &'l [Line<'t>],
    /// Between `//#else` and `//#end`.
    no: &'l [Line<'t>],
    /// After `//#end`.
    after: &'l [Line<'t>],
}

/// Splits the lines after a directive.
fn body<'l, 't>(opened: usize, lines: &'l [Line<'t>]) -> Result<Body<'l, 't>, Problem> {
    let (mut depth, mut middle) = (0, None);
    for (at, line) in lines.iter().enumerate() {
        match line.text.trim_start() {
            text if text.starts_with("//#repeat") || text.starts_with("//#if") => depth += 1,
            "//#else" if depth == 0 => middle = Some(at),
            "//#end" if depth == 0 => {
                let no = middle.map_or(&lines[at..at], |middle| &lines[middle + 1..at]);
                return Ok(Body {
                    yes: &lines[..middle.unwrap_or(at)],
                    no,
                    after: &lines[at + 1..],
                });
            }
            "//#end" => depth -= 1,
            _ => {}
        }
    }
    Err((opened, "no matching //#end".to_owned()))
}

/// A number, or the value with that name; inner counters hide outer ones.
fn value(line: usize, scope: &[(&str, u32)], name: &str) -> Result<u32, Problem> {
    let named = || scope.iter().rev().find(|(known, _)| *known == name).map(|&(_, value)| value);
    name.parse().ok().or_else(named).ok_or_else(|| (line, format!("unknown value {name}")))
}

/// A value, or an expression of values: `+` has the lowest precedence, then `*`, `/` and `%` from
/// left to right.
fn expression(line: usize, scope: &[(&str, u32)], text: &str) -> Result<u32, Problem> {
    let wrong = || (line, format!("{text} has no value"));
    if let Some((left, right)) = text.split_once('+') {
        let (left, right) = (expression(line, scope, left)?, expression(line, scope, right)?);
        return left.checked_add(right).ok_or_else(wrong);
    }
    let Some(at) = text.rfind(['*', '/', '%']) else { return value(line, scope, text) };
    let (left, right) =
        (expression(line, scope, &text[..at])?, value(line, scope, &text[at + 1..])?);
    let result = match text.as_bytes()[at] {
        b'*' => left.checked_mul(right),
        b'/' => left.checked_div(right),
        _ => left.checked_rem(right),
    };
    result.ok_or_else(wrong)
}

/// Writes one line with its `${name}`s replaced.
fn substitute(line: Line<'_>, scope: &[(&str, u32)], output: &mut String) -> Result<(), Problem> {
    let mut rest = line.text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) =
            after.split_once('}').ok_or_else(|| (line.number, "unclosed ${".to_owned()))?;
        let value = expression(line.number, scope, name)?;
        // Writing to a String cannot fail.
        let _ = write!(output, "{before}{value}");
        rest = after;
    }
    output.push_str(rest);
    output.push('\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, values: &[(&'static str, u32)]) -> Result<String, Problem> {
        let lines: Vec<Line<'_>> =
            text.lines().enumerate().map(|(at, text)| Line { number: at + 1, text }).collect();
        let mut output = String::new();
        let context = Context { values: &Values::new(), patches: &[] };
        block(&lines, values, context, &mut output)?;
        Ok(output)
    }

    #[test]
    fn repeats_nest_and_conditions_choose() {
        let text = "//#repeat r ROWS\n//#repeat c 2\na${r}_${c}\n//#end\n//#if \
            r\nx\n//#else\ny\n//#end\n//#end\nz";
        assert_eq!(run(text, &[("ROWS", 2)]), Ok("a0_0\na0_1\ny\na1_0\na1_1\nx\nz\n".to_owned()));
    }

    #[test]
    fn expressions() {
        assert_eq!(run("${r/8} ${r%8} ${r}", &[("r", 13)]), Ok("1 5 13\n".to_owned()));
        assert_eq!(run("${1+r*2+8%3} ${r*8/4%5}", &[("r", 13)]), Ok("29 1\n".to_owned()));
        assert!(run("${r/0}", &[("r", 13)]).is_err() && run("${r+}", &[("r", 13)]).is_err());
    }

    #[test]
    fn mistakes_name_their_line() {
        for (text, line) in [
            ("a\n//#repeat r 2\n", 2),
            ("${x}", 1),
            ("//#if X\n//#end", 1),
            ("\n//#what", 2),
            ("${", 1),
        ] {
            assert_eq!(run(text, &[]).map_err(|(line, _)| line), Err(line), "{text}");
        }
    }
}
