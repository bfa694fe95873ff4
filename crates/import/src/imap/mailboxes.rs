//! Which mailboxes of the source become which ones here: namespaces, hierarchy, uses, subscriptions.

use std::collections::HashSet;

use types::{MailboxName, SpecialUse};

use super::Wanted;
use super::response::{Listed, Namespace};
use super::session::Namespaces;
use crate::{Report, names};

/// A mailbox that will be imported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Planned {
    /// As the source writes it.
    pub(super) source: Vec<u8>,
    /// As it is called here.
    pub(super) name: MailboxName,
    pub(super) special_use: Option<SpecialUse>,
    pub(super) subscribed: bool,
}

/// What the source has, as far as it is wanted. The report says what is left out and what gets another name.
pub(super) fn plan(
    listed: Vec<Listed>,
    namespaces: Option<&Namespaces>,
    subscriptions: Option<&[Listed]>,
    wanted: &Wanted,
    report: &mut Report,
) -> Vec<Planned> {
    let prefixes = Prefixes::new(&listed, namespaces);
    let mut plan = Plan { planned: vec![], names: HashSet::new(), uses: HashSet::new(), wanted, report };
    let subscribed: Option<HashSet<&[u8]>> =
        subscriptions.map(|subscriptions| subscriptions.iter().map(|listed| listed.name.as_slice()).collect());
    let mut seen = HashSet::new();
    // INBOX first: nothing may take its name.
    let (inbox, others): (Vec<_>, Vec<_>) = listed.into_iter().partition(|listed| is_inbox(&listed.name));
    let mut foreign = 0u64;
    for listed in inbox.into_iter().chain(others) {
        if !seen.insert(listed.name.clone()) {
            continue;
        }
        if !wanted.shared && prefixes.is_foreign(&listed.name) {
            foreign += 1;
        } else if !listed.has("\\Noselect") && !listed.has("\\NonExistent") {
            let subscribed = subscribed.as_ref().is_none_or(|names| names.contains(listed.name.as_slice()));
            plan.add(&listed, &prefixes, subscribed);
        }
    }
    if foreign > 0 {
        plan.report.remark(format!("{foreign} mailboxes of other users or shared with others are left out"));
    }
    plan.planned
}

impl Listed {
    fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|one| one.eq_ignore_ascii_case(attribute))
    }
}

struct Plan<'a> {
    planned: Vec<Planned>,
    names: HashSet<MailboxName>,
    uses: HashSet<SpecialUse>,
    wanted: &'a Wanted,
    report: &'a mut Report,
}

impl Plan<'_> {
    fn add(&mut self, listed: &Listed, prefixes: &Prefixes, subscribed: bool) {
        let written = String::from_utf8_lossy(&listed.name).into_owned();
        let text = prefixes.name(listed);
        if !self.wanted.has(&text) {
            return;
        }
        let name = match self.free(&text) {
            Ok(name) => name,
            Err(error) => return self.report.problem(format!("the mailbox {written:?}: {error}")),
        };
        if name.as_str() != text {
            self.report.remark(format!("{text} is called {name} here"));
        }
        let mut special_use = listed.attributes.iter().find_map(|attribute| SpecialUse::parse(attribute));
        if matches!(special_use, Some(SpecialUse::All | SpecialUse::Flagged)) {
            // RFC 6154 §2: a view of messages that are elsewhere, but perhaps not all of them are.
            self.report.remark(format!("{name} may show messages of other mailboxes again: `--exclude` leaves it out"));
            special_use = None;
        }
        special_use = special_use.filter(|special_use| self.uses.insert(*special_use));
        self.planned.push(Planned { source: listed.name.clone(), name, special_use, subscribed });
    }

    /// The name, or one like it that no other mailbox has.
    fn free(&mut self, text: &str) -> Result<MailboxName, types::NameError> {
        let mut name = MailboxName::new(text)?;
        let mut n = 1;
        while !self.names.insert(name.clone()) {
            n += 1;
            name = MailboxName::new(&format!("{text} ({n})"))?;
        }
        Ok(name)
    }
}

/// What stands before the names of mailboxes.
struct Prefixes {
    own: Vec<Vec<u8>>,
    foreign: Vec<Vec<u8>>,
}

impl Prefixes {
    fn new(listed: &[Listed], namespaces: Option<&Namespaces>) -> Self {
        let prefixes = |namespaces: &[Namespace]| {
            namespaces.iter().map(|one| one.prefix.clone()).filter(|prefix| !prefix.is_empty()).collect::<Vec<_>>()
        };
        if let Some([own, others, shared]) = namespaces {
            let mut foreign = prefixes(others);
            foreign.extend(prefixes(shared));
            return Self { own: prefixes(own), foreign };
        }
        // Without NAMESPACE: where everything is below INBOX, that says nothing.
        let others: Vec<_> = listed.iter().filter(|listed| !is_inbox(&listed.name)).collect();
        let below = |listed: &&Listed| listed.delimiter.map(|delimiter| [b"INBOX", &[delimiter][..]].concat());
        let prefix = others.first().and_then(below);
        let all = |prefix: &Vec<u8>| others.iter().all(|listed| begins(&listed.name, prefix));
        Self { own: prefix.filter(all).into_iter().collect(), foreign: vec![] }
    }

    fn is_foreign(&self, name: &[u8]) -> bool {
        let longest = |prefixes: &[Vec<u8>]| {
            prefixes.iter().filter(|prefix| begins(name, prefix)).map(|prefix| prefix.len()).max()
        };
        longest(&self.foreign) > longest(&self.own)
    }

