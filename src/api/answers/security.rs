//! Security: listeners are plain, there is no authorizer, no SCRAM user and no delegation token.

use std::collections::BTreeMap;

use wire::ErrorCode;
use wire::generated::alter_user_scram_credentials_response::{
    AlterUserScramCredentialsResponse, AlterUserScramCredentialsResult,
};
use wire::generated::create_acls_response::{AclCreationResult, CreateAclsResponse};
use wire::generated::delete_acls_response::{DeleteAclsFilterResult, DeleteAclsResponse};
use wire::generated::describe_user_scram_credentials_response::{
    DescribeUserScramCredentialsResponse, DescribeUserScramCredentialsResult,
};
use wire::messages::{
    AlterUserScramCredentialsRequest, CreateAclsRequest, CreateDelegationTokenRequest, CreateDelegationTokenResponse,
    DeleteAclsRequest, DescribeAclsRequest, DescribeAclsResponse, DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse, DescribeUserScramCredentialsRequest, ExpireDelegationTokenRequest,
    ExpireDelegationTokenResponse, RenewDelegationTokenRequest, RenewDelegationTokenResponse, SaslAuthenticateRequest,
    SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};

use super::{Answer, Api, Context, NOT_SERVED, text};

const SECURITY_DISABLED: i16 = ErrorCode::SecurityDisabled as i16;
const NO_AUTHORIZER: &str = "no authorizer is configured";
const SCRAM: &str = "SCRAM credentials are not served by this release";

/// Who everybody is on a plain listener.
const ANONYMOUS: (&str, &str) = ("User", "ANONYMOUS");

/// Tokens are given to those who proved who they are; a plain listener's clients did not.
const TOKEN_NOT_ALLOWED: i16 = ErrorCode::DelegationTokenRequestNotAllowed as i16;

pub(in crate::api) fn sasl_handshake(_: &Api, cx: &Context) -> Answer {
    cx.decode::<SaslHandshakeRequest<'_>>()?;
    Ok(cx.reply(&SaslHandshakeResponse { error_code: ErrorCode::IllegalSaslState as i16, ..Default::default() }))
}

pub(in crate::api) fn sasl_authenticate(_: &Api, cx: &Context) -> Answer {
    cx.decode::<SaslAuthenticateRequest<'_>>()?;
    let error_message = text("this listener does not ask who its clients are");
    let error_code = ErrorCode::IllegalSaslState as i16;
    Ok(cx.reply(&SaslAuthenticateResponse { error_code, error_message, ..Default::default() }))
}

pub(in crate::api) fn describe_acls(_: &Api, cx: &Context) -> Answer {
    cx.decode::<DescribeAclsRequest<'_>>()?;
    let (error_code, error_message) = (SECURITY_DISABLED, text(NO_AUTHORIZER));
    Ok(cx.reply(&DescribeAclsResponse { error_code, error_message, ..Default::default() }))
}

pub(in crate::api) fn create_acls(_: &Api, cx: &Context) -> Answer {
    let request: CreateAclsRequest<'_> = cx.decode()?;
    let each = || AclCreationResult { error_code: SECURITY_DISABLED, error_message: text(NO_AUTHORIZER) };
    let results = request.creations.iter().map(|_| each()).collect();
    Ok(cx.reply(&CreateAclsResponse { results, ..Default::default() }))
}

pub(in crate::api) fn delete_acls(_: &Api, cx: &Context) -> Answer {
    let request: DeleteAclsRequest<'_> = cx.decode()?;
    let each = || DeleteAclsFilterResult {
        error_code: SECURITY_DISABLED,
        error_message: text(NO_AUTHORIZER),
        ..Default::default()
    };
    let filter_results = request.filters.iter().map(|_| each()).collect();
    Ok(cx.reply(&DeleteAclsResponse { filter_results, ..Default::default() }))
}

/// No user has credentials. One that is named twice is an error of its own (`ScramImage.describe`).
pub(in crate::api) fn describe_scram(_: &Api, cx: &Context) -> Answer {
    let request: DescribeUserScramCredentialsRequest<'_> = cx.decode()?;
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for user in request.users.iter().flatten() {
        *named.entry(&user.name).or_default() += 1;
    }
    let results = named.into_iter().map(|(user, count)| {
        let (code, words) = match count {
            1 => (ErrorCode::ResourceNotFound, format!("user {user} has no SCRAM credentials")),
            _ => (ErrorCode::DuplicateResource, format!("user {user} was named {count} times")),
        };
        DescribeUserScramCredentialsResult {
            user: user.into(),
            error_code: code as i16,
            error_message: Some(words.into()),
            ..Default::default()
        }
    });
    Ok(cx.reply(&DescribeUserScramCredentialsResponse { results: results.collect(), ..Default::default() }))
}

pub(in crate::api) fn alter_scram(_: &Api, cx: &Context) -> Answer {
    let request: AlterUserScramCredentialsRequest<'_> = cx.decode()?;
    let mut users: Vec<&str> = request.deletions.iter().map(|one| one.name.as_ref()).collect();
    users.extend(request.upsertions.iter().map(|one| one.name.as_ref()));
    users.sort_unstable();
    users.dedup();
    let results = users.into_iter().map(|user| AlterUserScramCredentialsResult {
        user: user.into(),
        error_code: NOT_SERVED,
        error_message: text(SCRAM),
    });
    Ok(cx.reply(&AlterUserScramCredentialsResponse { results: results.collect(), ..Default::default() }))
}

pub(in crate::api) fn create_token(_: &Api, cx: &Context) -> Answer {
    let request: CreateDelegationTokenRequest<'_> = cx.decode()?;
    let owner = request.owner_principal_name.as_deref().filter(|name| !name.is_empty());
    let owner_type = request.owner_principal_type.as_deref().filter(|_| owner.is_some());
    Ok(cx.reply(&CreateDelegationTokenResponse {
        error_code: TOKEN_NOT_ALLOWED,
        principal_type: owner_type.unwrap_or(ANONYMOUS.0).into(),
        principal_name: owner.unwrap_or(ANONYMOUS.1).into(),
        token_requester_principal_type: ANONYMOUS.0.into(),
        token_requester_principal_name: ANONYMOUS.1.into(),
        issue_timestamp_ms: -1,
        expiry_timestamp_ms: -1,
        max_timestamp_ms: -1,
        ..Default::default()
    }))
}

pub(in crate::api) fn renew_token(_: &Api, cx: &Context) -> Answer {
    cx.decode::<RenewDelegationTokenRequest<'_>>()?;
    let (error_code, expiry_timestamp_ms) = (TOKEN_NOT_ALLOWED, -1);
    Ok(cx.reply(&RenewDelegationTokenResponse { error_code, expiry_timestamp_ms, ..Default::default() }))
}

pub(in crate::api) fn expire_token(_: &Api, cx: &Context) -> Answer {
    cx.decode::<ExpireDelegationTokenRequest<'_>>()?;
    let (error_code, expiry_timestamp_ms) = (TOKEN_NOT_ALLOWED, -1);
    Ok(cx.reply(&ExpireDelegationTokenResponse { error_code, expiry_timestamp_ms, ..Default::default() }))
}

pub(in crate::api) fn describe_tokens(_: &Api, cx: &Context) -> Answer {
    cx.decode::<DescribeDelegationTokenRequest<'_>>()?;
    Ok(cx.reply(&DescribeDelegationTokenResponse { error_code: TOKEN_NOT_ALLOWED, ..Default::default() }))
}
