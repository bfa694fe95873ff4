//! SORT and UID SORT (RFC 5256 §3), with DISPLAYFROM and DISPLAYTO (RFC 5957) and RETURN (RFC 5267 §3).

use super::search::{SearchKey, SearchReturn, search_criteria};
use crate::imap::lex::Cursor;
use crate::imap::{ParseError, Verdict};

/// `extended-sort = ["UID" SP] "SORT" search-return-opts SP sort-criteria SP search-criteria`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sort {
    /// UID SORT: the answer is in UIDs.
    pub by_uid: bool,
    /// `RETURN (…)`: `None` where it was not there; `RETURN ()` is `all`.
    pub returns: Option<SearchReturn>,
    /// At least one; none of them twice.
    pub criteria: Vec<SortCriterion>,
    /// What to sort. Strings are decoded from the charset.
    pub key: SearchKey,
}

/// `sort-criterion = ["REVERSE" SP] sort-key`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SortCriterion {
    /// What messages are compared by.
    pub key: SortKey,
    /// `REVERSE`: descending.
    pub reverse: bool,
}

/// `sort-key = "ARRIVAL" / "CC" / "DATE" / "FROM" / "SIZE" / "SUBJECT" / "TO" / "DISPLAYFROM" / "DISPLAYTO"`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SortKey {
    /// `ARRIVAL`: internal date.
    Arrival,
    /// `CC`
    Cc,
    /// `DATE`: sent date.
    Date,
    /// `DISPLAYFROM`
    DisplayFrom,
    /// `DISPLAYTO`
    DisplayTo,
    /// `FROM`
    From,
    /// `SIZE`
    Size,
    /// `SUBJECT`: base subject.
    Subject,
    /// `TO`
    To,
}

impl Sort {
    pub(super) fn parse(c: &mut Cursor<'_>, by_uid: bool) -> Result<Self, ParseError> {
        c.space()?;
        let returns = SearchReturn::parse_optional(c)?;
        let criteria = sort_criteria(c)?;
        c.space()?;
        let saves = returns.is_some_and(|returns| returns.save);
        // RFC 5182 §2.1, as for SEARCH.
        let key = search_criteria(c).map_err(|error| {
            let empties_saved = saves && error.verdict == Verdict::No;
            ParseError { empties_saved, ..error }
        })?;
        Ok(Self { by_uid, returns, criteria, key })
    }
}

/// `sort-criteria = "(" sort-criterion *(SP sort-criterion) ")"`. A key that comes again decides
/// nothing: messages that get there are equal by it.
fn sort_criteria(c: &mut Cursor<'_>) -> Result<Vec<SortCriterion>, ParseError> {
    let mut criteria: Vec<SortCriterion> = Vec::new();
    c.list(false, |c| {
        let reverse = c.eat_word("REVERSE");
        if reverse {
            c.space()?;
        }
        let start = c.clone();
        let key = match c.word("a sort key")?.as_str() {
            "ARRIVAL" => SortKey::Arrival,
            "CC" => SortKey::Cc,
            "DATE" => SortKey::Date,
            "DISPLAYFROM" => SortKey::DisplayFrom,
            "DISPLAYTO" => SortKey::DisplayTo,
            "FROM" => SortKey::From,
            "SIZE" => SortKey::Size,
            "SUBJECT" => SortKey::Subject,
            "TO" => SortKey::To,
            _ => return start.expected("a known sort key"),
        };
        if criteria.iter().all(|other| other.key != key) {
            criteria.push(SortCriterion { key, reverse });
        }
        Ok(())
    })?;
    Ok(criteria)
}

#[cfg(test)]
mod tests {
    use types::Limits;

    use super::super::tests::{bad, no, ok};
    use super::*;
    use crate::imap::{Code, Command, Dialect, Request};

    fn parsed(text: &str) -> Sort {
        match ok(text) {
            Command::Sort(sort) => sort,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_examples_of_the_rfcs() {
        let by = |key, reverse| SortCriterion { key, reverse };
        // RFC 5256 §3
        let sort = parsed("A283 SORT (SUBJECT REVERSE DATE) UTF-8 ALL");
        assert_eq!(sort.criteria, [by(SortKey::Subject, false), by(SortKey::Date, true)]);
        assert_eq!((sort.by_uid, sort.returns, sort.key), (false, None, SearchKey::All));
        let sort = parsed("A284 SORT (SUBJECT) US-ASCII TEXT \"not in mailbox\"");
        assert_eq!(sort.key, SearchKey::Text("not in mailbox".into()));
        // RFC 5267 §3.3
        let sort = parsed("E01 UID SORT RETURN () (REVERSE DATE) UTF-8 UNDELETED UNKEYWORD $Junk");
        assert_eq!(sort.returns, Some(SearchReturn { all: true, ..SearchReturn::default() }));
        assert!(sort.by_uid && matches!(sort.key, SearchKey::And(keys) if keys.len() == 2));
    }

    #[test]
    fn every_key() {
        let sort =
            parsed("a sort (arrival cc date displayfrom displayto from size subject to reverse cc) \"utf-8\" all");
        assert_eq!(sort.criteria.len(), 9);
        assert!(sort.criteria.iter().all(|by| !by.reverse));
    }

    #[test]
    fn what_is_no_sort() {
        for text in ["", "()", "(FOO)", "(REVERSE)", "(REVERSE REVERSE DATE)", "DATE", "(DATE )", "(DATE SIZE"] {
            bad(&format!("a SORT {text} UTF-8 ALL"));
        }
        for text in [
            "(DATE)",
            "(DATE) UTF-8",
            "(DATE) UTF-8 ",
            "(DATE) UTF-8 FOO",
            "(DATE)UTF-8 ALL",
            "RETURN (FOO) (DATE) UTF-8 ALL",
        ] {
            bad(&format!("a UID SORT {text}"));
        }
        assert!(matches!(no("a SORT (DATE) x-unknown ALL").code, Some(Code::BadCharset(_))));
        assert!(no("a SORT RETURN (SAVE) (DATE) x-unknown ALL").empties_saved);
    }

    // RFC 9755 §3: "servers SHOULD reject charset values other than UTF-8 with a BAD response".
    #[test]
    fn charset_with_utf8_accept() {
        let dialect = Dialect { utf8: true, ..Dialect::default() };
        let parse = |text: &str| Request::parse(text.as_bytes(), dialect, &Limits::default());
        assert!(parse("a SORT (DATE) utf-8 ALL").is_ok());
        assert_eq!(parse("a SORT (DATE) US-ASCII ALL").unwrap_err().verdict, Verdict::Bad);
    }
}
