//! Users.

use crate::{Admin, AdminError};
use daypass_core::account::claims::Claims;
use daypass_core::account::{Email, session_room};
use daypass_core::factor::Factors;
use daypass_core::keys::Peppers;
use daypass_core::ports::store::{User, UserStatus};
use daypass_core::secret::Password;
use daypass_dynamodb::{Addition, ClaimsChange, Cursor, EmailChange, ScopeChange};
use daypass_passwords::Passwords;
use daypass_verifier::base::ids::{UserId, Username};
use daypass_verifier::base::scope::Scope;

/// A user to add.
#[derive(Debug)]
pub struct NewUser {
    /// The normalised name.
    pub username: Username,
    /// The hash of the password, as [`Admin::hash`] makes it.
    pub password_hash: String,
    /// The widest scope of the user's sessions.
    pub scope: Scope,
    /// The e-mail address.
    pub email: Option<Email>,
    /// The claims of the user's access tokens.
    pub claims: Claims,
}

/// One page of users, in no particular order.
#[derive(Debug)]
pub struct Page {
    /// The users of the page.
    pub users: Vec<User>,
    /// The `after` of the next page; `None` at the end.
    pub next: Option<Cursor>,
}

impl Admin<'_> {
    /// Hashes a new password of a user.
    ///
    /// # Errors
    /// [`AdminError::Password`] when the password breaks a rule, and [`AdminError::Hash`].
    pub fn hash(
        &self,
        passwords: &Passwords,
        peppers: &Peppers,
        username: &Username,
        password: &Password,
    ) -> Result<String, AdminError> {
        passwords.accept(password, username)?;
        Ok(passwords.hash(password, peppers, self.entropy)?)
    }

    /// Adds a user with a new id.
    ///
    /// # Errors
    /// [`AdminError::TooLarge`], [`AdminError::UserExists`], [`AdminError::AddressTaken`] and [`AdminError::Store`].
    pub async fn add(&self, new: NewUser) -> Result<User, AdminError> {
        require_room(&new.username, &new.scope, &new.claims)?;
        let now = self.clock.now();
        let user = User {
            username: new.username,
            id: UserId::generate(self.entropy),
            password_hash: new.password_hash,
            password_version: 1,
            status: UserStatus::Enabled,
            scope: new.scope,
            email: new.email,
            claims: new.claims,
            factors: Factors::default(),
            created_at: now,
            updated_at: now,
        };
        match self.store.add_user(&user).await? {
            Addition::Added => Ok(user),
            Addition::NameTaken => Err(AdminError::UserExists(user.username)),
            Addition::AddressTaken => Err(AdminError::AddressTaken),
        }
    }

    /// The user of a name, if there is one.
    ///
    /// # Errors
    /// [`AdminError::Store`].
    pub async fn find(&self, username: &Username) -> Result<Option<User>, AdminError> {
        Ok(self.store.user(username).await?)
    }

    /// The user of a name.
    ///
    /// # Errors
    /// [`AdminError::UnknownUser`] and [`AdminError::Store`].
    pub async fn user(&self, username: &Username) -> Result<User, AdminError> {
        known(username, self.store.user(username).await?)
    }

    /// The page of up to `limit` users that begins after `after`.
    ///
    /// # Errors
    /// [`AdminError::Store`].
    pub async fn page(&self, after: Option<&Cursor>, limit: u32) -> Result<Page, AdminError> {
        let (users, next) = self.store.users(after, limit).await?;
        Ok(Page { users, next })
    }

    /// Enables or disables a user. Disabling ends the user's sessions.
    ///
    /// # Errors
    /// [`AdminError::UnknownUser`] and [`AdminError::Store`].
    pub async fn set_status(&self, username: &Username, status: UserStatus) -> Result<User, AdminError> {
        known(username, self.store.set_status(username, status, self.clock.now()).await?)
    }

    /// Sets the scope of a user. Live sessions lose what the user has lost.
    ///
    /// # Errors
    /// [`AdminError::UnknownUser`], [`AdminError::TooLarge`] and [`AdminError::Store`].
    pub async fn set_scope(&self, username: &Username, scope: &Scope) -> Result<ScopeChange, AdminError> {
        require_room(username, scope, &self.user(username).await?.claims)?;
        known(username, self.store.set_scope(username, scope, self.clock.now()).await?)
    }

    /// Sets the claims of a user. The next access tokens of live sessions have them.
    ///
    /// # Errors
    /// [`AdminError::UnknownUser`], [`AdminError::TooLarge`] and [`AdminError::Store`].
    pub async fn set_claims(&self, username: &Username, claims: &Claims) -> Result<ClaimsChange, AdminError> {
        require_room(username, &self.user(username).await?.scope, claims)?;
        known(username, self.store.set_claims(username, claims, self.clock.now()).await?)
    }

    /// Sets the e-mail address of a user, or removes it for `None`. Sessions stay.
    ///
    /// # Errors
    /// [`AdminError::UnknownUser`], [`AdminError::AddressTaken`] and [`AdminError::Store`].
    pub async fn set_email(&self, username: &Username, email: Option<&Email>) -> Result<User, AdminError> {
        match self.store.set_email(username, email, self.clock.now()).await? {
            EmailChange::Changed(user) => Ok(*user),
            EmailChange::Taken => Err(AdminError::AddressTaken),
            EmailChange::NoUser => known(username, None),
        }
    }

    /// Sets the password of a user and ends the user's sessions. `hash` is that of [`Admin::hash`].
    ///
    /// # Errors
    /// [`AdminError::UnknownUser`] and [`AdminError::Store`].
    pub async fn set_password(&self, username: &Username, hash: &str) -> Result<User, AdminError> {
        known(username, self.store.set_password(username, hash, self.clock.now()).await?)
    }

    /// Removes a user and ends the user's sessions. Returns the removed user.
    ///
    /// # Errors
    /// [`AdminError::UnknownUser`] and [`AdminError::Store`].
    pub async fn remove(&self, username: &Username) -> Result<User, AdminError> {
        known(username, self.store.remove_user(username, self.clock.now()).await?)
    }
}

/// Checks that name, scope and claims fit into a session.
///
/// # Errors
/// [`AdminError::TooLarge`].
pub fn require_room(username: &Username, scope: &Scope, claims: &Claims) -> Result<(), AdminError> {
    Ok(session_room(username, scope, claims).map(drop)?)
}

pub(crate) fn known<T>(username: &Username, found: Option<T>) -> Result<T, AdminError> {
    found.ok_or_else(|| AdminError::UnknownUser(username.clone()))
}
