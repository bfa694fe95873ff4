//! Tables in `docs/` that must agree with the tree.
//!
//! `docs/rfc/table.md` against the transcripts: a row names folders that exist and hold transcripts, and each folder of
//! transcripts that is named after an RFC has its row. `docs/client-quirks.md` against the transcripts of clients.
//! `docs/limits.md` against the names of `types::Limits`, and against the tests on both sides of each.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, bail};

use crate::steps::{Result, files};

const TRANSCRIPTS: &str = "tests/transcripts";

pub(crate) fn rfcs() -> Result {
    let table = read("docs/rfc/table.md")?;
    let named = last_column(&table);
    let mut wrong = BTreeSet::new();
    for folder in &named {
        let path = format!("{TRANSCRIPTS}/{folder}");
        if !Path::new(&path).is_dir() || files(&path, ".txt")?.is_empty() {
            wrong.insert(format!("{path} is named in docs/rfc/table.md but has no transcript"));
        }
    }
    for file in files(TRANSCRIPTS, ".txt")? {
        let below = file.strip_prefix(TRANSCRIPTS)?;
        let folder = below.parent().map(|p| p.display().to_string()).unwrap_or_default();
        if folder.contains("/rfc") && !named.contains(&folder) {
            wrong.insert(format!("{TRANSCRIPTS}/{folder} has no row in docs/rfc/table.md"));
        }
    }
    report(wrong)
}

pub(crate) fn clients() -> Result {
    let page = read("docs/client-quirks.md")?;
    let named: BTreeSet<_> = page.lines().filter(|l| l.starts_with('|')).flat_map(code_marks).collect();
    let named: BTreeSet<_> =
        named.into_iter().filter(|name| name.starts_with("imap/") || name.starts_with("lmtp/")).collect();
    let mut wrong = numbered_rows(&page);
    for name in &named {
        if !Path::new(&format!("{TRANSCRIPTS}/{name}.txt")).is_file() {
            wrong.insert(format!("{name} is named in docs/client-quirks.md but there is no such transcript"));
        }
    }
    for file in files(TRANSCRIPTS, ".txt")? {
        let name = file.strip_prefix(TRANSCRIPTS)?.with_extension("").display().to_string();
        if name.contains("/clients/") && !named.contains(&name) {
            wrong.insert(format!("{name} is not named in docs/client-quirks.md"));
        }
    }
    report(wrong)
}

/// What is wrong with the rows that begin with a number: they count from 1, and say what is done.
fn numbered_rows(page: &str) -> BTreeSet<String> {
    let mut wrong = BTreeSet::new();
    let mut next = 1;
    for line in page.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, number, _client, habit, here, _transcripts, _] = cells[..] else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        if number != next {
            wrong.insert(format!("docs/client-quirks.md: row {next} is missing before {number}"));
        }
        if habit.is_empty() || here.is_empty() {
            wrong.insert(format!("docs/client-quirks.md: row {number} does not say what is done"));
        }
        next = number + 1;
    }
    if next == 1 {
        wrong.insert("docs/client-quirks.md has no rows".to_owned());
    }
    wrong
}

pub(crate) fn limits() -> Result {
    let code = read("crates/types/src/limits.rs")?;
    let fields =
        code.split_once("pub struct Limits").and_then(|(_, rest)| rest.split_once("\n}")).context("no Limits")?.0;
    let fields: BTreeSet<_> =
        fields.lines().filter_map(|l| Some(l.trim().strip_prefix("pub ")?.split_once(':')?.0)).collect();
    let table = read("docs/limits.md")?;
    let rows: Vec<_> = table.lines().filter(|l| l.starts_with("| `")).collect();
    let names: BTreeSet<_> = rows.iter().filter_map(|row| row.split('`').nth(1)).collect();
    let mut wrong: BTreeSet<_> = fields
        .symmetric_difference(&names)
        .map(|name| format!("{name} is only in one of types::Limits and docs/limits.md"))
        .collect();
    let functions = test_functions()?;
    for row in rows {
        let tests = last_column(row);
        if tests.is_empty() {
            wrong.insert(format!("docs/limits.md names no test in {row}"));
        }
        let exists = |test: &str| functions.contains(test) || Path::new(&format!("{TRANSCRIPTS}/{test}.txt")).is_file();
        wrong.extend(tests.iter().filter(|t| !exists(t)).map(|t| format!("docs/limits.md: there is no test {t}")));
    }
    report(wrong)
}

/// The names of all functions that are tests: what follows an attribute that ends in `test]` or `test(…)]`.
fn test_functions() -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for file in files("crates", ".rs")? {
        let code = std::fs::read_to_string(&file)?;
        let mut is_test = false;
        for line in code.lines().map(str::trim_start) {
            if let Some((_, name)) = line.split_once("fn ").filter(|_| is_test) {
                found.extend(name.split_once('(').map(|(name, _)| name.to_owned()));
            }
            is_test =
                line.starts_with("#[test]") || line.starts_with("#[tokio::test") || is_test && line.starts_with('#');
        }
    }
    Ok(found)
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).context(path.to_owned())
}

fn report(wrong: BTreeSet<String>) -> Result {
    if wrong.is_empty() { Ok(()) } else { bail!("{}", Vec::from_iter(wrong).join("\n  ")) }
}

/// What the last column of the table has in code marks: `` `imap/rfc6851` ``.
fn last_column(table: &str) -> BTreeSet<String> {
    table
        .lines()
        .filter(|l| l.starts_with('|'))
        .filter_map(|l| l.trim_end().trim_end_matches('|').rsplit('|').next())
        .flat_map(code_marks)
        .collect()
}

/// What stands in code marks.
fn code_marks(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{last_column, numbered_rows};

    #[test]
    fn rows_count_from_one() {
        let row = |n: usize, here: &str| format!("| {n} | x | does | {here} | `imap/x` |\n");
        assert!(numbered_rows(&format!("| # | a |\n{}{}", row(1, "y"), row(2, "z"))).is_empty());
        assert_eq!(numbered_rows(&format!("{}{}", row(1, "y"), row(3, "z"))).len(), 1);
        assert_eq!(numbered_rows(&row(1, "")).len(), 1);
        assert_eq!(numbered_rows("").len(), 1);
    }

    #[test]
    fn last_column_in_code_marks() {
        let table = "text `no`\n| RFC | `x` | where |\n|---|---|---|\n| 6851 | MOVE | `imap/rfc6851`, `imap/move` |\n| 5465 | later | |\n";
        assert_eq!(last_column(table).into_iter().collect::<Vec<_>>(), ["imap/move", "imap/rfc6851"]);
    }
}
