//! A part of a source that moves along it: what has been read and not been used, and no more.
//!
//! It grows as far as somebody asks it to, so whoever asks sets the bound. A source that fails has ended; the failure
//! is kept.

use std::io::{self, Read};

/// The window.
pub struct Window<'s> {
    source: Box<dyn Read + 's>,
    bytes: Vec<u8>,
    /// What is to be used stands between these two.
    start: usize,
    end: usize,
    /// How much was used before.
    offset: u64,
    is_done: bool,
    error: Option<io::Error>,
}

/// So much is read at once.
const CHUNK: usize = 256 << 10;

impl<'s> Window<'s> {
    /// At the beginning of a source.
    pub fn new(source: Box<dyn Read + 's>) -> Self {
        Self { source, bytes: Vec::new(), start: 0, end: 0, offset: 0, is_done: false, error: None }
    }

    /// On a source that has failed already.
    pub fn broken(error: io::Error) -> Self {
        Self { is_done: true, error: Some(error), ..Self::new(Box::new(io::empty())) }
    }

    /// What was read and has not been used.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Where [`rest`](Self::rest) begins in the source.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// How far the source was read.
    pub fn reached(&self) -> u64 {
        self.offset + self.rest().len() as u64
    }

    /// The source has been read to its end, or as far as it can be.
    pub const fn is_done(&self) -> bool {
        self.is_done
    }

    /// Why it cannot be read to its end.
    pub const fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    /// Reads on until there are so many bytes, or the source ends. Says whether they are there.
    pub fn want(&mut self, bytes: usize) -> bool {
        while self.rest().len() < bytes && self.more() {}
        self.rest().len() >= bytes
    }

    /// Reads on, if there is more.
    pub fn more(&mut self) -> bool {
        if self.is_done {
            return false;
        }
        if self.end == self.bytes.len() {
            self.make_room();
        }
        let space = self.bytes.get_mut(self.end..).unwrap_or_default();
        loop {
            match self.source.read(space) {
                Ok(0) => self.is_done = true,
                Ok(length) => {
                    self.end += length;
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.is_done = true;
                    self.error = Some(error);
                }
            }
            return false;
        }
    }

    /// Goes past bytes that were used.
    pub fn skip(&mut self, bytes: usize) {
        let bytes = bytes.min(self.end - self.start);
        self.start += bytes;
        self.offset += bytes as u64;
    }

    fn make_room(&mut self) {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        // Half of it at least is free afterwards, so that moving stays cheap.
        if self.bytes.len() < 2 * self.end + CHUNK {
            self.bytes.resize(2 * self.end + CHUNK, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time, and then fails.
    struct Trickle(usize);

    impl Read for Trickle {
        fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("torn"));
            }
            let length = self.0.min(3).min(space.len());
            space[..length].fill(7);
            self.0 -= length;
            Ok(length)
        }
    }

    #[test]
    fn a_window_grows_with_what_is_asked_of_it_and_not_with_its_source() {
        let mut window = Window::new(Box::new(io::repeat(7).take(64 << 20)));
        let mut used = 0;
        while window.want(1000) {
            window.skip(1000);
            used += 1000;
        }
        assert_eq!(used + window.rest().len(), 64 << 20);
        assert!(window.bytes.len() <= 2 * CHUNK, "{}", window.bytes.len());
    }

    #[test]
    fn what_came_before_a_failure_can_be_used() {
        let mut window = Window::new(Box::new(Trickle(10)));
        assert!(window.want(4));
        window.skip(4);
        assert!(window.error().is_none());
        assert!(!window.want(7));
        assert_eq!((window.rest(), window.offset(), window.reached()), (&[7; 6][..], 4, 10));
        assert!(window.is_done() && window.error().is_some());
        window.skip(100);
        assert_eq!((window.rest().len(), window.offset()), (0, 10));
    }
}
