//! What is in a bucket, read by the program's own code: the emulator's bucket, whose Object Storage
//! Oracle's clients judge.

#![allow(clippy::unwrap_used)]

mod sets;

use std::time::Duration;

use bytes::Bytes;
use fixtures::emulator::{Credential, Emulator, Options, Permissions};
use jiff::{SignedDuration, Timestamp};
use oci::object::{Bucket, PutOptions, RetryPolicy, Upload, UploadOptions, namespace};
use oci::{
    AuthKind, Client, ClientOptions, ConfigSource, Credentials, Endpoint, Environment, ErrorKind,
};
use platform_ops::backup::listing::Listing;
use platform_ops::backup::policy::Retention;
use platform_ops::backup::prune::{self, Removal};
use platform_ops::backup::store::{Store, may_not_delete};
use platform_ops::backup::sweep;
use sets::{Reach, SOURCE, drill, make};

const BUCKET: &str = "backups";

struct Cloud {
    emulator: Emulator,
    bucket: Bucket,
    key_id: String,
    _folder: tempfile::TempDir,
}

async fn cloud() -> Cloud {
    let folder = tempfile::tempdir().unwrap();
    let credential = Credential::create(folder.path()).unwrap();
    let mut options = Options {
        keyring: credential.keyring(),
        ..Options::default()
    };
    options.objects.buckets = vec![BUCKET.to_owned()];
    let emulator = Emulator::start(options).unwrap();
    let source = ConfigSource {
        file: Some(credential.config_file.clone()),
        environment: Environment::default(),
        ..ConfigSource::default()
    };
    let options = ClientOptions {
        environment: Environment::default(),
        ..ClientOptions::default()
    };
    let credentials = Credentials::load(AuthKind::ApiKey, &source).unwrap();
    let client = Client::new(credentials, &options).unwrap();
    let endpoint = Endpoint::parse(&emulator.url()).unwrap();
    let retry = RetryPolicy {
        pause_first: Duration::from_millis(10),
        pause_max: Duration::from_millis(50),
        ..RetryPolicy::default()
    };
    let namespace = namespace(&client, &endpoint, &retry).await.unwrap();
    let bucket = Bucket::new(client, endpoint, namespace, BUCKET.parse().unwrap());
    Cloud {
        emulator,
        bucket: bucket.with_retry(retry),
        key_id: credential.key_id.clone(),
        _folder: folder,
    }
}

impl Cloud {
    fn store(&self, prefix: &str) -> Store {
        Store::Bucket {
            bucket: self.bucket.clone(),
            prefix: prefix.to_owned(),
        }
    }
}

fn day(number: i64) -> Timestamp {
    let start: Timestamp = "2026-02-01T02:00:00Z".parse().unwrap();
    start + SignedDuration::from_hours(24 * number)
}

const RULES: Retention = Retention {
    daily: 1,
    weekly: 0,
    monthly: 0,
    yearly: 0,
    floor: 1,
};

fn removed(plan: &platform_ops::plan::Plan<Removal>) -> Vec<&str> {
    fn set(removal: &Removal) -> Option<&str> {
        match removal {
            Removal::Set { set, .. } => Some(set),
            Removal::Upload { .. } => None,
        }
    }
    plan.actions().filter_map(set).collect()
}

/// T21: what is pruned comes from manifests below a prefix, never from names that look alike: another
/// database's, another host's, the old script's.
#[tokio::test]
async fn t21_a_name_that_begins_alike_is_anothers() {
    let cloud = cloud().await;
    let (ours, theirs) = (cloud.store("trading_db/"), cloud.store("trading_db_test/"));
    for number in 0..4 {
        for store in [&ours, &theirs] {
            let set = make(store, day(number), SOURCE, Reach::Whole).await;
            drill(store, &set, day(number), "run", &[]).await;
        }
    }
    // As one would configure it without a slash.
    let loose = cloud.store("trading_db");
    let dump = "trading_db/trading_db-20260201.sql.gz";
    let bare = cloud.store("");
    bare.put(dump, Bytes::from_static(b"old")).await.unwrap();
    let before = cloud.emulator.objects().names(BUCKET);

    let listing = Listing::read(&loose).await.unwrap();
    let plan = prune::plan(&loose, &listing, RULES, day(4))
        .await
        .unwrap()
        .1;
    assert_eq!(removed(&plan), [] as [&str; 0]);
    assert_eq!(listing.foreign.len(), before.len());

    let listing = Listing::read(&ours).await.unwrap();
    assert_eq!(listing.foreign.len(), 1);
    let plan = prune::plan(&ours, &listing, RULES, day(4)).await.unwrap().1;
    assert_eq!(removed(&plan).len(), 3);
    for removal in plan.actions() {
        let Removal::Set { objects, .. } = removal else {
            continue;
        };
        for object in objects {
            ours.delete(object).await.unwrap();
        }
    }
    let after = cloud.emulator.objects().names(BUCKET);
    let of_test = |name: &&String| name.starts_with("trading_db_test/");
    assert_eq!(
        after.iter().filter(of_test).count(),
        before.iter().filter(of_test).count()
    );
    assert!(after.iter().any(|name| name == dump));
    assert_eq!(Listing::read(&ours).await.unwrap().sets.len(), 1);
}

