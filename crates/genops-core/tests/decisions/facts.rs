//! Questions that the proposal alone answers: model, region, conditions, content, bound, price.

use genops_core::awu::Proposal;
use genops_core::finding::Mode;
use genops_core::ledger::{self, Admit, ApplyError, Command, Rejection};
use genops_core::policy::Policy;
use genops_core::rule::{ConditionRule, ContentKind, ContentRule, Effect, Found, ListRule, OnError};
use genops_core::selector::Selector;

use super::world::{ALLOWED, Line, World, answer, assessed, call, check, name, nothing, refused, team};

fn list(called: &str, selector: Selector, allow: &[&str], mode: Mode) -> ListRule {
    let allow = allow.iter().map(|entry| name(entry)).collect();
    ListRule { name: name(called), selector, allow, mode }
}

fn asks_for(model: &str) -> Proposal {
    Proposal { model: Some(name(model)), ..call() }
}

fn works_in(region: Option<&str>) -> Proposal {
    Proposal { region: region.map(name), ..call() }
}

/// A line without a past, whose call runs either way and reserves the usual.
fn line(what: &'static str, call: Proposal, enforced: &'static str, observed: &'static str) -> Line<'static> {
    let reserves = "unbudgeted +0.002 USD";
    let runs = enforced == "ALLOWED" || enforced.starts_with("WARNING");
    let enforced = if runs { answer(enforced, reserves) } else { refused(enforced) };
    Line { what, before: &nothing, call, enforced, observed: answer(observed, reserves) }
}

#[test]
fn a_model_list_allows_what_it_names_and_nothing_else() {
    let policy = |mode| Policy {
        models: vec![
            list("for ads", team("ads"), &["tiny"], Mode::Enforce),
            list("for search", team("search"), &["small", "medium-*"], mode),
            list("for all", Selector::default(), &["small", "medium-*", "other"], mode),
        ],
        ..Policy::unrestricted()
    };
    check(
        policy,
        &[
            line("named", asks_for("small"), "ALLOWED", "ALLOWED"),
            line("by its beginning", asks_for("medium-2"), "ALLOWED", "ALLOWED"),
            line(
                "named by a part of an entry",
                asks_for("smal"),
                "BLOCKED POLICY_DENY_MODEL by for search",
                "WARNING POLICY_DENY_MODEL by for search (observed)",
            ),
            line(
                "longer than an entry",
                asks_for("small-2"),
                "BLOCKED POLICY_DENY_MODEL by for search",
                "WARNING POLICY_DENY_MODEL by for search (observed)",
            ),
            line(
                "on one of two lists",
                asks_for("other"),
                "BLOCKED POLICY_DENY_MODEL by for search",
                "WARNING POLICY_DENY_MODEL by for search (observed)",
            ),
        ],
    );
}

#[test]
fn a_region_list_allows_what_it_names_and_never_what_nobody_knows() {
    let policy = |mode| Policy {
        regions: vec![
            list("for ads", team("ads"), &["nowhere"], Mode::Enforce),
            list("in europe", Selector::default(), &["eu-*", "ch"], mode),
        ],
        ..Policy::unrestricted()
    };
    let (denied, observed) =
        ("BLOCKED POLICY_DENY_REGION by in europe", "WARNING POLICY_DENY_REGION by in europe (observed)");
    check(
        policy,
        &[
            line("named", works_in(Some("ch")), "ALLOWED", "ALLOWED"),
            line("by its beginning", works_in(Some("eu-west")), "ALLOWED", "ALLOWED"),
            line("another", works_in(Some("us-east")), denied, observed),
            line("not known", works_in(None), denied, observed),
        ],
    );
    let anywhere = |mode| Policy {
        regions: vec![list("anywhere", Selector::default(), &["*"], mode)],
        ..Policy::unrestricted()
    };
    check(
        anywhere,
        &[
            line("anywhere", works_in(Some("us-east")), "ALLOWED", "ALLOWED"),
            line(
                "not known, and any list asks for one",
                works_in(None),
                "BLOCKED POLICY_DENY_REGION by anywhere",
                "WARNING POLICY_DENY_REGION by anywhere (observed)",
            ),
        ],
    );
    check(|_| Policy::unrestricted(), &[line("without a list", works_in(None), "ALLOWED", "ALLOWED")]);
}

fn condition(
    called: &str,
    selector: Selector,
    effect: Effect,
    on_error: OnError,
    mode: Mode,
) -> ConditionRule {
    ConditionRule { name: name(called), selector, expression: "…".to_owned(), effect, on_error, mode }
}

fn deny(code: &str) -> Effect {
    Effect::Deny(code.parse().unwrap())
}

fn warn(code: &str) -> Effect {
    Effect::Warn(code.parse().unwrap())
}

#[test]
fn a_condition_speaks_where_it_holds_and_where_it_cannot_be_worked_out() {
    let policy = |mode| Policy {
        conditions: vec![
            condition("of ads", team("ads"), deny("x_ads"), OnError::Refuse, Mode::Enforce),
            condition("at night", Selector::default(), deny("x_night"), OnError::Refuse, mode),
            condition("late", Selector::default(), deny("x_late"), OnError::Warn, mode),
            condition("long", team("search"), warn("x_long"), OnError::Refuse, mode),
            condition("odd", team("search"), warn("x_odd"), OnError::Warn, mode),
        ],
        ..Policy::unrestricted()
    };
    let about = |found: &[(&str, Found)]| assessed(found);
    let (holds, failed) = (Found::Holds, Found::Failed);
    check(
        policy,
        &[
            line("nothing found", call(), "ALLOWED", "ALLOWED"),
            line("about others", about(&[("of ads", holds.clone())]), "ALLOWED", "ALLOWED"),
            line(
                "a denial holds",
                about(&[("at night", holds.clone())]),
                "BLOCKED x_night by at night",
                "WARNING x_night by at night (observed)",
            ),
            line(
                "a denial fails, and that refuses",
                about(&[("at night", failed.clone())]),
                "BLOCKED x_night by at night",
                "WARNING x_night by at night (observed)",
            ),
            line(
                "a denial fails, and that warns",
                about(&[("late", failed.clone())]),
                "WARNING x_late by late",
                "WARNING x_late by late",
            ),
            line(
                "a warning holds",
                about(&[("long", holds.clone())]),
                "WARNING x_long by long",
                "WARNING x_long by long",
            ),
            line(
                "a warning fails, and that refuses",
                about(&[("long", failed.clone())]),
                "BLOCKED x_long by long",
                "WARNING x_long by long (observed)",
            ),
            line(
                "a warning fails, and that warns",
                about(&[("odd", failed.clone())]),
                "WARNING x_odd by odd",
                "WARNING x_odd by odd",
            ),
            line(
                "a refusal after a warning",
                about(&[("late", failed), ("long", Found::Failed)]),
                "BLOCKED x_long by long",
                "WARNING x_late by late",
            ),
            line(
                "two warnings",
                about(&[("long", holds.clone()), ("odd", holds)]),
                "WARNING x_long by long",
                "WARNING x_long by long",
            ),
        ],
    );
}

#[test]
fn a_content_rule_speaks_where_something_was_found() {
    let rule = |called: &str, selector, effect, mode| ContentRule {
        name: name(called),
        selector,
        keywords: Vec::new(),
        patterns: Vec::new(),
        detect: vec![ContentKind::Email],
        effect,
        mode,
    };
    let policy = |mode| Policy {
        contents: vec![
            rule("of ads", team("ads"), deny("POLICY_DENY_CONTENT"), Mode::Enforce),
            rule("mail", Selector::default(), warn("x_mail"), mode),
            rule("secrets", team("search"), deny("POLICY_DENY_CONTENT"), mode),
        ],
        ..Policy::unrestricted()
    };
    let found = |kind| Found::Content { kind, count: 2 };
    let (mail, key) = (found(ContentKind::Email), found(ContentKind::ApiKey));
    check(
        policy,
        &[
            line("nothing found", call(), "ALLOWED", "ALLOWED"),
            line("about others", assessed(&[("of ads", mail.clone())]), "ALLOWED", "ALLOWED"),
            line(
                "a denial",
                assessed(&[("secrets", key.clone())]),
                "BLOCKED POLICY_DENY_CONTENT by secrets",
                "WARNING POLICY_DENY_CONTENT by secrets (observed)",
            ),
            line(
                "a warning",
                assessed(&[("mail", mail.clone())]),
                "WARNING x_mail by mail",
                "WARNING x_mail by mail",
            ),
            line(
                "a denial after a warning",
                assessed(&[("mail", mail), ("secrets", key)]),
                "BLOCKED POLICY_DENY_CONTENT by secrets",
                "WARNING x_mail by mail",
            ),
        ],
    );
}

#[test]
fn what_cannot_be_bounded_or_priced_is_refused_unless_the_policy_observes() {
    let policy = |mode| Policy { mode, ..Policy::unrestricted() };
    let unbounded = Proposal { unbounded: Some(name("audio")), ..call() };
    let unpriced = Proposal { price: None, ..call() };
    let free = answer("WARNING x_unpriced_model by nobody's rule (observed)", "unbudgeted +0 USD");
    check(
        policy,
        &[
            Line { what: "bounded", before: &nothing, call: call(), enforced: ALLOWED, observed: ALLOWED },
            line(
                "unbounded",
                unbounded.clone(),
                "BLOCKED x_unbounded_request by nobody's rule",
                "WARNING x_unbounded_request by nobody's rule (observed)",
            ),
            Line {
                what: "unpriced",
                before: &nothing,
                call: unpriced,
                enforced: refused("BLOCKED x_unpriced_model by nobody's rule"),
                observed: free,
            },
            Line {
                what: "neither",
                before: &nothing,
                call: Proposal { price: None, ..unbounded },
                enforced: refused("BLOCKED x_unbounded_request by nobody's rule"),
                observed: answer(
                    "WARNING x_unbounded_request by nobody's rule (observed)",
                    "unbudgeted +0 USD",
                ),
            },
        ],
    );
}

/// What was found about conditions and content is a fact of the policy that it was found under.
#[test]
fn facts_of_another_policy_are_rejected_and_change_nothing() {
    let asking = Policy {
        conditions: vec![condition("c", Selector::default(), deny("x_c"), OnError::Refuse, Mode::Enforce)],
        ..Policy::unrestricted()
    };
    let silent = Policy::unrestricted();
    let cases = [
        ("under the one in force", &asking, Some(asking.version()), true),
        ("under another", &asking, Some(silent.version()), false),
        ("not at all, where there is a condition", &asking, None, false),
        ("not at all, where there is none", &silent, None, true),
        ("under another, though there is no condition", &silent, Some(asking.version()), false),
    ];
    for (what, policy, assessed_under, fits) in cases {
        let mut world = World::under(policy.clone());
        let awu = genops_core::AwuId { trace_id: [9; 16], span_id: [9; 8] };
        let request = Admit { assessed_under, ..Admit::new(awu, call()) };
        let before = world.books.clone();
        let now = world.now();
        let result = ledger::apply(&mut world.books, now, Command::Admit(request.into()));
        let rejected = matches!(result, Err(ApplyError::Rejected(Rejection::AssessedUnderAnotherPolicy)));
        assert_eq!((result.is_ok(), rejected), (fits, !fits), "{what}");
        assert_eq!(world.books == before, !fits, "{what}");
    }
}
