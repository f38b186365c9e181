//! Credentials that live in files other programs replace: session tokens, resource principals,
//! and the API key itself.
#![allow(clippy::unwrap_used)]

mod server;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use oci::{
    AuthKind, Client, ClientOptions, ConfigSource, ContentEncoding, Credentials, Endpoint,
    Environment, Error, ErrorKind, LogClient, digest,
};
use server::{Server, answer, fixture, jwt, vector_spki};
use tempfile::TempDir;

const FUTURE: u64 = 4_000_000_000;
const PAST: u64 = 1_000_000_000;

fn write(home: &TempDir, path: &str, text: &str) {
    std::fs::write(home.path().join(path), text).unwrap();
}

fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    write(&home, "key.pem", &fixture("vector-pkcs8.pem"));
    write(&home, "token", &(jwt("first", FUTURE) + "\n"));
    home
}

fn source(variables: &[(&str, &Path)]) -> ConfigSource {
    let environment = Environment::from_iter(variables.iter().copied());
    ConfigSource {
        environment,
        ..ConfigSource::default()
    }
}

fn session(home: &TempDir) -> ConfigSource {
    let config = "[DEFAULT]\nregion=fra\nfingerprint=x\ntenancy=y\nkey_file=~/key.pem\n\
        security_token_file=~/token\n";
    write(home, "config", config);
    let source = source(&[("HOME", home.path())]);
    ConfigSource {
        file: Some("~/config".into()),
        ..source
    }
}

fn resource(home: &TempDir) -> ConfigSource {
    source(&[
        ("OCI_RESOURCE_PRINCIPAL_VERSION", Path::new("2.2")),
        ("OCI_RESOURCE_PRINCIPAL_RPST", &home.path().join("token")),
        (
            "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM",
            &home.path().join("key.pem"),
        ),
        ("OCI_RESOURCE_PRINCIPAL_REGION", Path::new("iad")),
    ])
}

fn connect(server: &Server, auth: AuthKind, source: &ConfigSource) -> LogClient {
    let credentials = Credentials::load(auth, source).unwrap();
    let options = ClientOptions {
        environment: Environment::default(),
        ..ClientOptions::default()
    };
    let client = Client::new(credentials, &options).unwrap();
    LogClient::new(client, Endpoint::parse(&server.url()).unwrap())
}

async fn put(client: &LogClient) -> Result<(), Error> {
    let body = Bytes::from_static(b"{}");
    let sha256 = digest(&body);
    let log_id = "ocid1.log.x".parse().unwrap();
    client
        .put_logs(&log_id, body, &sha256, ContentEncoding::Identity)
        .await
        .map(|_| ())
}

fn key_ids(server: &Server) -> Vec<String> {
    server
        .received()
        .iter()
        .map(|request| request.verify(&vector_spki()))
        .collect()
}

#[tokio::test]
async fn a_replaced_token_is_used_at_once() {
    for kind in [AuthKind::SecurityToken, AuthKind::ResourcePrincipal] {
        let home = home();
        let server = Server::start(vec![answer("200 OK", &[], "")]).await;
        let source = if kind == AuthKind::SecurityToken {
            session(&home)
        } else {
            resource(&home)
        };
        let client = connect(&server, kind, &source);
        put(&client).await.unwrap();
        write(&home, "token", &jwt("second", FUTURE));
        put(&client).await.unwrap();
        // Half written: the token in memory is still good.
        write(&home, "token", "eyJ");
        put(&client).await.unwrap();
        std::fs::remove_file(home.path().join("token")).unwrap();
        put(&client).await.unwrap();
        let first = format!("ST${}", jwt("first", FUTURE));
        let second = format!("ST${}", jwt("second", FUTURE));
        assert_eq!(
            key_ids(&server),
            [first, second.clone(), second.clone(), second]
        );
    }
}

#[tokio::test]
async fn an_expired_token_is_named_before_anything_is_sent() {
    let home = home();
    write(&home, "token", &jwt("old", PAST));
    let server = Server::start(vec![answer("200 OK", &[], "")]).await;
    let client = connect(&server, AuthKind::SecurityToken, &session(&home));
    let error = put(&client).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    let shown = error.to_string();
    assert!(
        shown.contains("ran out on Sun, 09 Sep 2001 01:46:40 GMT"),
        "{shown}"
    );
    assert!(shown.contains("oci session"), "{shown}");
    assert!(server.received().is_empty());

    write(&home, "token", "eyJ.half");
    let shown = put(&client).await.unwrap_err().to_string();
    assert!(
        shown.contains("ran out on") && shown.contains("no JWT"),
        "{shown}"
    );

    write(&home, "token", &jwt("new", FUTURE));
    put(&client).await.unwrap();
    assert_eq!(key_ids(&server), [format!("ST${}", jwt("new", FUTURE))]);
}

