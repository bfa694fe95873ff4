//! Which crate may use which: the arrows of the design, checked against `cargo metadata`.
//!
//! Only normal and build dependencies count; tests may use what they like. Whoever wants a new arrow changes
//! `ALLOWED` and says in ARCHITECTURE.md why.

use anyhow::bail;

use crate::steps::{Result, metadata};

/// Crate → the crates of ours that it may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("message", &["types"]),
    ("proto", &["message", "types"]),
    ("sieve", &["message", "types"]),
    ("auth", &["types"]),
    ("engine", &["types"]),
    ("store", &["engine", "message", "types"]),
    ("server", &["proto", "sieve", "auth", "store", "message", "types"]),
    ("import", &["proto", "store", "message", "types"]),
    ("pillarbox", &["server", "import", "store", "engine", "auth", "types"]),
    ("testkit", &["server", "store", "engine", "proto", "sieve", "auth", "message", "types"]),
    ("fuzz", &["engine", "import", "proto", "message", "types"]),
    ("xtask", &[]),
];

/// Crates that know neither socket, file, clock nor chance.
const PURE: &[&str] = &["types", "message", "proto", "sieve", "auth"];

/// What a pure crate must not use itself.
const IMPURE: &[&str] = &[
    "async-std",
    "clap",
    "getrandom",
    "libc",
    "mio",
    "rand",
    "rusqlite",
    "rustix",
    "rustls",
    "smol",
    "socket2",
    "tempfile",
    "tokio",
    "tokio-rustls",
    "toml",
    "tracing-subscriber",
];

/// Foreign crates that only some of ours may use.
const KEPT: &[(&str, &[&str])] = &[
    ("rusqlite", &["engine"]),
    ("toml", &["pillarbox", "xtask"]),
    ("clap", &["pillarbox", "xtask", "testkit"]),
    ("tokio-rustls", &["server", "import", "testkit"]),
    ("socket2", &["server", "testkit"]),
    ("anyhow", &["pillarbox", "xtask", "testkit"]),
];

pub(crate) fn check() -> Result {
    let mut wrong = Vec::new();
    for package in metadata()?.packages.iter().filter(|p| p.source.is_none()) {
        let name = package.name.as_str();
        let Some((_, allowed)) = ALLOWED.iter().find(|(n, _)| *n == name) else {
            wrong.push(format!("{name} is not in the list of crates"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| d.kind.as_deref() != Some("dev")) {
            if let Some(why) = forbidden(name, allowed, &dependency.name) {
                wrong.push(format!("{name} -> {}: {why}", dependency.name));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!("arrows that the design does not have:\n  {}", wrong.join("\n  ")) }
}

/// Why this crate may not use that one, if so.
fn forbidden(name: &str, allowed: &[&str], used: &str) -> Option<&'static str> {
    if ALLOWED.iter().any(|(n, _)| *n == used) {
        return (!allowed.contains(&used)).then_some("not an arrow of the design");
    }
    if PURE.contains(&name) && IMPURE.contains(&used) {
        return Some("a pure crate has no socket, file, clock or rng");
    }
    let kept = KEPT.iter().find(|(n, _)| *n == used)?;
    (!kept.1.contains(&name)).then_some("this crate is kept to one place")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_of_the_design_and_no_others() {
        let of = |n: &str| ALLOWED.iter().find(|(name, _)| *name == n).unwrap().1;
        assert_eq!(forbidden("server", of("server"), "store"), None);
        assert!(forbidden("server", of("server"), "engine").is_some());
        assert!(forbidden("store", of("store"), "proto").is_some());
        assert!(forbidden("proto", of("proto"), "tokio").is_some());
        assert!(forbidden("store", of("store"), "rusqlite").is_some());
        assert!(forbidden("server", of("server"), "testkit").is_some());
        assert_eq!(forbidden("engine", of("engine"), "rusqlite"), None);
    }

    #[test]
    fn no_circles() {
        // Ordered so that each crate uses only crates of smaller rank: repeat until nothing is left.
        let mut left: Vec<_> = ALLOWED.to_vec();
        while !left.is_empty() {
            let before = left.len();
            let names: Vec<&str> = left.iter().map(|(n, _)| *n).collect();
            left.retain(|(_, uses)| uses.iter().any(|u| names.contains(u)));
            assert!(left.len() < before, "a circle among {names:?}");
        }
    }
}
