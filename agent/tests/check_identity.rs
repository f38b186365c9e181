//! `platform-agent check` with each kind of credentials: which was chosen, why, and whether the
//! service takes it.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use fixtures::emulator::{Credential, Emulator, Options};
use serde_json::{Value, json};
use tempfile::TempDir;

const LOG_ID: &str = "ocid1.log.oc1.eu-frankfurt-1.test";
const KEY: &str = include_str!("../../fixtures/signing/vector-pkcs8.pem");
const PUBLIC_KEY: &str = include_str!("../../fixtures/signing/vector-public.pem");

type Variables = Vec<(&'static str, String)>;

struct World {
    dir: TempDir,
    emulator: Emulator,
    credential: Credential,
}

impl World {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let credential = Credential::create(&dir.path().join("oci")).unwrap();
        let emulator = Emulator::start(Options {
            keyring: credential.keyring(),
            log_ids: vec![LOG_ID.to_owned()],
            ..Options::default()
        })
        .unwrap();
        for folder in ["containers", "state"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        Self {
            dir,
            emulator,
            credential,
        }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn control(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/control/identity{path}", self.emulator.url());
        let mut answer = ureq::post(&url).send_json(body).unwrap();
        answer.body_mut().read_json().unwrap()
    }

    fn token(&self, principal: &str) -> String {
        let wish = json!({"public_key": PUBLIC_KEY, "principal": principal});
        self.control("/token", &wish)["token"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// The findings on credentials and on the entry that was sent.
    fn check(&self, variables: &[(&str, String)]) -> [Value; 2] {
        let output = Command::new(env!("CARGO_BIN_EXE_platform-agent"))
            .args(["check", "--json"])
            .env("HOME", self.dir.path())
            .env("PLATFORM_AGENT_LOGGING__LOG_ID", LOG_ID)
            .env("PLATFORM_AGENT_LOGGING__ENDPOINT", self.emulator.url())
            .env("PLATFORM_AGENT_STATE__DIR", self.dir.path().join("state"))
            .env(
                "PLATFORM_AGENT_SOURCE__CONTAINERS_DIR",
                self.dir.path().join("containers"),
            )
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
            panic!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )
        });
        ["credentials", "entry"].map(|check| {
            let findings = report["findings"].as_array().unwrap();
            let mut found = findings.iter().filter(|finding| finding["check"] == check);
            found
                .next_back()
                .unwrap_or_else(|| panic!("no {check}: {report:#}"))
                .clone()
        })
    }

    /// Each kind, what says why it was chosen, and its variables.
    fn kinds(&self) -> [(&'static str, &'static str, Variables); 4] {
        let url = self.emulator.url();
        let token = self.write("token", &self.token("user"));
        let key = self.write("session.pem", KEY);
        let session = self.write(
            "session-config",
            &format!(
                "[DEFAULT]\nregion=fra\nfingerprint=x\ntenancy=y\nkey_file={}\n\
                 security_token_file={}\n",
                key.display(),
                token.display()
            ),
        );
        let file = |path: &PathBuf| vec![("OCI_CLI_CONFIG_FILE", path.display().to_string())];
        let resource = vec![
            ("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2".to_owned()),
            ("OCI_RESOURCE_PRINCIPAL_RPST", self.token("resource")),
            ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", KEY.to_owned()),
            ("OCI_RESOURCE_PRINCIPAL_REGION", "fra".to_owned()),
        ];
        let instance = vec![
            ("OCI_METADATA_BASE_URL", format!("{url}/opc/v2")),
            ("OCI_CLI_FEDERATION_ENDPOINT", format!("{url}/v1/x509")),
        ];
        [
            (
                "api_key",
                "there is user in profile DEFAULT",
                file(&self.credential.config_file),
            ),
            (
                "security_token",
                "there is security_token_file",
                file(&session),
            ),
            (
                "resource_principal",
                "OCI_RESOURCE_PRINCIPAL_VERSION is set",
                resource,
            ),
            (
                "instance_principal",
                "OCI_RESOURCE_PRINCIPAL_VERSION is not set",
                instance,
            ),
        ]
    }
}

#[test]
fn each_kind_is_chosen_for_a_reason_and_accepted() {
    let world = World::start();
    for (kind, reason, variables) in world.kinds() {
        let [credentials, entry] = world.check(&variables);
        assert_eq!(credentials["verdict"], "ok", "{credentials:#}");
        let text = credentials.to_string();
        assert!(text.contains(kind) && text.contains(reason), "{text}");
        assert_eq!(entry["verdict"], "ok", "{kind}: {entry:#}");
    }
    assert_eq!(world.emulator.summary().entries, 4);
}

#[test]
fn each_kind_that_is_refused_says_what_to_do() {
    let world = World::start();
    let kinds = world.kinds();
    world.control("/revoke", &json!("tokens"));
    let key_id = &world.credential.key_id;
    world.control("/revoke", &json!({"key_id": key_id}));
    // The instance proves itself anew, so it is the clock that is wrong for it.
    world.emulator.set_clock_offset_seconds(-1_000);
    for (kind, _, variables) in kinds {
        let [credentials, entry] = world.check(&variables);
        assert_eq!(credentials["verdict"], "ok", "{kind}: {credentials:#}");
        assert_eq!(entry["verdict"], "error", "{kind}: {entry:#}");
        let text = entry.to_string();
        assert!(
            text.contains("opc-request-id") && text.contains("ahead of the service's"),
            "{kind}: {text}"
        );
    }
}
