//! The text of a ready stack: its URLs, and lines to try it.

use super::stack::Stack;
use super::store::{DEMO_PASSWORD, DEMO_USER};
use daypass_gateway::{Route, Target};
use serde::Serialize;
use std::fmt;

/// A ready stack, also as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Ready {
    url: String,
    /// URLs of the demo page on the gateway's origin and on the second origin.
    page_urls: Option<[String; 2]>,
    /// URL of the page with all mails.
    inbox_url: Option<String>,
    /// File with the certificate authority of HTTPS.
    certificate_authority: Option<String>,
    dynamodb_url: String,
    functions_url: String,
    function_log: String,
    username: &'static str,
    password: &'static str,
    routes: Vec<RouteView>,
}

/// A route as the text and the JSON show it.
#[derive(Debug, Serialize)]
struct RouteView {
    key: String,
    target: String,
    guarded: bool,
}

impl From<&Route> for RouteView {
    fn from(route: &Route) -> Self {
        let target = match route.target() {
            Target::Function(function) => function.clone(),
            Target::Service(guard) => guard.service().to_owned(),
        };
        Self { key: route.key().to_owned(), target, guarded: route.authorizer().is_some() }
    }
}

impl Ready {
    pub(super) fn of(stack: &Stack) -> Self {
        Self {
            url: stack.url().to_owned(),
            page_urls: stack.page_urls().map(|urls| urls.map(str::to_owned)),
            inbox_url: stack.inbox_url(),
            certificate_authority: stack.authority().map(|file| file.display().to_string()),
            dynamodb_url: stack.dynamodb_url().to_owned(),
            functions_url: stack.functions_url(),
            function_log: stack.function_log().display().to_string(),
            username: DEMO_USER,
            password: DEMO_PASSWORD,
            routes: stack.routes().iter().map(RouteView::from).collect(),
        }
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            url,
            page_urls,
            inbox_url,
            certificate_authority,
            dynamodb_url,
            functions_url,
            function_log,
            username,
            password,
            routes,
        } = self;
        writeln!(f, "\nDaypass runs.\n")?;
        if let Some([own, second]) = page_urls {
            writeln!(f, "  Demo page    {own} (open it in a browser; not at 127.0.0.1)")?;
            writeln!(f, "               {second} is the same page on a second origin")?;
        }
        if let Some(inbox) = inbox_url {
            writeln!(f, "  Inbox        {inbox} shows every mail")?;
        }
        if let Some(file) = certificate_authority {
            f.write_str(&trust(file))?;
        }
        writeln!(f, "  API Gateway  {url}")?;
        for RouteView { key, target, guarded } in routes {
            let guarded = if *guarded { "  (needs an access token)" } else { "" };
            writeln!(f, "    {key:<28} -> {target}{guarded}")?;
        }
        writeln!(f, "  Functions    {functions_url} (cargo lambda watch; restarts after an edit)")?;
        writeln!(f, "  Their log    {function_log}")?;
        writeln!(f, "  DynamoDB     {dynamodb_url}")?;
        writeln!(f, "  Demo user    {username}, password {password}")?;
        writeln!(f, "\nRun these in another terminal, one after the other:\n")?;
        f.write_str(&lines_to_paste(url, certificate_authority.as_deref(), username, password))?;
        write!(
            f,
            "\n`cargo daypass user list` lists the users, `cargo daypass session list {username}` their sessions. Ctrl-C stops the stack.\n"
        )
    }
}

/// Ways to trust the certificate authority. `cargo dev` changes no list of trusted authorities itself.
fn trust(file: &str) -> String {
    format!(
        "  HTTPS        your browser must trust this certificate authority once: {file}
    macOS      security add-trusted-cert -r trustRoot -p ssl -k ~/Library/Keychains/login.keychain-db {file}
    Linux      certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n 'Daypass cargo dev' -i {file}
    WSL        certutil.exe -addstore -user Root \"$(wslpath -w {file})\"
    Firefox    Settings, Certificates, View Certificates, Authorities, Import
"
    )
}

/// Commands to log in, call the guarded route, list sessions, refresh and revoke. They need a POSIX shell, curl and
/// sed.
fn lines_to_paste(url: &str, authority: Option<&str>, username: &str, password: &str) -> String {
    let curl = authority.map_or_else(|| "curl".to_owned(), |file| format!("curl --cacert {file}"));
    format!(
        r#"token() {{ printf '%s' "$answer" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }}
answer=$({curl} -s {url}/login -H 'content-type: application/json' -d '{{"username":"{username}","password":"{password}"}}'); echo "$answer"
{curl} -i {url}/whoami -H "authorization: Bearer $(token access_token)"
{curl} -i {url}/sessions -H "authorization: Bearer $(token access_token)"
answer=$({curl} -s {url}/refresh -d grant_type=refresh_token -d refresh_token="$(token refresh_token)"); echo "$answer"
{curl} -i {url}/revoke -d token="$(token refresh_token)"
"#
    )
}
