//! Response codes: what a machine reads in a status response (RFC 9051 §7.1, RFC 5530).

use types::{Flag, IdSet, ModSeq, SeqNum, Uid, UidValidity};

use super::{Capability, ObjectId, Tag};

/// `resp-text-code` of RFC 9051 §9 and its extensions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Code {
    /// RFC 9051 §7.1: must be shown to the user.
    Alert,
    /// RFC 5530 §3
    AlreadyExists,
    /// RFC 4315 §3: the UIDs given to appended messages, in their order.
    AppendUid(UidValidity, IdSet<Uid>),
    /// RFC 5530 §3
    AuthenticationFailed,
    /// RFC 5530 §3
    AuthorizationFailed,
    /// RFC 9051 §7.1: the charsets that SEARCH takes.
    BadCharset(&'static [&'static str]),
    /// RFC 5530 §3
    Cannot,
    /// RFC 9051 §7.1
    Capability(Vec<Capability>),
    /// RFC 5530 §3
    ClientBug,
    /// RFC 7162 §3.2.11, RFC 9051 §7.1
    Closed,
    /// RFC 4978 §3
    CompressionActive,
    /// RFC 5530 §3
    ContactAdmin,
    /// RFC 4315 §3: UIDVALIDITY of the target, UIDs of the source, UIDs of the target.
    CopyUid(UidValidity, IdSet<Uid>, IdSet<Uid>),
    /// RFC 5530 §3
    Corruption,
    /// RFC 6858 §3: the messages of which a surrogate was shown.
    Downgraded(IdSet<Uid>),
    /// RFC 5530 §3
    Expired,
    /// RFC 5530 §3
    ExpungeIssued,
    /// RFC 9051 §7.1
    HasChildren,
    /// RFC 7162 §3.1.2.1
    HighestModSeq(ModSeq),
    /// RFC 9585 §4: a command is at work. Only in an untagged OK.
    InProgress {
        /// Of the command.
        tag: Option<Tag>,
        /// How many of its messages (or whatever it goes through) are done, of how many.
        progress: Option<(u32, u32)>,
    },
    /// RFC 5530 §3
    InUse,
    /// RFC 5530 §3
    Limit,
    /// RFC 8474 §4.1, §4.2
    MailboxId(ObjectId),
    /// RFC 7162 §3.1.3: the messages that changed meanwhile, by sequence number.
    Modified(IdSet<SeqNum>),
    /// RFC 7162 §3.1.3: the same by UID, after UID STORE.
    ModifiedUids(IdSet<Uid>),
    /// RFC 5530 §3
    NonExistent,
    /// RFC 5530 §3
    NoPerm,
    /// RFC 5182 §2.1, RFC 9051 §7.1
    NotSaved,
    /// RFC 5530 §3
    OverQuota,
    /// RFC 9051 §7.1
    Parse,
    /// RFC 9051 §7.1
    PermanentFlags {
        /// The flags that can be changed permanently.
        flags: Vec<Flag>,
        /// `\*`: new keywords can be made.
        create: bool,
    },
    /// RFC 5530 §3
    PrivacyRequired,
    /// RFC 9051 §7.1
    ReadOnly,
    /// RFC 9051 §7.1
    ReadWrite,
    /// RFC 5530 §3
    ServerBug,
    /// RFC 7889 §4, RFC 4469 §6.1
    TooBig,
    /// RFC 10022: a UIDBATCHES with batches that are too small.
    TooFew,
    /// RFC 10022: a UIDBATCHES with more batches than there can be in one answer.
    TooMany,
    /// RFC 9051 §7.1
    TryCreate,
    /// RFC 9051 §7.1.
    UidNext(Uid),
    /// RFC 4315 §3, RFC 9051 §7.1
    UidNotSticky,
    /// RFC 9586 §3: a sequence number although UIDONLY is enabled.
    UidRequired,
    /// RFC 9051 §7.1
    UidValidity(UidValidity),
    /// RFC 5530 §3
    Unavailable,
    /// RFC 3516 §4.3, RFC 9051 §7.1
    UnknownCte,
    /// RFC 3501 §7.1: the first unseen message; not in IMAP4rev2.
    Unseen(SeqNum),
    /// RFC 6154 §3
    UseAttr,
}

