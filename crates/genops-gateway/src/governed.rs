//! The corridor: what the gateway does with one call, in order.
//!
//! What is asked, may it run, run it, settle it, answer; who asks is known by then. Each step is a function elsewhere; this
//! file is their order. Between start and settle nothing can leave early: whatever happens to a call comes
//! back as an [`Execution`](genops_core::awu::Execution).

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use genops::{Admission, Awu, Executing};
use genops_core::awu::{AwuId, Proposal};
use genops_core::ledger::Admit;
use tokio::sync::OwnedSemaphorePermit;

use crate::answer::{self, Told};
use crate::call::{BadCall, Call, Streaming};
use crate::identity::Caller;
use crate::provider::{Opened, Provider};
use crate::server::Gateway;
use crate::stream::{GovernedStream, Running};
use crate::to_its_end::ToItsEnd;

/// A body of this size is read within about a millisecond.
const READ_AT_ONCE_BYTES_MAX: usize = 32 << 10;

/// Governs one `POST /v1/chat/completions`. `place` is its place among the calls in flight.
pub async fn chat_completion(
    gateway: Arc<Gateway>,
    caller: Caller,
    body: Bytes,
    place: OwnedSemaphorePermit,
) -> Response {
    let (call, place) = match read(&gateway, body, place).await {
        Some((Ok(call), place)) => (call, place),
        Some((Err(problem), _)) => return answer::bad_call(&problem),
        None => return answer::unavailable("the body could not be read"),
    };
    let Some(provider) = gateway.providers.get(call.provider).cloned() else {
        return answer::unavailable("the provider of this model is not set up");
    };
    let request = request(&gateway, &caller, &call, &provider);
    match gateway.governor.admit_as(request).await {
        Err(trouble) => answer::unavailable(&trouble.to_string()),
        Ok(Admission::Refused(refusal)) => answer::refused(&refusal, gateway.governor.now()),
        Ok(Admission::Admitted(awu)) => match awu.start().await {
            Err(trouble) => answer::unavailable(&trouble.to_string()),
            Ok(awu) if let Some(streaming) = call.stream => {
                stream(awu, &provider, call, streaming, place).await
            }
            Ok(awu) => {
                // A caller who hangs up does not stop what the provider will charge for anyhow, and the
                // settlement gets the real usage.
                ToItsEnd::new(execute(awu, provider, call.forwarded, place)).await
            }
        },
    }
}

/// Reads the body; a large one on a thread of its own, so that no other call waits while it is counted. Few are
/// read at a time, and each keeps its place until it has been read, whether its caller waits or not.
async fn read(
    gateway: &Arc<Gateway>,
    body: Bytes,
    place: OwnedSemaphorePermit,
) -> Option<(Result<Call, BadCall>, OwnedSemaphorePermit)> {
    if body.len() <= READ_AT_ONCE_BYTES_MAX {
        return Some((Call::read(&body, &gateway.config), place));
    }
    // The semaphore is never closed, and reading does not panic.
    let turn = Arc::clone(&gateway.reading).acquire_owned().await.ok()?;
    let gateway = Arc::clone(gateway);
    let reading = tokio::task::spawn_blocking(move || {
        let read = Call::read(&body, &gateway.config);
        drop(turn);
        (read, place)
    });
    reading.await.ok()
}

/// Runs an admitted call and settles it. There is no way out of here but through the settlement.
async fn execute(
    awu: Awu<Executing>,
    provider: Arc<Provider>,
    body: Bytes,
    _place: OwnedSemaphorePermit,
) -> Response {
    let told = Told::of(awu.id(), awu.admission());
    let (execution, answered) = provider.execute(&awu, body).await;
    // The settlement is on its way to the disk. If the process dies first, or the ledger takes nothing any
    // more, the AWU is in doubt and charged its reservation. The caller's answer does not wait for that: it
    // has been paid for.
    drop(awu.settle(execution));
    answer::of_provider(answered, &told)
}

/// Runs an admitted call whose answer is streamed. A caller who hangs up drops this, or the answer, and with
/// it the call that runs: the provider is hung up on, and the call settled.
async fn stream(
    awu: Awu<Executing>,
    provider: &Provider,
    call: Call,
    streaming: Streaming,
    place: OwnedSemaphorePermit,
) -> Response {
    let told = Told::of(awu.id(), awu.admission());
    let counted_input = provider.charges_what_was_counted.then_some(call.bound.input);
    let mut running = Running::new(awu, counted_input, place);
    let Some(permit) = running.permit() else {
        return answer::unavailable("the call was settled before it ran");
    };
    match provider.open(permit, call.forwarded, &running.sent()).await {
        Opened::Whole(execution, answered) => {
            running.settle(execution);
            answer::of_provider(answered, &told)
        }
        Opened::Stream(response) => {
            let (head, body) = response.into_parts();
            let body = GovernedStream::new(running, body, streaming, provider.timeout);
            answer::streamed(head, body, &told)
        }
    }
}

/// Puts together what is asked of the ledger. The admission records the start as well: nothing stands
/// between the two.
fn request(gateway: &Gateway, caller: &Caller, call: &Call, provider: &Provider) -> Admit {
    let fresh = gateway.governor.new_id();
    let trace_id = caller.trace_id.unwrap_or(fresh.trace_id);
    Admit {
        awu: AwuId { trace_id, span_id: fresh.span_id },
        trace: caller.trace,
        starts: true,
        proposal: Proposal {
            attribution: caller.attribution.clone(),
            operation_name: caller.operation.clone().unwrap_or_else(|| call.operation.clone()),
            operation_type: gateway.config.inference.clone(),
            key: Some(caller.key.clone()),
            provider: provider.name.clone(),
            model: call.model.clone(),
            bound: call.bound,
            unbounded: call.unbounded.clone(),
            price: call.price.clone(),
        },
    }
}
