//! The pure domain of genops: what an AI workload is, what it may cost, whether it may run, and what
//! the books say afterwards.
//!
//! Everything here is a function of its arguments. There is no clock, no randomness, no input or output,
//! no float before the last conversion, and no order taken from a hash map; so the same commands give the
//! same bytes, on every machine and in every year. Time, identities and state are arguments.
//!
//! In reading order:
//!
//! - [`name`], [`hex`], [`amount`], [`time`], [`period`], [`attribution`], [`awu`], [`price`]: the nouns;
//! - [`selector`], [`rule`], [`circuit`], [`rate`], [`sla`], [`budget`], [`policy`]: what can be asked of an AWU, with
//!   [`index`], which finds the rules that cover one, and [`finding`], which puts together what they say;
//! - [`admit`]: the corridor that every admission walks, what is asked and in which order;
//! - [`ledger`]: commands, outcomes, the books, [`ledger::decide`] and [`ledger::evolve`];
//! - [`audit`]: the invariants, computed a second time and in another way;
//! - [`record`], [`explanation`], [`event`] and [`news`]: what can be told about an AWU, in words and as typed facts;
//! - [`person`] and [`naming`]: customers and sessions, and the names that stand for them in all of that;
//! - [`cursor`]: how far a follower of the journal has come.

pub mod name;

pub mod hex;

mod text;

pub mod amount;

pub mod time;

pub mod period;

pub mod attribution;

pub mod awu;

pub mod price;

pub mod selector;

pub mod person;

pub mod index;

pub mod finding;

pub mod rule;

pub mod circuit;

pub mod rate;

pub mod sla;

pub mod budget;

pub mod policy;

pub mod admit;

pub mod ledger;

pub mod audit;

pub mod record;

pub mod naming;

pub mod explanation;

pub mod event;

pub mod news;

pub mod cursor;

mod digest;

pub use amount::{Amount, Quantity, Unit, UnitName};
pub use attribution::Attribution;
pub use awu::{Awu, AwuId};
pub use digest::{Digest, InvalidDigest};
pub use genops_spec as spec;
pub use name::Name;
pub use time::Timestamp;
