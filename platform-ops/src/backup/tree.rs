//! A folder of the host as a tar archive, sent while it is read.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use tokio::sync::mpsc::Sender;

/// What was read.
#[derive(Debug, Default)]
pub struct Packed {
    /// Files, not counting folders.
    pub files: u64,
    /// What could not be read, or changed meanwhile.
    pub warnings: Vec<String>,
}

/// Sends `folder` as an archive, its entries named relative to it. Blocks.
///
/// # Errors
/// When the folder itself cannot be read, or nobody takes the bytes.
pub fn pack(folder: &Path, sink: Sender<Bytes>) -> anyhow::Result<Packed> {
    let writer = io::BufWriter::with_capacity(256 << 10, ChannelWriter(sink));
    let mut builder = tar::Builder::new(writer);
    builder.follow_symlinks(false);
    let mut packed = Packed::default();
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let path = folder.join(&relative);
        let entries = match sorted_entries(&path) {
            Ok(entries) => entries,
            Err(error) if relative.as_os_str().is_empty() => {
                return Err(error).with_context(|| format!("read {}", path.display()));
            }
            Err(error) => {
                packed.warnings.push(format!("{}: {error}", path.display()));
                continue;
            }
        };
        for name in entries {
            let relative = relative.join(name);
            match append(&mut builder, folder, &relative, &mut packed) {
                Ok(true) => pending.push(relative),
                Ok(false) => {}
                Err(Skip::File(warning)) => packed.warnings.push(warning),
                Err(Skip::All(error)) => return Err(error).context("pack"),
            }
        }
    }
    let mut writer = builder.into_inner().context("pack")?;
    writer.flush().context("pack")?;
    Ok(packed)
}

enum Skip {
    /// This file is left out.
    File(String),
    /// Nobody takes the archive.
    All(io::Error),
}

fn sorted_entries(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name());
    }
    names.sort();
    Ok(names)
}

/// Whether it is a folder.
fn append<W: Write>(
    builder: &mut tar::Builder<W>,
    folder: &Path,
    relative: &Path,
    packed: &mut Packed,
) -> Result<bool, Skip> {
    let path = folder.join(relative);
    let gone = |error: io::Error| Skip::File(format!("{}: {error}", path.display()));
    let metadata = fs::symlink_metadata(&path).map_err(gone)?;
    let kind = metadata.file_type();
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&metadata);
    if kind.is_dir() {
        builder
            .append_data(&mut header, relative, io::empty())
            .map_err(Skip::All)?;
        return Ok(true);
    }
    if kind.is_symlink() {
        let target = fs::read_link(&path).map_err(gone)?;
        header.set_size(0);
        builder
            .append_link(&mut header, relative, target)
            .map_err(Skip::All)?;
        return Ok(false);
    }
    if !kind.is_file() {
        let what = if kind.is_socket() {
            "a socket"
        } else {
            "no file"
        };
        return Err(Skip::File(format!("{} is {what}", path.display())));
    }
    let file = File::open(&path).map_err(gone)?;
    let mut exact = Exact {
        file,
        left: metadata.len(),
        short: false,
    };
    header.set_size(metadata.len());
    builder
        .append_data(&mut header, relative, &mut exact)
        .map_err(Skip::All)?;
    packed.files += 1;
    if exact.short {
        let warning = format!("{} became shorter while it was read", path.display());
        packed.warnings.push(warning);
    }
    Ok(false)
}

