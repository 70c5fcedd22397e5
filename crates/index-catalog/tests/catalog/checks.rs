//! Checks of what the relational catalog does beyond the index port, which run on SQLite and PostgreSQL.

use crate::backend::Backend;
pub(crate) use crate::search::{
    a_code_finds_its_product_first, a_product_with_more_words_than_the_database_takes_is_written,
    a_search_finds_what_is_there_now, after_a_change_of_the_fields_the_words_are_made_anew,
    exact_words_come_before_beginnings_and_titles_above_the_rest,
    handles_descriptions_and_vendors_are_searched, hostile_searches_find_nothing_and_break_nothing,
};
use host_core::{
    index::{Index, LoadLog, Outcome, Precondition, Removal, StoredVersion, Write, WriteTarget},
    model::{Counts, DocumentId, JobStatus},
    secret::Secret,
    storage::JobSnapshot,
};
use host_index_catalog::{Catalog, CatalogSummary, EmbedError, EmbedReport, Embedder, EmbeddingsConfig};
use host_testing::{
    build::{id, job, removals, write},
    conformance::index::as_stored,
};
use jiff::Timestamp;
use marqo_stand_in::embeddings::{Endpoint, EndpointAction};
use serde_json::{Value, json};
use std::time::Duration;

fn catalog(backend: &Backend) -> &Catalog {
    &backend.catalog
}

/// Writes documents, all of which must succeed.
pub(crate) async fn put(catalog: &Catalog, target: &WriteTarget, writes: &[Write]) {
    assert_eq!(catalog.write(target, writes).await.unwrap(), vec![Outcome::Done; writes.len()]);
}

/// The same shop and index, written by another job, which the number names.
pub(crate) fn of_job(target: &WriteTarget, number: i64) -> WriteTarget {
    WriteTarget { job_id: format!("job-{number}"), ..target.clone() }
}

/// Documents `p000`, `p001`, … with the titles `Mug 0`, `Mug 1`, …
fn numbered(count: usize) -> Vec<Write> {
    (0..count).map(|n| write(&format!("p{n:03}"), json!({"title": format!("Mug {n}")}))).collect()
}

fn ids(writes: &[Write]) -> Vec<DocumentId> {
    writes.iter().map(|write| write.document.id.clone()).collect()
}

/// Numbers of active and of archived products.
async fn status(catalog: &Catalog, target: &WriteTarget) -> (u64, u64) {
    let CatalogSummary { active, archived, .. } = catalog.summary(target).await.unwrap();
    (active, archived)
}

pub(crate) async fn a_product_of_any_size_is_written_as_a_whole(backend: &Backend) {
    let (catalog, target) = (catalog(backend), backend.target());
    let variants: Vec<Value> = (0..2_048)
        .map(|n| {
            let attributes =
                json!({"Color": n.to_string(), "Size": "M", "Material": "x".repeat(3_000 * (n % 2))});
            json!({"id": n.to_string(), "sku": format!("S{n}"), "price": "1.50", "attributes": attributes})
        })
        .collect();
    let giant = write("giant", json!({"title": "Shirt", "variants": variants}));
    put(catalog, &target, &[write("a", json!({})), giant.clone(), write("z", json!({}))]).await;
    let got = catalog.get(&target, &id("giant")).await.unwrap();
    assert_eq!(got, Some(as_stored(&giant, &target.job_id)));
    assert_eq!(catalog.summary(&target).await.unwrap().skus, 2_048);
}

