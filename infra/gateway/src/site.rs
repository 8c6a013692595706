//! Static files of a page: beside the API, or on their own origin.
//!
//! API Gateway serves no files. `cargo dev` adds a [`Site`], so that a page needs no other server. Beside an API, it
//! serves only paths without a route. Its list of paths is fixed and compared literally, so no spelling of a path leads
//! to another file. Each request reads its file, so a reload shows an edit.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Request, Response, StatusCode};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Only the site's own files: no inline script or style, no form target outside, no frame around the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{api}; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Files by path, with a strict Content Security Policy.
#[derive(Clone)]
pub struct Site {
    files: BTreeMap<String, (&'static str, Content)>,
    make: Option<Arc<Make>>,
    policy: HeaderValue,
}

/// Makes the content of a path that is not on the list.
type Make = dyn Fn(&str) -> Option<Made> + Send + Sync;

/// Content that is made for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The content type.
    pub content_type: &'static str,
    /// The Content Security Policy, in place of that of the site.
    pub policy: &'static str,
    /// The content, which is the same for `GET` and `HEAD`.
    pub text: String,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("files", &self.files).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
enum Content {
    File(PathBuf),
    Text(String),
}

impl Site {
    /// An empty site. Its pages can call their own origin and `api`, such as `http://localhost:3000`.
    ///
    /// # Errors
    /// `api` is not a valid header value.
    pub fn new(api: Option<&str>) -> io::Result<Self> {
        let api = api.map(|api| format!(" {api}")).unwrap_or_default();
        let policy = HeaderValue::try_from(POLICY.replace("{api}", &api)).map_err(io::Error::other)?;
        Ok(Self { files: BTreeMap::new(), make: None, policy })
    }

    /// Adds a file on disk at `path`, such as `/page.js`.
    #[must_use]
    pub fn file(mut self, path: &str, content_type: &'static str, file: PathBuf) -> Self {
        self.files.insert(path.to_owned(), (content_type, Content::File(file)));
        self
    }

    /// Adds a text at `path`.
    #[must_use]
    pub fn text(mut self, path: &str, content_type: &'static str, text: String) -> Self {
        self.files.insert(path.to_owned(), (content_type, Content::Text(text)));
        self
    }

    /// Makes the content of other paths at each request. `make` gets the path as sent, and returns `None` for an unknown one.
    #[must_use]
    pub fn made(mut self, make: impl Fn(&str) -> Option<Made> + Send + Sync + 'static) -> Self {
        self.make = Some(Arc::new(make));
        self
    }

    /// The response for a path as sent, including percent-encoding; `None` if the site has no such file.
    pub(crate) async fn answer(&self, method: &Method, path: &str) -> Option<Response<Body>> {
        let Some((content_type, content)) = self.files.get(path) else {
            let Made { content_type, policy, text } = self.make.as_ref().and_then(|make| make(path))?;
            let mut response = self.file_response(method, content_type, Ok(text.into_bytes()), path);
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
            return Some(response);
        };
        let bytes = match content {
            Content::Text(text) => Ok(text.clone().into_bytes()),
            Content::File(file) => read(file.clone()).await,
        };
        Some(self.file_response(method, content_type, bytes, path))
    }

    fn file_response(
        &self,
        method: &Method,
        content_type: &'static str,
        bytes: io::Result<Vec<u8>>,
        path: &str,
    ) -> Response<Body> {
        if method != Method::GET && method != Method::HEAD {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD.");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return self.protected(response);
        }
        let response = match bytes {
            // hyper sends the length, and no body in a response to HEAD.
            Ok(bytes) => {
                let mut response = Response::new(Body::from(bytes));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
                response
            }
            Err(problem) => {
                tracing::warn!(%method, ?path, function = "", "the file cannot be read: {problem}");
                plain(StatusCode::NOT_FOUND, "The file of this path is missing in the checkout.")
            }
        };
        self.protected(response)
    }

