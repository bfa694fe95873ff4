//! The client's side of COMPRESS=DEFLATE (RFC 4978), by zlib-rs: another implementation than the server's.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::session::Stream;

/// A connection that is compressed both ways. What comes is, until the server marks its end.
pub(crate) struct Deflated {
    inner: Box<dyn Stream>,
    compressor: Compress,
    flush: FlushCompress,
    plain_out: Arc<AtomicBool>,
    /// What is compressed and not yet sent.
    out: Vec<u8>,
    decompressor: Option<Decompress>,
    /// What is read and not yet taken.
    ready: Vec<u8>,
}

impl Deflated {
    /// The flush by its name: nothing is `sync`. Once `plain_out` is set what is sent goes as it is.
    pub(crate) fn new(inner: Box<dyn Stream>, flush: &str, plain_out: Arc<AtomicBool>) -> Result<Self, String> {
        let flush = match flush {
            "" | "sync" => FlushCompress::Sync,
            "partial" => FlushCompress::Partial,
            "full" => FlushCompress::Full,
            "finish" => FlushCompress::Finish,
            other => return Err(format!("no way to flush: {other}")),
        };
        let compressor = Compress::new(Compression::default(), false);
        let decompressor = Some(Decompress::new(false));
        Ok(Self { inner, compressor, flush, plain_out, out: vec![], decompressor, ready: vec![] })
    }

    fn pack(&mut self, octets: &[u8]) -> io::Result<()> {
        if self.plain_out.load(Ordering::Relaxed) {
            self.out.extend_from_slice(octets);
            return Ok(());
        }
        self.out.reserve(octets.len() * 2 + 1024);
        self.compressor.compress_vec(octets, &mut self.out, self.flush).map_err(io::Error::other)?;
        if self.flush == FlushCompress::Finish {
            self.compressor.reset();
        }
        Ok(())
    }

    /// Takes octets that the server sent.
    pub(crate) fn unpack(&mut self, mut octets: &[u8]) -> io::Result<()> {
        while let Some(decompressor) = &mut self.decompressor {
            self.ready.reserve(64 << 10);
            let (taken, given) = (decompressor.total_in(), decompressor.total_out());
            let status = decompressor
                .decompress_vec(octets, &mut self.ready, FlushDecompress::Sync)
                .map_err(|error| io::Error::other(format!("the server's octets are not compressed: {error}")))?;
            let taken = usize::try_from(decompressor.total_in() - taken).unwrap_or(usize::MAX);
            let given = decompressor.total_out() - given;
            octets = octets.get(taken..).unwrap_or_default();
            if status == Status::StreamEnd {
                self.decompressor = None;
            } else if octets.is_empty() && given == 0 {
                return Ok(());
            }
        }
        self.ready.extend_from_slice(octets);
        Ok(())
    }
}

impl AsyncRead for Deflated {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.ready.is_empty() {
            let mut octets = [0; 4096];
            let mut read = ReadBuf::new(&mut octets);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.unpack(read.filled())?;
        }
        let n = self.ready.len().min(buf.remaining());
        let taken: Vec<u8> = self.ready.drain(..n).collect();
        buf.put_slice(&taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Deflated {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.pack(octets)?;
        // What the pipe does not take now goes with the next write or flush.
        let _ = self.poll_flush(cx)?;
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.out.is_empty() {
            let written = ready!(Pin::new(&mut this.inner).poll_write(cx, &this.out))?;
            this.out.drain(..written);
        }
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
