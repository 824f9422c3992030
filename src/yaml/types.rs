//! Which plain scalars docker may take for something else than a string.
//!
//! Source: go-yaml `resolve.go` of v2 (docker 20.10) and v3. Where the two differ, as on `yes`, it counts as typed.

/// Whether a plain scalar of this text is a null, a boolean, a number or a time stamp to a docker CLI.
pub fn is_typed(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    if ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", "<<"].contains(&&*lower) {
        return true;
    }
    is_number(&lower) || is_time(text)
}

fn is_number(lower: &str) -> bool {
    let unsigned = lower.strip_prefix(['+', '-']).unwrap_or(lower);
    if [".inf", ".nan"].contains(&unsigned) {
        return true;
    }
    let digits = unsigned.replace('_', "");
    let of =
        |digits: &str, radix: u32| !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = digits.strip_prefix(prefix) {
            return of(digits, radix);
        }
    }
    let (mantissa, exponent) = digits.split_once('e').map_or((&*digits, None), |(one, two)| (one, Some(two)));
    let exponent_fits =
        exponent.is_none_or(|exponent| of(exponent.strip_prefix(['+', '-']).unwrap_or(exponent), 10));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.chars().all(|digit| digit.is_ascii_digit());
    exponent_fits && all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty())
}

/// It begins with a year and a month.
pub fn is_time(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let digits = |part: Option<&str>, most: usize| {
        part.is_some_and(|part| {
            (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    digits(parts.next().filter(|year| year.len() == 4), 4)
        && digits(parts.next(), 2)
        && parts.next().is_some_and(|day| day.starts_with(|letter: char| letter.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_booleans_nulls_and_dates_are_no_strings() {
        for text in [
            "",
            "~",
            "Null",
            "TRUE",
            "yes",
            "Off",
            "y",
            "1",
            "-1",
            "+1_000",
            "0440",
            "0x1F",
            "0o17",
            "0b1",
            "1e3",
            "1.5",
            ".5",
            "1.",
            "1e+3",
            ".inf",
            "-.INF",
            ".NaN",
            "2001-12-14",
            "2001-12-14 21:59:43.10 -5",
            "2001-1-2t1:2:3Z",
            "99999999999999999999999999",
        ] {
            assert!(is_typed(text), "{text:?}");
        }
        for text in [
            "a",
            "1a",
            "0x",
            "1e",
            ".",
            "-",
            "22:22",
            "1.2.3",
            "nginx",
            "2001-12",
            "12-14-2001",
            "e3",
            "0xg",
            "./x",
        ] {
            assert!(!is_typed(text), "{text:?}");
        }
    }
}
