//! Reads structs from JSON objects alone.
//!
//! serde by itself takes an array of a struct's values for the struct: what the contract calls malformed would be
//! understood, by the order of fields that nobody promised. Owns the length of what is said of a text that was not read.

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{fmt, marker::PhantomData};

/// Reads `T` from an object and from nothing else.
pub fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(input: D) -> Result<T, D::Error> {
    struct Object<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<T, M::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    input.deserialize_map(Object(PhantomData))
}

/// Reads `T` from the text of an object.
pub fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> serde_json::Result<T> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = object(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// The most bytes of serde's words.
const ERROR_LIMIT: usize = 400;

/// An error's words, which may repeat a piece of the text, cut to what a log can bear.
pub(crate) fn short(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    if text.len() > ERROR_LIMIT {
        text.truncate(text.floor_char_boundary(ERROR_LIMIT));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Point {
        x: u32,
        #[serde(default)]
        y: u32,
    }

    #[test]
    fn an_object_is_taken_and_an_array_is_not() {
        assert_eq!(from_str::<Point>(r#" {"x": 3} "#).unwrap(), Point { x: 3, y: 0 });
        for (text, why) in [
            ("[3, 4]", "invalid type: sequence, expected an object"),
            ("3", "invalid type: integer `3`, expected an object"),
            (r#"{"x": 3} {}"#, "trailing characters"),
            (r#"{"y": 3}"#, "missing field `x`"),
        ] {
            let error = from_str::<Point>(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
