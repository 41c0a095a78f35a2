//! One Rust module for one schema: a struct for the message and for each struct in it, and how they are read and written.

use std::fmt::Write;

use super::names;
use super::schema::{Field, Schema, Struct, Type, Versions};
use super::{KAFKA, tables};

/// The module of one schema; `response` is the schema of what answers a request.
pub(super) fn module(schema: &Schema, response: Option<&Schema>) -> Result<String, String> {
    let mut body = String::new();
    for item in &schema.structs {
        body.push_str(&Writer { schema, item }.write()?);
    }
    body.push_str(&constants(schema)?);
    let mut uses = String::from("use crate::codec::*;\n");
    if let Some(response) = response {
        body.push_str(&request(schema, response)?);
        uses.push_str("use crate::generated::api::ApiKey;\n");
    }
    if body.contains("Uuid") {
        uses.push_str("use crate::uuid::Uuid;\n");
    }
    let versions = format!("versions {}-{} of Apache Kafka {KAFKA}", schema.valid.min, schema.valid.max);
    Ok(format!("//! `{}`, {versions}.\n{}\n{uses}{body}", schema.name, tables::MARK))
}

fn constants(schema: &Schema) -> Result<String, String> {
    let anonymous = if has_lifetime(schema, &schema.structs[0])? { "<'_>" } else { "" };
    let flexible = schema.flexible.and(schema.valid);
    let flexible_from = if flexible.is_empty() { "i16::MAX".to_owned() } else { flexible.min.to_string() };
    Ok(format!(
        "\nimpl {name}{anonymous} {{ pub const MIN_VERSION: i16 = {min}; pub const MAX_VERSION: i16 = {max};\n\
         /// The first version with compact lengths and tagged fields (KIP-482); `i16::MAX` for none.\n\
         pub const FLEXIBLE_FROM: i16 = {flexible_from}; }}\n",
        name = schema.name,
        min = schema.valid.min,
        max = schema.valid.max,
    ))
}

fn request(schema: &Schema, response: &Schema) -> Result<String, String> {
    let name = &schema.name;
    let api = name.strip_suffix("Request").ok_or("a request without the name of one")?;
    let lifetime = if has_lifetime(schema, &schema.structs[0])? { "<'a>" } else { "" };
    let response_lifetime = if has_lifetime(response, &response.structs[0])? { "<'r>" } else { "" };
    Ok(format!(
        "\nimpl<'a> Request<'a> for {name}{lifetime} {{ const KEY: ApiKey = ApiKey::{api};\n\
         type Response<'r> = crate::generated::messages::{response}{response_lifetime}; }}\n",
        response = response.name,
    ))
}

