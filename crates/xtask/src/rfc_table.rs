//! `docs/rfc/table.md` against the transcripts: a row names folders that exist and hold transcripts, and
//! each folder of transcripts that is named after an RFC has its row.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, bail};

use crate::steps::{Result, files};

const TABLE: &str = "docs/rfc/table.md";
const TRANSCRIPTS: &str = "tests/transcripts";

pub(crate) fn check() -> Result {
    let table = std::fs::read_to_string(TABLE).context(TABLE)?;
    let named = folders(&table);
    let mut wrong = Vec::new();
    for folder in &named {
        let path = format!("{TRANSCRIPTS}/{folder}");
        if !Path::new(&path).is_dir() || files(&path, ".txt")?.is_empty() {
            wrong.push(format!("{path} is named in {TABLE} but has no transcript"));
        }
    }
    for file in files(TRANSCRIPTS, ".txt")? {
        let below = file.strip_prefix(TRANSCRIPTS)?;
        let folder = below.parent().map(|p| p.display().to_string()).unwrap_or_default();
        if folder.contains("/rfc") && !named.contains(&folder) {
            wrong.push(format!("{TRANSCRIPTS}/{folder} has no row in {TABLE}"));
        }
    }
    wrong.dedup();
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n  ")) }
}

/// The folders that the last column of the table names, in code marks: `` `imap/rfc6851` ``.
fn folders(table: &str) -> BTreeSet<String> {
    table
        .lines()
        .filter(|l| l.starts_with('|'))
        .filter_map(|l| l.trim_end().trim_end_matches('|').rsplit('|').next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::folders;

    #[test]
    fn last_column_in_code_marks() {
        let table = "text `no`\n| RFC | `x` | where |\n|---|---|---|\n| 6851 | MOVE | `imap/rfc6851`, `imap/move` |\n| 5465 | later | |\n";
        assert_eq!(folders(table).into_iter().collect::<Vec<_>>(), ["imap/move", "imap/rfc6851"]);
    }
}
