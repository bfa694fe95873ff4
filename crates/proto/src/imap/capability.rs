//! The names of what the server can do.

use std::fmt;

use types::Resource;

/// A capability of the IANA registry that a session may announce.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Capability {
    /// RFC 3501
    Imap4Rev1,
    /// RFC 9051
    Imap4Rev2,
    /// RFC 9051 §6.2.1
    StartTls,
    /// RFC 9051 §6.2.3
    LoginDisabled,
    /// A SASL mechanism, in capitals.
    Auth(&'static str),
    /// RFC 4959
    SaslIr,
    /// RFC 2971
    Id,
    /// RFC 5161
    Enable,
    /// RFC 2177
    Idle,
    /// RFC 2342
    Namespace,
    /// RFC 3691
    Unselect,
    /// RFC 4315
    UidPlus,
    /// RFC 6851
    Move,
    /// RFC 3348
    Children,
    /// RFC 5258
    ListExtended,
    /// RFC 5819
    ListStatus,
    /// RFC 6154
    SpecialUse,
    /// RFC 6154
    CreateSpecialUse,
    /// RFC 8438
    StatusSize,
    /// RFC 4731
    ESearch,
    /// RFC 5182
    SearchRes,
    /// RFC 5256 §3
    Sort,
    /// RFC 5957
    SortDisplay,
    /// RFC 5267 §3
    ESort,
    /// RFC 5256 §3: an algorithm, in capitals.
    Thread(&'static str),
    /// RFC 5032
    Within,
    /// RFC 7162 §3.1
    CondStore,
    /// RFC 7162 §3.2
    QResync,
    /// RFC 9586
    UidOnly,
    /// RFC 9394
    Partial,
    /// RFC 10022
    UidBatches,
    /// RFC 8970
    Preview,
    /// RFC 8474
    ObjectId,
    /// RFC 8514
    SaveDate,
    /// RFC 7888
    LiteralPlus,
    /// RFC 7888
    LiteralMinus,
    /// RFC 3516
    Binary,
    /// RFC 3502
    MultiAppend,
    /// RFC 8508
    Replace,
    /// RFC 4978
    CompressDeflate,
    /// RFC 8437
    Unauthenticate,
    /// RFC 9585
    InProgress,
    /// RFC 9755
    Utf8Accept,
    /// RFC 7889: octets of the largest message, for every mailbox.
    AppendLimit(u64),
    /// RFC 9208 §1: also that of RFC 2087.
    Quota,
    /// RFC 9208 §3.1.1: a resource that can be limited.
    QuotaRes(Resource),
    /// RFC 9208 §4.1.3
    QuotaSet,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Imap4Rev1 => "IMAP4rev1",
            Self::Imap4Rev2 => "IMAP4rev2",
            Self::StartTls => "STARTTLS",
            Self::LoginDisabled => "LOGINDISABLED",
            Self::Auth(mechanism) => return write!(f, "AUTH={mechanism}"),
            Self::SaslIr => "SASL-IR",
            Self::Id => "ID",
            Self::Enable => "ENABLE",
            Self::Idle => "IDLE",
            Self::Namespace => "NAMESPACE",
            Self::Unselect => "UNSELECT",
            Self::UidPlus => "UIDPLUS",
            Self::Move => "MOVE",
            Self::Children => "CHILDREN",
            Self::ListExtended => "LIST-EXTENDED",
            Self::ListStatus => "LIST-STATUS",
            Self::SpecialUse => "SPECIAL-USE",
            Self::CreateSpecialUse => "CREATE-SPECIAL-USE",
            Self::StatusSize => "STATUS=SIZE",
            Self::ESearch => "ESEARCH",
            Self::SearchRes => "SEARCHRES",
            Self::Sort => "SORT",
            Self::SortDisplay => "SORT=DISPLAY",
            Self::ESort => "ESORT",
            Self::Thread(algorithm) => return write!(f, "THREAD={algorithm}"),
            Self::Within => "WITHIN",
            Self::CondStore => "CONDSTORE",
            Self::QResync => "QRESYNC",
            Self::UidOnly => "UIDONLY",
            Self::Partial => "PARTIAL",
            Self::UidBatches => "UIDBATCHES",
            Self::Preview => "PREVIEW",
            Self::ObjectId => "OBJECTID",
            Self::SaveDate => "SAVEDATE",
            Self::LiteralPlus => "LITERAL+",
            Self::LiteralMinus => "LITERAL-",
            Self::Binary => "BINARY",
            Self::MultiAppend => "MULTIAPPEND",
            Self::Replace => "REPLACE",
            Self::CompressDeflate => "COMPRESS=DEFLATE",
            Self::Unauthenticate => "UNAUTHENTICATE",
            Self::InProgress => "INPROGRESS",
            Self::Utf8Accept => "UTF8=ACCEPT",
            Self::AppendLimit(octets) => return write!(f, "APPENDLIMIT={octets}"),
            Self::Quota => "QUOTA",
            Self::QuotaRes(resource) => return write!(f, "QUOTA=RES-{}", resource.name()),
            Self::QuotaSet => "QUOTASET",
        })
    }
}
