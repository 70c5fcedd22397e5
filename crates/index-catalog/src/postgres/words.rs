//! The full-text index of products' words, and search by words.

use super::{
    Cause, Postgres, bounded,
    embeddings::hit,
    error::Attempts,
    read::{self, Lock},
};
use crate::{
    dialect::{Failed, Hit},
    text::TextConfig,
    words::{Column, Query, Words},
};
use host_core::index::WriteTarget;
use std::{collections::BTreeMap, fmt::Write};

const STALE: &str = "SELECT source_id FROM catalog.products
    WHERE merchant = $1 AND index_name = $2 AND search_config <> $3 LIMIT $4";

const RENEWED: &str = "UPDATE catalog.products SET words = new.words::tsvector, search_config = $1
    FROM unnest($2::bigint[], $3::text[]) AS new (id, words) WHERE products.id = new.id";

const FOUND: &str = "WITH terms AS MATERIALIZED (
        SELECT term::tsquery, score FROM unnest($4::text[], $5::bigint[]) AS listed (term, score))
    SELECT source_id, title, score::float8
    FROM catalog.products, LATERAL (
        SELECT coalesce(sum(score), 0) AS score FROM terms WHERE words @@ term) AS scores
    WHERE merchant = $1 AND index_name = $2 AND status = 'active' AND words @@ $3::text::tsquery
    ORDER BY score DESC, length(coalesce(title, '')), source_id LIMIT $6";

impl Postgres {
    pub(super) async fn renew_stale_words(
        &self,
        target: &WriteTarget,
        texts: &TextConfig,
        limit: usize,
    ) -> Result<usize, Failed> {
        let mut attempts = Attempts::new(&self.clock);
        loop {
            match self.try_renew_words(target, texts, limit).await {
                Err(cause) if attempts.should_retry(&cause).await => {}
                tried => return tried.map_err(|cause| cause.of(&self.name)),
            }
        }
    }

    async fn try_renew_words(
        &self,
        target: &WriteTarget,
        texts: &TextConfig,
        limit: usize,
    ) -> Result<usize, Cause> {
        let mut client = self.pool.get().await?;
        let tx = client.transaction().await?;
        let (config, limit) = (texts.search_config(), bounded(limit));
        let stale = tx.prepare_cached(STALE).await?;
        let stale = tx.query(&stale, &[&target.shop_id, &target.index_name, &config, &limit]).await?;
        if stale.is_empty() {
            return Ok(0);
        }
        let ids: Vec<&str> = stale.iter().map(|row| row.get(0)).collect();
        let current = read::current_state(&tx, target, &ids, Lock::Products).await?;
        let (ids, words): (Vec<i64>, Vec<String>) =
            current.words(texts)?.iter().map(|(id, words)| (*id, vector(words))).unzip();
        let renew = tx.prepare_cached(RENEWED).await?;
        tx.execute(&renew, &[&config, &ids, &words]).await?;
        tx.commit().await?;
        Ok(stale.len())
    }

    pub(super) async fn find_words(
        &self,
        target: &WriteTarget,
        query: &Query,
        limit: usize,
    ) -> Result<Vec<Hit>, Failed> {
        let all: Vec<String> = query.words.iter().map(|word| match_of(None, word, true)).collect();
        let code = match_of(Some(Column::Codes), &query.code, false);
        let found = format!("({}) | {code}", all.join(" & "));
        let (terms, scores): (Vec<String>, Vec<i64>) = query
            .terms()
            .map(|term| (match_of(term.column, term.word, term.is_beginning), term.score))
            .unzip();
        let (shop_id, index_name) = (&target.shop_id, &target.index_name);
        let rows = self.rows(FOUND, &[shop_id, index_name, &found, &terms, &scores, &bounded(limit)]).await?;
        Ok(rows.iter().map(hit).collect())
    }
}

/// Words as a `tsvector`. Positions stand for columns, because each weight needs one.
pub(super) fn vector(words: &Words) -> String {
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (words, place) in [(&words.title, "1A"), (&words.codes, "2B"), (&words.text, "3D")] {
        words.iter().for_each(|word| places.entry(word).or_default().push(place));
    }
    let mut vector = String::new();
    for (word, places) in places {
        // Writing to a string cannot fail.
        let _ = write!(vector, "'{word}':{} ", places.join(","));
    }
    vector
}

/// The `tsquery` that matches a word in a column, or in all of them. Words have neither quotes nor backslashes; `*`
/// matches all words that begin with one.
fn match_of(column: Option<Column>, word: &str, is_beginning: bool) -> String {
    let weight = match column {
        None => "",
        Some(Column::Title) => "A",
        Some(Column::Codes) => "B",
    };
    format!("'{word}':{}{weight}", if is_beginning { "*" } else { "" })
}
