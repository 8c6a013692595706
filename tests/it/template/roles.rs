//! The rights of the functions.

use super::{Names, Template, get_att, list, names, parameters_of, text};
use daypass_authorizer::ProofTable;
use daypass_core::token::assertion::AssertionUse;
use serde_json::{Value, json};
use std::collections::BTreeSet;

impl Template {
    /// The statements of a function's role, those under a condition included.
    fn statements(&self, binary: &str) -> Vec<&Value> {
        let role = get_att(&self.functions()[binary]["Properties"]["Role"], "Arn");
        let policies = self.resource(role)["Properties"]["Policies"].as_array().expect("a role has policies");
        policies
            .iter()
            .flat_map(|policy| list(&policy["PolicyDocument"]["Statement"]))
            .map(|statement| statement.pointer("/Fn::If/1").unwrap_or(statement))
            .collect()
    }

    /// The actions that a function may take, each with its resource.
    fn grants(&self, binary: &str) -> BTreeSet<(String, String)> {
        let statements = self.statements(binary);
        let pairs = statements.iter().flat_map(|statement| {
            list(&statement["Action"]).into_iter().flat_map(|action| {
                list(&statement["Resource"])
                    .into_iter()
                    .map(|resource| (text(action).to_owned(), target(resource).to_owned()))
            })
        });
        pairs.collect()
    }
}

/// The parameter or resource that a statement names. Text is an error, because it could be an ARN with a `*`.
fn target(value: &Value) -> &str {
    const REGIONAL: &str = ":${AWS::Region}:${AWS::AccountId}:";
    if value.get("Fn::Sub").is_some() {
        let name = text(&value["Fn::Sub"]);
        return match name.split_once(REGIONAL) {
            Some(("arn:${AWS::Partition}:sqs", "${AWS::StackName}-undelivered")) => "Undelivered",
            Some(("arn:${AWS::Partition}:ses", "configuration-set/${AWS::StackName}-mail")) => {
                "ConfigurationSet"
            }
            // The sender and the templates are members of Settings, which no policy can read.
            Some(("arn:${AWS::Partition}:ses", "identity/*")) => "Identities",
            Some(("arn:${AWS::Partition}:ses", "template/*")) => "Templates",
            _ => {
                assert_eq!(name, "${SessionsTable.Arn}/index/ended");
                "SessionsTable/index/ended"
            }
        };
    }
    if value == &json!({ "Fn::GetAtt": "OutboxTable.StreamArn" }) {
        return "OutboxTable/stream";
    }
    if value.get("Ref").is_some() { text(&value["Ref"]) } else { get_att(value, "Arn") }
}

