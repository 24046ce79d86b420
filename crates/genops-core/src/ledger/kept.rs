//! The books as plain data, so that they can be kept and read back: the same books give the same bytes.
//!
//! What follows from the rest is left out and worked out again. Where the bytes are kept is not known here.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::act::Grant;
use super::books::{Books, OpenAwu};
use super::cell::{Cell, CellId};
use super::cells::CellRange;
use super::idempotency::Remembered;
use super::traffic::Traffic;
use crate::awu::AwuId;
use crate::policy::Policy;
use crate::time::Timestamp;

/// The parts of the books, in an order of their own.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    pub sequence: u64,
    pub at: Timestamp,
    pub policy: Arc<Policy>,
    pub cells: Vec<Cell>,
    /// Those of the cells, in their order.
    pub numbers: Vec<CellRange>,
    pub next_cell: CellId,
    /// In the order of admission.
    pub open: Vec<(AwuId, OpenAwu)>,
    pub traffic: Traffic,
    pub remembered: Remembered,
    pub grants: Vec<(u64, Arc<Grant>)>,
}

impl Serialize for Books {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.keep().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Books {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Kept::deserialize(deserializer).map(Self::from)
    }
}

/// For a hash map as a list in the order of its keys.
pub mod in_order {
    use std::collections::HashMap;
    use std::hash::Hash;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<K: Serialize + Ord, V: Serialize, S: Serializer>(
        map: &HashMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut listed: Vec<_> = map.iter().collect();
        listed.sort_unstable_by_key(|(key, _)| *key);
        serializer.collect_seq(listed)
    }

    pub fn deserialize<'de, K, V, D>(deserializer: D) -> Result<HashMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Eq + Hash,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}
