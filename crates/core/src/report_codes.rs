//! Every code that reports, dead letters and the `last_error` of a job can hold. `docs/reference/report-codes.md` is
//! generated from this list; the test `host/tests/reference/report_codes.rs` compares the list with the places in the
//! code that make codes.

/// A code and its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportCode {
    /// The code; stable, scripts compare it.
    pub code: &'static str,
    /// The part of the program that reports it.
    pub origin: Origin,
    /// The effect. On an item (a document, a removal, or a line or product that became neither): `failed`, `skipped`,
    /// `conflict`, `warning`. On a chunk (the unit in which a worker writes items): `retried`, `dropped`, `dead
    /// letter`. `stops`: the ingest ends, or all work on the index waits until the cause is fixed (`docs/counting.md`).
    pub effect: &'static str,
    /// What happened.
    pub meaning: &'static str,
}

/// The part of the program that reports a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Reading an export.
    Export,
    /// Running any plug-in.
    Plugin,
    /// Comparing versions and writing.
    Worker,
    /// The index refuses a document.
    Index,
    /// A chunk as a whole: dead letters, and the `last_error` of a job.
    Chunk,
    /// Issues of the Shopify plug-in.
    Shopify,
    /// Issues of the default validator.
    Validator,
}

impl Origin {
    /// All origins, in pipeline order.
    pub const ALL: [Self; 7] =
        [Self::Export, Self::Plugin, Self::Worker, Self::Index, Self::Chunk, Self::Shopify, Self::Validator];

    /// Its heading in the reference.
    pub fn title(self) -> &'static str {
        match self {
            Self::Export => "Reading the export",
            Self::Plugin => "Running plug-ins",
            Self::Worker => "Comparing and writing",
            Self::Index => "Refused by the index",
            Self::Chunk => "Chunks: dead letters and `last_error`",
            Self::Shopify => "Issues of the Shopify plug-in",
            Self::Validator => "Issues of the default validator",
        }
    }
}

const fn code(origin: Origin, code: &'static str, effect: &'static str, meaning: &'static str) -> ReportCode {
    ReportCode { code, origin, effect, meaning }
}

/// The effect of codes with which a chunk is quarantined: counted as failed, its message moved to the dead letters.
const DEAD_LETTER: &str = "dead letter";

/// Whether an entry with this code stands for a chunk that is among the dead letters.
pub fn is_dead_letter(code: &str) -> bool {
    REPORT_CODES.iter().any(|known| known.code == code && known.effect == DEAD_LETTER)
}

/// Whether a chunk is among the dead letters with this code because of its object, which only its owner can restore.
pub fn is_damaged_chunk(code: &str) -> bool {
    ["corrupt-chunk", "lost-input"].contains(&code)
}

/// A product of which the export does not have everything.
pub const INCOMPLETE_PRODUCT: &str = "incomplete-product";

