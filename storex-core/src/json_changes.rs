//! Changes from JSON, in the form `{"field": {"$inc": 1}}`.

use serde_json::Value as Json;

use crate::changes::Changes;
use crate::error::{Error, Result};
use crate::json::is_value;
use crate::schema::Collection;
use crate::value::{Name, Value};

impl Collection {
    /// Changes of the form `{"title": "x", "count": {"$inc": 1}, "note": {"$unset": true}}`; the operators may also
    /// stand outside, as in `{"$set": {"title": "x"}, "$inc": {"count": 1}}`.
    ///
    /// | operators | on |
    /// |---|---|
    /// | `$set` `$unset` | any field |
    /// | `$inc` `$mul` | numbers |
    /// | `$min` `$max` | whatever has an order |
    /// | `$append` `$replacePrefix` (`{"from": "a", "to": "b"}`) | texts |
    /// | `$addToSet` (an element, or `{"$each": [..]}`) `$pull` (an element) `$pullAll` (a list) | JSON arrays |
    ///
    /// # Errors
    /// [`Error::InvalidOperation`] for an operator that is not known, [`Error::UnknownField`], [`Error::InvalidValue`].
    pub fn changes_from_json(&self, json: &Json) -> Result<Changes> {
        let Json::Object(object) = json else {
            return Err(Error::invalid(self.name(), "changes are a JSON object"));
        };
        let mut changes = Changes::new();
        for (name, change) in object {
            if name.starts_with('$') {
                let Json::Object(fields) = change else {
                    return Err(Error::invalid(
                        self.name(),
                        format!("`{name}` takes an object of fields"),
                    ));
                };
                for (field, operand) in fields {
                    changes = self.change_from_json(changes, field, name, operand)?;
                }
                continue;
            }
            let operator = match change {
                Json::Object(object) if object.len() == 1 => {
                    object.iter().next().filter(|(key, _)| key.starts_with('$') && !is_value(key))
                }
                _ => None,
            };
            changes = match operator {
                Some((operator, operand)) => {
                    self.change_from_json(changes, name, operator, operand)?
                }
                None => self.change_from_json(changes, name, "$set", change)?,
            };
        }
        Ok(changes)
    }

    fn change_from_json(
        &self,
        changes: Changes,
        name: &str,
        operator: &str,
        operand: &Json,
    ) -> Result<Changes> {
        let field = &self.fields()[self.require(name)?];
        let name = Name::clone(&field.name);
        let wrong = || {
            let reason = format!("`{operator}` of field `{}` cannot take {operand}", field.name);
            Error::invalid(self.name(), reason)
        };
        match operator {
            "$set" => Ok(changes.set(name, self.value_from_json(field, operand)?)),
            "$unset" => Ok(changes.set(name, self.value_from_json(field, &Json::Null)?)),
            _ if field.custom.is_some() => {
                self.refuse_custom(field, &format!("`{operator}` would change what is stored"))?;
                Ok(changes)
            }
            "$inc" => Ok(changes.increment(name, number(operand).ok_or_else(wrong)?)),
            "$mul" => Ok(changes.multiply(name, number(operand).ok_or_else(wrong)?)),
            "$min" => Ok(changes.min(name, self.value_from_json(field, operand)?)),
            "$max" => Ok(changes.max(name, self.value_from_json(field, operand)?)),
            "$append" => Ok(changes.append(name, operand.as_str().ok_or_else(wrong)?)),
            "$replacePrefix" => {
                let both = operand.as_object().filter(|it| it.len() == 2).ok_or_else(wrong)?;
                let text = |name: &str| both.get(name).and_then(Json::as_str).ok_or_else(wrong);
                Ok(changes.replace_prefix(name, text("from")?, text("to")?))
            }
            "$addToSet" => match operand.get("$each") {
                None => Ok(changes.add_elements(name, [operand.clone()])),
                Some(Json::Array(list)) if operand.as_object().is_some_and(|it| it.len() == 1) => {
                    Ok(changes.add_elements(name, list.iter().cloned()))
                }
                Some(_) => Err(wrong()),
            },
            "$pull" => Ok(changes.remove_elements(name, [operand.clone()])),
            "$pullAll" => match operand {
                Json::Array(list) => Ok(changes.remove_elements(name, list.iter().cloned())),
                _ => Err(wrong()),
            },
            operator => Err(self.unknown_operator(operator)),
        }
    }
}

fn number(json: &Json) -> Option<Value> {
    let Json::Number(number) = json else { return None };
    number.as_i64().map(Value::Int).or_else(|| number.as_f64().map(Value::Float))
}
