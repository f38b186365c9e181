//! Where credentials are configured: `~/.oci/config` and `OCI_*` variables.

use std::path::PathBuf;

use crate::environment::Environment;

/// Where to look for a profile. The default looks at `~/.oci/config`, profile `DEFAULT`, with no
/// environment; [`ConfigSource::process`] takes this process's.
#[derive(Clone, Debug, Default)]
pub struct ConfigSource {
    /// An explicit config file; `~` is expanded. Default: what the environment names, else
    /// `~/.oci/config`.
    pub file: Option<PathBuf>,
    /// An explicit profile. Default: `OCI_CLI_PROFILE`, else `DEFAULT`.
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
}
