//! Users of a file as rows: of JSON lines, or of CSV.

use super::lines::{Line, declared_delimiter, delimiter};
use super::record::{Row, is_same};
use super::system::System;
use crate::output::Failure;
use clap::ValueEnum;
use serde_json::Value;
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object per line
    Jsonl,
    /// Fields between commas, semicolons, tabs or |, with names in the first line
    Csv,
}

impl Format {
    /// The format that a file name tells.
    pub(crate) fn of(path: &Path) -> Self {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "csv" | "tsv" | "tab" => Self::Csv,
            _ => Self::Jsonl,
        }
    }
}

/// Turns lines into rows.
pub(crate) struct Rows {
    format: Format,
    /// Names for the columns of the login name and of the hash, one of each is needed.
    needed: [Vec<String>; 2],
    /// Whether the names of columns are those of Daypass, which have one spelling.
    ours: bool,
    /// Whether a user's attributes are a list of objects, as in Cognito.
    lists_attributes: bool,
    /// Column names of CSV.
    columns: Vec<String>,
    delimiter: u8,
    /// The delimiter of a line `sep=;` before the header row.
    declared: Option<u8>,
    /// Whether the beginning of the file was judged.
    begun: bool,
}

impl Rows {
    /// Rows of a file of `system`. `name` is the member of `--name`.
    pub(crate) fn new(format: Format, system: System, name: Option<String>) -> Self {
        let members = system.members();
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let needed = [name.map_or_else(|| owned(members.name), |name| vec![name]), owned(members.hash)];
        Self {
            format,
            needed,
            ours: system == System::Daypass,
            lists_attributes: system == System::Cognito,
            columns: Vec::new(),
            delimiter: b',',
            declared: None,
            begun: false,
        }
    }

    /// The row of a line and the problem of the line, if it has one. A row with a problem has the members that could be read.
    /// A blank line and the header row have no row.
    ///
    /// # Errors
    /// The file is not of its format.
    pub(crate) fn row(&mut self, line: &Line) -> Result<Option<(Row, Option<String>)>, Failure> {
        // A record separator begins each text of a JSON sequence (RFC 7464).
        let text = line.text.trim().trim_start_matches('\u{1e}');
        if text.is_empty() && line.problem.is_none() {
            return Ok(None);
        }
        if self.format == Format::Csv
            && !self.begun
            && let Some(delimiter) = declared_delimiter(&line.text)
        {
            self.declared = Some(delimiter);
            return Ok(None);
        }
        if !std::mem::replace(&mut self.begun, true) {
            claims(self.format, text)?;
            if self.format == Format::Csv {
                self.heading(&line.text)?;
                return Ok(None);
            }
        }
        let (mut row, problem) = match self.format {
            Format::Jsonl => match daypass_verifier::base::json::object(text.as_bytes()) {
                Ok(row) => (row, None),
                Err(_) => (Row::new(), Some("the line is not a JSON object with unique members".to_owned())),
            },
            Format::Csv => self.fields_of(&line.text),
        };
        if self.lists_attributes {
            flatten(&mut row);
        }
        Ok(Some((row, line.problem.map(str::to_owned).or(problem))))
    }

    /// Reads the header row.
    fn heading(&mut self, text: &str) -> Result<(), Failure> {
        if text.trim().contains('\r') {
            return Err(not_a_table("its lines end with a carriage return alone, as in \"CSV (Macintosh)\""));
        }
        self.delimiter = self.declared.unwrap_or_else(|| delimiter(text));
        self.columns = fields(text, self.delimiter).map_err(|why| not_a_table(&why))?;
        if let [only] = self.columns.as_slice() {
            return Err(not_a_table(&format!(
                "its first line names one column, `{only}`; fields are separated by commas, semicolons, tabs or |"
            )));
        }
        for needed in &self.needed {
            let columns: Vec<&String> = self
                .columns
                .iter()
                .filter(|column| {
                    needed.iter().any(|name| if self.ours { name == *column } else { is_same(name, column) })
                })
                .collect();
            let doubled = columns
                .iter()
                .enumerate()
                .any(|(at, column)| columns.iter().take(at).any(|other| other == column));
            if doubled {
                return Err(not_a_table(&format!(
                    "its first line names `{}` twice",
                    columns.first().map_or("", |name| name.as_str())
                )));
            }
            if columns.is_empty() && !needed.is_empty() {
                return Err(not_a_table(&format!(
                    "its first line has no column `{}`; it has `{}`",
                    needed.join("` or `"),
                    self.columns.join("`, `")
                )));
            }
        }
        Ok(())
    }

