//! The floor of free disk, below which the agent holds no deleted files.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use bytesize::ByteSize;

use crate::config::quantity;

/// `[limits] min_free`: bytes, a share of the disk, or the smaller of both.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MinFree {
    bytes: Option<u64>,
    percent: Option<f64>,
}

impl FromStr for MinFree {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut floor = Self::default();
        for part in text.split(" or ").map(str::trim) {
            match part.strip_suffix('%') {
                Some(number) => {
                    let percent = number.trim().parse().ok();
                    let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
                    floor.percent = Some(percent.ok_or_else(|| {
                        format!("`{part}` is no share; write \"10%\" or \"5GiB or 10%\"")
                    })?);
                }
                None => floor.bytes = Some(quantity::size(part)?),
            }
        }
        Ok(floor)
    }
}

impl fmt::Display for MinFree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.bytes, self.percent) {
            (Some(bytes), Some(percent)) => write!(f, "{} or {percent} %", ByteSize(bytes)),
            (Some(bytes), None) => write!(f, "{}", ByteSize(bytes)),
            (None, Some(percent)) => write!(f, "{percent} %"),
            (None, None) => f.write_str("none"),
        }
    }
}

impl MinFree {
    /// Bytes that a disk of this size keeps free.
    pub fn floor(&self, total_bytes: u64) -> u64 {
        let share = self.percent.map(|percent| {
            // Disks are far smaller than what a f64 counts exactly.
            (total_bytes as f64 * percent / 100.0) as u64
        });
        match (self.bytes, share) {
            (Some(bytes), Some(share)) => bytes.min(share),
            (bytes, share) => bytes.or(share).unwrap_or(0),
        }
    }

    /// Bytes that are missing to the floor on the disk that holds `path`.
    ///
    /// # Errors
    /// When the disk cannot be asked.
    pub fn shortage(&self, path: &Path) -> io::Result<u64> {
        let (floor, free) = self.floor_and_free(path)?;
        Ok(floor.saturating_sub(free))
    }

    /// Bytes that are free above the floor on the disk that holds `path`.
    ///
    /// # Errors
    /// When the disk cannot be asked.
    pub fn room(&self, path: &Path) -> io::Result<u64> {
        let (floor, free) = self.floor_and_free(path)?;
        Ok(free.saturating_sub(floor))
    }

    fn floor_and_free(&self, path: &Path) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::statvfs(path)?;
        let floor = self.floor(stat.f_blocks.saturating_mul(stat.f_frsize));
        Ok((floor, stat.f_bavail.saturating_mul(stat.f_frsize)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_smaller_of_both_is_the_floor() {
        let floor = |text: &str, total: u64| text.parse::<MinFree>().unwrap().floor(total);
        assert_eq!(floor("5GiB or 10%", 20 << 30), 2 << 30);
        assert_eq!(floor("5GiB or 10%", 200 << 30), 5 << 30);
        assert_eq!(floor("10%", 1_000), 100);
        assert_eq!(floor("1KiB", 10), 1_024);
        assert_eq!(floor("0", 1_000), 0);
        for wrong in ["", "lots", "101%", "-1%", "5GiB or more"] {
            assert!(wrong.parse::<MinFree>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_full_disk_is_short_of_what_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let shortage = |text: &str| text.parse::<MinFree>().unwrap().shortage(folder.path());
        assert_eq!(shortage("0").unwrap(), 0);
        assert!(shortage("100%").unwrap() > 0);
        assert!(shortage("100%").unwrap() <= shortage("900TiB").unwrap());
    }
}
