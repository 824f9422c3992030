//! The database's history: an append-only list under `PRAGMA user_version`.
//!
//! Rules: never edit an entry that was released, append one; each runs in one transaction with its
//! version. A database of a newer release is refused, unharmed.

use anyhow::Result;
use rusqlite::Connection;

use crate::fault::fault;

const MIGRATIONS: [&str; 23] = [
    // The older release's tables, which it made without a version.
    "CREATE TABLE IF NOT EXISTS images (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        reference_count INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE IF NOT EXISTS stacks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        repository_url TEXT NOT NULL,
        compose_path TEXT NOT NULL,
        hash TEXT NOT NULL,
        status TEXT NOT NULL DEFAULT 'stopped',
        UNIQUE(name, repository_url)
    );
    CREATE TABLE IF NOT EXISTS repository_cache (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        url TEXT NOT NULL UNIQUE,
        last_watch TEXT NOT NULL
    );",
    "CREATE TABLE source_states (
        repository_id INTEGER PRIMARY KEY REFERENCES repository_cache(id) ON DELETE CASCADE,
        commit_id TEXT,
        error TEXT
    );
    CREATE TABLE stack_states (
        stack_id INTEGER PRIMARY KEY REFERENCES stacks(id) ON DELETE CASCADE,
        commit_id TEXT NOT NULL,
        drift TEXT NOT NULL,
        error TEXT,
        held INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE stack_services (
        stack_id INTEGER NOT NULL REFERENCES stacks(id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        image TEXT,
        spec TEXT NOT NULL,
        PRIMARY KEY (stack_id, name)
    );
    CREATE TABLE foreign_images (name TEXT PRIMARY KEY);",
    "CREATE TABLE bindings (
        id INTEGER PRIMARY KEY,
        repository_url TEXT NOT NULL,
        root BLOB NOT NULL,
        path BLOB NOT NULL,
        UNIQUE(root, path)
    );
    CREATE TABLE binding_files (
        binding_id INTEGER NOT NULL REFERENCES bindings(id) ON DELETE CASCADE,
        path BLOB NOT NULL,
        content BLOB NOT NULL,
        stamp BLOB NOT NULL,
        PRIMARY KEY (binding_id, path, content)
    ) WITHOUT ROWID;",
    "CREATE TABLE stack_texts (
        stack_id INTEGER PRIMARY KEY REFERENCES stacks(id) ON DELETE CASCADE,
        applied TEXT,
        attempted TEXT
    );",
    // By which digests a tracked image ran, and what Swarm went back from.
    "CREATE TABLE image_digests (
        image TEXT NOT NULL,
        reference TEXT NOT NULL,
        PRIMARY KEY (image, reference)
    );
    CREATE TABLE failed_rolls (service TEXT PRIMARY KEY, image TEXT NOT NULL);",
    "CREATE TABLE builds (
        repository_id INTEGER NOT NULL REFERENCES repository_cache(id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        content TEXT NOT NULL,
        commit_id TEXT NOT NULL,
        reference TEXT,
        error TEXT,
        PRIMARY KEY (repository_id, name)
    );",
    "CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time TEXT NOT NULL,
        level TEXT NOT NULL,
        event TEXT NOT NULL,
        repository TEXT,
        stack TEXT,
        commit_id TEXT,
        message TEXT NOT NULL
    );",
    "CREATE TABLE attempts (
        repository_id INTEGER NOT NULL REFERENCES repository_cache(id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        hash TEXT NOT NULL,
        rolls TEXT NOT NULL,
        PRIMARY KEY (repository_id, name)
    );",
    // What a look at the images that nothing uses had found, when none of them could go.
    "CREATE TABLE kept_images (found TEXT NOT NULL);",
    "CREATE TABLE installation (key TEXT NOT NULL);",
    // When docker accepted it, in milliseconds since 1970, and what is to be recorded when it converged.
    "ALTER TABLE attempts ADD COLUMN since INTEGER;
    ALTER TABLE attempts ADD COLUMN given TEXT;
    ALTER TABLE source_states ADD COLUMN asked INTEGER NOT NULL DEFAULT 0;",
    // A JSON list of names: what is removed goes after what depends on it, and the manifest may be gone by then.
    "ALTER TABLE stack_states ADD COLUMN depends_on TEXT NOT NULL DEFAULT '[]';",
    // When a stack converged last, and since when it is degraded.
    "CREATE TABLE stack_health (
        stack_id INTEGER PRIMARY KEY REFERENCES stacks(id) ON DELETE CASCADE,
        converged TEXT,
        degraded TEXT
    );",
    // What runs that live are at besides deploying.
    "CREATE TABLE work (
        run TEXT NOT NULL,
        kind TEXT NOT NULL,
        image TEXT NOT NULL,
        since INTEGER NOT NULL,
        PRIMARY KEY (run, kind, image)
    );",
    // A JSON object: by service, which task failed and what it said last.
    "ALTER TABLE stack_health ADD COLUMN words TEXT;",
    // Whether a run began to deal with a commit that it did not bring to its end.
    "ALTER TABLE source_states ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;",
    // A JSON object: by service, the spec that docker was given of a failure that is held.
    "ALTER TABLE stack_states ADD COLUMN given TEXT;",
    // What the page asks for at each view.
    "CREATE INDEX IF NOT EXISTS events_of_a_stack ON events (stack, id);
    CREATE INDEX IF NOT EXISTS stacks_of_a_source ON stacks (repository_url);",
    // The policy that `commit_id` was read under.
    "ALTER TABLE source_states ADD COLUMN policy TEXT NOT NULL DEFAULT '';",
    // Of a stack that waits: its source, and what for. Why one stays that its source lists no more.
    "ALTER TABLE work ADD COLUMN repository TEXT;
    ALTER TABLE work ADD COLUMN why TEXT;
    ALTER TABLE stack_states ADD COLUMN stays TEXT;",
    // Holds by hand, of all stacks of a source where none is named; and which stacks a hold keeps from what. `hold` is JSON.
    "CREATE TABLE holds (
        repository_id INTEGER NOT NULL REFERENCES repository_cache(id) ON DELETE CASCADE,
        stack TEXT NOT NULL,
        hold TEXT NOT NULL,
        PRIMARY KEY (repository_id, stack)
    );
    CREATE TABLE on_hold (
        repository_id INTEGER NOT NULL REFERENCES repository_cache(id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        hold TEXT NOT NULL,
        change TEXT,
        commit_id TEXT NOT NULL,
        behind INTEGER NOT NULL,
        PRIMARY KEY (repository_id, name)
    );",
    // The versions of each stack that converged: `services` and `versions` are JSON.
    "CREATE TABLE history (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        stack_id INTEGER NOT NULL REFERENCES stacks(id) ON DELETE CASCADE,
        time TEXT NOT NULL,
        times INTEGER NOT NULL,
        commit_id TEXT NOT NULL,
        hash TEXT NOT NULL,
        how TEXT NOT NULL,
        reason TEXT NOT NULL,
        seconds INTEGER NOT NULL,
        services TEXT NOT NULL,
        versions TEXT NOT NULL,
        text TEXT NOT NULL
    );
    CREATE INDEX history_of_a_stack ON history (stack_id, id);",
    // Whether the version that converged was given anew with its jobs, and failed.
    "ALTER TABLE stack_states ADD COLUMN jobs_due INTEGER NOT NULL DEFAULT 0;",
];

