//! Capabilities that are switched off, by the configuration for everybody or by the administrator for
//! one account: a client that misuses one must not need a new release.
//!
//! What is off is not announced, ENABLE does not know it, and what exists only by it is answered as
//! if we had never heard of it. Which commands those are is [`Command::needs`]; they are refused by
//! `Off::known` and nowhere else. Any capability can be off but those without which nobody could
//! log in or no session could be.

use std::sync::Arc;

use proto::imap::command::{AppendHead, AppendMessage};
use proto::imap::{Capability, Command, Dialect, NonSyncLiterals, ParseError, Request};
use types::Resource;

use super::capability::extensions;
use crate::context::ImapOptions;

/// What IMAP4rev2 contains: a session that has enabled it keeps these (RFC 9051 Appendix E). Who
/// wants one of them gone for such clients too switches off IMAP4rev2 as well.
const OF_REV2: &[Capability] = &[
    Capability::Binary,
    Capability::Children,
    Capability::Enable,
    Capability::ESearch,
    Capability::Idle,
    Capability::ListExtended,
    Capability::ListStatus,
    Capability::LiteralMinus,
    Capability::Move,
    Capability::Namespace,
    Capability::SaslIr,
    Capability::SearchRes,
    Capability::SpecialUse,
    Capability::StatusSize,
    Capability::UidPlus,
    Capability::Unselect,
];

/// The first makes no sense without the second, so it goes with it.
const RESTS_ON: &[(Capability, Capability)] = &[
    // RFC 9051 Appendix E, RFC 7162 §3.2.3: nothing else enables them.
    (Capability::Imap4Rev2, Capability::Enable),
    (Capability::QResync, Capability::Enable),
    (Capability::UidOnly, Capability::Enable),
    (Capability::Utf8Accept, Capability::Enable),
    (Capability::QResync, Capability::CondStore),
    (Capability::SearchRes, Capability::ESearch),
    (Capability::Partial, Capability::ESearch),
    (Capability::ESort, Capability::ESearch),
    (Capability::ESort, Capability::Sort),
    (Capability::SortDisplay, Capability::Sort),
    (Capability::ListStatus, Capability::ListExtended),
    (Capability::CreateSpecialUse, Capability::SpecialUse),
    (Capability::QuotaSet, Capability::Quota),
    (Capability::QuotaRes(Resource::Storage), Capability::Quota),
    (Capability::QuotaRes(Resource::Message), Capability::Quota),
    (Capability::QuotaRes(Resource::Mailbox), Capability::Quota),
    (Capability::QuotaRes(Resource::AnnotationStorage), Capability::Quota),
];

/// A set of capabilities that are switched off.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Off(Arc<[Capability]>);

/// There is no such capability, or it cannot be switched off.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{name:?} is no capability that can be switched off; those are {}", names().join(", "))]
pub struct UnknownCapability {
    name: String,
}

/// The names of all capabilities that can be switched off, as [`Off::named`] takes them.
pub fn names() -> Vec<String> {
    switchable().map(|capability| name(&capability)).collect()
}

/// Takes a name as an administrator writes it, and gives it as we do. Case does not matter, nor does
/// the number that CAPABILITY shows behind `APPENDLIMIT=`.
pub fn known_name(written: &str) -> Result<String, UnknownCapability> {
    find(written).map(|capability| name(&capability)).ok_or_else(|| UnknownCapability { name: written.to_owned() })
}

impl Off {
    /// Those with these names.
    pub fn named<S: AsRef<str>>(names: &[S]) -> Result<Self, UnknownCapability> {
        let unknown = |name: &str| UnknownCapability { name: name.to_owned() };
        let found = names.iter().map(|name| find(name.as_ref()).ok_or_else(|| unknown(name.as_ref())));
        Ok(Self(closed(found.collect::<Result<_, _>>()?)))
    }

    /// These and those with the names, as a store keeps them. A name that a newer Pillarbox wrote
    /// means nothing here.
    pub(crate) fn and(&self, names: &[String]) -> Self {
        if names.is_empty() {
            return self.clone();
        }
        Self(closed(self.0.iter().cloned().chain(names.iter().filter_map(|name| find(name))).collect()))
    }

