//! Rotation of a secret: a new one is taught to its server, proven by logging in, handed to the
//! applications; then the old one is taken back.
//!
//! What is under way stands in a [`Journal`] until its last step, so a run that was killed is
//! finished by the next; until then [`settle`] keeps PgBouncer and PostgreSQL of one mind. To undo is to rotate back: the same steps with both sides exchanged.

mod action;
mod app;
mod journal;
mod login;
mod pooler;
mod role;
mod server;
mod settling;
mod target;

pub use action::{Action, Rotation, plan};
pub use app::{App, Consumers, consumers};
pub use journal::{Journal, Login, Way};
pub use settling::{resume_all, settle};
pub use target::{Target, holder, resolve, user_key};
