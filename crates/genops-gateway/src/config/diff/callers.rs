//! Who may ask: what is otherwise about keys.
//!
//! A key is known by its hash, which is not shown; where the hash is another, by its name.

use std::collections::BTreeSet;

use genops_core::Name;
use genops_core::attribution::Meaningful;
use genops_core::awu::Labels;

use super::{Changes, Comparing, Section, or};
use crate::identity::{Key, Keys, Role};

/// A key with its hash.
type Known<'a> = (&'a [u8; 32], &'a Key);

/// Compares the keys.
pub(super) fn compare(changes: &mut Changes, old: &Keys, new: &Keys) {
    // Names may stand twice while one key takes the place of another, so hashes go first.
    let mut gone: Vec<Known<'_>> =
        sorted(old).into_iter().filter(|(hash, _)| new.get(hash).is_none()).collect();
    for (hash, key) in sorted(new) {
        let before = old.get(hash);
        let replaced = || {
            let place = gone.iter().position(|(_, old)| old.name == key.name)?;
            Some(gone.remove(place).1)
        };
        changes.one(Section::Key, Some(key.name.as_str()), |it| {
            match (before, before.map_or_else(replaced, Some)) {
                (Some(before), _) => fields(it, before, key),
                (None, Some(before)) => {
                    it.say("the key changed: calls with the old one are refused with 401");
                    fields(it, before, key);
                }
                (None, None) => it.say(format!("added: {}", who(key))),
            }
        });
    }
    for (_, key) in gone {
        changes.one(Section::Key, Some(key.name.as_str()), |it| {
            it.say("removed; its calls are refused with 401");
        });
    }
}

/// In an order that depends on nothing but the keys.
fn sorted(keys: &Keys) -> Vec<Known<'_>> {
    let mut all: Vec<_> = keys.iter().collect();
    all.sort_unstable_by(|(hash, key), (other_hash, other)| {
        (&key.name, hash).cmp(&(&other.name, other_hash))
    });
    all
}

fn who(key: &Key) -> String {
    let said = |what: &str, value: Option<&Meaningful>| {
        format!("{what} {}", value.map_or("by header", Meaningful::as_str))
    };
    let fields = [
        said("team", key.team.as_ref()),
        said("project", key.project.as_ref()),
        said("environment", key.environment.as_ref()),
    ];
    fields.join(", ")
}

fn fields(it: &mut Comparing<'_>, old: &Key, new: &Key) {
    let Key { name, team, project, environment, labels, operation, trusts_trace_context, roles } = old;
    it.field("called", name, &new.name, Name::to_string, "");
    let said = |value: &Option<Meaningful>| match value {
        Some(value) => value.as_str().to_owned(),
        None => "by header".to_owned(),
    };
    it.field("team", team, &new.team, said, "");
    it.field("project", project, &new.project, said, "");
    it.field("environment", environment, &new.environment, said, "");
    // No key has a session.
    let Labels { customer_id, feature, cost_center, session_id: _ } = labels;
    let label = or("by header");
    it.field("customer_id", customer_id, &new.labels.customer_id, &label, "");
    it.field("feature", feature, &new.labels.feature, &label, "");
    it.field("cost_center", cost_center, &new.labels.cost_center, &label, "");
    it.field("operation", operation, &new.operation, or("as the model is called"), "");
    let (joins, linked) = (
        "its calls join their caller's trace now",
        "its calls are linked to their caller's trace, and do not join it",
    );
    it.flag(*trusts_trace_context, new.trusts_trace_context, joins, linked);
    let said = |roles: &BTreeSet<Role>| roles.iter().map(|role| role.as_str()).collect::<Vec<_>>();
    it.items("roles", said(roles).into_iter(), said(&new.roles).into_iter());
}
