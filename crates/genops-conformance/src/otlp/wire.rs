//! The wire format of Protocol Buffers, read without copying: one field after the other, unknown ones included.
//!
//! It knows no message type and allocates nothing, so nothing in its input can make it grow.

/// A field's value, as the wire has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1, little endian.
    Fixed64(u64),
    /// Wire type 2: text, bytes or a message.
    Bytes(&'a [u8]),
    /// Wire type 5, little endian.
    Fixed32(u32),
}

/// The fields of a message. It ends at the first byte that is no field, with [`Broken`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// The bytes are no message from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes break off, or are no Protocol Buffers message")]
pub struct Broken;

impl<'a> Fields<'a> {
    /// The fields of a message.
    #[must_use]
    pub const fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// What has not been read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// In line everywhere: most of what is read passes here, field by field.
    #[inline(always)]
    fn read(&mut self) -> Option<(u64, Field<'a>)> {
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(*self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (content, rest) = self.rest.split_at_checked(length)?;
                self.rest = rest;
                Field::Bytes(content)
            }
            5 => Field::Fixed32(u32::from_le_bytes(*self.array()?)),
            // Groups, which nobody has written for a long time.
            _ => return None,
        };
        Some((key >> 3, field))
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(bytes)
    }

    #[inline(always)]
    fn varint(&mut self) -> Option<u64> {
        let (first, rest) = self.rest.split_first()?;
        if *first < 0x80 {
            self.rest = rest;
            return Some(u64::from(*first));
        }
        self.long_varint()
    }

    /// Out of line: keys and lengths mostly fit one byte.
    #[inline(never)]
    fn long_varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for (place, byte) in self.rest.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if place == 9 && bits > 1 {
                return None;
            }
            value |= bits << (7 * place);
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(place + 1..)?;
                return Some(value);
            }
        }
        None
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), Broken>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read().ok_or(Broken);
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Appends a key and a length-delimited value.
pub fn put_bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a key and an integer.
pub fn put_uint(out: &mut Vec<u8>, field: u64, value: u64) {
    put_varint(out, field << 3);
    put_varint(out, value);
}

/// Appends a key and eight bytes.
pub fn put_fixed64(out: &mut Vec<u8>, field: u64, value: u64) {
    put_varint(out, field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a key and four bytes.
pub fn put_fixed32(out: &mut Vec<u8>, field: u64, value: u32) {
    put_varint(out, field << 3 | 5);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends an integer without a key.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut bytes = Vec::new();
        put_uint(&mut bytes, 1, 300);
        put_uint(&mut bytes, 2, u64::MAX);
        put_bytes(&mut bytes, 3, &[7; 200]);
        put_fixed64(&mut bytes, 4, 9);
        put_fixed32(&mut bytes, 100, 5);
        let fields: Vec<_> = Fields::of(&bytes).map(Result::unwrap).collect();
        let expected = [
            (1, Field::Varint(300)),
            (2, Field::Varint(u64::MAX)),
            (3, Field::Bytes(&[7; 200])),
            (4, Field::Fixed64(9)),
            (100, Field::Fixed32(5)),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn what_is_no_message_is_told_once_and_ends_the_reading() {
        for bad in [&[0x0a_u8, 0x05, 0x01][..], &[0xff; 11], &[0x0d, 0, 0], &[0x0b], &[0x08]] {
            let fields: Vec<_> = Fields::of(bad).collect();
            assert_eq!(fields, [Err(Broken)], "{bad:?}");
        }
    }
}
