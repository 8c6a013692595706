//! Paths: whether one can be read in two ways, and whether it matches a pattern.

use std::borrow::Cow;

/// Whether a path could mean another one to a server that decodes or normalises it (RFC 3986 §6.2.2).
///
/// Ambiguous are encoded letters, digits, dots, slashes and semicolons, and incomplete encodings. So are the segments `.` and
/// `..`, empty segments, and backslashes. A `;` begins a path parameter (RFC 3986 §3.3), which some servers drop.
pub(super) fn is_ambiguous(path: &str) -> bool {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let dots = segment == "." || segment == "..";
        // The last segment may be empty: lines cover `/orders/` and `/orders` alike.
        if dots || (segment.is_empty() && segments.peek().is_some()) || has_ambiguous_byte(segment) {
            return true;
        }
    }
    false
}

fn has_ambiguous_byte(segment: &str) -> bool {
    let mut rest = segment.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if b"\\;".contains(byte) {
            return true;
        }
        if *byte == b'%' {
            let Some((encoded, after)) = rest.split_at_checked(2) else { return true };
            let Ok(decoded) = data_encoding::HEXLOWER_PERMISSIVE.decode(encoded) else { return true };
            let ambiguous = |b: &u8| b.is_ascii_alphanumeric() || b"-._~/\\;".contains(b) || *b < 0x20;
            if decoded.iter().any(ambiguous) {
                return true;
            }
            rest = after;
        }
    }
    false
}

/// The path without a slash at its end. The root keeps its slash.
pub(super) fn without_end_slash(path: &str) -> &str {
    path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path)
}

/// Whether a line with this pattern covers a path: as it stands, or with a slash at its end.
pub(super) fn covers(pattern: &str, path: &str) -> bool {
    glob(pattern.as_bytes(), path.as_bytes()) || glob(pattern.as_bytes(), without_end_slash(path).as_bytes())
}

/// As [`covers`], for a server that ignores the case of a path.
pub(super) fn covers_ignoring_case(pattern: &str, path: &str) -> bool {
    covers(&pattern.to_ascii_lowercase(), &path.to_ascii_lowercase())
}

/// The patterns of a policy that match what a line with this pattern covers.
pub(super) fn spellings(pattern: &str) -> impl Iterator<Item = Cow<'_, str>> {
    // A star at the end matches the slash, too.
    let with_slash = (!pattern.ends_with(['*', '/'])).then(|| Cow::Owned(format!("{pattern}/")));
    [Some(Cow::Borrowed(pattern)), with_slash].into_iter().flatten()
}

/// Whether two lines with these patterns cover a path in common.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    spellings(one).any(|one| spellings(other).any(|other| globs_meet(one.as_bytes(), other.as_bytes())))
}

/// Whether a text matches a pattern in which `*` stands for any text.
pub(super) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // The place of the last star, and the end of the text that it has taken.
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(byte) if text.get(from) == Some(byte) => {
                at += 1;
                from += 1;
            }
            _ => match star {
                // The star takes one more byte, and the rest of the pattern starts again.
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    at = place + 1;
                    from = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

/// Whether one text matches both patterns.
pub(super) fn globs_meet(a: &[u8], b: &[u8]) -> bool {
    // `row[j]` for the first `i` bytes of `a`: whether they and the first `j` bytes of `b` match a text in common.
    let mut row: Vec<bool> = Vec::with_capacity(b.len() + 1);
    row.push(true);
    for byte in b {
        row.push(row.last() == Some(&true) && *byte == b'*');
    }
    for one in a {
        let mut next = vec![*one == b'*' && row.first() == Some(&true)];
        for (other, before) in b.iter().zip(row.windows(2)) {
            let &[diagonal, above] = before else { continue };
            let left = next.last() == Some(&true);
            // A star is empty, or takes what the other pattern stands for here.
            let meet = match (one, other) {
                (b'*', _) | (_, b'*') => above || left,
                _ => diagonal && one == other,
            };
            next.push(meet);
        }
        row = next;
    }
    row.last() == Some(&true)
}
