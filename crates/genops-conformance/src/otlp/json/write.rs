//! Messages of Protocol Buffers written from JSON. A value that does not fit is left out, and flaws its message.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::de::{IgnoredAny, MapAccess, SeqAccess};

use super::any::{Any, Name, Reader, Scalar, pass_items, pass_members};
use super::shape::{Kind, Member, Shape};
use crate::otlp::wire::{put_bytes, put_fixed32, put_fixed64, put_uint, put_varint};

/// The message that is being written.
#[derive(Default)]
pub struct Out {
    pub bytes: Vec<u8>,
    /// Something of it could not be turned.
    pub is_flawed: bool,
    /// It was an object at all.
    pub is_object: bool,
}

impl Out {
    /// Begins another one.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.is_flawed = false;
        self.is_object = false;
    }

    /// Writes the length of a message over the byte that was kept for it at `start`.
    fn close(&mut self, start: usize) {
        let length = self.bytes.len().saturating_sub(start + 1);
        match (u8::try_from(length), self.bytes.get_mut(start)) {
            (Ok(short @ ..0x80), Some(place)) => *place = short,
            _ => {
                let mut prefix = Vec::with_capacity(5);
                put_varint(&mut prefix, length as u64);
                self.bytes.splice(start..=start, prefix);
            }
        }
    }
}

/// Messages within messages are followed so far, which stays below the recursion limit of the JSON reader: what is
/// deeper flaws its record, and costs no other.
const DEPTH_MAX: usize = 48;

/// A whole message.
pub struct Whole<'o> {
    pub shape: &'static Shape,
    pub out: &'o mut Out,
}

impl<'de> Reader<'de> for Whole<'_> {
    fn object<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        self.out.is_object = true;
        write_members(self.shape, self.out, 0, members)
    }

    fn array<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        self.out.is_flawed = true;
        pass_items(items)
    }

    fn scalar(self, scalar: Scalar<'_>) {
        self.out.is_flawed |= !matches!(scalar, Scalar::Null);
    }
}

fn write_members<'de, A: MapAccess<'de>>(
    shape: &Shape,
    out: &mut Out,
    depth: usize,
    mut members: A,
) -> Result<(), A::Error> {
    while let Some(member) = members.next_key_seed(Name(|name: &str| shape.member(name)))? {
        match member {
            Some(Member(_, number, kind)) => {
                let field = Field { number: *number, kind: *kind, out: &mut *out, depth, is_item: false };
                members.next_value_seed(Any(field))?;
            }
            None => drop(members.next_value::<IgnoredAny>()?),
        }
    }
    Ok(())
}

/// A field that is to be written.
struct Field<'o> {
    number: u64,
    kind: Kind,
    out: &'o mut Out,
    depth: usize,
    /// It stands in an array, where null is not allowed.
    is_item: bool,
}

impl<'de> Reader<'de> for Field<'_> {
    fn object<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        let Kind::Message(shape) = self.kind else {
            self.out.is_flawed = true;
            return pass_members(members);
        };
        if self.depth >= DEPTH_MAX {
            self.out.is_flawed = true;
            return pass_members(members);
        }
        put_varint(&mut self.out.bytes, self.number << 3 | 2);
        let start = self.out.bytes.len();
        self.out.bytes.push(0);
        write_members(shape, self.out, self.depth + 1, members)?;
        self.out.close(start);
        Ok(())
    }

    fn array<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Kind::Each(shape) = self.kind else {
            self.out.is_flawed = true;
            return pass_items(items);
        };
        loop {
            let kind = Kind::Message(shape);
            let item =
                Field { number: self.number, kind, out: &mut *self.out, depth: self.depth, is_item: true };
            if items.next_element_seed(Any(item))?.is_none() {
                return Ok(());
            }
        }
    }

    fn scalar(mut self, scalar: Scalar<'_>) {
        let is_absent = matches!(scalar, Scalar::Null) && !self.is_item;
        if !is_absent && self.write(scalar).is_none() {
            self.out.is_flawed = true;
        }
    }
}

impl Field<'_> {
    /// Writes a value, if it fits.
    fn write(&mut self, scalar: Scalar<'_>) -> Option<()> {
        let (number, out) = (self.number, &mut self.out.bytes);
        match self.kind {
            Kind::Text => put_bytes(out, number, scalar.text()?.as_bytes()),
            Kind::Id => put_id(out, number, scalar.text()?),
            Kind::Bytes => put_bytes(out, number, &base64(scalar.text()?)?),
            Kind::Bool => put_uint(out, number, u64::from(scalar.bool()?)),
            Kind::Uint => put_uint(out, number, scalar.unsigned()?),
            Kind::Int => put_uint(out, number, scalar.signed()?.cast_unsigned()),
            Kind::Double => put_fixed64(out, number, scalar.double()?.to_bits()),
            Kind::Fixed64 => put_fixed64(out, number, scalar.unsigned()?),
            Kind::Fixed32 => put_fixed32(out, number, u32::try_from(scalar.unsigned()?).ok()?),
            Kind::Message(_) | Kind::Each(_) => return None,
        }
        Some(())
    }
}

/// Writes an identifier: its bytes, of whatever number. What is not hexadecimal is kept as it stands in quotation
/// marks, so that it is seen and never has the length of an identifier.
fn put_id(out: &mut Vec<u8>, number: u64, text: &str) {
    let start = out.len();
    put_varint(out, number << 3 | 2);
    put_varint(out, (text.len() / 2) as u64);
    let mut is_hex = text.len().is_multiple_of(2);
    for pair in text.as_bytes().chunks_exact(2) {
        match pair {
            [high, low] if is_hex => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => out.push(high << 4 | low),
                _ => is_hex = false,
            },
            _ => break,
        }
    }
    if !is_hex {
        out.truncate(start);
        let mut shown = format!("\"{text}\"");
        while matches!(shown.len(), 8 | 16) {
            shown.push('?');
        }
        put_bytes(out, number, shown.as_bytes());
    }
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Bytes in base64, of either alphabet, padded or not.
fn base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}
