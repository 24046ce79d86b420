//! Who asks: from a key and headers to an attribution and a trace context.
//!
//! A key carries team, project and environment; a header, or the body of a proposal, may fill only what the key leaves
//! open. Keys are known by their SHA-256 alone. What a caller may do is not decided here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use genops_core::Name;
use genops_core::attribution::{Attribution, Field, InvalidAttribution, Meaningful, is_placeholder};
use genops_core::awu::{Labels, TraceContext};
use genops_core::hex;
use genops_core::name::InvalidName;
use genops_core::selector::Facet;
use http::{HeaderMap, header};
use schemars::JsonSchema;
use sha2::{Digest, Sha256};

/// Every key, by its SHA-256.
#[derive(Debug, Clone, Default)]
pub struct Keys(HashMap<[u8; 32], Arc<Key>>);

/// What a key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name, which may be told to anybody.
    pub name: Name,
    /// The team, unless a header has to say it.
    pub team: Option<Meaningful>,
    /// The project, unless a header has to say it.
    pub project: Option<Meaningful>,
    /// The environment, unless a header has to say it.
    pub environment: Option<Meaningful>,
    /// What else is said of its calls, unless headers say it.
    pub labels: Labels,
    /// `genops.operation.name` where no header says it.
    pub operation: Option<Name>,
    /// Whether the caller's trace context is adopted; otherwise it is linked.
    pub trusts_trace_context: bool,
    /// What it may do with the governance API.
    pub roles: BTreeSet<Role>,
}

/// What a key may do with the governance API. None implies another, and calls take none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(rename_all = "snake_case", inline)]
pub enum Role {
    /// List and read what everybody did.
    Read,
    /// Propose, start, settle, release and record for AWUs of its own.
    Operate,
    /// Resolve, correct, grant, erase, and send telemetry again.
    Administer,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Read, Self::Operate, Self::Administer];

    /// The word for it in the configuration and in the API's description.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Administer => "administer",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The key's name.
    pub key: Name,
    /// Who the AWU belongs to.
    pub attribution: Attribution,
    /// What else is said of it.
    pub labels: Labels,
    /// What the caller calls the work.
    pub operation: Option<Name>,
    /// The trace that the AWU joins, if the caller is trusted with that.
    pub trace_id: Option<[u8; 16]>,
    /// How the AWU hangs together with the caller's trace.
    pub trace: TraceContext,
}

/// Why a caller is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unidentified {
    /// No key.
    #[error("no key: send `Authorization: Bearer <key>` with a key of this gateway")]
    NoKey,
    /// A key that nobody has given out.
    #[error("this key is not known here; ask whoever runs the gateway for one")]
    UnknownKey,
    /// A field of the attribution says nothing.
    #[error("{0}; the key leaves it open, so send it in the header `x-genops-{field}`", field = .0.field)]
    Attribution(InvalidAttribution),
    /// The same, where the body may say it as well.
    #[error(
        "{0}; the key leaves it open, so say it in the body, as `{field}`, or send it in the header `x-genops-{field}`",
        field = .0.field
    )]
    AttributionOfBody(InvalidAttribution),
    /// What is said contradicts the key: the field, and where it is said.
    #[error("the key belongs to another {0}; leave out `{1}`")]
    Contradiction(Field, &'static str),
    /// What is said contradicts what the key says beside the attribution: the facet, and where it is said.
    #[error("the key is for another {0}; leave out `{1}`")]
    LabelContradiction(Facet, &'static str),
    /// A header and the body contradict each other.
    #[error("the header `{0}` says something else than `{1}` in the body; leave one of them out")]
    TwoAnswers(&'static str, &'static str),
    /// A label is no name.
    #[error("`{0}` {1}")]
    Label(&'static str, InvalidName),
    /// The operation's name says nothing.
    #[error("`{0}` is a placeholder; leave it out, or say what the work is called")]
    NoOperation(&'static str),
    /// The operation's name is none.
    #[error("`{0}` {1}")]
    Operation(&'static str, InvalidName),
}

/// What a body says of whom the work belongs to. Each may as well be said in a header, but not otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub struct InBody<'a> {
    /// The team.
    pub team: Option<&'a str>,
    /// The project.
    pub project: Option<&'a str>,
    /// The environment.
    pub environment: Option<&'a str>,
    /// The customer.
    pub customer_id: Option<&'a str>,
    /// The feature.
    pub feature: Option<&'a str>,
    /// The cost centre.
    pub cost_center: Option<&'a str>,
    /// The session.
    pub session_id: Option<&'a str>,
    /// What the work is called.
    pub operation: Option<&'a str>,
}

/// Something that can be said in a header or in a body: the header, the field of the body, and what that says.
type Place<'a> = (&'static str, &'static str, Option<&'a str>);

impl Keys {
    /// Adds a key; `false` if its hash is known already.
    pub fn add(&mut self, sha256: [u8; 32], key: Key) -> bool {
        self.0.insert(sha256, Arc::new(key)).is_none()
    }

    /// Every key with its SHA-256, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8; 32], &Key)> {
        self.0.iter().map(|(sha256, key)| (sha256, &**key))
    }

    /// What the key with this SHA-256 stands for.
    #[must_use]
    pub fn get(&self, sha256: &[u8; 32]) -> Option<&Key> {
        self.0.get(sha256).map(|key| &**key)
    }

    /// The key that the request shows.
    ///
    /// # Errors
    ///
    /// It shows none, or an unknown one.
    pub fn shown(&self, headers: &HeaderMap) -> Result<Arc<Key>, Unidentified> {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = shown.and_then(|value| value.split_once(' '));
        let secret =
            bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, key)| key.trim());
        let secret = secret.filter(|secret| !secret.is_empty()).ok_or(Unidentified::NoKey)?;
        // Looked up by hash: how long that takes says nothing about any key.
        self.0.get(&hash(secret)).cloned().ok_or(Unidentified::UnknownKey)
    }
}

