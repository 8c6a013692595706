//! Routes of an HTTP API and their order of precedence.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>

use crate::error::RouteError;
use crate::guard::Guard;
use crate::identity::Authorizer;
use http::Method;
use std::collections::BTreeMap;

/// Target of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Lambda function, by the name of its binary.
    Function(String),
    /// Service of the developer.
    Service(Guard),
}

/// A route of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    key: String,
    method: Option<Method>,
    pattern: Pattern,
    target: Target,
    authorizer: Option<String>,
    /// Whether IAM authorises the route.
    iam: bool,
    /// Origins of pages that can call the route across origins.
    origins: Vec<String>,
}

impl Route {
    /// Route key in API Gateway's form: `GET /orders/{id}`, `ANY /login`, `$default`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Target of the route.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Name of the authorizer; `None` for a public route.
    #[must_use]
    pub fn authorizer(&self) -> Option<&str> {
        self.authorizer.as_deref()
    }

    /// Whether IAM authorises the route (`AuthorizationType: AWS_IAM`).
    #[must_use]
    pub fn needs_iam(&self) -> bool {
        self.iam
    }

    /// Origins of pages that can call the route across origins.
    pub(crate) fn origins(&self) -> &[String] {
        &self.origins
    }
}

/// Routes and authorizers of one API.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    routes: Vec<Route>,
    authorizers: BTreeMap<String, Authorizer>,
}

/// Route of a request, with its path parameters.
pub(crate) struct Found<'a> {
    pub(crate) route: &'a Route,
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Routes {
    /// Adds the authorizer `name` for later routes.
    ///
    /// # Errors
    /// The name exists, or the authorizer caches results without an identity source.
    pub fn add_authorizer(&mut self, name: &str, authorizer: Authorizer) -> Result<(), RouteError> {
        if !authorizer.ttl.is_zero() && authorizer.identity.is_empty() {
            return Err(RouteError(format!(
                "authorizer {name} caches its results but has no identity source: name a header, or set ReauthorizeEvery to 0"
            )));
        }
        if self.authorizers.insert(name.to_owned(), authorizer).is_some() {
            return Err(RouteError(format!("there are two authorizers named {name}: rename one")));
        }
        Ok(())
    }

    /// Adds a route to the Lambda function `function`, behind `authorizer` if given.
    ///
    /// `key` is a route key: a method or `ANY`, a space, and a path. `{name}` matches one segment, and `{name+}` at the
    /// end all remaining segments. `$default` matches every other request.
    ///
    /// # Errors
    /// The key is malformed or in use, or the authorizer is unknown.
    pub fn add_function(
        &mut self,
        key: &str,
        function: &str,
        authorizer: Option<&str>,
    ) -> Result<(), RouteError> {
        let (method, pattern) = parse_key(key)?;
        self.add(key.to_owned(), method, pattern, Target::Function(function.to_owned()), authorizer)
    }

    /// Puts `authorizer` in front of a service, for all methods and all paths below the prefix.
    ///
    /// # Errors
    /// The prefix is already guarded, or the authorizer is unknown.
    pub fn add_guard(&mut self, guard: Guard, authorizer: &str) -> Result<(), RouteError> {
        let pattern = Pattern::prefix(guard.prefix());
        let key = guard.route_key();
        self.add(key, None, pattern, Target::Service(guard), Some(authorizer))
    }

    /// Permits pages of `origins` to call the route across origins, as the `CorsConfiguration` of an HTTP API does.
    /// There it applies to all routes; here each route can stand for another API.
    ///
    /// # Errors
    /// The route does not exist.
    pub fn share(&mut self, key: &str, origins: &[String]) -> Result<(), RouteError> {
        let Some(route) = self.routes.iter_mut().find(|route| route.key == key) else {
            return Err(RouteError(format!("the route {key} does not exist")));
        };
        route.origins = origins.to_vec();
        Ok(())
    }

    /// Makes a route one that IAM authorises.
    ///
    /// # Errors
    /// The route does not exist, or has an authorizer.
    pub fn require_iam(&mut self, key: &str) -> Result<(), RouteError> {
        let Some(route) = self.routes.iter_mut().find(|route| route.key == key) else {
            return Err(RouteError(format!("the route {key} does not exist")));
        };
        if route.authorizer.is_some() {
            return Err(RouteError(format!("the route {key} has an authorizer: IAM takes its place")));
        }
        route.iam = true;
        Ok(())
    }

    /// Name of the only authorizer. It guards services.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn sole_authorizer(&self) -> Result<&str, RouteError> {
        let mut names = self.authorizers.keys();
        match (names.next(), names.next()) {
            (Some(name), None) => Ok(name),
            (None, _) => Err(RouteError("the template defines no authorizer".to_owned())),
            (Some(_), Some(_)) => {
                Err(RouteError("the template defines more than one authorizer: name one".to_owned()))
            }
        }
    }

    /// All routes, in the order of their addition.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    pub(crate) fn authorizer(&self, name: &str) -> Option<&Authorizer> {
        self.authorizers.get(name)
    }

    /// The most specific route for a request: fixed segments before `{name}`, `{name+}` and `$default`, and then the
    /// method before `ANY`. `path` is decoded.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Option<Found<'_>> {
        self.routes
            .iter()
            .filter(|route| route.method.as_ref().is_none_or(|own| own == method))
            .filter_map(|route| Some(Found { parameters: route.pattern.matches(path)?, route }))
            .min_by_key(|found| (found.route.pattern.rank(), found.route.method.is_none()))
    }

    fn add(
        &mut self,
        key: String,
        method: Option<Method>,
        pattern: Pattern,
        target: Target,
        authorizer: Option<&str>,
    ) -> Result<(), RouteError> {
        if let Some(name) = authorizer
            && !self.authorizers.contains_key(name)
        {
            return Err(RouteError(format!(
                "route {key} asks for the authorizer {name}, which is not defined"
            )));
        }
        if self.routes.iter().any(|route| route.method == method && route.pattern.same_paths(&pattern)) {
            return Err(RouteError(format!("two routes match the same requests: {key}; remove one")));
        }
        let authorizer = authorizer.map(str::to_owned);
        self.routes.push(Route { key, method, pattern, target, authorizer, iam: false, origins: Vec::new() });
        Ok(())
    }
}

