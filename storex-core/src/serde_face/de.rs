//! From a record to a struct.

use serde::de::value::{
    MapAccessDeserializer, SeqDeserializer, StrDeserializer, StringDeserializer,
};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::Message;
use crate::error::{Error, Result};
use crate::json::format_moment;
use crate::record::Record;
use crate::schema::{Collection, Field, FieldType};
use crate::value::Value;

/// The struct of a record that holds the fields at the given positions.
pub(crate) fn from_record<T: DeserializeOwned>(
    collection: &Collection,
    selected: &[usize],
    record: &Record,
) -> Result<T> {
    let seen;
    let record = if collection.has_custom() {
        seen = seen_record(collection, selected, record)?;
        &seen
    } else {
        record
    };
    let fields = selected.iter().zip(record.values()).filter_map(|(at, value)| {
        let field = collection.fields().get(*at)?.seen();
        Some(FieldValue { field, value })
    });
    T::deserialize(MapAccessDeserializer::new(Fields { rest: fields, current: None })).map_err(
        |message: Message| {
            Error::invalid(
                collection.name(),
                format!("an object in the database does not fit the struct: {}", message.0),
            )
        },
    )
}

/// A record as the application sees it.
pub(crate) fn seen_record(
    collection: &Collection,
    selected: &[usize],
    record: &Record,
) -> Result<Record> {
    let values = selected.iter().zip(record.values()).map(|(at, value)| {
        match collection.fields().get(*at) {
            Some(field) => collection.seen_value(field, value),
            None => Ok(value.clone()),
        }
    });
    values.collect::<Result<Vec<_>>>().map(Record::new)
}

/// The fields of a record as the entries of a map.
struct Fields<'a, I> {
    rest: I,
    current: Option<FieldValue<'a>>,
}

impl<'a, 'de, I: Iterator<Item = FieldValue<'a>>> MapAccess<'de> for Fields<'a, I> {
    type Error = Message;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Message> {
        self.current = self.rest.next();
        match self.current {
            Some(current) => {
                let name: StrDeserializer<'_, Message> = (*current.field.name).into_deserializer();
                seed.deserialize(name).map(Some)
            }
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Message> {
        let Some(current) = self.current.take() else {
            return Err(de::Error::custom("a value is asked for before its name"));
        };
        seed.deserialize(current)
            .map_err(|message| Message(format!("field `{}`: {}", current.field.name, message.0)))
    }
}

#[derive(Clone, Copy)]
pub(super) struct FieldValue<'a> {
    pub(super) field: &'a Field,
    pub(super) value: &'a Value,
}

impl FieldValue<'_> {
    fn moment(self) -> Option<String> {
        match self.value {
            Value::Timestamp(at) => Some(format_moment(*at)),
            _ => None,
        }
    }

    /// The text of a key kept as 16 bytes.
    fn uuid_text(self) -> Option<String> {
        match (&self.field.field_type, self.value) {
            (FieldType::AutoPk(_) | FieldType::ForeignKey(_), Value::Bytes(bytes)) => {
                uuid::Uuid::from_slice(bytes).ok().map(|uuid| uuid.hyphenated().to_string())
            }
            _ => None,
        }
    }
}

impl<'de> Deserializer<'de> for FieldValue<'_> {
    type Error = Message;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Message> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(bool) => visitor.visit_bool(*bool),
            Value::Int(int) => visitor.visit_i64(*int),
            Value::Float(float) => visitor.visit_f64(*float),
            Value::Text(text) => visitor.visit_str(text),
            Value::Bytes(bytes) => visitor.visit_bytes(bytes),
            Value::Timestamp(at) => visitor.visit_i64(at.0),
            Value::Json(json) => {
                json.clone().deserialize_any(visitor).map_err(|error| Message(error.to_string()))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Message> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Message> {
        visitor.visit_newtype_struct(self)
    }

    /// Adopted databases keep booleans as 0 and 1.
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Message> {
        match self.value {
            Value::Int(0) => visitor.visit_bool(false),
            Value::Int(1) => visitor.visit_bool(true),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Message> {
        match self.moment().or_else(|| self.uuid_text()) {
            Some(text) => visitor.visit_string(text),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Message> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Message> {
        match self.value {
            Value::Bytes(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied())),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Message> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Message> {
        match self.value {
            Value::Text(text) => {
                let text: StringDeserializer<Message> = text.clone().into_deserializer();
                text.deserialize_enum(name, variants, visitor)
            }
            Value::Json(json) => json
                .clone()
                .deserialize_enum(name, variants, visitor)
                .map_err(|error| Message(error.to_string())),
            _ => Err(de::Error::custom(format!("{} is no enum", self.value.kind()))),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple_struct map
        struct identifier ignored_any
    }
}
