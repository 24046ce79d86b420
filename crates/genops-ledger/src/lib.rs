//! The journal on a disk: durable, in order, chained, and read back.
//!
//! This crate keeps what [`genops_core::ledger`] decides. It owns the disk and the one thread that writes
//! to it. It decides nothing, knows no price and no policy, asks no clock, and speaks to no network.
//!
//! In reading order: [`frame`] (a batch of entries as bytes, chained), [`store`] (what a place to keep
//! frames has to promise) with its two implementations [`sqlite`], which keeps [`persons`] in a table, and [`memory`], [`ledger`] (the books
//! behind a mutex, group commit) over [`ledger::pipeline`] (its steps, one by one), [`recover`] (from frames back to books), [`export`] (a journal as text that anybody
//! can read and verify), [`source`] (a ledger file or an export of one, frame by frame), [`verify`] with [`witness`] (what
//! was noted of the journal elsewhere), [`redecide`] (every entry decided anew), [`snapshots`] (books as
//! bytes) and [`retention`] (old entries leave for an archive), [`journal`] (reading behind the
//! writer) with [`tail`] (the end of it in memory), [`views`] (tables for queries), [`followers`] (the
//! cursors of whoever follows, and what could not be delivered),
//! [`background`] (for threads that follow).

pub mod frame;

pub mod store;

pub mod sqlite;

pub mod persons;

pub mod memory;

pub mod ledger;

pub mod recover;

pub mod export;

pub mod source;

pub mod witness;

pub mod verify;

pub mod redecide;

pub mod snapshots;

pub mod retention;

pub mod differ;

pub mod journal;

pub mod tail;

pub mod views;

pub mod followers;

pub mod background;

mod sync;

pub use journal::{Journal, Journals};
pub use ledger::{Ledger, LedgerError, Posted};
pub use recover::{OpenError, open};
pub use store::{Store, StoreError};
