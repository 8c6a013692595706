//! Costs of the ways to end sessions.

use super::{ONE_AT_A_TIME, Way, say, url};
use daypass_testkit::recorder::Exchange;
use daypass_tests::service::Service;
use serde_json::Value;

/// Requests of each way for `n` live sessions, and their cost: one write of two units for each session, and one query for
/// all of them, or two if the user changes. Ended and expired sessions cost only their place in the query.
///
/// invariant: Each ending costs the documented requests and write units.
#[tokio::test(flavor = "multi_thread")]
async fn what_it_costs() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let service = Service::quick(&url().await, &[("DAYPASS_LOGIN_ATTEMPTS", "100")]).await;
    service.bench.recorder.ask_capacity(true);
    for way in [Way::Revoke, Way::RevokeAll, Way::Password, Way::Disable, Way::Remove] {
        for live in [1, 2, 20] {
            let name = format!("{way:?}-{live}").to_lowercase();
            let user = service.quick_user(&name).await;
            // Logged out earlier, so they are not written again.
            for _ in 0..3 {
                assert_eq!(service.revoke(&service.login(&name).await.refresh_token()).await.status, 200);
            }
            let first = service.login(&name).await;
            for _ in 1..live {
                service.login(&name).await;
            }
            let _ = service.bench.recorder.take();
            way.end(&service, &user, &first).await;
            let exchanges = service.bench.recorder.take();

            let (sessions, users) = (&service.bench.tables.sessions, &service.bench.tables.users);
            let (update, query) = (("UpdateItem", sessions), [("Query", sessions)]);
            let ends = |n: usize| vec![update; n];
            // A transaction names no table of its own.
            let none = String::new();
            let expected = match way {
                // `password::requests_on_the_wire` counts that way.
                Way::Change => unreachable!("not on the list"),
                Way::Revoke => ends(1),
                // The session of the token first, which is the permission, and then the others.
                Way::RevokeAll => [&ends(1)[..], &query, &ends(live - 1)].concat(),
                // The second query finds the session of a login that committed just before the user changed.
                Way::Password | Way::Disable => {
                    [&[("UpdateItem", users)][..], &query, &ends(live), &query].concat()
                }
                Way::Remove => [
                    &[("UpdateItem", users)][..],
                    &query,
                    &ends(live),
                    &query,
                    &[("TransactWriteItems", &none)],
                ]
                .concat(),
            };
            let sent: Vec<(&str, &String)> =
                expected.iter().map(|(operation, table)| (*operation, *table)).collect();
            let seen: Vec<(&str, String)> =
                exchanges.iter().map(|exchange| (exchange.operation.as_str(), table_of(exchange))).collect();
            let seen: Vec<(&str, &String)> =
                seen.iter().map(|(operation, table)| (*operation, table)).collect();
            assert_eq!(seen, sent, "{way:?} of {live}");
            let units = |query: bool| {
                let of = exchanges.iter().filter(|exchange| (exchange.operation == "Query") == query);
                of.map(|exchange| units_of(&exchange.response()["ConsumedCapacity"]))
                    .fold(0.0, |sum, units| sum + units)
            };
            let ended = sent.iter().filter(|asked| **asked == update).count();
            let others = sent.iter().filter(|(operation, _)| *operation != "Query").count() - ended;
            // Two for a session: the item, and its entry in the index of ended sessions. Two for the part of a transaction.
            let expected = 2 * ended + others + usize::from(matches!(way, Way::Remove));
            assert_eq!(units(false), expected as f64, "{way:?} of {live}: write units");
            say(&format!(
                "{way:?} of {live} live sessions (3 more are over): {} requests, {} write units, {} read units",
                exchanges.len(),
                units(false),
                units(true),
            ));
        }
    }
}

/// The units of a response. Those of a transaction have an entry for each table.
fn units_of(consumed: &Value) -> f64 {
    let entries = consumed.as_array().map_or_else(|| vec![consumed], |tables| tables.iter().collect());
    entries.iter().map(|entry| entry["CapacityUnits"].as_f64().unwrap()).sum()
}

fn table_of(exchange: &Exchange) -> String {
    exchange.request.get("TableName").and_then(Value::as_str).unwrap_or_default().to_owned()
}
