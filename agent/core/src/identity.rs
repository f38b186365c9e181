//! Which listed file is which generation: decided for the listing as a whole.

use crate::event::Listed;
use crate::file_id::Fingerprint;
use crate::generation::Generation;
use crate::planted::Bug;

/// A listed file whose first line is known.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// The file.
    pub listed: Listed,
    /// Its first line.
    pub fingerprint: Fingerprint,
    /// Bytes of it that are known to stand behind that line.
    pub sure_size: u64,
    /// The generation it is known to be: the descriptor was held, or nothing about it changed.
    pub known: Option<u64>,
}

fn alike(generation: &Generation, file: &Candidate) -> bool {
    generation.fingerprint.is_like(&file.fingerprint)
}

/// Which generation each file is, one at most for each; in an `unstable` listing neighbours prove
/// nothing.
pub fn align(generations: &[Generation], files: &[Candidate], unstable: bool) -> Vec<Option<u64>> {
    let proven = prove(generations, files, unstable);
    let known: Vec<u64> = files.iter().filter_map(|file| file.known).collect();
    let mut taken = Vec::new();
    let one = |(file, key): (&Candidate, Option<u64>)| {
        let key = key.filter(|key| file.known == Some(*key) || !known.contains(key));
        let key = key.filter(|key| !taken.contains(key));
        taken.extend(key);
        key
    };
    files.iter().zip(proven).map(one).collect()
}

/// What each file is beyond doubt. A whole Docker line at its start names a file. A piece of a
/// longer line does not, as the pieces of one line can be all alike: there a line must follow that
/// is not like it, or the inode be known, or a neighbour that has no other generation beside it.
/// What is left is taken for new: in doubt lines are repeated, not lost.
fn prove(generations: &[Generation], files: &[Candidate], unstable: bool) -> Vec<Option<u64>> {
    // Where nothing is renamed, Docker (before 23, with max-file=1) truncates in place.
    let alone = files.iter().all(|file| file.listed.position == 0);
    let mut proven: Vec<Option<u64>> = files
        .iter()
        .map(|file| {
            let is = |generation: &&Generation| {
                (fits(generation, file)
                    && (is_same(generation, file) || is_inode(generation, &file.listed, alone)))
                    || (Bug::InodeIsIdentity.is_planted()
                        && is_inode(generation, &file.listed, alone))
            };
            file.known
                .or_else(|| generations.iter().find(is).map(|found| found.key))
        })
        .collect();
    let adjacent = |older: usize| {
        !unstable && files[older].listed.position == files[older + 1].listed.position + 1
    };
    for older in 0..files.len().saturating_sub(1) {
        let newer = older + 1;
        if let (Some(before), None, true) = (proven[older], proven[newer], adjacent(older)) {
            let is = |g: &&Generation| g.follows == Some(before) && fits(g, &files[newer]);
            proven[newer] = generations.iter().find(is).map(|found| found.key);
        }
    }
    for older in (0..files.len().saturating_sub(1)).rev() {
        if let (None, Some(after), true) = (proven[older], proven[older + 1], adjacent(older)) {
            let follows = |g: &&Generation| g.key == after;
            let before = generations.iter().find(follows).and_then(|g| g.follows);
            let is = |g: &&Generation| Some(g.key) == before && fits(g, &files[older]);
            proven[older] = generations.iter().find(is).map(|found| found.key);
        }
    }
    proven
}

/// Its fingerprint says so.
fn is_same(generation: &Generation, file: &Candidate) -> bool {
    (generation.fingerprint.is_unique() && file.fingerprint.is_unique())
        || Bug::HeadIsIdentity.is_planted()
}

/// It begins alike, and is not shorter than what was read.
fn fits(generation: &Generation, file: &Candidate) -> bool {
    alike(generation, file) && (file.listed.compressed || file.listed.size >= generation.reached())
}

/// It is the file that was last listed for the generation, by its inode.
fn is_inode(generation: &Generation, listed: &Listed, alone: bool) -> bool {
    if generation.replaced {
        return false;
    }
    // Without a line to compare, other bytes in the same inode would not be noticed.
    let unsure = generation.last.is_none() && !generation.fingerprint.complete;
    if alone && generation.reached() > 0 && unsure {
        return false;
    }
    generation.evidence.is_some_and(|before| {
        let same_age = match before.born.is_zero() {
            _ if Bug::InodeIsIdentity.is_planted() => true,
            false => before.born == listed.born,
            true => (before.size, before.modified) == (listed.size, listed.modified),
        };
        (before.device, before.inode, before.compressed)
            == (listed.device, listed.inode, listed.compressed)
            && same_age
    })
}
