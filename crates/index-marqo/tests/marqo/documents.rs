//! What of a document is sent, and which documents are refused, here or by the server.

use crate::support::{Harness, documents, refused, write};
use host_core::index::{Index, Outcome, Write};
use marqo_stand_in::{Operation, Options, Version};
use serde_json::{Value, json};

/// Document `d<number>` with a custom vector (one that the document itself has) of this length.
fn with_vector(number: usize, length: usize) -> Write {
    write(
        &format!("d{number}"),
        json!({"title": "Mug", "look": {"vector": vec![0.5; length], "content": "red"}}),
    )
}

/// Settings of an index whose field `look` is a custom vector.
async fn vectors(harness: &Harness, index: &str) {
    harness
        .set(index, |settings| {
            settings.tensor_fields = vec!["title".to_owned(), "look".to_owned()];
            settings.mappings.insert("look".to_owned(), json!({"type": "custom_vector"}));
        })
        .await;
}

#[tokio::test]
async fn a_vector_of_the_wrong_length_fails_exactly_one_document_of_128() {
    let settings = |model: Value| json!({"model": "random/small", "modelProperties": model});
    for (is_known, settings) in [
        (false, json!({"model": "random/small"})),
        (true, settings(json!({"name": "random/small", "type": "random", "dimensions": 32}))),
    ] {
        let mut harness = Harness::new().await;
        harness.create("vectors", settings).await;
        vectors(&harness, "vectors").await;
        harness.target.index_name = "vectors".to_owned();
        let mut writes: Vec<Write> = (0..128).map(|n| with_vector(n, 32)).collect();
        writes[77] = with_vector(77, 31);
        let outcomes = harness.write(&writes).await;
        let refused = refused(&outcomes);
        let expected = if is_known { "invalid-vector" } else { "invalid-argument" };
        assert!(matches!(refused.as_slice(), [(77, code, _)] if *code == expected), "{refused:?}");
        assert_eq!(harness.server.documents("vectors").len(), 127);
        // Halving 128 down to one takes seven steps of two requests, after the first one. Where the length of vectors
        // is known, the document is not sent at all.
        assert_eq!(harness.requests(Operation::Add).len(), if is_known { 1 } else { 15 });
    }
}

#[tokio::test]
async fn an_array_of_numbers_fails_alone_also_where_the_server_refuses_the_whole_batch() {
    for version in [Version::V2_13, Version::V2_25] {
        let harness = Harness::with(Options { version, ..Options::default() }, |_| ()).await;
        let mut writes = documents(50);
        writes[9] = write("d9", json!({"sizes": [1, 2]}));
        let outcomes = harness.write(&writes).await;
        assert!(matches!(refused(&outcomes).as_slice(), [(9, _, _)]), "{version}: {outcomes:?}");
        assert_eq!(harness.server.documents("shop").len(), 49);
    }
}

#[tokio::test]
async fn a_document_that_is_too_large_is_refused_here_with_its_size() {
    let harness = Harness::new().await;
    let large = write("large", json!({"title": "😀".repeat(9_000)}));
    let fits = write("fits", json!({"title": "😀".repeat(8_300)}));
    let outcomes = harness.write(&[large, fits]).await;
    let refused = refused(&outcomes);
    let [(0, "document-too-large", message)] = refused.as_slice() else { panic!("{refused:?}") };
    // 9,000 emoji of 12 characters each, and the other fields.
    assert!(message.contains("the document has 108"), "{message}");
    let adds = harness.requests(Operation::Add);
    assert!(matches!(adds.as_slice(), [add] if add.ids == ["fits"]), "{adds:?}");
}

#[tokio::test]
async fn the_server_accepts_the_largest_document_that_is_sent() {
    let harness = Harness::new().await;
    let of_length =
        |length: usize| write("x", json!({"title": "é".repeat(10_000), "rest": "x".repeat(length)}));
    // Searches for the largest document that is sent.
    let (mut low, mut high) = (0, 100_000);
    while high - low > 1 {
        let middle = (low + high) / 2;
        match harness.write(&[of_length(middle)]).await.as_slice() {
            [Outcome::Done] => low = middle,
            [Outcome::Refused { code, .. }] if code == "document-too-large" => high = middle,
            other => panic!("{other:?}"),
        }
    }
    let rules_met = harness.server.rules_met();
    assert!(!rules_met.contains_key("document-too-large"), "one was sent that the server found too large");
    // One character more is not sent.
    let adds = harness.requests(Operation::Add).len();
    harness.write(&[of_length(high)]).await;
    assert_eq!(harness.requests(Operation::Add).len(), adds);
    let sent = harness.server.documents("shop")["x"].sent.to_string();
    let characters = sent.chars().map(|c| if c == 'é' { 6 } else { 1 }).sum::<usize>();
    let members = harness.server.documents("shop")["x"].sent.as_object().unwrap().len();
    // Python's `json.dumps` writes é as 6 characters and a blank after each colon and comma; 100,000 is Marqo's limit.
    assert_eq!(characters + members + members - 1, 100_000);
}

