//! The little of Protocol Buffers' wire format that OTLP needs, appended to a growing buffer.
//!
//! Nothing here knows a message type. Reading is limited to what a collector's answer needs.

/// How many bytes a varint takes.
pub const fn varint_len(value: u64) -> usize {
    let mut length = 1;
    let mut rest = value >> 7;
    while rest > 0 {
        length += 1;
        rest >>= 7;
    }
    length
}

/// How many bytes a field below 16 takes that holds so many bytes of text, bytes or a message.
pub const fn field_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

/// Appends fields to a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A writer with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// Everything written so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How much has been written.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The key and the length of a message whose content follows from elsewhere.
    pub fn message_head(&mut self, field: u32, length: usize) {
        self.key(field, 2);
        varint(&mut self.bytes, length as u64);
    }

    /// Fields that were written elsewhere.
    pub fn append(&mut self, fields: &[u8]) {
        self.bytes.extend_from_slice(fields);
    }

    /// An unsigned integer, as a varint.
    pub fn uint(&mut self, field: u32, value: u64) {
        self.key(field, 0);
        varint(&mut self.bytes, value);
    }

    /// A signed 64-bit integer, as a varint of its two's complement.
    pub fn int64(&mut self, field: u32, value: i64) {
        self.uint(field, value.cast_unsigned());
    }

    /// Eight bytes, little endian.
    pub fn fixed64(&mut self, field: u32, value: u64) {
        self.key(field, 1);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A double.
    pub fn double(&mut self, field: u32, value: f64) {
        self.fixed64(field, value.to_bits());
    }

    /// Four bytes, little endian.
    pub fn fixed32(&mut self, field: u32, value: u32) {
        self.key(field, 5);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Text or bytes.
    pub fn bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, 2);
        varint(&mut self.bytes, value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// A message inside this one that is mostly shorter than 128 bytes.
    pub fn message(&mut self, field: u32, fields: impl FnOnce(&mut Self)) {
        self.nested::<1>(field, fields);
    }

    /// A message inside this one that mostly takes 128 bytes to 16 KiB.
    pub fn long_message(&mut self, field: u32, fields: impl FnOnce(&mut Self)) {
        self.nested::<2>(field, fields);
    }

    /// Leaves `N` bytes for the length, which is known only afterwards; where it takes more or fewer, the
    /// content moves.
    fn nested<const N: usize>(&mut self, field: u32, fields: impl FnOnce(&mut Self)) {
        self.key(field, 2);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; N]);
        fields(self);
        let length = self.bytes.len() - start - N;
        let mut prefix = Prefix::default();
        prefix.varint(length as u64);
        match self.bytes.get_mut(start..start + N) {
            Some(space) if prefix.as_slice().len() == N => space.copy_from_slice(prefix.as_slice()),
            _ => drop(self.bytes.splice(start..start + N, prefix.as_slice().iter().copied())),
        }
    }

    fn key(&mut self, field: u32, wire_type: u32) {
        varint(&mut self.bytes, u64::from(field << 3 | wire_type));
    }
}

/// The fields of a message, as far as they are varints or length-delimited; `None` at the first byte that
/// is no field.
pub fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = read_varint(&mut bytes)?;
        let field = match key & 7 {
            0 => Field::Varint(read_varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(read_varint(&mut bytes)?).ok()?;
                let (content, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Field::Bytes(content)
            }
            _ => return None,
        };
        fields.push((key >> 3, field));
    }
    Some(fields)
}

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// An integer.
    Varint(u64),
    /// Text, bytes or a message.
    Bytes(&'a [u8]),
}

/// A varint, without a place of its own on the heap.
#[derive(Default)]
struct Prefix {
    bytes: [u8; 10],
    length: usize,
}

impl Prefix {
    fn varint(&mut self, mut value: u64) {
        for (place, byte) in self.bytes.iter_mut().enumerate() {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            *byte = if value == 0 { low & 0x7f } else { low | 0x80 };
            self.length = place + 1;
            if value == 0 {
                return;
            }
        }
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

fn varint(bytes: &mut Vec<u8>, value: u64) {
    // Keys, and most lengths.
    if let Ok(byte @ ..0x80) = u8::try_from(value) {
        return bytes.push(byte);
    }
    let mut prefix = Prefix::default();
    prefix.varint(value);
    bytes.extend_from_slice(prefix.as_slice());
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = Writer::default();
        writer.uint(1, 300);
        let long = vec![7; 200];
        writer.message(2, |inner| inner.bytes(3, &long));
        let bytes = writer.into_bytes();
        let outer = fields(&bytes).unwrap();
        assert_eq!(outer[0], (1, Field::Varint(300)));
        let (2, Field::Bytes(inner)) = outer[1] else { panic!("{outer:?}") };
        assert_eq!(fields(inner).unwrap(), [(3, Field::Bytes(&long))]);
    }

    #[test]
    fn bytes_that_are_no_fields_are_none() {
        for bad in [&[0x0a_u8, 0x05, 0x01][..], &[0xff; 11], &[0x0d, 0, 0, 0, 0]] {
            assert_eq!(fields(bad), None, "{bad:?}");
        }
    }
}
