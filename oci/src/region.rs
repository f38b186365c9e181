//! Where a region's endpoints are: its identifier and its realm's domain.

mod table;

use std::path::Path;

use serde::Deserialize;

use crate::environment::Environment;
use crate::error::{Error, Result};

/// A region with the second-level domain of its realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    id: String,
    domain: String,
    known_by: KnownBy,
}

/// Which rule placed a region in its realm; `check` tells it to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KnownBy {
    /// The built-in table.
    Table,
    /// `~/.oci/regions-config.json`.
    RegionsFile,
    /// `OCI_REGION_METADATA`.
    Environment,
    /// The instance's metadata service (`/instance/regionInfo`).
    Metadata,
    /// The name has a dot, so it is a domain itself.
    Domain,
    /// `OCI_DEFAULT_REALM`.
    DefaultRealm,
    /// Nothing knew it: realm `oc1` is assumed, as Oracle's SDKs do.
    Assumed,
}

/// One region as `regions-config.json`, `OCI_REGION_METADATA` and `regionInfo` describe it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegionInfo {
    pub realm_domain_component: String,
    pub region_key: String,
    pub region_identifier: String,
}

impl RegionInfo {
    fn is_named(&self, name: &str) -> bool {
        self.region_identifier.eq_ignore_ascii_case(name)
            || self.region_key.eq_ignore_ascii_case(name)
    }

    pub(crate) fn into_region(self, known_by: KnownBy) -> Result<Region> {
        let id = self.region_identifier.trim().to_ascii_lowercase();
        let domain = self.realm_domain_component.trim().to_ascii_lowercase();
        Region::checked(id, domain, known_by)
    }
}

impl Region {
    /// Resolves an identifier (`eu-frankfurt-1`), short code (`fra`) or domain (`foo.bar.com`).
    ///
    /// In the order of Oracle's SDKs (`regions.py`): the built-in table,
    /// `~/.oci/regions-config.json`, `OCI_REGION_METADATA`, a name with a dot is a domain itself,
    /// `OCI_DEFAULT_REALM` (a second-level domain), realm `oc1`.
    ///
    /// # Errors
    /// When the name cannot be part of a host name, or one of those sources is malformed.
    pub fn resolve(name: &str, environment: &Environment) -> Result<Self> {
        let name = name.trim().to_ascii_lowercase();
        if let Some(region) = Self::listed(&name) {
            return Ok(region);
        }
        if let Some(region) = from_regions_file(&name, environment)? {
            return Ok(region);
        }
        if let Some(region) = from_variable(&name, environment)? {
            return Ok(region);
        }
        if name.contains('.') {
            return Self::checked(name.clone(), name, KnownBy::Domain);
        }
        if let Some(domain) = environment.get("OCI_DEFAULT_REALM") {
            let domain = domain.trim().to_ascii_lowercase();
            return Self::checked(name, domain, KnownBy::DefaultRealm);
        }
        Self::checked(name, "oraclecloud.com".to_owned(), KnownBy::Assumed)
    }

    /// The region of the built-in table with this identifier or short code.
    pub(crate) fn listed(name: &str) -> Option<Self> {
        let (_, id, realm) = table::REGIONS
            .iter()
            .find(|(short, id, _)| *id == name || *short == name)?;
        let (_, domain) = table::REALMS.iter().find(|(key, _)| key == realm)?;
        Some(Self {
            id: (*id).to_owned(),
            domain: (*domain).to_owned(),
            known_by: KnownBy::Table,
        })
    }

    fn checked(id: String, domain: String, known_by: KnownBy) -> Result<Self> {
        for part in [&id, &domain] {
            if !is_host_part(part) {
                return Err(Error::config(format!(
                    "region {part:?} cannot be part of a host name"
                )));
            }
        }
        Ok(Self {
            id,
            domain,
            known_by,
        })
    }

    /// The identifier, such as `eu-frankfurt-1`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The realm's second-level domain, such as `oraclecloud.com`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Which rule placed the region in its realm.
    pub fn known_by(&self) -> KnownBy {
        self.known_by
    }
}

fn is_host_part(part: &str) -> bool {
    part.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

fn from_regions_file(name: &str, environment: &Environment) -> Result<Option<Region>> {
    let Some(home) = environment.home() else {
        return Ok(None);
    };
    let path = home.join(".oci/regions-config.json");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        // Absent is the rule; unreadable must not stop an agent that never asked for this file.
        Err(_) => return Ok(None),
    };
    let regions: Vec<RegionInfo> =
        serde_json::from_slice(&text).map_err(|error| wrong(&path, error))?;
    match regions.into_iter().find(|region| region.is_named(name)) {
        Some(region) => region.into_region(KnownBy::RegionsFile).map(Some),
        None => Ok(None),
    }
}