/// Whether a struct borrows from the frame.
pub(super) fn has_lifetime(schema: &Schema, item: &Struct) -> Result<bool, String> {
    if schema.is_owned() {
        return Ok(false);
    }
    for field in &item.fields {
        if type_has_lifetime(schema, &field.kind)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn type_has_lifetime(schema: &Schema, kind: &Type) -> Result<bool, String> {
    match kind {
        Type::String | Type::Bytes | Type::Records => Ok(!schema.is_owned()),
        Type::Struct(name) => has_lifetime(schema, schema.find(name)?),
        Type::Array(element) => type_has_lifetime(schema, element),
        Type::Bool | Type::Number(..) | Type::Uuid => Ok(false),
    }
}

struct Writer<'s> {
    schema: &'s Schema,
    item: &'s Struct,
}

impl Writer<'_> {
    fn write(&self) -> Result<String, String> {
        let name = &self.item.name;
        let lifetime = if has_lifetime(self.schema, self.item)? { "<'a>" } else { "" };
        let mut fields = String::new();
        let mut defaults = String::new();
        let mut plain_default = true;
        for field in self.fields() {
            let (default, plain) = self.default(field)?;
            plain_default &= plain;
            let rust_name = names::field(&field.name);
            write!(fields, "{}pub {rust_name}: {},", self.note(field), self.rust_type(field)?).expect("write");
            write!(defaults, "{rust_name}: {default},").expect("write");
        }
        let derived = if plain_default { ", Default" } else { "" };
        let mut text =
            format!("\n#[derive(Debug, Clone, PartialEq{derived})]\npub struct {name}{lifetime} {{ {fields} }}\n");
        if !plain_default {
            let anonymous = if lifetime.is_empty() { "" } else { "<'_>" };
            write!(
                text,
                "\nimpl Default for {name}{anonymous} {{ fn default() -> Self {{ {name} {{ {defaults} }} }} }}\n"
            )
            .expect("write");
        }
        let (decode, encode) = (self.decode()?, self.encode()?);
        let parameter =
            |name: &'static str, body: &str| if uses(body, name) { name.to_owned() } else { format!("_{name}") };
        write!(
            text,
            "\nimpl<'a> Message<'a> for {name}{lifetime} {{ const MIN_SIZE: usize = {min};\n\n\
             fn decode({d}: &mut Decoder<'a>, {vd}: i16) -> Result<Self, DecodeError> {{ {decode} }}\n\n\
             fn encode(&self, {e}: &mut Encoder, {ve}: i16) {{ {encode} }} }}\n",
            min = self.min_size()?,
            d = parameter("d", &decode),
            vd = parameter("v", &decode),
            e = parameter("e", &encode),
            ve = parameter("v", &encode),
        )
        .expect("write");
        Ok(text)
    }

    /// The fields that occur in some version of the struct.
    fn fields(&self) -> impl Iterator<Item = &Field> {
        self.item.fields.iter().filter(|field| !field.versions.and(self.item.versions).is_empty())
    }

    fn untagged(&self) -> impl Iterator<Item = &Field> {
        self.fields().filter(|field| field.tag.is_none())
    }

    /// In ascending order.
    fn tagged(&self) -> Vec<(u32, &Field)> {
        let mut tagged: Vec<_> = self.fields().filter_map(|field| Some((field.tag?, field))).collect();
        tagged.sort_by_key(|(tag, _)| *tag);
        tagged
    }

    fn is_nullable(&self, field: &Field) -> bool {
        !field.nullable.and(field.versions).and(self.item.versions).is_empty() && field.kind != Type::Records
    }

    /// A doc line for a field that is not in all versions.
    fn note(&self, field: &Field) -> String {
        let versions = field.versions.and(self.item.versions);
        if field.versions.covers(self.item.versions) {
            return String::new();
        }
        match (versions.min, versions.max) {
            (min, max) if max == self.item.versions.max => format!("\n/// Version {min}+.\n"),
            (min, max) if min == max => format!("\n/// Version {min}.\n"),
            (min, max) => format!("\n/// Versions {min}-{max}.\n"),
        }
    }

    fn rust_type(&self, field: &Field) -> Result<String, String> {
        let inner = self.type_name(&field.kind)?;
        Ok(if self.is_nullable(field) { format!("Option<{inner}>") } else { inner })
    }

    fn type_name(&self, kind: &Type) -> Result<String, String> {
        Ok(match (kind, self.schema.is_owned()) {
            (Type::Bool, _) => "bool".into(),
            (Type::Number(name, _), _) => (*name).into(),
            (Type::Uuid, _) => "Uuid".into(),
            (Type::String, true) => "String".into(),
            (Type::String, false) => "Str<'a>".into(),
            (Type::Bytes, true) => "Vec<u8>".into(),
            (Type::Bytes, false) => "Bytes<'a>".into(),
            (Type::Records, _) => "Records<'a>".into(),
            (Type::Array(element), _) => format!("Vec<{}>", self.type_name(element)?),
            (Type::Struct(name), _) if has_lifetime(self.schema, self.schema.find(name)?)? => format!("{name}<'a>"),
            (Type::Struct(name), _) => name.clone(),
        })
    }

    /// The default as an expression, and whether it is that of the Rust type.
    fn default(&self, field: &Field) -> Result<(String, bool), String> {
        if self.is_nullable(field) {
            return Ok(match field.default.as_deref() {
                Some("null") => ("None".into(), true),
                _ => ("Some(Default::default())".into(), false),
            });
        }
        let written = field.default.as_deref().unwrap_or("");
        Ok(match (&field.kind, written) {
            (Type::Bool, "true") => ("true".into(), false),
            (Type::Bool, "" | "false") => ("false".into(), true),
            (Type::Number("f64", _), "") => ("0.0".into(), true),
            (Type::Number(..), _) => {
                let value = number(written)?;
                (value.to_string(), value == 0)
            }
            (Type::Records, "null" | "") => ("Records::Null".into(), true),
            (_, "") => ("Default::default()".into(), true),
            _ => return Err(format!("default {written:?} of {}", field.name)),
        })
    }

    /// What must hold of the version for it to be in `versions`, given that the struct occurs. `None`: nothing.
    fn condition(&self, versions: Versions) -> Option<String> {
        let within = versions.and(self.item.versions);
        let all = self.item.versions;
        match (within.min <= all.min, within.max >= all.max) {
            _ if within.is_empty() => Some("false".into()),
            (true, true) => None,
            (false, true) => Some(format!("v >= {}", within.min)),
            (true, false) => Some(format!("v <= {}", within.max)),
            _ if within.min == within.max => Some(format!("v == {}", within.min)),
            (false, false) => Some(format!("({}..={}).contains(&v)", within.min, within.max)),
        }
    }

    /// As [`Self::condition`], for use where the field is known to be present.
    fn flag(&self, versions: Versions, field: &Field) -> String {
        if versions.covers(field.versions.and(self.item.versions)) {
            return "true".into();
        }
        self.condition(versions).unwrap_or_else(|| "true".into())
    }

    fn flex(&self, field: &Field) -> String {
        let own = field.flexible != self.schema.flexible;
        match self.flag(field.flexible, field).as_str() {
            text @ ("true" | "false") => text.into(),
            text if own => text.into(),
            _ => "flex".into(),
        }
    }

    fn flex_statement(&self, body: &str) -> String {
        match self.condition(self.schema.flexible) {
            Some(condition) if body.contains("flex") => format!("let flex = {condition};"),
            _ => String::new(),
        }
    }

    /// Wraps the statement that handles the tags of a flexible version.
    fn when_flexible(&self, statement: &str) -> String {
        match self.condition(self.schema.flexible).as_deref() {
            None => statement.into(),
            Some("false") => String::new(),
            Some(_) => format!("if flex {{ {statement} }}"),
        }
    }

    fn decode(&self) -> Result<String, String> {
        let mut body = String::new();
        let mut count = 0;
        for field in self.untagged() {
            count += 1;
            let read = format!("m.{} = {};", names::field(&field.name), self.read(field)?);
            match self.condition(field.versions) {
                Some(condition) => write!(body, "if {condition} {{ {read} }}"),
                None => write!(body, "{read}"),
            }
            .expect("write");
        }
        let tagged = self.tagged();
        if tagged.is_empty() {
            body.push_str(&self.when_flexible("d.skip_tags()?;"));
        } else {
            let mut arms = String::new();
            for (tag, field) in &tagged {
                count += 1;
                // Outside its versions the tag is one that is not known.
                let guard = match self.condition(field.versions.and(self.schema.flexible)) {
                    Some(condition) if !self.is_flexible_condition(field) => format!(" if {condition}"),
                    _ => String::new(),
                };
                write!(arms, "{tag}{guard} => m.{} = {},", names::field(&field.name), self.read(field)?)
                    .expect("write");
            }
            body.push_str(&self.when_flexible(&format!(
                "let mut tags = d.tags()?; while let Some(tag) = d.next_tag(&mut tags)? {{ \
                 match tag {{ {arms} _ => d.skip_tag(&tags)?, }} }}"
            )));
        }
        let check = match self.item.name == self.schema.name {
            true => {
                "if !(Self::MIN_VERSION..=Self::MAX_VERSION).contains(&v) { return Err(DecodeError::UnsupportedVersion); }"
            }
            false => "",
        };
        let mutable = if count == 0 { "" } else { "mut " };
        let flex = self.flex_statement(&body);
        Ok(format!("{check} {flex} let {mutable}m = Self::default(); {body} Ok(m)"))
    }

    /// Whether a tagged field is there in every flexible version of the struct.
    fn is_flexible_condition(&self, field: &Field) -> bool {
        field.versions.covers(self.schema.flexible.and(self.item.versions))
    }

    fn read(&self, field: &Field) -> Result<String, String> {
        let (flex, nullable) = (self.flex(field), self.flag(field.nullable, field));
        let owned = if self.schema.is_owned() { "owned_" } else { "" };
        let opt = self.is_nullable(field);
        let call = |method: &str, version: &str| match opt {
            true => format!("d.opt_{method}({flex}, {nullable}{version})?"),
            false => format!("d.{method}({flex}{version})?"),
        };
        Ok(match &field.kind {
            Type::Bool => "d.bool()?".into(),
            Type::Number(name, _) => format!("d.{name}()?"),
            Type::Uuid => "d.uuid()?".into(),
            Type::String => call(&format!("{owned}string"), ""),
            Type::Bytes => call(&format!("{owned}bytes"), ""),
            Type::Records => format!("d.records({flex}, {nullable})?"),
            Type::Struct(_) if opt && field.tag.is_some() => "d.opt_tagged_struct(v)?".into(),
            Type::Struct(_) if opt => format!("d.opt_struct({nullable}, v)?"),
            Type::Struct(name) => format!("{name}::decode(d, v)?"),
            Type::Array(element) if **element == Type::String => call(&format!("{owned}strings"), ""),
            Type::Array(_) => call("array", ", v"),
        })
    }

    fn encode(&self) -> Result<String, String> {
        let mut body = String::new();
        for field in self.untagged() {
            let write = self.put(field);
            match self.condition(field.versions) {
                Some(condition) => write!(body, "if {condition} {{ {write} }}"),
                None => write!(body, "{write}"),
            }
            .expect("write");
        }
        let tagged = self.tagged();
        if tagged.is_empty() {
            body.push_str(&self.when_flexible("e.uvarint(0);"));
        } else {
            let mut tags = String::new();
            for (tag, field) in &tagged {
                let mut condition = self.differs(field);
                if let (Some(version), false) = (self.condition(field.versions), self.is_flexible_condition(field)) {
                    condition = format!("{version} && {condition}");
                }
                write!(
                    tags,
                    "if {condition} {{ let tag = e.begin_tag(tags, {tag}); {} e.end_tag(tag); }}",
                    self.put(field)
                )
                .expect("write");
            }
            body.push_str(&self.when_flexible(&format!("let tags = e.begin_tags(); {tags}")));
        }
        Ok(format!("{} {body}", self.flex_statement(&body)).trim().to_owned())
    }

    fn put(&self, field: &Field) -> String {
        let (flex, nullable) = (self.flex(field), self.flag(field.nullable, field));
        let name = names::field(&field.name);
        match (&field.kind, self.is_nullable(field)) {
            (Type::Bool, _) => format!("e.bool(self.{name});"),
            (Type::Number(method, _), _) => format!("e.{method}(self.{name});"),
            (Type::Uuid, _) => format!("e.uuid(self.{name});"),
            (Type::String, false) => format!("e.string({flex}, &self.{name});"),
            (Type::String, true) => format!("e.opt_string({flex}, {nullable}, self.{name}.as_deref());"),
            (Type::Bytes, false) => format!("e.bytes({flex}, &self.{name});"),
            (Type::Bytes, true) => format!("e.opt_bytes({flex}, {nullable}, self.{name}.as_deref());"),
            (Type::Records, _) => format!("e.records({flex}, {nullable}, &self.{name});"),
            (Type::Struct(_), false) => format!("self.{name}.encode(e, v);"),
            (Type::Struct(_), true) if field.tag.is_some() => format!("e.opt_tagged_struct(&self.{name}, v);"),
            (Type::Struct(_), true) => format!("e.opt_struct({nullable}, &self.{name}, v);"),
            (Type::Array(element), opt) => {
                let strings = **element == Type::String;
                let (method, version) = if strings { ("strings", "") } else { ("array", ", v") };
                match opt {
                    true => format!("e.opt_{method}({flex}, {nullable}, &self.{name}{version});"),
                    false => format!("e.{method}({flex}, &self.{name}{version});"),
                }
            }
        }
    }

    /// Whether a tagged field differs from its default, and so is written.
    fn differs(&self, field: &Field) -> String {
        let name = names::field(&field.name);
        let null_default = field.default.as_deref() == Some("null");
        match (&field.kind, self.is_nullable(field)) {
            (_, true) if null_default => format!("self.{name}.is_some()"),
            (Type::Struct(_), true) => format!("self.{name} != Some(Default::default())"),
            (_, true) => format!("self.{name}.as_ref().is_none_or(|value| !value.is_empty())"),
            (Type::Bool, _) if field.default.as_deref() == Some("true") => format!("!self.{name}"),
            (Type::Bool, _) => format!("self.{name}"),
            (Type::Number(..), _) => {
                let (default, _) = self.default(field).unwrap_or_default();
                format!("self.{name} != {default}")
            }
            (Type::Uuid, _) => format!("self.{name} != Uuid::ZERO"),
            (Type::Struct(kind), _) => format!("self.{name} != {kind}::default()"),
            _ => format!("!self.{name}.is_empty()"),
        }
    }

    /// The fewest bytes of the struct in any of its versions; at least 1.
    fn min_size(&self) -> Result<usize, String> {
        let mut min = usize::MAX;
        let versions = self.item.versions;
        for version in versions.min..=versions.max.min(self.schema.valid.max) {
            min = min.min(struct_size(self.schema, self.item, version)?);
        }
        Ok(min.max(1))
    }
}

