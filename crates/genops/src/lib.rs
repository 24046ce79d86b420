//! Govern AI work in process: decide whether it may run, reserve for it before it does, settle what it
//! used, and have all of it told as GenOps v0.1.0 telemetry.
//!
//! A [`Governor`] sits over a ledger. It admits a proposal or refuses it; an admission gives an
//! [`Awu<Reserved>`], starting that gives an [`Awu<Executing>`], and settling ends it. Each step consumes
//! the one before, so work that was not admitted cannot be started, and what was started cannot be
//! forgotten: an AWU that is dropped settles by its guard, one whose process dies by recovery.
//!
//! ```
//! use genops::{Admission, Governor, Settings};
//! use genops::core::awu::{End, Execution, Proposal, Used};
//! use genops::core::budget::Budget;
//! use genops::core::selector::{Facet, Selector};
//! use genops::core::policy::Policy;
//! use genops::core::price::{Price, Tokens};
//! use genops::core::{Attribution, Name, Unit};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // One budget: 0.001 US dollars for team `search`, for good.
//! let policy = Policy {
//!     budgets: vec![Budget {
//!         selector: Selector::default().with(Facet::Team, vec![Name::new("search")?]),
//!         ..Budget::new(Name::new("search")?, Unit::Usd, "0.001".parse()?)
//!     }],
//!     ..Policy::unrestricted()
//! };
//! // `Settings::in_file("genops.db", policy)` survives the process; this one does not.
//! let (governor, _) = Governor::open(Settings::in_memory(policy)).await?;
//!
//! let attribution = Attribution::new(Some("search"), Some("ranking"), Some("production"))?;
//! let [operation, kind] = [Name::new("rerank")?, Name::new("inference")?];
//! let [provider, model] = [Name::new("in-process")?, Name::new("small")?];
//! let proposal = Proposal {
//!     // At most 1,000 tokens in and 1,000 out, at 0.15 and 0.60 dollars a million: 0.00075 dollars.
//!     bound: Tokens::new(1_000, 1_000),
//!     price: Some(Price::flat(Name::new("list")?, "0.15".parse()?, "0.60".parse()?)),
//!     ..Proposal::new(attribution, operation, kind, provider, model)
//! };
//! let Admission::Admitted(awu) = governor.admit(proposal.clone()).await? else { panic!("refused") };
//! let awu = awu.start().await?;
//!
//! // ... the work itself ...
//!
//! let used = Used::Reported(Tokens::new(12, 20));
//! let execution = Execution { end: End::Completed, used, ..Execution::abandoned(1_000_000) };
//! let settled = awu.settle(execution)?.durable().await?;
//! assert_eq!(settled.actual[0].to_string(), "0.0000138");
//!
//! // The second call would fit, the third would not: it is refused before it runs.
//! let held = governor.admit(proposal.clone()).await?;
//! let Admission::Refused(refusal) = governor.admit(proposal).await? else { panic!("admitted") };
//! assert_eq!(refusal.decision().reason_code().map(ToString::to_string).as_deref(), Some("BUDGET_RESERVATION_FAILED"));
//! # drop(held);
//! # Ok(())
//! # }
//! ```
//!
//! In reading order: [`settings`], [`governor`] (admission), [`awu`] (the permits), [`held`] (AWUs that others hold, and
//! the acts of operators), [`persons`] (customers and sessions, and erasing them), [`report`] (what can be asked afterwards), [`receipt`] (a decision that others can verify),
//! [`telemetry`] (how far telemetry has come, and sending again), [`clock`].

pub mod settings;

pub mod governor;

pub mod awu;

pub mod held;

pub mod operate;

pub mod persons;

pub mod report;

pub mod receipt;

pub mod telemetry;

pub mod clock;

mod archivist;

mod background;

mod keeper;

mod snapshotter;

pub use awu::{Awu, Settlement};
pub use genops_core as core;
pub use genops_core::awu::{Executing, Reserved};
pub use genops_ledger as ledger;
pub use genops_ledger::LedgerError;
pub use genops_spec as spec;
pub use genops_telemetry::Destination;
pub use governor::{Admission, GovernError, Governor, Refusal};
pub use operate::{Archived, EraseInFileError, erase_in_file};
pub use settings::{LedgerPlace, Retention, Settings};
