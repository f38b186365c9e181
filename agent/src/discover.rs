//! Which containers there are, what they are called, and which of them are followed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_core::{Container, ContainerId};

use crate::config::{NameFilter, Source};
use crate::container::{Description, Rotation, describe, short_id};
use crate::folder::FolderState;
use crate::listing;
use crate::shard::Shard;

/// Docker writes a container's description right after it makes the folder, and its log only
/// when it starts; after this long the container is followed under its short id.
const DESCRIPTION_PATIENCE: Duration = Duration::from_secs(2);

/// What is done about a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its description is not there yet.
    Undescribed,
    /// Its log is shipped.
    Followed,
    /// Its log is not shipped.
    LeftOut(LeftOut),
}

/// Why a container's log is not shipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// By `source.include` and `source.exclude`.
    ByName,
    /// It is the agent itself.
    Own,
    /// Its log driver writes no json-file.
    Driver(String),
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ByName => write!(f, "left out by source.include and source.exclude"),
            Self::Own => write!(f, "the agent's own container"),
            Self::Driver(driver) => write!(f, "not readable: driver={driver}"),
        }
    }
}

/// A container as it is known.
#[derive(Clone, Debug)]
pub struct Known {
    /// What Docker says about it.
    pub description: Option<Description>,
    /// Decided once it is described; a later rename does not change it.
    pub standing: Standing,
    /// [`Self::standing`] was decided when the name was known.
    is_decided_by_name: bool,
    first_seen: Duration,
    /// How its folder stood when it was last listed.
    listed: Option<FolderState>,
}

impl Known {
    /// Its name, or what stands in for it.
    pub fn name(&self, id: ContainerId) -> String {
        self.description
            .as_ref()
            .map_or_else(|| short_id(id), |description| description.name.clone())
    }

    fn container(&self, id: ContainerId) -> Container {
        let description = self.description.as_ref();
        Container {
            id,
            name: self.name(id),
            created: description.map_or_else(String::new, |it| it.created.clone()),
            removed: false,
            files_max: description
                .and_then(|it| it.host.rotation())
                .map_or(0, |rotation| rotation.files_max),
        }
    }
}

/// What a scan found new.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Folders that were not there before.
    pub appeared: Vec<ContainerId>,
    /// Folders that are not there any more.
    pub gone: Vec<ContainerId>,
}

/// All containers whose folders are there.
#[derive(Debug)]
pub struct Discovery {
    containers_dir: PathBuf,
    filter: NameFilter,
    /// The agent's own container, when it is to be left out.
    own: Option<ContainerId>,
    shard: Shard,
    /// Boxed, as sorted folders leave the nodes of the tree half empty.
    known: BTreeMap<ContainerId, Box<Known>>,
    /// Gone, and still of interest: what is left of their logs is shipped under their names.
    departed: BTreeMap<ContainerId, Container>,
}

impl Discovery {
    /// Nothing is known yet. `own` is the container the agent runs in.
    pub fn new(source: &Source, own: Option<ContainerId>) -> Self {
        Self {
            containers_dir: source.containers_dir.clone(),
            filter: source.filter.clone(),
            own: own.filter(|_| !source.include_self),
            shard: Shard::WHOLE,
            known: BTreeMap::new(),
            departed: BTreeMap::new(),
        }
    }

    /// Sees the containers of this shard alone.
    pub fn within(self, shard: Shard) -> Self {
        Self { shard, ..self }
    }

    /// Looks which folders there are.
    ///
    /// # Errors
    /// When the folder of containers cannot be read; what is known stays as it was.
    pub fn scan(&mut self, now: Duration) -> io::Result<Change> {
        let mut present = folders(&self.containers_dir)?;
        present.retain(|&id| self.shard.holds(id));
        let mut change = Change::default();
        self.known.retain(|id, known| {
            let stays = present.binary_search(id).is_ok();
            if !stays {
                let mut container = known.container(*id);
                container.removed = true;
                self.departed.insert(*id, container);
                change.gone.push(*id);
            }
            stays
        });
        for id in present {
            self.known.entry(id).or_insert_with(|| {
                change.appeared.push(id);
                Box::new(Known {
                    description: None,
                    standing: Standing::Undescribed,
                    is_decided_by_name: false,
                    first_seen: now,
                    listed: None,
                })
            });
        }
        Ok(change)
    }

