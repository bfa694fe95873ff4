//! What the server announces, and when. The only list.

use auth::Mechanism;
use proto::imap::Capability;
use types::Resource;

use super::wire::Wire;
use crate::context::Context;

/// May this connection log in by sending a password? RFC 9051 §6.2.3: only where nobody can listen.
pub(crate) fn may_send_password(wire: &Wire, server: &Context) -> bool {
    wire.is_tls() || (server.imap.plaintext_login_on_loopback && wire.peer().is_local())
}

/// The capabilities at this moment, but for those that are switched off. Everything is announced from
/// the start, because many clients ask only once; STARTTLS, LOGINDISABLED and AUTH= go with the login.
pub(crate) fn capabilities(wire: &Wire, server: &Context, logged_in: bool) -> Vec<Capability> {
    use Capability as C;
    let mut list = vec![C::Imap4Rev1, C::Imap4Rev2];
    if !logged_in {
        if server.tls.is_some() && !wire.is_tls() {
            list.push(C::StartTls);
        }
        if may_send_password(wire, server) {
            list.extend(Mechanism::ALL.map(|mechanism| C::Auth(mechanism.name())));
        } else {
            // RFC 9051 §6.2.3. AUTH= of a mechanism that would be refused is not announced.
            list.push(C::LoginDisabled);
        }
    }
    // RFC 7888 §4: one or the other.
    list.push(if server.imap.literal_minus { C::LiteralMinus } else { C::LiteralPlus });
    list.extend(extensions(server.limits.message_size));
    // RFC 4978 §3: it cannot be begun twice.
    let active = |capability: &C| *capability == C::CompressDeflate && wire.is_compressed();
    list.retain(|capability| !wire.off().has(capability) && !active(capability));
    list
}

/// The extensions: announced in every session, and each of them can be switched off. LITERAL+ and
/// LITERAL- are apart, since they exclude each other.
pub(crate) fn extensions(message_size: u64) -> Vec<Capability> {
    use Capability as C;
    vec![
        C::SaslIr,
        C::Id,
        C::Enable,
        C::Idle,
        C::Namespace,
        C::Unselect,
        C::UidPlus,
        C::Move,
        C::Children,
        C::ListExtended,
        C::ListStatus,
        C::SpecialUse,
        C::CreateSpecialUse,
        C::StatusSize,
        C::ESearch,
        C::Partial,
        C::SearchRes,
        C::Sort,
        C::SortDisplay,
        C::ESort,
        C::Thread("ORDEREDSUBJECT"),
        C::Thread("REFERENCES"),
        C::Thread("REFS"),
        C::Within,
        C::CondStore,
        C::QResync,
        C::UidOnly,
        C::UidBatches,
        C::ObjectId,
        C::Preview,
        C::SaveDate,
        C::Binary,
        C::MultiAppend,
        C::Replace,
        C::CompressDeflate,
        C::Unauthenticate,
        C::InProgress,
        C::Utf8Accept,
        C::AppendLimit(message_size),
        C::Quota,
        C::QuotaSet,
        C::QuotaRes(Resource::Storage),
        C::QuotaRes(Resource::Message),
        C::QuotaRes(Resource::Mailbox),
        C::QuotaRes(Resource::AnnotationStorage),
    ]
}
