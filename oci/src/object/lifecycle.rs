//! Rules by which the service itself deletes: they need no credential of the host.

use reqwest::Method;
use serde::Deserialize;

use super::bucket::Bucket;
use crate::error::{Error, ErrorKind, Result};
use crate::request::Payload;

/// A bucket has 1000 rules at most (GetObjectLifecyclePolicy).
const RULES_BYTES_MAX: usize = 4 << 20;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleRule {
    /// Its name.
    pub name: String,
    /// `objects`, `multipart-uploads` or `previous-object-versions`.
    #[serde(default = "objects")]
    pub target: String,
    /// `DELETE`, `ABORT`, `ARCHIVE` or `INFREQUENT_ACCESS`.
    pub action: String,
    /// In [`Self::time_unit`], from the object's last change on.
    pub time_amount: u64,
    /// `DAYS` or `YEARS`.
    pub time_unit: String,
    /// A rule can be switched off.
    pub is_enabled: bool,
    /// Without one, it is for every object.
    #[serde(default)]
    pub object_name_filter: Option<NameFilter>,
}

/// The objects that a rule is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NameFilter {
    /// What names begin with; all, where this and the patterns are empty.
    pub inclusion_prefixes: Vec<String>,
    /// Patterns of names.
    pub inclusion_patterns: Vec<String>,
    /// Patterns of names that are left alone.
    pub exclusion_patterns: Vec<String>,
}

impl LifecycleRule {
    /// After how many days it acts.
    pub fn days(&self) -> u64 {
        match self.time_unit.as_str() {
            "YEARS" => self.time_amount.saturating_mul(365),
            _ => self.time_amount,
        }
    }

    /// Whether it deletes objects whose names begin with `prefix`; patterns count as maybe not.
    pub fn deletes(&self, prefix: &str) -> bool {
        let covers = |filter: &NameFilter| {
            let mut prefixes = filter.inclusion_prefixes.iter();
            (filter.inclusion_prefixes.is_empty() && filter.inclusion_patterns.is_empty())
                || prefixes.any(|included| prefix.starts_with(included.as_str()))
        };
        self.is_enabled
            && self.target == "objects"
            && self.action == "DELETE"
            && self.object_name_filter.as_ref().is_none_or(covers)
    }
}

fn objects() -> String {
    "objects".to_owned()
}

#[derive(Deserialize)]
struct Policy {
    #[serde(default)]
    items: Vec<LifecycleRule>,
}

impl Bucket {
    /// Its rules (BUCKET_READ); none where it has no policy, or where the credential may not look:
    /// Oracle does not tell the two apart.
    ///
    /// # Errors
    /// As they come.
    pub async fn lifecycle(&self) -> Result<Vec<LifecycleRule>> {
        let mut call = self.call(Method::GET, Payload::None, &[], 0);
        call.answer_bytes_max = RULES_BYTES_MAX;
        let answer = match self.ask_again(&self.target("/l"), &call).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            answer => answer?,
        };
        let policy: Policy = serde_json::from_slice(&answer.body).map_err(|error| {
            Error::new(
                ErrorKind::Unexpected,
                format!("the lifecycle rules: {error}"),
            )
        })?;
        Ok(policy.items)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rule(more: &str) -> LifecycleRule {
        let text = format!(
            r#"{{"name": "n", "action": "DELETE", "timeAmount": 2, "timeUnit": "YEARS", "isEnabled": true{more}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_rule_deletes_what_its_prefixes_hold() {
        assert_eq!(rule("").days(), 730);
        assert!(rule("").deletes("platform-ops/"));
        let prefixes = |list: &str| {
            rule(&format!(
                r#", "objectNameFilter": {{"inclusionPrefixes": {list}}}"#
            ))
        };
        assert!(prefixes("[]").deletes("platform-ops/"));
        assert!(prefixes(r#"["logs/", "platform"]"#).deletes("platform-ops/"));
        assert!(!prefixes(r#"["platform-ops/20"]"#).deletes("platform-ops/"));
        let pattern = r#", "objectNameFilter": {"inclusionPatterns": ["*.gz"]}"#;
        assert!(!rule(pattern).deletes("platform-ops/"));
        assert!(!rule(r#", "target": "multipart-uploads""#).deletes("platform-ops/"));
    }
}
