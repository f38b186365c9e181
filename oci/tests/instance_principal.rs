//! Instance principals against a metadata and federation service that checks what it is sent.
#![allow(clippy::unwrap_used)]

mod instance;
mod server;

use std::time::{Duration, UNIX_EPOCH};

use instance::{TENANCY, World, leaf, pass};
use oci::{Endpoint, ErrorKind, KnownBy, Service};
use server::answer;

#[tokio::test]
async fn one_token_serves_many_requests() {
    let world = World::start().await;
    assert_eq!(world.client.credentials().expires(), None);
    let all = [world.put(), world.put(), world.put(), world.put()];
    let [a, b, c, d] = all;
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    for result in [a, b, c, d] {
        result.unwrap();
    }
    assert_eq!(world.tokens(), 1);
    let expires = world.client.credentials().expires().unwrap();
    assert_eq!(expires, UNIX_EPOCH + Duration::from_secs(3_000_003_600));
    let shown = format!("{:?}", world.client);
    assert!(!shown.contains("eyJ"), "{shown}");
}

#[tokio::test]
async fn the_region_and_realm_are_the_instances_own() {
    let world = World::start().await;
    let region = world.client.region().await.unwrap();
    assert_eq!(
        (region.id(), region.known_by()),
        ("xx-mars-1", KnownBy::Metadata)
    );
    let endpoint = Endpoint::of(Service::LoggingIngestion, &region)
        .unwrap()
        .to_string();
    assert_eq!(
        endpoint,
        "https://ingestion.logging.xx-mars-1.oci.mars.cloud"
    );
    world.client.region().await.unwrap();
    assert_eq!(world.server.received().len(), 1, "asked once");
}

#[tokio::test]
async fn an_older_metadata_service_names_the_region_alone() {
    let world = World::start().await;
    world.set(|oracle| {
        oracle
            .broken
            .push(("/regionInfo", answer("404 No", &[], "")))
    });
    assert_eq!(world.client.region().await.unwrap().id(), "us-phoenix-1");
}

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end() {
    let world = World::start().await;
    world.put().await.unwrap();
    pass(3299).await;
    world.put().await.unwrap();
    assert_eq!(world.tokens(), 1);
    // OCI has rotated the certificate meanwhile.
    world.set(|oracle| oracle.certificate = leaf(TENANCY, 8));
    pass(2).await;
    world.put().await.unwrap();
    assert_eq!(world.tokens(), 2);
}

#[tokio::test]
async fn while_renewal_fails_the_old_token_is_used_to_its_end() {
    let world = World::start().await;
    world.put().await.unwrap();
    let no = answer(
        "400 No",
        &[],
        r#"{"code":"InvalidParameter","message":"not today"}"#,
    );
    world.set(|oracle| oracle.broken.push(("/v1/x509", no)));
    pass(3400).await;
    world.put().await.unwrap();
    let error = world
        .client
        .credentials()
        .renewal_error()
        .unwrap()
        .to_string();
    assert!(error.contains("federation: not today"), "{error}");

    pass(200).await;
    let error = world.put().await.unwrap_err();
    assert!(
        error.to_string().contains("federation: not today"),
        "{error}"
    );
    // Within the backoff nobody is asked again.
    let asked = world.server.received().len();
    world.put().await.unwrap_err();
    assert_eq!(world.server.received().len(), asked);

    world.set(|oracle| oracle.broken.clear());
    pass(60).await;
    world.put().await.unwrap();
    assert!(world.client.credentials().renewal_error().is_none());
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let world = World::start().await;
    world.put().await.unwrap();
    pass(60).await;
    world.set(|oracle| oracle.revoked = 1);
    let (a, b, c) = tokio::join!(world.put(), world.put(), world.put());
    for result in [a, b, c] {
        result.unwrap();
    }
    assert_eq!(world.tokens(), 2, "three refusals, one renewal");

    // A new token that is refused too: another one would be no better.
    world.set(|oracle| oracle.revoked = 99);
    let error = world.put().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert_eq!(world.tokens(), 2);
    assert!(!world.client.refresh_credentials().await.unwrap());
}
