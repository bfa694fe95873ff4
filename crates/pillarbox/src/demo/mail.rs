//! The sample mail: folders, a conversation, attachments, HTML, many charsets, and something big.

use std::borrow::Cow;
use std::fmt::Write;

/// Mailboxes that alice has besides the usual ones.
pub(super) const FOLDERS: [&str; 4] = ["Projects", "Projects/Pillarbox", "Travel", "Newsletters"];

/// Octets of the big message, about.
const BIG: usize = 10 << 20;

/// A message to deliver; lines end with LF here.
pub(super) struct Sample {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) text: Cow<'static, [u8]>,
}

macro_rules! samples {
    ($($file:literal: $from:literal => $to:literal;)*) => {
        [$(Sample { from: $from, to: $to, text: Cow::Borrowed(include_bytes!(concat!("mail/", $file, ".eml"))) },)*]
    };
}

/// All of it, in the order in which it comes.
pub(super) fn samples() -> impl Iterator<Item = Sample> {
    let small = samples! {
        "welcome": "postmaster@demo.test" => "alice@demo.test";
        "picnic-1": "bob@demo.test" => "alice@demo.test";
        "picnic-2": "alice@demo.test" => "alice+Sent@demo.test";
        "picnic-2": "alice@demo.test" => "bob@demo.test";
        "picnic-3": "bob@demo.test" => "alice@demo.test";
        "picnic-4": "carol@example.org" => "alice@demo.test";
        "picnic-4": "carol@example.org" => "bob@demo.test";
        "picnic-5": "alice@demo.test" => "alice+Sent@demo.test";
        "picnic-5": "alice@demo.test" => "bob@demo.test";
        "attachments": "bob@demo.test" => "alice@demo.test";
        "newsletter": "bounces@letters.example" => "alice+newsletters@demo.test";
        "japanese": "taro@yamada.example" => "alice@demo.test";
        "russian": "boris@ivanov.example" => "alice@demo.test";
        "chinese": "li@xiaolong.example" => "alice@demo.test";
        "arabic": "layla@haddad.example" => "alice@demo.test";
        "german": "jürgen@groß.example" => "alice@demo.test";
        "forwarded": "bob@demo.test" => "alice+Travel@demo.test";
        "project": "dave@example.org" => "alice+Projects/Pillarbox@demo.test";
        "bob": "alice@demo.test" => "bob@demo.test";
    };
    let big =
        std::iter::once_with(|| Sample { from: "station@weather.example", to: "alice@demo.test", text: big().into() });
    small.into_iter().chain(big)
}

/// Ten megabytes of readings, which look measured and are the same each time.
fn big() -> Vec<u8> {
    let mut text = String::from(
        "From: Weather Station <station@weather.example>\n\
         To: Alice Archer <alice@demo.test>\n\
         Subject: Readings of the year (10 MB)\n\
         Date: Tue, 10 Nov 2026 00:05:00 +0000\n\
         Message-ID: <readings-2026@weather.example>\n\
         MIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=\"readings\"\n\n\
         --readings\n\
         Content-Type: text/plain\n\n\
         All readings since January are attached.\n\n\
         --readings\n\
         Content-Type: text/csv; charset=us-ascii; header=present; name=\"readings.csv\"\n\
         Content-Disposition: attachment; filename=\"readings.csv\"\n\n\
         number,minute,temperature,pressure\n",
    );
    text.reserve(BIG + 100);
    let mut state: u32 = 20_261_110;
    let mut number = 0u32;
    while text.len() < BIG {
        // A linear congruential generator (Numerical Recipes): cheap, and always the same.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (temperature, pressure) = (state >> 24, 9_800 + (state >> 20 & 0x1ff));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{number},{},{}.{},{}.{}",
            number * 5 % 1440,
            temperature / 10,
            temperature % 10,
            pressure / 10,
            pressure % 10
        );
        number = number.wrapping_add(1);
    }
    text.push_str("\n--readings--\n");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_has_what_a_message_needs() {
        let mut sizes = Vec::new();
        for Sample { text, .. } in samples() {
            let text = String::from_utf8_lossy(&text).into_owned();
            let (header, _) = text.split_once("\n\n").unwrap();
            for field in ["From: ", "To: ", "Subject: ", "Date: ", "Message-ID: ", "MIME-Version: 1.0"] {
                assert!(header.lines().any(|line| line.starts_with(field)), "{field} is missing in {header}");
            }
            assert!(!text.contains('\r'));
            sizes.push(text.len());
        }
        assert!(sizes.len() > 15 && sizes.iter().any(|&size| size >= BIG));
    }

    #[test]
    fn the_charsets_are_there() {
        let all: Vec<u8> = samples().filter(|s| s.text.len() < 10_000).flat_map(|s| s.text.into_owned()).collect();
        let all = String::from_utf8_lossy(&all).into_owned();
        for charset in ["=?ISO-2022-JP?", "=?KOI8-R?", "=?GB18030?", "=?windows-1256?", "=?utf-8?"] {
            assert!(all.contains(charset), "{charset}");
        }
    }
}
