//! Recorded traffic in traces: OTLP with the spans of model calls that an organisation collects anyhow.
//!
//! A model call is a span by OpenTelemetry's conventions for generative AI, in their present words or those of before
//! 1.37. What it is labelled with is looked up by a [`Mapping`]: on the span, on the spans above it that this module
//! keeps (those of AWUs and of other generative AI), and on its resource. A call is counted once: not again when its
//! span is told again, when another instrumentation tells it a second time around it, or for the AWU that it is the
//! work of. Prompts are not looked at.

use std::path::Path;
use std::str::FromStr;

use genops_conformance::input;

use super::{Facet, ReadError, Traffic};
use collect::Spans;

mod call;
mod collect;

/// Which attributes say what a call is labelled with: for every label their names, the first that is there counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping([Vec<String>; Facet::ALL.len()]);

/// One attribute that is asked for a label before any other: `team=service.namespace`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    label: Facet,
    attribute: String,
}

/// A text is no [`Mapped`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMapped {
    /// Not of the form.
    #[error("it has to be LABEL=ATTRIBUTE, as in team=service.namespace")]
    Form,
    /// No label.
    #[error("the part before `=` has to be one of {}", super::all_labels())]
    Facet,
    /// For a model and a provider, the span itself says them or nobody does.
    #[error("the {0} is what the span of the call says; it is not mapped")]
    Fixed(Facet),
}

/// Adds the model calls in a file of OTLP (JSON, JSON lines or Protocol Buffers, also with gzip), in a directory of
/// such files, or in standard input (`-`), to `traffic`.
///
/// # Errors
///
/// It cannot be read, holds no model call, or holds more than is kept.
pub fn read(path: &Path, mapping: &Mapping, traffic: &mut Traffic) -> Result<(), ReadError> {
    let mut spans = Spans::new(path.display().to_string(), mapping, traffic);
    let inputs = input::read(&[path.to_path_buf()], &mut spans)?;
    for one in inputs.all {
        for problem in one.problems.first {
            spans.source.problems.add(problem);
        }
        spans.source.problems.more += one.problems.more;
    }
    spans.finish(traffic)
}

impl Default for Mapping {
    /// The specification's attributes, then what OpenTelemetry has that comes nearest.
    fn default() -> Self {
        let names = |label| match label {
            Facet::Team => &["genops.team", "service.namespace"][..],
            Facet::Project => &["genops.project", "service.name"],
            Facet::Environment => {
                &["genops.environment", "deployment.environment.name", "deployment.environment"]
            }
            Facet::CustomerId => &["genops.customer_id"],
            Facet::Feature => &["genops.feature"],
            Facet::CostCenter => &["genops.cost_center"],
            Facet::SessionId => &["genops.session_id", "gen_ai.conversation.id", "session.id"],
            Facet::Key => &["genops_runtime.key"],
            Facet::Provider => &["gen_ai.provider.name", "gen_ai.system"],
            Facet::Model => &["gen_ai.request.model", "gen_ai.response.model"],
            Facet::OperationType => &["genops.operation.type"],
        };
        Self(Facet::ALL.map(|label| names(label).iter().copied().map(str::to_owned).collect()))
    }
}

impl Mapping {
    /// The same, but asking one attribute before those that are asked already.
    #[must_use]
    pub fn with(mut self, mapped: Mapped) -> Self {
        if let Some(names) = self.0.get_mut(mapped.label as usize) {
            names.insert(0, mapped.attribute);
        }
        self
    }

    fn names(&self, label: Facet) -> &[String] {
        self.0.get(label as usize).map_or(&[], Vec::as_slice)
    }
}

impl FromStr for Mapped {
    type Err = InvalidMapped;

    fn from_str(text: &str) -> Result<Self, InvalidMapped> {
        let (label, attribute) = text.split_once('=').ok_or(InvalidMapped::Form)?;
        if attribute.trim() != attribute || attribute.is_empty() {
            return Err(InvalidMapped::Form);
        }
        let label = Facet::ALL.into_iter().find(|known| known.as_str() == label);
        match label.ok_or(InvalidMapped::Facet)? {
            fixed if is_of_the_call(fixed) => Err(InvalidMapped::Fixed(fixed)),
            label => Ok(Self { label, attribute: attribute.to_owned() }),
        }
    }
}

/// Whether only the span of the call itself can say this: others have models and providers of their own.
const fn is_of_the_call(label: Facet) -> bool {
    matches!(label, Facet::Provider | Facet::Model)
}

#[cfg(test)]
mod tests;
