//! What the ledger says of losses is so: no more, no less, nothing of another file, and each loss
//! is marked in its log.

use std::time::Duration;

use agent_core::Outcome;

use crate::shell::{CURRENT, Shell};
use crate::{assert_lines, print, running, writer};

const SECOND: Duration = Duration::from_secs(1);

/// A log of which all is accepted, then a file that the next look shows, and that nobody has read
/// or opened when it goes; its size.
fn seen_and_gone() -> (Shell, u64) {
    let mut shell = running(3);
    shell.holds = false;
    shell.rotate(0, 1, false);
    print(&mut shell, 0, 10..15, 20);
    shell.show(0);
    let size = shell.file(0, CURRENT).bytes.len() as u64;
    shell.rotate(0, 1, false);
    (shell, size)
}

#[test]
fn t67_killed_between_ledger_and_checkpoint_the_next_agent_marks_the_gap() {
    for saves in [0, 1, 2] {
        let (mut shell, size) = seen_and_gone();
        // No marker is accepted, and only so many checkpoints reach the disk.
        (shell.reply, shell.takes) = (Some(Outcome::Unavailable { retry_after: None }), false);
        shell.saves = saves > 0;
        shell.list(0);
        assert_eq!(shell.losses(), [(0, Some(size), "rotated_away")]);
        shell.pass(SECOND);
        shell.saves = saves > 1;
        shell.pass(2 * SECOND);
        assert_eq!(shell.recorded.len(), usize::from(saves > 0), "{saves}");
        shell.kill();
        shell.notices.clear();
        (shell.reply, shell.takes, shell.saves) = (Some(Outcome::Accepted), true, true);
        shell.start();
        // What the ledger has is marked.
        shell.settle();
        if saves > 0 {
            assert_eq!(shell.losses(), [(0, Some(size), "rotated_away")]);
        }
    }
}

#[test]
fn t67_a_file_that_nobody_read_is_never_said_to_be_lost_for_sure_by_the_next_agent() {
    let (mut shell, _) = seen_and_gone();
    (shell.reply, shell.takes) = (Some(Outcome::Unavailable { retry_after: None }), false);
    shell.list(0);
    shell.pass(3 * SECOND);
    shell.kill();
    (shell.reply, shell.takes) = (Some(Outcome::Accepted), true);
    shell.start();
    shell.settle();
    let lost: Vec<_> = shell.lost().collect();
    assert_eq!(lost.len(), 2, "by either agent: {lost:?}");
    assert!(lost.iter().all(|loss| loss.bound.may_be_less), "{lost:?}");
}

#[test]
fn t67_a_descriptor_that_is_closed_before_it_was_read_is_a_loss() {
    let mut shell = running(3);
    shell.rotate(0, 1, false);
    shell.settle();
    print(&mut shell, 0, 10..15, 20);
    shell.show(0);
    let size = shell.file(0, CURRENT).bytes.len() as u64;
    shell.rotate(0, 1, false);
    print(&mut shell, 0, 20..22, 20);
    shell.let_go();
    shell.settle();
    assert_eq!(shell.losses(), [(0, Some(size), "evicted")]);
}

#[test]
fn t67_a_file_that_was_found_for_a_look_that_is_not_taken_is_a_loss_when_it_goes() {
    let mut shell = running(3);
    shell.holds = false;
    shell.rotate(0, 2, false);
    print(&mut shell, 0, 10..15, 20);
    shell.rotate(0, 2, false);
    print(&mut shell, 0, 20..22, 20);
    shell.show(0);
    let sizes = [(1, false), CURRENT].map(|name| shell.file(0, name).bytes.len() as u64);
    // The first line of the older one is read, then the newer one changes, and both go.
    shell.step();
    shell.later(SECOND);
    print(&mut shell, 0, 22..23, 20);
    shell.step();
    shell.unlink(0, (1, false));
    shell.rotate(0, 1, false);
    shell.settle();
    let lost = sizes.map(|size| (0, Some(size), "rotated_away"));
    assert_eq!(shell.losses(), lost);
}

