//! Credentials from `~/.oci/config` and the environment, and the errors that users get.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use oci::{ApiKey, ConfigSource, Error, ErrorKind};
use tempfile::TempDir;

const FINGERPRINT: &str = "28:8a:d9:3d:fd:12:99:0c:61:86:cf:06:66:76:f4:a0";
const USER: &str = "ocid1.user.oc1..u";
const TENANCY: &str = "ocid1.tenancy.oc1..t";

fn fixture(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/signing");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// A home folder with a key at `~/.oci/key.pem`.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".oci")).unwrap();
    write(&home, ".oci/key.pem", &fixture("vector-pkcs8.pem"));
    home
}

fn write(home: &TempDir, path: &str, text: &str) {
    let path = home.path().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn profile(key_file: &str) -> String {
    format!(
        "[DEFAULT]\nuser={USER}\nfingerprint={FINGERPRINT}\ntenancy={TENANCY}\n\
         region=eu-frankfurt-1\nkey_file={key_file}\n"
    )
}

fn source(home: &TempDir, variables: &[(&str, &str)]) -> ConfigSource {
    let own = [("HOME", home.path().to_str().unwrap())];
    let environment = own.iter().chain(variables).copied().collect();
    ConfigSource {
        environment,
        ..ConfigSource::default()
    }
}

fn load(home: &TempDir, variables: &[(&str, &str)]) -> Result<ApiKey, Error> {
    ApiKey::load(&source(home, variables))
}

fn region(key: &ApiKey) -> &str {
    key.region().unwrap().id()
}

#[test]
fn the_default_file_and_profile() {
    let home = home();
    write(&home, ".oci/config", &profile("~/.oci/key.pem"));
    let key = load(&home, &[]).unwrap();
    assert_eq!(region(&key), "eu-frankfurt-1");
    assert_eq!(key.user(), USER);
    assert_eq!(key.tenancy(), TENANCY);
    assert_eq!(key.fingerprint(), FINGERPRINT);
}

#[test]
fn a_profile_inherits_from_default() {
    let home = home();
    let text = profile("~/.oci/key.pem") + "\n[OTHER]\nRegion : iad\n";
    write(&home, ".oci/config", &text);
    assert_eq!(
        region(&load(&home, &[("OCI_CLI_PROFILE", "OTHER")]).unwrap()),
        "us-ashburn-1"
    );
    let explicit = ConfigSource {
        profile: Some("OTHER".to_owned()),
        ..source(&home, &[])
    };
    assert_eq!(region(&ApiKey::load(&explicit).unwrap()), "us-ashburn-1");
    let explicit = ConfigSource {
        region: Some("lhr".to_owned()),
        ..explicit
    };
    assert_eq!(region(&ApiKey::load(&explicit).unwrap()), "uk-london-1");
}

#[test]
fn the_clis_own_file_names_the_default_profile() {
    let home = home();
    write(
        &home,
        ".oci/config",
        &(profile("~/.oci/key.pem") + "[OTHER]\nregion=iad\n"),
    );
    write(
        &home,
        ".oci/oci_cli_rc",
        "[OCI_CLI_SETTINGS]\ndefault_profile=OTHER\n",
    );
    assert_eq!(region(&load(&home, &[]).unwrap()), "us-ashburn-1");
    assert_eq!(
        region(&load(&home, &[("OCI_CLI_PROFILE", "DEFAULT")]).unwrap()),
        "eu-frankfurt-1"
    );
}

#[test]
fn files_are_looked_for_in_oracles_order() {
    let home = home();
    let at = |path: &str, region: &str| {
        write(
            &home,
            path,
            &profile("~/.oci/key.pem").replace("eu-frankfurt-1", region),
        );
    };
    at(".oraclebmc/config", "bom");
    assert_eq!(region(&load(&home, &[]).unwrap()), "ap-mumbai-1");
    at("elsewhere", "iad");
    let sdk = [("OCI_CONFIG_FILE", "~/elsewhere")];
    assert_eq!(region(&load(&home, &sdk).unwrap()), "us-ashburn-1");
    at(".oci/config", "fra");
    assert_eq!(
        region(&load(&home, &sdk).unwrap()),
        "eu-frankfurt-1",
        "only when there is none"
    );
    let cli = [("OCI_CLI_CONFIG_FILE", "~/elsewhere")];
    assert_eq!(region(&load(&home, &cli).unwrap()), "us-ashburn-1");
    let explicit = ConfigSource {
        file: Some("~/.oraclebmc/config".into()),
        ..source(&home, &cli)
    };
    assert_eq!(region(&ApiKey::load(&explicit).unwrap()), "ap-mumbai-1");
    let default = ConfigSource {
        file: Some("~/.oci/config".into()),
        ..source(&home, &cli)
    };
    assert_eq!(
        default.file_path(),
        home.path().join("elsewhere"),
        "the default is not explicit"
    );
}

#[test]
fn variables_go_over_the_file() {
    let home = home();
    write(
        &home,
        ".oci/config",
        &profile("~/.oci/absent.pem").replace("user=", "# user="),
    );
    let variables = [
        ("OCI_CLI_USER", "ocid1.user.oc1..other"),
        ("OCI_CLI_REGION", "syd"),
        ("OCI_REGION", "iad"),
        ("OCI_CLI_KEY_FILE", "~/.oci/key.pem"),
    ];
    let key = load(&home, &variables).unwrap();
    assert_eq!(region(&key), "ap-sydney-1");
    assert_eq!(key.user(), "ocid1.user.oc1..other");
}

#[test]
fn oci_region_is_the_last_resort() {
    let home = home();
    let text = profile("~/.oci/key.pem").replace("region=eu-frankfurt-1\n", "");
    write(&home, ".oci/config", &text);
    assert!(load(&home, &[]).unwrap().region().is_none());
    assert_eq!(
        region(&load(&home, &[("OCI_REGION", "iad")]).unwrap()),
        "us-ashburn-1"
    );
}

#[test]
fn the_environment_alone_is_enough() {
    let home = home();
    let pem = fixture("encrypted-pbes2-aes256.pem");
    let variables = [
        ("OCI_CLI_USER", USER),
        ("OCI_CLI_TENANCY", TENANCY),
        ("OCI_CLI_FINGERPRINT", FINGERPRINT),
        ("OCI_CLI_REGION", "fra"),
        ("OCI_CLI_KEY_CONTENT", &pem),
        ("OCI_CLI_PASSPHRASE", "correct horse"),
    ];
    load(&home, &variables).unwrap();
    let error = load(&home, &variables[1..]).unwrap_err().to_string();
    assert!(
        error.contains(".oci/config") && error.contains("No such file"),
        "{error}"
    );
}

#[test]
fn a_passphrase_in_either_spelling() {
    for name in ["pass_phrase", "passphrase"] {
        let home = home();
        write(
            &home,
            ".oci/key.pem",
            &fixture("encrypted-legacy-aes256.pem"),
        );
        let text = profile("~/.oci/key.pem") + name + "=correct horse\n";
        write(&home, ".oci/config", &text);
        load(&home, &[]).unwrap();
        write(
            &home,
            ".oci/config",
            &text.replace("correct", "wrong-secret"),
        );
        let error = load(&home, &[]).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("passphrase does not open") && !shown.contains("wrong-secret"));
        assert!(shown.contains("key.pem") && shown.contains("key_file in profile DEFAULT"));
    }
}

