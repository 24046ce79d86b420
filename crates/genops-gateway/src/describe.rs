//! A call, described: from headers and body to what is asked of the ledger, and of whom it is asked then.
//!
//! Nothing is decided here, and nothing is sent.

use std::fmt;
use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use genops_core::awu::{AwuId, Proposal};
use genops_core::ledger::Admit;
use http::HeaderMap;
use tokio::sync::OwnedSemaphorePermit;

use crate::answer;
use crate::assess::Circumstances;
use crate::attempts::Attempts;
use crate::call::{BadCall, Call, Changes};
use crate::identity::{self, Caller};
use crate::provider::Provider;
use crate::server::Gateway;
use crate::setup::Setup;

/// A body of this size is read within about a millisecond.
const READ_AT_ONCE_BYTES_MAX: usize = 32 << 10;

/// And one of this size where it is looked through as well.
const LOOKED_THROUGH_AT_ONCE_BYTES_MAX: usize = 8 << 10;

/// A call as it came, and what it is governed by.
#[derive(Clone)]
pub struct Asked {
    /// What it is governed by.
    pub setup: Arc<Setup>,
    /// Who asks.
    pub caller: Caller,
    /// Its headers.
    pub headers: Arc<HeaderMap>,
    /// Its body.
    pub body: Bytes,
}

/// Without headers and body, which hold keys and prompts.
impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("caller", &self.caller).finish_non_exhaustive()
    }
}

/// A call that has been read: what is asked of the ledger, and of whom it is asked then.
pub struct Described {
    /// The call, as it is to be forwarded.
    pub call: Call,
    /// Who is asked.
    pub provider: Arc<Provider>,
    /// What is asked of the ledger.
    pub request: Admit,
}

/// Describes the call, with these changes, for the next of its attempts.
pub async fn call(
    gateway: &Arc<Gateway>,
    asked: &Asked,
    attempts: &Attempts,
    changes: Changes,
    place: OwnedSemaphorePermit,
) -> Option<(Result<Described, BadCall>, OwnedSemaphorePermit)> {
    let first = attempts.first();
    read(gateway, asked, place, move |gateway, asked| described(gateway, asked, first, &changes)).await
}

/// Reads the call again with other changes, as it is to be forwarded.
pub async fn again(
    gateway: &Arc<Gateway>,
    asked: &Asked,
    changes: Changes,
    place: OwnedSemaphorePermit,
) -> Option<(Result<Call, BadCall>, OwnedSemaphorePermit)> {
    read(gateway, asked, place, move |_, asked| Call::read(&asked.body, &asked.setup.config, &changes)).await
}

/// Reads a call; one with a large body on a thread of its own, so that no other call waits while it is counted and
/// looked through. Few are read at a time, and each keeps its place until it has been read, whether its caller waits or
/// not.
async fn read<T: Send + 'static>(
    gateway: &Arc<Gateway>,
    asked: &Asked,
    place: OwnedSemaphorePermit,
    work: impl FnOnce(&Gateway, &Asked) -> T + Send + 'static,
) -> Option<(T, OwnedSemaphorePermit)> {
    let looked_through = !asked.setup.config.policy.contents.is_empty();
    let at_once_max = if looked_through { LOOKED_THROUGH_AT_ONCE_BYTES_MAX } else { READ_AT_ONCE_BYTES_MAX };
    if asked.body.len() <= at_once_max {
        return Some((work(gateway, asked), place));
    }
    // The semaphore is never closed, and reading does not panic.
    let turn = Arc::clone(&gateway.reading).acquire_owned().await.ok()?;
    let (gateway, asked) = (Arc::clone(gateway), asked.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let read = work(&gateway, &asked);
        drop(turn);
        (read, place)
    });
    reading.await.ok()
}

/// Puts together what is asked of the ledger. The admission records the start as well: nothing stands
/// between the two.
fn described(
    gateway: &Gateway,
    asked: &Asked,
    attempt_of: Option<AwuId>,
    changes: &Changes,
) -> Result<Described, BadCall> {
    let Asked { setup, caller, headers, body } = asked;
    let call = Call::read(body, &setup.config, changes)?;
    let provider = setup.providers.get(call.provider).cloned().ok_or_else(|| BadCall {
        field: Some("model"),
        message: "the provider of this model is not set up".to_owned(),
        no_such_model: true,
    })?;
    let fresh = gateway.governor.new_id();
    let awu = AwuId { trace_id: caller.trace_id.unwrap_or(fresh.trace_id), span_id: fresh.span_id };
    let operation = caller.operation.clone().unwrap_or_else(|| call.operation.clone());
    let inference = setup.config.inference.clone();
    let (attribution, model) = (caller.attribution.clone(), call.model.clone());
    let mut proposal = Proposal {
        labels: caller.labels.clone(),
        key: Some(caller.key.clone()),
        region: provider.region.clone(),
        bound: call.bound,
        choices: call.choices,
        unbounded: call.unbounded.clone(),
        price: call.price.clone(),
        ..Proposal::new(attribution, operation, inference, provider.name.clone(), model)
    };
    let at = gateway.governor.now();
    let circumstances = Circumstances { body, headers, streamed: call.stream.is_some(), at };
    proposal.assessed = setup.config.assessor.assess(&setup.in_force, &proposal, circumstances);
    let request = Admit {
        trace: caller.trace,
        attempt_of,
        assessed_under: Some(setup.in_force.version()),
        starts: true,
        ..Admit::new(awu, proposal)
    };
    Ok(Described { call, provider, request })
}

/// The call under the setup whose policy is in force by now. Who asks is found out anew: keys change as well.
pub async fn renewed(gateway: &Gateway, asked: &Asked) -> Result<Asked, Response> {
    let Some(setup) = gateway.setups.after(&asked.setup).await else {
        return Err(answer::unavailable("the gateway is being set up anew; try again in a moment"));
    };
    let caller =
        identity::of(&setup.config.keys, &asked.headers).map_err(|problem| answer::unidentified(&problem))?;
    Ok(Asked { setup, caller, ..asked.clone() })
}
