//! LMTP (RFC 2033) on the wire.