#[test]
fn a_sessions_end_is_named_ahead_and_nothing_elses() {
    let home = home();
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let warning = |auth, source, before_end: Duration| {
        let credentials = Credentials::load(auth, source).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(FUTURE) - before_end;
        credentials.expiry_warning(now)
    };
    let session = session(&home);
    assert_eq!(
        warning(AuthKind::SecurityToken, &session, minutes(11)),
        None
    );
    let text = warning(AuthKind::SecurityToken, &session, minutes(9)).unwrap();
    assert!(
        text.contains("in 9 minutes") && text.contains("oci session refresh"),
        "{text}"
    );
    let resource = resource(&home);
    assert_eq!(
        warning(AuthKind::ResourcePrincipal, &resource, minutes(1)),
        None
    );
}

#[tokio::test]
async fn the_policy_that_is_missing_names_whom_it_must() {
    let home = home();
    let cases = [
        (AuthKind::SecurityToken, session(&home), "allow group <"),
        (
            AuthKind::ResourcePrincipal,
            resource(&home),
            "allow dynamic-group <a group that matches this resource",
        ),
    ];
    for (auth, source, expected) in cases {
        for status in ["404 Not Found", "403 Forbidden"] {
            let server = Server::start(vec![answer(status, &[], "")]).await;
            let error = put(&connect(&server, auth, &source)).await.unwrap_err();
            let hint = error.hint().unwrap_or_default();
            assert!(hint.contains(expected), "{status}: {hint}");
        }
    }
}

/// Answers 401 until a request comes with `good` in its key id, and runs `on_refusal` each time.
async fn refusing(good: String, on_refusal: impl Fn() + Send + Sync + 'static) -> Server {
    let handler = move |request: &server::Received| {
        if request.signature()["keyId"].contains(&good) {
            return answer("200 OK", &[], "");
        }
        on_refusal();
        answer(
            "401 Unauthorized",
            &[],
            r#"{"code":"NotAuthenticated","message":"no"}"#,
        )
    };
    Server::start_with(Arc::new(handler), None).await
}

#[tokio::test]
async fn a_refused_api_key_is_read_again_once() {
    const OLD: &str = "ocid1.user.oc1..old";
    const NEW: &str = "ocid1.user.oc1..new";
    let home = home();
    let config = "[DEFAULT]\nuser=ocid1.user.oc1..old\ntenancy=ocid1.tenancy.oc1..t\nregion=fra\n\
        fingerprint=28:8a:d9:3d:fd:12:99:0c:61:86:cf:06:66:76:f4:a0\nkey_file=~/key.pem\n";
    write(&home, "config", config);
    let path = home.path().join("config");
    let server = refusing(NEW.to_owned(), move || {
        std::fs::write(&path, config.replace(OLD, NEW)).unwrap();
    })
    .await;
    let source = source(&[
        ("HOME", home.path()),
        ("OCI_CLI_CONFIG_FILE", Path::new("~/config")),
    ]);
    let client = connect(&server, AuthKind::ApiKey, &source);
    put(&client).await.unwrap();
    put(&client).await.unwrap();
    let ids = key_ids(&server);
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert!(
        ids[0].contains(OLD) && ids[1].contains(NEW) && ids[2].contains(NEW),
        "{ids:?}"
    );
}

#[tokio::test]
async fn a_401_without_other_credentials_is_final() {
    let home = home();
    let refusals = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&refusals);
    let server = refusing("nobody".to_owned(), move || *counted.lock().unwrap() += 1).await;
    let client = connect(&server, AuthKind::ResourcePrincipal, &resource(&home));
    let error = put(&client).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert_eq!(
        *refusals.lock().unwrap(),
        1,
        "the same token is not sent twice"
    );
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("eyJ"), "{shown}");
}

