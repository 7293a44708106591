//! Filters and queries from JSON, in the form `{"field": {"$gte": 1}}`.

use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::eval::json_element;
use crate::filter::{Comparison, ElementCondition, Filter, TextMatch, related};
use crate::json::is_value;
use crate::query::{Direction, Query};
use crate::related::resolve;
use crate::schema::{Collection, Field, FieldType, Registry};
use crate::value::{Name, Value};

impl Collection {
    /// A filter of the form `{"title": "x", "size": {"$gte": 1, "$lt": 9}, "$or": [{..}, {..}]}`.
    ///
    /// | operators | on |
    /// |---|---|
    /// | `$eq` `$ne` `$lt` `$lte` `$gt` `$gte` `$in` `$nin` `$exists` (not null) `$not` | any field |
    /// | `$startsWith` `$includes` `$equalsIgnoreCase` `$startsWithIgnoreCase` `$includesIgnoreCase` `$search` (words) | texts |
    /// | `$contains` `$all` (a list) `$size` `$elemMatch` | JSON arrays |
    /// | `$related` (a filter) | a relation, by alias or reverse alias |
    /// | `$and` `$or` `$nor` `$not` | filters |
    ///
    /// # Errors
    /// [`Error::InvalidOperation`] for an operator that is not known (it never means "all objects"),
    /// [`Error::UnknownField`], [`Error::InvalidValue`].
    pub fn filter_from_json(&self, json: &Json, registry: &Registry) -> Result<Filter> {
        let Json::Object(object) = json else {
            return Err(Error::invalid(
                self.name(),
                "a filter is a JSON object; {} matches all objects",
            ));
        };
        let mut parts = Vec::new();
        for (name, condition) in object {
            parts.push(match name.as_str() {
                "$and" => Filter::And(self.filters_from_json(name, condition, registry)?),
                "$or" => Filter::Or(self.filters_from_json(name, condition, registry)?),
                "$nor" => Filter::Or(self.filters_from_json(name, condition, registry)?).negate(),
                "$not" => self.filter_from_json(condition, registry)?.negate(),
                operator if operator.starts_with('$') => {
                    return Err(self.unknown_operator(operator));
                }
                name => match self.related_from_json(name, condition, registry)? {
                    Some(related) => related,
                    None => self.condition_from_json(name, condition)?,
                },
            });
        }
        let single = if parts.len() == 1 { parts.pop() } else { None };
        Ok(match (single, parts.is_empty()) {
            (Some(part), _) => part,
            (None, true) => Filter::All,
            (None, false) => Filter::And(parts),
        })
    }

    fn filters_from_json(
        &self,
        operator: &str,
        json: &Json,
        registry: &Registry,
    ) -> Result<Vec<Filter>> {
        let Json::Array(list) = json else {
            return Err(Error::invalid(
                self.name(),
                format!("`{operator}` takes a list of filters"),
            ));
        };
        list.iter().map(|json| self.filter_from_json(json, registry)).collect()
    }

    /// `{"alias": {"$related": {..}}}`; `None`: it is something else.
    fn related_from_json(
        &self,
        name: &str,
        condition: &Json,
        registry: &Registry,
    ) -> Result<Option<Filter>> {
        let operand = condition.as_object().filter(|it| it.len() == 1);
        let Some(operand) = operand.and_then(|it| it.get("$related")) else { return Ok(None) };
        let other = registry.collection(resolve(self, name)?.other())?;
        Ok(Some(related(name, other.filter_from_json(operand, registry)?)))
    }

    fn condition_from_json(&self, name: &str, json: &Json) -> Result<Filter> {
        let field = &self.fields()[self.require(name)?];
        let operators = match json {
            Json::Object(object)
                if object.keys().any(|key| key.starts_with('$') && !is_value(key)) =>
            {
                object
            }
            Json::Array(_) if !matches!(field.seen().field_type, FieldType::Json) => {
                let reason =
                    format!("field `{name}` is compared with a list; say {{\"$in\": [..]}}");
                return Err(Error::invalid(self.name(), reason));
            }
            json => return self.compare_from_json(field, Comparison::Eq, json),
        };
        let mut parts = Vec::new();
        for (operator, operand) in operators {
            parts.push(self.operator_from_json(field, operator, operand)?);
        }
        Ok(match parts.pop() {
            Some(part) if parts.is_empty() => part,
            Some(part) => {
                parts.push(part);
                Filter::And(parts)
            }
            None => Filter::All,
        })
    }

