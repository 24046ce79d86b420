//! The corridor: what the gateway does with one call, in order.
//!
//! What is asked, may it run, run it, settle it, answer; who asks is known by then. Each step is a function elsewhere; this
//! file is their order. Between start and settle nothing can leave early: whatever happens to a call comes
//! back as an [`Execution`](genops_core::awu::Execution). A call that the provider failed may walk the corridor again.

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use genops::{Admission, Awu, Executing, LedgerError, Refusal, Reserved};
use genops_core::awu::End;
use genops_core::ledger::Rejection;
use tokio::sync::OwnedSemaphorePermit;

use crate::answer::{self, Told};
use crate::api::code::Code;
use crate::attempts::Attempts;
use crate::call::{Call, Changes, Streaming};
use crate::describe::{self, Asked, Described};
use crate::provider::{Opened, Provider};
use crate::server::Gateway;
use crate::stream::{GovernedStream, Running};
use crate::to_its_end::ToItsEnd;

/// What an attempt came to.
enum Came {
    /// This is the answer.
    To(Response),
    /// The execution ended so, and this is the answer, unless it failed and another attempt gives a better one. The
    /// place is for that.
    AnEnd(End, Response, OwnedSemaphorePermit),
}

/// Governs one `POST /v1/chat/completions`. `place` is its place among the calls in flight.
pub async fn chat_completion(
    gateway: Arc<Gateway>,
    mut asked: Asked,
    mut place: OwnedSemaphorePermit,
) -> Response {
    let mut attempts = Attempts::default();
    let mut otherwise = None;
    loop {
        let changes = Changes { model: attempts.model().cloned(), output_limit: None };
        let described = match describe::call(&gateway, &asked, &attempts, changes.clone(), place).await {
            Some((Ok(described), kept)) => {
                place = kept;
                described
            }
            Some((Err(problem), _)) => return told(otherwise, &attempts, || answer::bad_call(&problem)),
            None => return told(otherwise, &attempts, || answer::unavailable("the body could not be read")),
        };
        let Described { call, provider, request } = described;
        let awu = request.awu;
        let admission = match gateway.governor.admit_as(request).await {
            Err(LedgerError::Rejected(Rejection::AssessedUnderAnotherPolicy)) => {
                match describe::renewed(&gateway, &asked).await {
                    Ok(renewed) => asked = renewed,
                    Err(response) => return told(otherwise, &attempts, || response),
                }
                continue;
            }
            Err(trouble) => return told(otherwise, &attempts, || not_decided(&trouble)),
            Ok(admission) => admission,
        };
        attempts.decided(awu, asked.setup.config.models.route(&call.model));
        let admitted = match admission {
            Admission::Admitted(admitted) => admitted,
            Admission::Refused(refusal) => {
                let refused = answer::refused(&refusal, None, gateway.governor.now());
                otherwise = Some(otherwise.unwrap_or(refused));
                if attempts.after_refusal(code(&refusal)) {
                    continue;
                }
                return told(otherwise, &attempts, || answer::unavailable("the refusal was lost"));
            }
        };
        match run(&gateway, &asked, admitted, call, changes, provider, place).await {
            Came::To(response) => return answer::after_attempts(response, attempts.made()),
            Came::AnEnd(end, response, kept) => {
                if !attempts.after_failure(end) {
                    return answer::after_attempts(response, attempts.made());
                }
                (otherwise, place) = (Some(response), kept);
            }
        }
        if let Some(pause) = attempts.pause() {
            tokio::time::sleep(pause).await;
        }
    }
}

/// What the caller is told: what an attempt came to before, or else this.
fn told(before: Option<Response>, attempts: &Attempts, otherwise: impl FnOnce() -> Response) -> Response {
    answer::after_attempts(before.unwrap_or_else(otherwise), attempts.made())
}

/// A call that the ledger has not decided.
fn not_decided(trouble: &LedgerError) -> Response {
    let message = trouble.to_string();
    match trouble {
        LedgerError::Rejected(Rejection::TooManyOpen { .. }) => answer::full(Code::TooManyOpenAwus, &message),
        _ => answer::unavailable(&message),
    }
}

fn code(refusal: &Refusal) -> Option<&genops_spec::ReasonCode> {
    refusal.decision().reason_code()
}

/// Runs an admitted call in the way in which it wants to be answered.
async fn run(
    gateway: &Arc<Gateway>,
    asked: &Asked,
    awu: Awu<Reserved>,
    mut call: Call,
    changes: Changes,
    provider: Arc<Provider>,
    mut place: OwnedSemaphorePermit,
) -> Came {
    if let Some(limit) = awu.admission().output_limit() {
        let lowered = Changes { output_limit: Some(limit), ..changes };
        match describe::again(gateway, asked, lowered, place).await {
            Some((Ok(lowered), kept)) => (call, place) = (lowered, kept),
            // It was read before; what cannot be lowered does not run, and is given back.
            Some((Err(problem), _)) => return Came::To(answer::bad_call(&problem)),
            None => return Came::To(answer::unavailable("the body could not be read")),
        }
    }
    match awu.start().await {
        Err(trouble) => Came::To(answer::unavailable(&trouble.to_string())),
        Ok(awu) if let Some(streaming) = call.stream => stream(awu, &provider, call, streaming, place).await,
        Ok(awu) => {
            // A caller who hangs up does not stop what the provider will charge for anyhow, and the
            // settlement gets the real usage.
            ToItsEnd::new(execute(awu, provider, call.forwarded, place)).await
        }
    }
}

/// Runs an admitted call and settles it. There is no way out of here but through the settlement.
async fn execute(
    awu: Awu<Executing>,
    provider: Arc<Provider>,
    body: Bytes,
    place: OwnedSemaphorePermit,
) -> Came {
    let told = Told::of(awu.id(), awu.admission());
    let (execution, answered) = provider.execute(&awu, body).await;
    let end = execution.end;
    // The settlement is on its way to the disk. If the process dies first, or the ledger takes nothing any
    // more, the AWU is in doubt and charged its reservation. The caller's answer does not wait for that: it
    // has been paid for.
    drop(awu.settle(execution));
    Came::AnEnd(end, answer::of_provider(answered, &told), place)
}

/// Runs an admitted call whose answer is streamed. A caller who hangs up drops this, or the answer, and with
/// it the call that runs: the provider is hung up on, and the call settled.
async fn stream(
    awu: Awu<Executing>,
    provider: &Provider,
    call: Call,
    streaming: Streaming,
    place: OwnedSemaphorePermit,
) -> Came {
    let told = Told::of(awu.id(), awu.admission());
    let counted_input = provider.charges_what_was_counted.then_some(call.bound.input);
    let mut running = Running::new(awu, counted_input, place);
    let Some(permit) = running.permit() else {
        return Came::To(answer::unavailable("the call was settled before it ran"));
    };
    match provider.open(permit, call.forwarded, &running.sent()).await {
        Opened::Whole(execution, answered) => {
            let end = execution.end;
            running.settle(execution);
            let response = answer::of_provider(answered, &told);
            match running.take_place() {
                Some(place) => Came::AnEnd(end, response, place),
                None => Came::To(response),
            }
        }
        Opened::Stream(response) => {
            let (head, body) = response.into_parts();
            let body = GovernedStream::new(running, body, streaming, provider.timeout);
            Came::To(answer::streamed(head, body, &told))
        }
    }
}
