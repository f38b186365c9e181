//! An application's Alembic: its migrations, and the service that runs them.

#![allow(clippy::unwrap_used)]

use std::path::Path;

const IMAGE: &str = "platform-test/alembic:1";

const ENV_PY: &str = "\
import os, sqlalchemy
from alembic import context
url = sqlalchemy.engine.URL.create('postgresql+psycopg2', os.environ['DB_USER'], os.environ['DB_PASSWORD'],
    os.environ['DB_HOST'], int(os.environ['DB_PORT']), os.environ['DB_NAME'])
with sqlalchemy.create_engine(url).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
";

/// How the migrator connects.
pub struct Migrator {
    pub project: String,
    pub network: String,
    /// Host name and port.
    pub server: (String, u16),
    pub user: &'static str,
    /// The key of its password in platform.env.
    pub key: &'static str,
    pub database: &'static str,
}

impl Migrator {
    /// Writes an application of this one service, without migrations yet.
    pub fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder.join("migrations/versions")).unwrap();
        let (server, port) = &self.server;
        let compose = format!(
            "name: {}\nservices:\n  migrator:\n    image: {IMAGE}\n    profiles: [tools]\n    \
             volumes: ['./:/app:ro']\n    environment:\n      DB_HOST: {server}\n      DB_PORT: '{port}'\n      \
             DB_USER: {}\n      DB_NAME: {}\n      DB_PASSWORD: ${{{}}}\n      PYTHONDONTWRITEBYTECODE: '1'\n\
             networks: {{default: {{name: {}, external: true}}}}\n",
            self.project, self.user, self.database, self.key, self.network,
        );
        std::fs::write(folder.join("compose.yaml"), compose).unwrap();
        let ini = "[alembic]\nscript_location = migrations\n";
        std::fs::write(folder.join("alembic.ini"), ini).unwrap();
        std::fs::write(folder.join("migrations/env.py"), ENV_PY).unwrap();
    }
}

/// Adds a migration that runs Python; `before` is the revision it comes after, in quotes, or None.
pub fn migration(folder: &Path, revision: &str, before: &str, python: &str) {
    let text = format!(
        "import os\nfrom alembic import op\nrevision = '{revision}'\ndown_revision = {before}\n\
         def upgrade():\n    {python}\ndef downgrade():\n    pass\n"
    );
    let path = folder.join(format!("migrations/versions/{revision}.py"));
    std::fs::write(path, text).unwrap();
}