fn fails(config: &str) -> (Error, String) {
    let home = home();
    write(&home, ".oci/config", config);
    let error = load(&home, &[]).unwrap_err();
    let shown = error
        .to_string()
        .replace(home.path().to_str().unwrap(), "HOME");
    (error, shown)
}

#[test]
fn errors_name_file_profile_and_key() {
    let good = profile("~/.oci/key.pem");
    let cases = [
        (
            good.replace("user=", "usr="),
            "user is missing: set it in profile DEFAULT of \
            HOME/.oci/config or OCI_CLI_USER",
        ),
        (
            good.replace(USER, "me"),
            "user in profile DEFAULT of HOME/.oci/config, line 2 is not an \
            OCID",
        ),
        (
            good.replace("28:8a", "28:8A"),
            "fingerprint in profile DEFAULT of HOME/.oci/config, \
            line 3 is not sixteen lower-case hex bytes with colons",
        ),
        (
            good.replace("key.pem", "absent.pem"),
            "failed to read private key (key_file in profile \
            DEFAULT of HOME/.oci/config, line 6): HOME/.oci/absent.pem: No such file or directory \
            (os error 2)",
        ),
        (
            good.replace("[DEFAULT]", "[A]"),
            "user is missing: set it in profile DEFAULT of \
            HOME/.oci/config or OCI_CLI_USER",
        ),
        (
            good.clone() + "user=x\n",
            "failed to read HOME/.oci/config: line 7: this key comes twice \
            in its section",
        ),
        (
            good.replace("eu-frankfurt-1", "a/b"),
            "region in profile DEFAULT of HOME/.oci/config, \
            line 5: region \"a/b\" cannot be part of a host name",
        ),
    ];
    for (config, expected) in cases {
        let (error, shown) = fails(&config);
        assert_eq!(shown, expected);
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

#[test]
fn a_key_in_the_file_is_refused_unread() {
    let (_, shown) = fails(&(profile("~/.oci/key.pem") + "key_content=SECRET\n"));
    assert!(
        shown.starts_with("key_content in profile DEFAULT of HOME/.oci/config"),
        "{shown}"
    );
    assert!(!shown.contains("SECRET"));
}

#[test]
fn another_keys_fingerprint_is_found_before_the_service_does() {
    let (error, shown) = fails(&profile("~/.oci/key.pem").replace("28:8a", "00:00"));
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(
        shown.contains(&format!("the private key has {FINGERPRINT}")),
        "{shown}"
    );
}

#[test]
fn an_unknown_profile_lists_the_known_ones() {
    let home = home();
    write(
        &home,
        ".oci/config",
        &(profile("~/.oci/key.pem") + "[A]\n[B]\n"),
    );
    let error = load(&home, &[("OCI_CLI_PROFILE", "C")])
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("no profile [C] in "), "{error}");
    assert!(error.ends_with("(it has DEFAULT, A, B)"), "{error}");
}

#[test]
fn a_session_profile_is_recognised() {
    let text = profile("~/.oci/key.pem").replace("user=", "security_token_file=");
    let (_, shown) = fails(&text);
    assert!(shown.contains("use auth security_token"), "{shown}");
}

#[test]
fn a_file_that_is_no_text_and_one_that_is_too_long() {
    let home = home();
    std::fs::write(home.path().join(".oci/config"), [0xff, 0xfe, 0]).unwrap();
    assert!(
        load(&home, &[])
            .unwrap_err()
            .to_string()
            .contains("not a text file")
    );
    std::fs::write(home.path().join(".oci/config"), vec![b'\n'; 2 << 20]).unwrap();
    assert!(
        load(&home, &[])
            .unwrap_err()
            .to_string()
            .contains("too long")
    );
}

#[test]
fn debug_shows_no_secret() {
    let home = home();
    write(&home, ".oci/config", &profile("~/.oci/key.pem"));
    let variables = [("OCI_CLI_PASSPHRASE", "hunter2")];
    let source = source(&home, &variables);
    let shown = format!("{source:?} {:?}", ApiKey::load(&source).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(!shown.contains("PRIVATE"), "{shown}");
    assert!(Path::new(&source.file_path()).is_absolute());
}
