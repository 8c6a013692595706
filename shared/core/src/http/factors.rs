//! The requests about the caller's second factors, from their paths, bodies and query strings.

use crate::flow::password::factors::{FactorsOperation, FactorsRequest};
use crate::flow::password::passkeys::MAX_NAME_CHARS;
use crate::http::account::language;
use crate::http::body::{self, Accepts, Flag, Parameter};
use crate::http::error::ApiError;
use crate::http::passkey::CredentialJson;
use crate::http::request::{Request, principal_of};
use crate::passkey::PasskeyId;
use crate::ports::mail::Language;
use crate::secret::SecretString;
use http::Method;
use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(default)]
struct FactorsBody {
    enrolment_token: Parameter<SecretString>,
    code: Parameter<SecretString>,
    passkey: CredentialJson,
    name: Parameter<String>,
    end_other_sessions: Flag,
    language: Parameter<String>,
}

impl FactorsRequest {
    /// Parses the request by the end of its path. The segments before are a stage or the base path of a custom domain. A `DELETE`
    /// has its parameters in the query string.
    ///
    /// # Errors
    /// The [`ApiError`] of another path or method, or of a malformed request.
    pub fn parse(request: &mut Request) -> Result<Self, ApiError> {
        let path = request.uri().path().to_owned();
        let (_, path) = path.rsplit_once("/factors").ok_or(ApiError::NotFound)?;
        let method = request.method().clone();
        let principal = principal_of(request);
        let bare =
            |operation| Self { principal, operation, end_others: false, language: Language::default() };
        match (path, method) {
            ("", Method::GET) => Ok(bare(FactorsOperation::Show)),
            ("", _) => Err(ApiError::MethodNotAllowed("GET")),
            ("/totp", Method::DELETE) => {
                let (end_others, language) = query(request)?;
                Ok(Self { end_others, language, ..bare(FactorsOperation::RemoveTotp) })
            }
            ("/totp", Method::POST) => with_body(request, |_| Ok(FactorsOperation::BeginTotp)),
            ("/totp", _) => Err(ApiError::MethodNotAllowed("POST, DELETE")),
            ("/totp/confirm", _) => with_body(request, |body| {
                Ok(FactorsOperation::ConfirmTotp {
                    enrolment: body
                        .enrolment_token
                        .required("The enrolment_token is missing.", "The enrolment_token must be text.")?,
                    code: body.code.required("The code is missing.", "The code must be text.")?,
                })
            }),
            ("/recovery-codes", _) => with_body(request, |_| Ok(FactorsOperation::RecoveryCodes)),
            ("/passkeys/options", _) => with_body(request, |_| Ok(FactorsOperation::BeginPasskey)),
            ("/passkeys", _) => with_body(request, |body| {
                let name = name(body.name)?;
                Ok(FactorsOperation::AddPasskey { response: body.passkey.attestation()?, name })
            }),
            (path, method) => {
                let id = path.strip_prefix("/passkeys/").ok_or(ApiError::NotFound)?;
                let id = PasskeyId::parse(id).ok_or(ApiError::NotFound)?;
                match method {
                    Method::PATCH => {
                        let body: FactorsBody = body::read_patch(request)?;
                        let operation = FactorsOperation::RenamePasskey(id, name(body.name)?);
                        Ok(Self { operation, ..bare(FactorsOperation::Show) })
                    }
                    Method::DELETE => {
                        let (end_others, language) = query(request)?;
                        Ok(Self { end_others, language, ..bare(FactorsOperation::RemovePasskey(id)) })
                    }
                    _ => Err(ApiError::MethodNotAllowed("PATCH, DELETE")),
                }
            }
        }
    }
}

/// The request of a body.
fn with_body(
    request: &mut Request,
    operation: impl FnOnce(FactorsParameters) -> Result<FactorsOperation, ApiError>,
) -> Result<FactorsRequest, ApiError> {
    let body: FactorsBody = body::read(request, Accepts::Json)?;
    let (end_others, language) = (body.end_other_sessions.is_set()?, language(body.language)?);
    let parameters = FactorsParameters {
        enrolment_token: body.enrolment_token,
        code: body.code,
        passkey: body.passkey,
        name: body.name,
    };
    Ok(FactorsRequest {
        principal: principal_of(request),
        operation: operation(parameters)?,
        end_others,
        language,
    })
}

/// The members that only some operations need.
struct FactorsParameters {
    enrolment_token: Parameter<SecretString>,
    code: Parameter<SecretString>,
    passkey: CredentialJson,
    name: Parameter<String>,
}

/// The name of a passkey.
fn name(parameter: Parameter<String>) -> Result<String, ApiError> {
    const WRONG: &str = "The name has control characters, or more than 64 characters.";
    let name = parameter.required("The name is missing.", WRONG)?;
    let is_good = name.chars().count() <= MAX_NAME_CHARS && !name.chars().any(char::is_control);
    if is_good { Ok(name) } else { Err(ApiError::InvalidRequest(WRONG)) }
}

/// Whether the other sessions end, and the language of the notice.
fn query(request: &Request) -> Result<(bool, Language), ApiError> {
    let (mut end_others, mut tag) = (false, None);
    for (name, value) in form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "end_other_sessions" => {
                end_others = value.parse().map_err(|_| {
                    ApiError::InvalidRequest("A parameter that must be true or false is not.")
                })?;
            }
            "language" => tag = Some(value.into_owned()),
            _ => {}
        }
    }
    let parse = |tag: String| {
        Language::parse(&tag)
            .ok_or(ApiError::InvalidRequest("The language is not a tag such as de or de-CH."))
    };
    Ok((end_others, tag.map(parse).transpose()?.unwrap_or_default()))
}