    fn operator_from_json(&self, field: &Field, operator: &str, operand: &Json) -> Result<Filter> {
        if let Some(op) = comparison(operator) {
            return self.compare_from_json(field, op, operand);
        }
        if !matches!(operator, "$in" | "$nin" | "$not" | "$exists") {
            self.refuse_custom(field, &format!("`{operator}` looks at what is stored"))?;
        }
        match operator {
            "$in" => self.list_from_json(field, operator, operand),
            "$nin" => Ok(self.list_from_json(field, operator, operand)?.negate()),
            "$contains" => self.contains_from_json(field, operator, operand),
            "$all" => {
                let Some(list) = operand.as_array().filter(|list| !list.is_empty()) else {
                    return Err(self.takes(operator, "a list with something in it"));
                };
                let parts = list.iter().map(|it| self.contains_from_json(field, operator, it));
                Ok(Filter::And(parts.collect::<Result<_>>()?))
            }
            "$size" => {
                let size = operand.as_u64().ok_or_else(|| self.takes(operator, "a number"))?;
                Ok(Filter::Size { field: Name::clone(&field.name), size })
            }
            "$elemMatch" => self.element_from_json(field, operand),
            "$search" => {
                let words = self.text_from_json(operator, operand)?;
                Ok(Filter::Search { field: Name::clone(&field.name), words })
            }
            "$startsWith" => self.match_from_json(field, TextMatch::StartsWith, operator, operand),
            "$includes" => self.match_from_json(field, TextMatch::Includes, operator, operand),
            "$equalsIgnoreCase" => {
                self.match_from_json(field, TextMatch::EqualsIgnoreCase, operator, operand)
            }
            "$startsWithIgnoreCase" => {
                self.match_from_json(field, TextMatch::StartsWithIgnoreCase, operator, operand)
            }
            "$includesIgnoreCase" => {
                self.match_from_json(field, TextMatch::IncludesIgnoreCase, operator, operand)
            }
            "$not" => Ok(self.condition_from_json(&field.name, operand)?.negate()),
            "$exists" => {
                let op = match operand {
                    Json::Bool(true) => Comparison::Ne,
                    Json::Bool(false) => Comparison::Eq,
                    _ => return Err(Error::invalid(self.name(), "`$exists` takes true or false")),
                };
                self.compare_from_json(field, op, &Json::Null)
            }
            _ => Err(self.unknown_operator(operator)),
        }
    }

    fn takes(&self, operator: &str, what: &str) -> Error {
        Error::invalid(self.name(), format!("`{operator}` takes {what}"))
    }

    fn text_from_json(&self, operator: &str, json: &Json) -> Result<String> {
        json.as_str().map(str::to_owned).ok_or_else(|| self.takes(operator, "a text"))
    }

    fn match_from_json(
        &self,
        field: &Field,
        how: TextMatch,
        operator: &str,
        json: &Json,
    ) -> Result<Filter> {
        let text = self.text_from_json(operator, json)?;
        Ok(Filter::Text { field: Name::clone(&field.name), how, text })
    }

    fn contains_from_json(&self, field: &Field, operator: &str, json: &Json) -> Result<Filter> {
        let value = json_element(json)
            .ok_or_else(|| self.takes(operator, "booleans, numbers and texts"))?;
        Ok(Filter::Contains { field: Name::clone(&field.name), value })
    }

    /// `{"$gte": 1, "$lt": 9}` for the elements themselves, `{"name": "x", "size": {"$gte": 1}}` for members of objects.
    fn element_from_json(&self, field: &Field, json: &Json) -> Result<Filter> {
        let Json::Object(object) = json else {
            return Err(self.takes("$elemMatch", "an object of conditions"));
        };
        let mut conditions = Vec::new();
        for (name, operand) in object {
            let (member, operators) = match (name.starts_with('$'), operand) {
                (true, operand) => {
                    conditions.push(self.condition_on_element(None, name, operand)?);
                    continue;
                }
                (false, Json::Object(operators)) => (Name::from(name.as_str()), operators),
                (false, operand) => {
                    let member = Some(Name::from(name.as_str()));
                    conditions.push(self.condition_on_element(member, "$eq", operand)?);
                    continue;
                }
            };
            for (operator, operand) in operators {
                let member = Some(Name::clone(&member));
                conditions.push(self.condition_on_element(member, operator, operand)?);
            }
        }
        Ok(Filter::Element { field: Name::clone(&field.name), conditions })
    }