impl Code {
    /// Writes `"[" resp-text-code "]"`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        use std::io::Write;
        // Writing to a Vec cannot fail.
        let _ = match self {
            Self::AppendUid(validity, uids) => write!(out, "[APPENDUID {validity} {uids}]"),
            Self::BadCharset([]) => write!(out, "[BADCHARSET]"),
            Self::BadCharset(charsets) => write!(out, "[BADCHARSET ({})]", charsets.join(" ")),
            Self::Capability(capabilities) => {
                let names: Vec<_> = capabilities.iter().map(Capability::to_string).collect();
                write!(out, "[CAPABILITY {}]", names.join(" "))
            }
            Self::CopyUid(validity, from, to) => write!(out, "[COPYUID {validity} {from} {to}]"),
            Self::Downgraded(uids) => write!(out, "[DOWNGRADED {uids}]"),
            Self::HighestModSeq(modseq) => write!(out, "[HIGHESTMODSEQ {modseq}]"),
            Self::InProgress { tag, progress } => {
                // RFC 9585 §4: NIL for a tag with "]", and for what is unknown; GOAL is above PROGRESS.
                let tag = tag.as_ref().filter(|tag| !tag.as_str().contains(']'));
                let tag = tag.map_or_else(|| "NIL".to_owned(), |tag| format!("\"{}\"", tag.as_str()));
                match progress {
                    None => write!(out, "[INPROGRESS ({tag} NIL NIL)]"),
                    Some((done, goal)) if done < goal => write!(out, "[INPROGRESS ({tag} {done} {goal})]"),
                    Some((done, _)) => write!(out, "[INPROGRESS ({tag} {done} NIL)]"),
                }
            }
            Self::MailboxId(id) => write!(out, "[MAILBOXID ({id})]"),
            Self::Modified(numbers) => write!(out, "[MODIFIED {numbers}]"),
            Self::ModifiedUids(uids) => write!(out, "[MODIFIED {uids}]"),
            Self::PermanentFlags { flags, create } => {
                let names: Vec<_> = flags.iter().map(Flag::as_str).chain(create.then_some("\\*")).collect();
                write!(out, "[PERMANENTFLAGS ({})]", names.join(" "))
            }
            Self::UidNext(uid) => write!(out, "[UIDNEXT {uid}]"),
            Self::UidValidity(validity) => write!(out, "[UIDVALIDITY {validity}]"),
            Self::Unseen(seq) => write!(out, "[UNSEEN {seq}]"),
            plain => write!(out, "[{}]", plain.name()),
        };
    }

    /// The first word of the code.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Alert => "ALERT",
            Self::AlreadyExists => "ALREADYEXISTS",
            Self::AppendUid(..) => "APPENDUID",
            Self::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Self::AuthorizationFailed => "AUTHORIZATIONFAILED",
            Self::BadCharset(_) => "BADCHARSET",
            Self::Cannot => "CANNOT",
            Self::Capability(_) => "CAPABILITY",
            Self::ClientBug => "CLIENTBUG",
            Self::Closed => "CLOSED",
            Self::CompressionActive => "COMPRESSIONACTIVE",
            Self::ContactAdmin => "CONTACTADMIN",
            Self::CopyUid(..) => "COPYUID",
            Self::Corruption => "CORRUPTION",
            Self::Downgraded(_) => "DOWNGRADED",
            Self::Expired => "EXPIRED",
            Self::ExpungeIssued => "EXPUNGEISSUED",
            Self::HasChildren => "HASCHILDREN",
            Self::HighestModSeq(_) => "HIGHESTMODSEQ",
            Self::InProgress { .. } => "INPROGRESS",
            Self::InUse => "INUSE",
            Self::Limit => "LIMIT",
            Self::MailboxId(_) => "MAILBOXID",
            Self::Modified(_) | Self::ModifiedUids(_) => "MODIFIED",
            Self::NonExistent => "NONEXISTENT",
            Self::NoPerm => "NOPERM",
            Self::NotSaved => "NOTSAVED",
            Self::OverQuota => "OVERQUOTA",
            Self::Parse => "PARSE",
            Self::PermanentFlags { .. } => "PERMANENTFLAGS",
            Self::PrivacyRequired => "PRIVACYREQUIRED",
            Self::ReadOnly => "READ-ONLY",
            Self::ReadWrite => "READ-WRITE",
            Self::ServerBug => "SERVERBUG",
            Self::TooBig => "TOOBIG",
            Self::TooFew => "TOOFEW",
            Self::TooMany => "TOOMANY",
            Self::TryCreate => "TRYCREATE",
            Self::UidNext(_) => "UIDNEXT",
            Self::UidNotSticky => "UIDNOTSTICKY",
            Self::UidRequired => "UIDREQUIRED",
            Self::UidValidity(_) => "UIDVALIDITY",
            Self::Unavailable => "UNAVAILABLE",
            Self::UnknownCte => "UNKNOWN-CTE",
            Self::Unseen(_) => "UNSEEN",
            Self::UseAttr => "USEATTR",
        }
    }
}
