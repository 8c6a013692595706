//! Comparison of the stored items with the model.

use crate::model::reference::Reference;
use crate::model::reference::chain::{Chain, End};
use crate::model::{Failure, Property, failed};
use daypass_core::ports::store::User;
use daypass_core::session::Session;
use daypass_verifier::base::time::Timestamp;
use std::collections::HashMap;

/// Compares the stored items with the model. The model learns two facts from them that no response tells: the ids of
/// sessions whose login got no response, and which of two simultaneous endings came first.
pub(super) fn adopt(model: &mut Reference, users: &[User], stored: &[Vec<Session>]) -> Result<(), Failure> {
    for (user, items) in stored.iter().enumerate() {
        let mut items: HashMap<String, &Session> =
            items.iter().map(|item| (item.session.to_string(), item)).collect();
        let mut unheard = Vec::new();
        for (index, chain) in model.chains.iter_mut().enumerate().filter(|(_, chain)| chain.user == user) {
            let Some(id) = &chain.id else {
                unheard.push((index, chain));
                continue;
            };
            match items.remove(id) {
                None if chain.gone => {}
                Some(_) if chain.gone => {
                    return failed(
                        Property::Stored,
                        format!("session {index} was deleted and is there again"),
                    );
                }
                None => return failed(Property::Stored, format!("session {index} is not there")),
                Some(item) => same(index, chain, item)?,
            }
        }
        let mut items: Vec<_> = items.into_values().collect();
        items.sort_by_key(|item| item.created_at);
        for (index, chain) in unheard {
            let at = items.iter().position(|item| same(index, &mut chain.clone(), item).is_ok());
            match at {
                None if chain.gone => {}
                None => {
                    return failed(Property::Stored, format!("session {index}, unheard of, is not there"));
                }
                Some(at) => {
                    let item = items.remove(at);
                    chain.id = Some(item.session.to_string());
                    same(index, chain, item)?;
                }
            }
        }
        if let Some(item) = items.first() {
            let name = &users[user].username;
            return failed(Property::Stored, format!("{name:?} has a session of nobody's: {item:?}"));
        }
    }
    Ok(())
}

fn same(index: usize, chain: &mut Chain, item: &Session) -> Result<(), Failure> {
    let ended = item.ended.map(|ended| End { why: ended.reason.as_str(), at: ended.at.millis() });
    let same_end = match ended {
        None => chain.ended.is_empty(),
        Some(end) => chain.ended.contains(&end),
    };
    let scope: Vec<_> = item.scope.words().collect();
    let same = same_end
        && usize::try_from(item.generation) == Ok(chain.last())
        && item.rotated_at.map(Timestamp::millis) == chain.rotated_at
        && item.named == chain.made_under.is_some()
        && item.created_at.millis() == chain.created_at
        && item.absolute_end.millis() == chain.absolute_end
        && match ended {
            None => item.expires_at.millis() == chain.expires(),
            Some(_) => item.expires_at == item.absolute_end,
        }
        && item.client.as_str() == chain.client
        && scope.iter().all(|word| chain.scope.contains(word))
        && scope.len() == chain.scope.len()
        && item.claims.members().get("tenant").map_or("", |tenant| tenant.as_str().unwrap_or_default())
            == chain.tenant;
    if !same {
        return failed(Property::Stored, format!("session {index} is {chain:?} and stored as {item:?}"));
    }
    if let Some(end) = ended {
        chain.ended.retain(|allowed| *allowed == end);
    }
    Ok(())
}