    fn fields_of(&self, text: &str) -> (Row, Option<String>) {
        let (fields, problem) = match fields(text, self.delimiter) {
            Ok(fields) => (fields, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let (found, expected) = (fields.len(), self.columns.len());
        let differs = (problem.is_none() && found != expected)
            .then(|| format!("the line has {found} fields, the first one {expected}"));
        // Databases export NULL as an empty field or by its name.
        let value = |text: String| match text.as_str() {
            "" | "NULL" | "\\N" => Value::Null,
            _ => Value::String(text),
        };
        let members = self.columns.iter().cloned().zip(fields.into_iter().map(value));
        // A separator at the end of each line makes an empty column without a name.
        let row = members.filter(|(name, value)| !(name.is_empty() && value.is_null())).collect();
        (row, problem.or(differs))
    }
}

/// Makes a member of each `{"Name": …, "Value": …}` in `Attributes`. Members of the user itself win.
fn flatten(row: &mut Row) {
    let Some(Value::Array(attributes)) = row.remove("Attributes") else { return };
    for mut attribute in attributes {
        if let Some(Value::String(name)) = attribute.get("Name").cloned()
            && let Some(value) = attribute.get_mut("Value")
        {
            row.entry(name).or_insert(value.take());
        }
    }
}

/// Fields of one line (RFC 4180), without blanks around them.
fn fields(text: &str, delimiter: u8) -> Result<Vec<String>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut record = csv::StringRecord::new();
    reader.read_record(&mut record).map_err(|error| format!("the line is not CSV: {error}"))?;
    // Blanks before a quote make it a part of the field.
    let unquoted = |field: &str| match field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if !inner.replace("\"\"", "").contains('"') => {
            inner.replace("\"\"", "\"").trim().to_owned()
        }
        _ => field.to_owned(),
    };
    // Programs write `="007"`, so that a spreadsheet keeps the text as it is.
    let text = |field: String| match field.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.trim().to_owned(),
        None => field,
    };
    Ok(record.iter().map(|field| text(unquoted(field))).collect())
}

fn not_a_table(why: &str) -> Failure {
    Failure::new(
        format!("the file is not CSV with a header row: {why}"),
        "export it again with column names in the first line; docs/guides/user-import.md names the columns of each system",
    )
}

