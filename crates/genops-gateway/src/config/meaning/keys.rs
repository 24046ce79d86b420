//! Callers: keys, whom their calls belong to, and what else they may do; and the key that signs receipts.

use std::collections::BTreeSet;
use std::sync::Arc;

use genops::receipt::key::SigningKey;
use genops_core::attribution::{Field, Meaningful};
use genops_core::awu::Labels;
use genops_core::hex;

use super::Reading;
use crate::config::written::{self, Text};
use crate::identity::{Key, Keys, Role};

impl Reading<'_> {
    pub(super) fn keys(&mut self, written: &[written::Key]) -> Keys {
        let mut keys = Keys::default();
        for key in written {
            let Some(sha256) = hex::parse::<32>(&key.sha256.value) else {
                // What stands here may be the key itself.
                let message = "`sha256` has to be 64 hexadecimal digits: the SHA-256 of the key, not the key";
                self.problem_with_secret(&key.sha256, message);
                continue;
            };
            if let Some(meant) = self.key(key)
                && !keys.add(sha256, meant)
            {
                self.problem(&key.name, "a key with this hash stands above");
            }
        }
        keys
    }

    /// The key that signs receipts.
    pub(super) fn signing_key(&mut self, written: &written::Receipts) -> Option<Arc<SigningKey>> {
        let secret = self.secret("`signing_key`", &written.signing_key)?;
        match secret.parse() {
            Ok(key) => Some(Arc::new(key)),
            Err(problem) => {
                let message = format!("what `signing_key` refers to {problem}");
                self.problem_with_secret(&written.signing_key, message);
                None
            }
        }
    }

    fn key(&mut self, written: &written::Key) -> Option<Key> {
        let name = self.name("`name`", &written.name);
        let mut field = |field, text: &Option<Text>| {
            let text = text.as_ref()?;
            match Meaningful::new(field, Some(&text.value)) {
                Ok(value) => Some(value),
                Err(problem) => {
                    self.problem(text, problem.to_string());
                    None
                }
            }
        };
        let team = field(Field::Team, &written.team);
        let project = field(Field::Project, &written.project);
        let environment = field(Field::Environment, &written.environment);
        let operation = written.operation.as_ref().and_then(|text| self.name("`operation`", text));
        let mut label = |what, text: &Option<Text>| self.name(what, text.as_ref()?);
        let labels = Labels {
            customer_id: label("`customer_id`", &written.customer_id),
            feature: label("`feature`", &written.feature),
            cost_center: label("`cost_center`", &written.cost_center),
            session_id: None,
        };
        Some(Key {
            name: name?,
            team,
            project,
            environment,
            labels,
            operation,
            trusts_trace_context: written.trusts_trace_context,
            roles: self.roles(written.roles.as_deref().unwrap_or_default()),
        })
    }

    fn roles(&mut self, written: &[Text]) -> BTreeSet<Role> {
        let mut roles = BTreeSet::new();
        for text in written {
            let Some(role) = Role::ALL.into_iter().find(|role| role.as_str() == text.value) else {
                let known = Role::ALL.map(|role| format!("`{role}`")).join(", ");
                self.problem(text, format!("each of `roles` has to be one of: {known}"));
                continue;
            };
            if !roles.insert(role) {
                self.problem(text, format!("`{role}` stands twice"));
            }
        }
        roles
    }
}