pub(crate) async fn a_write_whose_precondition_does_not_hold_is_a_conflict(backend: &Backend) {
    let (catalog, target) = (catalog(backend), backend.target());
    let version = |at: &str| write("1", json!({"title": at, "updated_at": at}));
    let matches = |write: &Write| {
        let (version, content_hash) = (write.version.clone(), Some(write.content_hash.clone()));
        Precondition::Matches(StoredVersion { version, content_hash, ..StoredVersion::default() })
    };
    let (one, two, three) = (version("2026-01-01"), version("2026-01-02"), version("2026-01-03"));
    let first = Write { precondition: Precondition::Absent, ..one.clone() };
    put(catalog, &target, std::slice::from_ref(&first)).await;
    for (write, outcome) in [
        (Write { precondition: Precondition::Absent, ..two.clone() }, Outcome::Conflict),
        (Write { precondition: matches(&two), ..three.clone() }, Outcome::Conflict),
        (Write { precondition: matches(&one), ..three.clone() }, Outcome::Done),
        (Write { precondition: matches(&one), ..two.clone() }, Outcome::Conflict),
    ] {
        assert_eq!(catalog.write(&target, &[write]).await.unwrap(), [outcome]);
    }
    let update = Write { precondition: matches(&one), ..version("2026-01-04") };
    assert_eq!(catalog.update(&target, &[update]).await.unwrap(), [Outcome::Conflict]);
    assert_eq!(catalog.get(&target, &id("1")).await.unwrap().unwrap()["title"], "2026-01-03");
}

pub(crate) async fn a_removal_whose_precondition_does_not_hold_is_a_conflict(backend: &Backend) {
    let (catalog, target) = (catalog(backend), backend.target());
    let version = |name: &str, at: &str| write(name, json!({"title": at, "updated_at": at}));
    let matches = |write: &Write| {
        let (version, content_hash) = (write.version.clone(), Some(write.content_hash.clone()));
        Precondition::Matches(StoredVersion { version, content_hash, ..StoredVersion::default() })
    };
    let removal = |name: &str, precondition| Removal { precondition, ..Removal::of(id(name)) };
    let (old, new) = (version("1", "2026-01-01"), version("1", "2026-01-02"));
    let (seen, unseen) = (version("2", "2026-01-01"), version("3", "2026-01-01"));
    put(catalog, &target, &[new.clone(), seen.clone(), unseen]).await;
    let batch = [
        removal("1", matches(&old)),
        removal("2", matches(&seen)),
        removal("3", Precondition::Absent),
        removal("4", matches(&old)),
        removal("5", Precondition::Absent),
    ];
    let [done, conflicting] = [Outcome::Done, Outcome::Conflict];
    let expected = [conflicting.clone(), done.clone(), conflicting, done.clone(), done.clone()];
    assert_eq!(catalog.delete(&target, &batch).await.unwrap(), expected);
    assert_eq!(catalog.list(&target, None, 9).await.unwrap(), [id("1"), id("3")]);
    let batch = [removal("1", matches(&new)), removal("3", Precondition::None)];
    assert_eq!(catalog.delete(&target, &batch).await.unwrap(), [done.clone(), done]);
    assert_eq!(catalog.count(&target).await.unwrap(), 0);
}