fn wrong(path: &Path, error: serde_json::Error) -> Error {
    Error::config(format!(
        "failed to read regions from {}: {error}",
        path.display()
    ))
}

fn from_variable(name: &str, environment: &Environment) -> Result<Option<Region>> {
    let Some(text) = environment.get("OCI_REGION_METADATA") else {
        return Ok(None);
    };
    let region: RegionInfo = serde_json::from_str(text).map_err(|error| {
        Error::config(format!(
            "failed to read the region in OCI_REGION_METADATA: {error}"
        ))
    })?;
    if !region.is_named(name) {
        return Ok(None);
    }
    region.into_region(KnownBy::Environment).map(Some)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().copied().collect()
    }

    fn domain(name: &str, environment: &Environment) -> (String, String, KnownBy) {
        let region = Region::resolve(name, environment).unwrap();
        (region.id, region.domain, region.known_by)
    }

    fn expected(id: &str, domain: &str, known_by: KnownBy) -> (String, String, KnownBy) {
        (id.to_owned(), domain.to_owned(), known_by)
    }

    #[test]
    fn the_table_is_whole_and_consistent() {
        assert_eq!(table::REGIONS.len(), 85);
        for (short, id, realm) in table::REGIONS {
            let by_id = Region::listed(id).unwrap();
            assert_eq!(Region::listed(short).unwrap(), by_id);
            assert_eq!(by_id.id, *id);
            let (_, domain) = table::REALMS.iter().find(|(key, _)| key == realm).unwrap();
            assert_eq!(by_id.domain, *domain);
            let same = |other: &&(&str, &str, &str)| other.0 == *short || other.1 == *id;
            assert_eq!(table::REGIONS.iter().filter(same).count(), 1, "{id}");
        }
    }

    #[test]
    fn listed_regions_need_no_environment() {
        let none = Environment::default();
        let frankfurt = expected("eu-frankfurt-1", "oraclecloud.com", KnownBy::Table);
        for name in ["fra", "FRA", " eu-frankfurt-1\n", "EU-Frankfurt-1"] {
            assert_eq!(domain(name, &none), frankfurt);
        }
        assert_eq!(domain("uk-gov-london-1", &none).1, "oraclegovcloud.uk");
        assert_eq!(domain("eu-frankfurt-2", &none).1, "oraclecloud.eu");
    }

    #[test]
    fn unknown_regions_follow_oracles_order() {
        let none = Environment::default();
        let mars = |domain, known_by| expected("xx-mars-1", domain, known_by);
        assert_eq!(
            domain("xx-mars-1", &none),
            mars("oraclecloud.com", KnownBy::Assumed)
        );

        let realm = [("OCI_DEFAULT_REALM", "oraclecloud8.com")];
        let by_realm = mars("oraclecloud8.com", KnownBy::DefaultRealm);
        assert_eq!(domain("xx-mars-1", &environment(&realm)), by_realm);
        let dotted = expected("foo.bar.com", "foo.bar.com", KnownBy::Domain);
        assert_eq!(domain("foo.bar.com", &environment(&realm)), dotted);

        let metadata = r#"{"realmKey":"oc99","realmDomainComponent":"mars.cloud",
            "regionKey":"MRZ","regionIdentifier":"xx-mars-1"}"#;
        let mut variables = realm.to_vec();
        variables.push(("OCI_REGION_METADATA", metadata));
        let by_variable = mars("mars.cloud", KnownBy::Environment);
        for name in ["xx-mars-1", "mrz"] {
            assert_eq!(domain(name, &environment(&variables)), by_variable);
        }
        assert_eq!(
            domain("xx-moon-1", &environment(&variables)).2,
            KnownBy::DefaultRealm
        );

        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".oci")).unwrap();
        let file = format!("[{}]", metadata.replace("mars.cloud", "file.cloud"));
        std::fs::write(home.path().join(".oci/regions-config.json"), file).unwrap();
        variables.push(("HOME", home.path().to_str().unwrap()));
        let by_file = mars("file.cloud", KnownBy::RegionsFile);
        assert_eq!(domain("xx-mars-1", &environment(&variables)), by_file);
    }

    #[test]
    fn what_cannot_be_a_host_is_refused() {
        let none = Environment::default();
        for name in [
            "",
            "a/b",
            "evil.com/x",
            "a..b",
            "a@b",
            "é",
            "a:1",
            &"x".repeat(64),
        ] {
            Region::resolve(name, &none).unwrap_err();
        }
        let wrong = environment(&[("OCI_REGION_METADATA", "{")]);
        let error = Region::resolve("xx-mars-1", &wrong)
            .unwrap_err()
            .to_string();
        assert!(error.contains("OCI_REGION_METADATA"), "{error}");
    }
}
