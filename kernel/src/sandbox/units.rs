//! Sizes and times as people write them, in config files, flags and variables.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// An amount of memory or disk, in bytes.
///
/// Reads `268435456`, `"256MB"` and `"256MiB"`; all three mean 2^28 bytes,
/// because the limits it feeds (`memory.max`, `RLIMIT_FSIZE`) count in powers
/// of two. Units are `B`, `K`, `M`, `G`, `T` and `P`, with or without `B` or
/// `iB` behind them, in either case; `1.5G` is read, and what is left of a byte
/// is dropped. The largest size is 2^63 - 1, the largest file offset there is.
/// Prints in the largest unit that loses nothing.
///
/// ```
/// use kernel::sandbox::units::ByteSize;
///
/// let limit: ByteSize = "256MB".parse()?;
/// assert_eq!(limit.bytes(), 256 << 20);
/// assert_eq!(limit.to_string(), "256MiB");
/// # Ok::<(), kernel::sandbox::units::ParseByteSizeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// The largest size: a signed 64-bit file offset.
    pub const MAX: Self = Self(i64::MAX.unsigned_abs());

    pub(crate) const MEBIBYTE: Self = Self(1 << 20);

    /// A size of `bytes` bytes; `None` above [`ByteSize::MAX`].
    #[must_use]
    pub fn new(bytes: u64) -> Option<Self> {
        (bytes <= Self::MAX.0).then_some(Self(bytes))
    }

    /// The size in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

/// The units of [`ByteSize`] above the byte, with the power of two each means.
const SIZE_UNITS: [(&str, u32); 5] = [("k", 10), ("m", 20), ("g", 30), ("t", 40), ("p", 50)];

