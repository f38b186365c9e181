//! Where credentials are configured: a profile of `~/.oci/config`, under `OCI_CLI_*` variables.
//!
//! Source: `config.py` of Oracle's Python SDK, `cli_root.py` and `cli_util.py` of its CLI.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::ini::Ini;
use crate::region::Region;

/// Oracle's default, which also means "not given": see [`ConfigSource::file`].
const DEFAULT_FILE: &str = "~/.oci/config";
/// Longer than any config or key file; a wrong path must not fill the memory.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where to look for a profile. The default looks at `~/.oci/config`, profile `DEFAULT`, with no
/// environment; [`ConfigSource::process`] takes this process's.
#[derive(Clone, Debug, Default)]
pub struct ConfigSource {
    /// An explicit config file; `~` is expanded. Default, and when it is `~/.oci/config` itself:
    /// `OCI_CLI_CONFIG_FILE`, else `~/.oci/config`, and where that is absent `OCI_CONFIG_FILE`,
    /// else `~/.oraclebmc/config`.
    pub file: Option<PathBuf>,
    /// An explicit profile. Default: `OCI_CLI_PROFILE`, else `default_profile` in
    /// `~/.oci/oci_cli_rc`, else `DEFAULT`.
    pub profile: Option<String>,
    /// An explicit region (identifier, short code or domain), over the profile's.
    pub region: Option<String>,
    /// The environment variables to look at.
    pub environment: Environment,
}

impl ConfigSource {
    /// The defaults with this process's environment.
    pub fn process() -> Self {
        Self {
            environment: Environment::process(),
            ..Self::default()
        }
    }

    /// The config file that will be read. It need not exist.
    pub fn file_path(&self) -> PathBuf {
        let environment = &self.environment;
        if let Some(file) = self
            .file
            .as_deref()
            .filter(|file| *file != Path::new(DEFAULT_FILE))
        {
            return file
                .to_str()
                .map_or_else(|| file.to_owned(), |file| environment.expand(file));
        }
        if let Some(file) = environment.get("OCI_CLI_CONFIG_FILE") {
            return environment.expand(file);
        }
        let default = environment.expand(DEFAULT_FILE);
        if default.is_file() {
            return default;
        }
        if let Some(file) = environment.get("OCI_CONFIG_FILE") {
            return environment.expand(file);
        }
        let old = environment.expand("~/.oraclebmc/config");
        if old.is_file() { old } else { default }
    }

    fn profile_name(&self) -> String {
        if let Some(profile) = &self.profile {
            return profile.clone();
        }
        if let Some(profile) = self.environment.get("OCI_CLI_PROFILE") {
            return profile.to_owned();
        }
        let rc_file = self
            .environment
            .get("OCI_CLI_RC_FILE")
            .unwrap_or("~/.oci/oci_cli_rc");
        let text = read_secret(&self.environment.expand(rc_file)).ok();
        let ini = text.and_then(|text| Ini::parse(&text).ok());
        let value = ini
            .as_ref()
            .and_then(|ini| ini.get("OCI_CLI_SETTINGS", "default_profile"));
        value.map_or_else(|| "DEFAULT".to_owned(), |value| value.text.to_string())
    }
}

/// One key of a profile, by its name in the file and the variables that override it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub name: &'static str,
    /// Over the file.
    variables: &'static [&'static str],
}