    /// Reads a container's description again, and decides about it if that is due.
    pub fn describe(&mut self, id: ContainerId, now: Duration) -> Option<&Known> {
        let folder = self.folder(id);
        let known = self.known.get_mut(&id)?;
        if let Some(description) = describe(&folder) {
            known.description = Some(description);
        }
        let waited = known.first_seen + DESCRIPTION_PATIENCE <= now;
        let is_described = known.description.is_some();
        // Left out by its short id alone, it gets another chance once its name is known.
        let is_open = match known.standing {
            Standing::Undescribed => is_described || waited,
            Standing::LeftOut(LeftOut::ByName) => is_described && !known.is_decided_by_name,
            Standing::Followed | Standing::LeftOut(_) => false,
        };
        if is_open {
            known.standing = standing(known, id, self.own, &self.filter);
            known.is_decided_by_name = is_described;
        }
        Some(known)
    }

    /// The container was listed as its folder stood then.
    pub fn note_listed(&mut self, id: ContainerId, state: Option<FolderState>) {
        if let Some(known) = self.known.get_mut(&id) {
            known.listed = state;
        }
    }

    /// No name in the container's folder has come, gone or been replaced since it was listed:
    /// Docker rotates, compresses and describes by new names. What grows is read anyway.
    pub fn is_as_listed(&self, id: ContainerId) -> bool {
        let listed = self.known.get(&id).and_then(|known| known.listed);
        listed.is_some() && listed == FolderState::of(&self.folder(id))
    }

    /// All of them, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (ContainerId, &Known)> {
        self.known.iter().map(|(id, known)| (*id, &**known))
    }

    /// The container as the core wants it.
    pub fn container(&self, id: ContainerId) -> Container {
        match (self.known.get(&id), self.departed.get(&id)) {
            (Some(known), _) => known.container(id),
            (None, Some(departed)) => departed.clone(),
            (None, None) => Container {
                id,
                name: short_id(id),
                created: String::new(),
                removed: true,
                files_max: 0,
            },
        }
    }

    /// How its log is rotated.
    pub fn rotation(&self, id: ContainerId) -> Option<Rotation> {
        let known = self.known.get(&id)?;
        known.description.as_ref()?.host.rotation()
    }

    /// Of those that are gone, only these are of interest still.
    pub fn keep_departed(&mut self, is_of_interest: impl Fn(ContainerId) -> bool) {
        self.departed.retain(|id, _| is_of_interest(*id));
    }

    /// The name of a container's current log file: what Docker says if there is such a file in
    /// the folder (the data root may have been moved since), else the usual one.
    pub fn log_name(&self, id: ContainerId) -> String {
        let told = self
            .known
            .get(&id)
            .and_then(|known| known.description.as_ref());
        told.map(|description| description.log_name.clone())
            .filter(|name| !name.is_empty() && self.folder(id).join(name).is_file())
            .unwrap_or_else(|| format!("{id}-json.log"))
    }

    /// Whether a container of this name is followed.
    pub fn admits(&self, name: &str) -> bool {
        self.filter.admits(name)
    }

    /// The folder of containers.
    pub fn root(&self) -> &Path {
        &self.containers_dir
    }

    /// A container's folder.
    pub fn folder(&self, id: ContainerId) -> PathBuf {
        self.containers_dir.join(id.to_string())
    }

    /// A stable look at a container's log files.
    ///
    /// # Errors
    /// As [`listing::look`].
    pub fn look(&self, id: ContainerId) -> io::Result<listing::Look> {
        listing::look(&self.folder(id), &self.log_name(id))
    }
}

fn standing(
    known: &Known,
    id: ContainerId,
    own: Option<ContainerId>,
    filter: &NameFilter,
) -> Standing {
    if own == Some(id) {
        return Standing::LeftOut(LeftOut::Own);
    }
    if !filter.admits(&known.name(id)) {
        return Standing::LeftOut(LeftOut::ByName);
    }
    match &known.description {
        Some(description) if !description.is_json_file() => {
            Standing::LeftOut(LeftOut::Driver(description.host.driver.clone()))
        }
        _ => Standing::Followed,
    }
}

/// Ids of the folders named by one, sorted.
fn folders(containers_dir: &Path) -> io::Result<Vec<ContainerId>> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(containers_dir)? {
        let entry = entry?;
        let id = entry.file_name().to_str().and_then(ContainerId::from_hex);
        if let Some(id) = id
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
        {
            ids.push(id);
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

#[cfg(test)]
mod tests;
