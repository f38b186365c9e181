//! Reading a compressed generation: the decoder only goes forward, so an offset behind it means
//! starting again and skipping. What was delivered last is kept, as nearly every read begins in it:
//! at the line that the one before cut, or where there was no room for more.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use agent_core::file_id::head_hash;
use agent_core::{Head, ReadError};
use flate2::bufread::MultiGzDecoder;

use super::Filled;

/// Compressed bytes read at a time.
const INPUT_BYTES: usize = 32 * 1024;
/// Most bytes asked of the decoder at once: what stands before damage is delivered up to this.
const STEP_BYTES: usize = 16 * 1024;

/// A decoder and where it stands.
#[derive(Debug)]
pub struct Decoder {
    stream: Option<MultiGzDecoder<BufReader<File>>>,
    file: File,
    /// Uncompressed bytes delivered or skipped.
    position: u64,
    /// The bytes of the last read, and where they end.
    recent: Vec<u8>,
    recent_end: u64,
    /// The file's start was compared with this; the descriptor has been the same since.
    verified: Option<Head>,
    /// The stream is damaged right here; the library's decoder must not be asked again.
    torn: bool,
}

impl Decoder {
    /// A decoder at the start of this file.
    pub fn new(file: File) -> Self {
        Self {
            stream: None,
            file,
            position: 0,
            recent: Vec::new(),
            recent_end: 0,
            verified: None,
            torn: false,
        }
    }

    /// The descriptor.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Reads into `buffer` from `offset` of the uncompressed bytes on.
    ///
    /// # Errors
    /// [`ReadError::Torn`] when the stream is damaged or ends before `offset` or right there;
    /// [`ReadError::Replaced`] when it does not begin with `head`; [`ReadError::Io`] otherwise.
    pub fn read_at(
        &mut self,
        buffer: &mut [u8],
        offset: u64,
        head: Option<Head>,
    ) -> Result<Filled, ReadError> {
        let metadata = self.file.metadata().map_err(|_| ReadError::Io)?;
        let mut filled = Filled::none(offset, &metadata);
        if let Some(head) = head
            && self.verified != Some(head)
        {
            self.verify(head)?;
        }
        filled.len = self.deliver_again(buffer, offset);
        if filled.len == buffer.len() && filled.len > 0 {
            return Ok(filled);
        }
        self.go_to(offset + filled.len as u64)?;
        while filled.len < buffer.len() && !filled.end {
            let step = (filled.len + STEP_BYTES).min(buffer.len());
            match self.step(&mut buffer[filled.len..step]) {
                Ok(0) => filled.end = true,
                Ok(count) => filled.len += count,
                // What stands before the damage first; the next read meets it again.
                Err(ReadError::Torn) if filled.len > 0 => break,
                Err(error) => return Err(error),
            }
        }
        self.recent.clear();
        self.recent.extend_from_slice(&buffer[..filled.len]);
        self.recent_end = self.position;
        Ok(filled)
    }

    /// Copies what the last read delivered from `offset` on; how much.
    fn deliver_again(&self, buffer: &mut [u8], offset: u64) -> usize {
        let is_there = self.stream.is_some() && self.recent_end == self.position;
        let begin = self.position - (self.recent.len() as u64).min(self.position);
        if !is_there || offset < begin {
            return 0;
        }
        let from = usize::try_from(offset - begin).unwrap_or(usize::MAX);
        let rest = self.recent.get(from..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        len
    }

    fn verify(&mut self, head: Head) -> Result<(), ReadError> {
        self.go_to(head.offset)?;
        let mut start = vec![0; head.len as usize];
        let mut len = 0;
        while len < start.len() {
            match self.step(&mut start[len..])? {
                0 => return Err(ReadError::Replaced),
                count => len += count,
            }
        }
        if head_hash(&start) != head.hash {
            return Err(ReadError::Replaced);
        }
        self.verified = Some(head);
        Ok(())
    }

    fn go_to(&mut self, offset: u64) -> Result<(), ReadError> {
        if self.stream.is_none() || offset < self.position {
            self.restart()?;
        }
        let mut skipped = [0; STEP_BYTES];
        while self.position < offset {
            let left = usize::try_from(offset - self.position).unwrap_or(usize::MAX);
            let step = left.min(skipped.len());
            if self.step(&mut skipped[..step])? == 0 {
                // Whole, but shorter than what was read of it before.
                return Err(ReadError::Replaced);
            }
        }
        Ok(())
    }

    fn restart(&mut self) -> Result<(), ReadError> {
        self.stream = None;
        self.position = 0;
        self.torn = false;
        self.file.rewind().map_err(|_| ReadError::Io)?;
        // Both descriptors share one cursor; only the decoder's moves it.
        let file = self.file.try_clone().map_err(|_| ReadError::Io)?;
        self.stream = Some(MultiGzDecoder::new(BufReader::with_capacity(
            INPUT_BYTES,
            file,
        )));
        Ok(())
    }

    fn step(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        if self.torn {
            return Err(ReadError::Torn);
        }
        let stream = self.stream.as_mut().ok_or(ReadError::Io)?;
        loop {
            match stream.read(buffer) {
                Ok(count) => {
                    self.position += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error().is_some() => {
                    // The decoder may have lost its place.
                    self.stream = None;
                    return Err(ReadError::Io);
                }
                Err(_) => {
                    self.torn = true;
                    return Err(ReadError::Torn);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write as _;
    use std::os::unix::fs::FileExt as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn a_read_that_begins_in_the_one_before_does_not_start_again() {
        let data: Vec<u8> = (0..200_000_u64)
            .flat_map(|n| head_hash(&n.to_le_bytes()).to_le_bytes())
            .collect();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&data).unwrap();
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&encoder.finish().unwrap(), 0).unwrap();
        let mut decoder = Decoder::new(file.try_clone().unwrap());
        let mut buffer = vec![0; 100_000];
        let mut read = |offset: usize| {
            let filled = decoder.read_at(&mut buffer, offset as u64, None)?;
            assert_eq!(buffer[..filled.len], data[offset..offset + filled.len]);
            Ok::<_, ReadError>(filled.len)
        };
        assert_eq!(read(0), Ok(100_000));
        // Whoever starts again finds no stream.
        file.write_all_at(&[0; 64], 0).unwrap();
        let mut offset = 0;
        // A cut line, a lack of room, the same again, right behind.
        for step in [99_000, 1, 0, 50_000, 100_000].into_iter().cycle().take(20) {
            offset += step;
            assert_eq!(read(offset), Ok(100_000), "at {offset}");
        }
        assert_eq!(read(0), Err(ReadError::Torn));
    }
}
