//! Instance principals when what the services say is odd, old, late or for somebody else.
#![allow(clippy::unwrap_used)]

mod instance;
mod server;

use std::sync::Arc;
use std::time::Duration;

use instance::{TENANCY, World, client, leaf, leaf_for, pass};
use oci::ErrorKind;
use server::{answer, fixture};

#[tokio::test]
async fn another_tenancy_is_refused() {
    let world = World::start().await;
    world.put().await.unwrap();
    world.set(|oracle| oracle.certificate = leaf("ocid1.tenancy.oc1..thief", 9));
    pass(3600).await;
    let error = world.put().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    let shown = error.to_string();
    assert!(
        shown.contains("thief") && shown.contains("refused"),
        "{shown}"
    );
    assert_eq!(world.tokens(), 1);
}

#[tokio::test]
async fn a_token_that_is_over_already_is_not_taken() {
    let world = World::start().await;
    world.set(|oracle| oracle.lifetime = 2);
    let error = world.put().await.unwrap_err();
    assert!(error.to_string().contains("lives for 2s only"), "{error}");
}

#[tokio::test]
async fn short_answers_and_odd_ones_are_named() {
    let cases = [
        (
            "/cert.pem",
            answer("200 OK", &[], "hello"),
            "not a PEM file",
        ),
        (
            "/cert.pem",
            answer("200 OK", &[], &fixture("vector-pkcs1.pem")),
            "no certificate",
        ),
        (
            "/key.pem",
            answer("200 OK", &[], &fixture("vector-public.pem")),
            "public key",
        ),
        (
            "/x509",
            answer("200 OK", &[], r#"{"token":"secret"}"#),
            "no JWT",
        ),
        ("/x509", answer("200 OK", &[], "secret"), "holds no token"),
        (
            "/x509",
            answer("404 No", &[], r#"{"code":"X","message":"gone"}"#),
            "federation: gone",
        ),
        ("/key.pem", answer("403 No", &[], ""), "metadata service"),
    ];
    for (path, broken, words) in cases {
        let world = World::start().await;
        world.set(|oracle| oracle.broken.push((path, broken)));
        let error = world.put().await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(words), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_named() {
    let world = World::start().await;
    let date = "date: Sun, 05 Jan 2014 21:31:40 GMT";
    let no = answer(
        "401 No",
        &[date],
        r#"{"code":"NotAuthenticated","message":"no"}"#,
    );
    world.set(|oracle| oracle.broken.push(("/v1/x509", no)));
    let shown = world.put().await.unwrap_err().to_string();
    assert!(
        shown.contains("this host's clock is") && shown.contains("ahead of"),
        "{shown}"
    );
}

#[tokio::test]
async fn without_a_metadata_service_the_error_says_so() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let client = client(&format!("http://{}", socket.local_addr().unwrap()));
    let error = client.region().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    let shown = error.to_string();
    assert!(shown.contains("only on an OCI compute instance"), "{shown}");
    assert!(shown.contains("choose another auth"), "{shown}");
}

#[tokio::test]
async fn a_starting_metadata_service_is_waited_for() {
    let world = World::start().await;
    let oracle = Arc::clone(&world.oracle);
    world.set(|oracle| {
        oracle
            .broken
            .push(("/key.pem", answer("503 Soon", &[], "")))
    });
    let put = world.put();
    let mend = async {
        while !world
            .server
            .received()
            .iter()
            .any(|request| request.target().ends_with("/key.pem"))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        oracle.lock().unwrap().broken.clear();
    };
    let (result, ()) = tokio::join!(put, mend);
    result.unwrap();
}

#[tokio::test]
async fn a_key_of_another_certificate_is_asked_for_again_and_then_named() {
    let world = World::start().await;
    let key = rcgen::KeyPair::generate().unwrap();
    world.set(|oracle| oracle.certificate = leaf_for(TENANCY, 8, &key));
    let shown = world.put().await.unwrap_err().to_string();
    assert!(shown.contains("do not belong together"), "{shown}");
    let asked = |path: &str| {
        let received = world.server.received();
        received
            .iter()
            .filter(|request| request.target().ends_with(path))
            .count()
    };
    assert_eq!(
        (asked("/cert.pem"), asked("/key.pem"), asked("/v1/x509")),
        (3, 3, 0)
    );
}