#[test]
fn a_descriptor_that_was_let_go_of_is_not_read_though_its_inode_holds_a_like_file() {
    let mut shell = running(0);
    shell.folders[0].about.files_max = 2;
    // Pieces of one long line, all alike: no first line tells the files apart.
    let piece = writer::encode(&[b'x'; 50], "stdout", &crate::time(0));
    shell.append(0, &piece.repeat(2));
    let inode = shell.file(0, CURRENT).inode;
    shell.show(0);
    shell.step();
    shell.rotate(0, 1, false);
    shell.let_go();
    shell.create_in(0, (1, true), inode);
    shell.file(0, (1, true)).bytes = [piece.repeat(3), crate::pieces(1, 20).concat()].concat();
    shell.show(0);
    shell.settle();
    let lines = shell.lines(0);
    // Of the file that stands there each line once, of the one that went none.
    assert_eq!(lines.len(), 2, "{lines:?}");
    let size = 2 * piece.len() as u64;
    assert_eq!(shell.losses(), [(0, Some(size), "evicted")]);
}

#[test]
fn t67_a_compressed_file_is_not_taken_for_the_one_that_is_lost() {
    let mut shell = running(3);
    shell.holds = false;
    shell.folders[0].about.files_max = 2;
    shell.rotate(0, 2, true);
    // Printed together, and written into two files.
    let line = |text: &[u8], shell: &Shell| {
        writer::encode(text, "stdout", &agent_core::stamp::from_wall(shell.wall()))
    };
    let (first, second) = (line(b"one\n", &shell), line(b"two\n", &shell));
    shell.append(0, &first);
    shell.show(0);
    shell.rotate(0, 2, true);
    shell.append(0, &second);
    shell.rotate(0, 2, true);
    shell.settle();
    assert!(shell.lines(0).contains(&"two".to_owned()));
    let size = first.len() as u64;
    assert_eq!(shell.losses(), [(0, Some(size), "rotated_away")]);
    assert!(shell.lost().all(|loss| loss.bound.may_be_less));
}

#[test]
fn t67_a_file_that_lives_on_compressed_is_no_loss() {
    let mut shell = running(3);
    shell.holds = false;
    shell.folders[0].about.files_max = 4;
    shell.rotate(0, 4, false);
    print(&mut shell, 0, 3..6, 20);
    shell.file(0, CURRENT).intact = Some(0);
    // It cannot be read, and is seen beside the one before it.
    shell.list(0);
    shell.file(0, CURRENT).intact = None;
    shell.rotate(0, 4, false);
    shell.compress(0, 1);
    print(&mut shell, 0, 6..8, 20);
    shell.settle();
    assert_lines(&shell, 0, 0..8, 20);
    assert_eq!(shell.losses(), []);
}

#[test]
fn t67_what_is_truncated_in_place_is_not_counted_as_the_loss_of_the_file_before_it() {
    let mut shell = running(3);
    shell.kill();
    shell.holds = false;
    shell.start();
    shell.settle();
    let read = shell.file(0, CURRENT).bytes.len() as u64;
    shell.truncate(0);
    print(&mut shell, 0, 10..16, 20);
    shell.show(0);
    let seen = shell.file(0, CURRENT).bytes.len() as u64;
    shell.truncate(0);
    print(&mut shell, 0, 20..21, 20);
    shell.settle();
    let mut lost = shell.losses();
    lost.sort();
    // How the first one ended nobody saw.
    assert_eq!(
        lost,
        [(0, Some(seen), "truncated"), (read, None, "truncated")]
    );
}