#[test]
fn a_resource_principals_variables_are_literal_or_paths() {
    let home = home();
    write(&home, "passphrase", "correct horse\n");
    let pem = fixture("encrypted-pbes2-aes256.pem");
    let token = jwt("literal", FUTURE);
    let passphrase = home.path().join("passphrase");
    let variables = [
        ("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2"),
        ("OCI_RESOURCE_PRINCIPAL_RPST", &token),
        ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", &pem),
        (
            "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE",
            passphrase.to_str().unwrap(),
        ),
        ("OCI_RESOURCE_PRINCIPAL_REGION", "iad"),
    ];
    let load = |variables: &[(&str, &str)]| {
        let environment = variables.iter().copied().collect();
        let source = ConfigSource {
            environment,
            ..ConfigSource::default()
        };
        Credentials::load(AuthKind::ResourcePrincipal, &source)
    };
    let shown = format!("{:?}", load(&variables).unwrap());
    assert!(
        !shown.contains("eyJ") && !shown.contains("BEGIN"),
        "{shown}"
    );
    for (index, (name, _)) in variables.iter().enumerate() {
        let mut without = variables.to_vec();
        without.remove(index);
        let error = load(&without).unwrap_err().to_string();
        let named = if name.ends_with("PASSPHRASE") {
            "no passphrase is given"
        } else {
            name
        };
        assert!(error.contains(named), "{name}: {error}");
    }
    let mut other = variables.to_vec();
    other[0].1 = "3.0";
    assert!(
        load(&other)
            .unwrap_err()
            .to_string()
            .contains("only 2.2 is supported")
    );
}

#[test]
fn auto_says_what_it_chose_and_why() {
    let home = home();
    let chosen = |source: &ConfigSource| {
        let choice = Credentials::choose(source).unwrap();
        (
            choice.kind,
            choice.reason.replace(home.path().to_str().unwrap(), "HOME"),
        )
    };
    let (kind, reason) = chosen(&session(&home));
    assert_eq!(kind, AuthKind::SecurityToken);
    let place = "profile DEFAULT of HOME/config";
    assert_eq!(
        reason,
        format!("there is security_token_file in {place}, line 6")
    );

    let text = std::fs::read_to_string(home.path().join("config")).unwrap();
    write(&home, "config", &(text + "user=ocid1.user.oc1..u\n"));
    let at_home = source(&[("HOME", home.path())]);
    let with_user = ConfigSource {
        file: Some("~/config".into()),
        ..at_home.clone()
    };
    let (kind, reason) = chosen(&with_user);
    assert_eq!(
        (kind, reason),
        (
            AuthKind::ApiKey,
            format!("there is user in {place}, line 7")
        )
    );

    assert_eq!(chosen(&at_home).0, AuthKind::InstancePrincipal);
    assert_eq!(chosen(&resource(&home)).0, AuthKind::ResourcePrincipal);
    let named = source(&[("OCI_CLI_AUTH", Path::new("resource_principal"))]);
    assert_eq!(chosen(&named).1, "OCI_CLI_AUTH is resource_principal");
    let wrong = source(&[("OCI_CLI_AUTH", Path::new("magic"))]);
    assert!(
        Credentials::choose(&wrong)
            .unwrap_err()
            .to_string()
            .contains("OCI_CLI_AUTH")
    );
    write(&home, "config", "nonsense");
    assert!(
        Credentials::choose(&with_user).is_err(),
        "a broken file is not passed over"
    );
}

#[test]
fn files_that_others_can_use_are_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = home();
    let source = session(&home);
    let chmod = |name: &str, mode: u32| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(home.path().join(name), mode).unwrap();
    };
    for name in ["config", "key.pem", "token"] {
        chmod(name, 0o600);
    }
    let warnings = |source: &ConfigSource| Credentials::warnings(AuthKind::SecurityToken, source);
    assert!(warnings(&source).is_empty());
    chmod("key.pem", 0o640);
    let shown = warnings(&source);
    assert_eq!(shown.len(), 1);
    assert!(
        shown[0].contains("key.pem can be used by others (mode 640)"),
        "{shown:?}"
    );
    let suppress = ("OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING", "True");
    let home_variable = ("HOME", home.path().to_str().unwrap());
    let environment = Environment::from_iter([suppress, home_variable]);
    assert!(
        warnings(&ConfigSource {
            environment,
            ..source
        })
        .is_empty()
    );
}
