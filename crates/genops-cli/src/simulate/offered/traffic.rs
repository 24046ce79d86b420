//! Calls out of tables and traces, as they would come to a gateway.

use genops::core::attribution::{Field, InvalidAttribution, Meaningful};
use genops::core::awu::{End, Execution, Failure, Labels, Proposal, Used};
use genops::core::price::Tokens;
use genops::core::selector::Facet;
use genops::core::{Attribution, Name};
use genops_gateway::Config;

use super::super::recorded::{Labels as Recorded, Recorded as Call, Traffic};
use super::{Assumption, Ends, Event, Gaps, NotSetUp, Offered, Origin, Unrecorded, unrecorded};
use crate::Trouble;

/// What calls are labelled with that do not say it themselves.
#[derive(Debug, Clone)]
pub struct Defaults {
    team: Meaningful,
    project: Meaningful,
    environment: Meaningful,
    /// The model; `None` is the first that is set up.
    model: Option<Name>,
}

impl Defaults {
    /// Checks what was given.
    ///
    /// # Errors
    ///
    /// Names the field that says nothing.
    pub fn new(
        team: &str,
        project: &str,
        environment: &str,
        model: Option<Name>,
    ) -> Result<Self, InvalidAttribution> {
        Ok(Self {
            team: Meaningful::new(Field::Team, Some(team))?,
            project: Meaningful::new(Field::Project, Some(project))?,
            environment: Meaningful::new(Field::Environment, Some(environment))?,
            model,
        })
    }

    /// The model of calls that name none.
    pub const fn model(&self) -> Option<&Name> {
        self.model.as_ref()
    }
}

/// What follows from the labels of a call and the configuration.
enum Known {
    Call(Box<Asks>),
    NotSetUp(Option<Name>),
}

struct Asks {
    proposal: Proposal,
    max_output_tokens: u64,
    assumed: Vec<Assumption>,
    /// The rules that cannot be asked, by their place.
    not_asked: Vec<usize>,
}

/// As [`Calls::offer`](super::Calls::offer).
pub fn offer(
    traffic: &Traffic,
    defaults: &Defaults,
    config: &Config,
    take: &mut dyn FnMut(Event) -> Result<(), Trouble>,
) -> Result<Gaps, Trouble> {
    let unrecorded = unrecorded(config);
    let mut gaps = Gaps::default();
    let mut not_asked = vec![0_u64; unrecorded.len()];
    let know = |call: &Call| traffic.labels(call).map(|labels| know(labels, defaults, config, &unrecorded));
    let mut known: Vec<Option<Known>> = Vec::new();
    for call in traffic.calls() {
        let place = call.labels.place();
        if known.len() <= place && place < KNOWN_MAX {
            known.resize_with(place + 1, || None);
        }
        let mut unkept = None;
        let slot = known.get_mut(place).unwrap_or(&mut unkept);
        if slot.is_none() {
            *slot = know(call);
        }
        let event = match slot {
            Some(Known::Call(asks)) => {
                for place in &asks.not_asked {
                    not_asked.get_mut(*place).into_iter().for_each(|calls| *calls += 1);
                }
                Event::Call(Box::new(asks.offered(call, &mut gaps)))
            }
            Some(Known::NotSetUp(model)) => {
                *gaps.not_set_up.entry(model.clone()).or_default() += 1;
                let origin = Origin::Place(call.place);
                Event::NotSetUp(NotSetUp { origin, at: call.at, model: model.clone(), decided: None })
            }
            // Every call of this traffic has labels of this traffic.
            None => continue,
        };
        take(event)?;
    }
    let counted = unrecorded.iter().zip(not_asked).filter(|(_, calls)| *calls > 0);
    counted.for_each(|(rule, calls)| rule.was_not_asked(calls, &mut gaps));
    Ok(gaps)
}

/// For so many different labels it is kept what follows from them; for others it is worked out each time.
const KNOWN_MAX: usize = 1 << 16;

