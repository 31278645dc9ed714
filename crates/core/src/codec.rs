//! The one compact encoding of everything that is stored or hashed: CBOR (RFC 8949) arrays of
//! numbered fields. A field is added at the end as an `Option`; a number is never reused. Equal
//! values have equal bytes, so hashes are taken over them.

use minicbor::{Decode, Decoder, Encode};

/// Bytes that do not decode as the expected type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot decode {what}: {why}")]
pub struct CodecError {
    /// The expected type.
    pub what: &'static str,
    /// What the decoder met.
    pub why: String,
}

/// The bytes of a value.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    minicbor::encode(value, &mut out).expect("writing to memory does not fail");
    out
}

/// The value of some bytes, all of which must be used.
pub fn decode<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, CodecError> {
    let what = std::any::type_name::<T>();
    let mut decoder = Decoder::new(bytes);
    let value = decoder.decode().map_err(|e| CodecError { what, why: e.to_string() })?;
    if decoder.position() == bytes.len() {
        Ok(value)
    } else {
        Err(CodecError { what, why: format!("{} bytes left over", bytes.len() - decoder.position()) })
    }
}

pub(crate) fn fixed<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], minicbor::decode::Error> {
    d.bytes()?.try_into().map_err(|_| minicbor::decode::Error::message("a byte string of another length was expected"))
}
