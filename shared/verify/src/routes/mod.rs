//! Which token may call which route: a small table, read once at start.
//!
//! ```text
//! GET  /orders/*   needs orders:read
//! POST /orders     needs orders:write or orders:admin
//! *    /health     public
//! *    /me         any-token
//! $connect         needs chat
//! default          deny
//! ```
//!
//! Lines are separated by line breaks or `;`. **Every line that matches a request must be met**, whatever their order: that is
//! what an IAM policy can say (an explicit Deny wins), so that a policy which API Gateway caches and applies to every
//! route decides as this table does. A line can therefore narrow what others allow and never widen it; a `public` line
//! that another line contradicts is an error. `*` in a path stands for any text, slashes included, as in a policy.
//!
//! What follows a line `api ID` holds for the API of that id alone. What stands before the first of them holds for every
//! other API; when nothing stands there, a valid token may call everything there.

use crate::base::scope::Scope;
use std::collections::BTreeMap;
use std::fmt;

/// Methods that API Gateway routes; `*` in the table stands for all of them.
pub const METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// Longest path of a line, in bytes. With the longest stage name an ARN of it stays below the 512 characters that API
/// Gateway takes.
const MAX_PATH: usize = 256;

/// Most patterns that the table may compile to, each a resource of a policy; an authorizer's answer is at most 8 KB.
const MAX_PATTERNS: usize = 64;

/// Longest text of a table in bytes: more than an environment variable holds.
const MAX_BYTES: usize = 4096;

/// The tables of all APIs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routes {
    /// For every API without a table of its own.
    general: Table,
    /// By the id of the API.
    of_apis: BTreeMap<String, Table>,
}

/// The table of an API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    lines: Vec<Line>,
    /// What a valid token may do where no line matches.
    otherwise: Otherwise,
    /// Whether there is a table at all.
    configured: bool,
    /// Every request that a table can speak of.
    everything: Pattern,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Otherwise {
    AnyToken,
    Deny,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    pattern: Pattern,
    who: Who,
    /// Whether a policy has to deny the line where it is not met: something else could allow what it matches.
    carves_out: bool,
}

/// Who may call what a line matches.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Public,
    AnyToken,
    /// All words of one of the alternatives.
    Needs(Vec<Vec<String>>),
    Nobody,
}

/// What a line matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// Requests of a REST or HTTP API.
    Http {
        /// One of [`METHODS`]; `None` for all.
        method: Option<&'static str>,
        /// The path, in which `*` stands for any text.
        path: String,
    },
    /// A route of a WebSocket API: `$connect`, the one that an authorizer is asked about.
    Connect,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A request of a REST or HTTP API.
    Http {
        /// The method, in capitals.
        method: &'a str,
        /// The path below the stage, as it was sent: it starts with a slash and is not decoded.
        path: &'a str,
    },
    /// The connection of a WebSocket.
    Connect,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer<'a> {
    /// Nobody: no token was sent.
    Anonymous,
    /// Whoever holds a valid token with this scope, space-delimited (RFC 9068 §2.2.3).
    Scope(&'a str),
}

/// Why a request may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteDenial {
    /// No line matches, and the default is to deny; or a line denies it to everybody.
    NoRoute,
    /// A matching line needs a scope that the token lacks, or a token, and none was sent.
    ScopeMissing,
    /// The path can be read in more than one way, so that table and integration might read it differently.
    AmbiguousPath,
}

/// What one bearer may do in all of an API, in the terms of an IAM policy: what is allowed and not denied.
#[derive(Debug, PartialEq, Eq)]
pub struct Permissions<'a> {
    /// Whether everything is allowed that is not denied.
    pub all: bool,
    /// What is allowed.
    pub allow: Vec<&'a Pattern>,
    /// What is denied, whatever allows it.
    pub deny: Vec<&'a Pattern>,
}

impl Default for Table {
    /// No table: a valid token may call everything.
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            otherwise: Otherwise::AnyToken,
            configured: false,
            everything: Pattern::everything(),
        }
    }
}