/// Compares the beginning of a file with its format.
fn claims(format: Format, first: &str) -> Result<(), Failure> {
    let is = |what: &str, hint: &str| Err(Failure::new(format!("the file {what}"), hint));
    if first.contains(['\0', '\u{fffd}']) && !first.starts_with('{') {
        return is(
            "is no text: it is compressed, a workbook, or in UTF-16 without a byte order mark",
            "save it as CSV or JSON lines, in UTF-8",
        );
    }
    if first.starts_with("PK\u{3}\u{4}") {
        return is("is a workbook or a zip archive", "save it as CSV");
    }
    let statement = first.to_ascii_lowercase();
    if ["--", "/*", "insert ", "create ", "copy ", "set ", "begin"]
        .iter()
        .any(|word| statement.starts_with(word))
    {
        return is("is a dump of SQL", "export the table as CSV with a header row");
    }
    if statement.starts_with("dn:") || statement.starts_with("version: 1") {
        return is("is LDIF", "turn its entries into CSV with the columns `username` and `password_hash`");
    }
    match (format, first.chars().next()) {
        (Format::Csv | Format::Jsonl, Some('[')) => is(
            "is a JSON array",
            "write one object per line, for example with `jq -c '.[]' FILE > users.jsonl`, and import that file",
        ),
        (Format::Csv, Some('{')) => {
            is("has JSON, not CSV", "import it with --format jsonl, one object per line")
        }
        (Format::Csv, Some('+')) if first.starts_with("+-") => is(
            "is a table that a database client drew for a terminal",
            "export it as CSV, or redirect the output of the client into a file",
        ),
        (Format::Jsonl, Some('{')) if first.ends_with("},") => is(
            "has a comma after each JSON object",
            "remove the commas, for example with `sed 's/,$//' FILE > users.jsonl`, and import that file",
        ),
        (Format::Jsonl, Some('{')) if first.len() == 1 || !first.ends_with('}') => is(
            "has JSON over several lines",
            "write one object per line, for example with `jq -c '.users[]' FILE > users.jsonl`, and import that file",
        ),
        (Format::Jsonl, Some('{')) | (Format::Csv, _) | (Format::Jsonl, None) => Ok(()),
        (Format::Jsonl, Some(_)) => is("does not have JSON lines", "import CSV with --format csv"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, text: &str) -> Line {
        Line { number, end: 0, text: text.to_owned(), problem: None }
    }

    fn rows(format: Format, heading: &str) -> Result<Rows, String> {
        let mut rows = Rows::new(format, System::Daypass, None);
        rows.row(&line(1, heading)).map_err(|failure| failure.what().to_owned())?;
        Ok(rows)
    }

    #[test]
    fn csv_lines_have_the_columns_of_the_first() {
        for delimiter in [",", ";", "\t", "|"] {
            let csv = |text: &str| text.replace(',', delimiter);
            let mut rows = rows(Format::Csv, &csv("username, password_hash ,empty,null")).unwrap();
            let row = rows.row(&line(2, &csv("\"say \"\"hi\"\"\" ,$2y$10$x,,NULL"))).unwrap();
            assert_eq!(
                row,
                Some((
                    serde_json::from_value(serde_json::json!({
                        "username": "say \"hi\"", "password_hash": "$2y$10$x", "empty": null, "null": null
                    }))
                    .unwrap(),
                    None
                ))
            );
            assert_eq!(rows.row(&line(3, "")).unwrap(), None);
            // A line with too few or too many fields still tells its user.
            for bad in ["ada,b", "ada,b,c,d,e"] {
                let (row, problem) = rows.row(&line(4, &csv(bad))).unwrap().unwrap();
                assert_eq!(row["username"], "ada");
                assert!(problem.unwrap().contains("fields"), "{bad}");
            }
        }
    }

    /// Excel writes and reads the line `sep=;`.
    #[test]
    fn a_first_line_can_declare_the_delimiter() {
        let mut rows = rows(Format::Csv, "sep=;").unwrap();
        assert_eq!(rows.row(&line(2, "username;password_hash;\"a,b,c,d\"")).unwrap(), None);
        let (row, problem) = rows.row(&line(3, "ada;$2y$10$x;")).unwrap().unwrap();
        assert_eq!((&row["username"], problem), (&Value::from("ada"), None));
    }

    #[test]
    fn a_json_sequence_is_json_lines() {
        let mut rows = Rows::new(Format::Jsonl, System::Daypass, None);
        let (row, problem) = rows.row(&line(1, "\u{1e}{\"username\":\"ada\"}")).unwrap().unwrap();
        assert_eq!((&row["username"], problem), (&Value::from("ada"), None));
    }

    #[test]
    fn a_file_that_is_not_what_it_claims_has_one_error() {
        for (format, first, error) in [
            (Format::Csv, "username", "one column, `username`; fields are separated by"),
            (Format::Csv, "username,hash", "no column `password_hash`; it has `username`, `hash`"),
            (Format::Csv, "username,password_hash,username", "names `username` twice"),
            (Format::Csv, "[{\"username\":\"a\"}]", "JSON array"),
            (Format::Csv, "{\"username\":\"a\"}", "has JSON, not CSV"),
            (Format::Csv, "+----------+------+", "drew for a terminal"),
            (Format::Csv, "INSERT INTO users VALUES (1)", "dump of SQL"),
            (Format::Csv, "dn: uid=ada,dc=example,dc=com", "LDIF"),
            (Format::Csv, "PK\u{3}\u{4}x", "workbook"),
            (Format::Csv, "u\0s\0e\0r\0", "no text"),
            (Format::Jsonl, "[", "JSON array"),
            (Format::Jsonl, "{", "over several lines"),
            (Format::Jsonl, "{\"username\":\"a\"},", "a comma after each JSON object"),
            (Format::Csv, "\u{fffd}\u{8}", "compressed"),
            (Format::Jsonl, "{\"users\": [", "over several lines"),
            (Format::Jsonl, "username,password_hash", "does not have JSON lines"),
        ] {
            let failure = rows(format, first).err().unwrap();
            assert!(failure.contains(error), "{first}: {failure}");
        }
    }
}
