//! What applications and the daemon do, told to the oracle.

use std::time::Duration;

use agent_core::stamp;
use memchr::memmem;

use super::{Due, World};
use crate::oracle::token;

/// How Docker's lines begin.
const OPEN: &[u8] = b"{\"log\":\"";

impl World {
    /// Somebody sets the wall clock, to and fro.
    pub(super) fn set_clock(&mut self) {
        let step = Duration::from_secs(self.random.pick(&[1, 3_600, 100_000]));
        match self.random.one_in(2) {
            true => self.now.wall += step,
            false => self.now.wall -= step,
        }
    }

    /// The application writes a line; Docker will cut it.
    pub(super) fn write(&mut self, container: u64) {
        if self.logs[&container].removed {
            return;
        }
        let line = self.next_line;
        self.next_line += 1;
        let stream = self.random.pick(&["stdout", "stdout", "stderr"]);
        let tokens = match self.random.below(20) {
            0 => 1_200 + self.random.below(200),
            1..4 => 20 + self.random.below(100),
            _ => 1 + self.random.below(6),
        };
        let uniform = tokens > 10 && self.random.one_in(3);
        let piece = self.random.pick(&[4, 16, 64, 2_048]).min(tokens.max(1));
        let ends = !self.random.one_in(12);
        let pause = 1 + self.random.below(2_000_000);
        self.pass(Duration::from_nanos(pause));
        let nanos = self.now.wall.subsec_nanos();
        let seconds = stamp::from_wall(self.now.wall);
        let time = format!("{}.{nanos:09}Z", &seconds[..19]);
        let mut lines = Vec::new();
        let mut at = 0;
        while at < tokens {
            let end = (at + piece).min(tokens);
            let newline = if end == tokens && ends { "\\n" } else { "" };
            let mut bytes = OPEN.to_vec();
            for i in at..end {
                bytes.extend_from_slice(&token(line, if uniform { 0 } else { i }));
            }
            let rest = format!("{newline}\",\"stream\":\"{stream}\",\"time\":\"{time}\"}}\n");
            bytes.extend_from_slice(rest.as_bytes());
            lines.push(bytes);
            at = end;
        }
        self.oracle.wrote(line, container, stream, uniform);
        let log = self.logs.get_mut(&container).expect("a container");
        log.write(lines);
    }

    /// The daemon does something to a container's log.
    pub(super) fn daemon(&mut self, container: u64) {
        for _ in 0..self.random.below(6) + 1 {
            self.daemon_step(container);
        }
    }

    pub(super) fn daemon_step(&mut self, container: u64) {
        // Coarser than any file system's clock, so that times of change tell files apart.
        self.pass(Duration::from_millis(11));
        let log = self.logs.get_mut(&container).expect("a container");
        let current = log.names.get(&(0, false)).copied();
        let before = current.map(|inode| self.disk.inodes[&inode].data.len());
        let touched = log.step(&mut self.disk, &mut self.random, self.now.wall);
        let now = log.names.get(&(0, false)).copied();
        let after = now.map(|inode| self.disk.inodes[&inode].data.len());
        if (current, before) != (now, after) && self.watched.remove(&container) {
            // Hints get lost.
            if !self.random.one_in(8) {
                let wait = Duration::from_millis(self.random.pick(&[0, 5, 400]));
                self.due
                    .push((self.now.mono + wait, Due::Written(container)));
            }
        }
        // A truncated file is another one, with the same inode.
        if let (Some(inode), Some(before)) = (current, before)
            && now == current
            && self.disk.inodes[&inode].data.len() < before
        {
            self.vanish(inode);
            if let Some(home) = self.homes.remove(&inode) {
                self.oracle.ledger.truncated(home);
            }
        }
        for inode in touched {
            self.free(inode);
        }
        let names: Vec<u64> = self.logs[&container].names.values().copied().collect();
        for inode in names {
            if !self.homes.contains_key(&inode) {
                self.homes.insert(inode, self.next_home);
                self.next_home += 1;
            }
        }
        self.place(container, before.filter(|_| now == current).unwrap_or(0));
    }

    /// Tells the oracle which tokens stand in the current file from `from` on.
    pub(super) fn place(&mut self, container: u64, from: usize) {
        let Some(&inode) = self.logs[&container].names.get(&(0, false)) else {
            return;
        };
        let data = &self.disk.inodes[&inode].data;
        let Some(added) = data.get(from..) else {
            return;
        };
        let Some(open) = memmem::rfind(added, OPEN) else {
            return;
        };
        let value = &added[open + OPEN.len()..];
        let value = &value[..memchr::memchr(b'"', value).unwrap_or(value.len())];
        let value = str::from_utf8(value).expect("what was written");
        let value = value.trim_end_matches("\\n");
        if !added.ends_with(b"\n") || value.is_empty() {
            return;
        }
        let token =
            |at: std::ops::Range<usize>| u64::from_str_radix(&value[at], 16).expect("a token");
        let line = token(0..4);
        let home = self.homes[&inode];
        let tokens = (line, token(4..7), value.len() as u64 / 8);
        let start = (from + open) as u64;
        self.oracle
            .ledger
            .placed(home, container, data, start, tokens);
        if !begins_whole(data) {
            self.oracle.ambiguous(self.homes[&inode]);
        }
        self.oracle
            .placed(line, value.len() as u64 / 8, self.homes[&inode]);
    }

    /// Bytes of this inode are gone, or will be once nobody holds it.
    pub(super) fn vanish(&mut self, inode: u64) {
        if let Some(&home) = self.homes.get(&inode) {
            self.say(&format!("vanished: inode {inode}, file {home}"));
            self.oracle.vanished(home);
        }
    }

    pub(super) fn free(&mut self, inode: u64) {
        let held = self
            .files
            .values()
            .any(|file| file.inode == inode && file.open);
        // gzip's copy takes over from its plain twin.
        if self
            .disk
            .inodes
            .get(&inode)
            .is_some_and(|inode| inode.names == 0)
            && !held
        {
            self.hand_over(inode);
        }
        if self.disk.release(inode, held) {
            self.homes.remove(&inode);
            for file in self.files.values_mut().filter(|file| file.inode == inode) {
                file.open = false;
                file.held = false;
            }
        }
    }

    /// The bytes of a plain file that is gone live on in its compressed copy, if it has one.
    pub(super) fn hand_over(&mut self, inode: u64) {
        let data = &self.disk.inodes[&inode].data;
        let copy = self.disk.inodes.iter().find(|(other, copy)| {
            **other != inode
                && copy.compressed
                && !copy.torn
                && copy.names > 0
                && copy.data == *data
        });
        match copy.map(|(&other, _)| other) {
            Some(copy) if !self.disk.inodes[&inode].compressed => {
                let home = self.homes[&inode];
                self.homes.insert(copy, home);
            }
            _ => self.vanish(inode),
        }
    }

    pub(super) fn remove(&mut self, container: u64) {
        let log = self.logs.get_mut(&container).expect("a container");
        if log.removed {
            return;
        }
        for inode in log.remove(&mut self.disk) {
            self.free(inode);
        }
        self.list(container);
    }
}

/// The file begins with a whole Docker line: that names it for ever.
fn begins_whole(data: &[u8]) -> bool {
    let line = &data[..memchr::memchr(b'\n', data).unwrap_or(data.len())];
    let start = line.iter().position(|&byte| byte != 0);
    let line = &line[start.unwrap_or(line.len())..];
    // Not behind the start of one that was torn.
    memmem::rfind(line, &OPEN[..6]) == Some(0) && memmem::find(line, b"\\n\",\"stream\"").is_some()
}
