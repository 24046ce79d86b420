//! Proposing work that is no call through this gateway: it is decided and reserved for, and its holder says what becomes of
//! it. What can be said then is in [`operating`](super::operating).
//!
//! Such work shows no prompt, so content rules find nothing in it; conditions are worked out as for calls.

use std::sync::Arc;

use genops::held::HeldError;
use genops::report::AwuReport;
use genops::{LedgerError, Refusal};
use genops_core::awu::{AwuId, Proposal};
use genops_core::ledger::{Admit, Idempotency, Rejection};
use genops_core::price::Tokens;
use genops_core::{Digest, Name};
use http::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bodies::{Bound, Named, UnitWord, Within};
use super::operating::{AwuTold, own};
use super::route::{Asker, Decided, Nothing, Problem, Refused, may};
use crate::assess::Circumstances;
use crate::identity::{self, Caller, InBody, Role, Unidentified};
use crate::server::Gateway;
use crate::setup::Setup;

/// The header with the caller's name for a request.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The longest such name, in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

const AS_IN_BODY: &str = "What the body may say as well; both have to say the same.";

/// The headers of a proposal, for the description.
pub const HEADERS: &[(&str, &str)] = &[
    (
        "idempotency-key",
        "The caller's name for this proposal, at most 255 bytes: the same again is decided once.",
    ),
    ("traceparent", "The span that the work is part of, as W3C Trace Context writes it."),
    ("x-genops-team", AS_IN_BODY),
    ("x-genops-project", AS_IN_BODY),
    ("x-genops-environment", AS_IN_BODY),
    ("x-genops-customer-id", AS_IN_BODY),
    ("x-genops-feature", AS_IN_BODY),
    ("x-genops-cost-center", AS_IN_BODY),
    ("x-genops-session-id", AS_IN_BODY),
    ("x-genops-operation", AS_IN_BODY),
];

/// Those that say whom it is about.
const OF_PERSONS: [&str; 2] = ["x-genops-customer-id", "x-genops-session-id"];

/// What is proposed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Proposed {
    /// What the work is.
    operation: Operation,
    /// The team, where the key leaves it open.
    #[serde(default)]
    team: Option<String>,
    /// The project, where the key leaves it open.
    #[serde(default)]
    project: Option<String>,
    /// The environment, where the key leaves it open.
    #[serde(default)]
    environment: Option<String>,
    /// The customer, where the key leaves it open.
    // Who it is about is no part of what is digested here: the governor adds that, by the pseudonym.
    #[serde(default, skip_serializing)]
    customer_id: Option<String>,
    /// The feature, where the key leaves it open.
    #[serde(default)]
    feature: Option<String>,
    /// The cost centre, where the key leaves it open.
    #[serde(default)]
    cost_center: Option<String>,
    /// The session, where the key leaves it open.
    #[serde(default, skip_serializing)]
    session_id: Option<String>,
    /// The provider that is asked; left out where none is. That of the model, where the configuration has that.
    #[serde(default)]
    provider: Option<Named>,
    /// The model that is asked; left out where none is. Its price is that of the configuration.
    #[serde(default)]
    model: Option<Named>,
    /// Where the work is done. Default: where the provider is, as far as the configuration says.
    #[serde(default)]
    region: Option<Named>,
    /// The most that it can use: so much is reserved.
    #[serde(default)]
    bound: Bound,
    /// The unit that it accounts in. Default: the policy's.
    #[serde(default)]
    accounting_unit: Option<UnitWord>,
    /// Whether it begins at once, without a start of its own.
    #[serde(default)]
    starts: bool,
    /// How long its holder may be silent, in seconds, before it is taken for lost. Default: 600.
    #[serde(default)]
    within_seconds: Within,
    /// The AWU that this one tries again for, or in the place of: the first of its attempts.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    attempt_of: Option<AwuId>,
}

/// What work is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Operation {
    /// What it is called: `genops.operation.name`. May be left out where the key or the header `x-genops-operation` says
    /// it.
    #[serde(default)]
    name: Option<String>,
    /// What kind of work it is: `genops.operation.type`, such as `inference`, `training` or `agent`.
    #[serde(rename = "type")]
    kind: Named,
}

/// `POST /awus`.
pub async fn propose(
    gateway: Arc<Gateway>,
    asker: Asker,
    _: Nothing,
    proposed: Proposed,
) -> Result<Decided<AwuTold>, Problem> {
    let idempotency = idempotency(&asker.headers, &proposed)?;
    if let Some(first) = proposed.attempt_of {
        own(&gateway, &asker, first, "attempt_of").await?;
    }
    let mut setup = asker.setup;
    let told = loop {
        let request = described(&gateway, &setup, &asker.headers, &proposed)?;
        let request = Admit { idempotency: idempotency.clone(), ..request };
        match gateway.governor.propose(request).await {
            Err(HeldError::Ledger(LedgerError::Rejected(Rejection::AssessedUnderAnotherPolicy))) => {
                let next = gateway.setups.after(&setup).await.ok_or_else(|| {
                    Problem::Unavailable("the gateway is being set up anew; try again in a moment".to_owned())
                })?;
                // Keys change as well.
                may(&next, Role::Operate, &asker.headers)?;
                setup = next;
            }
            told => break told?,
        }
    };
    // What is told has its place in the chain, and is as it stands now. Where that cannot be read, it was decided all the
    // same, and who asked has to be told: nobody else knows its identity.
    let record = match gateway.governor.as_it_stands(&told.what).await {
        Err(_) if !told.is_repeated => told.what,
        known => known?,
    };
    let awu = AwuReport::of(&record);
    match Refusal::of(&record) {
        Some(refusal) => {
            let now = gateway.governor.now();
            Err(Problem::Refused(Box::new(Refused { refusal, awu, now })))
        }
        None => {
            let is_repeated = told.is_repeated;
            Ok(Decided { what: AwuTold { awu, repeated: is_repeated }, is_repeated })
        }
    }
}