/// The SHA-256 of a key.
#[must_use]
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Finds out who asks for a call.
///
/// # Errors
///
/// Says which part of the identity is missing or wrong.
pub fn of(keys: &Keys, headers: &HeaderMap) -> Result<Caller, Unidentified> {
    with_body(keys, headers, &InBody::default())
}

/// Finds out who asks, where the body says some of it.
///
/// # Errors
///
/// Says which part of the identity is missing or wrong.
pub fn with_body(keys: &Keys, headers: &HeaderMap, body: &InBody<'_>) -> Result<Caller, Unidentified> {
    let key = keys.shown(headers)?;
    let [team, project, environment] = [
        ("x-genops-team", "team", body.team),
        ("x-genops-project", "project", body.project),
        ("x-genops-environment", "environment", body.environment),
    ];
    let team = field(Field::Team, key.team.as_ref(), headers, team)?;
    let project = field(Field::Project, key.project.as_ref(), headers, project)?;
    let environment = field(Field::Environment, key.environment.as_ref(), headers, environment)?;
    let operation = match said(headers, ("x-genops-operation", "operation.name", body.operation))? {
        Some((place, name)) if is_placeholder(name) => return Err(Unidentified::NoOperation(place)),
        Some((place, name)) => {
            Some(Name::new(name).map_err(|problem| Unidentified::Operation(place, problem))?)
        }
        None => key.operation.clone(),
    };
    let (trace_id, trace) = match parent(headers) {
        None => (None, TraceContext::Root),
        Some((trace_id, parent_span_id)) if key.trusts_trace_context => {
            (Some(trace_id), TraceContext::Child { parent_span_id })
        }
        Some((trace_id, span_id)) => (None, TraceContext::Linked { trace_id, span_id }),
    };
    let attribution = Attribution::of(team, project, environment);
    let labels = labels(&key.labels, headers, body)?;
    Ok(Caller { key: key.name.clone(), attribution, labels, operation, trace_id, trace })
}

/// What is said beside the attribution: by the key, else by a header or the body, else nothing.
fn labels(of_key: &Labels, headers: &HeaderMap, body: &InBody<'_>) -> Result<Labels, Unidentified> {
    let label = |facet, of_key: Option<&Name>, place| match (of_key, said(headers, place)?) {
        (Some(of_key), Some((place, said))) if said != of_key.as_str() => {
            Err(Unidentified::LabelContradiction(facet, place))
        }
        (Some(of_key), _) => Ok(Some(of_key.clone())),
        (None, None) => Ok(None),
        (None, Some((place, said))) => {
            Name::new(said).map(Some).map_err(|problem| Unidentified::Label(place, problem))
        }
    };
    let [customer_id, feature, cost_center, session_id] = [
        ("x-genops-customer-id", "customer_id", body.customer_id),
        ("x-genops-feature", "feature", body.feature),
        ("x-genops-cost-center", "cost_center", body.cost_center),
        ("x-genops-session-id", "session_id", body.session_id),
    ];
    Ok(Labels {
        customer_id: label(Facet::CustomerId, of_key.customer_id.as_ref(), customer_id)?,
        feature: label(Facet::Feature, of_key.feature.as_ref(), feature)?,
        cost_center: label(Facet::CostCenter, of_key.cost_center.as_ref(), cost_center)?,
        session_id: label(Facet::SessionId, of_key.session_id.as_ref(), session_id)?,
    })
}

/// One field of the attribution: what the key says, else what a header or the body says.
fn field(
    field: Field,
    of_key: Option<&Meaningful>,
    headers: &HeaderMap,
    place: Place<'_>,
) -> Result<Meaningful, Unidentified> {
    match (of_key, said(headers, place)?) {
        (Some(of_key), Some((place, said))) if said != of_key.as_str() => {
            Err(Unidentified::Contradiction(field, place))
        }
        (Some(of_key), _) => Ok(of_key.clone()),
        (None, said) => Meaningful::new(field, said.map(|(_, said)| said)).map_err(Unidentified::Attribution),
    }
}