fn know(labels: &Recorded, defaults: &Defaults, config: &Config, unrecorded: &[Unrecorded<'_>]) -> Known {
    let mut assumed = Vec::new();
    let model = labels.get(Facet::Model).cloned().or_else(|| {
        assumed.push(Assumption::Model);
        let first = || config.listed_models().next().and_then(|(model, _)| Name::new(model).ok());
        defaults.model.clone().or_else(first)
    });
    let Some(model) = model else { return Known::NotSetUp(None) };
    let route = config.models.route(&model);
    let Some((route, provider)) =
        route.and_then(|route| Some((route, config.providers.get(route.provider)?)))
    else {
        return Known::NotSetUp(Some(model));
    };
    let attribution = attribution(labels, defaults, &mut assumed);
    let operation = Name::new(&format!("chat {model}")).unwrap_or_else(|_| model.clone());
    let kind = labels.get(Facet::OperationType).cloned().unwrap_or_else(|| config.inference.clone());
    let proposal = Proposal {
        labels: Labels {
            customer_id: labels.get(Facet::CustomerId).cloned(),
            feature: labels.get(Facet::Feature).cloned(),
            cost_center: labels.get(Facet::CostCenter).cloned(),
            session_id: labels.get(Facet::SessionId).cloned(),
        },
        key: labels.get(Facet::Key).cloned(),
        region: provider.region.clone(),
        price: config.models.price(&model),
        ..Proposal::new(attribution, operation, kind, provider.name.clone(), model)
    };
    let covers = |rule: &Unrecorded<'_>| rule.selector.matches(&proposal);
    let not_asked = unrecorded.iter().enumerate().filter(|(_, rule)| covers(rule));
    let not_asked = not_asked.map(|(place, _)| place).collect();
    let max_output_tokens = route.max_output_tokens;
    Known::Call(Box::new(Asks { proposal, max_output_tokens, assumed, not_asked }))
}

/// The attribution of a call; what it does not say, or says with a placeholder, is that of `defaults`.
fn attribution(labels: &Recorded, defaults: &Defaults, assumed: &mut Vec<Assumption>) -> Attribution {
    let mut one = |facet, field, default: &Meaningful| match labels.get(facet) {
        None => {
            assumed.push(Assumption::Attribution);
            default.clone()
        }
        Some(said) => Meaningful::new(field, Some(said.as_str())).unwrap_or_else(|_| {
            assumed.push(Assumption::Placeholder);
            default.clone()
        }),
    };
    let team = one(Facet::Team, Field::Team, &defaults.team);
    let project = one(Facet::Project, Field::Project, &defaults.project);
    let environment = one(Facet::Environment, Field::Environment, &defaults.environment);
    // A call is counted once, however many of the three it does not say.
    assumed.sort_unstable();
    assumed.dedup();
    Attribution::of(team, project, environment)
}

const NANOS_PER_MILLI: u64 = 1_000_000;

impl Asks {
    fn offered(&self, call: &Call, gaps: &mut Gaps) -> Offered {
        self.assumed.iter().for_each(|what| gaps.assume(*what));
        let limit = call.output_limit.map(u64::from);
        match limit {
            None => gaps.assume(Assumption::OutputLimit),
            Some(limit) if limit > self.max_output_tokens => gaps.assume(Assumption::LowerLimit),
            Some(_) => {}
        }
        gaps.assume(Assumption::Bound);
        let limit = limit.map_or(self.max_output_tokens, |limit| limit.min(self.max_output_tokens));
        let bound = Tokens::new(u64::from(call.context_tokens.unwrap_or_default()), limit);
        let latency_ns = call.latency_ns.unwrap_or_else(|| {
            gaps.assume(Assumption::Latency);
            (200 + 20 * u64::from(call.generated_tokens.unwrap_or_default())) * NANOS_PER_MILLI
        });
        let end = match call.failed {
            true => End::ProviderError(Failure::Status(500)),
            false => End::Completed,
        };
        let execution = Execution { end, used: used(call, gaps), ..Execution::abandoned(latency_ns) };
        Offered {
            origin: Origin::Place(call.place),
            at: call.at,
            proposal: Proposal { bound, ..self.proposal.clone() },
            ends: Ends::After(execution),
            decided: None,
        }
    }
}

/// What a call used.
fn used(call: &Call, gaps: &mut Gaps) -> Used {
    match call.context_tokens.zip(call.generated_tokens) {
        Some((input, output)) => Used::Reported(Tokens {
            cached_input: u64::from(call.cached_tokens),
            cache_write: u64::from(call.cache_write_tokens),
            ..Tokens::new(u64::from(input), u64::from(output))
        }),
        None if call.failed => {
            gaps.assume(Assumption::Failed);
            Used::Nothing
        }
        None => {
            gaps.assume(Assumption::Usage);
            Used::Unknown
        }
    }
}
