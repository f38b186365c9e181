//! Every PEM form in use gives the same key, and what is no key says what it is.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use oci::{ErrorKind, PrivateKey};

const FINGERPRINT: &str = "28:8a:d9:3d:fd:12:99:0c:61:86:cf:06:66:76:f4:a0";
const PASSPHRASE: &str = "correct horse";

fn fixture(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/signing");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

const ENCRYPTED: [&str; 8] = [
    "encrypted-pbes2-aes256.pem",
    "encrypted-pbes2-aes128.pem",
    "encrypted-pbes2-des3-sha1.pem",
    "encrypted-pbes2-scrypt.pem",
    "encrypted-legacy-aes256.pem",
    "encrypted-legacy-aes192.pem",
    "encrypted-legacy-aes128.pem",
    "encrypted-legacy-des3.pem",
];

#[test]
fn plain_forms_load_with_and_without_a_passphrase() {
    for name in [
        "vector-pkcs1.pem",
        "vector-pkcs8.pem",
        "vector-decorated.pem",
    ] {
        for passphrase in [None, Some("left over from DEFAULT")] {
            let key = PrivateKey::from_pem(&fixture(name), passphrase).unwrap();
            assert_eq!(key.fingerprint(), FINGERPRINT, "{name}");
        }
    }
}

#[test]
fn encrypted_forms_open_with_the_passphrase() {
    for name in ENCRYPTED {
        let key = PrivateKey::from_pem(&fixture(name), Some(PASSPHRASE)).unwrap();
        assert_eq!(key.fingerprint(), FINGERPRINT, "{name}");
    }
}

#[test]
fn a_wrong_or_missing_passphrase_is_named() {
    for name in ENCRYPTED {
        let text = fixture(name);
        // Many, because CBC padding comes out right once in 256 times.
        let tries = if name.contains("legacy") { 600 } else { 3 };
        for number in 0..tries {
            let wrong = format!("hunter{number}");
            let error = PrivateKey::from_pem(&text, Some(&wrong)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Credentials);
            let shown = format!("{error} {error:?}");
            assert!(
                shown.contains("passphrase does not open"),
                "{name}: {shown}"
            );
            assert!(!shown.contains(&wrong));
        }
        let error = PrivateKey::from_pem(&text, None).unwrap_err().to_string();
        assert!(error.contains("no passphrase is given"), "{name}: {error}");
        assert!(error.contains("OCI_CLI_PASSPHRASE"), "{name}: {error}");
    }
}

#[test]
fn what_is_no_key_says_what_it_is() {
    let cut = fixture("vector-pkcs8.pem")
        .lines()
        .take(9)
        .collect::<Vec<_>>()
        .join("\n");
    let damaged = fixture("vector-pkcs8.pem").replacen("MIIE", "MII!", 1);
    let cases = [
        (fixture("vector-public.pem"), "this is a public key"),
        (fixture("published-1024-public.pem"), "this is a public key"),
        (fixture("encrypted-pbes1.pem"), "other than PBES2"),
        (block("CERTIFICATE", "AAAA"), "CERTIFICATE"),
        (block("OPENSSH PRIVATE KEY", "AAAA"), "ssh-keygen"),
        (block("EC PRIVATE KEY", "AAAA"), "no RSA key"),
        (block("RSA PRIVATE KEY", "AAAA"), "malformed"),
        (cut, "cut off"),
        (damaged, "not base64"),
        (String::from("OCI_API_KEY\n"), "not a PEM file"),
        (String::new(), "not a PEM file"),
    ];
    for (text, words) in cases {
        let error = PrivateKey::from_pem(&text, Some(PASSPHRASE)).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_certificate_before_the_key_is_passed_over() {
    let text = block("CERTIFICATE", "AAAA") + &fixture("vector-pkcs1.pem");
    assert_eq!(
        PrivateKey::from_pem(&text, None).unwrap().fingerprint(),
        FINGERPRINT
    );
}

#[test]
fn debug_shows_nothing() {
    let key = PrivateKey::from_pem(&fixture("vector-pkcs8.pem"), None).unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey(…)");
}

fn block(label: &str, base64: &str) -> String {
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
}