impl Routes {
    /// Reads the tables.
    ///
    /// # Errors
    /// A text that names each line that is wrong, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("is longer than {MAX_BYTES} bytes"));
        }
        let mut problems = Vec::new();
        let mut sections: Vec<(Option<String>, Section)> = vec![(None, Section::default())];
        // A remark takes its whole line: what stands behind a `;` in it is not in force.
        let entries = text.split('\n').flat_map(|line| {
            let is_remark = line.trim_start().starts_with('#');
            line.split(move |c| c == ';' && !is_remark)
        });
        for (index, entry) in entries.enumerate() {
            let (number, entry) = (index + 1, entry.trim());
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            match Entry::parse(entry) {
                Ok(Entry::Api(api)) if sections.iter().any(|(known, _)| *known == Some(api.clone())) => {
                    problems.push(format!("line {number}: `api {api}` stands there twice"));
                }
                Ok(Entry::Api(api)) => sections.push((Some(api), Section::default())),
                Ok(entry) => {
                    if let Some((_, section)) = sections.last_mut() {
                        section.add(number, entry, &mut problems);
                    }
                }
                Err(problem) => problems.push(format!("line {number} `{entry}`: {problem}")),
            }
        }
        let mut routes = Self::default();
        let mut empty = true;
        for (api, section) in sections {
            let is_empty = section.lines.is_empty() && section.default_at.is_none();
            empty &= is_empty && api.is_none();
            match api {
                None if is_empty => {}
                None => routes.general = section.finish(&mut problems),
                Some(api) => drop(routes.of_apis.insert(api, section.finish(&mut problems))),
            }
        }
        if empty && problems.is_empty() {
            problems.push("no line says anything".to_owned());
        }
        if problems.is_empty() { Ok(routes) } else { Err(format!("is wrong: {}", problems.join("; "))) }
    }

    /// The table of the API with this id.
    #[must_use]
    pub fn of(&self, api: &str) -> &Table {
        self.of_apis.get(api).unwrap_or(&self.general)
    }
}

/// The lines of a table as they are read, each with its number.
#[derive(Default)]
struct Section {
    lines: Vec<(usize, Line)>,
    otherwise: Option<Otherwise>,
    default_at: Option<usize>,
}

impl Section {
    fn add(&mut self, number: usize, entry: Entry, problems: &mut Vec<String>) {
        match entry {
            Entry::Line(line) => self.lines.push((number, line)),
            Entry::Default(otherwise) => match self.default_at.replace(number) {
                None => self.otherwise = Some(otherwise),
                Some(first) => {
                    problems.push(format!("line {number}: `default` stands in line {first} already"));
                }
            },
            Entry::Api(_) => {}
        }
    }

    /// The table. A section without a line denies everything.
    fn finish(self, problems: &mut Vec<String>) -> Table {
        let (numbers, lines): (Vec<_>, Vec<_>) = self.lines.into_iter().unzip();
        let mut table = Table {
            lines,
            otherwise: self.otherwise.unwrap_or(Otherwise::Deny),
            configured: true,
            everything: Pattern::everything(),
        };
        problems.extend(table.contradictions(&numbers));
        let patterns: usize = table.lines.iter().map(|line| line.pattern.weight()).sum();
        if patterns > MAX_PATTERNS {
            problems.push(format!(
                "a policy of {patterns} resources is more than the {MAX_PATTERNS} that fit (a line with the method * \
                 makes seven)"
            ));
        }
        table.mark_carve_outs();
        table
    }
}

impl Table {
    /// Pairs of lines of which one is public and the other is not: nobody can mean that.
    fn contradictions(&self, numbers: &[usize]) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, (line, number)) in self.lines.iter().zip(numbers).enumerate() {
            for (other, before) in self.lines.iter().zip(numbers).take(index) {
                let one_is_public = (line.who == Who::Public) != (other.who == Who::Public);
                if one_is_public && line.pattern.overlaps(&other.pattern) {
                    problems.push(format!(
                        "lines {before} and {number} overlap, and only one of them is public: every line that matches \
                         must be met"
                    ));
                }
            }
        }
        problems
    }

    fn mark_carve_outs(&mut self) {
        let overlaps = |index: usize, line: &Line| {
            let others = self.lines.iter().enumerate().filter(|(other, _)| *other != index);
            self.otherwise == Otherwise::AnyToken
                || others.into_iter().any(|(_, other)| line.pattern.overlaps(&other.pattern))
        };
        let marks: Vec<bool> =
            self.lines.iter().enumerate().map(|(index, line)| overlaps(index, line)).collect();
        for (line, mark) in self.lines.iter_mut().zip(marks) {
            line.carves_out = mark;
        }
    }

    /// Decides about one request.
    ///
    /// # Errors
    /// Why it may not pass.
    pub fn decide(&self, target: Target<'_>, bearer: Bearer<'_>) -> Result<(), RouteDenial> {
        if self.configured && target.is_ambiguous() {
            return Err(RouteDenial::AmbiguousPath);
        }
        if self.configured && !target.has_known_method() {
            // No line speaks of it, and the default does not either: a policy names methods.
            return Err(RouteDenial::NoRoute);
        }
        let mut matched = false;
        for line in self.lines.iter().filter(|line| line.pattern.matches(target)) {
            line.who.admits(bearer)?;
            matched = true;
        }
        match (matched, self.otherwise, bearer) {
            (true, _, _) | (false, Otherwise::AnyToken, Bearer::Scope(_)) => Ok(()),
            (false, Otherwise::AnyToken, Bearer::Anonymous) => Err(RouteDenial::ScopeMissing),
            (false, Otherwise::Deny, _) => Err(RouteDenial::NoRoute),
        }
    }

    /// Everything that a bearer may do, for a policy that is cached and applied to every route. `connect` tells a WebSocket
    /// API from the others: each knows the lines of its own kind.
    #[must_use]
    pub fn permissions(&self, bearer: Bearer<'_>, connect: bool) -> Permissions<'_> {
        let all = self.otherwise == Otherwise::AnyToken && matches!(bearer, Bearer::Scope(_));
        let mut permissions = Permissions { all, allow: Vec::new(), deny: Vec::new() };
        for line in self.lines.iter().filter(|line| (line.pattern == Pattern::Connect) == connect) {
            if line.who.admits(bearer).is_ok() {
                permissions.allow.push(&line.pattern);
            } else if line.carves_out && bearer != Bearer::Anonymous {
                // What is public overlaps with nothing else, so for nobody in particular there is nothing to deny.
                permissions.deny.push(&line.pattern);
            }
        }
        if all {
            // The lines would say the same again.
            permissions.allow.clear();
            if self.configured && !connect {
                // Denials name methods, so that another one would pass them all.
                permissions.all = false;
                permissions.allow.push(&self.everything);
            }
        }
        permissions
    }
}

