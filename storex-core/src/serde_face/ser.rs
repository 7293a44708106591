//! From a struct to a record.

use serde::ser::{self, Impossible, Serialize};

use super::Message;
use crate::error::{Error, Result};
use crate::record::Record;
use crate::schema::{Collection, Field, FieldType, KeyFormat};
use crate::value::{Name, Timestamp, Value};

/// The record of a struct (or map). Fields that are not given have their default.
pub(crate) fn to_record<T: Serialize + ?Sized>(
    collection: &Collection,
    now: Timestamp,
    object: &T,
) -> Result<Record> {
    let must_be_given = collection.must_be_given();
    let given = if must_be_given.is_empty() && !collection.has_custom() {
        Vec::new()
    } else {
        vec![false; collection.fields().len()]
    };
    let (mut record, given) = serialize(collection, now, object, given)?;
    match must_be_given.iter().find(|at| !given[**at]) {
        Some(at) => Err(collection.missing(*at)),
        None => {
            collection.fill_absent(&mut record, |at| given[at])?;
            Ok(record)
        }
    }
}

/// The record of a struct (or map), and which of its fields were given.
pub(crate) fn to_given<T: Serialize + ?Sized>(
    collection: &Collection,
    now: Timestamp,
    object: &T,
) -> Result<(Record, Vec<bool>)> {
    let given = vec![false; collection.fields().len()];
    let (mut record, given) = serialize(collection, now, object, given)?;
    collection.fill_absent(&mut record, |at| given[at])?;
    Ok((record, given))
}

fn serialize<T: Serialize + ?Sized>(
    collection: &Collection,
    now: Timestamp,
    object: &T,
    given: Vec<bool>,
) -> Result<(Record, Vec<bool>)> {
    let record = collection.blank_record(now);
    let mut serializer = ObjectSerializer { collection, record, next: 0, given, error: None };
    match object.serialize(&mut serializer) {
        Ok(()) => Ok((serializer.record, serializer.given)),
        Err(message) => {
            Err(serializer.error.unwrap_or_else(|| Error::invalid(collection.name(), message.0)))
        }
    }
}

struct ObjectSerializer<'a> {
    collection: &'a Collection,
    record: Record,
    /// Where the next field is expected: structs mostly have their fields in schema order.
    next: usize,
    /// Which fields were given; only kept where the collection asks for it.
    given: Vec<bool>,
    error: Option<Error>,
}

impl ObjectSerializer<'_> {
    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Message> {
        let fields = self.collection.fields();
        let at = match fields.get(self.next) {
            Some(field) if *field.name == *name => self.next,
            _ => match self.collection.require(name) {
                Ok(at) => at,
                Err(error) => return Err(self.fail(error)),
            },
        };
        self.next = at + 1;
        let field = &fields[at];
        if let Some(given) = self.given.get_mut(at) {
            *given = true;
        }
        let seen = field.seen();
        let serializer = ValueSerializer { collection: self.collection, field: seen };
        let value = match seen.field_type {
            FieldType::Json => serializer.via_json(value),
            _ => value.serialize(serializer),
        };
        match value {
            Ok(value) => match self.collection.to_storage(field, value) {
                Ok(value) => {
                    self.record.set(at, value);
                    Ok(())
                }
                Err(error) => Err(self.fail(error)),
            },
            Err(message) => Err(self.fail(Error::InvalidValue {
                collection: Name::clone(self.collection.name()),
                field: Name::clone(&field.name),
                reason: message.0,
            })),
        }
    }

    fn fail(&mut self, error: Error) -> Message {
        let message = Message(error.to_string());
        self.error.get_or_insert(error);
        message
    }
}

const NOT_AN_OBJECT: &str = "an object is a struct or a map";

macro_rules! not_an_object {
    ($($method:ident($($type:ty),*)),* $(,)?) => {$(
        fn $method(self, $(_: $type),*) -> Result<Self::Ok, Message> {
            Err(Message(NOT_AN_OBJECT.to_owned()))
        }
    )*};
}

impl<'a, 'b> ser::Serializer for &'b mut ObjectSerializer<'a> {
    type Ok = ();
    type Error = Message;
    type SerializeSeq = Impossible<(), Message>;
    type SerializeTuple = Impossible<(), Message>;
    type SerializeTupleStruct = Impossible<(), Message>;
    type SerializeTupleVariant = Impossible<(), Message>;
    type SerializeMap = MapSerializer<'a, 'b>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<(), Message>;

