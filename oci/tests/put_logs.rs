//! PutLogs over a real connection: the bytes that are sent, and every way an answer can go.
#![allow(clippy::unwrap_used)]

mod server;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use oci::{
    Accepted, AuthKind, Client, ClientOptions, ConfigSource, ContentEncoding, Credentials,
    Endpoint, Environment, Error, ErrorKind, LogClient, LogId, digest,
};
use server::{Answer, Received, Server, answer, fixture, vector_spki};

const FINGERPRINT: &str = "28:8a:d9:3d:fd:12:99:0c:61:86:cf:06:66:76:f4:a0";
const TENANCY: &str = "ocid1.tenancy.oc1..t";
const USER: &str = "ocid1.user.oc1..u";
const BODY: &[u8] = b"{\"specversion\":\"1.0\",\"logEntryBatches\":[]}";
const ACCEPTED: &str = "200 OK";

fn options() -> ClientOptions {
    ClientOptions {
        environment: Environment::default(),
        ..ClientOptions::default()
    }
}

fn log_client(url: &str, options: &ClientOptions) -> LogClient {
    let environment = Environment::from_iter([
        ("HOME", "/nonexistent"),
        ("OCI_CLI_TENANCY", TENANCY),
        ("OCI_CLI_USER", USER),
        ("OCI_CLI_FINGERPRINT", FINGERPRINT),
        ("OCI_CLI_REGION", "fra"),
        ("OCI_CLI_KEY_CONTENT", &fixture("vector-pkcs8.pem")),
    ]);
    let source = ConfigSource {
        environment,
        ..ConfigSource::default()
    };
    let credentials = Credentials::load(AuthKind::ApiKey, &source).unwrap();
    let client = Client::new(credentials, options).unwrap();
    LogClient::new(client, Endpoint::parse(url).unwrap())
}

async fn put(client: &LogClient, encoding: ContentEncoding) -> Result<Accepted, Error> {
    let log_id: LogId = "ocid1.log.oc1.phx.x".parse().unwrap();
    client
        .put_logs(&log_id, Bytes::from_static(BODY), &digest(BODY), encoding)
        .await
}

/// One PutLogs against a server that gives one answer.
async fn put_to(script: Vec<Answer>) -> Result<Accepted, Error> {
    let server = Server::start(script).await;
    let client = log_client(&format!("http://{}", server.address), &options());
    put(&client, ContentEncoding::Identity).await
}

fn verify(request: &Received) {
    let key_id = request.verify(&vector_spki());
    assert_eq!(key_id, format!("{TENANCY}/{USER}/{FINGERPRINT}"));
    let headers = "date (request-target) host content-length content-type x-content-sha256";
    assert_eq!(request.signature()["headers"], headers);
}

#[tokio::test]
async fn the_signature_covers_what_is_on_the_wire() {
    let ok = answer(
        ACCEPTED,
        &["opc-request-id: R", "date: Sun, 05 Jan 2014 21:31:40 GMT"],
        "",
    );
    let server = Server::start(vec![ok]).await;
    let client = log_client(&format!("http://{}", server.address), &options());
    let accepted = put(&client, ContentEncoding::Identity).await.unwrap();
    assert_eq!(accepted.request_id.as_deref(), Some("R"));
    assert_eq!(
        accepted.date,
        Some(UNIX_EPOCH + Duration::from_secs(1_388_957_500))
    );
    put(&client.clone(), ContentEncoding::Gzip).await.unwrap();

    let received = server.received();
    assert_eq!(received.len(), 2);
    for request in &received {
        assert_eq!(request.method(), "POST");
        assert_eq!(
            request.target(),
            "/20200831/logs/ocid1.log.oc1.phx.x/actions/push"
        );
        assert_eq!(request.body, BODY);
        assert_eq!(request.header("host"), server.address);
        assert_eq!(request.header("content-type"), "application/json");
        assert_eq!(request.header("accept"), "application/json");
        assert_eq!(request.headers("transfer-encoding").len(), 0);
        let id = request.header("opc-request-id");
        assert!(
            id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F')),
            "{id}"
        );
        verify(request);
        let date = httpdate::parse_http_date(request.header("date")).unwrap();
        let skew = SystemTime::now().duration_since(date).unwrap();
        assert!(skew < Duration::from_secs(300), "{skew:?}");
        assert_eq!(request.connection, 0, "the connection is kept");
    }
    assert_eq!(received[0].headers("content-encoding").len(), 0);
    assert_eq!(received[1].header("content-encoding"), "gzip");
}

