//! What a message schema says, checked: everything the writers of Rust need, and nothing they would have to parse.

use serde_json::Value;

/// Which jar a schema is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Clients,
    Metadata,
    Raft,
    Groups,
    Shares,
    Transactions,
    Storage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Request,
    Response,
    Metadata,
    CoordinatorKey,
    CoordinatorValue,
    Data,
}

/// A closed range of versions; `max` is `i16::MAX` for "and later". Empty when `min > max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) min: i16,
    pub(super) max: i16,
}

impl Versions {
    pub(super) const NONE: Versions = Versions { min: 0, max: -1 };

    fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<i16>().map_err(|_| format!("versions {text:?}"));
        Ok(match (text, text.strip_suffix('+'), text.split_once('-')) {
            ("none", ..) => Versions::NONE,
            (_, Some(min), _) => Versions { min: number(min)?, max: i16::MAX },
            (_, _, Some((min, max))) => Versions { min: number(min)?, max: number(max)? },
            _ => Versions { min: number(text)?, max: number(text)? },
        })
    }

    pub(super) fn is_empty(self) -> bool {
        self.min > self.max
    }

    pub(super) fn and(self, other: Versions) -> Versions {
        Versions { min: self.min.max(other.min), max: self.max.min(other.max) }
    }

    /// The smallest range that has both.
    fn hull(self, other: Versions) -> Versions {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self,
            _ => Versions { min: self.min.min(other.min), max: self.max.max(other.max) },
        }
    }

    pub(super) fn contains(self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    pub(super) fn covers(self, other: Versions) -> bool {
        other.is_empty() || (self.min <= other.min && other.max <= self.max)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    /// Rust's name of the type, which is also the codec's method, and its size in bytes.
    Number(&'static str, usize),
    Uuid,
    String,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Type>),
}

impl Type {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(element) = text.strip_prefix("[]") {
            return Ok(Type::Array(Box::new(Type::parse(element)?)));
        }
        Ok(match text {
            "bool" => Type::Bool,
            "int8" => Type::Number("i8", 1),
            "int16" => Type::Number("i16", 2),
            "uint16" => Type::Number("u16", 2),
            "int32" => Type::Number("i32", 4),
            "uint32" => Type::Number("u32", 4),
            "int64" => Type::Number("i64", 8),
            "float64" => Type::Number("f64", 8),
            "uuid" => Type::Uuid,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "records" => Type::Records,
            name if name.starts_with(|c: char| c.is_ascii_uppercase()) => Type::Struct(name.into()),
            _ => return Err(format!("type {text:?}")),
        })
    }

    /// The struct this is, or is an array of.
    pub(super) fn struct_name(&self) -> Option<&str> {
        match self {
            Type::Struct(name) => Some(name),
            Type::Array(element) => element.struct_name(),
            _ => None,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Type,
    pub(super) versions: Versions,
    pub(super) nullable: Versions,
    pub(super) flexible: Versions,
    pub(super) tag: Option<u32>,
    /// As the schema writes it; "null" for null.
    pub(super) default: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Struct {
    pub(super) name: String,
    /// The versions in which the struct occurs.
    pub(super) versions: Versions,
    pub(super) fields: Vec<Field>,
}

#[derive(Debug, Clone)]
pub(super) struct Schema {
    pub(super) group: Group,
    pub(super) role: Role,
    pub(super) name: String,
    pub(super) api_key: Option<i16>,
    pub(super) valid: Versions,
    pub(super) flexible: Versions,
    pub(super) latest_unstable: bool,
    pub(super) listeners: Vec<String>,
    /// The message itself, then the structs in it in the order in which they are first used.
    pub(super) structs: Vec<Struct>,
}

impl Schema {
    /// False for an API whose last version is gone.
    pub(super) fn has_body(&self) -> bool {
        !self.valid.is_empty()
    }

    /// Whether strings and bytes are kept apart from the frame: so for everything that is replayed into state.
    pub(super) fn is_owned(&self) -> bool {
        !matches!(self.role, Role::Request | Role::Response)
    }

    pub(super) fn is_answered_by(&self, other: &Schema) -> bool {
        self.role == Role::Request && other.role == Role::Response && self.api_key == other.api_key
    }

    pub(super) fn find(&self, name: &str) -> Result<&Struct, String> {
        self.structs.iter().find(|found| found.name == name).ok_or_else(|| format!("no struct {name}"))
    }
}

/// `None` for what is not a message of its own: headers, and the table of control record types.
pub(super) fn parse(group: Group, json: &str) -> Result<Option<Schema>, String> {
    let json: Value = serde_json::from_str(&without_comments(json)).map_err(|error| error.to_string())?;
    let name = text(&json, "name")?;
    let role = match text(&json, "type")? {
        "request" => Role::Request,
        "response" => Role::Response,
        "metadata" => Role::Metadata,
        "coordinator-key" => Role::CoordinatorKey,
        "coordinator-value" => Role::CoordinatorValue,
        "data" => Role::Data,
        "header" => return Ok(None),
        other => return Err(format!("message type {other:?}")),
    };
    let flexible = json["flexibleVersions"].as_str().map_or(Ok(Versions::NONE), Versions::parse)?;
    let mut schema = Schema {
        group,
        role,
        name: name.to_owned(),
        api_key: json["apiKey"].as_i64().map(i16::try_from).transpose().map_err(|error| error.to_string())?,
        valid: Versions::parse(text(&json, "validVersions")?)?,
        flexible,
        latest_unstable: json["latestVersionUnstable"].as_bool().unwrap_or(false),
        listeners: list(&json, "listeners").filter_map(|value| value.as_str().map(str::to_owned)).collect(),
        structs: Vec::new(),
    };
    read_struct(&mut schema, name, &json)?;
    for common in list(&json, "commonStructs") {
        read_struct(&mut schema, text(common, "name")?, common)?;
    }
    let valid = schema.valid;
    occur(&mut schema, name, valid)?;
    Ok(Some(schema))
}

/// Adds a struct, then those written inside its fields.
fn read_struct(schema: &mut Schema, name: &str, json: &Value) -> Result<(), String> {
    let at = schema.structs.len();
    schema.structs.push(Struct { name: name.to_owned(), versions: Versions::NONE, fields: Vec::new() });
    let mut fields = Vec::new();
    for value in list(json, "fields") {
        let field = read_field(schema, value).map_err(|error| format!("{name}.{}: {error}", value["name"]))?;
        if let (Some(inner), true) = (field.kind.struct_name(), value["fields"].is_array()) {
            read_struct(schema, inner, value)?;
        }
        fields.push(field);
    }
    schema.structs[at].fields = fields;
    Ok(())
}

fn read_field(schema: &Schema, json: &Value) -> Result<Field, String> {
    let tagged = json["taggedVersions"].as_str().map(Versions::parse).transpose()?;
    let versions = match (json["versions"].as_str(), tagged) {
        (Some(versions), _) => Versions::parse(versions)?,
        (None, Some(tagged)) => tagged,
        (None, None) => return Err("no versions".into()),
    };
    let tag = json["tag"].as_u64().map(|tag| tag as u32);
    if tag.is_some() != tagged.is_some() || tagged.is_some_and(|tagged| tagged != versions) {
        return Err("a field that is tagged in some of its versions only".into());
    }
    Ok(Field {
        name: text(json, "name")?.to_owned(),
        kind: Type::parse(text(json, "type")?)?,
        versions,
        nullable: json["nullableVersions"].as_str().map_or(Ok(Versions::NONE), Versions::parse)?,
        flexible: json["flexibleVersions"].as_str().map_or(Ok(schema.flexible), Versions::parse)?,
        tag,
        default: match json.get("default") {
            // Kafka's own generator takes a JSON null for "no default is given", and the text "null" for null.
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(value) => Some(value.to_string()),
        },
    })
}

/// Widens the versions of the struct `name` by `versions`, and of the structs in it by what they share with it.
fn occur(schema: &mut Schema, name: &str, versions: Versions) -> Result<(), String> {
    let at = schema.structs.iter().position(|found| found.name == name).ok_or_else(|| format!("no struct {name}"))?;
    schema.structs[at].versions = schema.structs[at].versions.hull(versions);
    for field in schema.structs[at].fields.clone() {
        if let Some(inner) = field.kind.struct_name() {
            occur(schema, inner, versions.and(field.versions))?;
        }
    }
    Ok(())
}

fn text<'a>(json: &'a Value, key: &str) -> Result<&'a str, String> {
    json[key].as_str().ok_or_else(|| format!("no {key}"))
}

fn list<'a>(json: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    json[key].as_array().into_iter().flatten()
}

