//! Where the grammar of IMAP leaves an order free, puts what came into the order of the pattern.
//!
//! Arranging decides nothing: the pattern is matched against the result, text against text.

use super::pattern::{self, ANY, Bindings};

/// Puts items that came into the order of a pattern's.
type Order = fn(&[&str], &[&str]) -> String;

/// `actual`, its free parts in the order of `pattern`; and the pattern, strings spelled alike.
pub(crate) fn arrange(pattern: &str, actual: &str) -> (String, String) {
    let (p, a) = (names_unquoted(pattern), names_unquoted(actual));
    let arranged = untagged(&p, &a).or_else(|| code(&p, &a)).unwrap_or(a);
    (p, arranged)
}

/// Data: `* …`.
fn untagged(pattern: &str, actual: &str) -> Option<String> {
    let (p, a) = (pattern.strip_prefix("* ")?, actual.strip_prefix("* ")?);
    let (pi, ai) = (items(p), items(a));
    let second = ai.get(1).copied().unwrap_or("");
    let (keep, order): (usize, Order) = match *ai.first()? {
        "CAPABILITY" | "ENABLED" | "SEARCH" => (1, words),
        "FLAGS" => (1, lists),
        "LIST" | "LSUB" => (1, lists),
        "STATUS" => (2, lists_of_pairs),
        "ESEARCH" => (ai.iter().skip(1).take_while(|i| i.starts_with('(') || **i == "UID").count() + 1, pairs),
        _ if matches!(second, "FETCH" | "UIDFETCH") => (2, lists_of_pairs),
        _ => return None,
    };
    let head = ai.get(..keep)?.join(" ");
    let rest = order(pi.get(keep..)?, ai.get(keep..)?);
    Some(if ai.len() == keep && rest.is_empty() { format!("* {head}") } else { format!("* {head} {rest}") })
}

/// `[CAPABILITY …]` and `[PERMANENTFLAGS (…)]` in a status response.
fn code(pattern: &str, actual: &str) -> Option<String> {
    for (open, order) in [("[CAPABILITY ", words as Order), ("[PERMANENTFLAGS ", lists)] {
        let (Some((_, p)), Some((before, a))) = (pattern.split_once(open), actual.split_once(open)) else { continue };
        let (p, (a, after)) = (p.split_once(']').map_or(p, |(p, _)| p), a.split_once(']')?);
        return Some(format!("{before}{open}{}]{after}", order(&items(p), &items(a))));
    }
    None
}

/// Words in any order.
fn words(pattern: &[&str], actual: &[&str]) -> String {
    ordered(pattern, actual.to_vec(), |p, a| pattern::matches(p, a, &mut Bindings::new())).join(" ")
}

/// Name and value, in any order by name; flags in any order in their list.
fn pairs(pattern: &[&str], actual: &[&str]) -> String {
    let joined = |items: &[&str]| -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        let mut items = items.iter();
        while let Some(&item) = items.next() {
            let value = if item == ANY.to_string() { None } else { items.next() };
            out.push(value.map_or(item.to_owned(), |v| format!("{item} {v}")));
        }
        out
    };
    let name = |pair: &str| {
        pair.rsplit_once(' ').map_or(pair.to_owned(), |_| items(pair).first().copied().unwrap_or("").to_owned())
    };
    let (p, a) = (joined(pattern), joined(actual));
    let p: Vec<&str> = p.iter().map(String::as_str).collect();
    let a: Vec<&str> = a.iter().map(String::as_str).collect();
    let same = |p: &str, a: &str| pattern::matches(&name(p), &name(a), &mut Bindings::new());
    let flags_arranged = |pair: &&str| -> String {
        let of = p.iter().find(|p| name(p) == "FLAGS" && name(pair) == "FLAGS");
        of.map_or((*pair).to_owned(), |p| lists(&items(p), &items(pair)))
    };
    ordered(&p, a.clone(), same).iter().map(flags_arranged).collect::<Vec<_>>().join(" ")
}

/// Each list with its words in any order; what is no list stays.
fn lists(pattern: &[&str], actual: &[&str]) -> String {
    each_list(pattern, actual, words)
}

fn lists_of_pairs(pattern: &[&str], actual: &[&str]) -> String {
    each_list(pattern, actual, pairs)
}

fn each_list(pattern: &[&str], actual: &[&str], order: Order) -> String {
    let arranged = |(i, a): (usize, &&str)| match (pattern.get(i).copied().and_then(inside), inside(a)) {
        (Some(p), Some(a)) => format!("({})", order(&items(p), &items(a))),
        _ => (*a).to_owned(),
    };
    actual.iter().enumerate().map(arranged).collect::<Vec<_>>().join(" ")
}

/// `actual` in the order of `pattern`, the rest behind. An `…` at the end also fits nothing at all.
fn ordered<'a>(pattern: &[&str], mut actual: Vec<&'a str>, same: impl Fn(&str, &str) -> bool) -> Vec<&'a str> {
    let any = ANY.to_string();
    let mut out = Vec::new();
    for p in pattern.iter().filter(|p| **p != any) {
        if let Some(at) = actual.iter().position(|a| same(p, a)) {
            out.push(actual.remove(at));
        }
    }
    if actual.is_empty() && pattern.len() > 1 && pattern.last().is_some_and(|p| *p == any) {
        actual.push("");
    }
    out.append(&mut actual);
    out
}

