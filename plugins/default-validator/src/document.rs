//! Judges one document: walks its fields once and lets each rule see them.

use std::borrow::Cow;

use host_index_rules::{JSON_DUMPS_SEPARATOR_LEN, json_dumps_len};

use crate::config::Config;
use crate::issue::{Issue, Report, Step, quoted};
use crate::keys::Keys;
use crate::prices::{self, Prices};
use crate::urls::Urls;
use crate::values::duplicate_field;
use crate::variants::VARIANTS;
use crate::{json, names, values, variants, vectors};

/// Judges documents by a configuration.
pub struct Validator {
    config: Config,
    prices: Prices,
    urls: Urls,
}

impl Default for Validator {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

/// How a required field was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Missing,
    Empty,
    Present,
}

impl Validator {
    /// Makes a validator; worth keeping for many documents.
    pub fn new(config: Config) -> Self {
        Self { prices: Prices::new(&config), urls: Urls::new(&config.url_fields), config }
    }

    /// Returns what is wrong with a document, errors first and never more than 16 issues. `fields` may be any text.
    pub fn validate(&self, id: &str, fields: &str) -> Vec<Issue> {
        let mut report = Report::default();
        names::report_invalid_id(id, &mut report);
        let mut walk = Walk {
            len: json_dumps_len("_id") + JSON_DUMPS_SEPARATOR_LEN + json_dumps_len(id) + "{}".len(),
            keys: Keys::default(),
            required: vec![Presence::Missing; self.config.required.len()],
            prices: self.prices.unseen(),
            report,
        };
        let walked = json::entries(fields, |field, raw| self.see(field, raw, &mut walk));
        let Walk { len, required, prices, mut report, .. } = walk;
        match walked {
            Ok(()) => {
                self.check_required(&required, &mut report);
                self.check_len(len, &mut report);
                self.prices.relate(&prices, &mut report);
            }
            Err(error) if error.is_data() => report.error("fields-not-an-object", &[], || {
                format!("The fields are not a JSON object: {}.", quoted(fields))
            }),
            Err(error) => report.error("invalid-json", &[], || format!("The fields are not JSON: {error}.")),
        }
        report.into_issues()
    }

    fn see<'a>(&self, field: Cow<'a, str>, raw: &'a str, walk: &mut Walk<'a>) {
        let report = &mut walk.report;
        if !walk.keys.insert(&field) {
            duplicate_field(&[Step::Key(&field)], &field, report);
            return;
        }
        if field == VARIANTS {
            variants::check(raw, report);
            self.note(&field, raw, &mut walk.required);
            return;
        }
        names::report_invalid_field_name(&field, report);
        let len = match self.config.vectors.get(&*field) {
            Some(length) => vectors::check(&field, *length, raw, report),
            None => values::check(&field, raw, report),
        };
        self.prices.see(&field, raw, &mut walk.prices, report);
        self.urls.see(&field, raw, report);
        self.note(&field, raw, &mut walk.required);
        walk.len += JSON_DUMPS_SEPARATOR_LEN + json_dumps_len(&field) + JSON_DUMPS_SEPARATOR_LEN + len;
    }

    /// Notes in `required`, which is in the order of the configuration, how a field was found.
    fn note(&self, field: &str, raw: &str, required: &mut [Presence]) {
        for (name, presence) in self.config.required.iter().zip(required) {
            if name == field {
                *presence = if values::is_empty(raw) { Presence::Empty } else { Presence::Present };
            }
        }
    }

    fn check_required(&self, required: &[Presence], report: &mut Report) {
        for (field, presence) in self.config.required.iter().zip(required) {
            match presence {
                Presence::Present => {}
                Presence::Missing => report.error("missing-field", &[Step::Key(field)], || {
                    format!("The required field {} is missing; every document must have it.", quoted(field))
                }),
                Presence::Empty => report.error("empty-field", &[Step::Key(field)], || {
                    format!("The required field {} is empty; give it a value.", quoted(field))
                }),
            }
        }
    }

    fn check_len(&self, len: usize, report: &mut Report) {
        let limit = self.config.max_size;
        if len as u64 > limit {
            report.error("document-too-large", &[], || {
                format!("The document measures {len} characters as Marqo counts them, over the limit of {limit}; shorten its texts.")
            });
        }
    }
}

/// What is known of a document while its fields are walked.
struct Walk<'a> {
    /// How many characters `json.dumps` writes for the fields so far.
    len: usize,
    keys: Keys<'a>,
    required: Vec<Presence>,
    prices: prices::PriceValues,
    report: Report,
}
