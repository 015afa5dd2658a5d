//! Bodies of JSON, read strictly: bounded, no key twice, no depth that could hurt.

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use http::header;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use jiff::Timestamp;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::problem::{FieldError, Problem};

/// Largest body, bytes: ten thousand rows of counters.
pub(crate) const BODY_LEN_MAX: usize = 1024 * 1024;

/// Deepest nesting: ours has four levels.
pub(crate) const DEPTH_MAX: usize = 64;

/// How long a body may take to come: 1 MiB at 56 kbit/s would take longer, and whoever is that
/// slow can hand in less at once.
const BODY_TIME: Duration = Duration::from_secs(20);

/// Wrong fields that are named; whoever has more sees the others when these are right.
const ERRORS_MAX: usize = 32;

/// A body of JSON.
pub(crate) struct Json(pub(crate) Value);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let is_json = is_json(&request);
        let bytes = read(request.into_body()).await?;
        if !is_json {
            return Err(Problem::media_type());
        }
        parse(&bytes).map(Self)
    }
}

/// A body of JSON, or none at all.
pub(crate) struct MaybeJson(pub(crate) Option<Value>);

impl<S: Send + Sync> FromRequest<S> for MaybeJson {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let is_json = is_json(&request);
        let bytes = read(request.into_body()).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        if !is_json {
            return Err(Problem::media_type());
        }
        parse(&bytes).map(|value| Self(Some(value)))
    }
}

fn is_json(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let essence = kind.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/json")
}

async fn read(body: Body) -> Result<Vec<u8>, Problem> {
    let collected = Limited::new(body, BODY_LEN_MAX).collect();
    match tokio::time::timeout(BODY_TIME, collected).await {
        Err(_) => Err(Problem::slow_body()),
        Ok(Ok(bytes)) => Ok(bytes.to_bytes().into()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::too_large(BODY_LEN_MAX)),
        Ok(Err(_)) => Err(Problem::json(String::new(), "the body broke off")),
    }
}

/// JSON as RFC 8259 has it, with nothing twice and nothing too deep.
///
/// # Errors
/// What is wrong, with the place.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let mut path = String::new();
    let seed = Strict {
        depth: 0,
        path: &mut path,
    };
    let read = seed.deserialize(&mut reader);
    match read.and_then(|value| reader.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(error) => Err(Problem::json(path, error.to_string())),
    }
}

