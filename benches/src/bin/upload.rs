//! `upload`: what crate `oci` takes to upload parts, next to writing the same bytes to a socket. Prints
//! JSON for `scripts/bench-backup`, which judges it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use benches::bucket;
use bytes::Bytes;
use clap::Parser;
use fixtures::emulator::Credential;
use oci::object::{Bucket, Sha256Sum, Upload, UploadOptions};
use oci::{AuthKind, Client, ClientOptions, ConfigSource, Credentials, Endpoint, Environment};
use serde_json::json;

/// As platform-ops cuts them.
const PART_BYTES: usize = 10 << 20;
/// Different parts, over and over.
const PARTS: usize = 8;

/// Measures uploads against a socket, in turns.
#[derive(Parser)]
struct Cli {
    /// MiB of each.
    #[arg(long, default_value_t = 2000)]
    mib: usize,
    /// Rounds.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let count = (cli.mib << 20).div_ceil(PART_BYTES);
    let parts = parts();
    let folder = tempfile::tempdir()?;
    let bucket = open(folder.path(), &format!("http://{}", bucket::bucket()?))?;
    let socket = bucket::socket()?.to_string();
    let (mut uploads, mut summing, mut sockets) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..cli.rounds {
        let began = Instant::now();
        write(&socket, &parts, count)?;
        sockets.push(began.elapsed().as_secs_f64());
        for (known, seconds) in [(true, &mut uploads), (false, &mut summing)] {
            let began = Instant::now();
            upload(&bucket, &parts, count, known).await?;
            seconds.push(began.elapsed().as_secs_f64());
        }
    }
    let result = json!({
        "bytes": count * PART_BYTES,
        "upload_seconds": uploads,
        "upload_and_sum_seconds": summing,
        "socket_seconds": sockets,
    });
    println!("{result}");
    Ok(())
}

fn parts() -> Vec<(Bytes, Sha256Sum)> {
    let mut random = fastrand::Rng::with_seed(1);
    let part = |_| {
        let mut bytes = vec![0; PART_BYTES];
        random.fill(&mut bytes);
        let sum = Sha256Sum::of(&bytes);
        (bytes.into(), sum)
    };
    (0..PARTS).map(part).collect()
}

fn open(folder: &std::path::Path, url: &str) -> Result<Bucket> {
    let credential = Credential::create(folder).context("make a key")?;
    let environment = Environment::default();
    let source = ConfigSource {
        file: Some(credential.config_file),
        environment: environment.clone(),
        ..ConfigSource::default()
    };
    let options = ClientOptions {
        environment,
        ..ClientOptions::default()
    };
    let client = Client::new(Credentials::load(AuthKind::ApiKey, &source)?, &options)?;
    let endpoint = Endpoint::parse(url)?;
    Ok(Bucket::new(
        client,
        endpoint,
        "n".to_owned(),
        "backups".parse()?,
    ))
}

/// One object of so many parts; their checksums are `known`, as the sealer has them, or not.
async fn upload(
    bucket: &Bucket,
    parts: &[(Bytes, Sha256Sum)],
    count: usize,
    known: bool,
) -> Result<()> {
    let options = UploadOptions::default();
    let mut upload = Upload::new(bucket.clone(), "object".parse()?, options);
    for (bytes, sum) in parts.iter().cycle().take(count) {
        match known {
            true => upload.write_summed(bytes.clone(), *sum).await?,
            false => upload.write(bytes.clone()).await?,
        }
    }
    upload.finish().await?;
    Ok(())
}

fn write(address: &str, parts: &[(Bytes, Sha256Sum)], count: usize) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    for (bytes, _) in parts.iter().cycle().take(count) {
        stream.write_all(bytes)?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut taken = [0; 8];
    stream.read_exact(&mut taken)?;
    ensure!(
        u64::from_le_bytes(taken) == (count * PART_BYTES) as u64,
        "bytes were lost"
    );
    Ok(())
}
