//! Large buffers that are used again. An allocator keeps what it is given back for the thread that had
//! it, in as many places as there are threads: a program that passes parts from one to the other
//! would hold several times what it uses, and have the kernel clear each page anew.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// What is smaller goes back to the allocator.
const KEPT_BYTES_MIN: usize = 1 << 20;
/// Buffers that wait for their next use.
const IDLE_MAX: usize = 4;

static IDLE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A buffer to fill. Its memory is used again once it, or the [`Bytes`] that it became, are gone.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
}

impl Buffer {
    /// An empty one with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut buffer = Self {
            bytes: idle(bytes).unwrap_or_default(),
        };
        buffer.reserve_exact(bytes);
        buffer
    }

    /// What is in it, without a copy.
    pub fn freeze(self) -> Bytes {
        if self.capacity() < KEPT_BYTES_MIN {
            let mut small = self;
            return std::mem::take(&mut small.bytes).into();
        }
        Bytes::from_owner(self)
    }
}

/// The one that fits; else any, to be made larger: so there are never more than were used at once.
fn idle(bytes: usize) -> Option<Vec<u8>> {
    if bytes < KEPT_BYTES_MIN {
        return None;
    }
    let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    let all = idle.iter().map(Vec::capacity).enumerate();
    let fits = all.filter(|(_, capacity)| *capacity >= bytes);
    let smallest = fits.min_by_key(|(_, capacity)| *capacity);
    let found = smallest.map(|(index, _)| index);
    let found = found.or_else(|| idle.len().checked_sub(1))?;
    Some(idle.swap_remove(found))
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.capacity() < KEPT_BYTES_MIN {
            return;
        }
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.clear();
            idle.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests of a process share the buffers: of a size that only this one asks for.
    const BYTES: usize = 37 << 20;

    #[test]
    fn the_memory_of_bytes_that_are_gone_is_used_again_by_any_thread() {
        let mut buffer = Buffer::with_capacity(BYTES);
        buffer.extend_from_slice(b"first");
        let place = buffer.as_ptr().addr();
        let bytes = buffer.freeze();
        assert_eq!((bytes.as_ptr().addr(), &bytes[..]), (place, &b"first"[..]));
        let part = bytes.slice(1..3);
        drop(bytes);
        let other = Buffer::with_capacity(BYTES);
        assert_ne!(other.as_ptr().addr(), place, "still in use");
        let again = std::thread::spawn(move || {
            assert_eq!(&part[..], b"ir");
            drop(part);
            let buffers: Vec<Buffer> = (0..2).map(|_| Buffer::with_capacity(BYTES)).collect();
            assert!(buffers.iter().all(|buffer| buffer.is_empty()));
            let mut places = buffers.iter().map(|buffer| buffer.as_ptr().addr());
            places.any(|other| other == place)
        });
        assert!(matches!(again.join(), Ok(true)));
    }

    #[test]
    fn a_small_one_is_not_kept() {
        let bytes = Buffer::with_capacity(10).freeze();
        assert!(bytes.is_empty());
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(idle.len() <= IDLE_MAX);
        assert!(
            idle.iter()
                .all(|buffer| buffer.capacity() >= KEPT_BYTES_MIN)
        );
    }
}
