//! The credentials for an OCI registry: from environment variables, or from what `docker login` stored.

use crate::{FetchError, reference::Reference};
use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::secrets::RegistryAuth;
use std::{ffi::OsString, fmt, fs::File, io, path::PathBuf};

const REGISTRY: &str = "HOST_OCI_REGISTRY";
const USERNAME: &str = "HOST_OCI_USERNAME";
const PASSWORD: &str = "HOST_OCI_PASSWORD";

/// The key of Docker Hub in Docker's configuration and credential helpers.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Where the credentials for registries come from: a login for one registry, and Docker's configuration.
#[derive(Clone, Default)]
pub struct Credentials {
    registry: Option<String>,
    username: Option<String>,
    password: Option<String>,
    docker_config: Option<PathBuf>,
}

impl Credentials {
    /// The credentials that environment variables name: `HOST_OCI_USERNAME` and `HOST_OCI_PASSWORD` for the registry
    /// `HOST_OCI_REGISTRY`, and `config.json` in `DOCKER_CONFIG`, else in `.docker` of `HOME`.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        // Some orchestrators set a variable that they have no value for to an empty one.
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let text = |name| set(name).map(|value| value.to_string_lossy().into_owned());
        let folder = set("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(set("HOME")?).join(".docker")));
        Self {
            registry: text(REGISTRY),
            username: text(USERNAME),
            password: text(PASSWORD),
            docker_config: folder.map(|folder| folder.join("config.json")),
        }
    }

    /// The credentials for the registry of a reference; anonymous if there are none for it.
    pub(crate) fn for_registry(&self, reference: &Reference) -> Result<RegistryAuth, FetchError> {
        let failed =
            |cause: String| FetchError::Credentials { registry: reference.registry().to_owned(), cause };
        if let Some(login) = self.login(reference).map_err(failed)? {
            return Ok(login);
        }
        let Some(path) = &self.docker_config else { return Ok(RegistryAuth::Anonymous) };
        let config = match File::open(path) {
            Ok(config) => config,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(RegistryAuth::Anonymous),
            Err(error) => return Err(failed(format!("{} cannot be read: {error}", path.display()))),
        };
        from_docker_config(reference, config).map_err(|cause| {
            failed(format!("{cause}; see {}, or log in again with `docker login`", path.display()))
        })
    }

    /// The login of the environment variables, if it is for this registry.
    fn login(&self, reference: &Reference) -> Result<Option<RegistryAuth>, String> {
        match (&self.username, &self.password, &self.registry) {
            (None, None, _) => Ok(None),
            (Some(user), Some(password), Some(registry)) => {
                let is_meant = registry == reference.registry() || registry == reference.host();
                Ok(is_meant.then(|| RegistryAuth::Basic(user.clone(), password.clone())))
            }
            (Some(_), Some(_), None) => Err(format!(
                "{USERNAME} and {PASSWORD} are set without {REGISTRY}; set it to the only registry that may see them, such as {}",
                reference.registry()
            )),
            _ => Err(format!("only one of {USERNAME} and {PASSWORD} is set; set both, or neither")),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("registry", &self.registry)
            .field("docker_config", &self.docker_config)
            .finish_non_exhaustive()
    }
}

/// The credentials that Docker's `config.json` or one of its credential helpers has for the registry.
fn from_docker_config(reference: &Reference, config: impl io::Read) -> Result<RegistryAuth, String> {
    use CredentialRetrievalError::{HelperCommunicationError, HelperFailure, NoCredentialConfigured};
    let server = if reference.registry() == "docker.io" { DOCKER_HUB } else { reference.registry() };
    match docker_credential::get_credential_from_reader(config, server) {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(RegistryAuth::Basic(user, password)),
        Ok(DockerCredential::IdentityToken(_)) => Err(
            "what is stored is an identity token, which host cannot use; a name and an access token can be"
                .to_owned(),
        ),
        Err(NoCredentialConfigured) => Ok(RegistryAuth::Anonymous),
        // Credential helpers say so in text that they have none.
        Err(HelperFailure { stdout, stderr, .. })
            if [&stdout, &stderr].iter().any(|text| text.contains("credentials not found")) =>
        {
            Ok(RegistryAuth::Anonymous)
        }
        // Its output may hold secrets, so it is not quoted.
        Err(HelperFailure { helper, .. }) => Err(format!("the credential helper {helper} failed")),
        Err(HelperCommunicationError) => {
            Err("the credential helper cannot be run; is it on the PATH?".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, prelude::BASE64_STANDARD};

    fn reference(registry: &str) -> Reference {
        Reference::parse(&format!("oci://{registry}/shop/plugin:1")).unwrap().unwrap()
    }

    fn basic(user: &str, password: &str) -> RegistryAuth {
        RegistryAuth::Basic(user.to_owned(), password.to_owned())
    }

    fn login(registry: &str, variables: &[(&str, &str)]) -> Result<Option<RegistryAuth>, String> {
        let credentials = Credentials::from_variables(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        });
        assert!(!format!("{credentials:?}").contains("secret"), "{credentials:?}");
        credentials.login(&reference(registry))
    }

    #[test]
    fn the_login_of_the_environment_is_for_one_registry_alone() {
        let both = [(USERNAME, "me"), (PASSWORD, "secret")];
        let to = |registry| [both[0], both[1], (REGISTRY, registry)];
        assert_eq!(login("r.example:5000", &to("r.example:5000")), Ok(Some(basic("me", "secret"))));
        for other in ["r.example", "example:5000", "ghcr.io", "https://r.example:5000"] {
            assert_eq!(login("r.example:5000", &to(other)), Ok(None), "{other}");
        }
        for hub in ["docker.io", "index.docker.io"] {
            assert_eq!(login("docker.io", &to(hub)), Ok(Some(basic("me", "secret"))), "{hub}");
        }
        assert_eq!(login("r.example", &[]), Ok(None));
        assert_eq!(login("r.example", &[(USERNAME, ""), (PASSWORD, ""), (REGISTRY, "r.example")]), Ok(None));
    }

    #[test]
    fn half_a_login_is_an_error() {
        let both = [(USERNAME, "me"), (PASSWORD, "secret")];
        assert!(login("r.example", &both).unwrap_err().contains(REGISTRY));
        assert!(login("r.example", &both[..1]).unwrap_err().contains("set both"));
        assert!(login("r.example", &both[1..]).unwrap_err().contains("set both"));
    }

    #[test]
    fn dockers_configuration_gives_the_credentials_of_the_registry_alone() {
        let auth = BASE64_STANDARD.encode("me:pass:word");
        let config = format!(
            r#"{{"auths":{{"r.example:5000":{{"auth":"{auth}"}},"https://old.example/v1/":{{"auth":"{auth}"}},
                "https://index.docker.io/v1/":{{"auth":"{auth}"}},"empty.example":{{}},"azure.example":{{"identitytoken":"t"}}}}}}"#
        );
        let found = |registry: &str| from_docker_config(&reference(registry), config.as_bytes());
        for registry in ["r.example:5000", "old.example", "docker.io"] {
            assert_eq!(found(registry), Ok(basic("me", "pass:word")), "{registry}");
        }
        for registry in ["r.example", "empty.example", "other.example:5000"] {
            assert_eq!(found(registry), Ok(RegistryAuth::Anonymous), "{registry}");
        }
        assert!(found("azure.example").unwrap_err().contains("identity token"));
        assert!(from_docker_config(&reference("r.example"), &b"{"[..]).is_err());
    }
}
