//! The OpenAPI document, made of the list that the router is made of.

use serde_json::{Map, Value, json};
use storex_sync::http::{Code, PROBLEM_TYPE};

use crate::config::Relay;
use crate::http::OCTETS;
use crate::routes::{Access, Endpoint, Form, Parameter, endpoints, metrics_endpoint};

/// The document (OpenAPI 3.1) of a server with such a relay.
pub(crate) fn document(relay: &Relay) -> Value {
    let mut paths = Map::new();
    for endpoint in endpoints().into_iter().chain([metrics_endpoint()]) {
        let operations = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let Value::Object(operations) = operations {
            operations.insert(endpoint.method.to_owned(), operation(&endpoint, relay));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "storex",
            "version": "1",
            "description": "A shared log and a store of blobs for the devices of each user, and a relay. Bodies may be compressed with zstd or gzip, in both directions.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas(),
        },
    })
}

fn operation(endpoint: &Endpoint, relay: &Relay) -> Value {
    let mut operation = json!({
        "summary": endpoint.summary,
        "parameters": endpoint.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "responses": responses(endpoint),
    });
    let security = match endpoint.access {
        Access::Relay if relay.open => Some(json!([{"token": []}, {}])),
        Access::Token | Access::Relay => Some(json!([{"token": []}])),
        // The token may come in the first message.
        Access::Socket => Some(json!([{"token": []}, {}])),
        Access::Open => None,
    };
    if let Some(security) = security {
        operation["security"] = security;
    }
    if let Some(content) = content(endpoint.body) {
        // No body is one of no bytes, and those of a page or a key are for whoever has put them there to understand.
        let required = endpoint.body != Form::Bytes(OCTETS);
        operation["requestBody"] = json!({"required": required, "content": content});
    }
    operation
}

fn parameter(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.about,
        "schema": reference(parameter.schema),
    })
}

fn responses(endpoint: &Endpoint) -> Value {
    let mut responses = Map::new();
    for (status, about, form) in &endpoint.answers {
        let mut answer = json!({"description": about});
        if let Some(content) = content(*form) {
            answer["content"] = content;
        }
        responses.insert(status.to_string(), answer);
    }
    for (status, codes) in by_status(endpoint) {
        let about = format!("A problem: {}", codes.join(", "));
        let content = json!({PROBLEM_TYPE: {"schema": reference("Problem")}});
        responses.insert(status.to_string(), json!({"description": about, "content": content}));
    }
    responses.into()
}

/// The problems of an endpoint: its own, and those that everybody may find.
fn by_status(endpoint: &Endpoint) -> std::collections::BTreeMap<u16, Vec<String>> {
    let mut codes = endpoint.codes.clone();
    codes.extend([Code::Unavailable, Code::Internal]);
    if endpoint.access != Access::Open {
        codes.extend([Code::Unauthorized, Code::RateLimited, Code::Revoked]);
    }
    let mut by_status = std::collections::BTreeMap::<_, Vec<_>>::new();
    for code in codes {
        let name = json!(code).as_str().unwrap_or_default().to_owned();
        let names = by_status.entry(code.status()).or_default();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    by_status
}

fn content(form: Form) -> Option<Value> {
    match form {
        Form::Json(schema) => Some(json!({"application/json": {"schema": reference(schema)}})),
        Form::Bytes(media_type) => {
            Some(json!({media_type: {"schema": {"type": "string", "format": "binary"}}}))
        }
        Form::Nothing => None,
    }
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn schemas() -> Value {
    let names = json!({
        "Id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "Device": {"type": "string", "pattern": "^[0-9a-f]{32}-(0|[1-9][0-9]{0,9})$", "description": "The id of a device, and which life of it"},
        "Hex": {"type": "string", "pattern": "^([0-9a-f]{2})*$"},
        "Decimal": {"type": "string", "pattern": "^(0|[1-9][0-9]{0,19})$"},
        "Blob": {"type": "string", "pattern": "^(sha256|sealed)-[0-9a-f]{64}-(0|[1-9][0-9]{0,12})$"},
        "Room": {"type": "string", "pattern": "^[0-9]{4,6}$"},
        "Count": {"type": "integer", "minimum": 0},
        "Limit": {"type": "integer", "minimum": 0},
        "Seconds": {"type": "integer", "minimum": 0},
        "Document": {"type": "object"},
    });
    let mut schemas = json!({
        "Register": object(&[("device", reference("Device"))], &[("name", json!({"type": "string", "maxLength": 200}))]),
        "LogAnswer": object(&[("log", reference("Id"))], &[]),
        "ListedDevice": object(&[
            ("id", reference("Id")), ("name", json!({"type": "string"})), ("registered_at", json!({"type": "integer"})),
            ("last_seen", json!({"type": "integer"})), ("revoked", json!({"type": "boolean"})),
        ], &[]),
        "BlobAnswer": object(&[("whole", json!({"type": "boolean"})), ("chunks", reference("Count"))], &[]),
        "Names": {"type": "array", "items": reference("Id")},
        "Devices": {"type": "array", "items": reference("ListedDevice")},
        "ListedMember": object(&[("device", reference("Device")), ("behind", reference("Count"))], &[]),
        "Members": {"type": "array", "items": reference("ListedMember")},
        "Dismiss": object(&[("device", reference("Device"))], &[]),
        "DismissAnswer": object(&[("dismissed", json!({"type": "boolean"}))], &[]),
        "Reidentify": object(&[("known", reference("Id"))], &[]),
        "TrimAnswer": object(&[("transactions", reference("Count"))], &[]),
        "UsageAnswer": object(&[
            ("transactions", reference("Count")), ("droppable", reference("Count")), ("lacks_beginning", json!({"type": "boolean"})),
        ], &[]),
        "Snapshot": object(&[
            ("maker", reference("Device")), ("number", reference("Decimal")), ("pages", reference("Count")), ("place", reference("Hex")),
        ], &[]),
        "PublishAnswer": object(&[("published", json!({"type": "boolean"}))], &[]),
        "ChangedAnswer": object(&[("changed", json!({"type": "boolean"}))], &[]),
        "RoomAnswer": object(&[("room", reference("Room"))], &[]),
        "Problem": object(
            &[("code", json!({"type": "string"})), ("message", json!({"type": "string"}))],
            &[
                ("device", reference("Device")), ("sequence", reference("Count")), ("expected", reference("Count")),
                ("found", reference("Count")), ("limit", reference("Count")), ("is_too_large", json!({"type": "boolean"})), ("retry_after_ms", reference("Count")),
            ],
        ),
    });
    if let (Value::Object(all), Value::Object(names)) = (&mut schemas, names) {
        all.extend(names);
    }
    schemas
}

fn object(required: &[(&str, Value)], optional: &[(&str, Value)]) -> Value {
    let names: Vec<_> = required.iter().map(|(name, _)| *name).collect();
    let properties: Map<_, _> = required
        .iter()
        .chain(optional)
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({"type": "object", "required": names, "properties": properties})
}
