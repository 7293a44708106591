//! From an object with its related objects to a struct.

use serde::de::value::{MapAccessDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::Message;
use super::de::FieldValue;
use crate::error::{Error, Result};
use crate::fetch::{Branch, Tree};

/// The struct of an object with its related objects.
pub(crate) fn from_tree<T: DeserializeOwned>(tree: &Tree) -> Result<T> {
    let seen;
    let tree = if tree.has_custom() {
        seen = tree.seen()?;
        &seen
    } else {
        tree
    };
    T::deserialize(Object(tree)).map_err(|message| {
        let reason = format!("an object in the database does not fit the struct: {}", message.0);
        Error::invalid(tree.collection().name(), reason)
    })
}

#[derive(Clone, Copy)]
struct Object<'a>(&'a Tree);

/// What is under one name.
#[derive(Clone, Copy)]
enum Entry<'a> {
    Field(FieldValue<'a>),
    Branch(&'a Branch),
}

/// Fields, and then what is related; a parent stands in the place of its key.
struct Entries<'a> {
    tree: &'a Tree,
    at: usize,
    current: Option<(&'a str, Entry<'a>)>,
}

impl<'a> Entries<'a> {
    fn next(&mut self) -> Option<(&'a str, Entry<'a>)> {
        let fields = self.tree.collection().fields();
        while let Some(field) = fields.get(self.at) {
            let value = self.tree.record().get(self.at);
            self.at += 1;
            if self.tree.branch(&field.name).is_none() {
                let field = field.seen();
                return Some((&field.name, Entry::Field(FieldValue { field, value })));
            }
        }
        let (name, branch) = self.tree.branches().nth(self.at - fields.len())?;
        self.at += 1;
        Some((name, Entry::Branch(branch)))
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Message;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Message> {
        self.current = self.next();
        let Some((name, _)) = self.current else { return Ok(None) };
        let name: serde::de::value::StrDeserializer<'_, Message> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Message> {
        let Some((name, entry)) = self.current.take() else {
            return Err(serde::de::Error::custom("a value is asked for before its name"));
        };
        let value = match entry {
            Entry::Field(value) => seed.deserialize(value),
            Entry::Branch(branch) => seed.deserialize(Related(branch)),
        };
        value.map_err(|message| Message(format!("field `{name}`: {}", message.0)))
    }
}

impl<'de> Deserializer<'de> for Object<'_> {
    type Error = Message;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Message> {
        let entries = Entries { tree: self.0, at: 0, current: None };
        MapAccessDeserializer::new(entries).deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Message> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Message> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl IntoDeserializer<'_, Message> for Object<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

struct Related<'a>(&'a Branch);

impl<'de> Deserializer<'de> for Related<'_> {
    type Error = Message;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Message> {
        match self.0 {
            Branch::One(None) => visitor.visit_unit(),
            Branch::One(Some(tree)) => Object(tree).deserialize_any(visitor),
            Branch::Many(trees) => {
                visitor.visit_seq(SeqDeserializer::new(trees.iter().map(Object)))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Message> {
        match self.0 {
            Branch::One(None) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Message> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
