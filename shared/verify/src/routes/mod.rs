//! The route table: the scopes that each route needs, read once at start.
//!
//! ```text
//! GET  /orders/*   needs orders:read
//! POST /orders     needs orders:write or orders:admin
//! *    /reports/*  needs reports claim:tenant
//! *    /health     public
//! *    /me         any-token
//! $connect         needs chat
//! default          deny
//! ```
//!
//! Line breaks or `;` separate the lines. **Every line that matches a request must be met**, in any order. An IAM policy has
//! the same property, because an explicit Deny wins. A policy that API Gateway caches and applies to every route therefore
//! decides as the table does. A line can restrict what others allow, and never extend it; a `public` line that another line
//! contradicts is an error. `*` in a path stands for any text, including slashes, as in a policy.
//!
//! A line covers what a lenient server might serve by the same handler: `GET` lines cover `HEAD`, and every line covers its path
//! with a slash at the end. ADR 0066 has the reasons.
//!
//! `claim:NAME` needs a claim that is neither `null`, `false` nor empty. `claim:NAME=VALUE` needs a claim that is this string, number
//! or boolean, or an array with this string.
//!
//! `dpop` needs a token that is bound to a key (RFC 9449). The authorizer checks the proof of each such token, on all routes.
//! `dpop once` also needs that no process has accepted the proof before.
//! `acr:2` needs an authentication by two factors, and `within SECONDS` one that is at most so old.
//!
//! The lines after `api ID` hold for the API of that id alone. The lines before the first of them hold for every other API;
//! without such lines, a valid token may call everything there.

mod challenge;
mod needs;
mod path;

pub use challenge::Challenge;

use crate::base::time::Timestamp;
use needs::Need;
use path::{covers, covers_ignoring_case, is_ambiguous, overlap, spellings, without_end_slash};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// The methods that API Gateway routes; `*` in the table stands for all of them.
pub const METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// Longest path of a line, in bytes. With the longest stage name its ARN stays below the 512 characters that API Gateway
/// accepts.
const MAX_PATH: usize = 256;

/// Most resources that the lines of a table take in a policy. API Gateway accepts 8 KB: 80 resources of 100 bytes, which is
/// an ARN with a path of 30 bytes.
const MAX_RESOURCES: usize = 80;

/// Longest text of a table, in bytes. An environment of a Lambda function holds 4 KB.
const MAX_BYTES: usize = 4096;

/// What a policy denies for every table: path parameters, which a server may drop from the path (ADR 0066).
static PATH_PARAMETERS: Pattern = Pattern::PathParameters;

/// The route tables of all APIs. `Display` writes them so that [`Routes::parse`] reads the same tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routes {
    /// The table of every API that has none of its own.
    general: Table,
    of_apis: BTreeMap<String, Table>,
}

/// The route table of one API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    lines: Vec<Line>,
    /// The decision for a valid token where no line matches.
    otherwise: Otherwise,
    /// False for the API without a table, where a valid token may call everything.
    configured: bool,
    /// The pattern that matches every request with a known method.
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
    /// Whether a policy has to deny what the line matches, for a bearer that does not meet it: another line or the default could
    /// allow it.
    carves_out: bool,
}

/// The bearers that may call what a line matches.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Public,
    AnyToken,
    /// All needs of one of the alternatives.
    Needs(Vec<Vec<Need>>),
    Denied,
}

/// The requests that a line matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// Requests of a REST or HTTP API.
    Http {
        /// One of [`METHODS`]; `None` for all. `GET` includes `HEAD`.
        method: Option<&'static str>,
        /// The path, in which `*` stands for any text. It includes the same path with a slash at its end.
        path: String,
    },
    /// `$connect`, the one route of a WebSocket API for which API Gateway calls an authorizer.
    Connect,
    /// Paths with a `;`. No line has this pattern: only a policy does.
    PathParameters,
}

/// The route that a request calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A request of a REST or HTTP API.
    Http {
        /// The method, in capitals.
        method: &'a str,
        /// The path below the stage, as it was sent: it starts with a slash and is not decoded.
        path: &'a str,
    },
    /// The connection request of a WebSocket API.
    Connect,
}

/// The caller, as far as the route table distinguishes callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer<'a> {
    /// The request has no token.
    Anonymous,
    /// The request has a valid token.
    Token {
        /// Its scope, space-delimited (RFC 9068 §2.2.3).
        scope: &'a str,
        /// Its claims; `None` where no line needs one.
        claims: Option<&'a Map<String, Value>>,
        /// The time of the request, for the age of the authentication.
        now: Timestamp,
    },
}