/// What stands between the parentheses of a list.
fn inside(list: &str) -> Option<&str> {
    list.strip_prefix('(')?.strip_suffix(')')
}

/// Splits at spaces that are in no string, list or section.
fn items(text: &str) -> Vec<&str> {
    let (mut depth, mut in_string, mut escaped, mut from) = (0i32, false, false, 0);
    let mut out = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ if in_string => {}
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ' ' if depth <= 0 => {
                out.extend(text.get(from..at));
                from = at + 1;
            }
            _ => {}
        }
    }
    out.extend(text.get(from..).filter(|t| !t.is_empty()));
    out
}

/// A mailbox name is an astring: `"INBOX"` is `INBOX`. The string `"NIL"` stays a string.
fn names_unquoted(line: &str) -> String {
    let name_at = match line.split(' ').nth(1) {
        Some("LIST" | "LSUB") => 4,
        Some("STATUS") => 2,
        _ => return line.to_owned(),
    };
    let mut parts = items(line);
    if let Some(name) = parts.get_mut(name_at) {
        let content = name.strip_prefix('"').and_then(|n| n.strip_suffix('"'));
        let atom = |t: &&str| !t.is_empty() && !t.eq_ignore_ascii_case("NIL") && t.chars().all(is_astring_char);
        if let Some(content) = content.filter(atom) {
            *name = content;
        }
    }
    parts.join(" ")
}

/// RFC 9051 §9: ASTRING-CHAR.
fn is_astring_char(c: char) -> bool {
    c.is_ascii_graphic() && !"(){%*\"\\".contains(c)
}

#[cfg(test)]
mod tests {
    use super::super::pattern::{mark, matches};
    use super::*;

    fn fits(pattern: &str, actual: &str) -> bool {
        let (p, a) = arrange(&mark(pattern), actual);
        matches(&p, &a, &mut Bindings::new())
    }

    #[test]
    fn fetch_items_and_flags_in_any_order() {
        assert!(fits("* 1 FETCH (UID 7 FLAGS (\\Seen \\Deleted))", "* 1 FETCH (FLAGS (\\Deleted \\Seen) UID 7)"));
        assert!(fits(
            "* 1 FETCH (UID <u> BODY[HEADER.FIELDS (A B)] \"x y\")",
            "* 1 FETCH (BODY[HEADER.FIELDS (A B)] \"x y\" UID 7)"
        ));
        assert!(!fits("* 1 FETCH (FLAGS (\\Seen))", "* 1 FETCH (FLAGS (\\Seen) UID 7)"));
        assert!(fits("* 1 FETCH (FLAGS (\\Seen …) …)", "* 1 FETCH (UID 7 FLAGS (\\Deleted \\Seen))"));
        assert!(fits("* 1 FETCH (FLAGS (\\Seen …))", "* 1 FETCH (FLAGS (\\Seen))"));
        assert!(fits("* 1 FETCH (FLAGS ())", "* 1 FETCH (FLAGS ())"));
        assert!(!fits("* 1 FETCH (FLAGS ())", "* 1 FETCH (FLAGS (\\Seen))"));
    }

    #[test]
    fn envelopes_keep_their_order() {
        assert!(!fits("* 1 FETCH (ENVELOPE (NIL \"a\"))", "* 1 FETCH (ENVELOPE (\"a\" NIL))"));
    }

    #[test]
    fn mailbox_names_are_astrings() {
        assert!(fits("* LIST (\\A \\B) \"/\" INBOX", "* LIST (\\B \\A) \"/\" \"INBOX\""));
        assert!(fits("* LIST () \"/\" \"a b\"", "* LIST () \"/\" \"a b\""));
        assert!(fits("* STATUS INBOX (UNSEEN 2 MESSAGES 1)", "* STATUS \"INBOX\" (MESSAGES 1 UNSEEN 2)"));
        assert!(!fits("* LIST () \"/\" \"NIL\"", "* LIST () \"/\" NIL"));
        assert!(fits(
            "* LIST () \"/\" a (\"CHILDINFO\" (\"SUBSCRIBED\"))",
            "* LIST () \"/\" \"a\" (\"CHILDINFO\" (\"SUBSCRIBED\"))"
        ));
    }

    #[test]
    fn searches_and_capabilities() {
        assert!(fits("* SEARCH 2 4", "* SEARCH 4 2"));
        assert!(fits("* SEARCH", "* SEARCH"));
        assert!(!fits("* SEARCH", "* SEARCH 4"));
        assert!(fits("* ESEARCH (TAG \"a\") UID MIN 1 ALL 1:3", "* ESEARCH (TAG \"a\") UID ALL 1:3 MIN 1"));
        assert!(fits("* ESEARCH (TAG \"a\") UID", "* ESEARCH (TAG \"a\") UID"));
        assert!(fits("* CAPABILITY IDLE MOVE …", "* CAPABILITY IMAP4rev1 MOVE IDLE"));
        assert!(fits("* CAPABILITY IDLE MOVE …", "* CAPABILITY MOVE IDLE"));
        assert!(fits("* OK [PERMANENTFLAGS (\\Seen \\*)] …", "* OK [PERMANENTFLAGS (\\* \\Seen)] x"));
        assert!(fits("a OK [CAPABILITY IDLE …] …", "a OK [CAPABILITY IMAP4rev1 IDLE X] x"));
    }
}
