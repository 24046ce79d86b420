//! What is needed of a journal yet, and so does not leave: by the books, by whoever follows it, and by the next start.

use crate::followers::Followers;
use crate::recover::Replayed;

/// What is needed of the journal yet.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// The entry of the latest snapshot that can be used: opening the ledger begins after it.
    pub snapshot: Option<u64>,
    /// The entry that admitted the oldest AWU that is open.
    pub oldest_open: Option<u64>,
    /// The oldest entry whose idempotency key is remembered: whoever asks again is told what it says.
    pub oldest_remembered: Option<u64>,
    /// The first entry that the query tables read yet; `None` where nobody asks what they have.
    pub tables: Option<u64>,
    /// The first entry that each follower reads yet, for what is new or for a dead letter.
    pub followers: Vec<(String, u64)>,
}

impl Needs {
    /// What is needed where the journal comes to this, with a snapshot of it, and followers have come so far.
    #[must_use]
    pub fn of(replayed: &Replayed, followers: &Followers) -> Self {
        let first = |from: u64, through: u64| if from == 0 { through.saturating_add(1) } else { from };
        let cursors = followers.cursors.iter();
        let cursors = cursors.map(|(name, cursor)| (name.clone(), first(cursor.from, cursor.through)));
        let letters = followers.dead_letters.iter();
        let letters = letters.map(|letter| (letter.follower.clone(), first(letter.from, letter.after)));
        let books = &replayed.books;
        Self {
            snapshot: Some(replayed.snapshot).filter(|entry| *entry > 0),
            oldest_open: books.open_awus().first().map(|(_, open)| open.admitted),
            oldest_remembered: books.oldest_remembered(books.at()),
            tables: None,
            followers: cursors.chain(letters).collect(),
        }
    }

    /// The last entry that nobody needs; 0 where every one is needed.
    #[must_use]
    pub fn spare(&self) -> u64 {
        let followers = self.followers.iter().map(|(_, first)| first.saturating_sub(1));
        let entries = [self.oldest_open, self.oldest_remembered, self.tables].into_iter().flatten();
        let entries = entries.map(|first| first.saturating_sub(1));
        followers.chain(entries).fold(self.snapshot.unwrap_or_default(), u64::min)
    }

    /// Says whether the entries through `through` may leave.
    ///
    /// # Errors
    ///
    /// Who needs one of them, and how far it may go.
    pub fn allow(&self, through: u64) -> Result<(), Needed> {
        let spare = self.spare();
        let needed = |by| Err(Needed { through, by, spare });
        if let Some(admitted) = self.oldest_open.filter(|admitted| *admitted <= through) {
            return needed(format!("an AWU is open that entry {admitted} admitted"));
        }
        if let Some(first) = self.oldest_remembered.filter(|first| *first <= through) {
            return needed(format!("the idempotency key of entry {first} is remembered"));
        }
        if let Some(first) = self.tables.filter(|first| *first <= through) {
            return needed(format!("the query tables are made from entry {first} on yet"));
        }
        if let Some((name, first)) = self.followers.iter().find(|(_, first)| *first <= through) {
            return needed(format!(
                "`{name}` has delivered what comes before entry {first} and no more; if nothing is sent there any more, let go \
                 of it with `genops telemetry forget --follower \"{name}\"`"
            ));
        }
        match self.snapshot {
            Some(snapshot) if snapshot >= through => Ok(()),
            Some(snapshot) => needed(format!("the latest snapshot is of entry {snapshot}")),
            None => needed("there is no snapshot".into()),
        }
    }
}

/// Somebody needs the entries yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the entries through {through} are needed yet: {by}; {}", self.advice())]
pub struct Needed {
    /// What was to leave.
    pub through: u64,
    /// Who needs it.
    pub by: String,
    /// The last entry that may leave; 0 for none.
    pub spare: u64,
}

impl Needed {
    fn advice(&self) -> String {
        match self.spare {
            0 => "none may leave now".to_owned(),
            spare => format!("those through {spare} may leave"),
        }
    }
}
