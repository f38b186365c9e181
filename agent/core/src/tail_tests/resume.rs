//! Reading on from a checkpoint: nothing twice, nothing left out, and no id with two contents.

use proptest::prelude::*;

use super::*;

/// One thing written to the log.
#[derive(Clone, Debug)]
enum Written {
    /// A line of an application: stream, length, terminated.
    Line(usize, usize, bool),
    /// Bytes that are no record.
    Garbage,
    /// The file is rotated.
    Rotation,
}

fn written() -> impl Strategy<Value = Written> {
    let len = prop_oneof![4 => 0..50usize, 1 => 16_380..16_390usize, 1 => 9_990..45_000usize];
    prop_oneof![
        12 => (0..2usize, len, proptest::bool::weighted(0.8)).prop_map(|(stream, len, whole)| Written::Line(stream, len, whole)),
        1 => Just(Written::Garbage),
        2 => Just(Written::Rotation),
    ]
}

/// The files of a log. The pieces of the streams' lines stand among each other as `turns` says.
fn files(written: &[Written], turns: &[bool]) -> Vec<Vec<u8>> {
    let mut queues = [
        std::collections::VecDeque::new(),
        std::collections::VecDeque::new(),
    ];
    let mut files = vec![Vec::new()];
    let mut turns = turns.iter().copied().cycle();
    for (n, written) in written.iter().enumerate() {
        match *written {
            Written::Line(stream, len, whole) => {
                // Unlike at every place, so that parts put together wrongly differ.
                let text: Vec<u8> = (0..len)
                    .map(|at| b'a' + ((at / 7 + at / 1_000 + n) % 26) as u8)
                    .collect();
                let stream_name = Stream::ALL[stream].as_str();
                let pieces = writer::pieces(&text, whole, stream_name, &writer::time(n as u64));
                queues[stream].extend(pieces);
            }
            Written::Garbage => files.last_mut().unwrap().extend(b"garbage\n"),
            Written::Rotation => files.push(Vec::new()),
        }
        while turns.next() == Some(true)
            && let stream = usize::from(turns.next() == Some(true))
            && let Some(piece) = queues[stream].pop_front()
        {
            files.last_mut().unwrap().extend(piece);
        }
    }
    for queue in queues {
        files
            .last_mut()
            .unwrap()
            .extend(queue.into_iter().flatten());
    }
    files
}

/// Reads on; stops after `steps` chunks of `chunk` more bytes each, or at the end of the log.
fn read(bench: &mut Bench, files: &[Vec<u8>], steps: usize, chunk: usize) -> bool {
    let mut window = chunk;
    let mut step = 0;
    while step < steps {
        let Some(generation) = bench.tail.chain.cursor() else {
            return true;
        };
        let (key, read) = (generation.key, generation.read as usize);
        let file = &files[key as usize - 1];
        let closed = (key as usize) < files.len();
        let to = file.len().min(read + window);
        let done = bench.chunk(key, &file[read..to], closed && to == file.len());
        if to == file.len() {
            match closed {
                true => bench.tail.chain.get_mut(key).unwrap().finished = true,
                false => return true,
            }
        }
        // Half a line: the next read is longer.
        window = if done == 0 { window + chunk } else { chunk };
        step += 1;
    }
    false
}

