//! Settings of indexes (`host settings put`) in SQLite, one row per index with a JSON object.

use async_trait::async_trait;
use host_core::storage::{IndexDocument, Settings, StoreError};
use host_sqlite::{Database, from_json, to_json};
use rusqlite::OptionalExtension;
use std::sync::Arc;

/// The settings of all indexes.
pub(super) struct SqliteSettings {
    database: Arc<Database>,
}

impl SqliteSettings {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Settings for SqliteSettings {
    async fn get(&self, index_name: &str) -> Result<Option<IndexDocument>, StoreError> {
        let name = index_name.to_owned();
        let read = self.database.read(move |tx| {
            let found: Option<String> = tx
                .prepare_cached("SELECT settings FROM index_settings WHERE index_name = ?1")?
                .query_row([name], |row| row.get(0))
                .optional()?;
            found.as_deref().map(from_json).transpose()
        });
        read.await.map_err(|error| error.during(format!("reading the settings of index {index_name}")))
    }

    async fn put(&self, index_name: &str, settings: &IndexDocument) -> Result<(), StoreError> {
        let (name, settings) = (index_name.to_owned(), settings.clone());
        let write = self.database.write(move |tx| {
            tx.prepare_cached("INSERT OR REPLACE INTO index_settings VALUES (?1, ?2)")?
                .execute([name, to_json(&settings)?])?;
            Ok(())
        });
        write.await.map_err(|error| error.during(format!("storing the settings of index {index_name}")))
    }

    async fn delete(&self, index_name: &str) -> Result<bool, StoreError> {
        let name = index_name.to_owned();
        let delete = self.database.write(move |tx| {
            let mut delete = tx.prepare_cached("DELETE FROM index_settings WHERE index_name = ?1")?;
            Ok(delete.execute([name])? == 1)
        });
        delete.await.map_err(|error| error.during(format!("removing the settings of index {index_name}")))
    }

    async fn list(&self) -> Result<Vec<String>, StoreError> {
        let read = self.database.read(|tx| {
            let mut names = tx.prepare_cached("SELECT index_name FROM index_settings ORDER BY index_name")?;
            let names = names.query_map([], |row| row.get(0))?;
            Ok(names.collect::<Result<_, _>>()?)
        });
        read.await.map_err(|error| error.during("listing the indexes with settings"))
    }
}
