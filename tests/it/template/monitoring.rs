//! Logs, metrics, alarms and the dashboard.

use super::{Names, Template, list, names, root, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

/// The events of docs/reference/events.md, by name.
fn events() -> Names {
    let text = fs::read_to_string(root().join("docs/reference/events.md"))
        .expect("docs/reference/events.md cannot be read");
    let heading = |line: &str| Some(line.strip_prefix("### `")?.strip_suffix('`')?.to_owned());
    text.lines().filter_map(heading).collect()
}

/// The nested stack of metrics, alarms and the dashboard.
fn observability() -> Template {
    Template::at("infra/observability.yaml")
}

/// Lambda logs a successful invocation at the level INFO, and a failed one at WARN.
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>
///
/// invariant: An accepted request leaves no line in the log of the authorizer.
#[test]
fn a_quiet_authorizer_logs_nothing() {
    for (file, function) in [("template.yaml", "AuthorizerFunction"), ("infra/authorizer.yaml", "Authorizer")]
    {
        let template = Template::at(file);
        let logging = &template.resource(function)["Properties"]["LoggingConfig"];
        assert_eq!(logging["SystemLogLevel"], "WARN", "{file}");
        assert_eq!(logging["ApplicationLogLevel"], Value::Null, "{file}: its own INFO lines are denials");
    }
}

/// CloudWatch rejects an alarm with more ("Limits that apply to alarms based on metric math expressions").
///
/// invariant: An alarm reads at most ten metrics.
#[test]
fn an_alarm_reads_at_most_ten_metrics() {
    let template = observability();
    let mut most = 0;
    for (id, alarm) in template.resources("AWS::CloudWatch::Alarm") {
        let queries = alarm["Properties"]["Metrics"].as_array().into_iter().flatten();
        let metrics = queries.filter(|query| !query["MetricStat"].is_null()).count();
        assert!(metrics <= 10, "{id} reads {metrics} metrics");
        most = most.max(metrics);
    }
    assert!(most > 1, "no alarm reads several metrics");
}

/// A filter for an event that no function writes would count nothing, unnoticed.
#[test]
fn metrics_count_events_that_there_are() {
    let template = observability();
    let (events, mut counted) = (events(), 0);
    let causes = fs::read_to_string(root().join("docs/reference/events.md")).unwrap();
    for (id, filter) in template.resources("AWS::Logs::MetricFilter") {
        let group = text(&filter["Properties"]["LogGroupName"]["Ref"]);
        assert!(["IssuerLogs", "AuthorizerLogs", "ApiLogs"].contains(&group), "{id}");
        let pattern = text(&filter["Properties"]["FilterPattern"]);
        for event in pattern.split("$.event = \"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(events.contains(event), "{id}: no function writes {event}");
            counted += 1;
        }
        for cause in pattern.split("$.cause = \"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(causes.contains(&format!("\n| `{cause}` |")), "{id}: there is no cause {cause}");
        }
    }
    assert!(counted > 20, "{counted} events are counted");
}

/// invariant: Each alarm looks at a metric that a filter makes, or at one of AWS.
#[test]
fn alarms_look_at_metrics_that_there_are() {
    let template = observability();
    let made: Names = template
        .resources("AWS::Logs::MetricFilter")
        .map(|(_, filter)| &filter["Properties"]["MetricTransformations"][0])
        .map(|metric| {
            assert_eq!(text(&metric["MetricNamespace"]["Fn::Sub"]), "Daypass/${DaypassStack}");
            text(&metric["MetricName"]).to_owned()
        })
        .collect();
    for (id, alarm) in template.resources("AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        for metric in properties["Metrics"].as_array().into_iter().flatten() {
            let metric = &metric["MetricStat"]["Metric"];
            if metric["Namespace"].get("Fn::Sub").is_some() {
                assert!(made.contains(text(&metric["MetricName"])), "{id}");
            }
        }
        if properties["Namespace"].get("Fn::Sub").is_some() {
            assert_eq!(text(&properties["Namespace"]["Fn::Sub"]), "Daypass/${DaypassStack}", "{id}");
            assert!(made.contains(text(&properties["MetricName"])), "{id}");
        }
        assert_eq!(properties["TreatMissingData"], "notBreaching", "{id}: missing data is no alarm");
        for told in ["AlarmActions", "OKActions"] {
            assert_eq!(properties[told]["Fn::If"][0], "AlarmsHaveTopic", "{id}");
        }
    }
    // The dashboard shows metrics that exist.
    let (_, dashboard) = template.resources("AWS::CloudWatch::Dashboard").next().unwrap();
    let body = text(&dashboard["Properties"]["DashboardBody"]["Fn::Sub"]);
    let body: Value = serde_json::from_str(body).expect("the dashboard is JSON");
    let shown: usize =
        list(&body["widgets"]).iter().map(|one| list(&one["properties"]["metrics"]).len()).sum();
    assert!(shown <= 50, "a dashboard of {shown} metrics is not free");
    for widget in list(&body["widgets"]) {
        for metric in list(&widget["properties"]["metrics"]) {
            if metric[0] == "Daypass/${DaypassStack}" {
                assert!(made.contains(text(&metric[1])), "{metric}");
            }
        }
    }
}

