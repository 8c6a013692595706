//! What a walk observes after a call: events, access tokens, and the stored items.

use super::*;

/// Events of a call.
#[derive(Default)]
pub(super) struct Told {
    /// Sessions with a `refresh.reuse` event.
    thefts: Vec<String>,
    /// Number of `refresh.other_network` events.
    elsewhere: usize,
}

impl Told {
    pub(super) fn counts(&self, thefts: usize, elsewhere: usize) -> Result<(), Failure> {
        let (seen, expected) = ((self.thefts.len(), self.elsewhere), (thefts, elsewhere));
        if seen != expected {
            let text = format!("(thefts, repeats from elsewhere) are {seen:?}, expected {expected:?}");
            return failed(Property::Event, text);
        }
        Ok(())
    }
}

impl Journey<'_> {
    /// Events since the last call.
    pub(super) fn told(&self) -> Told {
        let mut told = Told::default();
        for event in self.functions.iter().flat_map(|function| function.journal.take()) {
            match event {
                Event::Reuse { session, .. } => told.thefts.push(session.to_string()),
                Event::OtherNetwork { .. } => told.elsewhere += 1,
                _ => {}
            }
        }
        told
    }

    pub(super) fn expect_told(&self, told: &Told, thefts: usize, elsewhere: usize) -> Result<(), Failure> {
        for id in &told.thefts {
            let session = self.model.chains.iter().position(|chain| chain.id.as_ref() == Some(id));
            if session.is_none_or(|session| !self.holders[session].suspect) {
                return failed(
                    Property::Honest,
                    format!("theft was told of session {session:?}, where was none"),
                );
            }
        }
        told.counts(thefts, elsewhere)
    }

    /// Gives the client its tokens, and checks the access token.
    pub(super) fn accept(
        &mut self,
        process: Process,
        ruling: &Ruling,
        seen: &Seen,
        heard: bool,
    ) -> Result<(), Failure> {
        let (Ruling::Granted { session, link, .. }, Seen::Granted(grant)) = (ruling, seen) else {
            return Ok(());
        };
        let chain = &self.model.chains[*session];
        let claims = claims(&grant.access);
        let expected = json!({
            "sid": grant.session, "client_id": chain.client,
            "scope": Some(&grant.scope).filter(|scope| !scope.is_empty()),
            "sub": self.users[chain.user].id.to_string(),
        });
        for (name, value) in expected.as_object().into_iter().flatten() {
            if claims[name] != *value {
                return failed(Property::Access, format!("`{name}` is {} and not {value}", claims[name]));
            }
        }
        // With the other process, whose clock may differ.
        if !self.functions[1 - process].lets_through(&grant.access) {
            return failed(Property::Access, format!("denied: {claims}"));
        }
        self.coverage.longest_chain = self.coverage.longest_chain.max(chain.links.len());
        let holder = &mut self.holders[*session];
        if heard && holder.received.last().is_none_or(|last| last < link) {
            holder.received.push(*link);
        }
        Ok(())
    }

    pub(super) fn tally(
        &mut self,
        kind: &'static str,
        call: &Call,
        before: &[reference::chain::Chain],
        outcome: &Outcome,
    ) {
        *self.coverage.calls.entry((kind, outcome.ruling.label())).or_default() += 1;
        *self.coverage.replays.entry(coverage::ELSEWHERE).or_default() += outcome.elsewhere as u64;
        if let Call::Refresh { session, link, .. } = call {
            let replay = match outcome.ruling {
                Ruling::Granted { how: How::Again, .. } => Some(coverage::WITHIN_GRACE),
                Ruling::Granted { how: How::ByKey, .. } => Some(coverage::BY_KEY),
                Ruling::Refused(Why::Theft) => {
                    let late = before.get(*session).is_some_and(|chain| link + 1 == chain.last());
                    Some(if late { coverage::LATE } else { coverage::USED })
                }
                _ => None,
            };
            if let Some(replay) = replay {
                *self.coverage.replays.entry(replay).or_default() += 1;
            }
        }
        for (session, chain) in self.model.chains.iter().enumerate() {
            let was_live = before.get(session).is_none_or(|chain| chain.ended.is_empty());
            if let (true, Some(reason)) = (was_live, chain.ended.first()) {
                *self.coverage.ended.entry(reason.why).or_default() += 1;
            }
        }
    }

    // The tables.

    /// The sessions of all users, read directly from the tables.
    pub(super) async fn stored(&self) -> Result<Vec<Vec<Session>>, Failure> {
        let mut stored = Vec::new();
        for user in &self.users {
            match self.world.direct.sessions(user.id).await {
                Ok(sessions) => stored.push(sessions),
                Err(error) => return failed(Property::Stored, format!("an item cannot be read: {error}")),
            }
        }
        Ok(stored)
    }

    pub(super) async fn check_stored(&mut self) -> Result<(), Failure> {
        let stored = self.stored().await?;
        stored::adopt(&mut self.model, &self.users, &stored)
    }

    pub(super) async fn collect(&mut self, session: usize) {
        let chain = &self.model.chains[session];
        let Some(id) = chain.id.clone().filter(|_| !chain.gone) else { return };
        let user = self.users[chain.user].id;
        let request = self.world.base.bench.raw.delete_item();
        let request = request.table_name(&self.world.base.bench.tables.sessions);
        request
            .key("user", AttributeValue::S(user.to_string()))
            .key("session", AttributeValue::S(id))
            .send()
            .await
            .unwrap();
        self.model.chains[session].gone = true;
        if self.told {
            self.lines.push(format!("the item of session {session} is deleted"));
        }
    }

    /// Presents every issued token once more, then again without the items, and again after the absolute end.
    pub(super) async fn last_rounds(&mut self, walk: &Walk) -> Result<(), Failure> {
        if self.told {
            self.lines.push("every token once more".to_owned());
        }
        self.present_all(walk.oldest_first, "as things stood").await?;
        if walk.deleted {
            for session in 0..self.model.chains.len() {
                self.collect(session).await;
                if let Some(link) = self.known(session).last().copied() {
                    // A refresh token is valid only for clients of its transport. An access token is valid for all clients.
                    for access in [false, true] {
                        let call = Call::Revoke { session, link, access, client: None, all: false };
                        self.single(0, call, Fault::None).await?;
                    }
                }
            }
            self.present_all(walk.oldest_first, "after their sessions' items were deleted").await?;
            self.check_stored().await?;
        }
        let end = self.model.chains.iter().map(|chain| chain.absolute_end).max();
        let now = self.now(0).min(self.now(1));
        self.pass(Duration::from_millis(end.unwrap_or(now).saturating_sub(now)));
        self.present_all(walk.oldest_first, "after the absolute end").await
    }

    pub(super) async fn present_all(
        &mut self,
        oldest_first: bool,
        when: &'static str,
    ) -> Result<(), Failure> {
        let mut done = HashSet::new();
        for session in 0..self.model.chains.len() {
            let mut links = self.known(session);
            if !oldest_first {
                links.reverse();
            }
            for (index, link) in links.into_iter().enumerate() {
                // This round may have made the newest link.
                if done.insert((session, link)) {
                    let call = Call::refresh(session, link, None);
                    self.single(index % 2, call, Fault::None).await?;
                    *self.coverage.last_round.entry(when).or_default() += 1;
                }
            }
        }
        Ok(())
    }
}
