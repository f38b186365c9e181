//! Instance principals against a metadata and federation service that checks what it is sent.
#![allow(clippy::unwrap_used)]

mod server;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use oci::{
    AuthKind, Client, ClientOptions, ConfigSource, ContentEncoding, Credentials, Endpoint,
    Environment, Error, ErrorKind, KnownBy, LogClient, Service, digest,
};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256};
use ring::digest::{SHA256, digest as hash};
use server::{Answer, Received, Server, answer, fixture, jwt, vector_spki};

const TENANCY: &str = "ocid1.tenancy.oc1..t";

/// The leaf certificate of an instance, for the vector key.
fn leaf(tenancy: &str, serial: u64) -> rcgen::Certificate {
    let pem = fixture("vector-pkcs8.pem");
    let key = KeyPair::from_pkcs8_pem_and_sign_algo(&pem, &PKCS_RSA_SHA256).unwrap();
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "ocid1.instance.oc1..i");
    let unit = DnType::OrganizationalUnitName;
    params
        .distinguished_name
        .push(unit, format!("opc-tenant:{tenancy}"));
    params.serial_number = Some(serial.into());
    params.self_signed(&key).unwrap()
}

/// What the service does; a test changes it as it goes.
struct Oracle {
    certificate: rcgen::Certificate,
    /// Seconds that a token lives.
    lifetime: u64,
    /// Answers to give instead, by path.
    broken: Vec<(&'static str, Answer)>,
    /// Public keys, in the order in which tokens were given for them.
    sessions: Vec<Vec<u8>>,
    /// Tokens up to this one are refused by PutLogs.
    revoked: usize,
}

impl Oracle {
    fn answer(&mut self, request: &Received) -> Answer {
        let path = request.target();
        if let Some((_, answer)) = self
            .broken
            .iter()
            .find(|(broken, _)| path.ends_with(broken))
        {
            return answer.clone();
        }
        if path.starts_with("/opc/v2/") {
            assert_eq!(request.header("authorization"), "Bearer Oracle");
        }
        match path {
            "/opc/v2/identity/cert.pem" => answer("200 OK", &[], &self.certificate.pem()),
            "/opc/v2/identity/key.pem" => answer("200 OK", &[], &fixture("vector-pkcs1.pem")),
            "/opc/v2/identity/intermediate.pem" => answer("200 OK", &[], &leaf("ca", 1).pem()),
            "/opc/v2/instance/regionInfo" => answer(
                "200 OK",
                &[],
                r#"{"realmDomainComponent":"mars.cloud","realmKey":"oc99",
                    "regionIdentifier":"xx-mars-1","regionKey":"MRZ"}"#,
            ),
            "/opc/v2/instance/region" => answer("200 OK", &[], "phx\n"),
            "/v1/x509" => self.federate(request),
            _ => self.put_logs(request),
        }
    }

    fn federate(&mut self, request: &Received) -> Answer {
        let fingerprint = hash(&SHA256, self.certificate.der());
        let hex: Vec<String> = fingerprint
            .as_ref()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let key_id = request.verify(&vector_spki());
        assert_eq!(
            key_id,
            format!("{TENANCY}/fed-x509-sha256/{}", hex.join(":"))
        );
        assert!(!request.signature()["headers"].contains("host"));
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["certificate"], STANDARD.encode(self.certificate.der()));
        assert_eq!(
            body["intermediateCertificates"].as_array().unwrap().len(),
            1
        );
        assert_eq!(body["fingerprintAlgorithm"], "SHA256");
        let public_key = STANDARD
            .decode(body["publicKey"].as_str().unwrap())
            .unwrap();
        assert!(
            !self.sessions.contains(&public_key),
            "a fresh key each time"
        );
        self.sessions.push(public_key);
        // By the service's clock, which is decades off this host's: lifetimes must not care.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(3_000_000_000);
        let exp = now.duration_since(UNIX_EPOCH).unwrap().as_secs() + self.lifetime;
        let token = jwt(&format!("session {}", self.sessions.len()), exp);
        let date = format!("date: {}", httpdate::fmt_http_date(now));
        answer("200 OK", &[&date], &format!(r#"{{"token":"{token}"}}"#))
    }

    fn put_logs(&mut self, request: &Received) -> Answer {
        let known = self
            .sessions
            .iter()
            .position(|spki| std::panic::catch_unwind(|| request.verify(spki)).is_ok());
        match known {
            Some(index) if index >= self.revoked => answer("200 OK", &[], ""),
            _ => answer(
                "401 No",
                &[],
                r#"{"code":"NotAuthenticated","message":"no"}"#,
            ),
        }
    }
}

struct World {
    oracle: Arc<Mutex<Oracle>>,
    server: Server,
    logs: LogClient,
    client: Client,
}

impl World {
    async fn start() -> Self {
        let certificate = leaf(TENANCY, 7);
        let (broken, sessions) = (Vec::new(), Vec::new());
        let oracle = Oracle {
            certificate,
            lifetime: 3600,
            broken,
            sessions,
            revoked: 0,
        };
        let oracle = Arc::new(Mutex::new(oracle));
        let answering = Arc::clone(&oracle);
        let handler = move |request: &Received| answering.lock().unwrap().answer(request);
        let server = Server::start_with(Arc::new(handler), None).await;
        let client = client(&server.url());
        let logs = LogClient::new(client.clone(), Endpoint::parse(&server.url()).unwrap());
        Self {
            oracle,
            server,
            logs,
            client,
        }
    }

