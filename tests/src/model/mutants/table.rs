//! The list of deliberate bugs.

use super::*;
use crate::model::reference::CLOCK_SKEW;

/// The list of deliberate bugs.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "rotate-any-generation",
        wrong: "the rotation does not ask for the presented generation: an old token rotates like the \
                current one",
        request: |_, request| {
            if request.is_rotation() {
                request.without_condition("#generation = ");
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "rotate-ended",
        wrong: "the rotation does not ask whether the session has ended",
        request: |_, request| {
            if request.is_rotation() {
                request.without_condition("#revoked_at");
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "rotate-for-any-client",
        wrong: "the rotation does not ask whose token it is: another client rotates it",
        request: |_, request| {
            if request.is_rotation() {
                request.without_condition("#client");
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "rotate-for-any-scope",
        wrong: "the rotation does not ask whether the scope was granted: a client widens its access token",
        request: |_, request| {
            if request.is_rotation() {
                request.without_condition("#scope");
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "scope-refused-after-rotating",
        wrong: "the scope is looked at after the rotation: a refused request uses the token up",
        request: |memory, request| {
            if request.is_rotation() {
                let values = request.body["ExpressionAttributeValues"].as_object()?;
                let asked = values.iter().filter(|(name, _)| name.starts_with(":scope"));
                let asked = asked.map(|(_, word)| word["S"].clone()).collect();
                memory.asked.insert(request.session(), asked);
                request.without_condition("#scope");
            }
            None
        },
        answer: |memory, request, reply| {
            if request.is_rotation() && reply.0 == 200 {
                let granted = reply.1["Attributes"]["scope"]["SS"].as_array()?;
                let asked = memory.asked.get(&request.session())?;
                if !asked.iter().all(|word| granted.contains(word)) {
                    let mut item = reply.1["Attributes"].take();
                    item["generation"] = request.value(":presented").clone();
                    *reply = refusal(Some(item));
                }
            }
            None
        },
    },
    Mutant {
        name: "rotation-upserts",
        wrong: "the rotation makes a session anew that is not there: deleting its item revives its tokens",
        request: |_, request| {
            if request.is_rotation() {
                let condition = request.body["ConditionExpression"].as_str().unwrap_or_default();
                request.body["ConditionExpression"] =
                    json!(format!("attribute_not_exists(#generation) OR ({condition})"));
                let update = format!(
                    "{}, #created_at = if_not_exists(#created_at, :now), \
                     #client = if_not_exists(#client, :web)",
                    request.update().replace(
                        "#expires_at = #absolute_end",
                        "#expires_at = if_not_exists(#absolute_end, :life)"
                    )
                );
                let update = format!("{update}, #absolute_end = if_not_exists(#absolute_end, :life)");
                request.body["UpdateExpression"] = json!(update);
                let life = time(request.value(":now")).unwrap_or_default() / 1000 + 60;
                request.body["ExpressionAttributeValues"][":life"] = json!({ "N": life.to_string() });
                request.body["ExpressionAttributeValues"][":web"] = json!({ "S": "web" });
                request.body["ExpressionAttributeNames"]["#created_at"] = json!("created_at");
                request.body["ExpressionAttributeNames"]["#client"] = json!("client");
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "rotation-skips-a-generation",
        wrong: "the rotation counts two generations: every retry looks older than it is",
        request: |_, request| {
            if request.is_rotation() {
                let next = number(request.value(":next")).unwrap_or_default() + 1;
                request.body["ExpressionAttributeValues"][":next"] = json!({ "N": next.to_string() });
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "rotation-returns-the-old-item",
        wrong: "the rotation answers with the item before it (ALL_OLD): the client gets its used token back",
        request: |_, request| {
            if request.is_rotation() {
                request.body["ReturnValues"] = json!("ALL_OLD");
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "attempt-not-stored",
        wrong: "the rotation does not store its attempt: our own retry looks like theft when there is \
                no grace",
        request: |_, request| {
            if request.is_rotation() {
                request.without_set("#attempt");
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "named-not-stored",
        wrong: "the rotation does not store that the client named it: another attempt has the whole grace period",
        request: |_, request| {
            if request.is_rotation() {
                request.without_set("#named");
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "always-named",
        wrong: "every rotation counts as named: a retry without a key is theft after a few seconds",
        request: |_, request| {
            if request.is_rotation() {
                request.body["ExpressionAttributeValues"][":named"] = json!({ "BOOL": true });
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "every-repeat-our-own",
        wrong: "every replay of the predecessor is taken for our own retry: grace never ends",
        request: no_request,
        answer: |_, request, reply| {
            let attempt = request.value(":attempt").clone();
            if let Some((1, item)) = behind(request, reply) {
                item["attempt"] = attempt;
            }
            None
        },
    },
    Mutant {
        name: "key-ignored",
        wrong: "the client's key is not looked at, only our own retries are known: a client that names its attempt \
                is a thief after grace all the same",
        request: |_, request| {
            if request.is_rotation() {
                // Each call has its own time, and its retries have the same.
                let now = request.value(":now")["N"].as_str().unwrap_or_default().to_owned();
                let attempt = request.value(":attempt")["B"].as_str().unwrap_or_default();
                let bytes = BASE64.decode(attempt.as_bytes()).unwrap_or_default();
                let salt = now.bytes().filter(u8::is_ascii_digit).rev().chain(std::iter::repeat(0));
                let salted: Vec<u8> = bytes.iter().zip(salt).map(|(byte, salt)| byte ^ salt).collect();
                request.body["ExpressionAttributeValues"][":attempt"] =
                    json!({ "B": BASE64.encode(&salted) });
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "key-outlives-its-successor",
        wrong: "a token under the key of the last rotation gets the current one however old it is: with one key for \
                ever no replay is noticed",
        request: no_request,
        answer: |_, request, reply| {
            let attempt = request.value(":attempt").clone();
            let (age, item) = behind(request, reply)?;
            if age >= 2 && item["attempt"] == attempt && item["revoked_at"].is_null() {
                let item = item.take();
                *reply = (200, json!({ "Attributes": item }));
            }
            None
        },
    },
    Mutant {
        name: "rotation-time-not-stored",
        wrong: "the rotation does not store its time: there is no grace, or that of the rotation before",
        request: |_, request| {
            if request.is_rotation() {
                request.without_set("#rotated_at");
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "rotation-time-in-whole-seconds",
        wrong: "the time of the rotation is stored in whole seconds: grace is up to a second short",
        request: |_, request| {
            if request.is_rotation() {
                let whole = time(request.value(":now")).unwrap_or_default() / 1000;
                request.body["ExpressionAttributeValues"][":now"] = json!({ "N": whole.to_string() });
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "no-grace",
        wrong: "there is no grace: a second tab and a client's retry look like theft",
        request: no_request,
        answer: |_, request, reply| {
            if let Some((1, item)) = behind(request, reply)
                && let Some(item) = item.as_object_mut()
            {
                item.remove("rotated_at");
            }
            None
        },
    },
    Mutant {
        name: "grace-without-end",
        wrong: "the clock does not close the grace window",
        request: no_request,
        answer: |_, request, reply| {
            let now = request.value(":now").clone();
            if let Some((1, item)) = behind(request, reply) {
                item["rotated_at"] = now;
            }
            None
        },
    },
    Mutant {
        name: "grace-includes-its-end",
        wrong: "the grace window is a millisecond too long",
        request: no_request,
        answer: |_, request, reply| {
            if let Some((1, item)) = behind(request, reply) {
                let later = time(&item["rotated_at"]).map(|time| at(time + 1));
                item["rotated_at"] = later.unwrap_or_default();
            }
            None
        },
    },
    Mutant {
        name: "grace-re-armed",
        wrong: "a replay within grace opens the window anew",
        request: no_request,
        answer: |_, request, reply| {
            let (1, item) = behind(request, reply)? else { return None };
            let rotated_at = time(&item["rotated_at"])?;
            let now = time(request.value(":now"))?;
            (now.saturating_sub(rotated_at) < GRACE).then(|| {
                let update = json!({
                    "TableName": request.body["TableName"], "Key": request.body["Key"],
                    "UpdateExpression": "SET rotated_at = :now",
                    "ExpressionAttributeValues": { ":now": at(now) },
                });
                ("UpdateItem", update)
            })
        },
    },
    Mutant {
        name: "grace-open-after-use",
        wrong: "the successor's first use does not close the grace window: a thief's older token gets \
                the current one",
        request: no_request,
        answer: |_, request, reply| {
            let now = time(request.value(":now"))?;
            let (age, item) = behind(request, reply)?;
            let open = now.saturating_sub(time(&item["rotated_at"])?) < GRACE;
            if age >= 2 && open && item["revoked_at"].is_null() {
                let item = item.take();
                *reply = (200, json!({ "Attributes": item }));
            }
            None
        },
    },
    Mutant {
        name: "clock-behind-is-theft",
        wrong: "a clock that runs behind finds the rotation in the future, and takes that for long ago",
        request: no_request,
        answer: |_, request, reply| {
            let now = time(request.value(":now"))?;
            if let Some((1, item)) = behind(request, reply)
                && time(&item["rotated_at"]).is_some_and(|rotated_at| rotated_at > now)
            {
                item["rotated_at"] = at(0);
            }
            None
        },
    },
    Mutant {
        name: "cause-from-a-stale-read",
        wrong: "why a rotation failed is read from an item that is one rotation old",
        request: no_request,
        answer: |_, request, reply| {
            let presented = request.value(":presented").clone();
            if let Some((1, item)) = behind(request, reply) {
                item["generation"] = presented;
            }
            None
        },
    },
    Mutant {
        name: "idle-limit-not-extended",
        wrong: "the rotation does not move the idle limit: a session in daily use ends",
        request: |_, request| {
            if request.is_rotation() {
                request.without_set("#expires_at");
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "absolute-end-moves",
        wrong: "the rotation moves the absolute end: a session in use lives for ever",
        request: |_, request| {
            if request.is_rotation() {
                let update = format!("{}, #absolute_end = #absolute_end + :minute", request.update());
                request.body["UpdateExpression"] = json!(update);
                request.body["ExpressionAttributeValues"][":minute"] = json!({ "N": "60" });
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "absolute-end-forgotten",
        wrong: "the rotation knows the idle limit alone: with one, a session in use lives past its \
                absolute end",
        request: |_, request| {
            if request.is_rotation() {
                request.without_condition("#absolute_end > ");
            }
            None
        },
        answer: |_, request, reply| {
            if request.is_rotation() && reply.0 == 200 {
                let item = &mut reply.1["Attributes"];
                if time(&item["expires_at"]) > time(&item["absolute_end"]) {
                    item["absolute_end"] = item["expires_at"].clone();
                }
            }
            None
        },
    },
    Mutant {
        name: "theft-not-ended",
        wrong: "theft is noticed and told, and the session lives on",
        request: |_, request| swallowed(request, "reuse"),
        answer: no_answer,
    },
    Mutant {
        name: "theft-ends-what-it-met",
        wrong: "the end of a stolen session asks for the generation that was met: whoever refreshes \
                meanwhile keeps it",
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
        wrong: "an end does not store its attempt: when its answer is lost, our own retry takes it for \
                somebody else's and theft goes untold",
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
        wrong: "an end does not ask whether there is a session: it leaves an item that nobody can read",
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
        wrong: "a token that an earlier all=true ended ends all sessions once more, those opened since as well: \
                whoever kept one logs the user out for half a year",
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
        wrong: "ending all sessions asks for the generation that the query met: whoever refreshes \
                meanwhile keeps theirs",
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
    Mutant {
        name: "password-change-ends-nothing",
        wrong: "a new password leaves the sessions of the old one alive",
        request: |_, request| swallowed(request, "password_changed"),
        answer: no_answer,
    },
    Mutant {
        name: "disabling-ends-nothing",
        wrong: "a disabled user keeps their sessions",
        request: |_, request| swallowed(request, "user_disabled"),
        answer: no_answer,
    },
    Mutant {
        name: "removal-ends-nothing",
        wrong: "a removed user keeps their sessions",
        request: |_, request| swallowed(request, "user_removed"),
        answer: no_answer,
    },
    Mutant {
        name: "login-with-the-old-password",
        wrong: "the login's transaction does not ask for the password version: a login outlives the \
                change that it met",
        request: |_, request| {
            without_check(request, "#password_version");
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "login-while-being-disabled",
        wrong: "the login's transaction does not ask whether the user is disabled: a login outlives the \
                disabling that it met",
        request: |_, request| {
            without_check(request, "#disabled");
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "login-of-the-disabled",
        wrong: "the login does not look whether the user is disabled",
        request: |_, request| {
            without_check(request, "#disabled");
            None
        },
        answer: |_, request, reply| {
            if request.operation == "GetItem" && reply.1["Item"].is_object() {
                reply.1["Item"]["disabled"] = json!({ "BOOL": false });
            }
            None
        },
    },
    Mutant {
        name: "throttled-is-absent",
        wrong: "a throttled rotation is read as a session that is not there: the client throws its \
                token away",
        request: no_request,
        answer: |_, request, reply| {
            let throttled =
                reply.1["__type"].as_str().is_some_and(|kind| kind.ends_with("ThrottlingException"));
            if throttled && request.is_rotation() {
                *reply = refusal(None);
            }
            None
        },
    },
];

/// Removes a part of the condition on the user in a login.
fn without_check(request: &mut Request<'_>, part: &str) {
    for action in request.body["TransactItems"].as_array_mut().into_iter().flatten() {
        for kind in ["ConditionCheck", "Update"] {
            if let Some(body) = action.get_mut(kind) {
                Request { operation: "TransactWriteItems", body }.without_condition(part);
            }
        }
    }
}

/// Bugs that need a walk of the kind `Accounts`.
pub const ACCOUNT_MUTANTS: &[Mutant] = &[
    Mutant {
        name: "rotation-forgets-its-network",
        wrong: "the rotation does not store its network: a thief within grace looks like a second tab",
        request: |_, request| {
            if request.is_rotation() {
                request.without_set("#network");
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "change-spares-its-session",
        wrong: "the old session survives a change of the password: a thief with a copy of it stays",
        request: |_, request| {
            let actions = request.body.get_mut("TransactItems")?.as_array_mut()?;
            actions.retain(|action| !action["Update"].to_string().contains("SET #revoked_at"));
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "scope-stays-in-sessions",
        wrong: "a new scope of the user changes no session",
        request: |_, request| request.update().starts_with("DELETE #scope").then(|| (200, json!({}))),
        answer: no_answer,
    },
    Mutant {
        name: "login-while-scope-is-set",
        wrong: "the transaction of a login does not ask for the scope of the user",
        request: |_, request| {
            for action in request.body.get_mut("TransactItems")?.as_array_mut()? {
                for kind in ["ConditionCheck", "Update"] {
                    if let Some(body) = action.get_mut(kind) {
                        Request { operation: kind, body }.without_condition("#scope");
                    }
                }
            }
            None
        },
        answer: no_answer,
    },
];