fn parse_key(key: &str) -> Result<(Option<Method>, Pattern), RouteError> {
    if key == "$default" {
        return Ok((None, Pattern(vec![Segment::Default])));
    }
    let Some((method, path)) = key.split_once(' ') else {
        return Err(RouteError(format!("route {key:?} is not a method and a path, such as `GET /orders`")));
    };
    Ok((parse_method(key, method)?, Pattern::parse(path)?))
}

fn parse_method(key: &str, method: &str) -> Result<Option<Method>, RouteError> {
    match method {
        "ANY" => Ok(None),
        "GET" => Ok(Some(Method::GET)),
        "HEAD" => Ok(Some(Method::HEAD)),
        "POST" => Ok(Some(Method::POST)),
        "PUT" => Ok(Some(Method::PUT)),
        "PATCH" => Ok(Some(Method::PATCH)),
        "DELETE" => Ok(Some(Method::DELETE)),
        "OPTIONS" => Ok(Some(Method::OPTIONS)),
        _ => Err(RouteError(format!("route {key:?}: {method:?} is not a method that HTTP APIs have"))),
    }
}

/// Part of a path pattern, in the order of precedence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    /// Literal segment.
    Fixed(String),
    /// One non-empty segment.
    Parameter(String),
    /// One or more segments, to the end.
    Greedy(String),
    /// Zero or more segments, to the end: the paths below a guarded prefix.
    Below,
    /// `$default`.
    Default,
}

impl Segment {
    fn rank(&self) -> u8 {
        match self {
            Self::Fixed(_) => 0,
            Self::Parameter(_) => 1,
            Self::Greedy(_) => 2,
            Self::Below => 3,
            Self::Default => 4,
        }
    }

    /// Whether both match the same paths, whatever the names of the parameters.
    fn same_text(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fixed(one), Self::Fixed(two)) => one == two,
            _ => self.rank() == other.rank(),
        }
    }

    fn parse(text: &str, last: bool, path: &str) -> Result<Self, RouteError> {
        let wrong = |why: &str| RouteError(format!("path {path:?}: {why}"));
        let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return if text.contains(['{', '}']) {
                Err(wrong("a parameter must be a whole segment, such as /orders/{id}"))
            } else {
                Ok(Self::Fixed(text.to_owned()))
            };
        };
        let (name, greedy) = name.strip_suffix('+').map_or((name, false), |name| (name, true));
        if name.is_empty() || name.contains(['{', '}', '+']) {
            return Err(wrong("a parameter needs a name without braces, such as {id} or {proxy+}"));
        }
        match (greedy, last) {
            (true, true) => Ok(Self::Greedy(name.to_owned())),
            (true, false) => Err(wrong("a greedy parameter such as {proxy+} must be the last segment")),
            (false, _) => Ok(Self::Parameter(name.to_owned())),
        }
    }
}