/// A value, with its place in case something is wrong with it.
struct Strict<'a> {
    depth: usize,
    path: &'a mut String,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.depth > DEPTH_MAX {
            let why = format!("nested deeper than {DEPTH_MAX} levels");
            return Err(D::Error::custom(why));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        let len = self.path.len();
        loop {
            push(self.path, &out.len().to_string());
            let seed = Strict {
                depth: self.depth + 1,
                path: self.path,
            };
            let Some(item) = items.next_element_seed(seed)? else {
                break;
            };
            self.path.truncate(len);
            out.push(item);
        }
        self.path.truncate(len);
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        let len = self.path.len();
        while let Some(key) = entries.next_key::<String>()? {
            push(self.path, &key);
            if out.contains_key(&key) {
                return Err(A::Error::custom("the key stands there twice"));
            }
            let seed = Strict {
                depth: self.depth + 1,
                path: self.path,
            };
            let value = entries.next_value_seed(seed)?;
            self.path.truncate(len);
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

/// Adds a step to a JSON Pointer, cut where a stranger made it long.
fn push(path: &mut String, step: &str) {
    path.push('/');
    let step: String = step.chars().take(64).collect();
    path.push_str(&step.replace('~', "~0").replace('/', "~1"));
}

/// Reads the fields of objects, and takes note of everything that is wrong.
#[derive(Default)]
pub(crate) struct Fields {
    errors: Vec<FieldError>,
}

impl Fields {
    /// An object with these keys and no others.
    pub(crate) fn object<'a>(
        &mut self,
        value: &'a Value,
        at: &str,
        known: &[&str],
    ) -> Option<&'a Map<String, Value>> {
        let Some(map) = value.as_object() else {
            self.wrong(at, "must be an object");
            return None;
        };
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            let mut pointer = at.to_owned();
            push(&mut pointer, key);
            self.wrong(
                &pointer,
                format!("unknown key; known here: {}", known.join(", ")),
            );
        }
        Some(map)
    }

    fn field<'a>(&mut self, map: &'a Map<String, Value>, at: &str, key: &str) -> Option<&'a Value> {
        let found = map.get(key);
        if found.is_none() {
            self.wrong(&format!("{at}/{key}"), "is missing");
        }
        found
    }

    /// A text of 1 to `max` characters that can be shown.
    pub(crate) fn text(
        &mut self,
        map: &Map<String, Value>,
        at: &str,
        key: &str,
        max: usize,
    ) -> Option<String> {
        let value = self.field(map, at, key)?;
        self.text_of(value, &format!("{at}/{key}"), max)
    }

    /// A text of 1 to `max` characters that can be shown.
    pub(crate) fn text_of(&mut self, value: &Value, at: &str, max: usize) -> Option<String> {
        let Some(text) = value.as_str() else {
            self.wrong(at, "must be a string");
            return None;
        };
        let len = text.chars().count();
        if len == 0 || len > max {
            self.wrong(at, format!("must have 1 to {max} characters; has {len}"));
            return None;
        }
        if text.contains('\0') {
            self.wrong(at, "must not hold the character U+0000");
            return None;
        }
        Some(text.to_owned())
    }

    /// A time.
    pub(crate) fn time(
        &mut self,
        map: &Map<String, Value>,
        at: &str,
        key: &str,
    ) -> Option<Timestamp> {
        let value = self.field(map, at, key)?;
        let time = value.as_str().and_then(|text| text.parse().ok());
        if time.is_none() {
            let why = "must be a time as RFC 3339 writes it, for example `2026-11-01T00:00:00Z`";
            self.wrong(&format!("{at}/{key}"), why);
        }
        time
    }

    /// A whole number from 0 to 2⁵³, which every language of JSON holds exactly.
    pub(crate) fn count(&mut self, map: &Map<String, Value>, at: &str, key: &str) -> Option<u64> {
        const MAX: u64 = 1 << 53;
        let value = self.field(map, at, key)?;
        let whole = |number: f64| {
            let fits = number.fract() == 0.0 && (0.0..=MAX as f64).contains(&number);
            fits.then_some(number as u64)
        };
        let count = value.as_u64().or_else(|| value.as_f64().and_then(whole));
        let count = count.filter(|count| *count <= MAX);
        if count.is_none() {
            let why = "must be a whole number from 0 to 9007199254740992";
            self.wrong(&format!("{at}/{key}"), why);
        }
        count
    }

    /// A list of at most `max`.
    pub(crate) fn list<'a>(
        &mut self,
        map: &'a Map<String, Value>,
        at: &str,
        key: &str,
        max: usize,
    ) -> Option<&'a [Value]> {
        let value = self.field(map, at, key)?;
        let list = value
            .as_array()
            .filter(|list| !list.is_empty() && list.len() <= max);
        if list.is_none() {
            self.wrong(
                &format!("{at}/{key}"),
                format!("must be a list of 1 to {max}"),
            );
        }
        list.map(Vec::as_slice)
    }

    /// Takes note of what is wrong.
    pub(crate) fn wrong(&mut self, at: &str, detail: impl Into<String>) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(FieldError {
                pointer: at.to_owned(),
                detail: detail.into(),
            });
        }
    }

    /// Is all well?
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn done(self) -> Result<(), Problem> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::fields(self.errors))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let problem = parse(text.as_bytes()).unwrap_err();
        assert_eq!(problem.status().as_u16(), 400);
        serde_json::to_value(&problem).unwrap()["errors"][0]["pointer"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        assert_eq!(refused(r#"{"a":{"b":1,"b":2}}"#), "/a/b");
        assert_eq!(refused(r#"{"a":[1,NaN]}"#), "/a/1");
        assert_eq!(refused(r#"{"a":1e999}"#), "/a");
        assert_eq!(refused(r#"{"a~/b":x}"#), "/a~0~1b");
        refused("");
        refused("{} {}");
        refused("\u{feff}{}");
        refused("{\"a\":\"\u{1}\"}");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert!(parse(nested(DEPTH_MAX + 2).as_bytes()).is_err());
        assert!(parse(nested(100_000).as_bytes()).is_err());
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
        assert!(parse(r#"{"a":"#.repeat(100_000).as_bytes()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn what_serde_json_writes_is_read(text in ".{0,40}", number: i64, real: f64) {
            let value = serde_json::json!({"a": [text, number, null, {"b": real}], "c": true});
            let written = serde_json::to_vec(&value).unwrap();
            let read = parse(&written).unwrap();
            // Its own reader may be off by the last digit of a float: so may we.
            let expected: Value = serde_json::from_slice(&written).unwrap();
            proptest::prop_assert_eq!(read, expected);
        }
    }
}