/// T23: another host may be in the middle of its backup.
#[tokio::test]
async fn t23_a_backup_under_way_on_another_host_is_left_alone() {
    let cloud = cloud().await;
    let store = cloud.store("platform-ops/");
    for number in 0..3 {
        let set = make(&store, day(number), SOURCE, Reach::Whole).await;
        drill(&store, &set, day(number), "run", &[]).await;
    }
    let now = day(3);
    let (young, _) = make(&store, now, SOURCE, Reach::Objects(2)).await;
    let later = now + SignedDuration::from_hours(20);
    let listing = Listing::read(&store).await.unwrap();
    let plan = prune::plan(&store, &listing, RULES, later).await.unwrap().1;
    assert_eq!(removed(&plan).len(), 2);
    assert!(!removed(&plan).contains(&young.as_str()));
    let days_later = now + SignedDuration::from_hours(49);
    let plan = prune::plan(&store, &listing, RULES, days_later)
        .await
        .unwrap()
        .1;
    assert!(removed(&plan).contains(&young.as_str()));
}

/// T24: more than a page of objects, ours and others'.
#[tokio::test]
async fn t24_2500_objects_are_all_seen() {
    let cloud = cloud().await;
    let store = cloud.store("platform-ops/");
    for number in 0..2500 {
        let name = format!("20260102T030405Z-aaaaaaaa.{number:04}.old");
        store.put(&name, Bytes::from_static(b"x")).await.unwrap();
    }
    let mut last = String::new();
    for number in 0..3 {
        let set = make(&store, day(number), SOURCE, Reach::Whole).await;
        drill(&store, &set, day(number), "run", &[]).await;
        last = set.0;
    }
    let listing = Listing::read(&store).await.unwrap();
    assert_eq!((listing.foreign.len(), listing.sets.len()), (2500, 3));
    let newest = listing.choose("latest").unwrap();
    assert_eq!(newest.id(), last);
    let plan = prune::plan(&store, &listing, RULES, day(3))
        .await
        .unwrap()
        .1;
    assert_eq!(removed(&plan).len(), 2);
}

/// Oracle answers 404 both for an upload that is gone and for one that may not be aborted.
#[tokio::test]
async fn an_upload_that_may_not_be_aborted_is_told() {
    let cloud = cloud().await;
    let name: oci::object::ObjectName = "platform-ops/20260102T030405Z-aaaaaaaa/x".parse().unwrap();
    let mut upload = Upload::new(cloud.bucket.clone(), name.clone(), UploadOptions::default());
    let part = Bytes::from(vec![7; 64 << 10]);
    upload.write(part.clone()).await.unwrap();
    upload.write(part.clone()).await.unwrap();
    let id = upload.id().unwrap().clone();
    let objects = cloud.emulator.objects();
    objects.set_permissions(&cloud.key_id, Permissions::CREATE_AND_READ);
    let found = sweep::uploads(&cloud.store("platform-ops/"), 0)
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    let error = sweep::abort(&cloud.bucket, &found[0]).await.unwrap_err();
    assert!(may_not_delete(&error), "{error:#}");

    // Nor may such a credential write in parts, which the error says.
    let mut other = Upload::new(cloud.bucket.clone(), name.clone(), UploadOptions::default());
    other.write(part.clone()).await.unwrap();
    let error = other.write(part).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("OBJECT_OVERWRITE"), "{error}");

    objects.set_permissions(&cloud.key_id, Permissions::ALL);
    cloud.bucket.abort(&name, &id).await.unwrap();
    cloud.bucket.abort(&name, &id).await.unwrap();
}

/// T14: Oracle refuses bodies that come in chunks, of HTTP's kind or of Amazon's: the length goes
/// first, and a checksum with it.
#[tokio::test]
async fn t14_a_body_says_its_length_and_its_checksum_first() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heard = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        for line in BufReader::new(&stream).lines() {
            match line.unwrap() {
                line if line.is_empty() => break,
                line => head.push(line.to_lowercase()),
            }
        }
        (&stream)
            .write_all(b"HTTP/1.1 501 Not Implemented\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
        head
    });
    let folder = tempfile::tempdir().unwrap();
    let credential = Credential::create(folder.path()).unwrap();
    let source = ConfigSource {
        file: Some(credential.config_file.clone()),
        environment: Environment::default(),
        ..ConfigSource::default()
    };
    let options = ClientOptions {
        environment: Environment::default(),
        ..ClientOptions::default()
    };
    let credentials = Credentials::load(AuthKind::ApiKey, &source).unwrap();
    let client = Client::new(credentials, &options).unwrap();
    let endpoint = Endpoint::parse(&url).unwrap();
    let bucket = Bucket::new(client, endpoint, "n".to_owned(), BUCKET.parse().unwrap());
    let bytes = Bytes::from_static(b"0123456789");
    let (name, options) = ("x".parse().unwrap(), PutOptions::default());
    bucket.put(&name, bytes, &options).await.unwrap_err();
    let head = heard.join().unwrap();
    let has = |line: &str| head.iter().any(|header| header.starts_with(line));
    assert!(
        has("content-length: 10") && has("content-md5: "),
        "{head:?}"
    );
    assert!(
        !head.iter().any(|header| header.contains("chunked")),
        "{head:?}"
    );
}