pub(crate) async fn concurrent_writers_with_different_orders_do_not_fail(backend: &Backend) {
    let (catalog, target) = (catalog(backend), backend.target());
    let round = |round: usize, writer: usize| {
        let mut writes: Vec<Write> = (0..30)
            .map(|n| {
                let variants =
                    json!([{"id": "1", "sku": format!("{round}-{writer}")}, {"id": writer.to_string()}]);
                write(
                    &format!("p{n:02}"),
                    json!({"title": format!("{round} {writer}"), "variants": variants}),
                )
            })
            .collect();
        if writer.is_multiple_of(2) {
            writes.reverse();
        }
        writes
    };
    let writer = |writer: usize| {
        let (catalog, target) = (catalog.clone(), of_job(&target, writer as i64));
        async move {
            for n in 0..12 {
                let writes = round(n, writer);
                put(&catalog, &target, &writes).await;
                let removed = &ids(&writes)[writer..writer + 3];
                catalog.delete(&target, &removals(removed)).await.unwrap();
            }
        }
    };
    let tasks: Vec<_> = (2..6).map(|n| tokio::spawn(writer(n))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    for id in catalog.list(&target, None, 100).await.unwrap() {
        let got = catalog.get(&target, &id).await.unwrap().unwrap();
        let (title, sku) = (got["title"].as_str().unwrap(), got["variants"][0]["sku"].as_str().unwrap());
        assert_eq!(title.replace(' ', "-"), sku, "{got:?}");
    }
}

pub(crate) async fn archive(catalog: &Catalog, target: &WriteTarget, ids: &[DocumentId]) {
    let archive = |id: &DocumentId| Removal { archives: true, ..Removal::of(id.clone()) };
    let removals: Vec<Removal> = ids.iter().map(archive).collect();
    let outcomes = catalog.delete(target, &removals).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
}

pub(crate) async fn an_archived_product_comes_back(backend: &Backend) {
    let (catalog, target) = (catalog(backend), backend.target());
    let all = numbered(4);
    put(catalog, &target, &all).await;
    archive(catalog, &of_job(&target, 60), &ids(&all)).await;
    assert_eq!(status(catalog, &target).await, (0, 4));
    let back = of_job(&target, 120);
    // An archived product's version still protects it, but an update finds no document.
    let stored = catalog.stored(&back, &ids(&all)).await.unwrap();
    assert!(stored.iter().all(|stored| stored.as_ref().is_some_and(|stored| stored.is_archived)));
    let updated = catalog.update(&back, &[write("p000", json!({"stock": 1}))]).await.unwrap();
    assert!(matches!(&updated[0], Outcome::Refused { code, .. } if code == "document-not-found"));
    put(catalog, &back, &all[..2]).await;
    put(catalog, &back, &[write("p002", json!({"title": "Another mug"}))]).await;
    assert_eq!(status(catalog, &target).await, (3, 1));
    assert_eq!(catalog.list(&target, None, 9).await.unwrap(), ids(&all[..3]));
}

pub(crate) async fn loads_are_recorded(backend: &Backend) {
    let (catalog, target) = (catalog(backend), backend.target());
    let job = |seconds: i64| {
        let mut job = job(&*backend.clock, &target.shop_id);
        job.created_at = Timestamp::from_second(seconds).unwrap();
        JobSnapshot {
            job,
            status: JobStatus::Completed,
            seal: None,
            counts: Counts { processed: 7, ..Counts::default() },
            chunks: 1,
            completed_chunks: 1,
            samples: Vec::new(),
            ended_at: None,
            error_message: None,
            last_error: None,
            quarantined: None,
            archive_refused: None,
        }
    };
    let (old, new) = (job(1), job(2));
    catalog.record_load(&target, &new, 0, Some("no reason".to_owned())).await.unwrap();
    catalog.record_load(&target, &old, 1, None).await.unwrap();
    catalog.record_load(&target, &old, 2, None).await.unwrap();
    let loads = catalog.loads(&target, 9).await.unwrap();
    let records: Vec<_> =
        loads.iter().map(|load| (load.job_id.as_str(), load.archived, load.remark.as_deref())).collect();
    assert_eq!(records, [(new.job.id.as_str(), 0, Some("no reason")), (old.job.id.as_str(), 3, None)]);
    assert_eq!((loads[0].products, loads[0].status.as_str()), (7, "COMPLETED"));
    assert_eq!(catalog.loads(&target, 1).await.unwrap().len(), 1);
    assert_eq!(catalog.loads(&backend.target(), 9).await.unwrap(), []);
}

fn embedder(backend: &Backend, endpoint: &Endpoint, model: &str) -> Embedder {
    let config = EmbeddingsConfig {
        url: Some(endpoint.url().to_owned()),
        key: Some(Secret::new("s3cret")),
        model: model.to_owned(),
        batch_size: 4.try_into().unwrap(),
        concurrency: 2.try_into().unwrap(),
        attempts: 4.try_into().unwrap(),
        timeout: Duration::from_secs(20),
        ..EmbeddingsConfig::default()
    };
    Embedder::new(&config, backend.clock.clone()).unwrap()
}

/// An endpoint that always answers, and its client.
pub(crate) fn any_embedder(backend: &Backend) -> (Endpoint, Embedder) {
    let endpoint = Endpoint::start(|_, _| EndpointAction::Answer).unwrap();
    let embedder = embedder(backend, &endpoint, "small");
    (endpoint, embedder)
}

fn report(embedded: u64, changed: u64, refused: u64) -> EmbedReport {
    EmbedReport { embedded, changed, refused }
}

/// Numbers of products that are embedded, that wait for an embedding, and whose text the endpoint refused.
async fn pending(catalog: &Catalog, target: &WriteTarget) -> (u64, u64, u64) {
    let CatalogSummary { embedded, to_embed, refused, .. } = catalog.summary(target).await.unwrap();
    (embedded, to_embed, refused)
}

pub(crate) async fn each_changed_text_is_embedded_once(backend: &Backend) {
    let (catalog, target) = (catalog(backend), backend.target());
    let endpoint = Endpoint::start(|_, _| EndpointAction::Answer).unwrap();
    let embedder = embedder(backend, &endpoint, "small");
    put(catalog, &target, &numbered(10)).await;
    assert_eq!(pending(catalog, &target).await, (0, 10, 0));
    assert_eq!(catalog.embed(&target, &embedder).await.unwrap(), report(10, 0, 0));
    assert_eq!(pending(catalog, &target).await, (10, 0, 0));
    assert_eq!(endpoint.calls().len(), 3);
    assert!(endpoint.calls().iter().all(|call| call.authorization.as_deref() == Some("Bearer s3cret")));
    // A changed price does not change the text; a changed title does.
    put(catalog, &target, &[write("p003", json!({"title": "Mug 3", "price": 1}))]).await;
    put(catalog, &target, &[write("p004", json!({"title": "Red shoes"}))]).await;
    assert_eq!(pending(catalog, &target).await, (9, 1, 0));
    assert_eq!(catalog.embed(&target, &embedder).await.unwrap(), report(1, 0, 0));
    assert_eq!(endpoint.calls().last().unwrap().texts, ["Red shoes"]);
    let nearest = catalog.similar(&target, &embedder, "shoes, red", 2).await.unwrap();
    assert_eq!((nearest.len(), nearest[0].id.as_str()), (2, "p004"));
    assert!(nearest[0].score > 0.9 && nearest[1].score < 0.5, "{nearest:?}");
    // With another model all embeddings are made again; vectors of two models are not compared.
    let other = self::embedder(backend, &endpoint, "large");
    assert_eq!(catalog.similar(&target, &other, "shoes", 2).await.unwrap(), []);
    assert_eq!(catalog.embed(&target, &other).await.unwrap(), report(10, 0, 0));
    assert_eq!(catalog.similar(&target, &other, "shoes", 1).await.unwrap()[0].id, "p004");
    // An archived product is embedded only once it is active again.
    put(catalog, &target, &[write("p005", json!({"title": "New"}))]).await;
    archive(catalog, &of_job(&target, 60), &catalog.list(&target, None, 99).await.unwrap()).await;
    assert_eq!(catalog.embed(&target, &other).await.unwrap(), report(0, 0, 0));
    put(catalog, &of_job(&target, 120), &[write("p005", json!({"title": "New"}))]).await;
    assert_eq!(catalog.embed(&target, &other).await.unwrap(), report(1, 0, 0));
}

pub(crate) async fn a_text_that_changes_while_it_is_embedded_is_embedded_again(backend: &Backend) {
    let (catalog, target) = (catalog(backend), backend.target());
    // The endpoint reports its first request and does not answer it until it is told to.
    let (arrived, arrival) = tokio::sync::mpsc::unbounded_channel();
    let arrival = tokio::sync::Mutex::new(arrival);
    let (answer, may_answer) = std::sync::mpsc::channel::<()>();
    let may_answer = std::sync::Mutex::new(may_answer);
    let endpoint = Endpoint::start(move |number, _| {
        if number == 0 {
            arrived.send(()).unwrap();
            may_answer.lock().unwrap().recv().unwrap();
        }
        EndpointAction::Answer
    })
    .unwrap();
    let embedder = embedder(backend, &endpoint, "small");
    put(catalog, &target, &numbered(2)).await;
    let change = async {
        arrival.lock().await.recv().await.unwrap();
        // A second process would do the same work, so it gets an error.
        let busy = catalog.embed(&target, &embedder).await.unwrap_err();
        assert!(matches!(busy, EmbedError::Busy { .. }), "{busy}");
        put(catalog, &target, &[write("p001", json!({"title": "Red shoes"}))]).await;
        answer.send(()).unwrap();
    };
    let (embedded, ()) = futures::join!(catalog.embed(&target, &embedder), change);
    assert_eq!(embedded.unwrap(), report(2, 1, 0));
    assert_eq!(pending(catalog, &target).await, (2, 0, 0));
    let texts: Vec<_> = endpoint.calls().into_iter().map(|call| call.texts).collect();
    assert_eq!(texts, [vec!["Mug 0", "Mug 1"], vec!["Red shoes"]]);
    assert_eq!(catalog.similar(&target, &embedder, "shoes", 1).await.unwrap()[0].id, "p001");
}

pub(crate) async fn products_stay_queued_while_the_endpoint_fails(backend: &Backend) {
    let (catalog, target) = (catalog(backend), backend.target());
    put(catalog, &target, &numbered(6)).await;
    put(catalog, &target, &[write("none", json!({"price": 1})), write("bad", json!({"title": "forbidden"}))])
        .await;
    // Transient failures are retried; a text that is refused is recorded.
    let endpoint = Endpoint::start(|number, call| match number {
        0 => EndpointAction::Fail(429),
        1 => EndpointAction::Fail(503),
        2 => EndpointAction::Reset,
        _ if call.texts.iter().any(|text| text == "forbidden") => EndpointAction::Fail(400),
        _ => EndpointAction::Answer,
    })
    .unwrap();
    let embedded = catalog.embed(&target, &embedder(backend, &endpoint, "small")).await.unwrap();
    assert_eq!(embedded, report(6, 0, 2));
    assert_eq!(pending(catalog, &target).await, (6, 0, 2));
    // A refused text is not sent again until it has changed.
    let calls = endpoint.calls().len();
    assert_eq!(
        catalog.embed(&target, &embedder(backend, &endpoint, "small")).await.unwrap(),
        report(0, 0, 0)
    );
    assert_eq!(endpoint.calls().len(), calls);
    put(catalog, &target, &[write("bad", json!({"title": "allowed"}))]).await;
    assert_eq!(
        catalog.embed(&target, &embedder(backend, &endpoint, "small")).await.unwrap(),
        report(1, 0, 0)
    );
    // Failures that do not go away end the call, and the products stay in the queue.
    put(catalog, &target, &[write("p000", json!({"title": "Red shoes"}))]).await;
    for (status, attempts) in [(401, 1), (404, 1), (500, 4)] {
        let endpoint = Endpoint::start(move |_, _| EndpointAction::Fail(status)).unwrap();
        let error = catalog.embed(&target, &embedder(backend, &endpoint, "small")).await.unwrap_err();
        assert!(
            error.to_string().contains(&status.to_string()) && error.to_string().contains(endpoint.url()),
            "{error}"
        );
        assert_eq!(endpoint.calls().len(), attempts, "{error}");
    }
    assert_eq!(pending(catalog, &target).await, (6, 1, 1));
}