/// The nested stack gets the resources of its parameters.
#[test]
fn metrics_and_alarms_look_at_this_stack() {
    let (template, nested) = (Template::read(), observability());
    let passed = template.resource("Observability")["Properties"]["Parameters"].as_object().unwrap();
    let own = |(_, parameter): &(&String, &Value)| parameter.get("Default").is_none_or(|value| value == "");
    let needed = nested.0["Parameters"].as_object().unwrap().iter().filter(own);
    assert_eq!(names(passed.keys().map(String::as_str)), needed.map(|(name, _)| name.clone()).collect());
    for (parameter, value) in passed {
        let resource = parameter.strip_suffix("Name").unwrap_or(parameter);
        let resource = match resource {
            "DaypassStack" => "AWS::StackName",
            "ApiId" => "HttpApi",
            other => other,
        };
        assert_eq!(value, &json!({ "Ref": resource }), "{parameter}");
    }
}

/// A REST or WebSocket API gets 401 from an authorizer that answers with an error, which Lambda counts in `Errors`.
///
/// invariant: A rejected token raises no alarm of failing functions.
#[test]
fn expired_tokens_are_no_function_errors() {
    let template = observability();
    for (id, alarm) in template.resources("AWS::CloudWatch::Alarm") {
        let metrics = alarm["Properties"]["Metrics"].as_array().into_iter().flatten();
        let metrics = metrics.map(|metric| &metric["MetricStat"]["Metric"]).chain([&alarm["Properties"]]);
        for metric in metrics.filter(|metric| metric["MetricName"] == "Errors") {
            for dimension in metric["Dimensions"].as_array().unwrap() {
                assert_ne!(dimension["Value"], json!({ "Ref": "AuthorizerFunctionName" }), "{id}");
            }
        }
    }
    let filter = &template.resource("AuthorizerErrorFilter")["Properties"];
    let pattern = text(&filter["FilterPattern"]);
    assert!(pattern.contains("timeout") && !pattern.contains("Unauthorized"), "{pattern}");
    let alarm = template.resource("GuardErrorsAlarm").to_string();
    assert!(alarm.contains(text(&filter["MetricTransformations"][0]["MetricName"])), "{alarm}");
}

/// CloudWatch ignores missing data of AWS/DynamoDB whatever `TreatMissingData` says, and DynamoDB sends no zeros.
///
/// invariant: Each alarm over DynamoDB returns to OK when throttling ends.
#[test]
fn alarms_over_dynamodb_end() {
    let template = observability();
    let mut checked = 0;
    for (id, alarm) in template.resources("AWS::CloudWatch::Alarm") {
        if alarm.to_string().contains("AWS/DynamoDB") {
            assert_eq!(alarm["Properties"]["Metrics"][0]["Expression"], "SUM(FILL(METRICS(), 0))", "{id}");
            checked += 1;
        }
    }
    assert_eq!(checked, 1);
}