    fn protected(&self, mut response: Response<Body>) -> Response<Body> {
        let headers: &mut HeaderMap = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

async fn read(file: PathBuf) -> io::Result<Vec<u8>> {
    tokio::task::spawn_blocking(move || std::fs::read(file)).await.map_err(io::Error::other)?
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Serves a site on `listener` until the future is dropped. Its requests are not logged.
///
/// # Errors
/// The listener failed permanently.
pub async fn serve_site(listener: TcpListener, site: Site) -> io::Result<()> {
    let app = Router::new().fallback(alone).with_state(Arc::new(site));
    axum::serve(listener, app).await
}

async fn alone(State(site): State<Arc<Site>>, request: Request<Body>) -> Response<Body> {
    match site.answer(request.method(), request.uri().path()).await {
        Some(response) => response,
        None => site.protected(plain(StatusCode::NOT_FOUND, "Not found.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        Site::new(Some("http://localhost:3000"))
            .unwrap()
            .file("/", "text/html; charset=utf-8", here.join("Cargo.toml"))
            .file("/gone.js", "text/javascript; charset=utf-8", here.join("no-such-file"))
            .text("/a.json", "application/json", "{}".to_owned())
    }

    #[tokio::test]
    async fn files_have_their_type_and_a_strict_policy() {
        let of = async |path| site().answer(&Method::GET, path).await.unwrap();
        let (page, data) = (of("/").await, of("/a.json").await);
        for (response, content_type) in [(&page, "text/html; charset=utf-8"), (&data, "application/json")] {
            assert_eq!(response.status(), 200);
            let header = |name| response.headers().get(name).unwrap().to_str().unwrap();
            assert_eq!(header(CONTENT_TYPE), content_type);
            assert_eq!(header(CACHE_CONTROL), "no-cache");
            assert_eq!(header(X_CONTENT_TYPE_OPTIONS), "nosniff");
            assert_eq!(header(REFERRER_POLICY), "no-referrer");
            assert_eq!(
                header(CONTENT_SECURITY_POLICY),
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                 connect-src 'self' http://localhost:3000; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            );
        }
        let alone = Site::new(None).unwrap();
        assert!(alone.policy.to_str().unwrap().contains("connect-src 'self'; base-uri"));
    }

    /// invariant: The page server serves the files of its list and no others.
    #[tokio::test]
    async fn a_path_is_on_the_list_or_there_is_nothing() {
        for path in
            ["", "//", "/.", "/../Cargo.toml", "/%2e%2e/Cargo.toml", "/Cargo.toml", "/a.json/", "/A.json"]
        {
            assert!(site().answer(&Method::GET, path).await.is_none(), "{path}");
        }
        let gone = site().answer(&Method::GET, "/gone.js").await.unwrap();
        assert_eq!(
            (gone.status().as_u16(), gone.headers().contains_key(CONTENT_SECURITY_POLICY)),
            (404, true)
        );
    }

    #[tokio::test]
    async fn made_content_has_its_own_policy_and_replaces_no_file() {
        let (content_type, policy) = ("text/html; charset=utf-8", "default-src 'none'");
        let made = move |path: &str| {
            let text = path.to_owned();
            path.starts_with("/a").then_some(Made { content_type, policy, text })
        };
        let site = site().made(made);
        let of = async |method, path| site.answer(&method, path).await;
        let response = of(Method::GET, "/ab").await.unwrap();
        assert_eq!(response.headers()[CONTENT_SECURITY_POLICY], policy);
        assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(of(Method::POST, "/ab").await.unwrap().status(), 405);
        assert_eq!(of(Method::GET, "/a.json").await.unwrap().headers()[CONTENT_TYPE], "application/json");
        assert!(of(Method::GET, "/b").await.is_none());
    }

    #[tokio::test]
    async fn files_are_read_and_nothing_else() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let response = site().answer(&method, "/").await.unwrap();
            assert_eq!(response.status(), 405, "{method}");
            assert_eq!(response.headers()[ALLOW], "GET, HEAD");
        }
        assert_eq!(site().answer(&Method::HEAD, "/").await.unwrap().status(), 200);
    }
}
