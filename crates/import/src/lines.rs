//! Line ends: LF in files, CRLF in the store.

/// CRLF to LF, in pieces. A CR that no LF follows stays.
#[derive(Default)]
pub(crate) struct ToLf {
    cr: bool,
}

impl ToLf {
    pub(crate) fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for &octet in octets {
            if std::mem::take(&mut self.cr) && octet != b'\n' {
                out.push(b'\r');
            }
            match octet {
                b'\r' => self.cr = true,
                octet => out.push(octet),
            }
        }
    }

    pub(crate) fn finish(self, out: &mut Vec<u8>) {
        if self.cr {
            out.push(b'\r');
        }
    }
}

/// LF to CRLF, in pieces. What is CRLF already stays.
#[derive(Default)]
pub(crate) struct ToCrlf {
    cr: bool,
}

impl ToCrlf {
    pub(crate) fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for &octet in octets {
            if octet == b'\n' && !self.cr {
                out.push(b'\r');
            }
            self.cr = octet == b'\r';
            out.push(octet);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to_lf(octets: &[u8], piece: usize) -> Vec<u8> {
        let (mut lf, mut out) = (ToLf::default(), vec![]);
        octets.chunks(piece).for_each(|piece| lf.push(piece, &mut out));
        lf.finish(&mut out);
        out
    }

    fn to_crlf(octets: &[u8], piece: usize) -> Vec<u8> {
        let (mut crlf, mut out) = (ToCrlf::default(), vec![]);
        octets.chunks(piece).for_each(|piece| crlf.push(piece, &mut out));
        out
    }

    proptest! {
        #[test]
        fn there_and_back(text in "[a\r]{0,3}(\r\n[ab]{0,3}){0,8}", piece in 1usize..5) {
            let there = to_lf(text.as_bytes(), piece);
            prop_assert_eq!(String::from_utf8(there.clone()).unwrap(), text.replace("\r\n", "\n"));
            if !text.contains("\r\r") {
                prop_assert_eq!(to_crlf(&there, piece), text.as_bytes());
            }
        }
    }
}
