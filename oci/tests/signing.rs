//! Signing strings and signatures against Oracle's SDK and Oracle's documentation.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::{BodyHeaders, PrivateKey, SignedParts, Signer, digest};
use ring::signature::{RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};

const DATE: &str = "Thu, 05 Jan 2014 21:31:40 GMT";
const KEY_ID: &str = "ocid1.tenancy.oc1..t/ocid1.user.oc1..u/28:8a";

fn fixture(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/signing");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

struct Vector {
    name: &'static str,
    method: &'static str,
    target: &'static str,
    host: &'static str,
    body: Option<String>,
}

const INSTANCES: &str = "/20160918/instances?availabilityDomain=Pjwf%3A%20PHX-AD-1&\
    compartmentId=ocid1.compartment.oc1..aaaaaaaam3we6vgnherjq5q2idnccdflvjsnog7mlr6rtdb25gilchfeyjxa&\
    displayName=TeamXInstances&\
    volumeId=ocid1.volume.oc1.phx.abyhqljrgvttnlx73nmrwfaux7kcvzfs3s66izvxf2h4lgvyndsdsnoiwr5q";

fn vectors() -> Vec<Vector> {
    let storage = "objectstorage.us-phoenix-1.oraclecloud.com";
    let compute = "iaas.us-phoenix-1.oraclecloud.com";
    let put_logs = "/20200831/logs/ocid1.log.oc1.phx.EXAMPLE/actions/push";
    let ingestion = "ingestion.logging.us-phoenix-1.oci.oraclecloud.com";
    let object = "/n/ns/b/bkt/o/dir%2Fa%20b%2Bc.txt";
    let vector = |name, method, target, host, body| Vector {
        name,
        method,
        target,
        host,
        body,
    };
    vec![
        vector("g1-doc-get", "GET", INSTANCES, compute, None),
        vector(
            "p1-doc-post",
            "POST",
            "/20160918/volumeAttachments",
            compute,
            Some(fixture("p1-doc-post.body")),
        ),
        vector(
            "p2-putlogs",
            "POST",
            put_logs,
            ingestion,
            Some(fixture("p2-putlogs.body")),
        ),
        vector(
            "p3-post-empty-body",
            "POST",
            "/20160918/instances/x/actions/stop",
            compute,
            Some(String::new()),
        ),
        vector("d1-delete", "DELETE", object, storage, None),
        vector("h1-head", "HEAD", "/n/ns/b/bkt/o/x", storage, None),
        vector("o1-putobject-nobody", "PUT", object, storage, None),
        vector(
            "o2-uploadpart",
            "PUT",
            "/n/ns/b/bkt/u/big?uploadId=UP1&uploadPartNum=1",
            storage,
            None,
        ),
        vector("e1-host-port", "GET", "/n", "127.0.0.1:8080", None),
    ]
}

fn with_parts<T>(vector: &Vector, run: impl FnOnce(&SignedParts<'_>) -> T) -> T {
    let sha256 = vector.body.as_ref().map(|body| digest(body.as_bytes()));
    let body = vector.body.as_ref().zip(sha256.as_ref());
    let body = body.map(|(body, sha256)| BodyHeaders {
        length: body.len() as u64,
        content_type: "application/json",
        sha256,
    });
    run(&SignedParts {
        method: vector.method,
        target: vector.target,
        host: Some(vector.host),
        date: DATE,
        body,
        extra: &[],
    })
}

/// The parameters of an `authorization` header, as a server reads them.
fn parameter(authorization: &str, name: &str) -> String {
    let start = format!("{name}=\"");
    let rest = authorization.split_once(&start).unwrap().1;
    rest.split_once('"').unwrap().0.to_owned()
}

#[test]
fn every_vector_from_both_forms_of_the_key() {
    for pem in ["vector-pkcs1.pem", "vector-pkcs8.pem"] {
        let key = Arc::new(PrivateKey::from_pem(&fixture(pem), None).unwrap());
        let signer = Signer::new(KEY_ID, key);
        for vector in vectors() {
            let name = vector.name;
            let (string, authorization) = with_parts(&vector, |parts| {
                (parts.signing_string(), signer.authorization(parts).unwrap())
            });
            assert_eq!(string, fixture(&format!("{name}.string")), "{name}");
            let signature = fixture(&format!("{name}.signature"));
            assert_eq!(
                parameter(&authorization, "signature"),
                signature.trim(),
                "{name} {pem}"
            );
            assert!(authorization.starts_with("Signature "));
            assert_eq!(parameter(&authorization, "version"), "1");
            assert_eq!(parameter(&authorization, "algorithm"), "rsa-sha256");
            assert_eq!(parameter(&authorization, "keyId"), KEY_ID);
            let expected = match vector.body {
                Some(_) => {
                    "date (request-target) host content-length content-type x-content-sha256"
                }
                None => "date (request-target) host",
            };
            assert_eq!(parameter(&authorization, "headers"), expected);
        }
    }
}

#[test]
fn the_signing_strings_are_those_that_oracle_published() {
    let pem = fixture("published-1024-public.pem");
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let public = STANDARD.decode(base64).unwrap();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, public);
    for (name, published) in [
        ("g1-doc-get", "published-get"),
        ("p1-doc-post", "published-post"),
    ] {
        let all = vectors();
        let vector = all.iter().find(|vector| vector.name == name).unwrap();
        let string = with_parts(vector, |parts| parts.signing_string());
        let signature = fixture(&format!("{published}.signature"));
        let signature = STANDARD.decode(signature.trim()).unwrap();
        key.verify(string.as_bytes(), &signature).unwrap();
        key.verify(string.replace("2014", "2015").as_bytes(), &signature)
            .unwrap_err();
    }
}

#[test]
fn federation_leaves_the_host_out_and_extra_headers_come_last() {
    let sha256 = digest(b"");
    let parts = SignedParts {
        method: "Post",
        target: "/v1/x509",
        host: None,
        date: DATE,
        body: Some(BodyHeaders {
            length: 0,
            content_type: "application/json",
            sha256: &sha256,
        }),
        extra: &[("opc-obo-token", "t")],
    };
    let names = "date (request-target) content-length content-type x-content-sha256 opc-obo-token";
    assert_eq!(parts.header_names(), names);
    let string = parts.signing_string();
    let lines: Vec<&str> = string.split('\n').collect();
    assert_eq!(lines[1], "(request-target): post /v1/x509");
    assert_eq!(lines[5], "opc-obo-token: t");
    assert_eq!(
        lines[4],
        "x-content-sha256: 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    );
    assert_eq!(lines.len(), names.split(' ').count());
}

#[test]
fn a_signer_hides_its_key_id() {
    let key = PrivateKey::from_pem(&fixture("vector-pkcs8.pem"), None).unwrap();
    let signer = Signer::new("ST$secret-token", Arc::new(key));
    assert!(!format!("{signer:?}").contains("secret"));
}
