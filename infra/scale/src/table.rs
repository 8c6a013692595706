//! Tables in Markdown.

use std::fmt::Write;

/// A table with this header. A column of numbers has a colon at the end of its name and is aligned right.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let names: Vec<&str> = head.iter().map(|name| name.trim_end_matches(':')).collect();
    let rule: Vec<&str> = head.iter().map(|name| if name.ends_with(':') { "---:" } else { "---" }).collect();
    let mut text = format!("| {} |\n|{}|\n", names.join(" | "), rule.join("|"));
    for row in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

/// A whole number with commas between thousands.
pub(crate) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `part` of `all` in percent, to two decimals.
pub(crate) fn percent(part: u64, all: u64) -> String {
    let hundredths = (part * 10_000 + all / 2).checked_div(all).unwrap_or(0);
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(whole), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(percent(1, 3), "33.33 %");
        assert_eq!(percent(0, 0), "0.00 %");
    }

    #[test]
    fn a_table_is_markdown() {
        let text = table(&["what", "how many:"], &[vec!["a".to_owned(), "1".to_owned()]]);
        assert_eq!(text, "| what | how many |\n|---|---:|\n| a | 1 |\n");
    }
}
