//! Exports of real shops.

use serde_json::{Value, json};
use shopify_plugin::transform;

use crate::support::*;

#[test]
#[ignore = "needs exports of real shops"]
fn real_exports_give_documents_that_an_index_takes() {
    let folder = samples();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        let products = grouped(&std::fs::read_to_string(&path).unwrap());
        for level in ["product", "variant"] {
            let transformed =
                transform(&products, &config(json!({"level": level, "other-metafields": "list"})));
            for document in &transformed.documents {
                let fields: Value = serde_json::from_str(&document.fields).unwrap();
                assert_eq!(check_for_index(&fields), Ok(()), "{} {}", path.display(), document.id);
            }
            println!(
                "{} by {level}: {} products, {} documents, {:?}",
                path.display(),
                products.len(),
                transformed.documents.len(),
                transformed.issues
            );
        }
    }
}

#[test]
#[ignore = "needs exports of real shops"]
fn a_real_shop_gives_one_document_a_product() {
    let folder = samples();
    let products = grouped(&std::fs::read_to_string(folder.join("kaizoku.jsonl")).unwrap());
    let transformed = transform(&products, &config(json!({})));
    assert_eq!((products.len(), transformed.documents.len() + transformed.removals.len()), (32, 32));
    assert_eq!(transformed.issues, []);
}