    fn set(&self, change: impl FnOnce(&mut Oracle)) {
        change(&mut self.oracle.lock().unwrap());
    }

    /// How many tokens were given.
    fn tokens(&self) -> usize {
        self.oracle.lock().unwrap().sessions.len()
    }

    async fn put(&self) -> Result<(), Error> {
        let body = Bytes::from_static(b"{}");
        let sha256 = digest(&body);
        let log_id = "ocid1.log.x".parse().unwrap();
        let sent = self
            .logs
            .put_logs(&log_id, body, &sha256, ContentEncoding::Identity);
        sent.await.map(|_| ())
    }
}

fn client(url: &str) -> Client {
    let environment = Environment::from_iter([
        ("OCI_METADATA_BASE_URL", format!("{url}/opc/v2")),
        ("OCI_CLI_FEDERATION_ENDPOINT", format!("{url}/v1/x509")),
    ]);
    let source = ConfigSource {
        environment,
        ..ConfigSource::default()
    };
    let credentials = Credentials::load(AuthKind::InstancePrincipal, &source).unwrap();
    let options = ClientOptions {
        environment: Environment::default(),
        ..ClientOptions::default()
    };
    Client::new(credentials, &options).unwrap()
}

/// Lets the client's clock run on.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn one_token_serves_many_requests() {
    let world = World::start().await;
    assert_eq!(world.client.credentials().expires(), None);
    let all = [world.put(), world.put(), world.put(), world.put()];
    let [a, b, c, d] = all;
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    for result in [a, b, c, d] {
        result.unwrap();
    }
    assert_eq!(world.tokens(), 1);
    let expires = world.client.credentials().expires().unwrap();
    assert_eq!(expires, UNIX_EPOCH + Duration::from_secs(3_000_003_600));
    let shown = format!("{:?}", world.client);
    assert!(!shown.contains("eyJ"), "{shown}");
}

#[tokio::test]
async fn the_region_and_realm_are_the_instances_own() {
    let world = World::start().await;
    let region = world.client.region().await.unwrap();
    assert_eq!(
        (region.id(), region.known_by()),
        ("xx-mars-1", KnownBy::Metadata)
    );
    let endpoint = Endpoint::of(Service::LoggingIngestion, &region)
        .unwrap()
        .to_string();
    assert_eq!(
        endpoint,
        "https://ingestion.logging.xx-mars-1.oci.mars.cloud"
    );
    world.client.region().await.unwrap();
    assert_eq!(world.server.received().len(), 1, "asked once");
}

#[tokio::test]
async fn an_older_metadata_service_names_the_region_alone() {
    let world = World::start().await;
    world.set(|oracle| {
        oracle
            .broken
            .push(("/regionInfo", answer("404 No", &[], "")))
    });
    assert_eq!(world.client.region().await.unwrap().id(), "us-phoenix-1");
}

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end() {
    let world = World::start().await;
    world.put().await.unwrap();
    pass(3299).await;
    world.put().await.unwrap();
    assert_eq!(world.tokens(), 1);
    // OCI has rotated the certificate meanwhile.
    world.set(|oracle| oracle.certificate = leaf(TENANCY, 8));
    pass(2).await;
    world.put().await.unwrap();
    assert_eq!(world.tokens(), 2);
}