/// All codes.
pub const REPORT_CODES: &[ReportCode] = &[
    code(Origin::Export, "line-too-long", "skipped", "The line is longer than `ingest.max_line_bytes`."),
    code(Origin::Export, "invalid-utf8", "skipped", "The line is not UTF-8."),
    code(
        Origin::Export,
        "invalid-json",
        "skipped",
        "The line of the export, or of a stored chunk, is not JSON.",
    ),
    code(
        Origin::Export,
        "truncated-line",
        "skipped",
        "The source ends in the middle of the line: download the export again.",
    ),
    code(Origin::Export, "not-an-object", "skipped", "The line is JSON but not an object."),
    code(Origin::Export, "invalid-id", "skipped", "The id in the line is neither a string nor an integer."),
    code(Origin::Export, "orphan", "skipped", "The line belongs to a product that is not in the export."),
    code(
        Origin::Export,
        INCOMPLETE_PRODUCT,
        "failed",
        "A line of the product cannot be read, or the export says that more of it exists than it has: the product is not \
         whole, and stays in the index as it was.",
    ),
    code(
        Origin::Export,
        "no-document",
        "skipped",
        "The plug-in made neither a document nor a removal of the product. `failed` if it made none of any product of the \
         export: then it probably does not support it.",
    ),
    code(
        Origin::Export,
        "export-unreadable",
        "stops",
        "A source cannot be read to its end, or with `--grouping adjacent` a line does not follow its product.",
    ),
    code(
        Origin::Export,
        "chunk-differs",
        "stops",
        "A chunk differs from the one that an earlier attempt of the same job stored: the plug-in is not deterministic, or the source changed.",
    ),
    code(Origin::Export, "store-failure", "stops", "The storage failed while chunks were published."),
    code(
        Origin::Export,
        "shop-removed",
        "stops",
        "The shop is being removed, or was removed after the job began.",
    ),
    code(Origin::Export, "taken-over", "stops", "Another process ingests for this shop and index."),
    code(Origin::Plugin, "plugin-trap", "failed", "The plug-in trapped (crashed) on this item alone."),
    code(
        Origin::Plugin,
        "plugin-timeout",
        "failed",
        "A call with this item alone took longer than `plugin.limits.call_ms`, or more instructions than `plugin.limits.fuel`.",
    ),
    code(
        Origin::Plugin,
        "plugin-memory",
        "failed",
        "A call with this item alone needed more than `plugin.limits.memory_bytes`.",
    ),
    code(
        Origin::Plugin,
        "plugin-output",
        "failed",
        "The answer for this item alone was larger than `plugin.limits.output_bytes`.",
    ),
    code(Origin::Plugin, "plugin-contract", "failed", "The answer for this item broke the contract."),
    code(Origin::Plugin, "plugin-start", "stops", "An instance of the plug-in could not be started."),
    code(
        Origin::Plugin,
        "plugin-stopped",
        "stops",
        "The circuit breaker stopped the plug-in; the remaining items were not processed.",
    ),
    code(
        Origin::Plugin,
        "too-many-documents",
        "failed",
        "The product has more documents and removals than `plugin.limits.documents_per_product`.",
    ),
    code(
        Origin::Plugin,
        "document-too-large",
        "failed",
        "The document is larger than `plugin.limits.document_bytes`, the validator or the index allows.",
    ),
    code(
        Origin::Plugin,
        "repeated-document-id",
        "failed",
        "The product has two documents or removals with the same id.",
    ),
    code(
        Origin::Plugin,
        "invalid-document",
        "failed",
        "The plug-in made a document that is not a JSON object.",
    ),
    code(Origin::Plugin, "invalid-removal", "failed", "The version of a removal is not a JSON object."),
    code(Origin::Plugin, "invalid-document-id", "failed", "The plug-in made a document without a valid id."),
    code(Origin::Plugin, "invalid-code", "as the issue", "The code of an issue is not in kebab case."),
    code(Origin::Worker, "older-version", "conflict", "The index holds a newer version of the document."),
    code(
        Origin::Worker,
        "same-version",
        "conflict",
        "The index holds other content of the same version; `--same-version write` overwrites it.",
    ),
    code(
        Origin::Worker,
        "nothing-archived",
        "warning",
        "What the full sync did not have was not archived, because its export may not be the whole shop.",
    ),
    code(Origin::Worker, "older-removal", "conflict", "The index holds a newer version than the removal."),
    code(
        Origin::Worker,
        "removed-product",
        "conflict",
        "The product was removed in this version or a newer one; `--same-version write` brings the same version back.",
    ),
    code(
        Origin::Worker,
        "removed-document",
        "conflict",
        "A newer version of the product does not have this document any more.",
    ),
    code(
        Origin::Worker,
        "rewritten",
        "conflict",
        "Another job wrote the document after its removal was planned; it was not removed.",
    ),
    code(
        Origin::Worker,
        "cancelled",
        "failed",
        "`host jobs cancel` ended the job before the chunk was written.",
    ),
    code(
        Origin::Index,
        "document-not-found",
        "failed",
        "An update names a document that the index does not have.",
    ),
    code(
        Origin::Index,
        "invalid-variant",
        "failed",
        "The relational catalog (SQLite or PostgreSQL) cannot hold a variant of the document.",
    ),
    code(
        Origin::Index,
        "partial-document",
        "failed",
        "Marqo made no vectors for some tensor fields; the document was removed again (`readback`).",
    ),
    code(
        Origin::Index,
        "tensor-field-update",
        "failed",
        "Marqo makes no new vectors for an update: send whole documents, or leave the field out.",
    ),
    code(Origin::Index, "invalid-vector", "failed", "A vector of the document does not fit the index."),
    code(Origin::Index, "update-refused", "failed", "Marqo refused the update without a code."),
    code(Origin::Index, "server-error", "failed", "Marqo failed on this document alone, nine times."),
    code(Origin::Chunk, "corrupt-chunk", DEAD_LETTER, "The stored chunk is not what was published."),
    code(Origin::Chunk, "lost-input", DEAD_LETTER, "The chunk's object is gone."),
    code(
        Origin::Chunk,
        "too-many-attempts",
        DEAD_LETTER,
        "The chunk was claimed more than 20 times without being completed.",
    ),
    code(Origin::Chunk, "internal-error", DEAD_LETTER, "host itself failed on the chunk, twice."),
    code(Origin::Chunk, "plugin-failure", DEAD_LETTER, "A plug-in refused the whole batch."),
    code(
        Origin::Chunk,
        "received-too-often",
        DEAD_LETTER,
        "SQS moved the message to the dead-letter queue after too many receives.",
    ),
    code(
        Origin::Chunk,
        "bucket-not-allowed",
        DEAD_LETTER,
        "A message that a program other than host sent names a bucket that `aws.source_buckets` does not list.",
    ),
    code(
        Origin::Chunk,
        "key-of-other-shop",
        DEAD_LETTER,
        "A message that a program other than host sent names an object of host's own bucket that is not in the folder of its shop.",
    ),
    code(
        Origin::Chunk,
        "queue-of-other-shop",
        DEAD_LETTER,
        "A message that a program other than host sent is not in the queue of the shop that it names.",
    ),
    code(
        Origin::Chunk,
        "object-missing",
        DEAD_LETTER,
        "The object that a message of a program other than host names is not there.",
    ),
    code(
        Origin::Chunk,
        "object-refused",
        DEAD_LETTER,
        "The bucket does not let the worker read the object that a message of a program other than host names.",
    ),
    code(
        Origin::Chunk,
        "object-too-large",
        DEAD_LETTER,
        "The object that a message of a program other than host names has more than 256 MB.",
    ),
    code(
        Origin::Chunk,
        "object-replaced",
        DEAD_LETTER,
        "The object that a message of a program other than host names differs from the one that host has already copied from there.",
    ),
    code(
        Origin::Chunk,
        "job-has-ended",
        DEAD_LETTER,
        "The job that a message of a program other than host names has ended and takes no more chunks.",
    ),
    code(
        Origin::Chunk,
        "unreadable-message",
        "retried",
        "A newer version of host or another program wrote the message; it stays in the queue, and the messages of its group (shop and lane) wait behind it.",
    ),
    code(
        Origin::Chunk,
        "unreadable-record",
        "retried",
        "A newer version of host or another program wrote the record of the chunk; the attempt is not counted.",
    ),
    code(Origin::Chunk, "store-unavailable", "retried", "The storage cannot be reached, or is too busy."),
    code(
        Origin::Chunk,
        "store-refused",
        "stops",
        "The storage refuses the request: permissions or configuration.",
    ),
    code(Origin::Chunk, "index-unavailable", "retried", "The index cannot be reached, or is too busy."),
    code(
        Origin::Chunk,
        "index-refused",
        "stops",
        "The index refuses the request: authentication, settings or model; with a relational catalog also a full disk.",
    ),
    code(Origin::Chunk, "lease-lost", "dropped", "Another worker has claimed the chunk."),
    code(
        Origin::Chunk,
        "out-of-time",
        "retried",
        "The process had to stop before the chunk was written; the attempt is not counted.",
    ),
    code(
        Origin::Chunk,
        "other-target",
        "retried",
        "The chunk's job names another target than the worker writes to: it is left to other workers, and `host run` stops.",
    ),
    code(Origin::Shopify, "invalid-product", "failed", "No line of the product is a product record."),
    code(Origin::Shopify, "not-a-product", "failed", "The record is of another type than a product."),
    code(Origin::Shopify, "missing-id", "failed", "The product has no id."),
    code(Origin::Shopify, "not-configured", "stops", "The plug-in was called before it was configured."),
    code(Origin::Shopify, "invalid-record", "warning", "A line that is not a JSON object was omitted."),
    code(
        Origin::Shopify,
        "unknown-status",
        "warning",
        "The product is removed from the index because this version does not know its status.",
    ),
    code(Origin::Shopify, "invalid-price", "warning", "A price is not an amount and was omitted."),
    code(
        Origin::Shopify,
        "invalid-metafield",
        "warning",
        "A metafield's value does not fit its field and was omitted.",
    ),
    code(Origin::Shopify, "missing-variant-id", "warning", "A variant has no id and cannot be listed."),
    code(
        Origin::Shopify,
        "unused-records",
        "warning",
        "The export has records of a kind that no field is made of; named once for each batch of products.",
    ),
    code(Origin::Shopify, "no-variants", "warning", "The product has no variants to make documents of."),
    code(Origin::Shopify, "shortened", "warning", "Fields had more content than a document may hold."),
    code(Origin::Shopify, "more-issues", "warning", "The item has more problems than are reported."),
    code(Origin::Validator, "fields-not-an-object", "failed", "The document's fields are not a JSON object."),
    code(Origin::Validator, "missing-field", "failed", "A required field is missing."),
    code(Origin::Validator, "empty-field", "failed", "A required field is empty."),
    code(Origin::Validator, "null-value", "failed", "A field, or a value in it, is null."),
    code(
        Origin::Validator,
        "illegal-character",
        "failed",
        "A string contains a character that Marqo cannot store.",
    ),
    code(Origin::Validator, "lone-surrogate", "failed", "A string contains half of a UTF-16 surrogate pair."),
    code(Origin::Validator, "integer-out-of-range", "failed", "An integer does not fit 64 bits."),
    code(Origin::Validator, "number-out-of-range", "failed", "A number is too large."),
    code(Origin::Validator, "mixed-array", "failed", "A list has values of several types."),
    code(
        Origin::Validator,
        "array-of-numbers",
        "failed",
        "A field is a list of numbers; an index accepts only lists of strings.",
    ),
    code(
        Origin::Validator,
        "array-of-booleans",
        "failed",
        "A field is a list of booleans; an index accepts only lists of strings.",
    ),
    code(Origin::Validator, "array-of-nulls", "failed", "A field is a list of nulls."),
    code(
        Origin::Validator,
        "array-of-objects",
        "failed",
        "A field is a list of objects; only `variants` may be one.",
    ),
    code(Origin::Validator, "nested-array", "failed", "A field is a list of lists."),
    code(Origin::Validator, "nested-map", "failed", "A map has a map or a list in it."),
    code(Origin::Validator, "map-of-other-values", "failed", "A map has values that are not numbers."),
    code(Origin::Validator, "duplicate-field", "failed", "A field occurs twice."),
    code(Origin::Validator, "reserved-field-name", "failed", "The field name is reserved by the index."),
    code(Origin::Validator, "invalid-field-name", "failed", "The index cannot have a field of this name."),
    code(
        Origin::Validator,
        "vector-length",
        "failed",
        "A vector does not have the length that the configuration names.",
    ),
    code(Origin::Validator, "invalid-variants", "failed", "`variants` is not a list of objects."),
    code(Origin::Validator, "variant-without-id", "failed", "A variant has no id."),
    code(Origin::Validator, "duplicate-variant", "failed", "Two variants have the same id."),
    code(Origin::Validator, "too-deep", "failed", "A variant is nested too deeply."),
    code(Origin::Validator, "invalid-configuration", "stops", "The plug-in's configuration is wrong."),
    code(Origin::Validator, "invalid-url", "warning", "A URL field does not hold a URL."),
    code(Origin::Validator, "negative-price", "warning", "A price is below zero."),
    code(Origin::Validator, "price-not-a-number", "warning", "A price field does not hold a number."),
    code(Origin::Validator, "compare-at-price", "warning", "`compare_at_price` is not above `price`."),
    code(Origin::Validator, "price-range", "warning", "The lowest price is above the highest."),
];
