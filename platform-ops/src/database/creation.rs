//! A database made where there is none, with its owner, roles and privileges.

use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;

use crate::backup::server::Server;
use crate::database::access::{self, Access, NewRole};
use crate::database::{extension, listing};
use crate::plan::{Action, Effect};
use crate::session::Session;
use crate::sql::identifier;

/// What the steps share.
#[derive(Debug)]
pub struct Scene {
    /// The server.
    pub server: Server,
    /// The database.
    pub database: String,
    /// Who owns it and who uses it.
    pub access: Access,
    /// Roles that are to be made.
    pub missing: Vec<NewRole>,
    /// Extensions, which only a superuser can make.
    pub extensions: Vec<String>,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Makes owner and roles.
    Roles,
    /// Makes the database.
    Database,
    /// Grants the privileges.
    Grant,
}

/// A step; doing it twice does no harm.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    kind: Kind,
    database: String,
    access: Access,
    #[serde(skip)]
    scene: Arc<Scene>,
}

impl Step {
    /// One of them.
    pub fn new(kind: Kind, scene: &Arc<Scene>) -> Self {
        Self {
            kind,
            database: scene.database.clone(),
            access: scene.access.clone(),
            scene: scene.clone(),
        }
    }
}

impl Action for Step {
    fn summary(&self) -> String {
        let Access { owner, roles } = &self.access;
        let (database, roles) = (&self.database, roles.join(", "));
        match self.kind {
            Kind::Roles => self.access.roles_text(&self.scene.missing, database),
            Kind::Database => match &self.scene.extensions[..] {
                [] => format!("create database {database} of {owner}"),
                all => format!(
                    "create database {database} of {owner}, with {}",
                    all.join(", ")
                ),
            },
            Kind::Grant if self.access.roles.is_empty() => {
                format!("let nobody but {owner} connect to {database}")
            }
            Kind::Grant => format!(
                "grant {roles} the manual's privileges on {database} and on what comes later; nobody else may connect"
            ),
        }
    }

    fn effect(&self) -> Effect {
        match self.kind {
            Kind::Roles | Kind::Database => Effect::Create,
            Kind::Grant => Effect::Change,
        }
    }

    async fn apply(&self, _session: &Session) -> anyhow::Result<()> {
        let Scene {
            server,
            database,
            access,
            missing,
            extensions,
        } = &*self.scene;
        match self.kind {
            Kind::Roles => access::make_roles(server, access, missing).await,
            Kind::Database => {
                let there = listing::list(server).await?;
                if !there.iter().any(|entry| entry.name == *database) {
                    let (name, owner) = (identifier(database), identifier(&access.owner));
                    let sql = format!("create database {name} owner {owner};\n");
                    server.script("postgres", &sql).await?;
                }
                extension::create(server, database, extensions).await
            }
            Kind::Grant => {
                let sql = access.database_sql(database);
                server.script("postgres", &sql).await.context("grant")?;
                let sql = access.objects_sql(&server.place().user);
                server.script(database, &sql).await.context("grant")
            }
        }
    }
}
