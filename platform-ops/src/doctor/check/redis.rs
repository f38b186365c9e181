//! Redis.

use bytesize::ByteSize;

use super::container::each;
use super::{Facts, Fault, Finding, Warning, finding};
use crate::service::Service;

const SUBJECT: Service = Service::Redis;

fn info<'a>(facts: &'a Facts, name: &str) -> Option<&'a str> {
    facts.redis.as_ref()?.info.get(name).map(String::as_str)
}

fn config<'a>(facts: &'a Facts, name: &str) -> Option<&'a str> {
    facts.redis.as_ref()?.config.get(name).map(String::as_str)
}

pub(super) fn open(facts: &Facts) -> Vec<Finding> {
    let open = facts.redis.as_ref().is_some_and(|redis| redis.open);
    let fix =
        "set REDIS_PASSWORD in platform.env, then platform-ops up and platform-ops restart redis";
    if open {
        vec![finding(
            Fault,
            SUBJECT,
            "it answers without a password",
            fix,
        )]
    } else {
        Vec::new()
    }
}

pub(super) fn maxmemory(facts: &Facts) -> Vec<Finding> {
    let Some(max) = config(facts, "maxmemory").and_then(|max| max.parse::<u64>().ok()) else {
        return Vec::new();
    };
    if max == 0 {
        return vec![finding(
            Warning,
            SUBJECT,
            "maxmemory is not set: it grows until the kernel ends it",
            "PLATFORM_REDIS_MAXMEMORY=768mb",
        )];
    }
    let container = each(facts)
        .find(|(service, _)| *service == SUBJECT)
        .map(|(_, container)| container.memory_bytes_max);
    let limit = container
        .and_then(|limit| u64::try_from(limit).ok())
        .filter(|limit| *limit > 0);
    // A save forks: pages that change meanwhile are there twice.
    match limit {
        Some(limit) if max > limit / 10 * 9 => {
            let evidence = format!(
                "maxmemory is {}, its container's limit {}: it is ended before it is full",
                ByteSize(max),
                ByteSize(limit)
            );
            vec![finding(
                Fault,
                SUBJECT,
                evidence,
                "lower PLATFORM_REDIS_MAXMEMORY to three quarters of PLATFORM_REDIS_MEMORY",
            )]
        }
        _ => Vec::new(),
    }
}

pub(super) fn policy(facts: &Facts) -> Vec<Finding> {
    let evicts = config(facts, "maxmemory-policy")
        .filter(|policy| *policy != "noeviction" && !policy.starts_with("volatile"));
    let evidence = |policy: &str| {
        format!("maxmemory-policy is {policy}: when full it drops keys that nobody gave an end")
    };
    evicts
        .map(|policy| {
            finding(
                Warning,
                SUBJECT,
                evidence(policy),
                "maxmemory-policy noeviction, unless it is a cache only",
            )
        })
        .into_iter()
        .collect()
}

pub(super) fn persistence(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if config(facts, "appendonly") == Some("no") {
        findings.push(finding(
            Warning,
            SUBJECT,
            "appendonly is off: a crash loses what came after the last snapshot",
            "CONFIG SET appendonly yes, which writes one from what is in memory",
        ));
    }
    for name in [
        "rdb_last_bgsave_status",
        "aof_last_write_status",
        "aof_last_bgrewrite_status",
    ] {
        if info(facts, name) == Some("err") {
            findings.push(finding(
                Fault,
                name,
                "the last attempt to write its data failed",
                "platform-ops logs redis; room and owner of its data folder",
            ));
        }
    }
    findings
}

pub(super) fn full(facts: &Facts) -> Vec<Finding> {
    let number = |name| info(facts, name).and_then(|value| value.parse::<u64>().ok());
    let Some((used, max)) = number("used_memory")
        .zip(number("maxmemory"))
        .filter(|(_, max)| *max > 0)
    else {
        return Vec::new();
    };
    if used * 10 < max * 9 {
        return Vec::new();
    }
    vec![finding(
        Fault,
        SUBJECT,
        format!("{} of {} are used", ByteSize(used), ByteSize(max)),
        "raise PLATFORM_REDIS_MAXMEMORY and PLATFORM_REDIS_MEMORY",
    )]
}
