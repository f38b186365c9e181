//! Sets in a bucket: the emulator's, whose Object Storage Oracle's own clients judge.

use fixtures::emulator::{Credential, Emulator, Fault, FaultKind, Options, Permissions};

use crate::setup::Platform;

pub const BUCKET: &str = "backups";

pub struct Cloud {
    pub emulator: Emulator,
    credential: Credential,
    _folder: tempfile::TempDir,
}

/// A bucket that `platform` backs up to from now on.
pub fn cloud(platform: &Platform) -> Cloud {
    let folder = tempfile::tempdir().unwrap();
    let credential = Credential::create(folder.path()).unwrap();
    let mut options = Options {
        keyring: credential.keyring(),
        ..Options::default()
    };
    options.objects.buckets = vec![BUCKET.to_owned()];
    let emulator = Emulator::start(options).unwrap();
    platform.configure(&format!(
        "{}\n[bucket]\nname = {BUCKET:?}\nendpoint = {:?}\nauth = \"api_key\"\nconfig_file = {:?}\n",
        platform.recipients(),
        emulator.url(),
        credential.config_file
    ));
    Cloud {
        emulator,
        credential,
        _folder: folder,
    }
}

/// T12: what passes does not fail the backup, and the set that comes of it is whole.
#[test]
fn t12_a_set_is_made_through_faults_and_comes_back() {
    let platform = Platform::new();
    let cloud = cloud(&platform);
    // Larger than one part, and no compressor makes it smaller.
    platform.sql(
        "trading_db",
        "set statement_timeout = 0; create table public.noise as select gen_random_uuid()::text || gen_random_uuid() as t \
         from generate_series(1, 700000);",
    );
    for kind in [
        FaultKind::Status(503),
        FaultKind::Status(429),
        FaultKind::DropReply,
    ] {
        for (method, path) in [
            ("PUT", "/u/"),
            ("PUT", "/o/"),
            ("POST", "/u/"),
            ("GET", "/o/"),
        ] {
            cloud
                .emulator
                .add_fault(Fault::times(kind, 1).on(method, path));
        }
    }
    // Found when it is read back, and read again: damaged on its way, not in the bucket.
    let set = platform.create(&[]);
    let names = cloud.emulator.objects().names(BUCKET);
    assert!(
        names.iter().all(|name| name.starts_with("platform-ops/")),
        "{names:?}"
    );
    let dump = format!("platform-ops/{set}/database/trading_db.pgdump.age");
    let bytes = cloud.emulator.objects().bytes(BUCKET, &dump).unwrap().len();
    assert!(bytes > 2 * oci::object::PART_BYTES_MIN, "{bytes}");
    assert_eq!(cloud.emulator.objects().open_uploads(BUCKET), 0);

    let before = platform.content("trading_db");
    let key = platform.key_argument();
    platform.sql("trading_db", "truncate public.noise;");
    let restore = [
        "restore",
        "database",
        "trading_db",
        "--identity",
        &key,
        "--confirm",
        "trading_db",
    ];
    platform.ops(&restore).ok();
    assert_eq!(platform.content("trading_db"), before);

    assert!(
        cloud
            .emulator
            .objects()
            .flip_byte(BUCKET, &dump, bytes as u64 - 3)
    );
    let run = platform.ops(&["backup", "verify", "latest"]);
    assert_eq!(run.code, 12, "{}", run.all());
    assert!(run.out.contains("offset"), "{}", run.all());
}

/// T13: a part that the service loses fails the backup; there is no set and no bill, and a set in
/// another place is as it was.
#[test]
fn t13_a_lost_part_fails_the_backup_and_leaves_nothing() {
    let platform = Platform::new();
    let cloud = cloud(&platform);
    let other = platform.store();
    let other = other.to_str().unwrap();
    platform.create(&["--no-drill", "--to", other]);
    platform.sql(
        "trading_db",
        "set statement_timeout = 0; create table public.noise as select gen_random_uuid()::text || gen_random_uuid() as t \
         from generate_series(1, 700000);",
    );
    cloud
        .emulator
        .add_fault(Fault::times(FaultKind::LosePart, 1).on("PUT", "/u/"));
    let run = platform.ops(&["backup", "create"]);
    assert_eq!(run.code, 1, "{}", run.all());
    assert!(run.err.contains("part"), "{}", run.err);
    assert_eq!(cloud.emulator.objects().open_uploads(BUCKET), 0);
    let list = platform.ops(&["backup", "list", "--json"]).ok().json();
    assert_eq!(list["sets"], serde_json::json!([]));
    platform
        .ops(&["backup", "verify", "latest", "--from", other])
        .ok();
}

/// A credential that may neither delete nor overwrite makes sets and proves them; `prune` says who
/// deletes instead. Objects of others are left alone.
#[test]
fn a_credential_that_may_only_add_is_enough() {
    let platform = Platform::new();
    let cloud = cloud(&platform);
    let objects = cloud.emulator.objects();
    objects.set_permissions(&cloud.credential.key_id, Permissions::CREATE_AND_READ);
    let text = platform.host.read("config/backup.toml");
    let retention = "[retention]\ndaily = 0\nweekly = 0\nmonthly = 0\nyearly = 0\nfloor = 1\n";
    platform.configure(&format!("{text}{retention}"));
    let first = platform.create(&[]);
    let second = platform.create(&[]);
    let plan = platform.ops(&["backup", "prune", "--json"]).ok().json();
    let steps = plan["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 1, "{plan}");
    assert_eq!(steps[0]["action"]["set"], first.as_str());
    let refused = platform.ops(&["backup", "prune", "--apply"]);
    assert_eq!(refused.code, 4, "{}", refused.all());
    assert!(refused.err.contains("lifecycle rule"), "{}", refused.err);
    assert!(refused.err.contains("after 1 days"), "{}", refused.err);

    let rule = |days: u64| {
        serde_json::json!({"items": [{
            "name": "old-sets", "target": "objects", "action": "DELETE", "timeAmount": days,
            "timeUnit": "DAYS", "isEnabled": true,
            "objectNameFilter": {"inclusionPrefixes": ["platform-ops/"]},
        }]})
    };
    objects.set_lifecycle(BUCKET, rule(40));
    let refused = platform.ops(&["backup", "prune", "--apply"]);
    assert!(
        refused.err.contains("\"old-sets\" deletes after 40 days"),
        "{}",
        refused.err
    );

    objects.set_permissions(&cloud.credential.key_id, Permissions::ALL);
    platform.ops(&["backup", "prune", "--apply"]).ok();
    let names = objects.names(BUCKET);
    assert!(!names.is_empty());
    let prefix = format!("platform-ops/{second}/");
    assert!(
        names.iter().all(|name| name.starts_with(&prefix)),
        "{names:?}"
    );
}