/// As many bytes as were promised: a log file grows meanwhile, and what is cut leaves zeros.
struct Exact {
    file: File,
    left: u64,
    short: bool,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let mut read = if self.short {
            0
        } else {
            self.file.read(&mut buffer[..wanted]).unwrap_or(0)
        };
        if read == 0 {
            self.short = true;
            buffer[..wanted].fill(0);
            read = wanted;
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// Files in an archive that comes piece by piece. Blocks.
///
/// # Errors
/// When it is no archive, or ends within a file.
pub fn count(pieces: tokio::sync::mpsc::Receiver<Bytes>) -> anyhow::Result<u64> {
    let mut archive = tar::Archive::new(PieceReader {
        pieces,
        piece: Bytes::new(),
    });
    let mut files = 0;
    for entry in archive.entries().context("read the archive")? {
        let entry = entry.context("read the archive")?;
        files += u64::from(entry.header().entry_type().is_file());
    }
    // What follows the last entry belongs to the stream, which must be taken to its end.
    io::copy(&mut archive.into_inner(), &mut io::sink()).context("read the archive")?;
    Ok(files)
}

/// Unpacks an archive that comes piece by piece into a new folder, owners and modes as they were; how
/// many files there were. What a killed run left there is removed. Blocks.
///
/// # Errors
/// When it is no archive, or the disk refuses.
pub fn unpack(pieces: tokio::sync::mpsc::Receiver<Bytes>, into: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::DirBuilderExt as _;
    let failed = || format!("write {}", into.display());
    match fs::remove_dir_all(into) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(failed);
        }
        _ => {}
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(into).with_context(failed)?;
    let mut archive = tar::Archive::new(PieceReader {
        pieces,
        piece: Bytes::new(),
    });
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    let mut files = 0;
    // Folders last: one that may not be written to holds files.
    let mut folders = Vec::new();
    for entry in archive.entries().context("read the archive")? {
        let mut entry = entry.context("read the archive")?;
        if entry.header().entry_type().is_dir() {
            folders.push(entry);
            continue;
        }
        files += u64::from(entry.header().entry_type().is_file());
        entry.unpack_in(into).with_context(failed)?;
    }
    for mut folder in folders.into_iter().rev() {
        folder.unpack_in(into).with_context(failed)?;
    }
    io::copy(&mut archive.into_inner(), &mut io::sink()).context("read the archive")?;
    Ok(files)
}

/// In what two folders differ: kind, mode, owner and content of what is in them.
///
/// # Errors
/// When one of them cannot be read.
pub fn differences(there: &Path, restored: &Path) -> anyhow::Result<Vec<String>> {
    let (now, then) = (walk(there)?, walk(restored)?);
    let mut found = Vec::new();
    for name in now.union(&then) {
        let shown = name.display();
        match (now.contains(name), then.contains(name)) {
            (true, false) => found.push(format!("only now: {shown}")),
            (false, true) => found.push(format!("only in the set: {shown}")),
            _ if differs(&there.join(name), &restored.join(name))? => {
                found.push(format!("differs: {shown}"));
            }
            _ => {}
        }
    }
    Ok(found)
}

fn walk(folder: &Path) -> anyhow::Result<std::collections::BTreeSet<PathBuf>> {
    let mut found = std::collections::BTreeSet::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let path = folder.join(&relative);
        let names = sorted_entries(&path).with_context(|| format!("read {}", path.display()))?;
        for name in names {
            let relative = relative.join(name);
            if folder.join(&relative).is_dir() && !folder.join(&relative).is_symlink() {
                pending.push(relative.clone());
            }
            found.insert(relative);
        }
    }
    Ok(found)
}

fn differs(one: &Path, other: &Path) -> anyhow::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let failed = || format!("compare {} with {}", one.display(), other.display());
    let (a, b) = (
        fs::symlink_metadata(one).with_context(failed)?,
        fs::symlink_metadata(other).with_context(failed)?,
    );
    let access = |metadata: &fs::Metadata| (metadata.mode(), metadata.uid(), metadata.gid());
    if access(&a) != access(&b) {
        return Ok(true);
    }
    if a.is_symlink() {
        let targets = (fs::read_link(one), fs::read_link(other));
        return Ok(targets.0.with_context(failed)? != targets.1.with_context(failed)?);
    }
    if !a.is_file() {
        return Ok(false);
    }
    if a.len() != b.len() {
        return Ok(true);
    }
    let open = |path| {
        File::open(path)
            .map(io::BufReader::new)
            .with_context(failed)
    };
    let (one, other) = (open(one)?.bytes(), open(other)?.bytes());
    Ok(one.zip(other).any(|(a, b)| a.ok() != b.ok()))
}

struct PieceReader {
    pieces: tokio::sync::mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        let taken = self.piece.split_to(count);
        buffer[..count].copy_from_slice(&taken);
        Ok(count)
    }
}

struct ChannelWriter(Sender<Bytes>);

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Bytes::copy_from_slice(bytes));
        sent.map_err(|_| io::Error::other("nobody takes the bytes any more"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
