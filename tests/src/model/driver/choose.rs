//! Selection of users, sessions and tokens for a step.

use super::Journey;
use crate::model::call::{Call, Proof};
use crate::model::reference::{DEFAULT_CLIENT, NARROW, is_bound};
use crate::model::walk::{Ask, Client, Credential, Op, PasswordIs, Pick, Scope, Which};

impl Journey<'_> {
    pub(super) fn pick(&self, pick: Pick) -> Option<usize> {
        let live = |session: &usize| {
            let chain = &self.model.chains[*session];
            !chain.gone && chain.ended.is_empty() && self.now(0) < chain.expires()
        };
        let all = 0..self.model.chains.len();
        // Prefers live sessions.
        let some: Vec<_> =
            if pick.is_multiple_of(4) { all.clone().collect() } else { all.clone().filter(live).collect() };
        let some = if some.is_empty() { all.collect() } else { some };
        (!some.is_empty()).then(|| some[usize::from(pick / 4) % some.len()])
    }

    pub(super) fn link(&self, session: usize, which: Which) -> Option<usize> {
        let received = &self.holders[session].received;
        match which {
            Which::Newest => received.last().copied(),
            Which::Previous => received.len().checked_sub(2).map(|at| received[at]),
            Which::Any(pick) => {
                let links = self.known(session);
                (!links.is_empty()).then(|| links[usize::from(pick) % links.len()])
            }
        }
    }

    /// Links whose text was issued, oldest first.
    pub(super) fn known(&self, session: usize) -> Vec<usize> {
        let links = self.model.chains[session].links.iter().enumerate();
        links.filter(|(_, link)| link.text.is_some()).map(|(at, _)| at).collect()
    }

    /// The call for an operation in the present state, or `None` if it is not possible.
    pub(super) fn resolve(&self, op: Op) -> Option<Call> {
        let user = |pick: Pick| usize::from(pick) % self.users.len();
        let client = |session: usize, ask| {
            let own = self.model.chains[session].client;
            match ask {
                Ask::OwnClient => Some(own),
                Ask::OtherClient if own == NARROW.0 => Some(DEFAULT_CLIENT),
                Ask::OtherClient => Some(NARROW.0),
                Ask::Plain | Ask::Narrower | Ask::NeverGranted | Ask::NoProof | Ask::OtherKey => None,
            }
        };
        Some(match op {
            Op::Login(pick, password, client, scope) => {
                let user = user(pick);
                let current = self.model.users[user].password;
                Call::Login {
                    user,
                    password: match password {
                        PasswordIs::Current => current,
                        PasswordIs::Other => 1 - current,
                        PasswordIs::Wrong => 2,
                    },
                    client: match client {
                        Client::Default => None,
                        Client::Narrow => Some(NARROW.0),
                    },
                    scope: match scope {
                        Scope::All => None,
                        Scope::Read => Some(NARROW.1),
                        Scope::Foreign => Some("orders:delete orders:read"),
                    },
                }
            }
            Op::Refresh(pick, which, ask, key, place) => {
                let session = self.pick(pick)?;
                let scope = match ask {
                    Ask::Narrower => Some(NARROW.1),
                    Ask::NeverGranted => Some("orders:delete orders:read"),
                    Ask::Plain | Ask::OwnClient | Ask::OtherClient | Ask::NoProof | Ask::OtherKey => None,
                };
                let proof = match ask {
                    Ask::NoProof => Proof::Missing,
                    Ask::OtherKey => Proof::Other,
                    _ => Proof::Own,
                };
                Call::Refresh {
                    session,
                    link: self.link(session, which)?,
                    client: client(session, ask),
                    scope,
                    key,
                    place,
                    proof,
                }
            }
            Op::Revoke(pick, credential, ask, all) => {
                let session = self.pick(pick)?;
                let (link, access) = match credential {
                    Credential::Refresh(which) => (self.link(session, which)?, false),
                    Credential::Access => (*self.holders[session].received.last()?, true),
                };
                Call::Revoke { session, link, access, client: client(session, ask), all }
            }
            Op::Change(pick, current) => {
                let session = self.pick(pick)?;
                let link = *self.holders[session].received.last()?;
                let password = self.model.users[self.model.chains[session].user].password;
                let (current, new) = match current {
                    PasswordIs::Current => (password, 1 - password),
                    PasswordIs::Other => (1 - password, password),
                    PasswordIs::Wrong => (2, 1 - password),
                };
                Call::Change { session, link, current, new }
            }
            Op::SetScope(pick, scope) => Call::SetScope { user: user(pick), scope },
            Op::SetClaims(pick, tenant) => Call::SetClaims { user: user(pick), tenant },
            Op::SetPassword(pick) => {
                let user = user(pick);
                Call::SetPassword { user, password: 1 - self.model.users[user].password }
            }
            Op::Disable(pick) => Call::SetEnabled { user: user(pick), enabled: false },
            Op::Enable(pick) => Call::SetEnabled { user: user(pick), enabled: true },
            Op::Remove(pick) => Call::Remove { user: user(pick) },
        })
    }

    /// Kind of a call, for the counts.
    pub(super) fn kind(&self, call: &Call) -> &'static str {
        match call {
            Call::Login { .. } => "login",
            Call::Refresh { session, proof: Proof::Other | Proof::Missing, .. }
                if is_bound(self.model.chains[*session].user) =>
            {
                "refresh, another key"
            }
            Call::Refresh { session, link, client, scope, .. } => {
                let chain = &self.model.chains[*session];
                let other = client.is_some_and(|client| client != chain.client);
                let foreign = scope.is_some_and(|scope| scope.contains("delete"));
                match (chain.last() - link, other, scope.is_some(), foreign) {
                    (0, true, ..) => "refresh, current, another client",
                    (1, true, ..) => "refresh, predecessor, another client",
                    (_, true, ..) => "refresh, older, another client",
                    (0, _, true, false) => "refresh, current, narrower scope",
                    (1, _, true, false) => "refresh, predecessor, narrower scope",
                    (_, _, true, false) => "refresh, older, narrower scope",
                    (0, _, _, true) => "refresh, current, scope never granted",
                    (1, _, _, true) => "refresh, predecessor, scope never granted",
                    (_, _, _, true) => "refresh, older, scope never granted",
                    (0, ..) => "refresh, current",
                    (1, ..) => "refresh, predecessor",
                    _ => "refresh, older",
                }
            }
            Call::Revoke { all: true, .. } => "revoke all",
            Call::Revoke { access: true, .. } => "revoke by access token",
            Call::Revoke { .. } => "revoke",
            Call::Change { .. } => "change password",
            Call::Forged { .. } => "beside the proxy",
            Call::SetScope { .. } => "set scope",
            Call::SetClaims { .. } => "set claims",
            Call::SetPassword { .. } => "set password",
            Call::SetEnabled { enabled: false, .. } => "disable",
            Call::SetEnabled { enabled: true, .. } => "enable",
            Call::Remove { .. } => "remove",
        }
    }
}