impl<'a> Bearer<'a> {
    /// The bearer of a valid token with this scope and no further claims, which is no recent authentication.
    #[must_use]
    pub const fn scope(scope: &'a str) -> Self {
        Self::Token { scope, claims: None, now: Timestamp::from_seconds(0) }
    }
}

/// The cause of a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteDenial {
    /// No line matches and the default is `deny`, or a line with `deny` matches.
    NoRoute,
    /// A matching line needs a scope that the token lacks, or a token, and the request has none.
    ScopeMissing,
    /// A matching line needs a claim that the token lacks, or that has another value. The token has the scope.
    ClaimMissing,
    /// A matching line needs a token that is bound to a key. The token has the scope and the claims.
    KeyMissing,
    /// A matching line needs a newer authentication, or one by two factors. Nothing else is missing.
    StepUpNeeded,
    /// As [`RouteDenial::StepUpNeeded`], and the token is that of a machine client, so no user can authenticate.
    NoUser,
    /// The path can be read in two ways, so table and integration might read it differently. In one of them a line that the
    /// bearer does not meet might match.
    AmbiguousPath,
}

/// What one bearer may do in an API, in the terms of an IAM policy: a request passes if it is allowed and not denied.
#[derive(Debug, PartialEq, Eq)]
pub struct Permissions<'a> {
    /// Whether every request is allowed; `allow` is then empty.
    pub all: bool,
    /// The patterns whose requests are allowed.
    pub allow: Vec<&'a Pattern>,
    /// The patterns whose requests are denied, even if `allow` matches them.
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
    /// Parses `DAYPASS_ROUTES`.
    ///
    /// # Errors
    /// A text that names each wrong line and its problem.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("is longer than {MAX_BYTES} bytes"));
        }
        let mut problems = Vec::new();
        let mut sections: Vec<(Option<String>, Section)> = vec![(None, Section::default())];
        // A remark takes its whole line: a `;` in it separates nothing.
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

    /// Whether a line of any table accepts each proof once in all processes.
    #[must_use]
    pub fn accept_proofs_once(&self) -> bool {
        let tables = std::iter::once(&self.general).chain(self.of_apis.values());
        tables.flat_map(|table| &table.lines).any(|line| line.who.accepts_proofs_once())
    }

    /// The table of the API with this id.
    #[must_use]
    pub fn of(&self, api: &str) -> &Table {
        self.of_apis.get(api).unwrap_or(&self.general)
    }
}

/// The lines of a table while they are read, each with its number.
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

    /// The table. A section without a line denies every request.
    fn finish(self, problems: &mut Vec<String>) -> Table {
        let (numbers, lines): (Vec<_>, Vec<_>) = self.lines.into_iter().unzip();
        let mut table = Table {
            lines,
            otherwise: self.otherwise.unwrap_or(Otherwise::Deny),
            configured: true,
            everything: Pattern::everything(),
        };
        problems.extend(table.contradictions(&numbers));
        let resources: usize = table.lines.iter().map(|line| line.pattern.resources().len()).sum();
        if resources > MAX_RESOURCES {
            problems.push(format!(
                "a policy of {resources} resources is more than the {MAX_RESOURCES} that fit (the method * makes seven, \
                 GET makes two, and a path without * at its end twice as many)"
            ));
        }
        table.mark_carve_outs();
        table
    }
}

