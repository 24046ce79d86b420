//! The little of Protocol Buffers' wire format that OTLP needs, appended to a growing buffer.
//!
//! Nothing here knows a message type. Reading is limited to what a collector's answer needs.

/// Appends fields to a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Everything written so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How much has been written.
    pub const fn len(&self) -> usize {
        self.bytes.len()
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

    /// A message inside this one.
    pub fn message(&mut self, field: u32, fields: impl FnOnce(&mut Self)) {
        self.key(field, 2);
        let start = self.bytes.len();
        // One byte for the length is nearly always enough; otherwise the content moves up.
        self.bytes.push(0);
        fields(self);
        let length = self.bytes.len() - start - 1;
        match self.bytes.get_mut(start) {
            Some(byte) if length < 0x80 => *byte = length.to_le_bytes()[0],
            _ => {
                let mut prefix = Vec::with_capacity(10);
                varint(&mut prefix, length as u64);
                self.bytes.splice(start..=start, prefix);
            }
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

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes.push(low & 0x7f);
            return;
        }
        bytes.push(low | 0x80);
    }
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
