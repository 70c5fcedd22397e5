//! The full-text index of products' words, and search by words.

use super::{Session, list::rows};
use crate::{
    dialect::Hit,
    text::TextConfig,
    words::{Column, Query, Words},
};
use host_sqlite::{Cause, to_json};
use rusqlite::params;
use std::collections::BTreeSet;

impl Session<'_> {
    /// Puts the words of products into the index, in place of those that it has.
    pub(super) fn put_words<'a>(&self, words: impl Iterator<Item = (i64, &'a Words)>) -> Result<(), Cause> {
        let words = words.map(|(id, words)| (id, text(&words.title), text(&words.codes), text(&words.text)));
        self.put_list(
            "INSERT OR REPLACE INTO product_words (rowid, title, codes, text)
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?1)",
            &rows(words)?,
        )
    }

    /// Ids of the documents of products whose words were made of other fields.
    pub(super) fn stale(&self, search_config: &str, limit: usize) -> Result<Vec<String>, Cause> {
        let mut statement = self.statement(
            "SELECT source_id FROM products WHERE merchant = ?1 AND index_name = ?2 AND search_config <> ?3 LIMIT ?4",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let params = params![self.target.shop_id, self.target.index_name, search_config, limit];
        let rows = statement.query_map(params, |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn renew_words(&self, texts: &TextConfig, limit: usize) -> Result<usize, Cause> {
        let config = texts.search_config();
        let stale = self.stale(&config, limit)?;
        let current = self.current_state(stale.iter().map(String::as_str).collect())?;
        let words = current.words(texts).map_err(Cause::corrupt)?;
        self.put_words(words.iter().map(|(id, words)| (*id, words)))?;
        let ids: Vec<i64> = words.iter().map(|(id, _)| *id).collect();
        self.statement(
            "UPDATE products SET search_config = ?2 WHERE id IN (SELECT value FROM json_each(?1))",
        )?
        .execute(params![to_json(&ids)?, config])?;
        Ok(ids.len())
    }

    pub(super) fn search(&self, query: &Query, limit: usize) -> Result<Vec<Hit>, Cause> {
        let all: Vec<String> = query.words.iter().map(|word| match_of(None, word, true)).collect();
        let code = match_of(Some(Column::Codes), &query.code, false);
        let found = format!("({}) OR {code}", all.join(" AND "));
        let terms =
            query.terms().map(|term| (match_of(term.column, term.word, term.is_beginning), term.score));
        let mut statement = self.statement(
            "WITH scores AS MATERIALIZED (
                SELECT w.rowid AS id, sum(term.value ->> 1) AS score
                FROM json_each(?3) AS term CROSS JOIN product_words AS w
                WHERE w.product_words MATCH term.value ->> 0
                GROUP BY w.rowid)
            SELECT p.source_id, p.title, CAST(coalesce(s.score, 0) AS REAL) AS score
            FROM product_words AS w JOIN products AS p ON p.id = w.rowid LEFT JOIN scores AS s ON s.id = w.rowid
            WHERE w.product_words MATCH ?4 AND p.merchant = ?1 AND p.index_name = ?2 AND p.status = 'active'
            ORDER BY score DESC, length(coalesce(p.title, '')), p.source_id LIMIT ?5",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let (shop_id, index_name, terms) = (&self.target.shop_id, &self.target.index_name, rows(terms)?);
        let rows = statement.query_map(params![shop_id, index_name, terms.json, found, limit], |row| {
            Ok(Hit { id: row.get(0)?, title: row.get(1)?, score: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Words as a column of the index.
fn text(words: &BTreeSet<String>) -> String {
    words.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// The expression that matches a word in a column, or in all of them. A word has no quotes, and in quotes it is no
/// operator; `*` matches all words that begin with it.
fn match_of(column: Option<Column>, word: &str, is_beginning: bool) -> String {
    let column = match column {
        None => "",
        Some(Column::Title) => "title : ",
        Some(Column::Codes) => "codes : ",
    };
    format!("{column}\"{word}\"{}", if is_beginning { "*" } else { "" })
}
