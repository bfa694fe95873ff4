//! The licences of everything that is linked in, against the list in `deny.toml`.
//!
//! The same list serves cargo-deny where it is installed; this check needs nothing but cargo.

use anyhow::{Context, bail};
use toml::Value;

use crate::steps::{Result, metadata};

pub(crate) fn check() -> Result {
    let deny: toml::Table = std::fs::read_to_string("deny.toml")?.parse()?;
    let allow: Vec<&str> = deny
        .get("licenses")
        .and_then(|l| l.get("allow"))
        .and_then(Value::as_array)
        .context("deny.toml has no licenses.allow")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut wrong = Vec::new();
    for package in &metadata()?.packages {
        let licence = package.license.as_deref().unwrap_or("none");
        if !allowed(licence, &allow) {
            wrong.push(format!("{} {}: {licence}", package.name, package.version));
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!("licences that deny.toml does not allow:\n  {}", wrong.join("\n  ")) }
}

/// Whether an SPDX expression can be met with the allowed licences. `OR` binds weaker than `AND`; the old `/` means `OR`.
fn allowed(expression: &str, allow: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any(&mut words, allow);
    met == Some(true) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// `all *("OR" all)`; `None` is no expression.
fn any(words: &mut Words, allow: &[&str]) -> Option<bool> {
    let mut met = all(words, allow)?;
    while words.next_if_eq(&"OR").is_some() {
        met |= all(words, allow)?;
    }
    Some(met)
}

/// `one *("AND" one)`
fn all(words: &mut Words, allow: &[&str]) -> Option<bool> {
    let mut met = one(words, allow)?;
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allow)?;
    }
    Some(met)
}

/// `"(" any ")" / name ["WITH" exception]`
fn one(words: &mut Words, allow: &[&str]) -> Option<bool> {
    match words.next()? {
        "(" => {
            let met = any(words, allow)?;
            words.next_if_eq(&")").map(|_| met)
        }
        name if words.next_if_eq(&"WITH").is_some() => {
            let exception = words.next()?;
            Some(allow.contains(&format!("{name} WITH {exception}").as_str()))
        }
        name => Some(allow.contains(&name)),
    }
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn expressions() {
        let allow = ["MIT", "Apache-2.0", "Zlib", "Apache-2.0 WITH LLVM-exception"];
        for good in
            ["MIT", "MIT OR GPL-3.0", "MIT/Apache-2.0", "(GPL-2.0 OR Zlib) AND MIT", "Apache-2.0 WITH LLVM-exception"]
        {
            assert!(allowed(good, &allow), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "none", "", "MIT OR", "(MIT", "MIT)", "MIT WITH LLVM-exception"] {
            assert!(!allowed(bad, &allow), "{bad}");
        }
    }
}
