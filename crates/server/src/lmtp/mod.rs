//! LMTP sessions (RFC 2033): where the MTA hands mail over.
//!
//! ```text
//!            LHLO            MAIL              DATA, BDAT
//!   Greeted ─────► Ready ──────────► Envelope ────────────► Content
//!                    ▲                 │ ▲ └─RCPT             │
//!                    └──── RSET ───────┘ └── ready ◄── one reply for each recipient
//! ```
//!
//! * The message goes to the store while it arrives; nothing here holds more than one read of it.
//! * 250 after the message means that it is durable for that recipient.
//! * Replies of pipelined commands leave together (RFC 2920 §3.2), those after a message as soon
//!   as each is known (RFC 2033 §5).
//!
//! Where the RFCs leave a choice:
//! * Only CRLF ends lines, and only `CRLF . CRLF` a message (RFC 5321 §2.3.8, §4.1.1.4). A bare CR or LF
//!   inside is content and is stored as it came: mail is not refused for it and signatures stay valid.
//! * NUL is refused (554): no form of mail that we announce may hold it (RFC 2045 §2.8, RFC 6152 §3),
//!   and IMAP could not give it out (RFC 9051 §4.3.1).
//! * Octets beyond ASCII are taken with and without `BODY=8BITMIME`.
//! * A recipient that is named twice gets two replies and one message (RFC 2033 §4.2).

mod delivery;
mod recipient;
mod session;
mod trace;

pub use session::serve_lmtp;
