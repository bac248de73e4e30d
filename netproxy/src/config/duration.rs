//! Durations as Go writes them: `1h30m`, `250ms`, `0s`. They may be negative; whether that means
//! anything is for the field to say.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Go's units, in nanoseconds. `m` comes after what it begins.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A duration in nanoseconds, Go's `time.Duration`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct GoDuration(i64);

/// Why a text is no duration.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("must be a duration like 30s, 1h30m or 250ms")]
pub struct NotADuration;

impl GoDuration {
    /// Of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u32) -> Self {
        Self(seconds as i64 * 1_000_000_000)
    }

    /// Whether it is below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Whether it is zero, which stands for the default.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// As the standard library has it; zero if it is negative.
    #[must_use]
    pub fn positive(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }
}

impl FromStr for GoDuration {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if digits == "0" {
            return Ok(Self::default());
        }
        let mut rest = digits;
        let mut total_ns: u64 = 0;
        while !rest.is_empty() {
            let (ns, after) = first_part(rest).ok_or(NotADuration)?;
            total_ns = total_ns.checked_add(ns).ok_or(NotADuration)?;
            rest = after;
        }
        let ns = i64::try_from(total_ns).map_err(|_| NotADuration)?;
        match digits {
            "" => Err(NotADuration),
            _ if is_negative => Ok(Self(-ns)),
            _ => Ok(Self(ns)),
        }
    }
}

/// The nanoseconds of the first number and unit of `text`, and what follows them.
fn first_part(text: &str) -> Option<(u64, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at(digits(text));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (unit, unit_ns) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut ns = whole.checked_mul(*unit_ns)?;
    // Digits below a nanosecond are cut off, as in Go.
    let mut place_ns = *unit_ns;
    for digit in fraction.bytes() {
        place_ns /= 10;
        ns = ns.checked_add(u64::from(digit - b'0') * place_ns)?;
    }
    Some((ns, &rest[unit.len()..]))
}

/// As Go prints it: `24h0m0s`, `1.5s`, `250ms`, `0s`.
impl Display for GoDuration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ns = self.0.unsigned_abs();
        if self.is_negative() {
            f.write_str("-")?;
        }
        match ns {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{ns}ns"),
            1_000..1_000_000 => write!(f, "{}µs", decimal(ns, 1_000)),
            1_000_000..1_000_000_000 => write!(f, "{}ms", decimal(ns, 1_000_000)),
            _ => {
                let minutes = ns / 60_000_000_000;
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write!(f, "{}s", decimal(ns % 60_000_000_000, 1_000_000_000))
            }
        }
    }
}

/// `ns` in units of `unit_ns`, a power of ten, without trailing zeros.
fn decimal(ns: u64, unit_ns: u64) -> String {
    let (whole, fraction) = (ns / unit_ns, ns % unit_ns);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = usize::try_from(unit_ns.ilog10()).unwrap_or_default();
    let fraction = format!("{fraction:0width$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

impl TryFrom<String> for GoDuration {
    type Error = NotADuration;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<GoDuration> for String {
    fn from(duration: GoDuration) -> Self {
        duration.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_and_printed_as_go_does() {
        for (text, ns, printed) in [
            ("0", 0, "0s"),
            ("-0", 0, "0s"),
            ("0s", 0, "0s"),
            ("30s", 30_000_000_000, "30s"),
            ("1h30m", 5_400_000_000_000, "1h30m0s"),
            ("24h", 86_400_000_000_000, "24h0m0s"),
            ("1.5s", 1_500_000_000, "1.5s"),
            (".5m", 30_000_000_000, "30s"),
            ("250ms", 250_000_000, "250ms"),
            ("1m30.25s", 90_250_000_000, "1m30.25s"),
            ("12us", 12_000, "12µs"),
            ("1.5µs", 1_500, "1.5µs"),
            ("7ns", 7, "7ns"),
            ("-1s", -1_000_000_000, "-1s"),
            ("+1s", 1_000_000_000, "1s"),
        ] {
            let duration: GoDuration = text.parse().unwrap();

            assert_eq!(duration, GoDuration(ns), "{text}");
            assert_eq!(duration.to_string(), printed, "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "",
            "-",
            "30",
            "s",
            ".s",
            "1 s",
            "1d",
            "1min",
            "s1",
            "1s2",
            "1e3s",
            "3000000h",
            "9223372036854775808ns",
        ] {
            assert_eq!(text.parse::<GoDuration>(), Err(NotADuration), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_as_the_same(ns in (-i64::MAX..=i64::MAX)) {
            let duration = GoDuration(ns);

            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn no_text_is_too_strange(text in "[-+.0-9a-zµμ ]{0,24}") {
            let _ = text.parse::<GoDuration>();
        }
    }
}