/// One entry of the table.
enum Entry {
    Line(Line),
    Default(Otherwise),
    Api(String),
}

impl Entry {
    fn parse(entry: &str) -> Result<Self, String> {
        let mut words = entry.split_whitespace();
        let first = words.next().unwrap_or_default();
        let pattern = match first {
            "default" => {
                return match words.collect::<Vec<_>>().as_slice() {
                    ["any-token"] => Ok(Self::Default(Otherwise::AnyToken)),
                    ["deny"] => Ok(Self::Default(Otherwise::Deny)),
                    _ => Err("the default is `any-token` or `deny`".to_owned()),
                };
            }
            "api" => {
                let id = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
                return match words.collect::<Vec<_>>().as_slice() {
                    [one] if id(one) => Ok(Self::Api((*one).to_owned())),
                    _ => Err("`api` is followed by the id of one API".to_owned()),
                };
            }
            "$connect" => Pattern::Connect,
            method => Pattern::Http {
                method: parse_method(method)?,
                path: parse_path(words.next().unwrap_or_default())?,
            },
        };
        let who = match words.collect::<Vec<_>>().as_slice() {
            ["public"] => Who::Public,
            ["any-token"] => Who::AnyToken,
            ["deny"] => Who::Nobody,
            ["needs", scopes @ ..] => Who::Needs(parse_scopes(scopes)?),
            _ => {
                return Err(
                    "what follows the path is `needs SCOPE`, `any-token`, `public` or `deny`".to_owned()
                );
            }
        };
        Ok(Self::Line(Line { pattern, who, carves_out: true }))
    }
}

fn parse_method(text: &str) -> Result<Option<&'static str>, String> {
    if text == "*" {
        return Ok(None);
    }
    let known = METHODS.into_iter().find(|method| *method == text);
    known.map(Some).ok_or_else(|| {
        format!("a line starts with `*`, `$connect`, `default`, `api` or one of {}", METHODS.join(" "))
    })
}

/// The paths of RFC 3986 §3.3, with `*`.
fn parse_path(path: &str) -> Result<String, String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~%!&'()+,=:@/*$".contains(&b);
    if !path.starts_with('/') {
        Err("the path starts with a slash".to_owned())
    } else if path.contains(['{', '}']) {
        Err("write * for a path parameter".to_owned())
    } else if let Some(other) = path.chars().find(|c| !c.is_ascii() || !legal(*c as u8)) {
        Err(format!("`{other}` has no place in a path (`?` would be a wildcard in a policy)"))
    } else if path.len() > MAX_PATH {
        Err(format!("the path is longer than {MAX_PATH} bytes"))
    } else if is_ambiguous(path) {
        Err("a path has no empty segment, no `.` or `..` and encodes nothing that needs no encoding"
            .to_owned())
    } else {
        Ok(path.to_owned())
    }
}

fn parse_scopes(words: &[&str]) -> Result<Vec<Vec<String>>, String> {
    let mut alternatives = Vec::new();
    for group in words.split(|word| *word == "or") {
        if group.is_empty() {
            return Err("`needs` and `or` are each followed by a scope".to_owned());
        }
        let scope =
            Scope::parse(&group.join(" ")).map_err(|_| "that is no scope (RFC 6749 §3.3)".to_owned())?;
        alternatives.push(scope.words().map(str::to_owned).collect());
    }
    Ok(alternatives)
}

