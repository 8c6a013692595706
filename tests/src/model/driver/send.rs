//! Sends the requests of calls, and reads their responses.

use super::*;
use daypass_core::account::claims::Claims;

impl Journey<'_> {
    pub(super) async fn perform(&self, process: Process, call: &Call) -> Seen {
        let function = &self.functions[process];
        let store = &function.bench.store;
        let now = function.clock.now();
        let name = |user: usize| &self.users[user].username;
        match call {
            Call::Login { .. } | Call::Refresh { .. } | Call::Revoke { .. } | Call::Change { .. } => {
                self.send(process, call, Some(PROXY_SECRET)).await
            }
            Call::Forged { call, wrong_secret } => {
                self.send(process, call, wrong_secret.then_some(WRONG_SECRET)).await
            }
            Call::SetScope { user, scope } => {
                let scope = Scope::parse(scope).unwrap();
                operator(store.set_scope(name(*user), &scope, now).await)
            }
            Call::SetClaims { user, tenant } => {
                operator(store.set_claims(name(*user), &tenant_claims(tenant), now).await)
            }
            Call::SetPassword { user, password } => {
                operator(store.set_password(name(*user), &self.world.hashes[*password], now).await)
            }
            Call::SetEnabled { user, enabled } => {
                let status = if *enabled { UserStatus::Enabled } else { UserStatus::Disabled };
                operator(store.set_status(name(*user), status, now).await)
            }
            Call::Remove { user } => operator(store.remove_user(name(*user), now).await),
        }
    }

    /// Sends the request of a call, with this secret if a proxy is configured.
    async fn send(&self, process: Process, call: &Call, secret: Option<&str>) -> Seen {
        let function = &self.functions[process];
        let (mut request, place) = self.request(call);
        if let Some(proof) = self.proof(function, call, request.uri().path()) {
            request.headers_mut().insert("dpop", proof.parse().unwrap());
        }
        if self.model.proxy {
            let address = format!("[2001:db8:{:x}:{place}::1]:443", self.networks % 0x10000);
            let headers = [("cloudfront-viewer-address", Some(&*address)), ("x-daypass-proxy", secret)];
            for (name, value) in headers {
                if let Some(value) = value {
                    request.headers_mut().insert(name, value.parse().unwrap());
                }
            }
        }
        if let Call::Change { session, link, .. } = *call {
            // The authorizer stands in front.
            let access = self.model.chains[session].links[link].access.as_ref().map(|access| &*access.text);
            return match access.filter(|token| function.lets_through(token)) {
                Some(token) => answer(&function.send_as(token, request).await),
                None => Seen::Status(401, "invalid_token".to_owned()),
            };
        }
        answer(&function.send(request).await)
    }

    /// The DPoP proof of a call; `None` if its client sends none.
    fn proof(&self, function: &Service, call: &Call, path: &str) -> Option<String> {
        let (user, proof) = match call {
            Call::Login { user, .. } => (*user, Proof::Own),
            Call::Refresh { session, proof, .. } => (self.model.chains[*session].user, *proof),
            _ => return None,
        };
        let key = match proof {
            Proof::Own => &function.client_keys[0],
            Proof::Other => &function.client_keys[1],
            Proof::Missing => return None,
        };
        reference::is_bound(user).then(|| function.proof(key, path))
    }

    /// The request of a call, and the network that it comes from.
    fn request(&self, call: &Call) -> (Request, Place) {
        let form = |path, form: String| post(path, "application/x-www-form-urlencoded", form);
        match call {
            Call::Login { user, password, client, scope } => {
                let name = self.users[*user].username.as_str();
                let mut body = json!({ "username": name, "password": PASSWORDS[*password] });
                for (name, value) in [("client_id", client), ("scope", scope)] {
                    if let Some(value) = value {
                        body[name] = json!(value);
                    }
                }
                (post("/login", "application/json", body.to_string()), 0)
            }
            Call::Refresh { session, link, client, scope, key, place, proof: _ } => {
                let text = self.model.chains[*session].links[*link].text.as_deref().unwrap_or_default();
                let mut body = format!("grant_type=refresh_token&refresh_token={text}");
                for (name, value) in [("client_id", client), ("scope", scope)] {
                    if let Some(value) = value {
                        let _ = write!(body, "&{name}={}", value.replace(' ', "+"));
                    }
                }
                let mut request = form("/refresh", body);
                if let Some(key) = key {
                    let key = format!("the walk's key number {key}").replace(' ', "-");
                    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
                }
                (request, *place)
            }
            Call::Revoke { session, link, access, client, all } => {
                let link = &self.model.chains[*session].links[*link];
                let access_token = link.access.as_ref().map(|access| &access.text);
                let token = if *access { access_token } else { link.text.as_ref() };
                let mut body = format!("token={}", token.map_or("", String::as_str));
                if let Some(client) = client {
                    let _ = write!(body, "&client_id={client}");
                }
                if *all {
                    body.push_str("&all=true");
                }
                (form("/revoke", body), 0)
            }
            Call::Change { current, new, .. } => {
                let (current, new) = (PASSWORDS[*current], PASSWORDS[*new]);
                let body = json!({ "current_password": current, "new_password": new });
                (post("/password", "application/json", body.to_string()), 0)
            }
            Call::Forged { .. }
            | Call::SetScope { .. }
            | Call::SetClaims { .. }
            | Call::SetPassword { .. }
            | Call::SetEnabled { .. }
            | Call::Remove { .. } => unreachable!("no request of a client"),
        }
    }
}

fn answer(answer: &Answer) -> Seen {
    let body = answer.json();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    match answer.status {
        200 if body == json!({}) => Seen::Empty,
        200 => Seen::Granted(Grant {
            refresh: text("refresh_token"),
            access: text("access_token"),
            session: text("session_id"),
            scope: text("scope"),
            expires_in: body["refresh_expires_in"].as_u64().unwrap_or_default(),
            tenant: claims(&text("access_token"))["tenant"].as_str().unwrap_or_default().to_owned(),
        }),
        status => Seen::Status(status, text("error")),
    }
}

/// Claims with this tenant; none if it is empty.
fn tenant_claims(tenant: &str) -> Claims {
    let text = if tenant.is_empty() { "{}".to_owned() } else { format!("{{\"tenant\":\"{tenant}\"}}") };
    Claims::parse(&text).unwrap()
}

fn operator<T>(result: Result<Option<T>, StoreError>) -> Seen {
    match result {
        Ok(user) => Seen::Operator(user.is_some()),
        Err(StoreError::Unavailable(_)) => Seen::OperatorFailed,
        Err(StoreError::Broken(detail)) => Seen::Status(500, detail),
    }
}