impl Table {
    /// Pairs of lines that match a request in common, and of which only one is public. The case of paths is ignored: a request
    /// that differs from the public line by case would be ambiguous.
    fn contradictions(&self, numbers: &[usize]) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, (line, number)) in self.lines.iter().zip(numbers).enumerate() {
            for (other, before) in self.lines.iter().zip(numbers).take(index) {
                let one_is_public = (line.who == Who::Public) != (other.who == Who::Public);
                if one_is_public && line.pattern.lower_case().overlaps(&other.pattern.lower_case()) {
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

    /// Decides one request.
    ///
    /// # Errors
    /// The cause of the denial.
    pub fn decide(&self, target: Target<'_>, bearer: Bearer<'_>) -> Result<(), RouteDenial> {
        if self.configured && target.is_ambiguous() {
            return Err(RouteDenial::AmbiguousPath);
        }
        if self.configured && !target.has_known_method() {
            // No line matches another method, and neither does the default, because a policy names methods.
            return Err(RouteDenial::NoRoute);
        }
        let (mut matched, mut step_up) = (false, Ok(()));
        for line in self.lines.iter().filter(|line| line.pattern.matches(target)) {
            match line.who.admits(bearer) {
                // Another line may deny what no new authentication helps against.
                Err(denial @ (RouteDenial::StepUpNeeded | RouteDenial::NoUser)) => step_up = Err(denial),
                verdict => verdict?,
            }
            matched = true;
        }
        step_up?;
        match (matched, self.otherwise, bearer) {
            (true, _, _) | (false, Otherwise::AnyToken, Bearer::Token { .. }) => {}
            (false, Otherwise::AnyToken, Bearer::Anonymous) => return Err(RouteDenial::ScopeMissing),
            (false, Otherwise::Deny, _) => return Err(RouteDenial::NoRoute),
        }
        // The integration may ignore case, and a line that the bearer does not meet then matches.
        let unmet = |line: &Line| line.who.admits(bearer).is_err();
        if self.lines.iter().any(|line| unmet(line) && line.pattern.matches_ignoring_case(target)) {
            return Err(RouteDenial::AmbiguousPath);
        }
        Ok(())
    }

    /// The authentication that the lines need with which a request is denied as [`RouteDenial::StepUpNeeded`].
    #[must_use]
    pub fn challenge(&self, target: Target<'_>, bearer: Bearer<'_>) -> Challenge {
        let Bearer::Token { scope, claims, now } = bearer else { return Challenge::default() };
        let unmet = |line: &&Line| line.pattern.matches(target) && line.who.admits(bearer).is_err();
        self.lines
            .iter()
            .filter(unmet)
            .filter_map(|line| match &line.who {
                Who::Needs(alternatives) => needs::challenge(alternatives, scope, claims, now),
                Who::Public | Who::AnyToken | Who::Denied => None,
            })
            .fold(Challenge::default(), Challenge::and)
    }

    /// Whether a line that matches the request accepts each proof once in all processes.
    #[must_use]
    pub fn accepts_proofs_once(&self, target: Target<'_>) -> bool {
        // A server that ignores case would serve it by the same handler.
        let applies =
            |line: &&Line| line.pattern.matches(target) || line.pattern.matches_ignoring_case(target);
        self.lines.iter().filter(applies).any(|line| line.who.accepts_proofs_once())
    }

    /// Everything that a bearer may do, for a policy that API Gateway caches and applies to every route. `connect` is true for
    /// a WebSocket API, whose policy has the lines with `$connect` alone. Other policies have the other lines.
    #[must_use]
    pub fn permissions(&self, bearer: Bearer<'_>, connect: bool) -> Permissions<'_> {
        let all = self.otherwise == Otherwise::AnyToken && bearer != Bearer::Anonymous;
        let mut permissions = Permissions { all, allow: Vec::new(), deny: Vec::new() };
        for line in self.lines.iter().filter(|line| (line.pattern == Pattern::Connect) == connect) {
            if line.who.admits(bearer).is_ok() {
                permissions.allow.push(&line.pattern);
            } else if line.carves_out && bearer != Bearer::Anonymous {
                // A public line overlaps with no other, so an anonymous policy denies nothing.
                permissions.deny.push(&line.pattern);
            }
        }
        if all {
            // `all` includes them.
            permissions.allow.clear();
            if self.configured && !connect {
                // The denials name methods: with `all`, another method would pass them.
                permissions.all = false;
                permissions.allow.push(&self.everything);
            }
        }
        if self.configured && !connect && !permissions.allow.is_empty() {
            permissions.deny.push(&PATH_PARAMETERS);
        }
        permissions
    }
}

/// One entry of a table.
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
            ["deny"] => Who::Denied,
            ["needs", scopes @ ..] => Who::Needs(needs::parse(scopes)?),
            _ => {
                return Err(
                    "what follows the path is `needs SCOPE` (or `claim:NAME`, `dpop`, `acr:2`, `within SECONDS`), `any-token`, `public` or `deny`".to_owned()
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

/// Parses a path of RFC 3986 §3.3 in which `*` is a wildcard. A slash at its end is dropped: the line covers both.
fn parse_path(path: &str) -> Result<String, String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~%!&'()+,=:@/*$".contains(&b);
    if !path.starts_with('/') {
        Err("the path starts with a slash".to_owned())
    } else if path.contains(['{', '}']) {
        Err("write * for a path parameter".to_owned())
    } else if let Some(other) = path.chars().find(|c| !c.is_ascii() || !legal(*c as u8)) {
        Err(format!("`{other}` has no place in a path (`?` would be a wildcard in a policy)"))
    } else if path.ends_with("*/") {
        Err("a path ends in `*` and not in `*/`: the star includes the slash".to_owned())
    } else if path.len() > MAX_PATH {
        Err(format!("the path is longer than {MAX_PATH} bytes"))
    } else if is_ambiguous(path) {
        Err("a path has no empty segment, no `.` or `..`, and no encoded letter, digit, `-._~/` or `;`"
            .to_owned())
    } else {
        Ok(without_end_slash(path).to_owned())
    }
}

impl Who {
    fn accepts_proofs_once(&self) -> bool {
        matches!(self, Self::Needs(alternatives) if needs::accept_proofs_once(alternatives))
    }

    fn admits(&self, bearer: Bearer<'_>) -> Result<(), RouteDenial> {
        match (self, bearer) {
            (Self::Denied, _) => Err(RouteDenial::NoRoute),
            (Self::Public, _) | (Self::AnyToken, Bearer::Token { .. }) => Ok(()),
            (Self::AnyToken | Self::Needs(_), Bearer::Anonymous) => Err(RouteDenial::ScopeMissing),
            (Self::Needs(alternatives), Bearer::Token { scope, claims, now }) => {
                needs::admit(alternatives, scope, claims, now)
            }
        }
    }
}

impl Pattern {
    fn everything() -> Self {
        Self::Http { method: None, path: "/*".to_owned() }
    }

    fn methods(&self) -> impl Iterator<Item = &'static str> + use<> {
        let own = match self {
            Self::Http { method, .. } => *method,
            Self::Connect | Self::PathParameters => None,
        };
        METHODS.into_iter().filter(move |method| covers_method(own, method))
    }

    fn matches(&self, target: Target<'_>) -> bool {
        match (self, target) {
            (Self::Connect, Target::Connect) => true,
            (Self::Http { method: own, path: pattern }, Target::Http { method, path }) => {
                covers_method(*own, method) && covers(pattern, path)
            }
            (Self::PathParameters, Target::Http { path, .. }) => path.contains(';'),
            (Self::Connect, Target::Http { .. })
            | (Self::Http { .. } | Self::PathParameters, Target::Connect) => false,
        }
    }

    fn matches_ignoring_case(&self, target: Target<'_>) -> bool {
        match (self, target) {
            (Self::Http { method: own, path: pattern }, Target::Http { method, path }) => {
                covers_method(*own, method) && covers_ignoring_case(pattern, path)
            }
            _ => self.matches(target),
        }
    }

    /// Whether both match a request in common.
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http { path: one, .. }, Self::Http { path: two, .. }) => {
                self.methods().any(|method| other.methods().any(|another| another == method))
                    && overlap(one, two)
            }
            _ => self == other,
        }
    }

    /// The same pattern with its path in lower case.
    fn lower_case(&self) -> Self {
        match self {
            Self::Http { method, path } => Self::Http { method: *method, path: path.to_ascii_lowercase() },
            other => other.clone(),
        }
    }

    /// The resources of a policy that match the same requests: the ends of their ARNs, after `API/STAGE/`.
    ///
    /// Methods are written out. A star in their place would match slashes too: `*/health` would allow `GET/admin/health`.
    #[must_use]
    pub fn resources(&self) -> Vec<String> {
        match self {
            Self::Connect => vec!["$connect".to_owned()],
            Self::PathParameters => vec!["*;*".to_owned()],
            Self::Http { path, .. } => {
                let paths: Vec<_> = spellings(path).collect();
                let paths = &paths;
                let resources =
                    self.methods().flat_map(|method| paths.iter().map(move |path| format!("{method}{path}")));
                resources.collect()
            }
        }
    }
}

