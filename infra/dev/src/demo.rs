//! The demo page: on the gateway's own origin, and on a second origin that calls the gateway across origins.
//!
//! The server reads its files from the checkout at each request, so a reload of the page shows an edit.

use super::error::StackError;
use super::gateway::listen;
use super::mail::Inbox;
use super::store::{DEMO_PASSWORD, DEMO_USER};
use daypass_core::client::Origin;
use daypass_core::passkey::relying_party::RelyingParty;
use daypass_gateway::Site;
use daypass_tools::workspace_root;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::time::Duration;

/// Client of the page. Its transport is `cookie`.
pub const DEMO_CLIENT: &str = "demo";
/// Client of the developer's pages that cannot use the cookie: those of apps, and of a wildcard. Its transport is `body`.
const APP_CLIENT: &str = "demo-app";

/// Paths, content types and files below `infra/browser`.
const FILES: [(&str, &str, &str); 11] = [
    ("/", HTML, "demo/index.html"),
    ("/demo.css", "text/css; charset=utf-8", "demo/demo.css"),
    ("/demo.js", SCRIPT, "demo/demo.js"),
    ("/daypass.js", SCRIPT, "daypass.js"),
    ("/account.js", SCRIPT, "demo/account.js"),
    ("/factors.js", SCRIPT, "demo/factors.js"),
    ("/qr.js", SCRIPT, "demo/qr.js"),
    ("/mail.js", SCRIPT, "demo/mail.js"),
    ("/page.js", SCRIPT, "demo/page.js"),
    ("/mark.svg", "image/svg+xml", "demo/mark.svg"),
    // Browsers request it anyway, and a 404 is an error in their console.
    ("/favicon.ico", "image/svg+xml", "demo/mark.svg"),
];
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
/// Configuration of the page.
const SETTINGS: &str = "/demo.json";

/// Demo page of a stack.
/// The domain of the demo's passkeys.
pub(super) const LOCALHOST: &str = "localhost";

#[derive(Debug)]
pub(super) struct Demo {
    /// Listener of the second origin.
    listener: TcpListener,
    /// Origins of the gateway, of the second listener, and of the developer's own pages.
    origins: Vec<String>,
    /// Origins of [`APP_CLIENT`].
    app_origins: Vec<String>,
}

impl Demo {
    /// Binds the port of the second origin; 0 selects a free port. `api_port` is the gateway's.
    pub(super) fn open(
        api_port: u16,
        page_port: u16,
        https: bool,
        others: &[Origin],
    ) -> Result<Self, StackError> {
        let (listener, address) = listen(page_port, "--page-port")?;
        let mut origins = vec![local_origin(api_port, https), local_origin(address.port(), https)];
        let mut app_origins = Vec::new();
        for other in others {
            let list = if other.without_cookies().is_some() { &mut app_origins } else { &mut origins };
            if !list.iter().any(|own| own == other.as_str()) {
                list.push(other.to_string());
            }
        }
        Ok(Self { listener, origins, app_origins })
    }

    /// Origins of both clients.
    pub(super) fn origins(&self) -> Vec<String> {
        [self.origins.as_slice(), &self.app_origins].concat()
    }

