//! Sizes, times and permissions as people write them in the configuration.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer, Visitor};

/// Octets: `1000`, `"50 MiB"` (1024s) or `"50 MB"` (1000s).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Size(pub(crate) u64);

/// Something that has a limit, or `"none"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ceiling<T>(pub(crate) Option<T>);

/// A time: `90` (seconds), `"90s"`, `"30m"`, `"2h"`, `"1d"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span(pub(crate) Duration);

/// Permissions of a file, in octal: `"0660"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mode(pub(crate) u32);

/// A part of a hundred.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Percent(pub(crate) u64);

const SIZES: [(&str, u64); 13] = [
    ("", 1),
    ("KB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
    ("T", 1 << 40),
];
const SPANS: [(&str, u64); 5] = [("", 1), ("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];

/// `"50 MiB"` is 50 of the unit `MiB`.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// A size as people write it.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    parse(text, &SIZES)
}

/// Takes an integer or a text with a unit.
struct Quantity {
    units: &'static [(&'static str, u64)],
    expected: &'static str,
}

impl Visitor<'_> for Quantity {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number).map_err(|_| E::custom(format_args!("{number} is negative; write {}", self.expected)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        parse(text, self.units).ok_or_else(|| E::custom(format_args!("{text:?} is not {}", self.expected)))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let quantity = Quantity { units: &SIZES, expected: "a size such as 4096, \"64 KiB\" or \"50 MB\"" };
        deserializer.deserialize_any(quantity).map(Self)
    }
}

struct CeilingVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for CeilingVisitor<T> {
    type Value = Ceiling<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or \"none\"")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Ceiling<T>, E> {
        T::deserialize(number.into_deserializer()).map(|value| Ceiling(Some(value)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Ceiling<T>, E> {
        if text == "none" {
            return Ok(Ceiling(None));
        }
        T::deserialize(text.into_deserializer()).map(|value| Ceiling(Some(value)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ceiling<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CeilingVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let quantity = Quantity { units: &SPANS, expected: "a time such as \"90s\", \"30m\" or \"2h\"" };
        deserializer.deserialize_any(quantity).map(|seconds| Self(Duration::from_secs(seconds)))
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds =
            parse(text, &SPANS).ok_or_else(|| format!("{text:?} is not a time such as 90s, 30m, 2h or 1d"))?;
        Ok(Self(Duration::from_secs(seconds)))
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            percent @ 1..=100 => Ok(Self(percent)),
            other => Err(D::Error::custom(format_args!("{other} is not a number of percent from 1 to 100"))),
        }
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if mode <= 0o777 => Ok(Self(mode)),
            _ => Err(D::Error::custom(format_args!("{text:?} is not a mode in octal such as \"0660\""))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times() {
        let size = |text| parse(text, &SIZES);
        assert_eq!(size("50 MiB"), Some(50 << 20));
        assert_eq!(size("50mb"), Some(50_000_000));
        assert_eq!(size("4096"), Some(4096));
        assert_eq!((size("5G"), size("2 TB")), (Some(5 << 30), Some(2_000_000_000_000)));
        for text in ["", "MB", "5 XB", "-1", "1.5 MB", "99999999999 GiB", "ä"] {
            assert_eq!(size(text), None, "{text}");
        }
        assert_eq!(parse("30m", &SPANS), Some(1800));
        assert_eq!(parse("2 h", &SPANS), Some(7200));
        assert_eq!(parse("30 MB", &SPANS), None);
    }
}
