//! Rates from outside: who comes too soon is told when to come again, and nothing is consumed by that.

use std::time::Duration;

use genops_gateway::stand_in::StandIn;
use http::StatusCode;

use crate::house::House;
use crate::{BODY, five_hundred_calls};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_comes_too_soon_is_refused_and_told_when_to_come_again() {
    let rates = "rates: [{name: search-hour, team: search, requests: 60, per: hour, burst: 2}]";
    let house = House::with(StandIn::default(), rates).await;
    for _ in 0..2 {
        assert_eq!(house.chat(BODY).await.status, StatusCode::OK);
    }
    let refused = house.chat(BODY).await;
    assert_eq!(refused.error(), (429, "RATE_LIMITED".to_owned(), String::new()));
    assert_eq!(refused.header("x-genops-result"), "RATE_LIMITED");
    assert_eq!(refused.header("x-genops-reason-code"), "RATE_LIMITED");
    assert_eq!(refused.header("x-should-retry"), "", "waiting helps");
    let wait: u64 = refused.header("retry-after-ms").parse().unwrap();
    assert!((1..=60_000).contains(&wait), "one a minute: {wait} ms");
    assert_eq!(refused.header("retry-after"), wait.div_ceil(1_000).to_string());
    assert_ne!(refused.header("retry-after"), "0", "earlier does not help");
    let message = refused.json().pointer("/error/message").unwrap().to_string();
    assert!(message.contains("rate `search-hour`"), "{message}");
    assert_eq!(house.reached(), 2);
    let awu = house.ended(&refused).await;
    assert_eq!((awu.state.as_str(), awu.result.as_str()), ("REFUSED", "RATE_LIMITED"));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_fifty_lets_exactly_fifty_of_five_hundred_pass() {
    let stand_in = StandIn { delay: Duration::from_millis(5), ..StandIn::default() };
    let rates = "rates: [{name: all-day, requests: 50, per: day}]";
    let (house, answers) = five_hundred_calls(House::with(stand_in, rates).await, BODY).await;
    assert_eq!(answers.get(&(200, String::new())), Some(&50), "{answers:?}");
    assert_eq!(answers.get(&(429, "RATE_LIMITED".to_owned())), Some(&450), "{answers:?}");
    assert_eq!(house.reached(), 50);
    house.close().await;
}
