//! Webhooks in the configuration: what may stand there, and that what may be a secret is never shown.

use genops::Destination;
use genops::telemetry::Webhook;

use super::{problems, read, refused};

/// A configuration with these webhooks.
fn with(webhooks: &str) -> String {
    format!("telemetry: {{otlp: [], webhooks: [{webhooks}]}}")
}

fn webhooks(text: &str) -> Vec<Webhook> {
    let config = read(text).unwrap();
    let webhooks = config.destinations.into_iter().filter_map(|destination| match destination {
        Destination::Webhook(webhook) => Some(webhook),
        _ => None,
    });
    webhooks.collect()
}

#[test]
fn an_address_stands_there_itself_or_by_reference_and_may_have_a_query() {
    let cases = [
        ("{url: 'https://h/alerts'}", "https://h/alerts", vec![]),
        ("{url: 'http://127.0.0.1:9/x?sig=a%2Fb&v=1'}", "http://127.0.0.1:9/x?sig=a%2Fb&v=1", vec![]),
        ("{url: 'env:HOOK_URL'}", "https://chat.example/services/secret-path?token=secret-query", vec![]),
        (
            "{url: 'https://h', headers: {authorization: 'env:OTLP_TOKEN'}}",
            "https://h/",
            vec![("authorization".to_owned(), "secret-value".to_owned())],
        ),
    ];
    for (written, url, headers) in cases {
        let text = with(written);
        let found = webhooks(&text);
        assert!(
            matches!(&found[..], [one] if one.url == *url && one.headers == headers),
            "{text}: {found:?}"
        );
        assert_eq!(refused(&text), Vec::<String>::new(), "{text}");
    }
    assert_eq!(
        webhooks(&with("{url: 'https://h/a'}, {url: 'https://h/b'}")).len(),
        2,
        "two rooms of one server"
    );
}

#[test]
fn what_cannot_be_told_of_alerts_is_a_problem_in_its_place_and_shows_no_secret() {
    let cases = [
        ("{url: 'sk-live-123'}", "1:40: `url` has to be an address such as"),
        ("{url: 'ftp://h/sk-live-123'}", "1:40: `url` has to be an address such as"),
        ("{url: 'https://u:sk-live-123@h'}", "1:40: `url` has to be an address such as"),
        ("{url: 'https://h/x?sk-live-123#y'}", "1:40: `url` has to be an address such as"),
        ("{url: 'env:sk-live-123'}", "1:40: `url` has to be an address such as"),
        ("{url: 'env:OTLP_TOKEN'}", "1:40: `url` has to be an address such as"),
        (
            "{url: 'env:NOT_SET'}",
            "1:40: `url` refers to `NOT_SET`; the environment has no variable `NOT_SET`",
        ),
        ("{url: 'file:nowhere'}", "1:40: `url` cannot be fetched: cannot read `nowhere`"),
        (
            "{url: 'https://h', headers: {x-key: sk-live-123}}",
            "the header `x-key` is a secret; refer to it as",
        ),
        ("{url: 'https://h', headers: {a b: 'env:OTLP_TOKEN'}}", "`a b` is not the name of a header"),
        (
            "{url: 'https://h/sk-live-123'}, {url: 'https://h/sk-live-123'}",
            "this webhook stands above: every alert would be told to it twice",
        ),
        ("{headers: {}}", "missing field `url`"),
        ("{url: 'https://h', timeout: 1}", "unknown field `timeout`"),
    ];
    for (written, expected) in cases {
        let text = with(written);
        let told = problems(&text);
        assert!(matches!(&told[..], [one] if one.contains(expected)), "{text}: {told:#?}");
        let whole = read(&text).unwrap_err();
        assert!(!whole.contains("live") && !whole.contains("secret-"), "{text}\n{whole}");
    }
}
