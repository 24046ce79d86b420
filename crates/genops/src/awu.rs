//! The permits of the library: an AWU that knows its ledger and settles itself when it is dropped.
//!
//! The life itself is [`genops_core::awu`]; here each step is submitted to the journal.

use std::sync::Arc;

use genops_core::Timestamp;
use genops_core::admit::Admitted;
use genops_core::awu::{self as life, AwuId, End, Executing, Execution, Reserved, Used};
use genops_core::ledger::{Command, Outcome, Settled};
use genops_ledger::{Ledger, LedgerError, Posted};

/// A permit to go one step further in an AWU's life; `S` is [`Reserved`] or [`Executing`].
///
/// Dropping it is not forgetting it: reserved work is released, executing work is settled as abandoned,
/// which charges its reservation and marks the record incomplete.
#[derive(Debug)]
#[must_use = "dropping an AWU ends it: unused if it was reserved, abandoned if it was executing"]
pub struct Awu<S> {
    life: life::Awu<S>,
    guard: Guard,
}

/// Ends an AWU that nobody ended. This is the only meaning that hangs on a destructor.
struct Guard {
    ledger: Arc<Ledger>,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    awu: AwuId,
    since: Timestamp,
    last_wish: LastWish,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastWish {
    /// It was not started: give the reservation back.
    Release,
    /// Its start is recorded, but it was not handed out for execution: it used nothing.
    NeverSent,
    /// It may have run: charge the reservation.
    Abandoned,
    /// Somebody ended it.
    None,
}

impl Awu<Reserved> {
    /// Guards an admission, from the moment it is in the books.
    pub(crate) fn guarded(
        ledger: Arc<Ledger>,
        clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
        awu: AwuId,
        admitted: Arc<Admitted>,
        since: Timestamp,
    ) -> Self {
        let last_wish = if admitted.started() { LastWish::NeverSent } else { LastWish::Release };
        let guard = Guard { ledger, clock, awu, since, last_wish };
        Self { life: life::Awu::admitted(awu, admitted), guard }
    }

    /// Starts the AWU. Where its admission recorded the start as well, this costs nothing; elsewhere it
    /// waits until the start is durable.
    ///
    /// # Errors
    ///
    /// The ledger takes nothing any more. The work must not run.
    pub async fn start(self) -> Result<Awu<Executing>, LedgerError> {
        let Self { life, mut guard } = self;
        let (life, command) = life.start();
        if let Some(command) = command {
            let posted = guard.submit(command)?;
            guard.last_wish = LastWish::NeverSent;
            posted.durable().await?;
        }
        guard.last_wish = LastWish::Abandoned;
        Ok(Awu { life, guard })
    }

    /// Gives the reservation back: the work will not run. Where the start is recorded already, the AWU is
    /// settled as never sent, which comes to the same.
    ///
    /// # Errors
    ///
    /// The ledger takes nothing any more.
    pub fn release(self) -> Result<(), LedgerError> {
        let Self { life, mut guard } = self;
        let command = match guard.last_wish {
            LastWish::Release => life.release(),
            _ => guard.settlement(End::NeverSent, Used::Nothing),
        };
        guard.last_wish = LastWish::None;
        guard.submit(command).map(|_| ())
    }

    /// What admission granted.
    #[must_use]
    pub fn admission(&self) -> &Admitted {
        self.life.admission()
    }
}

impl Awu<Executing> {
    /// Ends the AWU with what the execution came to. The settlement has its place in the order when this
    /// returns; wait for [`Settlement::durable`] where that matters. A settlement that is lost with the
    /// process leaves the AWU in doubt, charged its reservation.
    ///
    /// # Errors
    ///
    /// The ledger takes nothing any more; recovery will resolve the AWU.
    pub fn settle(self, execution: Execution) -> Result<Settlement, LedgerError> {
        let Self { life, mut guard } = self;
        guard.last_wish = LastWish::None;
        Ok(Settlement { posted: guard.submit(life.settle(execution))? })
    }

    /// What admission granted.
    #[must_use]
    pub fn admission(&self) -> &Admitted {
        self.life.admission()
    }
}

impl<S> Awu<S> {
    /// The AWU's identity.
    #[must_use]
    pub const fn id(&self) -> AwuId {
        self.life.id()
    }
}

/// A settlement on its way to the disk.
#[derive(Debug)]
pub struct Settlement {
    posted: Posted,
}

impl Settlement {
    /// Waits until the settlement is durable, and gives what was charged.
    ///
    /// # Errors
    ///
    /// The ledger has failed; recovery will say how the AWU ended.
    pub async fn durable(self) -> Result<Settled, LedgerError> {
        match self.posted.durable().await?.outcome {
            Outcome::Settled(settled) => Ok(settled),
            // A settlement command comes to nothing else; the ledger has checked it.
            _ => Ok(Settled { incomplete: true, ..Settled::default() }),
        }
    }
}

impl Guard {
    fn submit(&self, command: Command) -> Result<Posted, LedgerError> {
        self.ledger.submit((self.clock)(), command)
    }

    fn settlement(&self, end: End, used: Used) -> Command {
        let latency_ns = (self.clock)().nanos().saturating_sub(self.since.nanos());
        Command::Settle {
            awu: self.awu,
            execution: Execution { end, used, ..Execution::abandoned(latency_ns) },
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let command = match self.last_wish {
            LastWish::None => return,
            LastWish::Release => Command::Release { awu: self.awu },
            LastWish::NeverSent => self.settlement(End::NeverSent, Used::Nothing),
            LastWish::Abandoned => self.settlement(End::Abandoned, Used::Unknown),
        };
        // If the ledger takes nothing any more, recovery resolves the AWU.
        let _ = self.submit(command);
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard")
            .field("awu", &self.awu)
            .field("last_wish", &self.last_wish)
            .finish_non_exhaustive()
    }
}