pub(crate) const USER: Key = Key {
    name: "user",
    variables: &["OCI_CLI_USER"],
};
pub(crate) const TENANCY: Key = Key {
    name: "tenancy",
    variables: &["OCI_CLI_TENANCY"],
};
pub(crate) const FINGERPRINT: Key = Key {
    name: "fingerprint",
    variables: &["OCI_CLI_FINGERPRINT"],
};
pub(crate) const KEY_FILE: Key = Key {
    name: "key_file",
    variables: &["OCI_CLI_KEY_FILE"],
};
pub(crate) const PASS_PHRASE: Key = Key {
    name: "pass_phrase",
    variables: &["OCI_CLI_PASSPHRASE"],
};
/// The Go SDK's spelling of `pass_phrase`.
pub(crate) const PASSPHRASE: Key = Key {
    name: "passphrase",
    variables: &[],
};
pub(crate) const REGION: Key = Key {
    name: "region",
    variables: &["OCI_CLI_REGION"],
};
pub(crate) const SECURITY_TOKEN_FILE: Key = Key {
    name: "security_token_file",
    variables: &["OCI_CLI_SECURITY_TOKEN_FILE"],
};
const KEY_CONTENT_VARIABLE: &str = "OCI_CLI_KEY_CONTENT";

/// A value with the place it came from. `Debug` shows the place only.
pub(crate) struct Setting {
    pub value: Zeroizing<String>,
    /// Such as `user in profile DEFAULT of /root/.oci/config, line 2`.
    pub origin: String,
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Setting({})", self.origin)
    }
}

/// A profile: one section of a config file under the environment.
pub(crate) struct Profile<'a> {
    source: &'a ConfigSource,
    path: PathBuf,
    name: String,
    /// `None` when there is no file, and the environment is all there is.
    ini: Option<Ini>,
}

impl<'a> Profile<'a> {
    /// Reads the profile that `source` names.
    ///
    /// # Errors
    /// When the file is absent (unless `OCI_CLI_*` say everything), unreadable or malformed, has
    /// no such profile, or holds a `key_content`.
    pub(crate) fn load(source: &'a ConfigSource) -> Result<Self> {
        let path = source.file_path();
        let name = source.profile_name();
        let ini = match read_secret(&path) {
            Ok(text) => Some(Ini::parse(&text).map_err(|error| {
                Error::config(format!("failed to read {}: {error}", path.display()))
            })?),
            Err(error) if is_absent(&error) && is_complete(&source.environment) => None,
            Err(error) => return Err(unreadable("OCI config file", &path, &error)),
        };
        let profile = Self {
            source,
            path,
            name,
            ini,
        };
        profile.check_section()?;
        Ok(profile)
    }

    fn check_section(&self) -> Result<()> {
        let Some(ini) = &self.ini else { return Ok(()) };
        if !ini.has_section(&self.name) {
            let names: Vec<&str> = ini.section_names().collect();
            return Err(Error::config(format!(
                "no profile [{}] in {} (it has DEFAULT{}{})",
                self.name,
                self.path.display(),
                if names.is_empty() { "" } else { ", " },
                names.join(", "),
            )));
        }
        if ini.get(&self.name, "key_content").is_some() {
            return Err(Error::config(format!(
                "key_content in {} is not allowed: name a file in key_file, or set {}",
                self.place(),
                KEY_CONTENT_VARIABLE,
            )));
        }
        Ok(())
    }

    /// Such as `profile DEFAULT of /root/.oci/config`.
    pub(crate) fn place(&self) -> String {
        format!("profile {} of {}", self.name, self.path.display())
    }

