//! Against zlib-rs, which is another implementation.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use proptest::prelude::*;

use super::*;

/// What zlib makes of it, with this flush at the end.
fn zlib(compressor: &mut Compress, octets: &[u8], flush: FlushCompress) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + 1024);
    let before = compressor.total_in();
    compressor.compress_vec(octets, &mut out, flush).unwrap();
    assert_eq!(compressor.total_in() - before, octets.len() as u64);
    assert!(out.len() < out.capacity());
    out
}

/// All that can be read of these octets now.
fn read(inflater: &mut Inflater, octets: &[u8]) -> Result<Vec<u8>, Malformed> {
    inflater.push(octets);
    let mut text = Vec::new();
    loop {
        let given = inflater.step(&mut text)?;
        assert!(given <= STEP);
        if given == 0 {
            return Ok(text);
        }
    }
}

fn compressor() -> Compress {
    Compress::new(Compression::new(6), false)
}

/// Text as in mail, text that repeats itself, and what cannot be compressed.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "(a[0-9] (FETCH|STORE) [0-9]{1,5} (FLAGS|ENVELOPE)\r\n){0,40}".prop_map(String::into_bytes),
        (any::<u8>(), 0usize..100_000).prop_map(|(octet, n)| vec![octet; n]),
        proptest::collection::vec(any::<u8>(), 0..3000),
    ]
}

