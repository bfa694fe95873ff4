//! ID (RFC 2971).

use crate::imap::ParseError;
use crate::imap::lex::Cursor;

/// `id = "ID" SP id-params-list`, `id-params-list = "(" *(string SP nstring) ")" / nil` (RFC 2971 §4)
///
/// Takes any number of fields and any length of them: RFC 2971 §3.3 limits what is sent, and phones
/// send more.
pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Vec<(String, Option<String>)>, ParseError> {
    c.space()?;
    if c.eat_word("NIL") {
        return Ok(Vec::new());
    }
    c.list(true, |c| {
        let name = text(&c.astring("a field name")?);
        c.space()?;
        let value = c.nstring("a string or NIL")?;
        Ok((name, value.map(|v| text(&v))))
    })
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bad, ok};
    use crate::imap::Command;

    #[test]
    fn fields() {
        // RFC 2971 §3.1
        let parsed = ok(r#"a023 ID ("name" "sodr" "version" "19.34" "vendor" NIL)"#);
        let fields = [("name", Some("sodr")), ("version", Some("19.34")), ("vendor", None)];
        let fields = fields.map(|(n, v)| (n.to_owned(), v.map(str::to_owned)));
        assert_eq!(parsed, Command::Id(fields.to_vec()));
        assert_eq!(ok("a ID NIL"), Command::Id(vec![]));
        assert_eq!(ok("a ID ()"), Command::Id(vec![]));
        for text in ["a ID", "a ID x", r#"a ID ("name")"#, r#"a ID ("name" x)"#, r#"a ID ("name" "x""#] {
            bad(text);
        }
    }
}
