//! What admission decides, as tables: a table for each kind of rule, and the order of the questions pairwise.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod alerts;
mod budgets;
mod ceilings;
mod facts;
mod lives;
mod periods;
mod precedence;
mod shares;
mod traffic;
mod world;