    not_an_object! {
        serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64), serialize_f32(f32),
        serialize_f64(f64), serialize_char(char), serialize_str(&str), serialize_bytes(&[u8]), serialize_none(),
        serialize_unit(), serialize_unit_struct(&'static str),
        serialize_unit_variant(&'static str, u32, &'static str),
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Message> {
        value.serialize(self)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Message> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Message> {
        Err(Message(NOT_AN_OBJECT.to_owned()))
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Message> {
        Err(Message(NOT_AN_OBJECT.to_owned()))
    }
    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Message> {
        Err(Message(NOT_AN_OBJECT.to_owned()))
    }
    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Message> {
        Err(Message(NOT_AN_OBJECT.to_owned()))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Message> {
        Err(Message(NOT_AN_OBJECT.to_owned()))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Message> {
        Err(Message(NOT_AN_OBJECT.to_owned()))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Message> {
        Ok(MapSerializer { object: self, key: None })
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Message> {
        Ok(self)
    }
}

impl ser::SerializeStruct for &mut ObjectSerializer<'_> {
    type Ok = ();
    type Error = Message;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Message> {
        self.field(key, value)
    }

    fn end(self) -> Result<(), Message> {
        Ok(())
    }
}

struct MapSerializer<'a, 'b> {
    object: &'b mut ObjectSerializer<'a>,
    key: Option<String>,
}

impl ser::SerializeMap for MapSerializer<'_, '_> {
    type Ok = ();
    type Error = Message;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Message> {
        match serde_json::to_value(key) {
            Ok(serde_json::Value::String(key)) => self.key = Some(key),
            _ => return Err(Message("a field's name is a text".to_owned())),
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Message> {
        let key = self.key.take().unwrap_or_default();
        self.object.field(&key, value)
    }

    fn end(self) -> Result<(), Message> {
        Ok(())
    }
}

/// One field's value, where the field is not JSON. The simple kinds are taken as they are (the record's check compares them
/// with the field's type); everything else goes by way of JSON.
#[derive(Clone, Copy)]
struct ValueSerializer<'a> {
    collection: &'a Collection,
    field: &'a Field,
}

impl ValueSerializer<'_> {
    fn takes_bytes(self) -> bool {
        matches!(
            self.field.field_type,
            FieldType::Blob
                | FieldType::Binary
                | FieldType::Media
                | FieldType::Dynamic(_)
                | FieldType::AutoPk(KeyFormat::Bytes)
                | FieldType::ForeignKey(KeyFormat::Bytes)
        )
    }

    /// A value whose form in JSON is not its form in a record.
    fn via_json<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Message> {
        let json = serde_json::to_value(value).map_err(|error| Message(error.to_string()))?;
        self.convert(&json)
    }

    fn convert(self, json: &serde_json::Value) -> Result<Value, Message> {
        self.collection.value_from_json(self.field, json).map_err(|error| match error {
            Error::InvalidValue { reason, .. } => Message(reason),
            other => Message(other.to_string()),
        })
    }
}

macro_rules! integers {
    ($($method:ident($type:ty)),* $(,)?) => {$(
        fn $method(self, value: $type) -> Result<Value, Message> {
            i64::try_from(value).map(Value::Int).map_err(|_| Message(format!("{value} is above 2^63 - 1")))
        }
    )*};
}

impl ser::Serializer for ValueSerializer<'_> {
    type Ok = Value;
    type Error = Message;
    type SerializeSeq = ListSerializer<Self>;
    type SerializeTuple = ListSerializer<Self>;
    type SerializeTupleStruct = ListSerializer<Self>;
    type SerializeTupleVariant = Impossible<Value, Message>;
    type SerializeMap = JsonMap<Self>;
    type SerializeStruct = JsonMap<Self>;
    type SerializeStructVariant = Impossible<Value, Message>;

    integers! {
        serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64), serialize_u8(u8),
        serialize_u16(u16), serialize_u32(u32), serialize_u64(u64),
    }

    fn serialize_bool(self, value: bool) -> Result<Value, Message> {
        Ok(Value::Bool(value))
    }
    fn serialize_f32(self, value: f32) -> Result<Value, Message> {
        self.serialize_f64(f64::from(value))
    }
    fn serialize_f64(self, value: f64) -> Result<Value, Message> {
        Ok(Value::from(value))
    }
    fn serialize_char(self, value: char) -> Result<Value, Message> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }
    fn serialize_str(self, value: &str) -> Result<Value, Message> {
        match self.field.field_type {
            FieldType::Text
            | FieldType::String
            | FieldType::Url
            | FieldType::RandomKey
            | FieldType::Dynamic(_)
            | FieldType::AutoPk(KeyFormat::Text)
            | FieldType::ForeignKey(KeyFormat::Text) => Ok(Value::from(value)),
            _ => self.convert(&serde_json::Value::from(value)),
        }
    }
    fn serialize_bytes(self, value: &[u8]) -> Result<Value, Message> {
        Ok(Value::from(value))
    }
    fn serialize_none(self) -> Result<Value, Message> {
        Ok(Value::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Message> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<Value, Message> {
        Ok(Value::Null)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, Message> {
        Ok(Value::Null)
    }
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Value, Message> {
        self.serialize_str(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Value, Message> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Message> {
        self.via_json(&std::collections::BTreeMap::from([(variant, value)]))
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, Message> {
        Ok(ListSerializer { value: self, items: Vec::with_capacity(len.unwrap_or(0).min(4096)) })
    }
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, Message> {
        self.serialize_seq(Some(len))
    }
    fn serialize_tuple_struct(
        self,
        _: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, Message> {
        self.serialize_seq(Some(len))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Message> {
        Err(Message("an enum variant with several values has no place in a field".to_owned()))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Message> {
        Ok(JsonMap { value: self, map: serde_json::Map::new(), key: None })
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Message> {
        self.serialize_map(None)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Message> {
        Err(Message("an enum variant with fields has no place in a field".to_owned()))
    }
}

/// A list: bytes where the field takes bytes, else JSON.
struct ListSerializer<V> {
    value: V,
    items: Vec<serde_json::Value>,
}

impl ListSerializer<ValueSerializer<'_>> {
    fn push<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Message> {
        self.items.push(serde_json::to_value(item).map_err(|error| Message(error.to_string()))?);
        Ok(())
    }

    fn finish(self) -> Result<Value, Message> {
        if !self.value.takes_bytes() {
            return self.value.convert(&serde_json::Value::Array(self.items));
        }
        let byte = |item: &serde_json::Value| item.as_u64().and_then(|int| u8::try_from(int).ok());
        match self.items.iter().map(byte).collect::<Option<Vec<u8>>>() {
            Some(bytes) => Ok(Value::Bytes(bytes)),
            None => Err(Message("takes bytes; the list holds something else".to_owned())),
        }
    }
}

macro_rules! list {
    ($($trait:ident::$method:ident),*) => {$(
        impl ser::$trait for ListSerializer<ValueSerializer<'_>> {
            type Ok = Value;
            type Error = Message;
            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Message> {
                self.push(item)
            }
            fn end(self) -> Result<Value, Message> {
                self.finish()
            }
        }
    )*};
}

list!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field
);

/// A map or struct as the value of a field: JSON.
struct JsonMap<V> {
    value: V,
    map: serde_json::Map<String, serde_json::Value>,
    key: Option<String>,
}

impl JsonMap<ValueSerializer<'_>> {
    fn insert<T: Serialize + ?Sized>(&mut self, key: String, value: &T) -> Result<(), Message> {
        let value = serde_json::to_value(value).map_err(|error| Message(error.to_string()))?;
        self.map.insert(key, value);
        Ok(())
    }
}

impl ser::SerializeMap for JsonMap<ValueSerializer<'_>> {
    type Ok = Value;
    type Error = Message;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Message> {
        self.key = match serde_json::to_value(key) {
            Ok(serde_json::Value::String(key)) => Some(key),
            Ok(serde_json::Value::Number(number)) => Some(number.to_string()),
            _ => return Err(Message("a key of a JSON object is a text".to_owned())),
        };
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Message> {
        let key = self.key.take().unwrap_or_default();
        self.insert(key, value)
    }
    fn end(self) -> Result<Value, Message> {
        self.value.convert(&serde_json::Value::Object(self.map))
    }
}

impl ser::SerializeStruct for JsonMap<ValueSerializer<'_>> {
    type Ok = Value;
    type Error = Message;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Message> {
        self.insert(key.to_owned(), value)
    }
    fn end(self) -> Result<Value, Message> {
        self.value.convert(&serde_json::Value::Object(self.map))
    }
}