/// The schemas are JSON with `//` comments.
fn without_comments(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for line in json.lines() {
        let mut in_string = false;
        let mut end = line.len();
        let bytes = line.as_bytes();
        for (index, &byte) in bytes.iter().enumerate() {
            match byte {
                b'"' if index == 0 || bytes[index - 1] != b'\\' => in_string = !in_string,
                b'/' if !in_string && bytes.get(index + 1) == Some(&b'/') => {
                    end = index;
                    break;
                }
                _ => {}
            }
        }
        text.push_str(&line[..end]);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(Versions::parse("none"), Ok(Versions::NONE));
        assert_eq!(Versions::parse("3"), Ok(Versions { min: 3, max: 3 }));
        assert_eq!(Versions::parse("3+"), Ok(Versions { min: 3, max: i16::MAX }));
        assert_eq!(Versions::parse("3-13"), Ok(Versions { min: 3, max: 13 }));
        assert!(Versions::parse("x").is_err());
    }

    #[test]
    fn comments_end_outside_strings_only() {
        assert_eq!(without_comments("// a\n{ \"b\": \"c//d\" } // e"), "\n{ \"b\": \"c//d\" } \n");
    }

    #[test]
    fn a_nested_struct_occurs_where_its_field_does() {
        let json = r#"{ "type": "request", "name": "A", "validVersions": "1-5", "flexibleVersions": "4+", "fields": [
            { "name": "Bs", "type": "[]B", "versions": "3+", "fields": [
                { "name": "C", "type": "string", "versions": "0+", "nullableVersions": "4+", "default": "null" } ] } ] }"#;
        let schema = parse(Group::Clients, json).unwrap().unwrap();
        assert_eq!(schema.structs[0].versions, Versions { min: 1, max: 5 });
        assert_eq!(schema.structs[1].versions, Versions { min: 3, max: 5 });
        assert_eq!(schema.structs[1].fields[0].default.as_deref(), Some("null"));
    }
}
