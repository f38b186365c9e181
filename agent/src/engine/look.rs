//! Looks into a container's folder, and what the core is told of them.

use std::io;

use agent_core::{ContainerId, Event, Listed, Listing};

use super::{Agenda, Engine, LOOKS_MAX};
use crate::discover::Standing;
use crate::files::trouble::FOLDER;
use crate::folder::FolderState;

impl Engine {
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