fn flush() -> impl Strategy<Value = FlushCompress> {
    prop_oneof![Just(FlushCompress::Partial), Just(FlushCompress::Sync), Just(FlushCompress::Full)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // Clients that flush partially, such as that of iOS, wait for the answer to what they have sent.
    #[test]
    fn what_was_flushed_can_be_read_at_once(
        pieces in proptest::collection::vec((text(), flush(), 1usize..5000), 1..6),
    ) {
        let (mut zlib_side, mut inflater) = (compressor(), Inflater::new(Vec::new()));
        for (text, flush, packet) in pieces {
            let octets = zlib(&mut zlib_side, &text, flush);
            let mut got = Vec::new();
            for octets in octets.chunks(packet) {
                got.extend(read(&mut inflater, octets).unwrap());
                inflater.release();
                prop_assert!(inflater.memory() <= 200 + WINDOW + size_of::<DecompressorOxide>());
            }
            prop_assert_eq!(got, text);
        }
    }

    #[test]
    fn the_client_can_read_each_piece_at_once(pieces in proptest::collection::vec(text(), 1..6)) {
        let mut client = Decompress::new(false);
        for (at, text) in pieces.iter().enumerate() {
            let then = if at + 1 == pieces.len() { Then::End } else { Then::More };
            let octets = deflate(text, then);
            let mut got = Vec::with_capacity(text.len() + 1);
            let before = client.total_in();
            let status = client.decompress_vec(&octets, &mut got, FlushDecompress::Sync).unwrap();
            prop_assert_eq!(&got, text);
            prop_assert_eq!(client.total_in() - before, octets.len() as u64);
            prop_assert_eq!(status == Status::StreamEnd, then == Then::End);
        }
    }

    #[test]
    fn arbitrary_octets_do_no_harm(octets in any::<Vec<u8>>(), more in any::<Vec<u8>>()) {
        let mut inflater = Inflater::new(octets);
        if read(&mut inflater, &[]).is_ok() {
            let _ = read(&mut inflater, &more);
            inflater.end();
            let _ = read(&mut inflater, &more);
        }
    }

    #[test]
    fn plain_text_goes_on_exactly_where_the_compressed_ends(
        text in text(), plain in "[a-z0-9.]{1,6} [A-Z]{4,12}[ -~]{0,20}\r\n", finish: bool, packet in 1usize..300,
    ) {
        let command = [&text[..], b"z UNAUTHENTICATE\r\n"].concat();
        let flush = if finish { FlushCompress::Finish } else { FlushCompress::Sync };
        let octets = [zlib(&mut compressor(), &command, flush), plain.clone().into_bytes()].concat();
        let mut inflater = Inflater::new(Vec::new());
        let (mut got, mut rest) = (Vec::new(), None::<Vec<u8>>);
        for packet in octets.chunks(packet) {
            if let Some(rest) = &mut rest {
                rest.extend_from_slice(packet);
                continue;
            }
            inflater.push(packet);
            // As the session does: the command is carried out as soon as it is there.
            while inflater.step(&mut got).unwrap() > 0 {
                if got.len() == command.len() {
                    inflater.end();
                }
            }
            rest = inflater.rest();
        }
        prop_assert_eq!(got, command);
        prop_assert_eq!(rest, Some(plain.into_bytes()));
    }
}

#[test]
fn a_client_that_waits_costs_what_it_has_sent() {
    let (mut zlib_side, mut inflater) = (compressor(), Inflater::new(Vec::new()));
    let login = b"a1 LOGIN alice secret\r\na2 SELECT INBOX\r\n";
    assert_eq!(read(&mut inflater, &zlib(&mut zlib_side, login, FlushCompress::Sync)).unwrap(), login);
    inflater.release();
    assert!(inflater.memory() <= size_of::<Inflater>() + login.len(), "{}", inflater.memory());
    // Also where the flush is partial, and the next block begins within an octet.
    assert_eq!(
        read(&mut inflater, &zlib(&mut zlib_side, b"a3 IDLE\r\n", FlushCompress::Partial)).unwrap(),
        b"a3 IDLE\r\n"
    );
    inflater.release();
    assert!(inflater.memory() <= size_of::<Inflater>() + login.len() + 9, "{}", inflater.memory());
    let much = vec![b'x'; 200_000];
    assert_eq!(read(&mut inflater, &zlib(&mut zlib_side, &much, FlushCompress::Sync)).unwrap(), much);
    inflater.release();
    assert_eq!(inflater.memory(), size_of::<Inflater>() + WINDOW);
    // docs/decisions/0010 says so.
    assert!(size_of::<Inflater>() <= 100, "{}", size_of::<Inflater>());
    assert!(size_of::<DecompressorOxide>() <= 11 << 10, "{}", size_of::<DecompressorOxide>());
}

#[test]
fn a_bomb_comes_in_steps() {
    let octets = zlib(&mut compressor(), &vec![0; 10_000_000], FlushCompress::Sync);
    assert!(octets.len() < 11_000);
    let mut inflater = Inflater::new(octets.clone());
    let (mut text, mut whole) = (Vec::new(), 0);
    loop {
        text.clear();
        match inflater.step(&mut text).unwrap() {
            0 => break,
            given => whole += given,
        }
        assert!(text.len() <= STEP && inflater.memory() < 100_000);
    }
    assert_eq!(whole, 10_000_000);
}

#[test]
fn nothing_is_said_behind_the_end() {
    let mut zlib_side = compressor();
    let mut inflater = Inflater::new(zlib(&mut zlib_side, b"z UNAUTHENTICATE\r\n", FlushCompress::Partial));
    let mut text = Vec::new();
    inflater.step(&mut text).unwrap();
    inflater.end();
    let more = zlib(&mut zlib_side, b"a NOOP\r\n", FlushCompress::Sync);
    inflater.push(&more);
    let (got, rest) = (inflater.step(&mut text), inflater.rest());
    assert!(got == Err(Malformed) || rest.is_some_and(|rest| rest != b"a NOOP\r\n"));
    assert_eq!(text, b"z UNAUTHENTICATE\r\n");
}

#[test]
fn a_client_may_finish_and_begin_anew() {
    let first = zlib(&mut compressor(), b"a NOOP\r\n", FlushCompress::Finish);
    let second = zlib(&mut compressor(), b"b NOOP\r\n", FlushCompress::Finish);
    assert_eq!(read(&mut Inflater::new(first), &second).unwrap(), b"a NOOP\r\nb NOOP\r\n");
}
