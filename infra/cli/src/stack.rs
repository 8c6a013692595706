//! A deployed stack, by its outputs.

use crate::aws::{Aws, remedy};
use crate::output::{Failure, quoted};
use std::collections::BTreeMap;

/// Variables of the commands, and the outputs with their values.
const VARIABLES: [(&str, &str); 5] = [
    ("DAYPASS_USERS_TABLE", "UsersTableName"),
    ("DAYPASS_SESSIONS_TABLE", "SessionsTableName"),
    ("DAYPASS_ATTEMPTS_TABLE", "AttemptsTableName"),
    ("DAYPASS_MACHINES", "MachinesSecretArn"),
    ("DAYPASS_OUTBOX_TABLE", "OutboxTableName"),
];

/// A stack as CloudFormation describes it.
#[derive(Debug)]
pub(crate) struct Stack {
    /// Such as `UPDATE_COMPLETE`.
    pub(crate) status: String,
    outputs: BTreeMap<String, String>,
}

impl Stack {
    /// Describes the stack with this name or ARN.
    ///
    /// # Errors
    /// It does not exist, or the caller may not describe it.
    pub(crate) async fn read(aws: &Aws, name: &str) -> Result<Self, Failure> {
        let form = [("Action", "DescribeStacks"), ("Version", "2010-05-15"), ("StackName", name)];
        let response = aws.query("cloudformation", &form).await.map_err(|error| {
            Failure::new(
                format!("CloudFormation does not describe the stack {}: {error}", quoted(name)),
                remedy(&error).unwrap_or(
                    "check the name, AWS_PROFILE, AWS_REGION and your permission cloudformation:DescribeStacks",
                ),
            )
        })?;
        let stack = Self::parse(&String::from_utf8_lossy(&response.body));
        if !stack.outputs.contains_key("UsersTableName") {
            return Err(Failure::new(
                format!(
                    "{} is no Daypass stack, or it was never deployed completely: {}",
                    quoted(name),
                    stack.status
                ),
                "name the stack of template.yaml; `aws cloudformation describe-stack-events` shows a failed deployment",
            ));
        }
        Ok(stack)
    }

    /// Parses the response. Its lists have one element `member` for each entry.
    fn parse(xml: &str) -> Self {
        let text = |part: &str, name: &str| {
            let (_, rest) = part.split_once(&format!("<{name}>"))?;
            Some(unescaped(rest.split_once(&format!("</{name}>"))?.0))
        };
        let outputs = xml.split("<member>").filter_map(|member| {
            let member = member.split("</member>").next()?;
            Some((text(member, "OutputKey")?, text(member, "OutputValue").unwrap_or_default()))
        });
        Self { status: text(xml, "StackStatus").unwrap_or_default(), outputs: outputs.collect() }
    }

    /// The value of an output.
    pub(crate) fn output(&self, name: &str) -> Option<&str> {
        self.outputs.get(name).map(String::as_str)
    }

    /// The variables that an operator would export. Users need the peppers alone; `key` shows all key sets.
    pub(crate) fn variables(&self, secrets: &[&str]) -> BTreeMap<String, String> {
        let value = |name: &str| self.output(name).map(str::to_owned);
        let tables =
            VARIABLES.iter().filter_map(|(variable, output)| Some(((*variable).to_owned(), value(output)?)));
        let keys: Vec<String> = secrets.iter().filter_map(|name| value(name)).collect();
        tables.chain([("DAYPASS_KEYS".to_owned(), keys.join(" "))]).collect()
    }
}

/// Text without the entities of XML.
fn unescaped(text: &str) -> String {
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read_in_any_order_and_unescaped() {
        let stack = Stack::parse(
            "<Stacks><member><Parameters><member><ParameterKey>Issuer</ParameterKey><ParameterValue>x</ParameterValue></member></Parameters>\
             <StackStatus>UPDATE_COMPLETE</StackStatus><Outputs>\
             <member><OutputKey>A</OutputKey><OutputValue>a&amp;lt;</OutputValue></member>\
             <member><OutputValue>b</OutputValue><Description>B</Description><OutputKey>B</OutputKey></member>\
             </Outputs></member></Stacks>",
        );
        assert_eq!(stack.status, "UPDATE_COMPLETE");
        assert_eq!(
            (stack.output("A"), stack.output("B"), stack.output("Issuer")),
            (Some("a&lt;"), Some("b"), None)
        );
    }
}