/// The caller's name for the request, with the digest of what it says, but for whom it is about.
fn idempotency(headers: &HeaderMap, proposed: &Proposed) -> Result<Option<Idempotency>, Problem> {
    let bad = |what: &str| {
        let message = format!("the header `Idempotency-Key` {what}");
        Problem::Bad { field: Some(IDEMPOTENCY_KEY.to_owned()), message }
    };
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    if keys.next().is_some() {
        return Err(bad("stands there more than once"));
    }
    if key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        return Err(bad(&format!("must not be longer than {IDEMPOTENCY_KEY_BYTES_MAX} bytes")));
    }
    let key = std::str::from_utf8(key.as_bytes()).map_err(|_| bad("has to be UTF-8"))?;
    let key = Name::new(key).map_err(|problem| bad(&problem.to_string()))?;
    // As it was read, so that white space, the order of fields and how a number is written make no difference.
    let saying = HEADERS.iter().filter(|(name, about)| *about == AS_IN_BODY && !OF_PERSONS.contains(name));
    let said: Vec<_> = saying.map(|(name, _)| headers.get(*name).map(|said| said.as_bytes())).collect();
    let payload = serde_json::to_vec(&(proposed, said))
        .map_err(|error| Problem::Unavailable(format!("the body cannot be digested: {error}")))?;
    Ok(Some(Idempotency { key, payload: Digest::of("genops proposal 2", &[&payload]) }))
}

/// Puts together what is asked of the ledger.
fn described(
    gateway: &Gateway,
    setup: &Setup,
    headers: &HeaderMap,
    proposed: &Proposed,
) -> Result<Admit, Problem> {
    let caller = identity::with_body(&setup.config.keys, headers, &proposed.said());
    let caller = caller.map_err(|problem| match problem {
        Unidentified::Attribution(invalid) => Problem::Unidentified(Unidentified::AttributionOfBody(invalid)),
        problem => Problem::Unidentified(problem),
    })?;
    let fresh = gateway.governor.new_id();
    let awu = AwuId { trace_id: caller.trace_id.unwrap_or(fresh.trace_id), span_id: fresh.span_id };
    let trace = caller.trace;
    let mut proposal = proposed.proposal(setup, caller)?;
    let at = gateway.governor.now();
    let circumstances = Circumstances { body: &[], headers, streamed: false, at };
    proposal.assessed = setup.config.assessor.assess(&setup.in_force, &proposal, circumstances);
    Ok(Admit {
        trace,
        attempt_of: proposed.attempt_of,
        assessed_under: Some(setup.in_force.version()),
        starts: proposed.starts,
        within_ns: Some(proposed.within_seconds.nanos()),
        ..Admit::new(awu, proposal)
    })
}

impl Proposed {
    fn said(&self) -> InBody<'_> {
        InBody {
            team: self.team.as_deref(),
            project: self.project.as_deref(),
            environment: self.environment.as_deref(),
            customer_id: self.customer_id.as_deref(),
            feature: self.feature.as_deref(),
            cost_center: self.cost_center.as_deref(),
            session_id: self.session_id.as_deref(),
            operation: self.operation.name.as_deref(),
        }
    }

    /// The proposal, before its conditions are worked out.
    fn proposal(&self, setup: &Setup, caller: Caller) -> Result<Proposal, Problem> {
        let name = caller.operation.ok_or_else(|| Problem::Bad {
            field: Some("operation.name".to_owned()),
            message: "the body cannot be read: neither it nor the key says what the work is called"
                .to_owned(),
        })?;
        let config = &setup.config;
        // The configuration's word for a model is good for the provider that it has the model at, and for no other.
        let provider = name_of(self.provider.as_ref());
        let model = name_of(self.model.as_ref());
        let of_model = model.as_ref().and_then(|model| {
            let at = config.providers.get(config.models.route(model)?.provider)?;
            provider.as_ref().is_none_or(|said| *said == at.name).then_some((model, at))
        });
        let bound = self.bound.tokens();
        let priced = of_model.filter(|_| bound != Tokens::default());
        let price = priced.and_then(|(model, _)| config.models.price(model));
        let at = of_model.map(|(_, at)| at);
        Ok(Proposal {
            labels: caller.labels,
            key: Some(caller.key),
            region: name_of(self.region.as_ref()).or_else(|| at?.region.clone()),
            provider: provider.or_else(|| at.map(|at| at.name.clone())),
            model,
            bound,
            quantities: self.bound.quantities()?,
            accounting_unit: self.accounting_unit.map(|UnitWord(unit)| unit),
            price,
            ..Proposal::work(caller.attribution, name, self.operation.kind.0.clone())
        })
    }
}

fn name_of(said: Option<&Named>) -> Option<Name> {
    said.map(|Named(name)| name.clone())
}