    /// Is this switched off?
    pub(crate) fn has(&self, capability: &Capability) -> bool {
        self.0.contains(&unlimited(capability))
    }

    /// The literals that a session takes which may speak `dialect`.
    pub(crate) fn literals(&self, options: &ImapOptions, dialect: Dialect) -> NonSyncLiterals {
        let (announced, literals) = if options.literal_minus {
            (Capability::LiteralMinus, NonSyncLiterals::Minus)
        } else {
            (Capability::LiteralPlus, NonSyncLiterals::Plus)
        };
        match self.has(&announced) {
            false => literals,
            // RFC 9051 §4.3: LITERAL- is part of it.
            true if dialect.rev2 => NonSyncLiterals::Minus,
            true => NonSyncLiterals::None,
        }
    }

    /// The request, or the answer to what nobody knows. ENABLE only loses the names that are off
    /// (RFC 5161 §3.1: unknown ones are ignored).
    pub(crate) fn known(&self, dialect: Dialect, mut request: Request) -> Result<Request, ParseError> {
        if self.0.is_empty() {
            return Ok(request);
        }
        if let Command::Enable(names) = &mut request.command {
            names.retain(|name| find(name).is_none_or(|capability| !self.has(&capability)));
        }
        match self.allow(dialect, &request.command.needs()) {
            Ok(()) => Ok(request),
            Err(error) => Err(ParseError { tag: Some(request.tag), ..error }),
        }
    }

    /// As [`Off::known`].
    pub(crate) fn known_append(&self, dialect: Dialect, head: AppendHead) -> Result<AppendHead, ParseError> {
        match self.allow(dialect, &head.needs()) {
            Ok(()) => Ok(head),
            Err(error) => Err(ParseError { tag: Some(head.tag), ..error }),
        }
    }

    /// As [`Off::known`], for the messages of an APPEND behind the first.
    pub(crate) fn known_message(&self, dialect: Dialect, message: AppendMessage) -> Result<AppendMessage, ParseError> {
        self.allow(dialect, &message.needs(true)).map(|()| message)
    }

    fn allow(&self, dialect: Dialect, needs: &[Capability]) -> Result<(), ParseError> {
        let forbidden = |need: &Capability| self.has(need) && !(dialect.rev2 && OF_REV2.contains(need));
        if needs.iter().any(forbidden) { Err(ParseError::bad("unknown command or parameter")) } else { Ok(()) }
    }
}

/// All that can be switched, whatever is announced at the moment.
fn switchable() -> impl Iterator<Item = Capability> {
    let literals = [Capability::LiteralPlus, Capability::LiteralMinus];
    let others = extensions(0).into_iter();
    [Capability::Imap4Rev2].into_iter().chain(literals).chain(others)
}

fn find(written: &str) -> Option<Capability> {
    let written = without_number(written);
    switchable().find(|capability| name(capability).eq_ignore_ascii_case(written))
}

/// `APPENDLIMIT`, not `APPENDLIMIT=52428800`.
fn name(capability: &Capability) -> String {
    without_number(&capability.to_string()).to_owned()
}

fn without_number(text: &str) -> &str {
    match text.split_once('=') {
        Some((name, number)) if number.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => text,
    }
}

/// A capability whatever its number.
fn unlimited(capability: &Capability) -> Capability {
    match capability {
        Capability::AppendLimit(_) => Capability::AppendLimit(0),
        other => other.clone(),
    }
}

/// Each once, with everything that rests on one of them.
fn closed(named: Vec<Capability>) -> Arc<[Capability]> {
    let (mut off, mut more) = (Vec::new(), named);
    while let Some(capability) = more.pop() {
        if !off.contains(&capability) {
            more.extend(RESTS_ON.iter().filter(|(_, base)| *base == capability).map(|(above, _)| above.clone()));
            off.push(capability);
        }
    }
    off.into()
}

#[cfg(test)]
mod tests;
