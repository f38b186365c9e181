//! Looks into a container's folder, and what the core is told of them.

use std::io;
use std::time::Duration;

use agent_core::{Container, ContainerId, Event, Listed, Listing};

use super::{Agenda, Engine};
use crate::discover::Standing;
use crate::files::trouble::FOLDER;
use crate::folder::FolderState;

/// Folders are looked into for so long, then what was found is read for as long: of ten thousand
/// containers the first line does not wait for the last folder.
const LIST_SLICE: Duration = Duration::from_millis(5);
/// Looks at a folder that changes under them.
const LOOKS_MAX: u32 = 8;

/// One scan in this many looks into folders that have not changed, too.
const WHOLE_SCAN_EACH: u32 = 30;

impl Engine {
    /// Looks which folders there are, and into those that are new; with `all` each that has changed
    /// is looked into next.
    pub(super) fn scan(&mut self, agenda: &mut Agenda, all: bool) {
        if let Some(watch) = &mut self.watch {
            watch.watch_root(self.discovery.root());
        }
        let change = match self.discovery.scan(self.started.elapsed()) {
            Ok(change) => change,
            Err(error) => {
                if agenda.containers_error.is_none() {
                    tracing::error!(
                        "cannot read {}: {error}; is it mounted, and is this root?",
                        self.discovery.root().display()
                    );
                }
                agenda.containers_error = Some(error.to_string());
                return;
            }
        };
        agenda.containers_error = None;
        let ids: Vec<ContainerId> = match all {
            true => self.discovery.iter().map(|(id, _)| id).collect(),
            false => change.appeared,
        };
        if let Some(watch) = &mut self.watch {
            for &id in &ids {
                watch.watch_folder(id, &self.discovery.folder(id));
            }
        }
        for id in change.gone {
            if let Some(watch) = &mut self.watch {
                watch.forget(id);
            }
            agenda.to_list.remove(&id);
            if agenda.undescribed.remove(&id) {
                self.tell_nameless(id);
            }
            self.files.trouble.forget(id);
            self.tell_removed(id);
        }
        let due = self.due_for_listing(agenda, ids);
        if all {
            agenda.to_list.extend(due);
        } else {
            // They may be gone soon.
            due.into_iter().for_each(|id| self.list(id, agenda));
        }
    }

    /// Has the next write to a quiet log told, where the kernel can.
    pub(super) fn watch_writes(&mut self, id: ContainerId) {
        let folder = self.discovery.folder(id);
        let watch = self.watch.as_mut();
        if watch.is_some_and(|watch| watch.watch_writes(id, &folder)) {
            self.tell(Event::Watched(id));
        }
    }

    /// There was one.
    pub(super) fn tell_written(&mut self, id: ContainerId) {
        let folder = self.discovery.folder(id);
        if let Some(watch) = &mut self.watch {
            watch.ignore_writes(id, &folder);
        }
        self.tell(Event::Written(id));
    }

    /// Looks into some of the folders that are due.
    pub(super) fn list_some(&mut self, agenda: &mut Agenda) {
        let now = self.started.elapsed();
        if now < agenda.list_at {
            return;
        }
        let until = now + LIST_SLICE;
        while self.started.elapsed() < until
            && let Some(id) = agenda.to_list.pop_first()
        {
            self.list(id, agenda);
        }
        agenda.list_at = self.started.elapsed() + LIST_SLICE;
        agenda.has_looked |= agenda.scans > 0 && agenda.to_list.is_empty();
    }

    /// Containers whose folders changed since they were listed; now and then all of them.
    fn due_for_listing(&self, agenda: &mut Agenda, mut ids: Vec<ContainerId>) -> Vec<ContainerId> {
        agenda.scans += 1;
        if !agenda.scans.is_multiple_of(WHOLE_SCAN_EACH) {
            ids.retain(|&id| !self.discovery.is_as_listed(id));
        }
        ids
    }

    /// A container that went before it was described: what is held of it is shipped under its
    /// short id.
    fn tell_nameless(&mut self, id: ContainerId) {
        let container = Container {
            removed: false,
            ..self.discovery.container(id)
        };
        if self.discovery.admits(&container.name) {
            let files = self.files.held(id);
            self.tell_listing(id, files, false);
        } else {
            self.files.release(id);
        }
    }

    pub(super) fn tell_removed(&mut self, id: ContainerId) {
        let files = self.files.enroll(id, &[]).unwrap_or_default();
        self.tell_listing(id, files, false);
    }

    pub(super) fn tell_listing(&mut self, id: ContainerId, files: Vec<Listed>, unstable: bool) {
        let container = self.discovery.container(id);
        self.tell(Event::Listing(Listing {
            container,
            files,
            unstable,
        }));
    }

    /// Looks into a container's folder and tells the core.
    pub(super) fn list(&mut self, id: ContainerId, agenda: &mut Agenda) {
        let state = FolderState::settled(&self.discovery.folder(id), self.now().wall);
        match self.standing(id, agenda) {
            None => return self.tell_removed(id),
            Some(Standing::LeftOut(_)) => return self.discovery.note_listed(id, state),
            Some(Standing::Undescribed | Standing::Followed) => {}
        }
        for _ in 0..LOOKS_MAX {
            let look = match self.discovery.look(id) {
                Ok(look) => look,
                // Removed: the scan will tell.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                Err(error) => return self.files.trouble.note(id, FOLDER, &error),
            };
            self.files.trouble.settle(id, FOLDER);
            // Docker describes a container before it opens its log: now it may be described.
            let standing = self.standing(id, agenda);
            let Ok(files) = self.files.enroll(id, &look.files) else {
                continue;
            };
            // Before it is described, its files are only opened, so that they cannot vanish.
            if standing == Some(Standing::Followed) {
                self.tell_listing(id, files, !look.stable);
                self.discovery
                    .note_listed(id, state.filter(|_| look.stable));
            }
            return;
        }
    }

    /// What is done about a container, as its description now says.
    fn standing(&mut self, id: ContainerId, agenda: &mut Agenda) -> Option<Standing> {
        let now = self.started.elapsed();
        let known = self.discovery.describe(id, now)?;
        let standing = known.standing.clone();
        match &standing {
            Standing::Undescribed => {
                agenda.undescribed.insert(id);
            }
            Standing::Followed => {
                agenda.undescribed.remove(&id);
            }
            Standing::LeftOut(_) => {
                if agenda.undescribed.remove(&id) {
                    self.files.release(id);
                }
            }
        }
        Some(standing)
    }
}
