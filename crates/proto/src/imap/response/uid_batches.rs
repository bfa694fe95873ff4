//! The UIDBATCHES response (RFC 10022).

use std::io::Write;

use types::Uid;

use super::Encoder;
use crate::imap::Tag;

impl Encoder<'_> {
    /// `uidbatches-response = "UIDBATCHES" search-correlator [SP uid-range *("," uid-range)]`: the batches
    /// from the newest on, each by its largest and its smallest UID.
    pub fn uid_batches(&mut self, tag: &Tag, batches: impl IntoIterator<Item = (Uid, Uid)>) {
        // Writing to a Vec cannot fail.
        let _ = write!(self.out, "* UIDBATCHES (TAG \"{tag}\")");
        for (at, (high, low)) in batches.into_iter().enumerate() {
            let before = if at == 0 { ' ' } else { ',' };
            let _ = write!(self.out, "{before}{high}:{low}");
        }
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::Dialect;

    #[test]
    fn ranges_or_none() {
        let written = |ranges: &[(u32, u32)]| {
            let mut out = Vec::new();
            let uids = ranges.iter().filter_map(|&(high, low)| Uid::new(high).zip(Uid::new(low)));
            Encoder::new(&mut out, Dialect::default()).uid_batches(&Tag::new(b"A143").unwrap(), uids);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            written(&[(99_695, 20_351), (20_350, 7_830), (7, 1)]),
            "* UIDBATCHES (TAG \"A143\") 99695:20351,20350:7830,7:1\r\n"
        );
        assert_eq!(written(&[(1, 1)]), "* UIDBATCHES (TAG \"A143\") 1:1\r\n");
        assert_eq!(written(&[]), "* UIDBATCHES (TAG \"A143\")\r\n");
    }
}