/// Path of a route by segments.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern(Vec<Segment>);

impl Pattern {
    fn parse(path: &str) -> Result<Self, RouteError> {
        if !path.starts_with('/') {
            return Err(RouteError(format!("path {path:?} does not start with a slash")));
        }
        let texts = segments(path);
        let count = texts.len();
        let parsed =
            texts.into_iter().enumerate().map(|(index, text)| Segment::parse(text, index + 1 == count, path));
        Ok(Self(parsed.collect::<Result<_, _>>()?))
    }

    fn prefix(prefix: &str) -> Self {
        let mut parts: Vec<_> =
            segments(prefix).into_iter().map(|text| Segment::Fixed(text.to_owned())).collect();
        parts.push(Segment::Below);
        Self(parts)
    }

    fn rank(&self) -> Vec<u8> {
        self.0.iter().map(Segment::rank).collect()
    }

    fn same_paths(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(one, two)| one.same_text(two))
    }

    /// Path parameters if `path` matches.
    fn matches(&self, path: &str) -> Option<BTreeMap<String, String>> {
        let mut parameters = BTreeMap::new();
        let mut rest = segments(path).into_iter();
        for segment in &self.0 {
            match segment {
                Segment::Fixed(text) => {
                    if rest.next()? != text {
                        return None;
                    }
                }
                Segment::Parameter(name) => {
                    let value = rest.next().filter(|value| !value.is_empty())?;
                    parameters.insert(name.clone(), value.to_owned());
                }
                Segment::Greedy(name) => {
                    let value = rest.by_ref().collect::<Vec<_>>().join("/");
                    if value.is_empty() {
                        return None;
                    }
                    parameters.insert(name.clone(), value);
                }
                Segment::Below => {
                    let value = rest.by_ref().collect::<Vec<_>>().join("/");
                    if !value.is_empty() {
                        parameters.insert("proxy".to_owned(), value);
                    }
                }
                Segment::Default => rest.by_ref().for_each(drop),
            }
        }
        rest.next().is_none().then_some(parameters)
    }
}

