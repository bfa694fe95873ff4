//! What the store keeps ready to send is read back by somebody else's parser of IMAP.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;
use imap_codec::imap_types::body::BodyStructure;
use imap_codec::imap_types::fetch::MessageDataItem;
use imap_codec::imap_types::response::{Data, Response};
use message::{Card, CardRef, parse};
use proptest::prelude::*;
use types::Limits;

/// `* 1 FETCH (ENVELOPE … BODY … BODYSTRUCTURE …)`
fn response(message: &[u8]) -> Vec<u8> {
    let card = Card::from_message(&parse(message, &Limits::default()));
    let card = CardRef::from_bytes(card.as_bytes()).unwrap();
    let mut out = b"* 1 FETCH (ENVELOPE ".to_vec();
    out.extend_from_slice(card.envelope());
    out.extend_from_slice(b" BODY ");
    card.write_body(&mut out);
    out.extend_from_slice(b" BODYSTRUCTURE ");
    out.extend_from_slice(card.bodystructure());
    out.extend_from_slice(b")\r\n");
    out
}

#[track_caller]
fn check(message: &[u8]) {
    let response = response(message);
    let shown = || String::from_utf8_lossy(&response).into_owned();
    let (rest, read) = ResponseCodec::default().decode(&response).unwrap_or_else(|e| panic!("{e:?}\n{}", shown()));
    assert!(rest.is_empty(), "{}", shown());
    let Response::Data(Data::Fetch { items, .. }) = read else { panic!("{}", shown()) };
    let [MessageDataItem::Envelope(_), MessageDataItem::Body(body), MessageDataItem::BodyStructure(structure)] =
        items.as_ref()
    else {
        panic!("{}", shown())
    };
    assert!(!has_extension(body), "{}", shown());
    assert!(has_extension(structure), "{}", shown());
}

fn has_extension(body: &BodyStructure<'_>) -> bool {
    match body {
        BodyStructure::Single { extension_data, .. } => extension_data.is_some(),
        BodyStructure::Multi { extension_data, .. } => extension_data.is_some(),
    }
}

#[test]
fn the_corpus() {
    let mut seen = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "eml") {
            check(&std::fs::read(path).unwrap());
            seen += 1;
        }
    }
    assert!(seen > 5);
}

fn any_line() -> impl Strategy<Value = String> {
    let name = proptest::sample::select(vec![
        "From",
        "To",
        "Cc",
        "Sender",
        "Reply-To",
        "Subject",
        "Date",
        "Message-ID",
        "In-Reply-To",
        "Content-ID",
        "Content-Description",
        "Content-MD5",
        "Content-Language",
        "Content-Location",
        "Content-Disposition",
        "Content-Transfer-Encoding",
        "Content-Type",
    ]);
    let value = prop_oneof![
        "[a-c<>@,;:()\"\\\\. \t=*'%=?ü0]{0,20}",
        "(multipart/mixed; boundary=b|message/rfc822|text/plain; x=\"y z\"|multipart/digest; boundary=b|attachment; filename\\*=utf-8''%FC)",
        ".{0,10}",
    ];
    let field = (name, value).prop_map(|(name, value)| format!("{name}: {value}"));
    let other =
        proptest::sample::select(vec!["--b", "--b--", "", "", "", " folded \"", "text", "\0"]).prop_map(str::to_owned);
    prop_oneof![2 => field, 1 => other]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_message(lines in proptest::collection::vec(any_line(), 0..20)) {
        check(lines.join("\r\n").as_bytes());
    }

    #[test]
    fn any_octets(message in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&message);
        check(&[b"Subject:".as_slice(), &message].concat());
    }
}
