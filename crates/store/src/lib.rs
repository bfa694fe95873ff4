//! The mail domain on an engine.
mod blocking;
mod chunk;
mod clock;
mod codec;
mod error;
mod key;
mod keywords;
mod persist;
mod snapshot;
mod source;
mod view;
