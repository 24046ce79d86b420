//! The governed gateway: callers speak the provider's own protocol, and every call is decided, reserved
//! before it runs, metered and settled on the way.
//!
//! Absent from here: arithmetic on money, rules about who may what (both in `genops-core`), the disk
//! (`genops-ledger`), and what the process is started with (`genops-cli`).
//!
//! In reading order: [`governed`] (the corridor that every call walks), [`identity`] (who asks), [`call`]
//! (what is asked, and the most it can use), [`assess`] (conditions, and what a prompt holds), [`describe`] (all of that together), [`attempts`] (when to
//! try again, and what), [`provider`] (asking), [`stream`] (a
//! streamed answer on its way) with [`meter`] (reading beside it), [`usage`], [`answer`] (how the caller is
//! told), [`server`] and [`api`] (routes), [`setup`] (what a gateway is set up with, and changing it while it
//! runs), [`config`] (what is written in `genops.yaml`), [`prices`] (the table
//! of prices), [`stand_in`] (a model for
//! demonstrations and tests).

pub mod governed;

pub mod identity;

pub mod call;

pub mod assess;

pub mod describe;

pub mod attempts;

pub mod provider;

pub mod stream;

mod to_its_end;

pub mod meter;

pub mod usage;

pub mod answer;

pub mod server;

pub mod api;

pub mod setup;

pub mod config;

pub mod prices;

pub mod stand_in;

pub use config::Config;
pub use server::Gateway;
