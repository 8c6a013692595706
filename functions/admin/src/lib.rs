//! `/admin/…`, behind IAM: operators manage users, sessions and machine clients. The operations are those of the command
//! `daypass`.

mod request;

use data_encoding::BASE64URL_NOPAD;
use daypass_admin::view::{SessionDetail, SessionView, SessionsEnded, UserView};
use daypass_admin::{
    Admin, AdminError, ClientDocument, ClientError, ClientView, Clients, NewKeyView, NewUser, RevokedView,
    require_room,
};
use daypass_core::client::machine::MachineId;
use daypass_core::http::answer::{Response, refusal, refuse, respond};
use daypass_core::http::error::ApiError;
use daypass_core::http::request::{Request, caller_of, operator_of};
use daypass_core::keys::Peppers;
use daypass_core::ports::context::{Context, Operator};
use daypass_core::ports::event::{AdminAction, Event};
use daypass_core::ports::hasher::PasswordHasher;
use daypass_core::ports::store::{StoreError, User, UserStatus};
use daypass_core::ports::vault::VaultError;
use daypass_core::secret::Password;
use daypass_dynamodb::DynamoDb;
use daypass_key_loader::{LoadError, MachinesError};
use daypass_passwords::Passwords;
use daypass_verifier::base::ids::{SessionId, UserId, Username};
use daypass_verifier::ports::context::Caller;
use request::{Addition, Change, Operation, Whose, next_cursor};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Limit of one request. The function has 20 s. A repeat of an interrupted change finishes it.
const LIMIT: Duration = Duration::from_secs(15);

/// Most sessions in one response, the newest: a response of a function has at most 6 MB.
const MAX_SESSIONS: usize = 1000;

/// The function and its dependencies.
pub struct AdminApi {
    /// The users and sessions tables, and the outbox.
    pub store: DynamoDb,
    /// The machine clients.
    pub clients: ClientDocument,
    /// The peppers of new password hashes.
    pub peppers: Peppers,
    /// The hasher of new passwords.
    pub passwords: Passwords,
    /// Time, randomness and the log.
    pub context: Context,
}

/// Answers a request of an operator.
pub async fn handle(api: &AdminApi, mut request: Request) -> Response {
    let caller = caller_of(&request);
    let Some(operator) = operator_of(&request) else {
        let detail =
            "the request context names no IAM identity: give the route the AuthorizationType AWS_IAM";
        let event = Event::Failure { during: "authorize", detail: detail.to_owned() };
        api.context.journal.record(&event, &caller);
        return refusal(&ApiError::NoOperator);
    };
    let operation = match Operation::parse(&api.passwords, &mut request) {
        Ok(operation) => operation,
        Err(error) => return refuse(&api.context, error, &caller),
    };
    let turn = Turn { api, caller, operator };
    let answer = tokio::time::timeout(LIMIT, turn.run(operation)).await;
    respond(answer.unwrap_or_else(|_| {
        turn.failed(format!("not done within {} s", LIMIT.as_secs()));
        Err(ApiError::TemporarilyUnavailable)
    }))
}

/// One request of an operator.
struct Turn<'a> {
    api: &'a AdminApi,
    caller: Caller,
    operator: Operator,
}

/// A change that is recorded at its end. A change that is dropped before, because its time is up, is recorded as incomplete.
struct Step<'a> {
    turn: &'a Turn<'a>,
    action: AdminAction,
    user: Option<UserId>,
    session: Option<SessionId>,
    client: Option<MachineId>,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Begun,
    Complete,
    /// Nothing was changed.
    Unchanged,
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        let (action, user, session, client) = (self.action, self.user, self.session, self.client.take());
        let complete = self.progress == Progress::Complete;
        if self.progress != Progress::Unchanged {
            let operator = self.turn.operator.arn.clone();
            let event = Event::AdminChanged { operator, action, user, session, client, complete };
            self.turn.api.context.journal.record(&event, &self.turn.caller);
        }
    }
}

