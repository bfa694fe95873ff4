//! The one place that draws random numbers: salts, keys, and passwords for the demonstration.

use anyhow::Result;

/// So many octets from the system's random source.
pub(crate) fn octets<const N: usize>() -> Result<[u8; N]> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets).map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
    Ok(octets)
}

/// A password that can be read aloud: four groups of four letters and digits without look-alikes, 80 bits.
pub(crate) fn password() -> Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut text = String::new();
    for (at, octet) in octets::<16>()?.into_iter().enumerate() {
        if at > 0 && at % 4 == 0 {
            text.push('-');
        }
        // 256 is a multiple of 32, so each letter is as likely as the next.
        text.extend(LETTERS.get(usize::from(octet) % LETTERS.len()).map(|&letter| char::from(letter)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #[test]
    fn passwords_differ_and_look_right() {
        let (one, two) = (super::password().unwrap(), super::password().unwrap());
        assert_ne!(one, two);
        assert_eq!((one.len(), one.split('-').count()), (19, 4));
    }
}
