//! Each stage of the data plane alone, over one chunk of each shape: `cargo bench -p benches`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use agent_core::batch::{Batch, Labels};
use agent_core::docker::Stream;
use agent_core::entry::{self, Entry, GenerationId, IdPrefix, Style};
use agent_core::limits::CHUNK_BYTES;
use agent_core::{ContainerId, docker, escape};
use benches::corpus::LineWriter;
use benches::shape::Shape;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fixtures::emulator::Credential;
use flate2::Compression;
use flate2::write::GzEncoder;

const TIME: &[u8] = b"2026-11-23T17:29:31.764048983Z";
const STYLE: Style = Style {
    nanoseconds: false,
    part_marks: false,
};

/// About one chunk of a log file.
fn chunk(shape: Shape) -> Vec<u8> {
    let mut writer = LineWriter::new(shape, 1);
    let mut chunk = Vec::new();
    while chunk.len() < CHUNK_BYTES {
        writer.line(&mut chunk).unwrap();
    }
    chunk
}

/// Its lines, without the rest behind the last newline.
fn lines(chunk: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = chunk.split(|&byte| byte == b'\n').collect();
    lines.pop();
    lines
}

fn stages(c: &mut Criterion) {
    for shape in Shape::ALL {
        let chunk = chunk(shape);
        let lines = lines(&chunk);
        let values: Vec<&[u8]> = lines
            .iter()
            .map(|line| docker::frame(line).unwrap().0)
            .collect();
        let mut group = c.benchmark_group(shape.name());
        group.throughput(Throughput::Bytes(chunk.len() as u64));
        take_apart(&mut group, &chunk, &lines, &values);
        put_together(&mut group, &values);
        group.bench_function("digest", |b| b.iter(|| oci::digest(black_box(&chunk))));
        group.bench_function("gzip", |b| {
            b.iter(|| {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(black_box(&chunk)).unwrap();
                encoder.finish().unwrap().len()
            });
        });
        group.finish();
    }
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

/// From bytes to values.
fn take_apart(group: &mut Group<'_>, chunk: &[u8], lines: &[&[u8]], values: &[&[u8]]) {
    group.bench_function("line", |b| {
        b.iter(|| memchr::memchr_iter(b'\n', black_box(chunk)).count());
    });
    group.bench_function("frame", |b| {
        b.iter(|| {
            lines
                .iter()
                .filter_map(|line| docker::frame(black_box(line)))
                .count()
        });
    });
    group.bench_function("escape", |b| {
        let valid = |value: &&&[u8]| escape::check(black_box(value)) == escape::Check::Valid;
        b.iter(|| values.iter().filter(valid).count());
    });
    group.bench_function("parse", |b| {
        b.iter(|| {
            lines
                .iter()
                .filter_map(|line| docker::parse(black_box(line)))
                .count()
        });
    });
}

/// From values to bodies.
fn put_together(group: &mut Group<'_>, values: &[&[u8]]) {
    let prefix = IdPrefix::new(ContainerId([7; 32]), GenerationId(1));
    let mut body = Vec::with_capacity(4 * CHUNK_BYTES);
    group.bench_function("entry", |b| {
        b.iter(|| {
            body.clear();
            for (offset, text) in (0..).zip(values) {
                let entry = Entry {
                    prefix: &prefix,
                    offset,
                    part: None,
                    text,
                    time: TIME,
                };
                entry::write(&mut body, STYLE, black_box(&entry));
            }
            body.len()
        });
    });
    let labels = Labels::new("host", "docker", "container");
    group.bench_function("batch", |b| {
        b.iter(|| {
            let mut batch = Batch::new(std::mem::take(&mut body));
            batch.enter(&labels);
            for (offset, text) in (0..).zip(values) {
                let entry = Entry {
                    prefix: &prefix,
                    offset,
                    part: None,
                    text,
                    time: TIME,
                };
                batch.push(Duration::ZERO, Stream::Stdout, STYLE, black_box(&entry));
            }
            batch.leave();
            body = batch.seal();
            body.len()
        });
    });
}

fn sign(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let credential = Credential::create(dir.path()).unwrap();
    let pem = std::fs::read_to_string(credential.key_file).unwrap();
    let key = oci::PrivateKey::from_pem(&pem, None).unwrap();
    c.bench_function("sign", |b| {
        b.iter(|| key.sign(black_box(b"a signing string")).unwrap())
    });
}

criterion_group!(all, stages, sign);
criterion_main!(all);