impl FromStr for ByteSize {
    type Err = ParseByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let size = || {
            let number = Number::split(text)?;
            let unit = number.unit.to_ascii_lowercase();
            let shift = match unit.as_str() {
                // A fraction of a byte is a slip: `1.5` was meant to have a unit.
                "" | "b" if number.fraction.is_empty() => 0,
                unit => {
                    let letter = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(unit);
                    SIZE_UNITS.iter().find(|(name, _)| *name == letter)?.1
                }
            };
            Self::new(u64::try_from(number.scaled(1 << shift)?).ok()?)
        };
        size().ok_or_else(|| ParseByteSizeError { text: quoted(text) })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = SIZE_UNITS
            .iter()
            .rev()
            .find(|(_, shift)| self.0 != 0 && self.0.trailing_zeros() >= *shift);
        match largest {
            Some((unit, shift)) => write!(f, "{}{}iB", self.0 >> shift, unit.to_uppercase()),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// The text is not a [`ByteSize`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} is not a size; write bytes or a unit, as in `256MB`")]
pub struct ParseByteSizeError {
    text: String,
}

/// A length of time, as it is written: in seconds unless a unit says otherwise.
///
/// Reads `30`, `"30s"`, `"1.5s"`, `"500ms"`, `"1m"`, `"2h"` and `"1d"`, exact to
/// the nanosecond. Prints in the largest unit that loses nothing.
///
/// ```
/// use std::time::Duration;
///
/// use kernel::sandbox::units::Seconds;
///
/// let limit: Seconds = "1.5s".parse()?;
/// assert_eq!(limit.duration(), Duration::from_millis(1500));
/// assert_eq!(limit.to_string(), "1500ms");
/// # Ok::<(), kernel::sandbox::units::ParseSecondsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(Duration);

impl Seconds {
    /// The time as a [`Duration`].
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }

    /// The time in whole seconds; `None` where a fraction would be lost.
    #[must_use]
    pub fn whole(self) -> Option<u64> {
        (self.0.subsec_nanos() == 0).then_some(self.0.as_secs())
    }
}

impl From<Duration> for Seconds {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The units of [`Seconds`] in nanoseconds, largest first.
const TIME_UNITS: [(&str, u64); 5] = [
    ("d", 86_400 * NANOS_PER_SECOND),
    ("h", 3_600 * NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("s", NANOS_PER_SECOND),
    ("ms", 1_000_000),
];

impl FromStr for Seconds {
    type Err = ParseSecondsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = || {
            let number = Number::split(text)?;
            let unit = match number.unit {
                "" => NANOS_PER_SECOND,
                unit => TIME_UNITS.iter().find(|(name, _)| *name == unit)?.1,
            };
            let nanos = number.scaled(unit)?;
            let seconds = u64::try_from(nanos / u128::from(NANOS_PER_SECOND)).ok()?;
            let rest = u32::try_from(nanos % u128::from(NANOS_PER_SECOND)).ok()?;
            Some(Self(Duration::new(seconds, rest)))
        };
        time().ok_or_else(|| ParseSecondsError { text: quoted(text) })
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let exact = TIME_UNITS
            .iter()
            .find(|(_, unit)| nanos != 0 && nanos.is_multiple_of(u128::from(*unit)));
        match exact {
            Some((name, unit)) => write!(f, "{}{name}", nanos / u128::from(*unit)),
            None => write!(f, "{}s", decimal_seconds(self.0)),
        }
    }
}

/// All nine digits there are, without the trailing zeros. Not `as_secs_f64`,
/// which cannot tell every nanosecond apart.
fn decimal_seconds(duration: Duration) -> String {
    let digits = format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos());
    digits.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The text is not a [`Seconds`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} is not a time; write seconds or a unit, as in `30s` or `1m`")]
pub struct ParseSecondsError {
    text: String,
}

/// `12.5 MB` in its parts. Decimal on purpose: through a float, `0.1` of
/// anything large is off by bytes.
struct Number<'a> {
    /// Wide: any `Seconds` is a number of milliseconds, but not one of 64 bits.
    whole: u128,
    fraction: &'a str,
    unit: &'a str,
}

impl<'a> Number<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (whole, rest) = split_digits(text);
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => split_digits(rest),
            None => ("", rest),
        };
        // `1.` has a point and nothing behind it; nothing is finer than a nanosecond.
        let dangling = fraction.is_empty() && text[whole.len()..].starts_with('.');
        if dangling || fraction.len() > 9 {
            return None;
        }
        Some(Self { whole: whole.parse().ok()?, fraction, unit: rest.trim_start() })
    }

    /// The number times `unit`, rounded down.
    fn scaled(&self, unit: u64) -> Option<u128> {
        let unit = u128::from(unit);
        let fraction = match self.fraction {
            "" => 0,
            digits => {
                let length = u32::try_from(digits.len()).ok()?;
                u128::from(digits.parse::<u64>().ok()?) * unit / 10_u128.pow(length)
            }
        };
        self.whole.checked_mul(unit)?.checked_add(fraction)
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `text` in backticks, fit for a message: no control characters, and not
/// longer than a line. What users write may be megabytes of anything.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut shown = String::new();
    for character in text.chars().take(LONGEST) {
        match character {
            // Left as they are: a path or a sentence may hold them.
            '\'' | '"' | '\\' => shown.push(character),
            character => shown.extend(character.escape_debug()),
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_256_mebibytes_means_the_same() {
        for text in
            ["268435456", "268435456B", "262144k", "256M", "256MB", "256MiB", "256 mib", " 0.25G "]
        {
            assert_eq!(text.parse(), Ok(ByteSize(1 << 28)), "{text}");
        }
    }

    #[test]
    fn size_that_overflows_is_an_error_and_not_a_small_limit() {
        let err = "17592186044416T".parse::<ByteSize>().unwrap_err();

        assert_eq!(
            err.to_string(),
            "`17592186044416T` is not a size; write bytes or a unit, as in `256MB`",
        );
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for text in [
            "",
            " ",
            "-1",
            "+1",
            "MB",
            "1.5",
            "1.5B",
            "1.",
            ".5G",
            "1e9",
            "0x10",
            "1_000",
            "1,5G",
            "١G",
            "256MBB",
            "256iB",
            "256 M B",
            "inf",
            "nan",
            "9223372036854775808",
            "8192P",
            "1.0000000000G",
        ] {
            assert!(text.parse::<ByteSize>().is_err(), "{text:?} was read");
        }
        assert_eq!("9223372036854775807".parse(), Ok(ByteSize::MAX));
    }

    #[test]
    fn every_spelling_of_a_time_is_read() {
        for (text, millis) in [
            ("30", 30_000),
            ("30s", 30_000),
            ("1m", 60_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("1.5", 1_500),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            (" 30 s ", 30_000),
            ("0", 0),
        ] {
            assert_eq!(text.parse(), Ok(Seconds(Duration::from_millis(millis))), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in [
            "",
            "-1s",
            "s",
            "1 month",
            "1M",
            "1S",
            "1.s",
            "inf",
            "NaN",
            "1e3",
            "1m30s",
            "99999999999999999999d",
        ] {
            assert!(text.parse::<Seconds>().is_err(), "{text:?} was read");
        }
        assert_eq!(
            "soon".parse::<Seconds>().unwrap_err().to_string(),
            "`soon` is not a time; write seconds or a unit, as in `30s` or `1m`",
        );
    }

    #[test]
    fn prints_the_largest_unit_that_loses_nothing() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (1536, "1536B"),
            (3 << 29, "1536MiB"),
            (1 << 60, "1024PiB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
        for (nanos, text) in [
            (0, "0s"),
            (1, "0.000000001s"),
            (1_500_000_000, "1500ms"),
            (90_000_000_000, "90s"),
            (3_600_000_000_000, "1h"),
        ] {
            assert_eq!(Seconds(Duration::from_nanos(nanos)).to_string(), text);
        }
    }

    #[test]
    fn the_longest_time_is_read_back_from_its_milliseconds() {
        let longest = Seconds(Duration::new(u64::MAX, 500_000_000));

        assert_eq!(longest.to_string(), "18446744073709551615500ms");
        assert_eq!(longest.to_string().parse(), Ok(longest));
    }

    #[test]
    fn a_message_quotes_hostile_text_on_one_short_line() {
        let quoted = quoted(&format!("a\nb\u{1b}[2J\0{}", "x".repeat(1 << 20)));

        assert!(quoted.len() < 300);
        assert!(!quoted.chars().any(char::is_control), "{quoted}");
        assert!(quoted.ends_with("…`"));
    }

    proptest! {
        #[test]
        fn what_a_size_prints_is_read_back(bytes in 0..=ByteSize::MAX.0) {
            let size = ByteSize(bytes);

            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn what_a_time_prints_is_read_back(seconds in any::<u64>(), nanos in 0..1_000_000_000_u32) {
            let time = Seconds(Duration::new(seconds, nanos));

            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC*|[0-9.]{0,30} ?[kKmMgGtTpPiIbBhds]{0,4}") {
            let _ = text.parse::<ByteSize>();
            let _ = text.parse::<Seconds>();
        }

        #[test]
        fn a_fraction_is_exact(whole in 0..1_000_u64, tenths in 0..10_u64) {
            let size: ByteSize = format!("{whole}.{tenths}G").parse().unwrap();

            prop_assert_eq!(size.0, ((whole * 10 + tenths) << 30) / 10);
        }
    }
}
