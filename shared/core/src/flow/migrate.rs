//! Migration: the old system checks the password of a user whom Daypass has no hash of, and the login goes on.
//!
//! The old system is asked about unknown names and marked users, after the attempt was counted and the decoy was hashed. Both
//! therefore cost the same work. A marked user gets the new hash in the transaction that opens the session. An unknown user is
//! created before it.

use crate::account::session_room;
use crate::factor::Factors;
use crate::flow::error::{Problem, Throttled};
use crate::flow::login::{Checked, Login, LoginRequest};
use crate::flow::throttle::{Admitted, Throttle};
use crate::ports::event::{Event, LoginFailure};
use crate::ports::migration::{Answer, MARKER, OldUser, Question, Unanswered};
use crate::ports::passkey::PasskeyStore;
use crate::ports::store::{AddressStore, AttemptStore, Creation, Store, User, UserStatus};
use crate::throttle::Exhausted;
use daypass_verifier::base::ids::UserId;
use daypass_verifier::base::time::Timestamp;
use std::time::Duration;

/// `Retry-After` while the old system has locked the name. Cognito locks for 1 s to 15 minutes, and does not say how long.
const LOCKED_FOR: Duration = Duration::from_secs(60);

impl User {
    /// Whether only the old system knows the password.
    pub(crate) fn is_marked(&self) -> bool {
        self.password_hash == MARKER
    }
}

impl<S: Store + AttemptStore + AddressStore + PasskeyStore> Login<S> {
    /// Lets the old system decide in place of `checked`, if there is one and the name is unknown or marked.
    ///
    /// Without an answer, the attempt does not count: a failure of the old system locks no user.
    pub(crate) async fn migrate(
        &self,
        request: &LoginRequest,
        throttle: &Throttle<'_, S>,
        admitted: &mut Admitted,
        checked: Checked,
        events: &mut Vec<Event>,
    ) -> Result<Checked, Problem> {
        let Some(old_system) = &self.old_system else { return Ok(checked) };
        if !admitted.user.as_ref().is_none_or(User::is_marked) {
            return Ok(checked);
        }
        let (client, now) = (&request.client.id, throttle.now);
        let question = Question { name: &request.typed, password: &request.password, client, now };
        let right = match old_system.ask(question).await {
            Ok(Answer::Right(right)) => right,
            Ok(Answer::Wrong) => return Ok(checked),
            Ok(Answer::Refused(cause)) => return Ok(Err(cause)),
            Ok(Answer::Locked) => {
                throttle.charge(admitted).await?;
                return Err(Problem::Throttled(Box::new(Throttled {
                    limit: Exhausted::OldSystem,
                    account: admitted.account.clone(),
                    client: client.clone(),
                    user: admitted.user.as_ref().map(|user| user.id),
                    wait: LOCKED_FOR,
                })));
            }
            Err(unanswered) => {
                throttle.give_back_all(admitted, events).await;
                return Err(Problem::Unmigrated(unanswered));
            }
        };
        let Some(user) = &admitted.user else {
            let created = self.create(request, right, now, &mut admitted.user, events).await;
            if let Err(Problem::Unmigrated(_)) = &created {
                throttle.give_back_all(admitted, events).await;
            }
            return created;
        };
        Ok(match user.status {
            _ if right.id.is_some_and(|id| id != user.id) => Err(LoginFailure::OtherOldUser),
            UserStatus::Disabled => Err(LoginFailure::Disabled),
            // The login replaces an outdated hash.
            UserStatus::Enabled => Ok(true),
        })
    }

    /// Creates the user, with the scope of the first client. The client of the request would let callers choose their scope.
    async fn create(
        &self,
        request: &LoginRequest,
        right: OldUser,
        now: Timestamp,
        user: &mut Option<User>,
        events: &mut Vec<Event>,
    ) -> Result<Checked, Problem> {
        // Under an alias, one user could be created twice.
        let name = right.name.as_deref().unwrap_or(&request.typed);
        if self.hasher.username(name).as_ref() != Some(&request.username) {
            return Ok(Err(LoginFailure::OtherOldUser));
        }
        let entropy = self.context.entropy.as_ref();
        let hash = self.hasher.rehash(&request.password, &self.peppers, entropy);
        let first = self.config.clients.find(None);
        let mut new = User {
            username: request.username.clone(),
            id: right.id.unwrap_or_else(|| UserId::generate(entropy)),
            password_hash: hash.ok_or(Problem::HashPassword)?,
            password_version: 1,
            status: UserStatus::Enabled,
            scope: first.and_then(|client| client.scope.clone()).unwrap_or_default(),
            email: right.email,
            claims: right.claims,
            factors: Factors::default(),
            created_at: now,
            updated_at: now,
        };
        if let Err(error) = session_room(&new.username, &new.scope, &new.claims) {
            return Err(Problem::Unmigrated(Unanswered(error.to_string())));
        }
        let create =
            async |new: &User| self.store.create_user(new).await.map_err(Problem::store("create_user"));
        let mut creation = create(&new).await?;
        let email_taken = creation == Creation::AddressTaken;
        if email_taken {
            new.email = None;
            creation = create(&new).await?;
        }
        let Creation::Stored(stored) = creation else { return Ok(Err(LoginFailure::OtherOldUser)) };
        // The salt is random: with another hash, another login has created the user meanwhile.
        let is_new = stored.password_hash == new.password_hash;
        let stored = user.insert(*stored);
        if !is_new {
            return Ok(self.check(&request.password, Some(stored), events));
        }
        let client = request.client.id.clone();
        events.push(Event::LoginMigrated { user: stored.id, client, created: true, email_taken });
        Ok(Ok(false))
    }
}
