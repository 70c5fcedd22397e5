//! One test for each way in which the guest `tests/guests/evil` can misbehave; the argument of `Rig::new` names it.
//! Each test shows the message, and that another plug-in on the same thread still works.

use crate::rig::{Rig, document, evil, good_product, limits, pool, product, render};
use host_core::plugin::{Transform, Validate, Verdict, Version};
use host_plugin_host::{Limits, Runner};
use insta::assert_snapshot;
use serde_json::Map;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_good_plug_in() {
    assert_snapshot!(Rig::new("good").transform(1000).await, @"1000 of 1000 went well");
}

#[tokio::test]
async fn an_endless_loop() {
    let rig = Rig::with_limits("loop", limits().with_call_time(Duration::from_millis(100)));
    let started = Instant::now();
    assert_snapshot!(rig.transform(2).await, @r"
    0 of 2 went well
    0: plugin-timeout: with this product alone, plug-in evil@0.1.0 took longer than the 100 ms that a call may take
    1: plugin-timeout: with this product alone, plug-in evil@0.1.0 took longer than the 100 ms that a call may take
    ");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_endless_loop_for_every_product_of_a_large_batch() {
    let limits =
        limits().with_call_time(Duration::from_millis(50)).with_isolation_time(Duration::from_millis(300));
    assert_snapshot!(Rig::with_limits("loop", limits).transform(1000).await, @"plug-in evil@0.1.0 failed on a whole batch: it repeatedly took longer than the 50 ms that a call may take; the search for the failing items was given up after 300 ms (plugin.limits.isolation_ms) (plugin-timeout)");
}

#[tokio::test]
async fn all_the_memory_it_can_get() {
    assert_snapshot!(Rig::new("memory").transform(2).await, @r"
    0 of 2 went well
    0: plugin-memory: with this product alone, plug-in evil@0.1.0 needed more than the 64 MiB that it may have
    1: plugin-memory: with this product alone, plug-in evil@0.1.0 needed more than the 64 MiB that it may have
    ");
}

#[tokio::test]
async fn a_gigabyte_of_output() {
    let limits = limits().with_memory_bytes(256 << 20).with_call_time(Duration::from_secs(60));
    assert_snapshot!(Rig::with_limits("big-output", limits).transform(1).await, @r"
    0 of 1 went well
    0: plugin-output: with this product alone, plug-in evil@0.1.0 returned more than the 8 MiB that a call may return
    ");
}

#[tokio::test]
async fn recursion_without_end() {
    assert_snapshot!(Rig::new("recursion").transform(2).await, @r"
    0 of 2 went well
    0: plugin-trap: with this product alone, plug-in evil@0.1.0 trapped (call stack exhausted)
    1: plugin-trap: with this product alone, plug-in evil@0.1.0 trapped (call stack exhausted)
    ");
}

#[tokio::test]
async fn a_trap_on_one_product_of_a_thousand() {
    let rig = Rig::new("trap-one");
    let mut products: Vec<_> = (0..1000).map(good_product).collect();
    products[617] = product(r#"{"id":"bomb","title":"tick"}"#);
    assert_snapshot!(rig.transform_these(products.clone()).await, @r"
    999 of 1000 went well
    617: plugin-trap: with this product alone, plug-in evil@0.1.0 trapped (wasm `unreachable` instruction executed)
    ");

    products[617].id = Some("gid://shop/Product/617".to_owned());
    let (_, outcome) = rig.evil.transform(products).await.unwrap().swap_remove(617);
    let message = &outcome.refused.as_ref().unwrap().message;
    assert!(message.starts_with("with product gid://shop/Product/617 alone, plug-in"), "{message}");
    let refusal = outcome.refused.unwrap();
    let backtrace = refusal.details["backtrace"].as_array().unwrap();
    assert!(backtrace.iter().any(|frame| frame.as_str().unwrap().contains("trap_at_bomb")), "{backtrace:?}");
    assert_snapshot!(refusal.details["trap"], @r#""wasm `unreachable` instruction executed""#);
    // The plug-in itself continues as well.
    assert_snapshot!(rig.transform(1000).await, @"1000 of 1000 went well");
}

#[tokio::test]
async fn several_traps_in_a_batch() {
    let rig = Rig::new("trap-one");
    let product_or_bomb = |index: usize| {
        if index.is_multiple_of(3) { product(r#"{"id":"bomb"}"#) } else { good_product(index) }
    };
    let outcomes = rig.evil.transform((0..100).map(product_or_bomb).collect()).await.unwrap();
    for (index, (product, outcome)) in outcomes.iter().enumerate() {
        assert_eq!(product.text, product_or_bomb(index).text);
        assert_eq!(outcome.refused.is_some(), index % 3 == 0);
    }
}

#[tokio::test]
async fn a_panic_with_a_message() {
    let result = Rig::new("panic").transform(1).await;
    // The line number of the panic may change.
    let result = result.replace(|character: char| character.is_ascii_digit(), "#");
    assert_snapshot!(result, @r#"
    # of # went well
    #: plugin-trap: with this product alone, plug-in evil@#.#.# trapped (wasm `unreachable` instruction executed)
       log "panicked at tests/guests/evil/src/attacks.rs:###:#: the plug-in fell over"
    "#);
}

#[tokio::test]
async fn a_flood_of_log_lines() {
    let rig = Rig::with_limits("log-flood", limits().with_call_time(Duration::from_secs(30)));
    assert_snapshot!(rig.transform(1).await, @"1 of 1 went well");
}

#[tokio::test]
async fn wrong_counts() {
    assert_snapshot!(Rig::new("wrong-counts").transform(2).await, @r"
    0 of 2 went well
    0: plugin-contract: with this product alone, plug-in evil@0.1.0 broke the contract: it counted 2 documents but returned 1
    1: plugin-contract: with this product alone, plug-in evil@0.1.0 broke the contract: it counted 2 documents but returned 1
    ");
}

#[tokio::test]
async fn missing_counts() {
    assert_snapshot!(Rig::new("missing-counts").transform(2).await, @r"
    0 of 2 went well
    0: plugin-contract: with this product alone, plug-in evil@0.1.0 broke the contract: the number of counts (0) is not the number of products (1)
    1: plugin-contract: with this product alone, plug-in evil@0.1.0 broke the contract: the number of counts (0) is not the number of products (1)
    ");
}

#[tokio::test]
async fn illegal_ids() {
    assert_snapshot!(Rig::new("illegal-ids").transform(4).await, @r#"
    0 of 4 went well
    0: invalid-document-id: plug-in evil@0.1.0 made a document without a valid id: the document id "a/b" has the character '/'; only A-Z a-z 0-9 . _ ~ - are allowed
    1: invalid-document-id: plug-in evil@0.1.0 made a document without a valid id: the document id "h#1" has the character '#'; only A-Z a-z 0-9 . _ ~ - are allowed
    2: invalid-document-id: plug-in evil@0.1.0 made a document without a valid id: the document id is empty; give each document an id of 1 to 255 characters
    3: invalid-document-id: plug-in evil@0.1.0 made a document without a valid id: the document id has 300 characters; 255 are allowed
    "#);
}

#[tokio::test]
async fn nul_bytes() {
    assert_snapshot!(Rig::new("nul-bytes").transform(1).await, @r#"
    0 of 1 went well
    0: invalid-document-id: plug-in evil@0.1.0 made a document without a valid id: the document id "p0\0" has the character '\0'; only A-Z a-z 0-9 . _ ~ - are allowed
    "#);
}

#[tokio::test]
async fn fields_that_are_not_json() {
    assert_snapshot!(Rig::new("invalid-json").transform(1).await, @r"
    0 of 1 went well
    0: invalid-document: plug-in evil@0.1.0 made the document p0 with JSON that cannot be used: a value is missing at byte 10
    ");
}

#[tokio::test]
async fn fields_that_are_an_array() {
    assert_snapshot!(Rig::new("fields-not-object").transform(1).await, @r"
    0 of 1 went well
    0: invalid-document: plug-in evil@0.1.0 made the document p0 with JSON that cannot be used: it is not a JSON object
    ");
}

#[tokio::test]
async fn fields_with_an_id() {
    assert_snapshot!(Rig::new("id-in-fields").transform(1).await, @r"
    0 of 1 went well
    0: invalid-document: plug-in evil@0.1.0 made the document p0 with JSON that cannot be used: it has the key `_id`, which is the host's
    ");
}

#[tokio::test]
async fn fields_nested_without_end() {
    assert_snapshot!(Rig::new("deep-json").transform(1).await, @r"
    0 of 1 went well
    0: invalid-document: plug-in evil@0.1.0 made the document p0 with JSON that cannot be used: it is nested deeper than 64 levels at byte 72
    ");
}

#[tokio::test]
async fn fields_with_line_breaks_are_put_on_one_line() {
    let rig = Rig::new("newline-in-fields");
    let (_, outcome) = rig.evil.transform(vec![good_product(0)]).await.unwrap().swap_remove(0);
    let fields = &outcome.documents[0].fields;
    assert!(!fields.contains(['\n', '\r']), "{fields}");
    assert!(serde_json::from_str::<Map<String, serde_json::Value>>(fields).is_ok());
}

#[tokio::test]
async fn an_issue_for_an_item_that_does_not_exist() {
    assert_snapshot!(Rig::new("issue-out-of-range").transform(2).await, @r"
    0 of 2 went well
    0: plugin-contract: with this product alone, plug-in evil@0.1.0 broke the contract: an issue names item 1, but the items end at 0
    1: plugin-contract: with this product alone, plug-in evil@0.1.0 broke the contract: an issue names item 1, but the items end at 0
    ");
}

#[tokio::test]
async fn a_removal_for_an_item_that_does_not_exist() {
    assert_snapshot!(Rig::new("removal-out-of-range").transform(2).await, @r"
    0 of 2 went well
    0: plugin-contract: with this product alone, plug-in evil@0.1.0 broke the contract: a removal names item 1, but the items end at 0
    1: plugin-contract: with this product alone, plug-in evil@0.1.0 broke the contract: a removal names item 1, but the items end at 0
    ");
}

#[tokio::test]
async fn a_million_issues() {
    let enough = Limits { call_ms: 30_000, ..limits() };
    let enough = enough.with_output_bytes(512 << 20).with_memory_bytes(256 << 20);
    let rig = Rig::with_limits("issue-flood", enough);
    let (_, outcome) = rig.evil.transform(vec![good_product(0)]).await.unwrap().swap_remove(0);
    assert_eq!(outcome.refused.unwrap().message, "Issue 0.");
    assert_eq!(outcome.issues.len(), Limits::default().issues_per_item);
    assert_snapshot!(Rig::new("issue-flood").transform(1).await, @r"
    0 of 1 went well
    0: plugin-memory: with this product alone, plug-in evil@0.1.0 needed more than the 64 MiB that it may have
    ");
}

#[tokio::test]
async fn a_failure_of_the_whole_batch() {
    assert_snapshot!(Rig::new("failure").transform(2).await, @"plug-in evil@0.1.0 failed on a whole batch: The plug-in does not feel like it. (evil)");
}

#[tokio::test]
async fn a_failure_with_control_characters_for_terminals() {
    let result = Rig::new("failure-long").transform(2).await;
    assert!(!result.contains(char::is_control) && result.len() < 2000, "{result:?}");
    assert_snapshot!(result.chars().take(120).collect::<String>(), @"plug-in evil@0.1.0 failed on a whole batch:  ]0;title      2J ]0;title      2J ]0;title      2J ]0;title      2J ]0;titl");
}

#[tokio::test]
async fn the_same_document_id_for_two_products() {
    // Accepted here: the code that cuts documents into chunks handles it.
    assert_snapshot!(Rig::new("duplicate-ids").transform(2).await, @"2 of 2 went well");
}

#[tokio::test]
async fn a_hundred_thousand_documents_for_a_product() {
    let limits = limits().with_output_bytes(64 << 20);
    assert_snapshot!(Rig::with_limits("many-documents", limits).transform(2).await, @r"
    0 of 2 went well
    0: too-many-documents: plug-in evil@0.1.0 made more documents and removals of this product than the 5000 allowed ones
    1: too-many-documents: plug-in evil@0.1.0 made more documents and removals of this product than the 5000 allowed ones
    ");
}

#[tokio::test]
async fn a_plug_in_that_remembers_past_calls() {
    assert_snapshot!(Rig::new("impure").transform(2).await, @"2 of 2 went well");
}

/// How many documents were accepted, and the refusals of the others.
fn refused(verdicts: &[Verdict]) -> String {
    let good = verdicts.iter().filter(|verdict| verdict.refused.is_none()).count();
    let refusals = verdicts.iter().filter_map(|verdict| verdict.refused.as_ref());
    let lines: Vec<_> = refusals.map(|refusal| format!("{}: {}", refusal.code, refusal.message)).collect();
    format!("{good} of {} went well\n{}", verdicts.len(), lines.join("\n"))
}

#[tokio::test]
async fn a_trap_while_validating() {
    let rig = Rig::new("validate-trap-one");
    let mut documents: Vec<_> = (0..100).map(|number| document(&format!("d{number}"), "{}")).collect();
    documents[42].fields = r#"{"title":"bomb"}"#.to_owned();
    assert_snapshot!(refused(&rig.evil.validate(documents).await.unwrap()), @r"
    99 of 100 went well
    plugin-trap: with this document alone, plug-in evil@0.1.0 trapped (wasm `unreachable` instruction executed)
    ");
    rig.still_works().await;
}

#[tokio::test]
async fn a_verdict_on_a_document_that_does_not_exist() {
    let rig = Rig::new("validate-out-of-range");
    assert_snapshot!(refused(&rig.evil.validate(vec![document("d", "{}")]).await.unwrap()), @r"
    0 of 1 went well
    plugin-contract: with this document alone, plug-in evil@0.1.0 broke the contract: an issue names item 1, but the items end at 0
    ");
    rig.still_works().await;
}

/// The orderings of two pairs of versions, or their refusals, one a line.
async fn compared(misbehaviour: &str) -> String {
    let rig = Rig::new(misbehaviour);
    let answers = rig.evil.compare(vec![(Map::new(), Map::new()); 2]).await.unwrap();
    rig.still_works().await;
    let line = |answer: &Result<_, host_core::plugin::Refusal>| match answer {
        Ok(ordering) => format!("{ordering:?}"),
        Err(refusal) => format!("{}: {}", refusal.code, refusal.message),
    };
    answers.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn too_few_orderings() {
    assert_snapshot!(compared("compare-short").await, @r"
    plugin-contract: with this pair of versions alone, plug-in evil@0.1.0 broke the contract: the number of orderings (0) is not the number of pairs (1)
    plugin-contract: with this pair of versions alone, plug-in evil@0.1.0 broke the contract: the number of orderings (0) is not the number of pairs (1)
    ");
}

#[tokio::test]
async fn a_trap_while_comparing() {
    assert_snapshot!(compared("compare-trap").await, @r"
    plugin-trap: with this pair of versions alone, plug-in evil@0.1.0 trapped (wasm `unreachable` instruction executed)
    plugin-trap: with this pair of versions alone, plug-in evil@0.1.0 trapped (wasm `unreachable` instruction executed)
    ");
}

#[tokio::test]
async fn many_plug_ins_misbehave_at_once() {
    let pool = pool(2);
    let misbehaviours = ["trap-one", "wrong-counts", "recursion", "good", "illegal-ids"];
    let runs = misbehaviours.map(|misbehaviour| {
        let runner = Runner::new(evil(limits(), misbehaviour), pool.clone());
        async move { render(runner.transform(vec![product(r#"{"id":"bomb"}"#); 2]).await) }
    });
    let results = futures::future::join_all(runs).await;
    let first_lines: Vec<_> = results.iter().map(|result| result.lines().next().unwrap()).collect();
    assert_eq!(
        first_lines,
        ["0 of 2 went well", "0 of 2 went well", "0 of 2 went well", "2 of 2 went well", "0 of 2 went well"]
    );
}