/// The threshold of the age follows the rotation: a key is next for one period and active for another.
#[test]
fn the_age_of_keys_follows_the_rotation() {
    let template = observability();
    let alarm = &template.resource("KeyAgeAlarm")["Properties"];
    assert_eq!(alarm["Threshold"], json!({ "Ref": "KeyRotationDays" }));
    assert_eq!(alarm["Metrics"][0]["Expression"], "age / 86400 / 3");
}

/// docs/operations/cost.md states the cost of metrics and alarms.
#[test]
fn metrics_and_alarms_cost_what_the_documentation_says() {
    let template = observability();
    let transformation =
        |filter: &Value| filter["Properties"]["MetricTransformations"][0]["MetricName"].clone();
    let metrics: BTreeSet<String> = template
        .resources("AWS::Logs::MetricFilter")
        .map(|(_, filter)| text(&transformation(filter)).to_owned())
        .collect();
    let alarms: Vec<usize> = template
        .resources("AWS::CloudWatch::Alarm")
        .map(|(_, alarm)| alarm["Properties"]["Metrics"].as_array())
        .map(|metrics| {
            metrics.map_or(1, |all| all.iter().filter(|one| one.get("MetricStat").is_some()).count())
        })
        .collect();
    let looked_at: usize = alarms.iter().sum();
    let cents = metrics.len() * 30 + looked_at * 10;
    let sentence = format!(
        "the stack's {} metrics (0.30 USD each) and its {} alarms (0.10 USD for each of {looked_at} metrics) cost {}.{:02} USD a month",
        metrics.len(),
        alarms.len(),
        cents / 100,
        cents % 100,
    );
    let scale = fs::read_to_string(root().join("docs/operations/cost.md"))
        .expect("docs/operations/cost.md cannot be read");
    assert!(scale.contains(&sentence), "docs/operations/cost.md should contain: {sentence}");
}

/// Only the key of refresh tokens makes a token that is newer than its session.
#[test]
fn a_token_ahead_of_the_store_raises_an_alarm() {
    let template = observability();
    let filter = &template.resource("RefreshAheadOfStoreFilter")["Properties"];
    assert_eq!(filter["LogGroupName"], json!({ "Ref": "IssuerLogs" }));
    let pattern = r#"{ $.event = "refresh.refused" && $.cause = "ahead_of_store" }"#;
    assert_eq!(filter["FilterPattern"], pattern);
    let alarm = &template.resource("AheadOfStoreAlarm")["Properties"];
    assert_eq!(alarm["MetricName"], filter["MetricTransformations"][0]["MetricName"]);
    assert_eq!(alarm["Threshold"], 1, "the first one");
}

/// invariant: Each alarm has an entry in the runbook.
#[test]
fn every_alarm_has_its_entry_in_the_runbook() {
    let template = observability();
    let alarms = names(template.resources("AWS::CloudWatch::Alarm").map(|(id, _)| id));
    let runbook = fs::read_to_string(root().join("docs/operations/runbook.md"))
        .expect("docs/operations/runbook.md cannot be read");
    let headings = runbook.lines().filter_map(|line| line.strip_prefix("### "));
    let entries: Names = headings.filter(|heading| heading.ends_with("Alarm")).map(str::to_owned).collect();
    assert_eq!(entries, alarms);
    for entry in
        runbook.split("\n### ").skip(1).filter(|entry| entry.lines().next().unwrap().ends_with("Alarm"))
    {
        let name = entry.lines().next().unwrap();
        for part in ["**What it means.**", "**Look at.**", "**Do.**"] {
            assert!(entry.contains(part), "{name} lacks {part}");
        }
        let alarm = &template.resource(name)["Properties"];
        assert!(
            text(&alarm["AlarmDescription"]).ends_with(&format!("See docs/operations/runbook.md, {name}.")),
            "{name}"
        );
    }
}
