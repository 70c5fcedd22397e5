//! The table of Marqo's behaviour. A row has the rule's name, the versions of Marqo that it holds for (`Old`: 2.13,
//! `New`: later ones), the section of the reference of Marqo's API, the case, and the answer.

use super::{Answer, ItemId, Rule, Versions};

macro_rules! table {
    ($($name:ident $versions:ident $section:literal $case:literal => $answer:expr;)*) => {
        $(
            pub(crate) static $name: Rule = Rule {
                constant: stringify!($name),
                versions: Versions::$versions,
                section: $section,
                case: $case,
                answer: $answer,
            };
        )*
        /// All rules, in the order of the reference.
        pub static RULES: &[&Rule] = &[$(&$name),*];
    };
}

/// The whole request is refused as invalid.
const fn whole(status: u16, code: &'static str) -> Answer {
    Answer::Whole { status, code: Some(code), kind: Some("invalid_request") }
}

/// The whole request fails with an internal error that has a code.
const fn internal(code: &'static str) -> Answer {
    Answer::Whole { status: 500, code: Some(code), kind: Some("internal") }
}

/// The whole request fails with an internal error that Marqo maps to no code.
const UNMAPPED: Answer = Answer::Whole { status: 500, code: None, kind: None };

/// An item is refused with its id.
const fn item(status: u16, code: &'static str) -> Answer {
    Answer::Item { status, code: Some(code), id: ItemId::Given }
}

/// An item is refused before its id is used.
const fn item_without_id(status: u16, code: &'static str) -> Answer {
    Answer::Item { status, code: Some(code), id: ItemId::Empty }
}

/// An item of a PATCH or a get is refused.
const fn plain_item(status: u16) -> Answer {
    Answer::Item { status, code: None, id: ItemId::Given }
}

use Answer::{Framework, Gateway, Served, Shape};

