//! DescribeClientQuotas (key 48, KIP-546): the quotas that were set, by the entities they are for (`ClientQuotasImage`).

use std::collections::BTreeMap;

use state::metadata::decide::quota_entity_types;
use state::metadata::{Image, QuotaEntity};
use wire::ErrorCode;
use wire::generated::describe_client_quotas_request::{ComponentData, DescribeClientQuotasRequest};
use wire::generated::describe_client_quotas_response::{
    DescribeClientQuotasResponse, EntityData, EntryData, ValueData,
};

use super::{Api, Context};
use crate::net::Reply;

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

/// What one part of an entity has to be.
enum Wanted {
    /// No name is the default.
    Name(Option<String>),
    Any,
}

type Filter = BTreeMap<String, Wanted>;
type Refused = (ErrorCode, String);

pub(super) fn handle(api: &Api, cx: &Context) -> Result<Reply, String> {
    let request: DescribeClientQuotasRequest<'_> = cx.decode()?;
    Ok(match filter(&request.components) {
        Ok(filter) => {
            let entries = Some(found(&api.router.image(), &filter, request.strict));
            cx.reply(&DescribeClientQuotasResponse { error_message: None, entries, ..Default::default() })
        }
        Err((code, words)) => cx.reply(&DescribeClientQuotasResponse {
            error_code: code as i16,
            error_message: Some(words.into()),
            entries: None,
            ..Default::default()
        }),
    })
}

fn filter(components: &[ComponentData<'_>]) -> Result<Filter, Refused> {
    let mut filter = Filter::new();
    let invalid = |words: &str| Err((ErrorCode::InvalidRequest, words.to_owned()));
    for one in components {
        let kind = one.entity_type.as_ref();
        if kind.is_empty() {
            return invalid("a kind of entity has no name");
        }
        if filter.contains_key(kind) {
            return Err((ErrorCode::InvalidRequest, format!("{kind} stands in the filter more than once")));
        }
        if !quota_entity_types().contains(&kind) {
            return Err((ErrorCode::UnsupportedVersion, format!("{kind:?} is no kind of entity that has quotas")));
        }
        let wanted = match (one.match_type, one.r#match.as_deref()) {
            (EXACT, Some(name)) => Wanted::Name(Some(name.to_owned())),
            (DEFAULT, None) => Wanted::Name(None),
            (SPECIFIED, None) => Wanted::Any,
            (EXACT, None) => return invalid("an exact match needs a name"),
            (DEFAULT | SPECIFIED, Some(_)) => return invalid("this match takes no name"),
            _ => return invalid("match types are 0 (exact), 1 (default) and 2 (any)"),
        };
        filter.insert(kind.to_owned(), wanted);
    }
    if filter.contains_key("ip") && filter.len() > 1 {
        return invalid("an ip stands alone, without user or client-id");
    }
    Ok(filter)
}

fn found(image: &Image, filter: &Filter, strict: bool) -> Vec<EntryData<'static>> {
    let mut entries = Vec::new();
    for (entity, quotas) in image.quotas() {
        if !matches(entity, filter, strict) {
            continue;
        }
        let part = |(kind, name): &(String, Option<String>)| EntityData {
            entity_type: kind.clone().into(),
            entity_name: name.clone().map(Into::into),
        };
        entries.push(EntryData {
            entity: entity.iter().map(part).collect(),
            values: quotas.map(|(key, value)| ValueData { key: key.to_owned().into(), value }).collect(),
        });
    }
    entries
}

fn matches(entity: &QuotaEntity, filter: &Filter, strict: bool) -> bool {
    if strict && entity.len() != filter.len() {
        return false;
    }
    filter.iter().all(|(kind, wanted)| {
        let part = entity.iter().find(|(known, _)| known == kind);
        part.is_some_and(|(_, name)| match wanted {
            Wanted::Name(wanted) => name == wanted,
            Wanted::Any => true,
        })
    })
}
