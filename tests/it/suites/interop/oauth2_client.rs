//! The crate `oauth2`, an OAuth client in Rust, as a public client without a secret.

use crate::suites::interop::programs::Covered;
use daypass_tools::workspace_root;
use oauth2::basic::{BasicClient, BasicErrorResponseType, BasicRequestTokenError, BasicTokenResponse};
use oauth2::{
    AuthType, ClientId, HttpRequest, HttpResponse, RefreshToken, RequestTokenError, RevocationUrl, Scope,
    StandardRevocableToken, TokenResponse, TokenUrl,
};
use serde_json::Value;

/// Runs the client. The crate takes the HTTP client from its user. This one connects directly to the gateway, without TLS.
pub(crate) async fn run(case: &Value, gateway: &str) -> Covered {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let issuer = case["issuer"].as_str().unwrap();
    let send = |request: HttpRequest| send(http.clone(), request, issuer.to_owned(), gateway.to_owned());

    let metadata = format!("{gateway}/.well-known/oauth-authorization-server");
    let metadata: Value = http.get(metadata).send().await.unwrap().json().await.unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let client = BasicClient::new(ClientId::new(text(&case["client_id"])))
        .set_auth_type(AuthType::RequestBody)
        .set_token_uri(TokenUrl::new(text(&metadata["token_endpoint"])).unwrap())
        .set_revocation_url(RevocationUrl::new(text(&metadata["revocation_endpoint"])).unwrap());
    let refresh = async |token: &RefreshToken, scope: Option<&Value>| {
        let scopes = scope.map(text).unwrap_or_default();
        let scopes = scopes.split_whitespace().map(|word| Scope::new(word.to_owned()));
        client.exchange_refresh_token(token).add_scopes(scopes).request_async(&send).await
    };

    let first = refresh(&RefreshToken::new(text(&case["refresh_token"])), None).await.unwrap();
    assert_eq!(scope_of(&first), case["scope"]);
    let second = refresh(first.refresh_token().unwrap(), None).await.unwrap();
    assert_ne!(second.refresh_token().unwrap().secret(), first.refresh_token().unwrap().secret());
    assert_ne!(second.access_token().secret(), first.access_token().secret());

    let narrowed = refresh(second.refresh_token().unwrap(), Some(&case["narrower_scope"])).await.unwrap();
    assert_eq!(scope_of(&narrowed), case["narrower_scope"]);
    let last = narrowed.refresh_token().unwrap();
    refused(refresh(last, Some(&case["wider_scope"])).await, &BasicErrorResponseType::InvalidScope);
    let unknown = RefreshToken::new("unknown".to_owned());
    refused(refresh(&unknown, None).await, &BasicErrorResponseType::InvalidGrant);

    for _ in 0..2 {
        let token = StandardRevocableToken::from(last.clone());
        client.revoke_token(token).unwrap().request_async(&send).await.unwrap();
    }
    refused(refresh(last, None).await, &BasicErrorResponseType::InvalidGrant);

    Covered {
        library: "oauth2".to_owned(),
        version: version(),
        cases: crate::suites::interop::programs::CLIENT.iter().map(|&case| case.to_owned()).collect(),
    }
}

pub(crate) type Tried<E> = Result<BasicTokenResponse, BasicRequestTokenError<E>>;

pub(crate) fn refused<E: std::error::Error + 'static>(tried: Tried<E>, code: &BasicErrorResponseType) {
    match tried {
        Err(RequestTokenError::ServerResponse(response)) => assert_eq!(response.error(), code),
        other => panic!("not {code}: {other:?}"),
    }
}

pub(crate) fn scope_of(answer: &BasicTokenResponse) -> String {
    let words = answer.scopes().unwrap().iter().map(|scope| scope.as_str());
    words.collect::<Vec<_>>().join(" ")
}

pub(crate) async fn send(
    http: reqwest::Client,
    request: HttpRequest,
    issuer: String,
    gateway: String,
) -> Result<HttpResponse, reqwest::Error> {
    let (parts, body) = request.into_parts();
    let url = parts.uri.to_string();
    let url = format!("{gateway}{}", url.strip_prefix(&issuer).unwrap());
    let answer = http.request(parts.method, url).headers(parts.headers).body(body).send().await?;
    let mut response = http::Response::builder().status(answer.status());
    response.headers_mut().unwrap().clone_from(answer.headers());
    Ok(response.body(answer.bytes().await?.to_vec()).unwrap())
}

/// Version of the crate in `Cargo.lock`.
pub(crate) fn version() -> String {
    let lock = std::fs::read_to_string(workspace_root().join("Cargo.lock")).unwrap();
    let (_, rest) = lock.split_once("name = \"oauth2\"\nversion = \"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}