/// invariant: Each role has the rights that its function needs and no others.
#[test]
fn each_function_may_do_what_it_does_and_nothing_else() {
    /// `ACTION RESOURCE`, without those of the log, which every function has.
    fn check(template: &Template, binary: &str, expected: &[&str]) {
        let mut grants = template.grants(binary);
        let logs = get_att(&json!({ "Fn::GetAtt": log_group_arn(template, binary) }), "Arn").to_owned();
        for action in ["logs:CreateLogStream", "logs:PutLogEvents"] {
            assert!(grants.remove(&(action.to_owned(), logs.clone())), "{binary} cannot {action} to {logs}");
        }
        let grants: Names =
            grants.into_iter().map(|(action, resource)| format!("{action} {resource}")).collect();
        assert_eq!(grants, names(expected.iter().copied()), "{binary}");
    }

    /// The ARN of the log group that the function writes to.
    fn log_group_arn(template: &Template, binary: &str) -> String {
        format!(
            "{}.Arn",
            text(&template.functions()[binary]["Properties"]["LoggingConfig"]["LogGroup"]["Ref"])
        )
    }

    let template = Template::read();
    check(
        &template,
        "login",
        &[
            // begin: the user and the first counter, in parallel; count; settle.
            "dynamodb:GetItem UsersTable",
            "dynamodb:UpdateItem AttemptsTable",
            // open_session: one transaction, in which a rehash takes the place of the check, and a passkey counts its use.
            // create_user.
            "dynamodb:ConditionCheckItem UsersTable",
            "dynamodb:UpdateItem UsersTable",
            "dynamodb:PutItem SessionsTable",
            // end_least_used.
            "dynamodb:Query SessionsTable",
            "dynamodb:UpdateItem SessionsTable",
            "dynamodb:DeleteItem AttemptsTable",
            "secretsmanager:GetSecretValue SigningKeysSecret",
            "secretsmanager:GetSecretValue RefreshKeysSecret",
            "secretsmanager:GetSecretValue PeppersSecret",
            "secretsmanager:GetSecretValue ClientsSecretArn",
            "kms:Decrypt KmsKeyArn",
        ],
    );
    check(
        &template,
        "refresh",
        &[
            // rotate, and revoke_session on reuse.
            "dynamodb:UpdateItem SessionsTable",
            // use_assertion.
            "dynamodb:UpdateItem AttemptsTable",
            "secretsmanager:GetSecretValue SigningKeysSecret",
            "secretsmanager:GetSecretValue RefreshKeysSecret",
            "secretsmanager:GetSecretValue MachinesSecret",
            "secretsmanager:GetSecretValue ClientsSecretArn",
            "kms:Decrypt KmsKeyArn",
        ],
    );
    check(
        &template,
        "introspect",
        &[
            // stored_session, is_revoked.
            "dynamodb:GetItem SessionsTable",
            // use_assertion.
            "dynamodb:UpdateItem AttemptsTable",
            "secretsmanager:GetSecretValue MachinesSecret",
            "secretsmanager:GetSecretValue JwksSecret",
            "kms:Decrypt KmsKeyArn",
        ],
    );
    check(
        &template,
        "revoke",
        &[
            // revoke_session.
            "dynamodb:UpdateItem SessionsTable",
            // revoke_all.
            "dynamodb:Query SessionsTable",
            "secretsmanager:GetSecretValue RefreshKeysSecret",
            "secretsmanager:GetSecretValue JwksSecret",
            "secretsmanager:GetSecretValue ClientsSecretArn",
            "kms:Decrypt KmsKeyArn",
        ],
    );
    check(
        &template,
        "sessions",
        &[
            // stored_sessions, stored_session, end_session.
            "dynamodb:Query SessionsTable",
            "dynamodb:GetItem SessionsTable",
            "dynamodb:UpdateItem SessionsTable",
            "secretsmanager:GetSecretValue ClientsSecretArn",
            "kms:Decrypt KmsKeyArn",
        ],
    );
    check(
        &template,
        "password",
        &[
            // session_and_name.
            "dynamodb:GetItem SessionsTable",
            // begin, count, settle.
            "dynamodb:GetItem UsersTable",
            "dynamodb:UpdateItem AttemptsTable",
            "dynamodb:DeleteItem AttemptsTable",
            // change_password; change_factors, which adds and deletes the items of passkeys.
            "dynamodb:UpdateItem UsersTable",
            "dynamodb:DeleteItem UsersTable",
            // end_others.
            "dynamodb:Query SessionsTable",
            "dynamodb:UpdateItem SessionsTable",
            // replace_session: its end is an UpdateItem too.
            "dynamodb:ConditionCheckItem UsersTable",
            "dynamodb:PutItem SessionsTable",
            // request_mail.
            "dynamodb:PutItem OutboxTable",
            "secretsmanager:GetSecretValue SigningKeysSecret",
            "secretsmanager:GetSecretValue RefreshKeysSecret",
            "secretsmanager:GetSecretValue PeppersSecret",
            "secretsmanager:GetSecretValue ClientsSecretArn",
            "kms:Decrypt KmsKeyArn",
        ],
    );
    check(
        &template,
        "admin",
        &[
            // users; user; add_user, set_email and remove_user with the claim of the address; the others of Admin.
            "dynamodb:Scan UsersTable",
            "dynamodb:GetItem UsersTable",
            "dynamodb:PutItem UsersTable",
            "dynamodb:ConditionCheckItem UsersTable",
            "dynamodb:DeleteItem UsersTable",
            "dynamodb:UpdateItem UsersTable",
            // sessions, stored_session, and the changes and ends of sessions; revoke_machine.
            "dynamodb:Query SessionsTable",
            "dynamodb:GetItem SessionsTable",
            "dynamodb:UpdateItem SessionsTable",
            // request_mail, for an invitation.
            "dynamodb:PutItem OutboxTable",
            "secretsmanager:GetSecretValue PeppersSecret",
            "secretsmanager:GetSecretValue MachinesSecret",
            "secretsmanager:PutSecretValue MachinesSecret",
            "secretsmanager:UpdateSecretVersionStage MachinesSecret",
            "kms:Decrypt KmsKeyArn",
            "kms:GenerateDataKey KmsKeyArn",
        ],
    );
    check(
        &template,
        "account",
        &[
            // count.
            "dynamodb:UpdateItem AttemptsTable",
            // request_mail, subject.
            "dynamodb:PutItem OutboxTable",
            "dynamodb:GetItem OutboxTable",
            // create_account, reset_password, change_address. No right to read a user.
            "dynamodb:ConditionCheckItem UsersTable",
            "dynamodb:DeleteItem UsersTable",
            "dynamodb:PutItem UsersTable",
            "dynamodb:UpdateItem UsersTable",
            "dynamodb:DeleteItem OutboxTable",
            // end_others.
            "dynamodb:Query SessionsTable",
            "dynamodb:UpdateItem SessionsTable",
            "secretsmanager:GetSecretValue RefreshKeysSecret",
            "secretsmanager:GetSecretValue PeppersSecret",
            "secretsmanager:GetSecretValue ClientsSecretArn",
            "kms:Decrypt KmsKeyArn",
        ],
    );
    check(
        &template,
        "mailer",
        &[
            // user_by_address, user_named, mark_undeliverable.
            "dynamodb:GetItem UsersTable",
            "dynamodb:UpdateItem UsersTable",
            // begin_mail, end_mail, return_try.
            "dynamodb:UpdateItem OutboxTable",
            // Lambda polls with the role of the function.
            "dynamodb:DescribeStream OutboxTable/stream",
            "dynamodb:GetRecords OutboxTable/stream",
            "dynamodb:GetShardIterator OutboxTable/stream",
            "dynamodb:ListStreams OutboxTable/stream",
            "sqs:SendMessage Undelivered",
            "ses:SendEmail ConfigurationSet",
            "ses:SendEmail Identities",
            "ses:SendEmail Templates",
            "ses:SendTemplatedEmail ConfigurationSet",
            "ses:SendTemplatedEmail Identities",
            "ses:SendTemplatedEmail Templates",
            "secretsmanager:GetSecretValue RefreshKeysSecret",
            "secretsmanager:GetSecretValue ClientsSecretArn",
            "kms:Decrypt KmsKeyArn",
        ],
    );
    // ended_since: the index and not the table.
    check(&template, "revocations", &["dynamodb:Query SessionsTable/index/ended"]);
    check(&template, "authorizer", &["dynamodb:PutItem AttemptsTable"]);
    // Used proofs and used assertions, under keys that no counter has.
    for (binary, prefix) in [
        ("authorizer", ProofTable::PREFIX),
        ("refresh", AssertionUse::PREFIX),
        ("introspect", AssertionUse::PREFIX),
    ] {
        let condition = json!({
            "ForAllValues:StringLike": { "dynamodb:LeadingKeys": [format!("{prefix}*")] },
            "Null": { "dynamodb:LeadingKeys": "false" },
        });
        let attempts = json!({ "Fn::GetAtt": "AttemptsTable.Arn" });
        let statements = template.statements(binary);
        let on_attempts = statements.iter().filter(|statement| list(&statement["Resource"]) == [&attempts]);
        let conditions: Vec<&Value> = on_attempts.map(|statement| &statement["Condition"]).collect();
        assert_eq!(conditions, [&condition], "{binary}");
    }
    check(&template, "discovery", &["secretsmanager:GetSecretValue JwksSecret", "kms:Decrypt KmsKeyArn"]);
    let verbs = ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"];
    let secrets = ["SigningKeysSecret", "RefreshKeysSecret", "PeppersSecret"];
    let mut rotation: Vec<String> = secrets
        .iter()
        .flat_map(|secret| verbs.map(|verb| format!("secretsmanager:{verb} {secret}")))
        .collect();
    rotation
        .extend(["GetSecretValue", "PutSecretValue"].map(|verb| format!("secretsmanager:{verb} JwksSecret")));
    rotation.extend(["Decrypt", "GenerateDataKey"].map(|verb| format!("kms:{verb} KmsKeyArn")));
    check(&template, "rotate-keys", &rotation.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn no_statement_is_wider_than_it_reads() {
    let template = Template::read();
    for binary in template.functions().into_keys() {
        for statement in template.statements(binary) {
            assert_eq!(statement["Effect"], "Allow", "{binary}: {statement}");
            for member in ["NotAction", "NotResource"] {
                assert_eq!(statement.get(member), None, "{binary}: {statement}");
            }
        }
        for (action, resource) in template.grants(binary) {
            assert!(!action.contains('*') && !resource.contains('*'), "{binary}: {action} {resource}");
        }
        let properties = &template.functions()[binary]["Properties"];
        assert_eq!(
            properties.get("Policies"),
            None,
            "{binary}: SAM policies grant more than their name says"
        );
    }
    // Other policies and roles, and their actions on every resource.
    let mut wide = Vec::new();
    for kind in ["AWS::IAM::ManagedPolicy", "AWS::IAM::Role"] {
        for (id, resource) in template.resources(kind) {
            let own = resource["Properties"].get("PolicyDocument");
            let within = resource["Properties"]["Policies"].as_array().into_iter().flatten();
            for document in own.into_iter().chain(within.map(|policy| &policy["PolicyDocument"])) {
                for statement in list(&document["Statement"]) {
                    let statement = statement.pointer("/Fn::If/1").unwrap_or(statement);
                    for action in list(&statement["Action"]) {
                        assert!(!text(action).contains('*'), "{id}: {action}");
                        if list(&statement["Resource"]).contains(&&json!("*")) {
                            wide.push(format!("{id} {}", text(action)));
                        }
                    }
                }
            }
        }
    }
    wide.sort();
    let expected = ["TracingPolicy xray:PutTelemetryRecords", "TracingPolicy xray:PutTraceSegments"];
    assert_eq!(wide, expected, "these actions accept no ARN");
    for (id, role) in template.resources("AWS::IAM::Role") {
        for policy in role["Properties"]["ManagedPolicyArns"].as_array().into_iter().flatten() {
            // Policies of this stack alone, each under its condition.
            let (condition, name) = (text(&policy["Fn::If"][0]), text(&policy["Fn::If"][1]["Ref"]));
            let ours = [("Traced", "TracingPolicy"), ("HasKmsKey", "DataKeyPolicy")];
            assert!(ours.contains(&(condition, name)), "{id}: {policy}");
        }
    }
}

#[test]
fn roles_belong_to_one_function_each() {
    let template = Template::read();
    let functions = template.functions();
    let roles: Names =
        functions.values().map(|f| get_att(&f["Properties"]["Role"], "Arn").to_owned()).collect();
    let all = names(template.resources("AWS::IAM::Role").map(|(id, _)| id));
    assert_eq!(roles, all);

    // The authorizer writes more than all others, and costs as much.
    for (binary, function) in &functions {
        let group = if *binary == "authorizer" { "AuthorizerLogs" } else { "IssuerLogs" };
        assert_eq!(function["Properties"]["LoggingConfig"]["LogGroup"], json!({ "Ref": group }), "{binary}");
    }
    let groups = names(template.resources("AWS::Logs::LogGroup").map(|(id, _)| id));
    assert_eq!(groups, names(["ApiLogs", "AuthorizerLogs", "IssuerLogs"]));
    for (id, group) in template.resources("AWS::Logs::LogGroup") {
        assert_eq!(group["Properties"]["RetentionInDays"], 90, "{id}");
    }
}

#[test]
fn tables_and_secrets_reach_the_functions_that_may_use_them() {
    /// Variables that name a secret, besides those whose name says so.
    const OTHERS: [&str; 3] = ["DAYPASS_JWKS", "DAYPASS_CLIENTS", "DAYPASS_MACHINES"];
    let template = Template::read();
    for binary in template.functions().into_keys() {
        let environment = template.environment(binary);
        let granted = |service: &str| -> Names {
            let grants = template.grants(binary).into_iter();
            // The table of an index.
            let whole = |resource: String| resource.split('/').next().unwrap_or_default().to_owned();
            grants
                .filter(|(action, _)| action.starts_with(service))
                .map(|(_, resource)| whole(resource))
                .collect()
        };

        let mut tables = Names::new();
        for (variable, table) in [
            ("DAYPASS_USERS_TABLE", "UsersTable"),
            ("DAYPASS_SESSIONS_TABLE", "SessionsTable"),
            ("DAYPASS_ATTEMPTS_TABLE", "AttemptsTable"),
            ("DAYPASS_OUTBOX_TABLE", "OutboxTable"),
            ("DAYPASS_PROOFS_TABLE", "AttemptsTable"),
        ] {
            if let Some(value) = environment.get(variable) {
                assert_eq!(value, &json!({ "Ref": table }), "{binary}: {variable}");
                tables.insert(table.to_owned());
            }
        }
        assert_eq!(tables, granted("dynamodb:"), "{binary}");

        let mut secrets: Names = environment.get("DAYPASS_KEYS").map(parameters_of).unwrap_or_default();
        let named = environment
            .iter()
            .filter(|(name, _)| name.ends_with("_SECRET") || OTHERS.contains(&name.as_str()));
        let named = named.filter_map(|(_, value)| value.get("Ref")).map(text);
        let named = named.filter(|name| *name != "ProxySecret");
        secrets.extend(named.map(str::to_owned));
        assert_eq!(secrets, granted("secretsmanager:"), "{binary}");
    }
}
