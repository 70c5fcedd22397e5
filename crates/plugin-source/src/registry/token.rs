//! Logs in to a registry. Its challenge (the header `WWW-Authenticate`) names the server that issues tokens, the realm,
//! which is checked before credentials are sent there.

use super::{answer, client};
use crate::{
    FetchError,
    error::excerpt,
    reference::{Reference, is_loopback},
};
use http_auth::{ChallengeRef, parser::ChallengeParser};
use oci_client::secrets::RegistryAuth;
use reqwest::{
    Client, Url,
    header::{HeaderMap, WWW_AUTHENTICATE},
    redirect::Policy,
};
use serde::Deserialize;

/// Most bytes of a token server's answer.
const TOKEN_LIMIT: u64 = 1 << 20;

/// What to send to the registry for pulling with these credentials: a token if it asks for one, otherwise the credentials if it
/// asks for any.
///
/// "Requesting a Token": <https://distribution.github.io/distribution/spec/auth/token/>
pub(super) async fn log_in(
    reference: &Reference,
    registry: &Client,
    credentials: RegistryAuth,
) -> Result<RegistryAuth, FetchError> {
    let name = || reference.name.clone();
    let failed = |error: reqwest::Error| answer::failed(reference, &error);
    let rejected = |cause: String| FetchError::Rejected { name: name(), cause };

    let response = registry.get(format!("{}/v2/", reference.url())).send().await.map_err(failed)?;
    if !response.headers().contains_key(WWW_AUTHENTICATE) {
        return Ok(RegistryAuth::Anonymous);
    }
    let Some(mut url) = realm(response.headers()).map_err(rejected)? else { return Ok(credentials) };

    let scope = format!("repository:{}:pull", reference.path());
    url.query_pairs_mut().append_pair("scope", &scope);
    // Redirects are not followed: one could lead to an address that the check of the realm would refuse.
    // The realm may be plain HTTP on this machine, which its check allows.
    let https_only = false;
    let request = client(Policy::none(), https_only).map_err(failed)?.get(url);
    let request = match credentials {
        RegistryAuth::Basic(user, password) => request.basic_auth(user, Some(password)),
        // Credentials are a user with a password, or none.
        _ => request,
    };
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    if status.is_server_error() || status.as_u16() == 429 {
        let cause = format!("its token server answered with status {}", status.as_u16());
        return Err(FetchError::Unavailable { name: name(), cause });
    }
    if !status.is_success() {
        return Err(answer::denied(reference));
    }
    let body = answer::body(response, TOKEN_LIMIT).await.map_err(failed)?;
    let body = body.ok_or_else(|| rejected(format!("its token is larger than {TOKEN_LIMIT} bytes")))?;
    let token = serde_json::from_slice::<Token>(&body).ok().and_then(Token::into_text);
    let token = token.ok_or_else(|| rejected("its token server's answer has no token".to_owned()))?;
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(rejected("its registry issued a token that cannot be sent".to_owned()));
    }
    Ok(RegistryAuth::Bearer(token))
}

/// The token server's answer. It may have the token under either name, or under both: section "Token Response Fields"
/// of the specification.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Token {
    fn into_text(self) -> Option<String> {
        self.token.or(self.access_token).filter(|token| !token.is_empty())
    }
}

/// The realm of the first `Bearer` challenge, with the service that it names as a parameter; `None` if there is no such
/// challenge. An error if the realm has no TLS, or if the challenge does not name exactly one.
fn realm(headers: &HeaderMap) -> Result<Option<Url>, String> {
    let texts = headers.get_all(WWW_AUTHENTICATE).into_iter().filter_map(|header| header.to_str().ok());
    let mut challenges = texts.flat_map(|text| ChallengeParser::new(text).filter_map(Result::ok));
    let Some(challenge) = challenges.find(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer")) else {
        return Ok(None);
    };
    let [realm] = &*parameters(&challenge, "realm") else {
        return Err("its registry does not say once where its tokens are; have it name one realm".to_owned());
    };
    let url = Url::parse(realm).ok();
    let is_safe = |url: &Url| url.scheme() == "https" || url.host_str().is_some_and(is_loopback);
    let Some(mut url) = url.filter(is_safe) else {
        return Err(format!(
            "its registry asks for credentials at {}, which has no TLS; have it name an https realm",
            excerpt(realm)
        ));
    };
    if let Some(service) = parameters(&challenge, "service").first() {
        url.query_pairs_mut().append_pair("service", service);
    }
    Ok(Some(url))
}

/// The values of all parameters with this name.
fn parameters(challenge: &ChallengeRef<'_>, name: &str) -> Vec<String> {
    let named = challenge.params.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.to_unescaped()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn realm_of(challenges: &[&'static str]) -> Result<Option<String>, String> {
        let values = challenges.iter().map(|text| (WWW_AUTHENTICATE, text.parse().unwrap()));
        realm(&values.collect()).map(|url| url.map(String::from))
    }

    #[test]
    fn credentials_go_to_one_realm_that_has_tls_or_is_on_this_machine() {
        for (challenge, expected) in [
            (
                r#"Bearer realm="https://auth.example/token",service="r.example""#,
                Some("https://auth.example/token?service=r.example"),
            ),
            (
                r#"bearer service="r", realm="http://127.0.0.1:5000/token""#,
                Some("http://127.0.0.1:5000/token?service=r"),
            ),
            (r#"Basic realm="http://r.example""#, None),
            ("", None),
        ] {
            assert_eq!(realm_of(&[challenge]), Ok(expected.map(str::to_owned)), "{challenge}");
        }
        for unsafe_challenge in [
            r#"Bearer realm="http://auth.example/token""#,
            r#"bearer REALM="http://auth.example/token""#,
            r#"Basic realm="x", Bearer realm="http://127.0.0.1.example/token""#,
            r#"Bearer realm="nowhere""#,
            // Of two realms, parsers differ in which one they use.
            r#"Bearer realm="https://auth.example/token",realm="http://auth.example/token""#,
            r#"Bearer service="r""#,
        ] {
            assert!(realm_of(&[unsafe_challenge]).is_err(), "{unsafe_challenge}");
        }
        assert!(realm_of(&[r#"Basic realm="x""#, r#"Bearer realm="http://auth.example/token""#]).is_err());
    }
}
