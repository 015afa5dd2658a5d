//! The OpenAPI document: what the handlers say of themselves, the types of the model by their own
//! JSON Schema, and what every route may answer besides.

use std::borrow::Cow;

use http::Method;
use serde_json::{Map, Value, json};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::Routes;
use super::problem::PROBLEM_JSON;
use crate::access::{Needs, Scope};

/// What opens the document.
const ABOUT: &str = "What bellwether knows. Lists are `{\"<plural>\": […], \"next\": null}`: where \
`next` is not null, it is the `page` to ask for next. Times are RFC 3339 in UTC, durations `_ms`. \
Errors are RFC 9457. On a loopback address reading is open, and the Host header must be a loopback \
name; writing needs a token. On any other address everything does but `/healthz`, `/readyz` and the \
URLs at which jobs report.";

/// Answers that any route may give: all of it is what HTTP demands, or our own fault.
const ALWAYS: &[(&str, &str)] = &[
    ("414", "the request target is longer than 8 KiB"),
    ("422", "parameters or fields are wrong: each is named"),
    ("431", "the headers are larger than 32 KiB"),
    ("500", "a fault of bellwether"),
    (
        "503",
        "not now: the store cannot be asked, or the answer took too long",
    ),
];

/// Answers that routes may give which need a token, or a loopback name.
const GUARDED: &[(&str, &str)] = &[
    (
        "401",
        "a valid token is needed: missing, wrong, expired and revoked ones look the same",
    ),
    (
        "403",
        "the token lacks the scope, or the Host header or the site is refused",
    ),
    ("429", "too many wrong tokens from this address"),
];

/// Answers that routes with a body may give.
const WITH_BODY: &[(&str, &str)] = &[
    (
        "400",
        "the body is no JSON, holds a key twice, or is nested too deep",
    ),
    ("408", "the body came too slowly"),
    ("413", "the body is larger than 1 MiB"),
    ("415", "the body is not `application/json`"),
];

/// What clients write: a key that is not known is refused, and so the document says.
const WRITTEN: &[&str] = &["Counters", "Row", "NewNote", "NewAgentToken", "Nothing"];

/// Stand-ins for types of the model, which say their own schema.
macro_rules! by_their_own_schema {
    ($($name:ident = $type:ty;)*) => {
        /// Stand-ins for types of the model in what handlers say of themselves.
        pub(crate) mod schema {
            $(
                /// Stands for the type of this name.
                pub(crate) struct $name;
            )*
        }

        $(
            impl PartialSchema for schema::$name {
                fn schema() -> RefOr<Schema> {
                    // Replaced by the type's own schema in `complete`.
                    RefOr::T(Schema::default())
                }
            }

            impl ToSchema for schema::$name {
                fn name() -> Cow<'static, str> {
                    stringify!($name).into()
                }
            }
        )*

        fn schemas_of_the_model() -> Map<String, Value> {
            let settings = schemars::generate::SchemaSettings::draft2020_12()
                .with(|settings| settings.definitions_path = "/components/schemas".into());
            let mut generator = settings.into_generator();
            $(let _ = generator.subschema_for::<$type>();)*
            generator.take_definitions(true)
        }
    };
}

by_their_own_schema! {
    Incident = bellwether_model::Incident;
    Verdict = bellwether_model::Verdict;
    Layer = bellwether_model::Layer;
    LayerReport = bellwether_model::report::LayerReport;
}

/// What stands before the routes.
pub(super) fn frame() -> OpenApi {
    let info = InfoBuilder::new()
        .title("bellwether")
        .version("1")
        .description(Some(ABOUT))
        .build();
    OpenApiBuilder::new().info(info).build()
}

/// The document with everything that no handler says.
pub(super) fn complete(document: &OpenApi) -> Value {
    let mut document = serde_json::to_value(document).expect("the document can be written");
    for (name, schema) in schemas_of_the_model() {
        document["components"]["schemas"][name] = schema;
    }
    for name in WRITTEN {
        let schema = &mut document["components"]["schemas"][*name];
        assert!(schema.is_object(), "`{name}` is a schema of the document");
        schema["additionalProperties"] = Value::Bool(false);
    }
    document["components"]["securitySchemes"] = json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token, `bw_…`. Its scopes: `read`, `write`, `counters`, `private`, `agents`. \
                            For reading it may also be the password of HTTP Basic.",
        },
    });
    let paths = document["paths"]
        .as_object_mut()
        .expect("paths are an object");
    for (path, methods) in paths {
        let methods = methods.as_object_mut().expect("methods are an object");
        for operation in methods.values_mut() {
            let guarded = needs(operation) != Some(Needs::Nothing);
            let body = operation.get("requestBody").is_some();
            // `/metrics` names a service in its query.
            let named = path.contains('{') || path == "/metrics";
            let answers = operation["responses"]
                .as_object_mut()
                .expect("answers are an object");
            add(answers, ALWAYS);
            if guarded {
                add(answers, GUARDED);
            }
            if body {
                add(answers, WITH_BODY);
            }
            if named {
                add(answers, &[("404", "there is nothing of this name")]);
            }
            answers.sort_keys();
        }
    }
    document
}

fn add(answers: &mut Map<String, Value>, more: &[(&str, &str)]) {
    for (status, description) in more {
        let answer = json!({
            "description": description,
            "content": { PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/Problem" } } },
        });
        answers.entry(*status).or_insert(answer);
    }
}

/// What each route needs, as the document says it.
pub(super) fn routes(document: &Value) -> Routes {
    let mut routes = Routes::new();
    let paths = document["paths"].as_object().expect("paths are an object");
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().expect("methods are an object") {
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes());
            let method = method.expect("OpenAPI names methods");
            // What says nothing about itself cannot be reached at all.
            if let Some(needs) = needs(operation) {
                routes
                    .entry(path.clone())
                    .or_default()
                    .push((method, needs));
            }
        }
    }
    routes
}

fn needs(operation: &Value) -> Option<Needs> {
    let security = operation.get("security")?.as_array()?;
    let Some(scopes) = security.iter().find_map(|way| way.get("bearer")) else {
        return Some(Needs::Nothing);
    };
    let scope = scopes.as_array()?.first()?.as_str()?;
    Scope::parse(scope).map(Needs::Token)
}
