//! The words of HTML: what stands between its tags.
//!
//! Not a parser of HTML but a reader of tokens, as the text comes; nobody trusts what it gives, which
//! is plain text. Memory is bounded: of a tag only the name is kept.

use super::{Words, entity};

/// Octets of the name of a tag, or of a character reference, that are kept.
const NAME: usize = 32;

/// Reads HTML.
#[derive(Debug, Default)]
pub(super) struct Html {
    words: Words,
    token: Token,
    /// The element whose content is not text; its end is looked for.
    hidden: Option<&'static str>,
    /// How many quotations are open.
    quotations: u32,
}

/// What is being read.
#[derive(Debug, Default)]
enum Token {
    #[default]
    Text,
    /// Behind `<`.
    Open,
    Tag(Tag),
    /// `<!…>` and `<?…>`: what it is, as far as that decides its end.
    Declaration(String),
    /// Behind `<!--`: how many `-` were the last.
    Comment(u32),
    /// Behind `&`: the name so far.
    Reference(String),
}

#[derive(Debug, Default)]
struct Tag {
    closes: bool,
    /// In lower case; complete once something else came.
    name: String,
    has_name: bool,
    /// The value of an attribute may begin here.
    value: bool,
    /// The value is between these.
    quote: Option<char>,
}

/// Elements whose content is not shown.
const HIDDEN: [&str; 4] = ["script", "style", "title", "template"];

/// Elements that may stand within a word.
const INLINE: [&str; 31] = [
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd",
    "label", "mark", "o:p", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "wbr",
];

impl Html {
    pub(super) fn push(&mut self, text: &str) {
        text.chars().for_each(|c| self.take(c));
    }

    pub(super) fn is_full(&self) -> bool {
        self.words.own.is_full()
    }

    pub(super) fn finish(mut self) -> String {
        match std::mem::take(&mut self.token) {
            Token::Open => self.show('<'),
            Token::Reference(name) => self.reference(&name),
            Token::Text | Token::Tag(_) | Token::Declaration(_) | Token::Comment(_) => {}
        }
        self.words.finish()
    }

    fn take(&mut self, c: char) {
        self.token = match std::mem::take(&mut self.token) {
            Token::Text => self.text(c),
            Token::Open => self.open(c),
            Token::Tag(tag) => self.tag(tag, c),
            Token::Declaration(mut start) => {
                if start.len() < 2 {
                    start.push(c);
                }
                match (start.as_str(), c) {
                    // `<!-->` is one already.
                    ("--", _) => Token::Comment(2),
                    (_, '>') => Token::Text,
                    _ => Token::Declaration(start),
                }
            }
            Token::Comment(dashes) => match c {
                '>' if dashes >= 2 => Token::Text,
                '-' => Token::Comment(dashes.saturating_add(1)),
                _ => Token::Comment(0),
            },
            Token::Reference(mut name) => {
                if (c.is_ascii_alphanumeric() || c == '#') && name.len() < NAME {
                    name.push(c);
                    Token::Reference(name)
                } else {
                    self.reference(&name);
                    if c == ';' && entity::decode(&name).is_some() { Token::Text } else { self.text(c) }
                }
            }
        };
    }

    fn text(&mut self, c: char) -> Token {
        match c {
            '<' => return Token::Open,
            '&' if self.hidden.is_none() => return Token::Reference(String::new()),
            c => self.show(c),
        }
        Token::Text
    }

    fn open(&mut self, c: char) -> Token {
        match c {
            '/' => Token::Tag(Tag { closes: true, ..Tag::default() }),
            '!' | '?' if self.hidden.is_none() => Token::Declaration(String::new()),
            c if c.is_ascii_alphabetic() => {
                Token::Tag(Tag { name: c.to_ascii_lowercase().to_string(), ..Tag::default() })
            }
            // A less-than sign.
            c => {
                self.show('<');
                self.text(c)
            }
        }
    }

