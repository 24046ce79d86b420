//! Requests judged one after the other, on a thread of their own: receiving goes on meanwhile.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::Body;
use crate::checker::Checker;
use crate::input::{Input, MESSAGE_BYTES_MAX};
use crate::judge::hex;
use crate::otlp::request::{Encoding, Signal};

/// What comes from the network.
pub enum Arrival {
    /// A request, whole.
    Request(Delivery),
    /// A request was refused, and why: what it held is missing from the capture.
    Refused(String),
}

/// A request that was received, and where to say what became of it.
pub struct Delivery {
    pub body: Body,
    pub encoding: Encoding,
    pub signal: Signal,
    pub answer: oneshot::Sender<Result<(), Refusal>>,
}

/// Why a request was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is longer than a message may be.
    TooLarge,
    /// It cannot be read.
    Unreadable(String),
}

/// Judges what is delivered until nobody is left who could deliver.
pub fn judge(
    mut checker: Checker,
    mut input: Input,
    mut arrivals: mpsc::Receiver<Arrival>,
) -> (Checker, Input) {
    let mut digest = Sha256::new();
    while let Some(arrival) = arrivals.blocking_recv() {
        let Delivery { body, encoding, signal, answer } = match arrival {
            Arrival::Request(delivery) => delivery,
            Arrival::Refused(why) => {
                input.problems.add(format!("a request was refused: {why}"));
                continue;
            }
        };
        input.bytes += body.bytes.len() as u64;
        input.is_gzip |= body.is_gzip;
        digest.update(&body.bytes);
        let outcome = take(&mut checker, &body, encoding, signal);
        // That it was refused is told by whoever refuses it.
        input.messages += u64::from(outcome.is_ok());
        // Whoever sent it may have gone; it counts all the same.
        drop(answer.send(outcome));
    }
    input.sha256 = hex(&digest.finalize());
    (checker, input)
}

impl Refusal {
    /// The reason, in words.
    pub fn what(&self) -> String {
        match self {
            Self::TooLarge => {
                format!("it is longer than {} MiB; send smaller batches", MESSAGE_BYTES_MAX >> 20)
            }
            Self::Unreadable(what) => what.clone(),
        }
    }
}

fn take(checker: &mut Checker, body: &Body, encoding: Encoding, signal: Signal) -> Result<(), Refusal> {
    let unpacked;
    let message = if body.is_gzip {
        unpacked = unpack(&body.bytes)?;
        unpacked.as_slice()
    } else {
        &body.bytes
    };
    checker.take(message, encoding, Some(signal)).map_err(|error| match error.at {
        Some((line, column)) => Refusal::Unreadable(format!("line {line}, column {column}: {error}")),
        None => Refusal::Unreadable(error.to_string()),
    })
}

fn unpack(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut unpacked = Vec::new();
    let mut source = MultiGzDecoder::new(bytes).take(MESSAGE_BYTES_MAX as u64 + 1);
    let cannot = |error| Refusal::Unreadable(format!("it cannot be unpacked with gzip: {error}"));
    let length = source.read_to_end(&mut unpacked).map_err(cannot)?;
    if length > MESSAGE_BYTES_MAX { Err(Refusal::TooLarge) } else { Ok(unpacked) }
}
