//! Rules for the identity of a document and for the names of its fields.

use host_index_rules::{
    InvalidDocumentId, InvalidFieldName, MAX_DOCUMENT_ID_LEN, check_document_id, check_field_name,
};

use crate::issue::{Report, Step, quoted};

/// Reports an id that an index cannot take.
pub(crate) fn report_invalid_id(id: &str, report: &mut Report) {
    let Err(invalid) = check_document_id(id) else { return };
    report.error("invalid-id", &[], || match invalid {
        InvalidDocumentId::Empty => {
            format!("The document has an empty id; give it 1 to {MAX_DOCUMENT_ID_LEN} characters of A-Z a-z 0-9 . _ ~ -.")
        }
        InvalidDocumentId::Character { character, .. } => {
            let (id, wrong) = (quoted(id), quoted(character.encode_utf8(&mut [0; 4])));
            format!("The id {id} contains {wrong}, which an index mangles; use only A-Z a-z 0-9 . _ ~ -.")
        }
        InvalidDocumentId::TooLong(len) => {
            format!("The id {} has {len} characters; use at most {MAX_DOCUMENT_ID_LEN}.", quoted(id))
        }
        InvalidDocumentId::DotSegment(id) => {
            format!("The id {} means a folder in a URL, so no index can address it; choose another one.", quoted(id))
        }
    });
}

/// Reports the name of a field that an index refuses; `variants` is a name like any other here.
pub(crate) fn report_invalid_field_name(name: &str, report: &mut Report) {
    let Err(invalid) = check_field_name(name) else { return };
    let (code, advice) = match invalid {
        InvalidFieldName::Reserved => {
            ("reserved-field-name", "belongs to the index itself; choose another one")
        }
        InvalidFieldName::Syntax => {
            ("invalid-field-name", "is refused; use ASCII letters, digits and _, not starting with a digit")
        }
    };
    report.error(code, &[Step::Key(name)], || format!("The field name {} {advice}.", quoted(name)));
}
