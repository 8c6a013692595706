//! Bugs of rotations.

use super::*;

/// Bugs of rotations.
pub const ROTATION: &[Mutant] = &[
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
        name: "rotate-for-any-key",
        wrong: "the rotation does not ask for the key of the session: a thief of the refresh token rotates it",
        request: |_, request| {
            if request.is_rotation() {
                request.without_condition("#bound_to");
            }
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "login-binds-nothing",
        wrong: "a login with a proof opens a session that is not bound to the key",
        request: |_, request| {
            for action in request.body["TransactItems"].as_array_mut().into_iter().flatten() {
                if let Some(item) = action["Put"]["Item"].as_object_mut() {
                    item.remove("jkt");
                }
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
        wrong: "the rotation creates the session if its item was deleted: its tokens work again",
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
        wrong: "a replay within grace starts another grace period",
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
];
