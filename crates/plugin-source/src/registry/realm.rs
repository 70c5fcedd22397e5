//! Where a registry sends its clients for a token.

use crate::{
    FetchError,
    reference::{Reference, is_loopback},
};
use http_auth::parser::ChallengeParser;
use reqwest::{Client, Url, header::WWW_AUTHENTICATE};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Refuses a registry that would have credentials sent in the clear: `oci-client` sends them to whatever realm the challenge names.
pub(super) async fn check(reference: &Reference) -> Result<(), FetchError> {
    let unavailable = |error: reqwest::Error| FetchError::Unavailable {
        name: reference.name.clone(),
        cause: host_core::error::chain(&error),
    };
    let scheme = if is_loopback(reference.host()) { "http" } else { "https" };
    let client = Client::builder().timeout(TIMEOUT).build().map_err(unavailable)?;
    let url = format!("{scheme}://{}/v2/", reference.host());
    let response = client.get(url).send().await.map_err(unavailable)?;
    for challenge in response.headers().get_all(WWW_AUTHENTICATE) {
        if let Some(realm) = challenge.to_str().ok().and_then(unsafe_realm) {
            return Err(FetchError::Rejected {
                name: reference.name.clone(),
                cause: format!(
                    "its registry asks for credentials at {realm}, which has no TLS; have it name an https realm"
                ),
            });
        }
    }
    Ok(())
}

/// The realm of a `Bearer` challenge, if what is sent there can be read on the way.
fn unsafe_realm(challenge: &str) -> Option<String> {
    let mut bearer = ChallengeParser::new(challenge)
        .filter_map(Result::ok)
        .filter(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"));
    bearer.find_map(|challenge| {
        let (_, realm) = challenge.params.iter().find(|(name, _)| name.eq_ignore_ascii_case("realm"))?;
        let realm = realm.to_unescaped();
        let url = Url::parse(&realm).ok();
        let is_safe =
            url.is_some_and(|url| url.scheme() == "https" || url.host_str().is_some_and(is_loopback));
        (!is_safe).then_some(realm)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_has_tls_or_is_on_this_machine() {
        for safe in [
            r#"Bearer realm="https://auth.example/token",service="r.example""#,
            r#"bearer service="r", realm="http://127.0.0.1:5000/token""#,
            r#"Basic realm="http://r.example""#,
            "",
        ] {
            assert_eq!(unsafe_realm(safe), None, "{safe}");
        }
        for exposed in [
            r#"Bearer realm="http://auth.example/token""#,
            r#"bearer REALM="http://auth.example/token""#,
            r#"Basic realm="x", Bearer realm="http://127.0.0.1.example/token""#,
            r#"Bearer realm="nowhere""#,
        ] {
            assert!(unsafe_realm(exposed).is_some(), "{exposed}");
        }
    }
}
