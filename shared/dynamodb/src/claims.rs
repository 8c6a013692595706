//! The change of a user's claims. Live sessions follow: their next access tokens have the new claims.

use crate::DynamoDb;
use crate::address::MAX_TRIES;
use crate::admin::{SETTLING, changed};
use crate::item::{
    self, ABSOLUTE_END, BOUND_TO, CLAIMS, CREATED_AT, DEVICE, FOR_ENROLMENT, Item, SCOPE, UPDATED_AT,
    USERNAME,
};
use crate::scope::Step;
use crate::store::{Moment, names, values};
use daypass_core::account::claims::Claims;
use daypass_core::account::device_room;
use daypass_core::ports::store::{StoreError, User};
use daypass_verifier::base::ids::Username;
use daypass_verifier::base::time::Timestamp;

/// What shows whether a session is open for an enrolment alone.
const KIND: [&str; 4] = [FOR_ENROLMENT, SCOPE, CREATED_AT, ABSOLUTE_END];

/// The outcome of [`DynamoDb::set_claims`].
#[derive(Debug, PartialEq, Eq)]
pub struct ClaimsChange {
    /// The changed user.
    pub user: User,
    /// Live sessions that got other claims in this call.
    pub updated: u32,
}

impl DynamoDb {
    /// Sets the claims of a user and of every live session except those for an enrolment alone. Returns `None` if there is no such user. The caller checks that name,
    /// scope and claims fit into a session ([`session_room`](daypass_core::account::session_room)).
    ///
    /// Costs a write unit of the user and of each live session, two queries of the sessions and a read of the user. The second
    /// query finds sessions of transactions that committed just before the change, as in `DynamoDb::set_scope`. The read finds
    /// the claims of a parallel call, which can have written to the sessions before this one.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB does not answer or refuses. The claims may be set already, and some sessions may have the
    /// old ones. Call it again.
    pub async fn set_claims(
        &self,
        username: &Username,
        claims: &Claims,
        now: Timestamp,
    ) -> Result<Option<ClaimsChange>, StoreError> {
        let moment = Moment::new(now);
        let mut request = self
            .change(username)?
            .set_expression_attribute_names(names(&[USERNAME, UPDATED_AT, CLAIMS]))
            .set_expression_attribute_values(values([("now", item::precise(now))]));
        request = match item::claims_text(claims) {
            Some(text) => request
                .update_expression("SET #updated_at = :now, #claims = :claims")
                .expression_attribute_values(":claims", text),
            None => request.update_expression("SET #updated_at = :now REMOVE #claims"),
        };
        let Some(mut user) = changed(request).await? else { return Ok(None) };
        let mut updated = 0;
        for _ in 0..MAX_TRIES {
            updated += self.update_sessions(&user, moment).await?;
            tokio::time::sleep(SETTLING).await;
            updated += self.update_sessions(&user, moment).await?;
            match self.read_user(username).await? {
                Some(met) if met.id == user.id && met.claims != user.claims => user = met,
                _ => return Ok(Some(ClaimsChange { user, updated })),
            }
        }
        Err(StoreError::Unavailable("set_claims: the user changed meanwhile".to_owned()))
    }

    /// Gives every live session the claims of its user. Returns how many sessions had others.
    async fn update_sessions(&self, user: &User, now: Moment) -> Result<u32, StoreError> {
        let claims = item::claims_text(&user.claims);
        let step = |mut item: Item| {
            let is_bound = item.remove(BOUND_TO).is_some();
            let room = device_room(&user.username, &user.scope, &user.claims, is_bound);
            let is_for_enrolment = item::is_for_enrolment(&item).unwrap_or(true);
            for name in KIND {
                item.remove(name);
            }
            let (had, device) = (item.remove(CLAIMS), item.remove(DEVICE));
            if had == claims || is_for_enrolment {
                return None;
            }
            let (mut set, mut removed) = (Vec::new(), Vec::new());
            let mut request = self.live_session(item).expression_attribute_names("#claims", CLAIMS);
            match &claims {
                Some(text) => {
                    set.push("#claims = :claims");
                    request = request.expression_attribute_values(":claims", text.clone());
                }
                None => removed.push("#claims"),
            }
            // The device hint is ASCII, and gives way to the claims.
            if let Some(device) =
                device.as_ref().and_then(|device| device.as_s().ok()).filter(|text| text.len() > room)
            {
                request = request.expression_attribute_names("#device", DEVICE);
                match device.get(..room) {
                    Some(kept) if room > 0 => {
                        set.push("#device = :device");
                        request = request.expression_attribute_values(":device", item::text(kept));
                    }
                    _ => removed.push("#device"),
                }
            }
            let clause = |verb: &str, parts: &[&str]| match parts {
                [] => String::new(),
                parts => format!("{verb} {} ", parts.join(", ")),
            };
            let update = clause("SET", &set) + &clause("REMOVE", &removed);
            Some(Step::Change(request.update_expression(update.trim_end())))
        };
        let (updated, _) =
            self.follow(user.id, now, &[&[CLAIMS, DEVICE, BOUND_TO], &KIND[..]].concat(), step).await?;
        Ok(updated)
    }
}
