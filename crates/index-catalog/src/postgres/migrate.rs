//! The schema of the catalog in PostgreSQL, and how it is brought up to date.

use super::{Cause, Postgres};
use tokio_postgres::GenericClient;

/// The steps from an empty database to the current schema. A step that has been released is never changed.
const MIGRATIONS: &[&str] =
    &[include_str!("schema.sql"), include_str!("unseen.sql"), include_str!("search.sql")];

/// Number of the advisory lock that is held while the schema is migrated, so that one of two migrations waits: `host`
/// in ASCII.
const LOCK: i64 = 0x686f_7374;

impl Postgres {
    /// Checks that the schema is the one that this version of host knows.
    pub(super) async fn check_schema(&self) -> Result<(), Cause> {
        let client = self.pool.get().await?;
        match version(&**client).await? {
            0 => Err(Cause::NoCatalog),
            found if found < known() => Err(Cause::Older),
            found if found > known() => Err(Cause::Newer { found, known: known() }),
            _ => Ok(()),
        }
    }

    /// Brings the schema up to date; returns a sentence that says what was done.
    pub(super) async fn migrate_schema(&self) -> Result<String, Cause> {
        let mut client = self.pool.get().await?;
        let tx = client.transaction().await?;
        tx.query("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
        let found = version(&*tx).await?;
        if found > known() {
            return Err(Cause::Newer { found, known: known() });
        }
        if found == 0 {
            tx.batch_execute(
                "CREATE SCHEMA IF NOT EXISTS catalog;
                CREATE TABLE catalog.migrations (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
            )
            .await?;
        }
        for (step, at) in MIGRATIONS.iter().zip(1_i32..).skip(usize::try_from(found).unwrap_or(0)) {
            tx.batch_execute(step).await?;
            tx.execute("INSERT INTO catalog.migrations (version) VALUES ($1)", &[&at]).await?;
        }
        tx.commit().await?;
        let vectors = self.use_pgvector().await?;
        let name = &self.name;
        Ok(match found {
            found if found == known() => format!("the catalog of {name} is up to date; {vectors}"),
            0 => format!("created the catalog of {name}; {vectors}"),
            found => format!("brought the catalog of {name} from schema {found} to {}; {vectors}", known()),
        })
    }

    /// Stores embeddings in a column of pgvector's type `vector` if the server has pgvector; returns which type they
    /// have.
    async fn use_pgvector(&self) -> Result<&'static str, Cause> {
        let client = self.pool.get().await?;
        if has_vectors(&**client).await? {
            return Ok("embeddings are vectors (pgvector)");
        }
        let available = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'";
        if client.query_opt(available, &[]).await?.is_none() {
            return Ok("embeddings are arrays, because the server has no pgvector");
        }
        if let Err(error) = client.batch_execute("CREATE EXTENSION IF NOT EXISTS vector").await {
            tracing::debug!(%error, "the pgvector extension cannot be created");
            return Ok(
                "embeddings are arrays: have a user with the required privilege run CREATE EXTENSION vector, and migrate again",
            );
        }
        client
            .batch_execute(
                "ALTER TABLE catalog.embeddings ALTER COLUMN vector TYPE vector USING vector::vector",
            )
            .await?;
        Ok("embeddings are vectors (pgvector)")
    }
}

/// Number of the current schema.
fn known() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Number of the database's schema: the number of steps that it has had, 0 if there is none.
async fn version(client: &impl GenericClient) -> Result<i32, Cause> {
    let exists = client.query_one("SELECT to_regclass('catalog.migrations') IS NOT NULL", &[]).await?;
    if !exists.get::<_, bool>(0) {
        return Ok(0);
    }
    let newest = client.query_one("SELECT coalesce(max(version), 0) FROM catalog.migrations", &[]).await?;
    Ok(newest.get(0))
}

/// Whether the column of embeddings has pgvector's type.
pub(super) async fn has_vectors(client: &impl GenericClient) -> Result<bool, Cause> {
    let column = "SELECT udt_name = 'vector' FROM information_schema.columns
        WHERE table_schema = 'catalog' AND table_name = 'embeddings' AND column_name = 'vector'";
    let found = client.query_opt(column, &[]).await?;
    Ok(found.is_some_and(|row| row.get(0)))
}
