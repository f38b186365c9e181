//! Databases of applications: who owns them, who may what in them, how they are made anew.

pub mod access;
pub mod alembic;
pub mod creation;
pub mod extension;
pub mod install;
pub mod journal;
pub mod listing;
pub mod name;
pub mod script;
