//! Invariant D1 seen from outside: of every connector of every org, each accepted event is in exactly one place.
//!
//! The sum is made here from the numbers that the API shows; what the server says of itself (`adds_up`) has to agree with it.
//! [`crate::server::ServerProcess`] asks before a server ends, so that no test can forget it.

use std::time::Duration;

use serde_json::Value;

use crate::client::Client;

/// Where an event can be (`…/accounting`).
pub const PLACES: [&str; 9] =
    ["delivered", "rejected", "failed", "expired", "damaged", "discarded", "skipped", "pending", "filtered"];

/// The pause after an answer that the key's requests are used up.
const PACE: Duration = Duration::from_millis(200);

/// Asserts that the accounts of every connector of every org add up. `client` has to have a platform key.
pub async fn assert_add_up(client: &Client) {
    for org in orgs(client).await {
        // An org may be removed while it is being asked about.
        if let Some(accounts) = read(client, &format!("/v1/siem/accounting?org_id={org}")).await {
            assert_eq!(accounts["has_more"], false, "all accounts are on one page: {accounts}");
            check(&accounts["items"]);
        }
    }
}

async fn orgs(client: &Client) -> Vec<String> {
    let (mut orgs, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = read(client, &format!("/v1/orgs?limit=100{cursor}")).await.expect("a list of orgs");
        let items = page["items"].as_array().expect("a list");
        orgs.extend(items.iter().map(|org| org["id"].as_str().expect("an id").to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return orgs,
        }
    }
}

/// What a path shows; `None` where there is nothing.
async fn read(client: &Client, path: &str) -> Option<Value> {
    loop {
        let answer = client.get(path).await;
        match answer.status {
            404 => return None,
            429 => tokio::time::sleep(PACE).await,
            _ => return Some(answer.expect_status(200).json()),
        }
    }
}

/// Asserts that every stream of these accounts adds up.
fn check(connectors: &Value) {
    for connector in connectors.as_array().expect("a list of accounts") {
        assert_eq!(connector["adds_up"], true, "D1: the server says so itself: {connector}");
        for stream in connector["streams"].as_array().expect("a list of streams") {
            let number = |place: &str| stream[place].as_i64().unwrap_or_else(|| panic!("no `{place}` in {connector}"));
            assert!(PLACES.iter().all(|place| number(place) >= 0), "D1: less than nothing in {connector}");
            let sum: i64 = PLACES.iter().map(|place| number(place)).sum();
            assert_eq!(sum, number("accepted"), "D1: {stream} does not add up in {connector}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn account(accepted: i64, delivered: i64, pending: i64) -> Value {
        json!([{ "name": "x", "adds_up": true, "streams": [{
            "stream": "events", "accepted": accepted, "delivered": delivered, "rejected": 1, "failed": 1, "expired": 1,
            "damaged": 0, "discarded": 1, "skipped": 1, "pending": pending, "filtered": 1,
        }] }])
    }

    #[test]
    fn an_account_that_adds_up_passes() {
        check(&account(10, 3, 1));
        check(&json!([]));
    }

    #[test]
    #[should_panic(expected = "does not add up")]
    fn an_event_that_is_nowhere_is_found_out() {
        check(&account(11, 3, 1));
    }

    #[test]
    #[should_panic(expected = "less than nothing")]
    fn so_is_one_that_is_in_two_places() {
        check(&account(10, 5, -1));
    }
}