impl Turn<'_> {
    fn admin(&self) -> Admin<'_> {
        let Context { clock, entropy, .. } = &self.api.context;
        Admin { store: &self.api.store, clock: clock.as_ref(), entropy: entropy.as_ref() }
    }

    fn clients(&self) -> Clients<'_> {
        Clients { admin: self.admin(), document: &self.api.clients }
    }

    async fn run(&self, operation: Operation) -> Result<Value, ApiError> {
        let admin = self.admin();
        match operation {
            Operation::Users { after, limit } => {
                let page = self.read(admin.page(after.as_ref(), limit).await)?;
                let users: Vec<UserView<'_>> = page.users.iter().map(UserView::from).collect();
                Ok(json!({ "users": users, "next_cursor": page.next.as_ref().map(next_cursor) }))
            }
            Operation::Add(new) => self.add(new).await,
            Operation::Invite(invitation) => {
                let mut step = self.begin(AdminAction::Invited, None);
                let outcome = admin.invite(invitation).await;
                step.end(&outcome);
                body(&self.read(outcome)?)
            }
            Operation::User(name) => body(&UserView::from(&self.read(admin.user(&name).await)?)),
            Operation::Change(name, change) => self.change(&name, &change).await,
            Operation::SetPassword(name, password) => self.set_password(&name, &password).await,
            Operation::Remove(name) => {
                let user = self.read(admin.user(&name).await)?;
                let removed = self.step(AdminAction::Removed, user.id, admin.remove(&name)).await?;
                Ok(changed(&removed))
            }
            Operation::ResetFactors(name, language) => {
                let user = self.read(admin.user(&name).await)?;
                let resetting = admin.reset_factors(&name, language);
                let reset = self.step(AdminAction::FactorsReset, user.id, resetting).await?;
                Ok(json!({
                    "user": UserView::from(&reset.user),
                    "sessions_ended": reset.ended,
                    "mail": reset.mail,
                }))
            }
            Operation::Sessions(whose) => {
                let user_id = self.user_id(whose).await?;
                let sessions = self.read(admin.sessions(user_id).await)?;
                let (total, now) = (sessions.len(), self.api.context.clock.now());
                let newest = sessions.iter().take(MAX_SESSIONS);
                let sessions: Vec<_> = newest.map(|session| SessionView::new(session, now)).collect();
                Ok(json!({ "user_id": user_id, "sessions": sessions, "total": total }))
            }
            Operation::Session(whose, session) => {
                let user_id = self.user_id(whose).await?;
                let session = self.read(admin.session(user_id, session).await)?;
                body(&SessionDetail::new(&session, self.api.context.clock.now()))
            }
            Operation::EndSessions(whose) => {
                let user_id = self.user_id(whose).await?;
                let ending = admin.end_sessions(user_id);
                let ended = self.step(AdminAction::SessionsEnded, user_id, ending).await?;
                body(&SessionsEnded { user_id, ended })
            }
            Operation::EndSession(whose, session) => {
                let user_id = self.user_id(whose).await?;
                let mut step = self.begin(AdminAction::SessionEnded, Some(user_id));
                step.session = Some(session);
                let outcome = admin.end_session(user_id, session).await;
                step.progress = match outcome {
                    Ok(true) => Progress::Complete,
                    Ok(false) | Err(AdminError::UnknownSession(_)) => Progress::Unchanged,
                    Err(_) => Progress::Begun,
                };
                let ended = self.read(outcome)?;
                body(&SessionsEnded { user_id, ended: u32::from(ended) })
            }
            Operation::Clients => {
                let clients = self.read_client(self.clients().list().await)?;
                let clients: Vec<ClientView<'_>> = clients.iter().map(ClientView::from).collect();
                Ok(json!({ "clients": clients }))
            }
            Operation::CreateClient(new) => {
                let (client, key) = new.machine(admin.clock.now());
                let (id, clients) = (client.client_id.clone(), self.clients());
                let new =
                    self.client_step(AdminAction::ClientCreated, &id, clients.create(client, key)).await?;
                body(&NewKeyView::from(&new))
            }
            Operation::RotateClient(id, key) => {
                let clients = self.clients();
                let new = self.client_step(AdminAction::ClientRotated, &id, clients.rotate(&id, key)).await?;
                body(&NewKeyView::from(&new))
            }
            Operation::RevokeClient(id, key) => {
                let clients = self.clients();
                let revoking = clients.revoke(&id, key.as_ref());
                let keys = self.client_step(AdminAction::ClientRevoked, &id, revoking).await?;
                body(&RevokedView { client_id: &id, keys: &keys })
            }
        }
    }

    async fn user_id(&self, whose: Whose) -> Result<UserId, ApiError> {
        match whose {
            Whose::Id(id) => Ok(id),
            Whose::Name(name) => Ok(self.read(self.admin().user(&name).await)?.id),
        }
    }

    async fn add(&self, new: Addition) -> Result<Value, ApiError> {
        let Addition { username, password, scope, email, claims } = new;
        self.read(require_room(&username, &scope, &claims))?;
        let password_hash = match password {
            Some(password) => self.hash(&username, &password)?,
            None => self.hash(&username, &self.unknown_password()?)?,
        };
        let mut step = self.begin(AdminAction::Added, None);
        let outcome = self.admin().add(NewUser { username, password_hash, scope, email, claims }).await;
        step.end(&outcome);
        step.user = outcome.as_ref().ok().map(|user| user.id);
        Ok(changed(&self.read(outcome)?))
    }

    /// A random password, which is not returned: the user cannot log in before another one is set.
    fn unknown_password(&self) -> Result<Password, ApiError> {
        let mut bytes = [0; 32];
        self.api.context.entropy.fill(&mut bytes);
        Password::new(BASE64URL_NOPAD.encode(&bytes)).ok_or(ApiError::ServerError)
    }

    fn hash(&self, username: &Username, password: &Password) -> Result<String, ApiError> {
        let passwords = &self.api.passwords;
        if let Some(text) = passwords.refusal(password, Some(username)) {
            return Err(ApiError::PasswordRefused(text));
        }
        self.read(self.admin().hash(passwords, &self.api.peppers, username, password))
    }

    async fn set_password(&self, name: &Username, password: &Password) -> Result<Value, ApiError> {
        let admin = self.admin();
        let user = self.read(admin.user(name).await)?;
        let hash = self.hash(name, password)?;
        let setting = admin.set_password(name, &hash);
        Ok(changed(&self.step(AdminAction::PasswordSet, user.id, setting).await?))
    }

    /// Changes the address first, because it alone can be taken, and the status last.
    async fn change(&self, name: &Username, change: &Change) -> Result<Value, ApiError> {
        let admin = self.admin();
        let mut user = self.read(admin.user(name).await)?;
        let (scope, claims) = (change.scope.as_ref(), change.claims.as_ref());
        self.read(require_room(name, scope.unwrap_or(&user.scope), claims.unwrap_or(&user.claims)))?;
        if let Some(email) = &change.email {
            let setting = admin.set_email(name, email.as_ref());
            user = self.step(AdminAction::EmailSet, user.id, setting).await?;
        }
        let (mut narrowed, mut ended, mut updated) = (0, 0, 0);
        // The old scope and claims fit into a session, and the new ones do. So one of both orders fits at each step.
        let claims_first = require_room(name, &user.scope, claims.unwrap_or(&user.claims)).is_ok();
        for turn_of_claims in [claims_first, !claims_first] {
            match (turn_of_claims, scope, claims) {
                (true, _, Some(claims)) => {
                    let setting = admin.set_claims(name, claims);
                    let set = self.step(AdminAction::ClaimsSet, user.id, setting).await?;
                    (user, updated) = (set.user, set.updated);
                }
                (false, Some(scope), _) => {
                    let setting = admin.set_scope(name, scope);
                    let set = self.step(AdminAction::ScopeSet, user.id, setting).await?;
                    (user, narrowed, ended) = (set.user, set.narrowed, set.ended);
                }
                _ => {}
            }
        }
        if let Some(required) = change.mfa_required {
            let setting = admin.require_mfa(name, required);
            user = self.step(AdminAction::MfaSet, user.id, setting).await?;
        }
        if let Some(status) = change.status {
            let action = match status {
                UserStatus::Enabled => AdminAction::Enabled,
                UserStatus::Disabled => AdminAction::Disabled,
            };
            user = self.step(action, user.id, admin.set_status(name, status)).await?;
        }
        Ok(json!({
            "user": UserView::from(&user),
            "sessions_narrowed": narrowed,
            "sessions_ended": ended,
            "sessions_updated": updated,
        }))
    }

    /// Does a change of a user, and records it.
    async fn step<T>(
        &self,
        action: AdminAction,
        user: UserId,
        work: impl Future<Output = Result<T, AdminError>>,
    ) -> Result<T, ApiError> {
        let mut step = self.begin(action, Some(user));
        let outcome = work.await;
        step.end(&outcome);
        drop(step);
        self.read(outcome)
    }

    /// Does a change of a machine client, and records it.
    async fn client_step<T>(
        &self,
        action: AdminAction,
        client: &MachineId,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ApiError> {
        let mut step = self.begin(action, None);
        step.client = Some(client.clone());
        let outcome = work.await;
        step.progress = match &outcome {
            Ok(_) => Progress::Complete,
            Err(ClientError::Document(MachinesError::Unusable(_))) => Progress::Unchanged,
            Err(ClientError::Store(_) | ClientError::Document(_)) => Progress::Begun,
            Err(_) => Progress::Unchanged,
        };
        drop(step);
        self.read_client(outcome)
    }

    fn begin(&self, action: AdminAction, user: Option<UserId>) -> Step<'_> {
        Step { turn: self, action, user, session: None, client: None, progress: Progress::Begun }
    }

    /// The value of an operation, or its error in the HTTP contract. Records a failure.
    fn read<T>(&self, outcome: Result<T, AdminError>) -> Result<T, ApiError> {
        outcome.map_err(|error| {
            match &error {
                AdminError::Store(cause) => self.failed(cause.to_string()),
                AdminError::Hash(cause) => self.failed(cause.to_string()),
                _ => {}
            }
            match error {
                AdminError::UnknownUser(_) | AdminError::UnknownSession(_) => ApiError::NotFound,
                AdminError::UserExists(_) => {
                    ApiError::AlreadyExists("A user has this name, or has it as e-mail address.")
                }
                AdminError::AddressTaken => {
                    ApiError::AlreadyExists("Another user has this e-mail address, or has it as name.")
                }
                AdminError::TooLarge(_) => ApiError::InvalidRequest(
                    "User name, scope and claims together are too large for a session.",
                ),
                AdminError::Password(_) => ApiError::PasswordRefused("The password breaks a rule."),
                AdminError::Store(StoreError::Unavailable(_)) => ApiError::TemporarilyUnavailable,
                AdminError::Hash(_) | AdminError::Store(StoreError::Broken(_)) => ApiError::ServerError,
            }
        })
    }

    /// As [`Turn::read`], for machine clients.
    fn read_client<T>(&self, outcome: Result<T, ClientError>) -> Result<T, ApiError> {
        outcome.map_err(|error| match error {
            ClientError::Store(cause) => {
                self.read::<T>(Err(cause.into())).err().unwrap_or(ApiError::ServerError)
            }
            ClientError::Document(MachinesError::Unusable(_)) => ApiError::InvalidRequest(
                "The audience is not 1 to 200 printable characters, or there are too many clients.",
            ),
            ClientError::Document(cause) => {
                self.failed(cause.to_string());
                match cause {
                    MachinesError::Load(LoadError::Unavailable(..))
                    | MachinesError::Vault(VaultError::Failed { .. }) => ApiError::TemporarilyUnavailable,
                    _ => ApiError::ServerError,
                }
            }
            ClientError::Unknown(_) | ClientError::UnknownKey(..) => ApiError::NotFound,
            ClientError::Exists(_) => ApiError::AlreadyExists("Another machine client has this name."),
            ClientError::NoAssertions(_) => {
                ApiError::InvalidRequest("A client with single_use_assertions needs a public_key.")
            }
            ClientError::TwoKeys(_) => {
                ApiError::AlreadyExists("The client has two keys: revoke one of them.")
            }
            ClientError::OnlyKey(..) => {
                ApiError::InvalidRequest("It is the only key of the client: revoke the client instead.")
            }
            ClientError::Busy => ApiError::TemporarilyUnavailable,
        })
    }

    fn failed(&self, detail: String) {
        self.api.context.journal.record(&Event::Failure { during: "admin", detail }, &self.caller);
    }
}

impl Step<'_> {
    /// The change has ended. A failed dependency may have changed something.
    fn end<T>(&mut self, outcome: &Result<T, AdminError>) {
        self.progress = match outcome {
            Ok(_) => Progress::Complete,
            Err(AdminError::Store(_)) => Progress::Begun,
            Err(_) => Progress::Unchanged,
        };
    }
}

fn changed(user: &User) -> Value {
    json!({ "user": UserView::from(user) })
}

fn body(view: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(view).map_err(|_| ApiError::ServerError)
}