#[tokio::test]
async fn a_gzip_header_on_an_empty_answer_is_no_error() {
    let headers = ["content-encoding: gzip", "content-type: application/json"];
    let accepted = put_to(vec![answer(ACCEPTED, &headers, "")]).await.unwrap();
    assert_eq!(
        accepted,
        Accepted {
            request_id: None,
            date: None
        }
    );
}

#[tokio::test]
async fn every_status_has_its_kind() {
    let cases = [
        ("400 Bad", ErrorKind::BadRequest, false),
        ("401 No", ErrorKind::Unauthorized, false),
        ("403 No", ErrorKind::Forbidden, false),
        ("404 No", ErrorKind::NotFound, false),
        ("408 Late", ErrorKind::Timeout, true),
        ("409 Conflict", ErrorKind::Conflict, false),
        ("413 Big", ErrorKind::TooLarge, false),
        ("429 Slow", ErrorKind::Throttled, true),
        ("500 Oh", ErrorKind::Server, true),
        ("501 Oh", ErrorKind::Server, false),
        ("503 Oh", ErrorKind::Server, true),
        ("302 Found", ErrorKind::Unexpected, false),
        ("204 None", ErrorKind::Unexpected, false),
        ("418 Pot", ErrorKind::Unexpected, false),
    ];
    for (status, kind, retryable) in cases {
        let headers = ["opc-request-id: R/S", "location: http://127.0.0.1:1/"];
        let error = put_to(vec![answer(status, &headers, "")])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{status}");
        assert_eq!(error.is_retryable(), retryable, "{status}");
        assert!(
            error
                .endpoint()
                .unwrap()
                .starts_with("POST http://127.0.0.1:"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_error_tells_what_the_service_said() {
    let headers = [
        "opc-request-id: R/S",
        "retry-after: 7",
        "date: Sun, 05 Jan 2014 21:31:40 GMT",
        "content-type: application/json",
    ];
    let body = r#"{"code":"NotAuthorizedOrNotFound","message":"logId\u001b[31m not found"}"#;
    let error = put_to(vec![answer("404 Not Found", &headers, body)])
        .await
        .unwrap_err();
    assert_eq!(error.status(), Some(404));
    assert_eq!(error.code(), Some("NotAuthorizedOrNotFound"));
    assert_eq!(
        error.message(),
        "logId [31m not found",
        "no control characters"
    );
    assert_eq!(error.opc_request_id(), Some("R/S"));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert!(error.date().is_some());
    let shown = format!("{error}\n{error:?}");
    assert!(shown.contains("use log-content in compartment"), "{shown}");
    assert!(!shown.contains("Signature"), "{shown}");
}

#[tokio::test]
async fn a_retry_date_is_measured_by_the_services_clock() {
    let headers = [
        "retry-after: Sun, 05 Jan 2014 21:32:10 GMT",
        "date: Sun, 05 Jan 2014 21:31:40 GMT",
    ];
    let error = put_to(vec![answer("503 Busy", &headers, "busy")])
        .await
        .unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    assert_eq!(error.message(), "busy");
    assert_eq!(
        error.opc_request_id().unwrap().len(),
        32,
        "the id that was sent"
    );
}

#[tokio::test]
async fn an_endless_error_page_is_cut() {
    let page = "x".repeat(1024 * 1024);
    let error = put_to(vec![answer("500 Oh", &[], &page)])
        .await
        .unwrap_err();
    assert_eq!(error.message().len(), 1000);
}

#[tokio::test]
async fn a_status_counts_though_its_words_are_cut_off() {
    let cut = Answer::Cut(b"HTTP/1.1 429 Slow\r\ncontent-length: 100\r\n\r\n{".to_vec());
    let error = put_to(vec![cut]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert_eq!(error.status(), Some(429));
}

#[tokio::test]
async fn a_broken_connection_is_retryable() {
    let error = put_to(vec![Answer::Close]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn silence_ends_with_the_request_timeout() {
    let server = Server::start(vec![Answer::Silence]).await;
    let options = ClientOptions {
        request_timeout: Duration::from_millis(300),
        ..options()
    };
    let client = log_client(&format!("http://{}", server.address), &options);
    let error = put(&client, ContentEncoding::Identity).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.is_retryable());
    assert_eq!(error.message(), "no answer within 300ms");
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn nobody_listening_is_a_connect_error() {
    // Bound and not listening: nobody else can take the port, and connecting is refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let client = log_client(
        &format!("http://{}", socket.local_addr().unwrap()),
        &options(),
    );
    let error = put(&client, ContentEncoding::Identity).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.is_retryable());
    assert!(error.to_string().contains("refused"), "{error}");
}

fn tls() -> (tokio_rustls::TlsAcceptor, String) {
    let authority = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(authority.signing_key.serialize_der());
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![authority.cert.der().clone()], key.unwrap())
        .unwrap();
    (std::sync::Arc::new(config).into(), authority.cert.pem())
}

fn options_with_bundle(folder: &Path, pem: &str) -> ClientOptions {
    let bundle = folder.join("ca.pem");
    std::fs::write(&bundle, pem).unwrap();
    ClientOptions {
        ca_bundle: Some(bundle),
        ..options()
    }
}

#[tokio::test]
async fn https_trusts_the_named_bundle_and_nobody_else() {
    let (acceptor, pem) = tls();
    let server = Server::start_tls(vec![answer(ACCEPTED, &[], "")], acceptor).await;
    let url = format!("https://{}", server.address);
    let folder = tempfile::tempdir().unwrap();

    let client = log_client(&url, &options_with_bundle(folder.path(), &pem));
    put(&client, ContentEncoding::Identity).await.unwrap();
    verify(&server.received()[0]);

    let (_, other) = tls();
    let client = log_client(&url, &options_with_bundle(folder.path(), &other));
    let error = put(&client, ContentEncoding::Identity).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.to_string().contains("certificate"), "{error}");
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn a_bundle_can_be_named_by_the_environment() {
    let (acceptor, pem) = tls();
    let server = Server::start_tls(vec![answer(ACCEPTED, &[], "")], acceptor).await;
    let folder = tempfile::tempdir().unwrap();
    let bundle = options_with_bundle(folder.path(), &pem).ca_bundle.unwrap();
    let environment = Environment::from_iter([("SSL_CERT_FILE", bundle)]);
    let options = ClientOptions {
        environment,
        ..options()
    };
    let client = log_client(&format!("https://{}", server.address), &options);
    put(&client, ContentEncoding::Identity).await.unwrap();
}

#[test]
fn a_wrong_bundle_is_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let source = ConfigSource::default();
    assert!(
        Credentials::load(AuthKind::ApiKey, &source).is_err(),
        "no home, no config"
    );
    for (options, words) in [
        (
            options_with_bundle(folder.path(), "no pem"),
            "no certificate",
        ),
        (
            ClientOptions {
                ca_bundle: Some("/nonexistent/ca.pem".into()),
                ..options()
            },
            "No such",
        ),
    ] {
        let environment = Environment::from_iter([
            ("OCI_CLI_TENANCY", TENANCY),
            ("OCI_CLI_USER", USER),
            ("OCI_CLI_FINGERPRINT", FINGERPRINT),
            ("OCI_CLI_REGION", "fra"),
            ("OCI_CLI_KEY_CONTENT", &fixture("vector-pkcs8.pem")),
        ]);
        let source = ConfigSource {
            environment,
            ..ConfigSource::default()
        };
        let credentials = Credentials::load(AuthKind::ApiKey, &source).unwrap();
        let error = Client::new(credentials, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let shown = error.to_string();
        assert!(shown.contains("ca.pem") && shown.contains(words), "{shown}");
    }
}