#[tokio::test]
async fn an_item_without_an_id_is_assigned_by_its_position() {
    let harness = Harness::with(Options::default(), |settings| {
        let weights = json!({"type": "multimodal_combination", "weights": {"title": 0.5, "brand": 0.5}});
        settings.mappings.insert("both".to_owned(), weights);
        settings.tensor_fields.push("both".to_owned());
    })
    .await;
    let mut writes = documents(9);
    for at in [2, 5] {
        writes[at] = write(&format!("d{at}"), json!({"both": "must not be given"}));
    }
    let outcomes = harness.write(&writes).await;
    let positions: Vec<usize> = refused(&outcomes).iter().map(|(at, ..)| *at).collect();
    assert_eq!(positions, [2, 5], "{outcomes:?}");
    assert_eq!(harness.server.documents("shop").len(), 7);
}

#[tokio::test]
async fn the_servers_limit_of_documents_is_learnt_once() {
    let harness = Harness::with(Options::default(), |settings| settings.batch_documents = 500).await;
    for round in 0..2 {
        assert!(refused(&harness.write(&documents(300)).await).is_empty());
        let too_large = harness.requests(Operation::Add).iter().filter(|add| add.status == Some(400)).count();
        assert!(too_large > 0 && harness.server.documents("shop").len() == 300);
        let refusals = harness.server.rules_met()["add-too-many"];
        if round == 1 {
            assert_eq!(refusals, too_large as u64, "it was learnt in the first round");
        }
        let since = harness.requests(Operation::Add).len();
        if round == 0 {
            harness.write(&documents(300)).await;
            let sizes: Vec<_> =
                harness.requests(Operation::Add)[since..].iter().map(|add| add.ids.len()).collect();
            assert_eq!(sizes.iter().max(), Some(&128), "{sizes:?}");
        }
    }
}

#[tokio::test]
async fn nulls_control_characters_and_variants_are_not_sent() {
    let harness = Harness::new().await;
    let fields = json!({
        "title": "a\u{0}b\u{8}c", "none": null, "price": 20.0, "tags": ["x", null], "variants": [{"id": "1"}],
    });
    assert_eq!(harness.write(&[write("1", fields)]).await, [Outcome::Done]);
    let document = &harness.server.documents("shop")["1"];
    assert_eq!(document.sent["title"], "abc");
    assert_eq!(document.sent["tags"], json!(["x"]));
    assert!(document.sent["price"].is_f64());
    let sent = document.sent.as_object().unwrap();
    assert!(!sent.contains_key("none") && !sent.contains_key("variants"));
}

#[tokio::test]
async fn a_structured_index_is_sent_no_tensor_fields() {
    let mut harness = Harness::new().await;
    let text = |name: &str| json!({"name": name, "type": "text"});
    let texts: Vec<Value> =
        ["title", "_mq_content_hash", "_mq_job_id", "_mq_version_fields"].map(text).to_vec();
    let stock = json!({"name": "stock", "type": "int"});
    let all: Vec<Value> = texts.into_iter().chain([stock]).collect();
    harness
        .create("schema", json!({"type": "structured", "allFields": all, "tensorFields": ["title"]}))
        .await;
    harness.set("schema", |settings| settings.readback = true).await;
    harness.target.index_name = "schema".to_owned();
    assert_eq!(harness.write(&documents(5)).await, vec![Outcome::Done; 5]);
    let none = harness.index.update(&harness.target, &[write("none", json!({"stock": 1}))]).await.unwrap();
    assert!(matches!(refused(&none).as_slice(), [(0, "document-not-found", _)]), "{none:?}");
}

#[tokio::test]
async fn new_fields_come_from_one_writer_at_a_time() {
    let harness = Harness::with(
        Options { latency: std::time::Duration::from_millis(30), ..Options::default() },
        |settings| {
            settings.batch_documents = 10;
        },
    )
    .await;
    harness.write(&documents(100)).await;
    let adds = harness.requests(Operation::Add);
    let first_ended = adds[0].arrived_ms + adds[0].took_ms.unwrap();
    assert!(adds[1].arrived_ms >= first_ended - 1.0, "the second came before the first had ended");
    // Each request takes 30 ms, so those that arrive within 25 ms of each other run side by side.
    let overlap =
        adds.windows(2).skip(2).filter(|pair| pair[1].arrived_ms < pair[0].arrived_ms + 25.0).count();
    assert!(overlap > 0, "later requests must run side by side");
}
