//! A small LMTP client, with which the demonstration hands itself its mail (RFC 2033).

use anyhow::{Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;

use super::mail::Sample;

/// Delivers each message; an error where any reply is not what it should be.
pub(super) async fn deliver(port: u16, samples: impl Iterator<Item = Sample>) -> Result<()> {
    let mut stream = BufStream::new(TcpStream::connect(("127.0.0.1", port)).await?);
    expect(&mut stream, '2').await?;
    say(&mut stream, "LHLO demo.test", '2').await?;
    for Sample { from, to, text } in samples {
        let utf8 = if from.is_ascii() { "" } else { " SMTPUTF8" };
        say(&mut stream, &format!("MAIL FROM:<{from}> BODY=8BITMIME{utf8}"), '2').await?;
        say(&mut stream, &format!("RCPT TO:<{to}>"), '2').await?;
        say(&mut stream, "DATA", '3').await?;
        for line in text.split_inclusive(|&octet| octet == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            // RFC 5321 §4.5.2
            if line.starts_with(b".") {
                stream.write_all(b".").await?;
            }
            stream.write_all(line).await?;
            stream.write_all(b"\r\n").await?;
        }
        say(&mut stream, ".", '2').await?;
    }
    say(&mut stream, "QUIT", '2').await
}

async fn say(stream: &mut BufStream<TcpStream>, line: &str, class: char) -> Result<()> {
    stream.write_all(line.as_bytes()).await?;
    stream.write_all(b"\r\n").await?;
    stream.flush().await?;
    expect(stream, class).await
}

async fn expect(stream: &mut BufStream<TcpStream>, class: char) -> Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if !line.starts_with(class) {
            bail!("the server says {:?}", line.trim_end());
        }
        // RFC 5321 §4.2.1: a hyphen after the code says that more lines follow.
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}