/// The log as a restarted agent finds it, all that is in a body being accepted.
fn restarted(bench: &mut Bench) -> Tail {
    bench.seal();
    let position = bench.tail.position();
    bench.tail.commit(position);
    let state = serde_json::to_string(&bench.tail.state()).unwrap();
    let state: ContainerState = serde_json::from_str(&state).unwrap();
    state.restore(CONTAINER, 1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn stopping_changes_nothing(
        written in proptest::collection::vec(written(), 1..30),
        turns in proptest::collection::vec(any::<bool>(), 1..40),
        stops in proptest::collection::vec((1..12usize, 100..40_000usize), 1..6),
        crash in proptest::collection::vec(any::<bool>(), 6),
    ) {
        let files = files(&written, &turns);
        let mut bench = Bench::new(new_tail(files.len() as u64));
        prop_assert!(read(&mut bench, &files, usize::MAX, 300_000));
        bench.give_up(true);
        let whole = bench.arrived();
        lines(&whole);

        let mut bench = Bench::new(new_tail(files.len() as u64));
        let (mut accepted, mut repeated) = (Vec::new(), Vec::new());
        for ((steps, chunk), crash) in stops.into_iter().zip(crash) {
            read(&mut bench, &files, steps, chunk);
            let tail = restarted(&mut bench);
            accepted.extend(bench.arrived());
            if crash {
                // Sent, but the checkpoint is older: these come again.
                read(&mut bench, &files, steps, chunk);
                bench.bodies.clear();
                repeated.extend(bench.arrived());
            }
            bench = Bench::new(tail);
        }
        prop_assert!(read(&mut bench, &files, usize::MAX, 300_000));
        bench.give_up(true);
        accepted.extend(bench.arrived());

        // Each exactly once, but for garbage, which belongs to no line that holds the offset.
        let by_id = |arrived: &[Arrived]| -> BTreeMap<String, Arrived> {
            arrived.iter().map(|entry| (entry.id.clone(), entry.clone())).collect()
        };
        let (accepted_ids, whole_ids) = (by_id(&accepted), by_id(&whole));
        for (id, entry) in &whole_ids {
            prop_assert!(accepted_ids.get(id) == Some(entry), "not as at once: {} {:?}", id, entry.part());
        }
        prop_assert_eq!(accepted_ids.len(), whole_ids.len());
        let records = |arrived: &[Arrived]| arrived.iter().filter(|entry| entry.data != "garbage").count();
        prop_assert_eq!(records(&accepted), records(&whole));
        for entry in repeated {
            prop_assert!(whole.contains(&entry), "one id, two contents: {entry:?}");
        }
    }
}

#[test]
fn t35_t36_the_finished_lines_of_one_stream_do_not_come_again_with_the_open_line_of_the_other() {
    let open = writer::pieces(&[b'o'; 20_000], true, "stdout", &writer::time(1));
    let finished: Vec<u8> = (2..5)
        .flat_map(|n| writer::encode(format!("{n}\n").as_bytes(), "stderr", &writer::time(n)))
        .collect();
    let file = [&open[0][..], &finished, &open[1]].concat();
    let mut bench = Bench::new(new_tail(1));
    let before_end = open[0].len() + finished.len();
    bench.file(1, &file[..before_end], false);
    let tail = restarted(&mut bench);
    let generation = tail.chain.get(1).unwrap();
    assert_eq!(generation.committed, [0, before_end as u64]);
    let mut resumed = Bench::new(tail);
    resumed.file(1, &file, false);
    assert_eq!(resumed.arrived().len(), 1, "only the rest of the open line");
    let all: Vec<Arrived> = [bench.arrived(), resumed.arrived()].concat();
    assert_eq!(lines(&all)[0], ("stdout".to_owned(), "o".repeat(20_000)));
    assert_eq!(lines(&all).len(), 4);
}

/// A malformed line takes its time from the line before it, shipped or not.
#[test]
fn a_malformed_line_keeps_its_time_when_the_line_before_is_passed_over() {
    let open = writer::pieces(&[b'o'; 20_000], true, "stdout", &writer::time(1));
    let finished = writer::encode(b"finished\n", "stderr", &writer::time(2));
    let file = [&open[0][..], &finished, b"garbage\n", &open[1]].concat();
    let mut bench = Bench::new(new_tail(1));
    bench.file(1, &file[..open[0].len() + finished.len()], false);
    let tail = restarted(&mut bench);
    bench.bodies.clear();
    bench.file(1, &file, false);
    let mut resumed = Bench::new(tail);
    resumed.file(1, &file, false);
    assert_eq!(resumed.arrived(), bench.arrived());
    assert_eq!(
        resumed
            .arrived()
            .iter()
            .find(|entry| entry.data == "garbage")
            .unwrap()
            .time,
        writer::time(2)
    );
}

/// The line to go on was in a file that is lost: what follows is no part of it.
#[test]
fn a_line_broken_off_does_not_go_on() {
    let text = "x".repeat(40_000);
    let pieces = writer::pieces(text.as_bytes(), true, "stdout", &writer::time(1));
    let mut bench = Bench::new(new_tail(2));
    bench.file(1, &pieces[0], true);
    let tail = restarted(&mut bench);
    let mut resumed = Bench::new(tail);
    resumed.give_up(true);
    resumed.file(2, &pieces[2], false);
    let arrived = resumed.arrived();
    assert_eq!(arrived.len(), 1);
    assert_eq!((arrived[0].place(), arrived[0].part()), ((2, 0), None));
}