fn version(connection: &Connection) -> Result<usize> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(usize::try_from(version)?)
}

/// Whether the database has this release's version; fails on a newer one.
pub fn is_current(connection: &Connection) -> Result<bool> {
    let version = version(connection)?;
    if version > MIGRATIONS.len() {
        return Err(fault(
            format!(
                "was made by a newer release (version {version}, this release knows {})",
                MIGRATIONS.len()
            ),
            "update DockerOps to that release; nothing was changed",
        ));
    }
    Ok(version == MIGRATIONS.len())
}

/// Brings the database to this release's version.
pub fn migrate(connection: &Connection) -> Result<()> {
    if is_current(connection)? {
        return Ok(());
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(version(connection)?) {
        let transaction = connection.unchecked_transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", i64::try_from(index + 1)?)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::path::Path;

    /// A database as the older release left it.
    pub fn older_release(path: &Path) {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        connection
            .execute_batch(
                "INSERT INTO repository_cache (url, last_watch) VALUES ('https://github.com/org/repo.git', '2024-01-01T00:00:00Z');
                 INSERT INTO stacks (name, repository_url, compose_path, hash, status)
                     VALUES ('web', 'https://github.com/org/repo.git', 'web/docker-compose.yml', 'abc', 'deployed');
                 INSERT INTO images (name, reference_count) VALUES ('nginx:latest', 2);",
            )
            .unwrap();
    }

    #[test]
    fn an_older_database_keeps_its_rows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old.db");
        older_release(&path);
        let connection = Connection::open(&path).unwrap();
        migrate(&connection).unwrap();
        migrate(&connection).unwrap();
        let hash: String =
            connection.query_row("SELECT hash FROM stacks WHERE name = 'web'", [], |row| row.get(0)).unwrap();
        assert_eq!(hash, "abc");
        assert!(is_current(&connection).unwrap());
    }

    #[test]
    fn a_newer_database_is_refused_unharmed() {
        let connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        assert!(migrate(&connection).unwrap_err().to_string().contains("newer release"));
        assert_eq!(version(&connection).unwrap(), 99);
    }
}
