//! Bugs of logins and of changes of a user.

use super::*;

/// Bugs of logins and of changes of a user.
pub const USER: &[Mutant] = &[
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
            without_check(request, "#scope");
            None
        },
        answer: no_answer,
    },
    Mutant {
        name: "claims-stay-in-sessions",
        wrong: "new claims of the user change no session",
        request: |_, request| {
            (request.operation == "UpdateItem"
                && request.body["Key"]["session"].is_object()
                && request.update().contains("#claims"))
            .then(|| (200, json!({})))
        },
        answer: no_answer,
    },
    Mutant {
        name: "login-while-claims-are-set",
        wrong: "the transaction of a login does not ask for the claims of the user",
        request: |_, request| {
            without_check(request, "#claims");
            None
        },
        answer: no_answer,
    },
];
