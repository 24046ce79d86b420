//! How far a follower of the journal has come, and what it could not deliver. Plain data; who follows, and
//! where these are kept, is not known here.

/// How far a follower of the journal has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    /// Everything up to this entry has been delivered.
    pub through: u64,
    /// The first entry that has to be read again after a restart, since what it began is not over.
    pub from: u64,
}

/// Records that a destination would not take, for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Which follower.
    pub follower: String,
    /// The request held what the journal says after this entry …
    pub after: u64,
    /// … and up to this one.
    pub through: u64,
    /// The first entry that has to be read to tell them again: what is told may have begun before them.
    pub from: u64,
    /// How many records were rejected.
    pub records: u64,
    /// Why: in our words, and in the destination's where the request named no person.
    pub reason: String,
    /// Whether somebody wants it to be sent again.
    pub again: bool,
}
