//! Bugs of endings, after a theft or on request.

use super::*;
use crate::model::reference::CLOCK_SKEW;

/// Bugs of endings, after a theft or on request.
pub const ENDING: &[Mutant] = &[
    Mutant {
        name: "theft-not-ended",
        wrong: "theft is noticed and told, and the session lives on",
        request: |_, request| swallowed(request, "reuse"),
        answer: no_answer,
    },
    Mutant {
        name: "theft-ends-what-it-met",
        wrong: "the ending after a theft requires the generation of the replay: a parallel refresh keeps the \
                session",
        request: |memory, request| {
            if request.is_ending(Some("reuse"))
                && let Some(met) = memory.met.get(&request.session())
            {
                request.with_condition("#met = :met", ("#met", "generation"), (":met", met.clone()));
            }
            None
        },
        answer: |memory, request, reply| {
            if let Some((_, item)) = behind(request, reply) {
                memory.met.insert(request.session(), item["generation"].clone());
            }
            None
        },
    },
    Mutant {
        name: "theft-ends-all-sessions",
        wrong: "theft of one session ends the user's others: one stolen device logs out all",
        request: no_request,
        answer: |memory, request, _| {
            let user = request.body["Key"]["user"]["S"].as_str()?;
            let own = request.session();
            let (_, other) = memory.opened.iter().find(|(u, session)| u == user && *session != own)?;
            request.is_ending(Some("reuse")).then(|| {
                let mut besides = request.body.clone();
                besides["Key"]["session"]["S"] = json!(other);
                ("UpdateItem", besides)
            })
        },
    },
    Mutant {
        name: "ending-overwrites",
        wrong: "an end does not ask whether the session has ended: the reason changes, and one theft is \
                told twice",
        request: |_, request| {
            if request.is_ending(None) {
                request.without_condition("#revoked_at");
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "ending-forgets-itself",
        wrong: "an ending does not store its attempt: after a lost response, the retry does not recognise it, and the \
                theft is not reported",
        request: |_, request| {
            if request.is_ending(None) {
                request.without_set("#attempt");
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "ending-makes-tombstones",
        wrong: "an ending has no condition that the session exists: it leaves an unreadable item",
        request: |_, request| {
            if request.is_ending(None) {
                request.without_condition("attribute_exists");
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "revoke-swallowed",
        wrong: "revoke answers 200 and ends nothing",
        request: |_, request| swallowed(request, "revoked"),
        answer: no_answer,
    },
    Mutant {
        name: "revoke-for-any-client",
        wrong: "revoke does not ask whose token it is: another client ends the session",
        request: |_, request| {
            if request.is_ending(None) {
                request.without_condition("#client");
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "revoke-all-ends-the-first",
        wrong: "all=true, a password change and a disabled user end the first session that they find \
                and no other",
        request: no_request,
        answer: |_, request, reply| {
            if request.is_query()
                && let Some(items) = reply.1["Items"].as_array_mut()
            {
                items.truncate(1);
            }
            None
        },
    },
    Mutant {
        name: "revoke-all-misses-the-newest",
        wrong: "the sessions to end are read eventually consistent: the newest is missed",
        request: no_request,
        answer: |memory, request, reply| {
            let user = request.value(":user")["S"].as_str()?;
            let (_, newest) = memory.opened.iter().rfind(|(u, _)| u == user)?;
            if request.is_query()
                && let Some(items) = reply.1["Items"].as_array_mut()
            {
                items.retain(|item| item["session"]["S"] != json!(newest));
            }
            None
        },
    },
    Mutant {
        name: "revoke-all-spares-the-expiring",
        wrong: "ending all sessions goes by its own clock alone: a session that it takes for expired is still \
                refreshed by a process whose clock is behind",
        request: |_, request| {
            if request.is_query() {
                let now = time(request.value(":now"))? + CLOCK_SKEW;
                request.body["ExpressionAttributeValues"][":now"] = at(now);
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "revoke-all-ends-what-came-since",
        wrong: "a token that an earlier all=true ended also ends the sessions that were opened later",
        request: |_, request| {
            if request.is_query() {
                request.without_filter(":opened_before");
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "revoke-all-retried-by-one-clock",
        wrong: "finishing an all=true that broke off goes by its own clock alone: a session that a process ahead \
                had opened before lives on",
        request: |_, request| {
            if let Some(opened_before) = time(request.value(":opened_before")) {
                request.body["ExpressionAttributeValues"][":opened_before"] = at(opened_before - CLOCK_SKEW);
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "revoke-all-ends-others",
        wrong: "ending all sessions of a user ends those of other users",
        request: no_request,
        answer: |memory, request, reply| {
            if request.is_query()
                && let Some(items) = reply.1["Items"].as_array_mut()
            {
                let all = memory.opened.iter();
                items.extend(all.map(|(u, s)| json!({ "user": { "S": u }, "session": { "S": s } })));
            }
            None
        },
    },
    Mutant {
        name: "revoke-all-ends-what-it-met",
        wrong: "ending all sessions asks for the generation that the query met: a session that is refreshed \
                meanwhile lives on",
        request: |memory, request| {
            if request.is_query() {
                let projection = request.body["ProjectionExpression"].as_str().unwrap_or_default();
                request.body["ProjectionExpression"] = json!(format!("{projection}, #met"));
                request.body["ExpressionAttributeNames"]["#met"] = json!("generation");
            }
            if request.is_ending(None)
                && let Some(met) = memory.met.remove(&request.session())
            {
                request.with_condition("#met = :met", ("#met", "generation"), (":met", met));
            }
            None
        },
        answer: |memory, request, reply| {
            if request.is_query()
                && let Some(items) = reply.1["Items"].as_array_mut()
            {
                for item in items.iter_mut().filter_map(Value::as_object_mut) {
                    let met = item.remove("generation").unwrap_or_default();
                    let session = item["session"]["S"].as_str().unwrap_or_default().to_owned();
                    memory.met.insert(session, met);
                }
            }
            None
        },
    },
];
