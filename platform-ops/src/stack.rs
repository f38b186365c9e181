//! The platform's own compose project: what has to be on disk, what runs, and the plan from one to
//! the other.

mod action;
mod derived;
mod observed;
mod upward;

pub use action::{Action, folder_steps};
pub use derived::{
    COMPOSE_YAML, Derived, default_image, derived, folders, image_tag, redis_digest, redis_users,
};
pub use observed::Observed;
pub use upward::{Layout, layout, plan_up, same_passwords};

use crate::compose::Project;
use crate::session::Session;

/// The compose project under `apps/platform`, called as the operator would by hand.
pub fn project(session: &Session) -> Project {
    Project::new(session.root.stack(), vec![session.root.platform_env()])
}