    /// The pages of this machine, which can use passkeys of [`LOCALHOST`].
    pub(super) fn passkey_origins(&self) -> String {
        let own = self.origins.iter().filter(|origin| RelyingParty::parse(LOCALHOST, origin).is_ok());
        own.map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// URLs of the page: on the gateway's origin, and on the second origin.
    pub(super) fn urls(&self) -> [String; 2] {
        let url =
            |index: usize| self.origins.get(index).map(|origin| format!("{origin}/")).unwrap_or_default();
        [url(0), url(1)]
    }

    /// The list of clients with the page's client, and that of apps if they have origins, at its end. The first client stays the default. Without a list, the
    /// default client is that of the functions.
    pub(super) fn clients(&self, list: Option<&str>) -> Result<String, StackError> {
        let list = list.filter(|list| !list.is_empty()).unwrap_or(r#"[{"client_id":"default"}]"#);
        let mut clients: Vec<Value> = serde_json::from_str(list).map_err(|error| {
            StackError::new(format!("DAYPASS_CLIENTS is not a list ({error})"), "correct it")
        })?;
        if !clients.iter().any(|client| client.get("client_id").is_some_and(|id| id == DEMO_CLIENT)) {
            let [account_url, _] = self.urls();
            clients.push(json!({
                "client_id": DEMO_CLIENT,
                "transport": "cookie",
                "origins": self.origins,
                "signup": "open",
                "account_url": account_url,
            }));
        }
        if !self.app_origins.is_empty() {
            clients.push(json!({ "client_id": APP_CLIENT, "origins": self.app_origins }));
        }
        Ok(Value::from(clients).to_string())
    }

    /// Files for the gateway's origin, and listener and files of the second origin.
    pub(super) fn sites(
        self,
        access_lifetime: Duration,
        inbox: &Inbox,
    ) -> Result<(Site, (TcpListener, Site)), StackError> {
        let api = self.origins.first().cloned().unwrap_or_default();
        let settings = json!({
            "api": api,
            "origins": self.origins,
            "client_id": DEMO_CLIENT,
            "access_token_seconds": access_lifetime.as_secs(),
            "username": DEMO_USER,
            "password": DEMO_PASSWORD,
        });
        let site = |calls: Option<&str>| {
            let site = Site::new(calls).map_err(|error| {
                StackError::new(
                    format!("the demo page cannot be served: {error}"),
                    "this is a bug of Daypass: please report it",
                )
            })?;
            let folder = workspace_root().join("infra/browser");
            let site = FILES.iter().fold(site, |site, (path, content_type, file)| {
                site.file(path, content_type, folder.join(file))
            });
            let inbox = inbox.clone();
            let site = site.made(move |path| inbox.page(path));
            Ok(site.text(SETTINGS, "application/json", settings.to_string()))
        };
        Ok((site(None)?, (self.listener, site(Some(&api))?)))
    }
}

/// The origin of a port on this machine, as browsers write it.
pub(super) fn local_origin(port: u16, https: bool) -> String {
    let (scheme, default) = if https { ("https", 443) } else { ("http", 80) };
    if port == default { format!("{scheme}://localhost") } else { format!("{scheme}://localhost:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daypass_core::client::{Clients, Transport};

    fn demo() -> Demo {
        let other = |text: &str| Origin::parse(text).unwrap();
        Demo::open(3000, 0, false, &[other("http://localhost:5173"), other("http://localhost:3000")]).unwrap()
    }

    #[test]
    fn the_page_has_a_cookie_client_and_the_default_stays_what_it_was() {
        let demo = demo();
        let [own, second] = demo.urls();
        assert_eq!(own, "http://localhost:3000/");
        let clients = Clients::parse(&demo.clients(None).unwrap()).unwrap();
        assert_eq!(clients.find(None).unwrap().id.as_str(), "default");
        assert_eq!(clients.find(None).unwrap().transport, Transport::Body);
        let client = clients.find(Some(DEMO_CLIENT)).unwrap();
        assert_eq!(client.transport, Transport::Cookie);
        let origins: Vec<_> = client.origins.iter().map(Origin::as_str).collect();
        let second = second.trim_end_matches('/');
        assert_eq!(origins, ["http://localhost:3000", second, "http://localhost:5173"]);
    }

    #[test]
    fn a_list_of_ones_own_keeps_its_order_and_its_demo() {
        let demo = demo();
        let web = r#"{"client_id":"web","transport":"cookie","origins":["https://app.example"]}"#;
        let clients = Clients::parse(&demo.clients(Some(&format!("[{web}]"))).unwrap()).unwrap();
        assert_eq!(clients.find(None).unwrap().id.as_str(), "web");
        assert!(clients.find(Some(DEMO_CLIENT)).is_some());

        let own = r#"[{"client_id":"demo","transport":"cookie","origins":["https://app.example"]}]"#;
        let clients = Clients::parse(&demo.clients(Some(own)).unwrap()).unwrap();
        assert_eq!(clients.find(Some(DEMO_CLIENT)).unwrap().origins.len(), 1);
        assert!(demo.clients(Some("web")).unwrap_err().to_string().contains("DAYPASS_CLIENTS"));
    }

    #[test]
    fn origins_of_apps_belong_to_a_body_client() {
        let others = ["capacitor://localhost", "https://*.preview.example.com", "http://localhost:5173"];
        let others = others.map(|text| Origin::parse(text).unwrap());
        let demo = Demo::open(3000, 0, true, &others).unwrap();
        let clients = Clients::parse(&demo.clients(None).unwrap()).unwrap();
        let app = clients.find(Some(APP_CLIENT)).unwrap();
        assert_eq!((app.transport, &app.origins[..]), (Transport::Body, &others[..2]));
        assert!(clients.find(Some(DEMO_CLIENT)).unwrap().origins.contains(&others[2]));
        assert_eq!(demo.origins().len(), 5);
    }

    #[test]
    fn every_file_of_the_page_is_in_the_checkout() {
        for (path, _, file) in FILES {
            assert!(workspace_root().join("infra/browser").join(file).is_file(), "{path}: {file}");
        }
    }

    #[test]
    fn ports_are_written_as_browsers_do() {
        for (port, https, expected) in [
            (80, false, "http://localhost"),
            (443, false, "http://localhost:443"),
            (3000, false, "http://localhost:3000"),
            (443, true, "https://localhost"),
            (3000, true, "https://localhost:3000"),
        ] {
            assert_eq!(local_origin(port, https), expected);
            Origin::parse(expected).unwrap();
        }
    }
}
