//! Changing a few bytes of a body that is otherwise forwarded as it came.
//!
//! Nothing here knows what the bytes mean.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;

/// Changes to one body, by their places in it.
#[derive(Debug)]
pub struct Edits<'a> {
    body: &'a Bytes,
    edits: Vec<Edit>,
}

#[derive(Debug)]
struct Edit {
    start: usize,
    end: usize,
    by: String,
}

impl<'a> Edits<'a> {
    /// None yet.
    pub const fn of(body: &'a Bytes) -> Self {
        Self { body, edits: Vec::new() }
    }

    /// Replaces a value that was read from the body.
    pub fn replace(&mut self, value: &RawValue, by: &str) {
        let start = self.place_of(value);
        self.edits.push(Edit { start, end: start + value.get().len(), by: by.to_owned() });
    }

    /// Puts a field in front of the others of an object that was read from the body.
    pub fn add_field(&mut self, object: &RawValue, name: &str, value: &str) {
        let inside = object.get().trim_start().strip_prefix('{').unwrap_or_default();
        let is_empty = inside.trim_start().starts_with('}');
        let start = self.place_of(object) + (object.get().len() - inside.len());
        self.insert(start, name, value, is_empty);
    }

    /// Puts a field in front of the others of the body itself, which is an object that is not empty.
    pub fn add_outer_field(&mut self, name: &str, value: &str) {
        let start = self.body.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
        self.insert(start, name, value, false);
    }

    fn insert(&mut self, start: usize, name: &str, value: &str, is_only: bool) {
        let comma = if is_only { "" } else { "," };
        self.edits.push(Edit { start, end: start, by: format!("\"{name}\":{value}{comma}") });
    }

    /// The body with every change made; the body itself where there is none.
    pub fn apply(mut self) -> Bytes {
        if self.edits.is_empty() {
            return self.body.clone();
        }
        // Changes at one place stay in the order in which they were asked for.
        self.edits.sort_by_key(|edit| edit.start);
        let added: usize = self.edits.iter().map(|edit| edit.by.len()).sum();
        let mut spliced = BytesMut::with_capacity(self.body.len() + added);
        let mut copied = 0;
        for Edit { start, end, by } in &self.edits {
            spliced.put_slice(self.body.get(copied..*start).unwrap_or_default());
            spliced.put_slice(by.as_bytes());
            copied = *end;
        }
        spliced.put_slice(self.body.get(copied..).unwrap_or_default());
        spliced.freeze()
    }

    /// Where a value stands in the body that it was read from.
    fn place_of(&self, value: &RawValue) -> usize {
        (value.get().as_ptr() as usize).saturating_sub(self.body.as_ptr() as usize)
    }
}
