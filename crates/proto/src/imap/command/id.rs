//! ID (RFC 2971).
