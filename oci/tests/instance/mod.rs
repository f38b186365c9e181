//! A metadata and federation service that checks what it is sent, and a client of it.
#![allow(dead_code, clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::server::{Answer, Received, Server, answer, fixture, jwt, vector_spki};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use oci::{
    AuthKind, Client, ClientOptions, ConfigSource, ContentEncoding, Credentials, Endpoint,
    Environment, Error, LogClient, digest,
};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256};
use ring::digest::{SHA256, digest as hash};

pub const TENANCY: &str = "ocid1.tenancy.oc1..t";

/// The leaf certificate of an instance, for the vector key.
pub fn leaf(tenancy: &str, serial: u64) -> rcgen::Certificate {
    let pem = fixture("vector-pkcs8.pem");
    let key = KeyPair::from_pkcs8_pem_and_sign_algo(&pem, &PKCS_RSA_SHA256).unwrap();
    leaf_for(tenancy, serial, &key)
}

/// The same for `key`.
pub fn leaf_for(tenancy: &str, serial: u64, key: &KeyPair) -> rcgen::Certificate {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "ocid1.instance.oc1..i");
    let unit = DnType::OrganizationalUnitName;
    params
        .distinguished_name
        .push(unit, format!("opc-tenant:{tenancy}"));
    params.serial_number = Some(serial.into());
    params.self_signed(key).unwrap()
}

/// What the service does; a test changes it as it goes.
pub struct Oracle {
    pub certificate: rcgen::Certificate,
    /// Seconds that a token lives.
    pub lifetime: u64,
    /// Answers to give instead, by path.
    pub broken: Vec<(&'static str, Answer)>,
    /// Public keys, in the order in which tokens were given for them.
    pub sessions: Vec<Vec<u8>>,
    /// Tokens up to this one are refused by PutLogs.
    pub revoked: usize,
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

pub struct World {
    pub oracle: Arc<Mutex<Oracle>>,
    pub server: Server,
    pub logs: LogClient,
    pub client: Client,
}

impl World {
    pub async fn start() -> Self {
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

    pub fn set(&self, change: impl FnOnce(&mut Oracle)) {
        change(&mut self.oracle.lock().unwrap());
    }

    /// How many tokens were given.
    pub fn tokens(&self) -> usize {
        self.oracle.lock().unwrap().sessions.len()
    }

    pub async fn put(&self) -> Result<(), Error> {
        let body = Bytes::from_static(b"{}");
        let sha256 = digest(&body);
        let log_id = "ocid1.log.x".parse().unwrap();
        let sent = self
            .logs
            .put_logs(&log_id, body, &sha256, ContentEncoding::Identity);
        sent.await.map(|_| ())
    }
}

pub fn client(url: &str) -> Client {
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
pub async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}
