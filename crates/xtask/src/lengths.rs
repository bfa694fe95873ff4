//! Long files are where an idea may be missing: says which they are, and how much code and test there is in all.

use crate::steps::{Result, files};

/// From here on a file is worth a second look.
const LONG: usize = 800;

pub(crate) fn report() -> Result {
    let (mut code, mut tests) = (0, 0);
    let mut long = Vec::new();
    for path in files("crates", ".rs")? {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(&path)?;
        let (c, t) = if is_test(&name) { (0, text.lines().count()) } else { split(&text) };
        code += c;
        tests += t;
        if c > LONG || c + t > LONG * 3 / 2 {
            long.push(format!("  {name}: {c} lines of code, {t} of tests"));
        }
    }
    for folder in ["tests", "fuzz"] {
        for end in [".py", ".mjs", ".rs", ".txt", ".sh"] {
            for path in files(folder, end).unwrap_or_default() {
                tests += std::fs::read_to_string(&path).map_or(0, |t| t.lines().count());
            }
        }
    }
    println!("{code} lines of code, {tests} lines of tests");
    if !long.is_empty() {
        println!("long files:\n{}", long.join("\n"));
    }
    Ok(())
}

/// Whole crates and folders that only serve tests.
fn is_test(name: &str) -> bool {
    name.starts_with("crates/testkit")
        || name.contains("/tests/")
        || name.contains("/benches/")
        || name.ends_with("/tests.rs")
}

/// Lines before and after the first `#[cfg(test)]` that stands at the margin: tests come last in a file.
fn split(text: &str) -> (usize, usize) {
    let all = text.lines().count();
    let code = text.lines().position(|l| l == "#[cfg(test)]").unwrap_or(all);
    (code, all - code)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn tests_come_last() {
        assert_eq!(split("a\nb\n"), (2, 0));
        assert_eq!(split("a\n#[cfg(test)]\nmod tests {\n}\n"), (1, 3));
    }
}
