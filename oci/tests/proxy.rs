//! Proxies from the environment.
#![allow(clippy::unwrap_used)]

mod server;

use bytes::Bytes;
use oci::{
    AuthKind, Client, ClientOptions, ConfigSource, ContentEncoding, Credentials, Endpoint,
    Environment, Error, ErrorKind, LogClient, digest,
};
use server::{Answer, Server, answer, fixture};

fn connect(url: &str, variables: &[(&str, &str)]) -> Result<LogClient, Error> {
    let pem = fixture("vector-pkcs8.pem");
    let environment = Environment::from_iter([
        ("OCI_CLI_TENANCY", "ocid1.tenancy.oc1..t"),
        ("OCI_CLI_USER", "ocid1.user.oc1..u"),
        (
            "OCI_CLI_FINGERPRINT",
            "28:8a:d9:3d:fd:12:99:0c:61:86:cf:06:66:76:f4:a0",
        ),
        ("OCI_CLI_REGION", "fra"),
        ("OCI_CLI_KEY_CONTENT", &pem),
    ]);
    let source = ConfigSource {
        environment,
        ..ConfigSource::default()
    };
    let credentials = Credentials::load(AuthKind::ApiKey, &source).unwrap();
    let environment = Environment::from_iter(variables.iter().copied());
    let client = Client::new(
        credentials,
        &ClientOptions {
            environment,
            ..Default::default()
        },
    )?;
    Ok(LogClient::new(client, Endpoint::parse(url).unwrap()))
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

#[tokio::test]
async fn http_goes_through_the_proxy_but_for_the_exceptions() {
    let proxy = Server::start(vec![answer("200 OK", &[], "")]).await;
    let direct = Server::start(vec![answer("200 OK", &[], "")]).await;
    let secret = format!("http://me:hunter2@{}", proxy.address);
    let target = "/20200831/logs/ocid1.log.x/actions/push";

    let client = connect(&direct.url(), &[("HTTP_PROXY", &secret)]).unwrap();
    put(&client).await.unwrap();
    assert_eq!(
        proxy.received()[0].target(),
        format!("{}{target}", direct.url())
    );
    assert_eq!(
        proxy.received()[0].header("proxy-authorization"),
        "Basic bWU6aHVudGVyMg=="
    );
    assert_eq!(
        proxy.received()[0].header("host"),
        direct.address,
        "what is signed"
    );
    assert!(direct.received().is_empty());

    let variables = [
        ("http_proxy", secret.as_str()),
        ("NO_PROXY", "localhost,127.0.0.1"),
    ];
    put(&connect(&direct.url(), &variables).unwrap())
        .await
        .unwrap();
    assert_eq!(direct.received()[0].target(), target);
    assert!(
        direct.received()[0]
            .headers("proxy-authorization")
            .is_empty()
    );
    assert_eq!(proxy.received().len(), 1);
}

#[tokio::test]
async fn https_asks_the_proxy_for_a_tunnel_and_hides_its_password() {
    let proxy = Server::start(vec![answer("407 Proxy Authentication Required", &[], "")]).await;
    let secret = format!("http://me:hunter2@{}", proxy.address);
    let client = connect("https://oci.invalid", &[("HTTPS_PROXY", &secret)]).unwrap();
    let error = put(&client).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert_eq!(
        proxy.received()[0].lines[0],
        "CONNECT oci.invalid:443 HTTP/1.1"
    );
    let shown = format!("{error} {error:?} {client:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("bWU6"),
        "{shown}"
    );
    assert!(shown.contains("proxy"), "{shown}");
    let silent = Server::start(vec![Answer::Close]).await;
    let client = connect("https://oci.invalid", &[("ALL_PROXY", &silent.url())]).unwrap();
    assert!(put(&client).await.unwrap_err().is_retryable());
}

#[test]
fn a_proxy_that_is_no_url_is_named_but_not_repeated() {
    let error = connect("http://h", &[("https_proxy", "http://me:hunter2@:x:")]).unwrap_err();
    assert_eq!(error.to_string(), "https_proxy is not the URL of a proxy");
}
