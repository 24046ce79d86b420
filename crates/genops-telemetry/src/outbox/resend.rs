//! Sending dead letters again: each entry that they tell of once, whole, in as many requests as it takes now.
//!
//! Who wants that, and where they are kept, is not known here; nor is what is told of the journal for the first time.

use std::time::Duration;

use genops_core::cursor::{Cursor, DeadLetter};
use tokio::time::Instant;

use super::{Follower, RETRY, Sent, asked_for};
use crate::parcel::Parcel;
use crate::walk::Walk;

/// What came of sending a dead letter again.
enum Resent {
    /// All of it was sent, and this was rejected again.
    All(Vec<DeadLetter>),
    /// It stays to be sent: not before so long, and why.
    Later(Option<Duration>, String),
    /// It stays to be sent: the outbox closes.
    Closing,
}

/// Dead letters that tell of the same entries as one that tells of all of theirs, with the numbers of them: an entry that was
/// too much for a request has one for each part of it.
fn together(mut letters: Vec<(u64, DeadLetter)>) -> Vec<(Vec<u64>, DeadLetter)> {
    letters.sort_by_key(|(_, letter)| letter.after);
    let mut together: Vec<(Vec<u64>, DeadLetter)> = Vec::new();
    for (number, letter) in letters {
        match together.last_mut() {
            Some((numbers, all)) if letter.after < all.through => {
                numbers.push(number);
                all.through = all.through.max(letter.through);
                all.from = all.from.min(letter.from);
            }
            _ => together.push((vec![number], letter)),
        }
    }
    together
}

impl Follower {
    /// Whether dead letters are to be looked for now, and the pause if they cannot be taken.
    pub(super) fn is_to_resend(&mut self) -> Option<Duration> {
        if self.hears.resends.has_changed().unwrap_or(false) {
            self.hears.resends.mark_unchanged();
            return Some(RETRY.0);
        }
        self.resend.filter(|(at, _)| *at <= Instant::now()).map(|(_, pause)| pause)
    }

    /// Sends dead letters again. Where the collector cannot take one now, it and the rest wait for `pause`, and
    /// what is new does not wait for them.
    pub(super) async fn resend(&mut self, pause: Duration) -> Result<(), String> {
        self.resend = None;
        let (mut taken, mut rejected, mut why) = (0, 0, String::new());
        for (numbers, letter) in together(self.source.to_resend(&self.name)?) {
            match self.resend_one(&letter).await? {
                Resent::All(rest) => {
                    self.source.resent(&numbers, &rest)?;
                    match rest.last() {
                        None => taken += numbers.len(),
                        Some(last) => {
                            rejected += numbers.len();
                            why = format!(", {rejected} rejected again: {}", last.reason);
                        }
                    }
                }
                Resent::Later(after, reason) => {
                    if pause == RETRY.0 {
                        self.tell(&format!("dead letters wait to be sent again: {reason}"));
                    }
                    let next = (pause * 2).min(RETRY.1);
                    self.resend = Some((Instant::now() + asked_for(after, pause), next));
                    break;
                }
                Resent::Closing => break,
            }
        }
        if taken + rejected > 0 {
            self.tell(&format!("dead letters were sent again: {taken} taken{why}"));
        }
        Ok(())
    }

    /// Sends what a dead letter tells, in as many requests as it takes now.
    async fn resend_one(&mut self, letter: &DeadLetter) -> Result<Resent, String> {
        let mut walk = Walk::from(self.signal, Cursor { through: letter.after, from: letter.from });
        let mut rejected = Vec::new();
        while let Some(parcel) = Parcel::gather(
            &mut walk,
            &self.way,
            &mut *self.entries,
            &self.erasures,
            &self.resource,
            self.request_bytes_max,
            letter.through,
        )? {
            if self.is_closing() {
                return Ok(Resent::Closing);
            }
            match self.send(&parcel).await {
                Sent::Taken => (walk.cursor, walk.part) = (parcel.cursor, parcel.part),
                Sent::Rejected(records, reason) => {
                    (walk.cursor, walk.part) = (parcel.cursor, parcel.part);
                    rejected.push(self.letter(&parcel, records, reason));
                }
                Sent::Smaller | Sent::Outdated => walk.go_back(),
                Sent::Later(after, reason) => return Ok(Resent::Later(after, reason)),
            }
        }
        Ok(Resent::All(rejected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_tell_of_the_same_entries_are_sent_together_and_others_by_themselves() {
        let letter = |from, after, through| DeadLetter {
            follower: "f".into(),
            after,
            through,
            from,
            records: 1,
            reason: "no".into(),
            again: true,
        };
        type Range = (u64, u64, u64);
        type Sent = (&'static [u64], Range);
        // From where they are read, after which entry and through which one they tell; and what is sent for which of them.
        let cases: [(&[Range], &[Sent]); 6] = [
            (&[], &[]),
            (&[(1, 0, 3), (4, 3, 5)], &[(&[0], (1, 0, 3)), (&[1], (4, 3, 5))]),
            (&[(4, 3, 4), (4, 3, 4), (4, 3, 4)], &[(&[0, 1, 2], (4, 3, 4))]),
            // The first part comes with what is before the entry, the last one with what is behind it.
            (&[(1, 0, 4), (4, 3, 4), (4, 3, 9)], &[(&[0, 1, 2], (1, 0, 9))]),
            // In any order, and where one stands in another.
            (&[(2, 5, 6), (2, 3, 9), (9, 9, 10)], &[(&[1, 0], (2, 3, 9)), (&[2], (9, 9, 10))]),
            // One of a version that did not know from where it is read.
            (&[(2, 3, 6), (0, 4, 6)], &[(&[0, 1], (0, 3, 6))]),
        ];
        for (letters, expected) in cases {
            let numbered =
                (0..).zip(letters.iter().map(|(from, after, through)| letter(*from, *after, *through)));
            let sent = together(numbered.collect());
            let sent: Vec<_> = sent
                .iter()
                .map(|(numbers, all)| (numbers.as_slice(), (all.from, all.after, all.through)))
                .collect();
            assert_eq!(sent, expected);
        }
    }
}