#[tokio::test]
async fn while_renewal_fails_the_old_token_is_used_to_its_end() {
    let world = World::start().await;
    world.put().await.unwrap();
    let no = answer(
        "400 No",
        &[],
        r#"{"code":"InvalidParameter","message":"not today"}"#,
    );
    world.set(|oracle| oracle.broken.push(("/v1/x509", no)));
    pass(3400).await;
    world.put().await.unwrap();
    let error = world
        .client
        .credentials()
        .renewal_error()
        .unwrap()
        .to_string();
    assert!(error.contains("federation: not today"), "{error}");

    pass(200).await;
    let error = world.put().await.unwrap_err();
    assert!(
        error.to_string().contains("federation: not today"),
        "{error}"
    );
    // Within the backoff nobody is asked again.
    let asked = world.server.received().len();
    world.put().await.unwrap_err();
    assert_eq!(world.server.received().len(), asked);

    world.set(|oracle| oracle.broken.clear());
    pass(60).await;
    world.put().await.unwrap();
    assert!(world.client.credentials().renewal_error().is_none());
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let world = World::start().await;
    world.put().await.unwrap();
    pass(60).await;
    world.set(|oracle| oracle.revoked = 1);
    let (a, b, c) = tokio::join!(world.put(), world.put(), world.put());
    for result in [a, b, c] {
        result.unwrap();
    }
    assert_eq!(world.tokens(), 2, "three refusals, one renewal");

    // A new token that is refused too: another one would be no better.
    world.set(|oracle| oracle.revoked = 99);
    let error = world.put().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert_eq!(world.tokens(), 2);
    assert!(!world.client.refresh_credentials().await.unwrap());
}

#[tokio::test]
async fn another_tenancy_is_refused() {
    let world = World::start().await;
    world.put().await.unwrap();
    world.set(|oracle| oracle.certificate = leaf("ocid1.tenancy.oc1..thief", 9));
    pass(3600).await;
    let error = world.put().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    let shown = error.to_string();
    assert!(
        shown.contains("thief") && shown.contains("refused"),
        "{shown}"
    );
    assert_eq!(world.tokens(), 1);
}

#[tokio::test]
async fn a_token_that_is_over_already_is_not_taken() {
    let world = World::start().await;
    world.set(|oracle| oracle.lifetime = 2);
    let error = world.put().await.unwrap_err();
    assert!(error.to_string().contains("lives for 2s only"), "{error}");
}

#[tokio::test]
async fn short_answers_and_odd_ones_are_named() {
    let cases = [
        (
            "/cert.pem",
            answer("200 OK", &[], "hello"),
            "not a PEM file",
        ),
        (
            "/cert.pem",
            answer("200 OK", &[], &fixture("vector-pkcs1.pem")),
            "no certificate",
        ),
        (
            "/key.pem",
            answer("200 OK", &[], &fixture("vector-public.pem")),
            "public key",
        ),
        (
            "/x509",
            answer("200 OK", &[], r#"{"token":"secret"}"#),
            "no JWT",
        ),
        ("/x509", answer("200 OK", &[], "secret"), "holds no token"),
        (
            "/x509",
            answer("404 No", &[], r#"{"code":"X","message":"gone"}"#),
            "federation: gone",
        ),
        ("/key.pem", answer("403 No", &[], ""), "metadata service"),
    ];
    for (path, broken, words) in cases {
        let world = World::start().await;
        world.set(|oracle| oracle.broken.push((path, broken)));
        let error = world.put().await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(words), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_named() {
    let world = World::start().await;
    let date = "date: Sun, 05 Jan 2014 21:31:40 GMT";
    let no = answer(
        "401 No",
        &[date],
        r#"{"code":"NotAuthenticated","message":"no"}"#,
    );
    world.set(|oracle| oracle.broken.push(("/v1/x509", no)));
    let shown = world.put().await.unwrap_err().to_string();
    assert!(
        shown.contains("this host's clock is") && shown.contains("ahead of"),
        "{shown}"
    );
}

#[tokio::test]
async fn without_a_metadata_service_the_error_says_so() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let client = client(&format!("http://{}", socket.local_addr().unwrap()));
    let error = client.region().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    let shown = error.to_string();
    assert!(shown.contains("only on an OCI compute instance"), "{shown}");
    assert!(shown.contains("choose another auth"), "{shown}");
}

#[tokio::test]
async fn a_starting_metadata_service_is_waited_for() {
    let world = World::start().await;
    let oracle = Arc::clone(&world.oracle);
    world.set(|oracle| {
        oracle
            .broken
            .push(("/key.pem", answer("503 Soon", &[], "")))
    });
    let put = world.put();
    let mend = async {
        while !world
            .server
            .received()
            .iter()
            .any(|request| request.target().ends_with("/key.pem"))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        oracle.lock().unwrap().broken.clear();
    };
    let (result, ()) = tokio::join!(put, mend);
    result.unwrap();
}