table! {
    // Ground rules
    CONTENT_TYPE_ABSENT All "1" "No Content-Type at all is also read as JSON" => Served("read as JSON");
    CONTENT_TYPE_TEXT All "1" "text/plain gives 422" => Shape;
    QUERY_IGNORED All "1" "Unknown query parameters are ignored, refresh among them" => Served("ignored");
    DEVICE_BAD All "1" "device: bad text" => whole(400, "invalid_argument");
    DEVICE_ABSENT All "1" "device: not on the machine" => whole(400, "hardware_compatability_error");
    TELEMETRY All "1" "telemetry=true adds telemetry.timesMs to any JSON body" => Served("added");
    COUNT_HEADERS All "1" "x-count-success, x-count-failure, x-count-error on add, PATCH and get-many, not on delete-batch, get-one, search" => Served("headers added");
    INDEX_NOT_FOUND All "1" "Writing to a missing index; indexes are not made by themselves" => whole(404, "index_not_found");

    // Error bodies
    BODY_NOT_JSON All "2" "JSON does not parse" => Shape;
    BODY_WRONG_TYPE All "2" "Wrong types in the body" => Shape;
    BODY_UNKNOWN_KEY All "2" "Unknown body key" => Shape;
    PATH_UNKNOWN All "2" "Wrong path" => Framework(404);
    METHOD_WRONG All "2" "Wrong method" => Framework(405);
    THROTTLED Old "2" "8 running add requests (PATCH 100, search 8); the next gets 429 at once, nothing written" => whole(429, "too_many_requests");
    SCHEMA_LOCKED All "2" "Schema lock busy for more than 5 s, also from add_documents" => whole(409, "operation_conflict_error");
    SCHEMA_RACED All "2" "Schema version raced" => whole(409, "operation_conflict_error");
    SCHEMA_NOT_CONVERGED New "2" "add_documents fails while a schema rollout is unfinished; retryable" => UNMAPPED;
    INTERNAL All "2" "Any unmapped Vespa/HTTP problem: 500 with code null" => UNMAPPED;
    UNCAUGHT All "2" "Uncaught exception: plain-text Internal Server Error" => Gateway("request 500, plain text");
    GATEWAY_ERROR All "2" "502, 503, 504, 413 with HTML from a proxy or the Cloud gateway" => Gateway("request refused, HTML");
    GATEWAY_THROTTLED All "2" "A top-level 429 from a gateway" => whole(429, "too_many_requests");
    GATEWAY_HTML All "2" "A client must survive bodies that are not JSON on any status" => Gateway("request 200, HTML");
    ANSWER_CUT All "2" "A client must survive bodies that are not JSON on any status: the answer cut in the middle" => Gateway("request served, half the body");

    SERVICE_UNAVAILABLE New "2" "CUDA lost / out of memory" => Answer::Whole { status: 503, code: Some("service_unavailable"), kind: Some("service_unavailable") };
    INTERNAL_CODED All "2" "Bug-type errors, wrapped inference failures" => internal("internal");
    BACKEND_UNREACHABLE_OLD Old "2" "ZooKeeper unreachable" => internal("backend_communication_error");
    BACKEND_UNREACHABLE_NEW New "2" "ZooKeeper unreachable" => whole(400, "backend_communication_error");
    SEARCH_TIMEOUT All "2" "Search timeout only" => whole(504, "vector_store_timeout");
    MODEL_NOT_IN_CACHE All "2" "The model to be ejected is not in the cache" => whole(404, "model_not_in_cache");
    MODEL_FAILED All "2" "Model problem: the whole batch" => whole(400, "bad_request");

    // Limits
    ADD_EMPTY All "2" "Empty batch" => whole(400, "bad_request");
    ADD_TOO_MANY All "3" "More than 128 documents per add" => whole(400, "bad_request");
    DOCUMENT_TOO_LARGE All "3" "More than 100 000 characters of json.dumps: every non-ASCII character counts 6, above U+FFFF 12" => item_without_id(400, "doc_too_large");
    STRING_FIELDS_TOO_MANY All "3" "More than 100 string fields per unstructured index" => whole(400, "bad_request");
    TENSOR_FIELDS_TOO_MANY All "3" "More than 100 tensor fields per unstructured index" => whole(400, "bad_request");
    STRING_ARRAYS_TOO_MANY New "3" "More than 100 string-array fields per unstructured index" => whole(400, "bad_request");
    GET_TOO_MANY All "3" "More than 10 000 ids per get-many" => whole(400, "illegal_requested_doc_count");
    DELETE_TOO_MANY All "3" "More than 10 000 ids per delete" => whole(400, "invalid_argument");
    SEARCH_LIMIT All "3" "Search limit above 1 000" => whole(400, "illegal_requested_doc_count");
    SEARCH_WINDOW All "3" "Search limit + offset above 10 000" => whole(400, "illegal_requested_doc_count");

    // Add or replace: the body
    TENSOR_FIELDS_MISSING All "4" "tensorFields is required for unstructured indexes" => whole(400, "bad_request");
    TENSOR_FIELDS_FORBIDDEN All "4" "tensorFields is forbidden for structured indexes, even []" => whole(400, "invalid_argument");
    TENSOR_FIELD_ID All "4" "_id is not allowed in tensorFields" => whole(400, "bad_request");
    MODEL_AUTH_BAD All "4" "modelAuth: exactly one of s3 and hf; {} gives 400" => whole(400, "invalid_argument");
    MEDIA_HEADERS_TWICE New "4" "imageDownloadHeaders and mediaDownloadHeaders both set" => Shape;
    THREAD_COUNTS_TWICE All "4" "imageDownloadThreadCount and mediaDownloadThreadCount both set" => Shape;
    VECTORISATION_MODE_GONE New "4" "batchVectorisationMode: 2.13 only, gone in new" => Shape;
    MAPPINGS_BAD All "4" "Malformed mappings" => whole(400, "invalid_argument");

    // Add or replace: documents
    DOCUMENT_NOT_OBJECT_ITEM Old "4" "Non-object member: item 400 in 2.13" => item_without_id(400, "invalid_argument");
    DOCUMENT_NOT_OBJECT_BATCH New "4" "Non-object member: 422 for the batch in new" => Shape;
    DOCUMENT_EMPTY All "4" "Empty document" => item_without_id(400, "invalid_argument");
    ID_NOT_TEXT All "4" "_id null or a number" => item_without_id(400, "invalid_document_id");
    ID_EMPTY All "4" "_id empty" => item_without_id(400, "invalid_document_id");
    ID_MADE All "4" "_id missing: the server makes a UUID" => Served("a new id");
    ID_CUT All "4" "Text after # or ? of an _id is cut, so h#1 and h#2 are one document" => Served("cut");
    ID_DECODED All "4" "%20 in an _id is decoded" => Served("decoded");
    ID_AFTER_COLONS All "4" "items[]._id is cut to what follows the last ::" => Served("reported cut");
    DUPLICATE_SUPERSEDED All "4" "Duplicate _id in a batch: the last one wins, earlier ones vanish silently" => Served("items is shorter");
    REPLACED_WHOLE All "4" "Replace, not merge: fields missing from the new document disappear" => Served("replaced");
    FIELD_NAME_FORM All "4" "Field names: [a-zA-Z_][a-zA-Z0-9_]*" => item(400, "invalid_field_name");
    FIELD_NAME_PREFIX All "4" "Field names must not start with marqo__" => item(400, "invalid_field_name");
    FIELD_NAME_PROTECTED All "4" "Field names must not be one of _tensor_facets _highlights _score _found" => item(400, "invalid_field_name");
    FIELD_NAME_STRUCTURED All "4" "Structured also forbids __vector_…, __chunks…, __field_name, __field_content, _embedding" => item(400, "invalid_field_name");
    VALUE_KIND All "4" "null and other values of no valid kind" => item(400, "invalid_argument");
    ARRAY_KIND All "4" "Mixed arrays, arrays of bool; [1, 2.5] is mixed" => item(400, "invalid_argument");
    NUMBER_ARRAY_BATCH Old "4" "Arrays of numbers pass validation, then the whole batch is 500" => internal("backend_data_parsing_error");
    NUMBER_ARRAY_ITEM New "4" "Arrays of numbers: item 400" => item(400, "invalid_argument");
    MAP_VALUE All "4" "Nested map or map of strings" => item(400, "invalid_argument");
    CONTROL_CHARACTER All "4" "Control characters, U+FFFE, U+FFFF in any string: Vespa refuses" => item(400, "vespa_error");
    STRUCTURED_FIELD_UNKNOWN All "4" "Structured: unknown field" => item(400, "invalid_argument");
    STRUCTURED_KIND All "4" "Structured: values must match the declared type exactly" => item(400, "invalid_argument");
    STRUCTURED_RANGE All "4" "Structured: int range ±2147483647, float range ±3.4028235e38" => item(400, "invalid_argument");
    STRUCTURED_MULTIMODAL_GIVEN All "4" "Structured: a multimodal field must not be given" => item(400, "invalid_argument");
    TENSOR_VALUE All "4" "Tensor field values must be strings or mapped custom vectors" => item(400, "invalid_argument");
    MULTIMODAL_GIVEN All "4" "A multimodal field must not be in documents" => item_without_id(400, "invalid_argument");
    MULTIMODAL_SUB_FIELD All "4" "Sub-fields of a multimodal field must be strings" => item_without_id(400, "invalid_argument");
    VECTOR_DIMENSION All "4" "custom_vector: other keys or wrong dimension: 400 for the whole batch, the document is not named" => whole(400, "invalid_argument");
    VECTOR_ZERO All "4" "Zero vector when normalizeEmbeddings is true" => item(400, "invalid_argument");
    VECTOR_UNLISTED All "4" "A custom vector in mappings but not in tensorFields: accepted, content stored, no vector" => Served("no vector");
    TEXT_FIELD_CHANGED New "4" "text_field: changing language or stemming of an existing field" => item(400, "invalid_argument");
    COLLAPSE_FIELD New "9" "collapseFields: every document must carry it as a non-empty string" => item_without_id(400, "invalid_argument");
    TENSORS_REUSED All "4" "useExistingTensors reuses vectors of tensor fields whose content is unchanged" => Served("not embedded again");

    // Add or replace: what a client reads afterwards
    MAP_FLATTENED All "4" "Map {\"dims\":{\"w\":10}} comes back as \"dims.w\": 10" => Served("flattened");
    MAP_BOOL All "4" "Bool inside a map comes back as 0/1" => Served("an int");
    EMPTY_MAP_ABSENT All "4" "{} comes back absent" => Served("absent");
    EMPTY_ARRAY_ABSENT Old "4" "[] comes back absent in 2.13" => Served("absent");
    EMPTY_ARRAY_KEPT New "4" "[] may survive in new" => Served("kept");
    VECTOR_CONTENT All "4" "Custom vector comes back as its content, \"\" if none" => Served("the content");
    VECTOR_NORMALISED All "4" "Vectors are unit-normalised when normalizeEmbeddings is true, and 32-bit" => Served("normalised");
    MULTIMODAL_ABSENT All "4" "Multimodal field comes back only under expose_facets, as multimodal_params and facet" => Served("absent");
    STRUCTURED_FLOAT All "4" "Structured float: rounded to 32 bits, ints come back as floats" => Served("rounded");
    STRUCTURED_KEPT All "4" "Structured arrays and maps are kept as sent, [] too" => Served("kept");

    // Add or replace: items that Vespa or a download fails
    ITEM_THROTTLED All "4" "Vespa 429" => item(429, "vespa_error");
    ITEM_OUT_OF_SPACE All "4" "Vespa 507: out of memory or disk space" => item(400, "vespa_error");
    ITEM_ERROR All "4" "Any other Vespa answer, or network error. The write may have landed" => item(500, "vespa_error");
    ITEM_OTHER All "4" "A status that the reference has no case for, such as 409, on request" => item(409, "vespa_error");
    ITEM_MEDIA All "4" "Media 404, timeout, DNS failure, not an image" => item(400, "invalid_argument");

    // Partial update
    PATCH_UNSUPPORTED Old "5" "PATCH on an unstructured index" => whole(400, "bad_request");
    PATCH_EMPTY All "5" "PATCH with no document" => whole(400, "bad_request");
    PATCH_TOO_MANY All "5" "More than 128 documents per PATCH" => whole(400, "bad_request");
    PATCH_MISSING All "5" "Structured: missing document" => plain_item(404);
    PATCH_REFUSED New "5" "Unstructured: missing document, type clash and lost version race have the same text" => plain_item(400);
    PATCH_WITHOUT_ID All "5" "No _id" => Answer::Item { status: 400, code: None, id: ItemId::Empty };
    PATCH_ID_BAD All "5" "Non-string or empty _id; a numeric id comes back as text" => plain_item(400);
    PATCH_FIELD_UNKNOWN All "5" "Structured: unknown field" => plain_item(400);
    PATCH_TENSOR_FIELD All "5" "Tensor field" => plain_item(400);
    PATCH_SUB_FIELD All "5" "Sub-field of a multimodal field" => plain_item(400);
    PATCH_VALUE All "5" "Wrong type, null" => plain_item(400);
    PATCH_STRING_UNKNOWN New "5" "String and string-array fields must already exist in the index schema" => plain_item(400);
    PATCH_MAP_REPLACED New "5" "A map replaces the whole old map" => Served("replaced");
    PATCH_DUPLICATE All "5" "Duplicates in a batch: last wins, silently" => Served("items is shorter");

    // Reading
    GET_ONE_MISSING All "6" "Missing document" => whole(404, "document_not_found");
    GET_SLASH All "4" "GET …/documents/{id} cannot address an id with /, even as %2F" => Framework(404);
    GET_EMPTY All "6" "No id in the list" => whole(400, "invalid_argument");
    GET_WITHOUT_BODY All "6" "No body" => Shape;
    GET_BATCH_ABSENT Old "6" "get-batch in 2.13" => Framework(405);
    GET_BATCH_EMPTY New "6" "get-batch without an id" => Shape;
    GET_MISSING All "6" "A missing document among others" => plain_item(404);
    GET_ID_BAD All "6" "Bad id: no _found" => plain_item(400);
    GET_VESPA_ERROR All "6" "If Vespa fails for one id the whole call is 500" => UNMAPPED;
    FACETS All "6" "expose_facets adds _tensor_facets, [] if none" => Served("added");
    FACETS_MISSING All "6" "A document written without the facets of a tensor field, on request" => Served("without those facets");

    // Deleting
    DELETE_EMPTY All "7" "Empty array" => whole(400, "invalid_document_id");
    DELETE_ID_EMPTY All "7" "Empty id: nothing deleted" => whole(400, "invalid_document_id");
    DELETE_NUMBER All "7" "Numbers are coerced to text" => Served("as text");
    DELETE_MISSING All "7" "Missing documents are reported deleted and counted" => Served("deleted");
    DELETE_ERROR All "7" "Vespa's own status is passed through raw" => plain_item(503);

    // Search
    SEARCH_ALL All "8" "q * lexical matches all" => Served("a page of documents");
    SEARCH_ATTRIBUTES All "8" "attributesToRetrieve" => Served("only these, and _id");

    // Index calls
    INDEX_EXISTS All "9" "Create of an existing index" => whole(409, "index_already_exists");
    INDEX_NAME All "9" "Name [a-zA-Z_-][a-zA-Z0-9_-]*, not marqo__…" => whole(400, "invalid_argument");
    INDEX_KEY All "9" "Settings: any key with _" => Shape;
    INDEX_SETTING All "9" "Bad setting" => whole(400, "invalid_argument");

    // In front of Marqo Cloud
    KEY_WRONG All "10" "Header x-api-key: missing or wrong" => Gateway("request 401 {\"message\": \"Unauthorized\"}");
    CLOUD_INDEXES All "10" "GET {base}/api/v2/indexes: indexName, indexStatus, marqoEndpoint" => Served("listed");
}