/// Segments of a path that starts with a slash; `/` has none.
fn segments(path: &str) -> Vec<&str> {
    match path.strip_prefix('/').unwrap_or(path) {
        "" => Vec::new(),
        rest => rest.split('/').collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn routes(keys: &[&str]) -> Routes {
        let mut routes = Routes::default();
        for key in keys {
            routes.add_function(key, key, None).unwrap();
        }
        routes
    }

    /// Method, path, the key of the route that takes it, and its path parameters.
    type Row = (Method, &'static str, Option<&'static str>, &'static [(&'static str, &'static str)]);

    fn check(keys: &[&str], table: &[Row]) {
        let routes = routes(keys);
        for (method, path, expected, parameters) in table {
            let found = routes.find(method, path);
            assert_eq!(found.as_ref().map(|found| found.route.key()), *expected, "{method} {path}");
            let expected: BTreeMap<_, _> =
                parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(found.map(|found| found.parameters).unwrap_or_default(), expected, "{method} {path}");
        }
    }

    #[test]
    fn the_most_specific_route_wins() {
        check(
            &[
                "$default",
                "ANY /{proxy+}",
                "GET /pets/{proxy+}",
                "ANY /pets/{id}",
                "GET /pets/{id}",
                "GET /pets/dog",
                "POST /pets/{id}/toys/{toy}",
            ],
            &[
                (Method::GET, "/pets/dog", Some("GET /pets/dog"), &[]),
                (Method::GET, "/pets/cat", Some("GET /pets/{id}"), &[("id", "cat")]),
                (Method::PUT, "/pets/cat", Some("ANY /pets/{id}"), &[("id", "cat")]),
                (Method::POST, "/pets/dog", Some("ANY /pets/{id}"), &[("id", "dog")]),
                (Method::GET, "/pets/cat/toys", Some("GET /pets/{proxy+}"), &[("proxy", "cat/toys")]),
                (
                    Method::POST,
                    "/pets/a/toys/b",
                    Some("POST /pets/{id}/toys/{toy}"),
                    &[("id", "a"), ("toy", "b")],
                ),
                (Method::DELETE, "/pets/a/toys/b", Some("ANY /{proxy+}"), &[("proxy", "pets/a/toys/b")]),
                (Method::GET, "/", Some("$default"), &[]),
            ],
        );
    }

    #[test]
    fn paths_match_whole_or_not_at_all() {
        check(
            &["ANY /login", "GET /.well-known/{document+}", "POST /only/post", "GET /users/{id}"],
            &[
                (Method::POST, "/login", Some("ANY /login"), &[]),
                (Method::POST, "/login/", None, &[]),
                (Method::POST, "/logi", None, &[]),
                (Method::POST, "/login/x", None, &[]),
                (Method::POST, "/Login", None, &[]),
                (Method::GET, "/only/post", None, &[]),
                (Method::GET, "/users/", None, &[]),
                (Method::GET, "/.well-known", None, &[]),
                (Method::GET, "/.well-known/", None, &[]),
                (Method::GET, "/", None, &[]),
                (
                    Method::GET,
                    "/.well-known/jwks.json",
                    Some("GET /.well-known/{document+}"),
                    &[("document", "jwks.json")],
                ),
                (
                    Method::GET,
                    "/.well-known/openid-configuration/a/b",
                    Some("GET /.well-known/{document+}"),
                    &[("document", "openid-configuration/a/b")],
                ),
            ],
        );
    }

    fn authorizer(ttl: u64, identity: &[&str]) -> Authorizer {
        Authorizer {
            function: "authorizer".to_owned(),
            simple_responses: true,
            identity: identity
                .iter()
                .map(|name| crate::identity::IdentitySource::Header((*name).to_owned()))
                .collect(),
            ttl: Duration::from_secs(ttl),
        }
    }

    #[test]
    fn a_guard_takes_all_below_its_prefix_and_nothing_beside_it() {
        let mut routes = routes(&["GET /orders/status"]);
        routes.add_authorizer("A", authorizer(0, &[])).unwrap();
        routes.add_guard("/orders=http://localhost:1".parse().unwrap(), "A").unwrap();
        for (path, expected) in [
            ("/orders", Some("ANY /orders/{proxy+}")),
            ("/orders/", Some("ANY /orders/{proxy+}")),
            ("/orders/1/lines", Some("ANY /orders/{proxy+}")),
            ("/orders/status", Some("GET /orders/status")),
            ("/orders2", None),
            ("/", None),
        ] {
            assert_eq!(routes.find(&Method::GET, path).map(|found| found.route.key()), expected, "{path}");
        }
        let twice = routes.add_guard("/orders/=http://localhost:2".parse().unwrap(), "A");
        assert!(twice.unwrap_err().to_string().contains("two routes"));
    }

    #[test]
    fn what_cannot_be_a_route_is_refused() {
        let mut routes = routes(&["GET /a/{x}"]);
        for (key, why) in [
            ("/login", "not a method and a path"),
            ("FETCH /login", "not a method that HTTP APIs have"),
            ("get /login", "not a method that HTTP APIs have"),
            ("GET login", "does not start with a slash"),
            ("GET /a/{b+}/c", "must be the last segment"),
            ("GET /a/x{b}", "must be a whole segment"),
            ("GET /a/{}", "needs a name"),
            ("GET /a/{+}", "needs a name"),
            ("GET /a/{y}", "two routes match the same requests"),
        ] {
            let error = routes.add_function(key, "f", None).expect_err(key).to_string();
            assert!(error.contains(why), "{key}: {error}");
        }
        let error = routes.add_function("GET /b", "f", Some("Nobody")).unwrap_err().to_string();
        assert!(error.contains("authorizer Nobody, which is not defined"), "{error}");
    }

    #[test]
    fn authorizers_are_checked_and_found() {
        let mut routes = Routes::default();
        assert!(routes.sole_authorizer().is_err());
        assert!(routes.add_authorizer("A", authorizer(60, &[])).is_err());
        routes.add_authorizer("A", authorizer(60, &["Authorization"])).unwrap();
        assert_eq!(routes.sole_authorizer(), Ok("A"));
        assert!(routes.add_authorizer("A", authorizer(0, &[])).is_err());
        routes.add_authorizer("B", authorizer(0, &[])).unwrap();
        assert!(routes.sole_authorizer().is_err());
    }
}