impl Who {
    fn admits(&self, bearer: Bearer<'_>) -> Result<(), RouteDenial> {
        let has = |scope: &str, word: &String| scope.split(' ').any(|held| held == word);
        match (self, bearer) {
            (Self::Nobody, _) => Err(RouteDenial::NoRoute),
            (Self::Public, _) | (Self::AnyToken, Bearer::Scope(_)) => Ok(()),
            (Self::AnyToken | Self::Needs(_), Bearer::Anonymous) => Err(RouteDenial::ScopeMissing),
            (Self::Needs(alternatives), Bearer::Scope(scope)) => {
                let met = alternatives.iter().any(|words| words.iter().all(|word| has(scope, word)));
                if met { Ok(()) } else { Err(RouteDenial::ScopeMissing) }
            }
        }
    }
}

impl Pattern {
    fn everything() -> Self {
        Self::Http { method: None, path: "/*".to_owned() }
    }

    /// How many resources of a policy it takes.
    fn weight(&self) -> usize {
        match self {
            Self::Http { method: None, .. } => METHODS.len(),
            Self::Http { .. } | Self::Connect => 1,
        }
    }

    fn matches(&self, target: Target<'_>) -> bool {
        match (self, target) {
            (Self::Connect, Target::Connect) => true,
            (Self::Http { method: own, path: pattern }, Target::Http { method, path }) => {
                own.is_none_or(|own| own == method) && glob(pattern.as_bytes(), path.as_bytes())
            }
            (Self::Connect, Target::Http { .. }) | (Self::Http { .. }, Target::Connect) => false,
        }
    }

    /// Whether some request matches both.
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Connect, Self::Connect) => true,
            (Self::Http { method: one, path: a }, Self::Http { method: two, path: b }) => {
                let same_method = one.is_none() || two.is_none() || one == two;
                same_method && globs_meet(a.as_bytes(), b.as_bytes())
            }
            (Self::Connect, Self::Http { .. }) | (Self::Http { .. }, Self::Connect) => false,
        }
    }

    /// The ends of the resource ARNs that it stands for, behind `API/STAGE/`. The method `*` is written out: in a
    /// policy a star would match slashes too, and `*/health` would allow `GET/admin/health`.
    pub fn resources(&self) -> impl Iterator<Item = String> + '_ {
        let (methods, path): (&[&str], &str) = match self {
            Self::Connect => (&["$connect"], ""),
            Self::Http { method: Some(method), path } => (std::slice::from_ref(method), path),
            Self::Http { method: None, path } => (&METHODS, path),
        };
        methods.iter().map(move |method| format!("{method}{path}"))
    }
}

impl Target<'_> {
    fn has_known_method(self) -> bool {
        match self {
            Self::Http { method, .. } => METHODS.contains(&method),
            Self::Connect => true,
        }
    }

    /// Whether its path can be read in more than one way.
    fn is_ambiguous(self) -> bool {
        match self {
            Self::Http { path, .. } => is_ambiguous(path),
            Self::Connect => false,
        }
    }
}

/// Whether a path could mean another one to whoever decodes or normalises it (RFC 3986 §6.2.2): encoded letters, digits,
/// dots and slashes, `.` and `..`, empty segments, backslashes, half an encoding.
fn is_ambiguous(path: &str) -> bool {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let dots = segment == "." || segment == "..";
        // The last segment may be empty: `/orders/` is a path of its own.
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
        if *byte == b'\\' {
            return true;
        }
        if *byte == b'%' {
            let Some((encoded, after)) = rest.split_at_checked(2) else { return true };
            let Ok(decoded) = data_encoding::HEXLOWER_PERMISSIVE.decode(encoded) else { return true };
            let needs_none = |b: &u8| b.is_ascii_alphanumeric() || b"-._~/\\".contains(b) || *b < 0x20;
            if decoded.iter().any(needs_none) {
                return true;
            }
            rest = after;
        }
    }
    false
}

/// Whether a text matches a pattern in which `*` stands for any text.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where the last star stands, and how much of the text it has taken.
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
                // The star takes one byte more, and the rest of the pattern is tried again.
                Some((stands, taken)) => {
                    star = Some((stands, taken + 1));
                    at = stands + 1;
                    from = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

/// Whether some text matches both patterns.
fn globs_meet(a: &[u8], b: &[u8]) -> bool {
    // Row by row over `a`: whether the first so many bytes of each have a text in common.
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

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { method, path } => write!(f, "{} {path}", method.unwrap_or("*")),
            Self::Connect => f.write_str("$connect"),
        }
    }
}

#[cfg(test)]
mod tests;
