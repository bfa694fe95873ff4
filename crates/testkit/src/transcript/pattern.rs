//! Patterns for lines of the server: text, `…`, and `<name>`.
//!
//! While a script is loaded, the marks of a pattern become private-use characters, so that a
//! pattern is an ordinary string that can be cut and arranged; content of literals, where `<p>`
//! is a tag of HTML and no name, has only `…`.

use std::collections::BTreeMap;

/// Any text.
pub(crate) const ANY: char = '\u{E000}';
/// At the beginning: upper and lower case are one.
pub(crate) const ANY_CASE: char = '\u{E003}';
const OPEN: char = '\u{E001}';
const CLOSE: char = '\u{E002}';

/// What names stand for so far.
pub(crate) type Bindings = BTreeMap<String, String>;

/// Marks `…` and `<name>` in a line.
pub(crate) fn mark(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        match name(after) {
            Some(name) => {
                out.push(OPEN);
                out.push_str(name);
                out.push(CLOSE);
                rest = after.get(name.len() + 2..).unwrap_or("");
            }
            None => {
                out.push('<');
                rest = after.get(1..).unwrap_or("");
            }
        }
    }
    out.push_str(rest);
    mark_any(&out)
}

/// Marks `…` only.
pub(crate) fn mark_any(text: &str) -> String {
    text.replace('…', &ANY.to_string())
}

/// The name in a text that begins with `<name>`.
fn name(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('<')?.split_once('>')?;
    let first = name.chars().next()?;
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (first.is_ascii_lowercase() && name.chars().all(rest)).then_some(name)
}

/// As a reader wrote it.
pub(crate) fn show(pattern: &str) -> String {
    pattern.trim_start_matches(ANY_CASE).replace(ANY, "…").replace(OPEN, "<").replace(CLOSE, ">")
}

/// Puts what is bound in place of the names. Fails on a name that is not bound.
pub(crate) fn substitute(text: &str, bound: &Bindings) -> Result<String, String> {
    let mut out = String::new();
    let marked = mark(text);
    let mut rest = marked.as_str();
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (name, after) = after.split_once(CLOSE).unwrap_or((after, ""));
        out.push_str(before);
        out.push_str(bound.get(name).ok_or_else(|| format!("<{name}> is not bound yet"))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out.replace(ANY, "…"))
}

/// Whether `text` fits `pattern`; binds the names that are new.
pub(crate) fn matches(pattern: &str, text: &str, bound: &mut Bindings) -> bool {
    let mut trial = bound.clone();
    let fits = fit(pattern, text, &mut trial);
    if fits {
        *bound = trial;
    }
    fits
}

/// The recursion is as deep as the pattern has marks.
fn fit(pattern: &str, text: &str, bound: &mut Bindings) -> bool {
    let Some(at) = pattern.find([ANY, OPEN]) else { return pattern == text };
    let (fixed, rest) = pattern.split_at(at);
    let Some(text) = text.strip_prefix(fixed) else { return false };
    if let Some(rest) = rest.strip_prefix(ANY) {
        // The end of the pattern is the common case, and long literals must not cost a search.
        return rest.is_empty() || ends(text).any(|end| fit_at(rest, text, end, bound));
    }
    let Some((name, rest)) = rest.strip_prefix(OPEN).and_then(|r| r.split_once(CLOSE)) else { return false };
    if let Some(value) = bound.get(name).cloned() {
        return text.strip_prefix(value.as_str()).is_some_and(|text| fit(rest, text, bound));
    }
    let longest = text.find(|c: char| c.is_whitespace() || "()[]\"".contains(c)).unwrap_or(text.len());
    for end in (1..=longest).rev() {
        let Some(value) = text.get(..end) else { continue };
        bound.insert(name.into(), value.into());
        if fit_at(rest, text, end, bound) {
            return true;
        }
        bound.remove(name);
    }
    false
}

fn fit_at(pattern: &str, text: &str, at: usize, bound: &mut Bindings) -> bool {
    text.get(at..).is_some_and(|text| fit(pattern, text, bound))
}

fn ends(text: &str) -> impl Iterator<Item = usize> + '_ {
    text.char_indices().map(|(i, _)| i).chain([text.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, text: &str) -> Option<Bindings> {
        let mut bound = Bindings::new();
        matches(&mark(pattern), text, &mut bound).then_some(bound)
    }

    #[test]
    fn text_any_and_names() {
        assert!(fits("a1 OK …", "a1 OK done").is_some());
        assert!(fits("a1 OK …", "a1 NO done").is_none());
        assert!(fits("* OK", "* OK x").is_none());
        assert!(fits("… (…) end", "x (y) end").is_some());
        let bound = fits("[COPYUID <v> 2:3 <new>] …", "[COPYUID 77 2:3 8:9] ok").unwrap();
        assert_eq!((bound["v"].as_str(), bound["new"].as_str()), ("77", "8:9"));
        assert_eq!(fits("<a>:<b>", "8:9").unwrap()["b"], "9");
    }

    #[test]
    fn a_name_is_bound_once() {
        let mut bound = Bindings::from([("v".into(), "7".into())]);
        assert!(!matches(&mark("UID <v>"), "UID 8", &mut bound));
        assert!(matches(&mark("UID <v>"), "UID 7", &mut bound));
        assert_eq!(substitute("FETCH <v> (BODY[]<0.3>)", &bound).unwrap(), "FETCH 7 (BODY[]<0.3>)");
        assert!(substitute("<w>", &bound).is_err());
    }

    #[test]
    fn addresses_and_partials_are_no_names() {
        assert!(fits("BODY[]<0> <a@b>", "BODY[]<0> <a@b>").is_some());
        assert_eq!(show(&mark("<x> …")), "<x> …");
    }
}
