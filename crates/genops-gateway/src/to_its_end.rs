//! Work that comes to its end whether anybody waits for it or not.
//!
//! It runs where it is waited for, which costs no task and no hop between two. Only once nobody waits for it any
//! more does what is left of it become a task of its own. What the work is, is not known here.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// Work that goes on when this is dropped. A panic ends it.
#[derive(Debug)]
pub struct ToItsEnd<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    /// `None` once it has come to its end.
    work: Option<Pin<Box<F>>>,
}

impl<F> ToItsEnd<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    /// Nothing of it is done before somebody waits, or stops waiting.
    pub fn new(work: F) -> Self {
        Self { work: Some(Box::pin(work)) }
    }
}

impl<F> Future for ToItsEnd<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out, so that work that panics is dropped with the panic and not taken up again.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<F> Drop for ToItsEnd<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn drop(&mut self) {
        // Without a runtime nothing can go on: what it holds is dropped, as at the end of the process.
        if let (Some(work), Ok(runtime)) = (self.work.take(), Handle::try_current()) {
            drop(runtime.spawn(work));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_gives_what_the_work_comes_to() {
        let work = ToItsEnd::new(async {
            tokio::task::yield_now().await;
            7
        });
        assert_eq!(work.await, 7);
    }

    #[tokio::test]
    async fn it_goes_on_when_nobody_waits_any_more() {
        let (go_on, goes_on) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let work = ToItsEnd::new(async {
            let _ = goes_on.await;
            let _ = tell.send("done");
        });
        assert!(tokio::time::timeout(Duration::from_millis(10), work).await.is_err(), "it waits");
        go_on.send(()).unwrap();
        assert_eq!(told.await, Ok("done"));
    }

    #[tokio::test]
    async fn work_that_panics_is_not_taken_up_again() {
        struct Held(Option<oneshot::Sender<()>>);
        impl Drop for Held {
            fn drop(&mut self) {
                let _ = self.0.take().map(|tell| tell.send(()));
            }
        }
        let (tell, told) = oneshot::channel();
        let held = Held(Some(tell));
        let work = ToItsEnd::new(async move {
            let _held = held;
            panic!("on purpose");
        });
        assert!(tokio::spawn(work).await.unwrap_err().is_panic());
        assert_eq!(told.await, Ok(()), "what it held is let go");
    }
}
