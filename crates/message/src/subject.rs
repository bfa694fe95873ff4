//! The base subject that SORT and THREAD compare (RFC 5256 §2.1 and §5).

/// What is left of a subject without the signs of replying and forwarding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BaseSubject {
    /// Not case-mapped; may be empty.
    pub text: String,
    /// Whether anything was taken off that says reply or forward (RFC 5256 §3, step 5 of REFERENCES).
    pub is_reply: bool,
}

/// Of a decoded subject: encoded words are already UTF-8.
pub fn base_subject(subject: &str) -> BaseSubject {
    // (1) "Convert all tabs and continuations to space. Convert all multiple spaces to a single space."
    let words: Vec<&str> = subject.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).collect();
    let spaced = words.join(" ");
    let mut text = spaced.as_str();
    let mut is_reply = false;
    loop {
        text = without_trailers(text, &mut is_reply);
        text = without_leaders(text, &mut is_reply);
        // (6) subj-fwd-hdr and subj-fwd-trl
        match strip_prefix(text, "[fwd:").and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => (text, is_reply) = (inner, true),
            None => return BaseSubject { text: text.to_owned(), is_reply },
        }
    }
}

/// (2) `subj-trailer = "(fwd)" / WSP`
fn without_trailers<'a>(mut text: &'a str, is_reply: &mut bool) -> &'a str {
    loop {
        text = text.trim_end_matches(' ');
        let Some(at) = text.len().checked_sub(5) else { return text };
        match text.get(at..) {
            Some(end) if end.eq_ignore_ascii_case("(fwd)") => text = text.get(..at).unwrap_or_default(),
            _ => return text,
        }
        *is_reply = true;
    }
}

/// (3), (4) and (5). The blobs before a leader are walked once, not once for each of them.
fn without_leaders<'a>(mut text: &'a str, is_reply: &mut bool) -> &'a str {
    loop {
        text = text.trim_start_matches(' ');
        let (mut last, mut rest) = (text, text);
        while let Some(after) = blob(rest) {
            (last, rest) = (rest, after);
        }
        match refwd(rest) {
            Some(after) => (text, *is_reply) = (after, true),
            // (4) "and removing that prefix leaves a non-empty subj-base": else the last blob stays.
            None if rest.is_empty() => return last,
            None => return rest,
        }
    }
}

/// `subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"`
fn refwd(text: &str) -> Option<&str> {
    let after = ["re", "fwd", "fw"].iter().find_map(|word| strip_prefix(text, word))?.trim_start_matches(' ');
    blob(after).unwrap_or(after).strip_prefix(':')
}

/// `subj-blob = "[" *BLOBCHAR "]" *WSP`
fn blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find(['[', ']'])?;
    Some(inner.get(end..)?.strip_prefix(']')?.trim_start_matches(' '))
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(subject: &str, text: &str, is_reply: bool) {
        assert_eq!(base_subject(subject), BaseSubject { text: text.into(), is_reply }, "{subject}");
    }

    // RFC 5256 §2.1, by its steps, and §5.
    #[test]
    fn steps() {
        check("a\tb \r\n  c", "a b c", false);
        check("a (fwd) (FWD)  ", "a", true);
        check("(fwd)", "", true);
        check("Re: a", "a", true);
        check("rE  [x] : a", "a", true);
        check("Fw: FWD: re:a", "a", true);
        check("[list] Re: [list] a", "a", true);
        check("[a] [b]re: c", "c", true);
        check("[list] a", "a", false);
        check("[list]", "[list]", false);
        check("[a][b]", "[b]", false);
        check("Re: [a]", "[a]", true);
        check("[Fwd: a]", "a", true);
        check("[fwd: Re: [x] a (fwd)]", "a", true);
        check("[fwd: [fwd: a]]", "a", true);
        check("[Fwd: a] b", "b", false);
        check("Re:", "", true);
        check("", "", false);
    }

    #[test]
    fn what_only_looks_so() {
        check("Reply: a", "Reply: a", false);
        check("re a", "re a", false);
        check("AW: a", "AW: a", false);
        check("[a [b] c", "[a [b] c", false);
        check("fwdx: a", "fwdx: a", false);
        check("ré: a", "ré: a", false);
        check("ü(fwd", "ü(fwd", false);
    }

    #[test]
    fn long_and_repetitive_subjects_take_linear_time() {
        base_subject(&"[a]".repeat(300_000));
        base_subject(&"re:".repeat(300_000));
        base_subject(&"[fwd:".repeat(200_000));
        base_subject(&format!("{}{}", "[fwd:".repeat(100_000), "]".repeat(100_000)));
    }

    proptest! {
        #[test]
        fn taking_it_twice_changes_nothing(subject in "(re|fwd?|\\[|\\]|:| |\\(fwd\\)|a|ü){0,12}") {
            let once = base_subject(&subject).text;
            prop_assert_eq!(&base_subject(&once).text, &once);
        }
    }
}
