//! Values by number, each kept once.
//!
//! Nothing is ever forgotten; whoever adds says how many there may be.

use foldhash::{HashMap, HashMapExt as _};
use std::hash::Hash;
use std::sync::Arc;

/// Different values, in the order in which they came.
#[derive(Debug)]
pub struct Distinct<T> {
    all: Vec<Arc<T>>,
    places: HashMap<Arc<T>, u32>,
}

impl<T: Hash + Eq> Distinct<T> {
    /// The number of a value, a new one if it is new. `None` if there are `max` others already.
    pub fn place_of(&mut self, value: T, max: usize) -> Option<u32> {
        if let Some(place) = self.places.get(&value) {
            return Some(*place);
        }
        let place = u32::try_from(self.all.len()).ok().filter(|_| self.all.len() < max)?;
        let value = Arc::new(value);
        self.all.push(Arc::clone(&value));
        self.places.insert(value, place);
        Some(place)
    }

    /// The value with a number.
    pub fn get(&self, place: u32) -> Option<&T> {
        self.all.get(usize::try_from(place).ok()?).map(AsRef::as_ref)
    }
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self { all: Vec::new(), places: HashMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_its_number_and_no_more_are_kept_than_may_be() {
        let mut distinct = Distinct::default();
        let places: Vec<_> = ["a", "b", "a", "c", "b"].map(|value| distinct.place_of(value, 2)).to_vec();
        assert_eq!(places, [Some(0), Some(1), Some(0), None, Some(1)]);
        assert_eq!((distinct.get(0), distinct.get(1), distinct.get(2)), (Some(&"a"), Some(&"b"), None));
    }
}
