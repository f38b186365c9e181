//! Named pipes inside a container, opened from the host: bytes pass between a program there and this one
//! without the engine, whose streams take more CPU than what is done with the bytes.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::Context as _;
use bollard::Docker;
use bytes::{Bytes, BytesMut};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2, unlinkat};
use rustix::io::Errno;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::{Receiver, Sender};

/// Bytes of one piece, and of what the kernel holds for a reader that is late.
const PIECE_BYTES: usize = 256 << 10;
const HELD_BYTES: usize = 1 << 20;
/// Where every image has room for a name.
const FOLDER: &str = "/tmp";
/// What a container without mkfifo, or that may write nowhere, says; then the engine's stream is taken.
pub(super) const NO_PIPE: &str = "platform-ops: no pipe";

/// A pipe's place in a container of this host.
pub(super) struct Place {
    /// The container's file system.
    root: OwnedFd,
    name: String,
}

impl Place {
    /// A place for a pipe; none where the container's files cannot be had: an engine elsewhere, or
    /// not root.
    pub(super) async fn find(docker: &Docker, container: &str) -> Option<Self> {
        let found = docker.inspect_container(container, None).await.ok()?;
        let (id, pid) = (found.id?, found.state?.pid.filter(|pid| *pid > 0)?);
        let process = Path::new("/proc").join(pid.to_string());
        // The number may be that of another host's process.
        let groups = std::fs::read_to_string(process.join("cgroup")).ok()?;
        if !groups.contains(&id) {
            return None;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(process.join("root"), flags, Mode::empty()).ok()?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).ok()?;
        let name = format!("platform-ops-{}.pipe", crate::backup::seal::hex(&random));
        Some(Self { root, name })
    }

    /// The program with its input or output at the pipe, which it makes itself: as its own user.
    pub(super) fn command(&self, command: &[String], has_input: bool) -> Vec<String> {
        let sign = if has_input { '<' } else { '>' };
        let script = format!(
            "umask 077; mkfifo \"$0\" 2>/dev/null && exec \"$@\" {sign}\"$0\"; \
             echo '{NO_PIPE}' >&2; exec \"$@\""
        );
        let shell = ["sh".to_owned(), "-c".to_owned(), script];
        let path = [format!("{FOLDER}/{}", self.name)];
        [&shell[..], &path, command].concat()
    }

    /// The end that reads; none yet where there is no pipe.
    pub(super) fn receiver(&self) -> anyhow::Result<Option<Receiver>> {
        let end = match self.open(OFlags::RDONLY) {
            Err(Errno::NOENT) => return Ok(None),
            end => end.context("open a pipe of the container")?,
        };
        // Less is slower, and all that is lost.
        let _ = rustix::pipe::fcntl_setpipe_size(&end, HELD_BYTES);
        Receiver::from_owned_fd(end)
            .map(Some)
            .context("read a pipe")
    }

    /// The end that writes; none before the program reads.
    pub(super) fn sender(&self) -> anyhow::Result<Option<Sender>> {
        let end = match self.open(OFlags::WRONLY) {
            Err(Errno::NOENT | Errno::NXIO) => return Ok(None),
            end => end.context("open a pipe of the container")?,
        };
        let _ = rustix::pipe::fcntl_setpipe_size(&end, HELD_BYTES);
        Sender::from_owned_fd(end)
            .map(Some)
            .context("write to a pipe")
    }

    /// What the container has under the name decides nothing outside of it.
    fn open(&self, access: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = access | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path = format!("{FOLDER}/{}", self.name);
        let end = openat2(&self.root, path, flags, Mode::empty(), within)?;
        match FileType::from_raw_mode(fstat(&end)?.st_mode) {
            FileType::Fifo => Ok(end),
            _ => Err(Errno::NOTSUP),
        }
    }

    /// Takes the name away: both sides have the pipe open.
    pub(super) fn remove(&self) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let folder = openat2(&self.root, FOLDER, flags, Mode::empty(), within);
        if let Ok(folder) = folder {
            // The next restore or drill sweeps what is left.
            let _ = unlinkat(folder, &self.name, AtFlags::empty());
        }
    }
}

/// What a program writes.
pub(super) struct Output {
    receiver: Receiver,
    /// Until the program has opened its end.
    place: Option<Place>,
    filling: BytesMut,
}

impl Output {
    pub(super) fn new(receiver: Receiver, place: Place) -> Self {
        Self {
            receiver,
            place: Some(place),
            filling: BytesMut::new(),
        }
    }

    /// The next piece; `None` at the end. Can be given up and asked again.
    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.filling.reserve(PIECE_BYTES);
        self.receiver.read_buf(&mut self.filling).await?;
        self.opened();
        Ok((!self.filling.is_empty()).then(|| self.filling.split().freeze()))
    }

    /// Whether nobody will ever write: the program ended before it opened its end, which no event
    /// tells of.
    pub(super) fn was_never_opened(&mut self) -> bool {
        if self.place.is_none() {
            return false;
        }
        let mut byte = [0];
        match rustix::io::read(&self.receiver, &mut byte) {
            // Nobody is at the other end.
            Ok(0) => {
                self.opened();
                true
            }
            Ok(_) => {
                self.filling.extend_from_slice(&byte);
                false
            }
            Err(_) => false,
        }
    }

    fn opened(&mut self) {
        if let Some(place) = self.place.take() {
            place.remove();
        }
    }
}