/// Whether a line with the method `own` covers a method. Most frameworks serve `HEAD` by the handler of `GET` (RFC 9110
/// §9.3.2).
fn covers_method(own: Option<&str>, method: &str) -> bool {
    own.is_none_or(|own| own == method || (own == "GET" && method == "HEAD"))
}

impl Target<'_> {
    fn has_known_method(self) -> bool {
        match self {
            Self::Http { method, .. } => METHODS.contains(&method),
            Self::Connect => true,
        }
    }

    /// Whether its path can be read in two ways, whatever the table.
    fn is_ambiguous(self) -> bool {
        match self {
            Self::Http { path, .. } => is_ambiguous(path),
            Self::Connect => false,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { method, path } => write!(f, "{} {path}", method.unwrap_or("*")),
            Self::Connect => f.write_str("$connect"),
            Self::PathParameters => f.write_str("*;*"),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("public"),
            Self::AnyToken => f.write_str("any-token"),
            Self::Denied => f.write_str("deny"),
            Self::Needs(alternatives) => {
                for (index, needs) in alternatives.iter().enumerate() {
                    f.write_str(if index == 0 { "needs" } else { " or" })?;
                    needs.iter().try_for_each(|need| write!(f, " {need}"))?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{} {}", line.pattern, line.who)?;
        }
        f.write_str(match self.otherwise {
            Otherwise::AnyToken => "default any-token\n",
            Otherwise::Deny => "default deny\n",
        })
    }
}

impl fmt::Display for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.general.configured {
            write!(f, "{}", self.general)?;
        }
        self.of_apis.iter().try_for_each(|(api, table)| write!(f, "api {api}\n{table}"))
    }
}

#[cfg(test)]
mod tests;