#[test]
fn t67_a_compressed_file_in_the_inode_of_one_that_was_let_go_of_is_not_cut_off() {
    let mut shell = running(3);
    shell.rotate(0, 1, false);
    shell.settle();
    let inode = shell.file(0, CURRENT).inode;
    shell.rotate(0, 1, false);
    shell.let_go();
    shell.create_in(0, (1, true), inode);
    shell.file(0, (1, true)).bytes = crate::pieces(4, 200).concat();
    shell.show(0);
    shell.unlink(0, (1, true));
    shell.create_in(0, CURRENT, inode);
    shell.show(0);
    print(&mut shell, 0, 5..7, 20);
    shell.settle();
    let cut: Vec<_> = shell.lost().filter(|loss| loss.to.is_some()).collect();
    assert!(cut.is_empty(), "{cut:?}");
}

#[test]
fn a_line_that_is_not_dockers_is_dated_by_the_line_before_it_though_an_older_file_comes_late() {
    for restarts in [false, true] {
        let mut shell = Shell::new(1);
        print(&mut shell, 0, 10..12, 20);
        shell.start();
        shell.settle();
        shell.create(0, (1, false));
        shell.file(0, (1, false)).bytes = crate::pieces(1, 20).concat();
        shell.settle();
        if restarts {
            shell.kill();
            shell.start();
        }
        shell.append(0, b"not one of Docker's\n");
        shell.settle();
        let lines = shell.arrival.joined("c0");
        let line = lines.iter().find(|(_, _, text)| text.starts_with("not"));
        let (time, _, _) = line.expect("it is shipped");
        assert_eq!(*time, crate::time(11), "restarted: {restarts}");
    }
}

/// A log of which nobody holds the file, all accepted but for three lines: two looks show it, and
/// there are writes before either is done with.
fn overtaken(files_max: u32) -> Shell {
    let mut shell = Shell::new(1);
    shell.holds = false;
    shell.folders[0].about.files_max = files_max;
    print(&mut shell, 0, 0..3, 20);
    shell.start();
    shell.settle();
    for n in 3..5 {
        print(&mut shell, 0, n..n + 1, 20);
        shell.show(0);
    }
    print(&mut shell, 0, 5..6, 20);
    shell
}

#[test]
fn t67_what_is_identified_while_the_folder_changes_is_not_told_as_lost() {
    let mut shell = overtaken(2);
    // A third look, before the first is done with: the second is passed over.
    shell.show_moving(0);
    shell.run();
    shell.pass(SECOND);
    assert_lines(&shell, 0, 0..6, 20);
    let read = shell.file(0, CURRENT).bytes.len() as u64;
    shell.remove(0);
    shell.settle();
    // What came behind it nobody saw.
    assert_eq!(shell.losses(), [(read, None, "removed")]);
}

#[test]
fn t67_a_damaged_copy_keeps_no_loss_from_being_told() {
    for left in [0, 400] {
        let mut shell = running(3);
        shell.holds = false;
        shell.folders[0].about.files_max = 3;
        shell.rotate(0, 3, false);
        // A daemon died while it compressed, long ago.
        shell.create(0, (2, true));
        shell.file(0, (2, true)).bytes = vec![0; left];
        shell.file(0, (2, true)).intact = Some(0);
        print(&mut shell, 0, 3..6, 20);
        let size = shell.file(0, CURRENT).bytes.len() as u64;
        shell.show(0);
        shell.unlink(0, CURRENT);
        print(&mut shell, 0, 6..8, 20);
        shell.settle();
        assert_eq!(shell.losses(), [(0, Some(size), "rotated_away")], "{left}");
    }
}

#[test]
fn t67_what_was_read_on_while_no_look_saw_it_is_not_told_as_lost() {
    for files_max in [1, 2] {
        let mut shell = overtaken(files_max);
        shell.hides = true;
        (0..5).for_each(|_| shell.pass(SECOND));
        assert_lines(&shell, 0, 0..6, 20);
        let read = shell.file(0, CURRENT).bytes.len() as u64;
        shell.hides = false;
        shell.remove(0);
        shell.settle();
        // What is never renamed may have been truncated meanwhile.
        let mut sure = shell.lost().filter(|loss| !loss.bound.may_be_less);
        assert!(sure.all(|loss| loss.from == read), "{files_max}");
        assert_eq!(shell.losses().len(), 3 - files_max as usize);
    }
}