    /// The name here: levels between `/`, without what the namespace puts before it.
    fn name(&self, listed: &Listed) -> String {
        if is_inbox(&listed.name) {
            return "INBOX".to_owned();
        }
        let own = self.own.iter().filter(|prefix| begins(&listed.name, prefix)).map(|prefix| prefix.len()).max();
        let name = listed.name.get(own.unwrap_or(0)..).unwrap_or_default();
        let name = if name.is_empty() { &listed.name } else { name };
        let levels: Vec<String> =
            name.split(|octet| Some(*octet) == listed.delimiter).filter(|level| !level.is_empty()).map(level).collect();
        levels.join("/")
    }
}

/// A level of a name: from modified UTF-7, or UTF-8 as some servers write it; without what cannot stand in a name here.
fn level(octets: &[u8]) -> String {
    let text = names::decode(&String::from_utf8_lossy(octets));
    let kept = |c: char| !(c.is_control() || matches!(c, '/' | '*' | '%' | '\u{2028}' | '\u{2029}'));
    text.chars().map(|c| if kept(c) { c } else { '_' }).collect()
}

fn is_inbox(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"INBOX")
}

/// RFC 9051 §5.1.1: the case of INBOX does not count, and with it not that of a prefix.
fn begins(name: &[u8], prefix: &[u8]) -> bool {
    name.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, delimiter: Option<char>, attributes: &[&str]) -> Listed {
        Listed {
            name: name.into(),
            delimiter: delimiter.and_then(|delimiter| u8::try_from(delimiter).ok()),
            attributes: attributes.iter().map(|&attribute| attribute.to_owned()).collect(),
        }
    }

    fn namespace(prefix: &str) -> Vec<Namespace> {
        vec![Namespace { prefix: prefix.into(), delimiter: Some(b'.') }]
    }

    fn names(listed: Vec<Listed>, namespaces: Option<&Namespaces>, wanted: &Wanted) -> (Vec<String>, Report) {
        let mut report = Report::default();
        let planned = plan(listed, namespaces, None, wanted, &mut report);
        (planned.into_iter().map(|planned| planned.name.to_string()).collect(), report)
    }

    #[test]
    fn prefixes_go_with_and_without_namespace() {
        let all = || ["INBOX.Sent", "inbox", "INBOX.a/b.Entw&APw-rfe"].map(|name| listed(name, Some('.'), &[])).into();
        let wanted = Wanted::default();
        let namespaces = [namespace("INBOX."), namespace("user."), namespace("shared.")];
        for namespaces in [None, Some(&namespaces)] {
            assert_eq!(names(all(), namespaces, &wanted).0, ["INBOX", "Sent", "a_b/Entwürfe"]);
        }
        let mut more = all();
        more.extend(["user.bob", "user.bob.x", "shared.news"].map(|name| listed(name, Some('.'), &[])));
        let (some, report) = names(more.clone(), Some(&namespaces), &wanted);
        assert_eq!((some.len(), report.failed), (3, 0));
        assert!(report.remarks[0].starts_with("3 mailboxes"), "{:?}", report.remarks);
        let wanted = Wanted { shared: true, ..wanted };
        assert_eq!(names(more, Some(&namespaces), &wanted).0[3..], ["user/bob", "user/bob/x", "shared/news"]);
        // One that is not below INBOX: then INBOX is a level like others.
        let some = ["INBOX/a", "b"].map(|name| listed(name, Some('/'), &[])).into();
        assert_eq!(names(some, None, &Wanted::default()).0, ["INBOX/a", "b"]);
    }

    #[test]
    fn names_that_cannot_be_here() {
        let some = vec![
            listed("a*b", None, &[]),
            listed("a%b", None, &[]),
            listed("x/y", None, &[]),
            listed("Müll", Some('\\'), &[]),
            listed("R&D", Some('/'), &[]),
            listed("a//b/", Some('/'), &[]),
            listed("Work", Some('/'), &["\\NoSelect"]),
            listed(&"x".repeat(1001), Some('/'), &[]),
        ];
        let (names, report) = names(some, None, &Wanted::default());
        assert_eq!(names, ["a_b", "a_b (2)", "x_y", "Müll", "R&D", "a/b"]);
        assert_eq!((report.failed, report.remarks.len()), (1, 1), "{report:?}");
    }

    #[test]
    fn uses_subscriptions_and_exclusions() {
        let mut report = Report::default();
        let some = vec![
            listed("Sent Items", Some('/'), &["\\HasNoChildren", "\\SENT"]),
            listed("Sent", Some('/'), &["\\Sent"]),
            listed("[Gmail]/All Mail", Some('/'), &["\\All"]),
            listed("Lists/rust", Some('/'), &[]),
        ];
        let subscriptions = [listed("Sent", Some('/'), &[])];
        let wanted = Wanted { exclude: vec!["Lists/*".into()], ..Wanted::default() };
        let planned = plan(some, None, Some(&subscriptions), &wanted, &mut report);
        let of: Vec<_> = planned.iter().map(|one| (one.name.as_str(), one.special_use, one.subscribed)).collect();
        let sent = Some(SpecialUse::Sent);
        assert_eq!(of, [("Sent Items", sent, false), ("Sent", None, true), ("[Gmail]/All Mail", None, false)]);
        assert_eq!(report.remarks.len(), 1, "{report:?}");
    }
}