/// The fewest bytes of a struct in one version.
fn struct_size(schema: &Schema, item: &Struct, version: i16) -> Result<usize, String> {
    let mut size = usize::from(schema.flexible.contains(version));
    for field in item.fields.iter().filter(|field| field.tag.is_none() && field.versions.contains(version)) {
        let flex = field.flexible.contains(version);
        size += match &field.kind {
            Type::Bool => 1,
            Type::Number(_, size) => *size,
            Type::Uuid => 16,
            Type::Struct(_) if field.nullable.contains(version) => 1,
            Type::Struct(name) => struct_size(schema, schema.find(name)?, version)?,
            Type::String | Type::Bytes | Type::Records | Type::Array(_) if flex => 1,
            Type::String => 2,
            Type::Bytes | Type::Records | Type::Array(_) => 4,
        };
    }
    Ok(size)
}

/// Decimal, or hexadecimal with `0x`; "" for 0.
fn number(text: &str) -> Result<i64, String> {
    match (text, text.strip_prefix("0x")) {
        ("", _) => Ok(0),
        (_, Some(digits)) => i64::from_str_radix(digits, 16).map_err(|_| format!("default {text:?}")),
        _ => text.parse().map_err(|_| format!("default {text:?}")),
    }
}

/// Whether `name` stands in the text as a word.
fn uses(text: &str, name: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
}