    /// The config file, whether it exists or not.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.source.environment
    }

    /// The value of `key`: the environment's, else the file's. An empty value is none.
    pub(crate) fn get(&self, key: Key) -> Option<Setting> {
        if let Some((variable, value)) = self.environment().first(key.variables) {
            return Some(variable_setting(variable, value));
        }
        let value = self.ini.as_ref()?.get(&self.name, key.name)?;
        if value.text.is_empty() {
            return None;
        }
        let origin = format!("{} in {}, line {}", key.name, self.place(), value.line);
        Some(Setting {
            value: value.text.clone(),
            origin,
        })
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// When there is none, saying where it could be.
    pub(crate) fn require(&self, key: Key) -> Result<Setting> {
        self.get(key).ok_or_else(|| {
            let variables = key.variables.iter().map(|name| format!(" or {name}"));
            let variables: String = variables.collect();
            Error::config(format!(
                "{} is missing: set it in {}{variables}",
                key.name,
                self.place()
            ))
        })
    }

    /// The text of the private key.
    ///
    /// # Errors
    /// When there is none, or its file cannot be read.
    pub(crate) fn key_text(&self) -> Result<Setting> {
        if let Some(text) = self.environment().get(KEY_CONTENT_VARIABLE) {
            return Ok(variable_setting(KEY_CONTENT_VARIABLE, text));
        }
        let setting = self.require(KEY_FILE)?;
        let path = self.environment().expand(&setting.value);
        let value = read_secret(&path).map_err(|error| {
            unreadable(&format!("private key ({})", setting.origin), &path, &error)
        })?;
        Ok(Setting {
            value,
            origin: format!("{} ({})", path.display(), setting.origin),
        })
    }

    /// The passphrase, under either of its names.
    pub(crate) fn passphrase(&self) -> Option<Setting> {
        self.get(PASS_PHRASE).or_else(|| self.get(PASSPHRASE))
    }

    /// The region: explicit, the profile's, else `OCI_REGION`; `None` when nothing names one.
    ///
    /// # Errors
    /// When what is named cannot be a region.
    pub(crate) fn region(&self) -> Result<Option<Region>> {
        configured_region(self.source, self.get(REGION))
    }
}

/// The region that `source` names itself, over `profile`'s, over `OCI_REGION`.
pub(crate) fn configured_region(
    source: &ConfigSource,
    profile: Option<Setting>,
) -> Result<Option<Region>> {
    let environment = &source.environment;
    let fallback = || {
        Some(variable_setting(
            "OCI_REGION",
            environment.get("OCI_REGION")?,
        ))
    };
    let explicit = source.region.as_ref().map(|region| Setting {
        value: Zeroizing::new(region.clone()),
        origin: "the configured region".to_owned(),
    });
    let Some(setting) = explicit.or(profile).or_else(fallback) else {
        return Ok(None);
    };
    Region::resolve(&setting.value, environment)
        .map(Some)
        .map_err(|error| error.while_doing(setting.origin))
}

fn variable_setting(variable: &str, value: &str) -> Setting {
    let value = Zeroizing::new(value.to_owned());
    Setting {
        value,
        origin: format!("environment variable {variable}"),
    }
}

/// Whether the environment alone is a whole API key profile, as the CLI asks for.
pub(crate) fn is_complete(environment: &Environment) -> bool {
    let needed = [USER, TENANCY, FINGERPRINT, REGION];
    needed
        .iter()
        .all(|key| environment.first(key.variables).is_some())
        && environment
            .first(&["OCI_CLI_KEY_FILE", KEY_CONTENT_VARIABLE])
            .is_some()
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

pub(crate) fn unreadable(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::config(format!(
        "failed to read {what}: {}: {error}",
        path.display()
    ))
}

/// Reads a whole text file into memory that is zeroised.
pub(crate) fn read_secret(path: &Path) -> io::Result<Zeroizing<String>> {
    let length = std::fs::metadata(path)?.len();
    if length > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("{length} bytes is too long")));
    }
    // fs::read sizes its buffer from the metadata, so no half-grown copy stays on the heap.
    let bytes = Zeroizing::new(std::fs::read(path)?);
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(io::Error::other("not a text file")),
    }
}

/// Whether `text` has the form of an OCID: the pattern of the Python SDK's `config.py`.
pub(crate) fn is_ocid(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['.', ':']).collect();
    let plain = |part: &&str| {
        part.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    parts.len() >= 5
        && parts.iter().all(plain)
        && parts.first().is_some_and(|part| !part.is_empty())
        && parts.last().is_some_and(|part| !part.is_empty())
}

/// Whether `text` is sixteen lower-case hex bytes with colons: the same file's pattern.
pub(crate) fn is_fingerprint(text: &str) -> bool {
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let parts: Vec<&str> = text.split(':').collect();
    parts.len() == 16
        && parts
            .iter()
            .all(|part| part.len() == 2 && part.bytes().all(hex))
}