    fn tag(&mut self, mut tag: Tag, c: char) -> Token {
        match (tag.quote, c) {
            (Some(quote), c) if c == quote => (tag.quote, tag.value) = (None, false),
            (Some(_), _) => {}
            (None, '>') => {
                self.end_tag(&tag);
                return Token::Text;
            }
            // In a script a tag may begin at any place.
            (None, '<') if self.hidden.is_some() => return Token::Open,
            (None, '"' | '\'') if tag.value && self.hidden.is_none() => tag.quote = Some(c),
            (None, c) if !tag.has_name && !c.is_whitespace() && c != '/' => {
                if tag.name.len() < NAME {
                    tag.name.push(c.to_ascii_lowercase());
                }
            }
            (None, c) => {
                tag.has_name = true;
                tag.value = c == '=' || tag.value && c.is_whitespace();
            }
        }
        Token::Tag(tag)
    }

    fn end_tag(&mut self, tag: &Tag) {
        let name = tag.name.as_str();
        if let Some(hidden) = self.hidden {
            if tag.closes && name == hidden {
                self.hidden = None;
            }
            return;
        }
        if !tag.closes {
            self.hidden = HIDDEN.into_iter().find(|hidden| *hidden == name);
        }
        if !INLINE.contains(&name) {
            self.words.own.space();
            self.words.quoted.space();
        }
        if name == "blockquote" {
            self.quotations =
                if tag.closes { self.quotations.saturating_sub(1) } else { self.quotations.saturating_add(1) };
        }
    }

    /// A reference that nobody knows is text.
    fn reference(&mut self, name: &str) {
        match entity::decode(name) {
            Some(c) => self.show(c),
            None => {
                self.show('&');
                name.chars().for_each(|c| self.show(c));
            }
        }
    }

    fn show(&mut self, c: char) {
        if self.hidden.is_some() {
            return;
        }
        if self.quotations > 0 { self.words.quoted.push(c) } else { self.words.own.push(c) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        let mut html = Html::default();
        html.push(text);
        html.finish()
    }

    #[test]
    fn tags_part_words_or_do_not() {
        assert_eq!(words("<p>One<b>t</b>wo<br>three</p><P CLASS=x>four"), "Onetwo three four");
        assert_eq!(words("<table><tr><td>a</td><td>b</td></tr></table>"), "a b");
        assert_eq!(words("a<br/>b<hr />c"), "a b c");
    }

    #[test]
    fn what_is_not_text() {
        assert_eq!(words("<!DOCTYPE html><html><head><title>No</title><style>p { x: '>' }</style></head>yes"), "yes");
        assert_eq!(words("<script>if (a < b && c > d) { x('<p>no</p>') }</script>yes"), "yes");
        assert_eq!(words("<!--[if mso]><p>no</p><![endif]-->yes<!-- - -- > no -->!"), "yes!");
        assert_eq!(words("<![if !mso]>yes<![endif]><?xml no ?>"), "yes");
        assert_eq!(words("<a title='a > b' href=\"x>y\">yes</a>"), "yes");
        assert_eq!(words("<img alt=it's>yes"), "yes");
        assert_eq!(words("<!-->yes"), "yes");
        assert_eq!(words("<!-- no"), "");
        assert_eq!(words("yes<p no"), "yes");
    }

    #[test]
    fn references() {
        assert_eq!(words("a&nbsp;&amp;&lt;b&gt; &#8364;&#x20ac; &Auml;&uuml;&copy"), "a &<b> \u{20ac}\u{20ac} Äü©");
        assert_eq!(
            words("R&D, x&unknown;y &; &#0; &#xd800; &#x110000; &#150;"),
            "R&D, x&unknown;y &; &#0; &#xd800; &#x110000; –"
        );
        assert_eq!(words(&format!("&{};", "a".repeat(40))), format!("&{};", "a".repeat(40)));
        assert_eq!(words("a < b <3 &"), "a < b <3 &");
    }

    #[test]
    fn quotations() {
        assert_eq!(words("<blockquote>old</blockquote><div>new</div>"), "new");
        assert_eq!(words("new<blockquote>old<blockquote>older</blockquote>old</blockquote>again"), "new again");
        assert_eq!(words("<blockquote>only <i>this</i>"), "only this");
        assert_eq!(words("</blockquote>fine"), "fine");
    }
}
