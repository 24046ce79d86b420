//! The body of a call on its way out, and whether any of the call may have left.
//!
//! The connection asks for the body once it stands, before it sends anything. A body that nobody has asked for
//! says that nothing was sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Whether anything of a call may have been sent.
#[derive(Debug, Clone, Default)]
pub struct Sent(Arc<AtomicBool>);

impl Sent {
    /// Whether anything may have been sent.
    #[must_use]
    pub fn maybe(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A body that notes when it is asked for.
#[derive(Debug)]
pub struct Outgoing {
    body: Option<Bytes>,
    sent: Sent,
}

impl Outgoing {
    /// The body of a call.
    #[must_use]
    pub const fn new(body: Bytes, sent: Sent) -> Self {
        Self { body: Some(body), sent }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.sent.0.store(true, Ordering::Release);
        Poll::Ready(self.body.take().map(|body| Ok(Frame::data(body))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.as_ref().map_or(0, Bytes::len) as u64)
    }
}