/// What is said at a place, and whether in the header or in the body.
fn said<'a>(
    headers: &'a HeaderMap,
    place: Place<'a>,
) -> Result<Option<(&'static str, &'a str)>, Unidentified> {
    let (header, field, in_body) = place;
    match (text(headers, header), in_body) {
        (Some(one), Some(other)) if one != other => Err(Unidentified::TwoAnswers(header, field)),
        (Some(said), _) => Ok(Some((header, said))),
        (None, said) => Ok(said.map(|said| (field, said))),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
}

/// The span named by a W3C `traceparent`; one that is malformed is as good as none.
fn parent(headers: &HeaderMap) -> Option<([u8; 16], [u8; 8])> {
    let mut parts = text(headers, "traceparent")?.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let known = version.len() == 2 && version != "ff" && flags.len() == 2;
    let trace_id = hex::parse::<16>(trace)?;
    let span_id = hex::parse::<8>(span)?;
    (known && trace_id != [0; 16] && span_id != [0; 8]).then_some((trace_id, span_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn keys(trusts: bool) -> Keys {
        let mut keys = Keys::default();
        let key = Key {
            name: name("k"),
            team: Meaningful::new(Field::Team, Some("search")).ok(),
            project: None,
            environment: Meaningful::new(Field::Environment, Some("prod")).ok(),
            labels: Labels::default(),
            operation: None,
            trusts_trace_context: trusts,
            roles: BTreeSet::new(),
        };
        assert!(keys.add(hash("secret"), key));
        keys
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_header_fills_only_what_the_key_leaves_open() {
        type Case = (&'static [(&'static str, &'static str)], Result<&'static str, &'static str>);
        let cases: [Case; 8] = [
            (&[("x-genops-project", "p")], Ok("p")),
            (&[("x-genops-project", "p"), ("x-genops-team", "search")], Ok("p")),
            (&[("x-genops-project", "p"), ("x-genops-team", "other")], Err("another team")),
            (&[], Err("`project` is missing")),
            (&[("x-genops-project", "unknown")], Err("`project` is a placeholder")),
            (&[("x-genops-project", "")], Err("`project` must not be empty")),
            (&[("authorization", "Bearer wrong")], Err("not known")),
            (&[("authorization", "secret")], Err("no key")),
        ];
        for (sent, expected) in cases {
            let mut all = headers(&[("authorization", "bearer secret")]);
            all.extend(headers(sent));
            match (of(&keys(false), &all), expected) {
                (Ok(caller), Ok(project)) => assert_eq!(caller.attribution.project().as_str(), project),
                (Err(problem), Err(part)) => assert!(problem.to_string().contains(part), "{problem}"),
                (other, _) => panic!("{sent:?}: {other:?}"),
            }
        }
        assert_eq!(of(&keys(false), &HeaderMap::new()), Err(Unidentified::NoKey));
    }

    #[test]
    fn what_the_body_says_is_as_good_as_a_header_and_neither_contradicts_the_other() {
        let key = ("authorization", "Bearer secret");
        let said = |headers_say: Option<&'static str>, body_says| {
            let mut all = headers(&[key]);
            if let Some(said) = headers_say {
                all.insert("x-genops-project", said.parse().unwrap());
            }
            let body = InBody { project: body_says, ..InBody::default() };
            with_body(&keys(false), &all, &body).map(|caller| caller.attribution.project().to_string())
        };
        assert_eq!(said(None, Some("p")), Ok("p".to_owned()));
        assert_eq!(said(Some("p"), Some("p")), Ok("p".to_owned()));
        assert_eq!(said(Some("p"), Some("q")), Err(Unidentified::TwoAnswers("x-genops-project", "project")));
        let body = InBody { team: Some("other"), project: Some("p"), ..InBody::default() };
        let told = with_body(&keys(false), &headers(&[key]), &body);
        assert_eq!(told, Err(Unidentified::Contradiction(Field::Team, "team")));
    }

    #[test]
    fn a_trace_is_joined_by_the_trusted_linked_by_others_and_ignored_if_malformed() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let trace_id = hex::parse("0af7651916cd43dd8448eb211c80319c").unwrap();
        let span_id = hex::parse("b7ad6b7169203331").unwrap();
        let with = |traceparent: &str, trusts| {
            let mut all = headers(&[("authorization", "Bearer secret"), ("x-genops-project", "p")]);
            all.insert("traceparent", traceparent.parse().unwrap());
            let caller = of(&keys(trusts), &all).unwrap();
            (caller.trace_id, caller.trace)
        };
        assert_eq!(with(good, true), (Some(trace_id), TraceContext::Child { parent_span_id: span_id }));
        assert_eq!(with(good, false), (None, TraceContext::Linked { trace_id, span_id }));
        for bad in ["", "00-0-0-00", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "00-xy"] {
            assert_eq!(with(bad, true), (None, TraceContext::Root), "{bad:?}");
        }
    }
}