    fn condition_on_element(
        &self,
        member: Option<Name>,
        operator: &str,
        operand: &Json,
    ) -> Result<ElementCondition> {
        let op = comparison(operator).ok_or_else(|| self.unknown_operator(operator))?;
        let value = match operand {
            Json::Null => Value::Null,
            operand => json_element(operand)
                .ok_or_else(|| self.takes("$elemMatch", "booleans, numbers and texts"))?,
        };
        Ok(ElementCondition { member, op, value })
    }

    fn compare_from_json(&self, field: &Field, op: Comparison, json: &Json) -> Result<Filter> {
        let value = self.value_from_json(field, json)?;
        Ok(Filter::Compare { field: Name::clone(&field.name), op, value })
    }

    fn list_from_json(&self, field: &Field, operator: &str, json: &Json) -> Result<Filter> {
        let Json::Array(list) = json else {
            return Err(Error::invalid(
                self.name(),
                format!("`{operator}` takes a list of values"),
            ));
        };
        let values =
            list.iter().map(|json| self.value_from_json(field, json)).collect::<Result<_>>()?;
        Ok(Filter::In { field: Name::clone(&field.name), values })
    }

    pub(crate) fn unknown_operator(&self, operator: &str) -> Error {
        Error::invalid(self.name(), format!("the operator `{operator}` is not known"))
    }

    /// A query of a filter and the options `{"order": [["field", "asc"]], "limit": 1, "skip": 1, "fields": ["field"]}`.
    ///
    /// # Errors
    /// [`Error::InvalidOperation`] for an option that is not known, and as [`Collection::filter_from_json`].
    pub fn query_from_json(
        &self,
        filter: &Json,
        options: &Json,
        registry: &Registry,
    ) -> Result<Query> {
        let mut query =
            Query::new(Name::clone(self.name())).filter(self.filter_from_json(filter, registry)?);
        let options = match options {
            Json::Null => return Ok(query),
            Json::Object(options) => options,
            _ => {
                return Err(Error::invalid(
                    self.name(),
                    "the options of a query are a JSON object",
                ));
            }
        };
        for (option, value) in options {
            let wrong =
                || Error::invalid(self.name(), format!("the option `{option}` cannot be {value}"));
            match option.as_str() {
                "limit" => query.limit = Some(value.as_u64().ok_or_else(wrong)?),
                "skip" => query.offset = value.as_u64().ok_or_else(wrong)?,
                "fields" => {
                    let names = value.as_array().ok_or_else(wrong)?;
                    let names =
                        names.iter().map(|name| name.as_str().map(Name::from).ok_or_else(wrong));
                    query.select = Some(names.collect::<Result<_>>()?);
                }
                "order" => {
                    for entry in value.as_array().ok_or_else(wrong)? {
                        let (name, direction) = match entry.as_array().map(Vec::as_slice) {
                            Some([name, direction]) => (name.as_str(), direction.as_str()),
                            _ => (entry.as_str(), Some("asc")),
                        };
                        let direction = match direction {
                            Some("asc") => Direction::Ascending,
                            Some("desc") => Direction::Descending,
                            _ => return Err(wrong()),
                        };
                        query = query.order_by(name.ok_or_else(wrong)?, direction);
                    }
                }
                _ => {
                    let reason = format!("the option `{option}` is not known");
                    return Err(Error::invalid(self.name(), reason));
                }
            }
        }
        Ok(query)
    }
}

fn comparison(operator: &str) -> Option<Comparison> {
    Some(match operator {
        "$eq" => Comparison::Eq,
        "$ne" => Comparison::Ne,
        "$lt" => Comparison::Lt,
        "$lte" => Comparison::Lte,
        "$gt" => Comparison::Gt,
        "$gte" => Comparison::Gte,
        _ => return None,
    })
}
