//! Tests of what only this backend promises: about directories and files that it cannot use, and about short waits.

mod envelopes;

use super::{SqliteStorage, chunks::Folder};
use host_core::{
    clock::{Clock, SystemClock},
    model::{ChunkRef, Job, JobId, LedgerRecord, ProductId},
    storage::{
        Breaker, BreakerScope, CLEARED_RETENTION, Chunks, Claim, Cleared, ClearedBy, JobRemover, LedgerScope,
        MessagePlace, QuarantineReason, Storage, StoreError, StoreErrorKind, Stores,
    },
};
use host_sqlite::{Cause, Database};
use host_testing::build::{self, chunk, processed, seal};
use rusqlite::Connection;
use std::{error::Error, fs, path::Path, sync::Arc, time::Duration};

fn job(id: &str, shop_id: &str) -> Job {
    Job { id: JobId::new(id).unwrap(), ..build::job(&SystemClock, shop_id) }
}

fn open(dir: &Path) -> Result<SqliteStorage, StoreError> {
    SqliteStorage::open(dir, Arc::new(SystemClock))
}

/// The sentence that a user reads.
fn sentence(error: &StoreError) -> String {
    error.source().unwrap().to_string()
}

#[test]
fn a_fresh_directory_belongs_to_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let fresh = dir.path().join("a/b");
    open(&fresh).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&fresh).unwrap().permissions().mode() & 0o777, 0o700);
    }
    open(&fresh).unwrap();
}

#[test]
fn an_unusable_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "text").unwrap();
    let error = open(&file).err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::Permanent);
    assert!(sentence(&error).starts_with(&file.display().to_string()), "{}", sentence(&error));
}

#[test]
fn a_newer_or_foreign_or_damaged_file_is_left_alone() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage, StoreErrorKind, &str); 4] = [
        (
            "newer",
            |path| {
                open(path.parent().unwrap()).unwrap();
                Connection::open(path).unwrap().pragma_update(None, "user_version", 99).unwrap();
            },
            StoreErrorKind::Permanent,
            "has schema 99, this host knows schemas up to 13; use the newer host that wrote it",
        ),
        (
            "foreign",
            |path| Connection::open(path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap(),
            StoreErrorKind::Permanent,
            "is a database of another program",
        ),
        (
            "text",
            |path| fs::write(path, "text".repeat(1000)).unwrap(),
            StoreErrorKind::Corrupt,
            "is not a database",
        ),
        ("folder", |path| fs::create_dir(path).unwrap(), StoreErrorKind::Permanent, "cannot be written"),
    ];
    for (name, damage, kind, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.db");
        damage(&path);
        let before = fs::read(&path).ok();
        let error = open(dir.path()).err().unwrap();
        let text = sentence(&error);
        assert!(error.kind == kind && text.contains(expected), "{name}: {:?} {text}", error.kind);
        assert!(text.starts_with(&path.display().to_string()), "{text}");
        if name == "text" {
            assert_eq!(fs::read(&path).ok(), before);
        }
    }
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(dir.path()).unwrap();
    let pages = |limit: u32| {
        let database = embedded.database.clone();
        async move {
            let pages = database.writer().lock().await;
            pages.pragma_update(None, "max_page_count", limit).unwrap();
        }
    };
    let job = job("job", &"x".repeat(1 << 20));
    pages(1).await; // SQLite takes the present size if the limit is smaller.
    let error = embedded.stores().jobs.create(&job).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Permanent);
    assert!(sentence(&error).contains("is full; free some space"), "{}", sentence(&error));
    pages(1 << 20).await;
    embedded.stores().jobs.create(&job).await.unwrap();
}

#[tokio::test]
async fn a_file_that_another_process_holds_is_a_transient_error() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(dir.path()).unwrap();
    embedded.database.writer().lock().await.busy_timeout(Duration::from_millis(20)).unwrap();
    let other = Connection::open(dir.path().join("host.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = embedded.stores().jobs.create(&job("job", "shop")).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Transient);
    assert!(sentence(&error).contains("held by another process"), "{}", sentence(&error));
    other.execute_batch("COMMIT").unwrap();
    embedded.stores().jobs.create(&job("job", "shop")).await.unwrap();
}

/// As one of several calls in a stream, while the consumer of the stream makes another call.
#[tokio::test]
async fn a_call_that_is_not_polled_blocks_no_other_call() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(dir.path()).unwrap();
    let jobs = embedded.stores().jobs;
    let (one, two) = (job("one", "shop"), job("two", "shop"));
    let busy = embedded.database.writer().lock().await;
    let mut waiting = std::pin::pin!(jobs.create(&one));
    let polled_once =
        std::future::poll_fn(|context| std::task::Poll::Ready(waiting.as_mut().poll(context).is_pending()));
    assert!(polled_once.await);
    drop(busy);
    tokio::time::timeout(Duration::from_secs(30), jobs.create(&two))
        .await
        .expect("it waits for ever")
        .unwrap();
    waiting.await.unwrap();
}

#[tokio::test]
async fn readers_do_not_wait_for_a_writer() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(dir.path()).unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (started, ready) = tokio::sync::oneshot::channel();
    let database: Arc<Database> = embedded.database.clone();
    let writing = tokio::spawn(async move {
        let hold = move |_: &rusqlite::Transaction<'_>| {
            started.send(()).unwrap();
            held.recv().map_err(Cause::corrupt)
        };
        database.write(hold).await.unwrap();
    });
    ready.await.unwrap();
    let jobs = embedded.stores().jobs;
    let listed = tokio::time::timeout(Duration::from_secs(20), jobs.list(None, 10)).await;
    assert_eq!(listed.unwrap().unwrap(), []);
    release.send(()).unwrap();
    writing.await.unwrap();
}

#[tokio::test]
async fn a_refused_change_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = open(dir.path()).unwrap().stores().jobs;
    let job = job("job", "shop");
    jobs.create(&job).await.unwrap();
    jobs.add_chunk(&chunk(&job.id, 0, 0)).await.unwrap();
    let wrong = jobs.seal(&job.id, &seal(2)).await.unwrap_err();
    assert_eq!(sentence(&wrong), "job job has 1 chunks, its seal speaks of 2");
    assert_eq!(jobs.get(&job.id).await.unwrap().unwrap().seal, None);
    jobs.seal(&job.id, &seal(1)).await.unwrap();
    let late = jobs.add_chunk(&chunk(&job.id, 1, 0)).await.unwrap_err();
    assert_eq!(sentence(&late), "job job is sealed or ended and takes no new chunk");
    assert_eq!(jobs.get(&job.id).await.unwrap().unwrap().chunks, 1);
    let absent = JobId::new("absent").unwrap();
    for unknown in [jobs.seal(&absent, &seal(0)).await, jobs.add_chunk(&chunk(&absent, 0, 0)).await] {
        assert_eq!(sentence(&unknown.unwrap_err()), "there is no job absent");
    }
}

#[tokio::test]
async fn messages_and_leases_of_a_dead_process_are_released_once_no_worker_is_alive() {
    let dir = tempfile::tempdir().unwrap();
    let hour = Duration::from_secs(3600);
    let (job, first) = (job("job", "shop"), open(dir.path()).unwrap());
    first.register().await.unwrap();
    let stores = first.stores();
    stores.jobs.create(&job).await.unwrap();
    stores.jobs.add_chunk(&chunk(&job.id, 0, 0)).await.unwrap();
    stores.queue.send(&job, &chunk(&job.id, 0, 0), 0).await.unwrap();
    assert_eq!(stores.queue.receive("shop", 1, hour).await.unwrap().len(), 1);
    stores.jobs.claim(&job.id, 0, hour).await.unwrap();

    let second = open(dir.path()).unwrap();
    second.register().await.unwrap();
    let held = second.stores().jobs.claim(&job.id, 0, hour).await.unwrap();
    assert!(matches!(held, Claim::Held { .. }), "the first one lives: {held:?}");
    assert!(second.stores().queue.receive("shop", 1, hour).await.unwrap().is_empty());

    drop((first, stores, second));
    let third = open(dir.path()).unwrap();
    third.register().await.unwrap();
    assert_eq!(third.stores().queue.receive("shop", 1, hour).await.unwrap().len(), 1);
    assert!(matches!(third.stores().jobs.claim(&job.id, 0, hour).await.unwrap(), Claim::Acquired(_)));
}

/// Older versions of host completed a chunk in three transactions, and may have crashed between any two of them.
#[tokio::test]
async fn a_completion_that_an_older_version_left_unfinished_is_finished_by_the_next_claim() {
    let hour = Duration::from_secs(3600);
    for counted in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (job, embedded) = (job("job", "shop"), open(dir.path()).unwrap());
        let jobs = embedded.stores().jobs;
        jobs.create(&job).await.unwrap();
        jobs.add_chunk(&chunk(&job.id, 0, 0)).await.unwrap();
        let Claim::Acquired(lease) = jobs.claim(&job.id, 0, hour).await.unwrap() else {
            panic!("the chunk is free")
        };
        let outcome = processed(2);
        if counted {
            assert!(jobs.complete(&lease, &outcome).await.unwrap().is_counted());
        }
        let file = Connection::open(dir.path().join("host.db")).unwrap();
        let json = serde_json::to_string(&outcome).unwrap();
        file.execute("UPDATE chunk SET state = 'SETTLING', outcome = ?1", [json]).unwrap();
        for _ in 0..2 {
            assert_eq!(jobs.claim(&job.id, 0, hour).await.unwrap(), Claim::Done { quarantined: None });
            let counted = jobs.get(&job.id).await.unwrap().unwrap();
            assert_eq!((counted.counts, counted.completed_chunks), (outcome.counts, 1));
        }
    }
}

#[tokio::test]
async fn a_key_never_leads_out_of_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(&dir.path().join("chunks"), SystemClock.now()).unwrap();
    fs::write(dir.path().join("secret"), "secret").unwrap();
    let long = "x".repeat(256);
    let hostile = [
        "",
        "/",
        "..",
        "../secret",
        "a/../../secret",
        "/etc/passwd",
        "a//b",
        "a/",
        "/a",
        ".",
        "a/./b",
        ".incoming/x",
        "a/.hidden",
        "a\\..\\b",
        "C:/x",
        "a\0b",
        "a\nb",
        &long,
    ];
    for key in hostile {
        let errors = [
            folder.get(key, None).await.err(),
            folder.put(key, b"x").await.err(),
            folder.put_if_absent(key, b"x").await.err(),
            folder.delete(key).await.err(),
        ];
        for error in errors {
            assert_eq!(error.unwrap_or_else(|| panic!("{key:?} is taken")).kind, StoreErrorKind::Permanent);
        }
    }
    assert_eq!(fs::read(dir.path().join("secret")).unwrap(), b"secret");
    folder.put("shopify/example.myshopify.com/bulk/a_b-1/chunk_0000.jsonl", b"x").await.unwrap();
}

#[tokio::test]
async fn an_object_and_a_folder_of_one_name_do_not_harm_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path(), SystemClock.now()).unwrap();
    folder.put("a", b"object").await.unwrap();
    assert_eq!(folder.get("a/b", None).await.unwrap(), None);
    folder.delete("a/b").await.unwrap();
    assert!(folder.put_if_absent("a/b", b"x").await.is_err());
    folder.put("c/d", b"x").await.unwrap();
    assert_eq!(folder.get("c", None).await.unwrap(), None);
    assert!(folder.put_if_absent("c", b"x").await.is_err());
    assert_eq!(folder.get("a", None).await.unwrap().unwrap(), b"object");
}

/// So that the first object shows whether any are left.
#[tokio::test]
async fn the_first_of_many_objects_is_removed_last() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path(), SystemClock.now()).unwrap();
    for key in ["a/0", "a/1/is a folder", "a/2"] {
        folder.put(key, b"x").await.unwrap();
    }
    let keys = ["a/0", "a/1", "a/2"].map(str::to_owned);
    assert!(folder.delete_all(&keys).await.is_err());
    assert_eq!(["a/0", "a/1", "a/2"].map(|key| dir.path().join(key).exists()), [true, true, false]);
    folder.delete("a/1/is a folder").await.unwrap();
    fs::remove_dir(dir.path().join("a/1")).unwrap();
    folder.delete_all(&keys).await.unwrap();
    assert_eq!(keys.map(|key| dir.path().join(key).exists()), [false; 3]);
}

#[tokio::test]
async fn an_unfinished_file_of_a_crash_is_removed_after_an_hour() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path(), SystemClock.now()).unwrap();
    folder.put("a/b", b"whole").await.unwrap();
    let half = dir.path().join(".incoming/half");
    fs::write(&half, "ha").unwrap();
    Folder::open(dir.path(), SystemClock.now()).unwrap();
    assert!(half.exists(), "another process may be writing it");
    let later = SystemClock.now() + Duration::from_secs(3601);
    let folder = Folder::open(dir.path(), later).unwrap();
    assert!(!half.exists());
    assert_eq!(folder.get("a/b", None).await.unwrap().unwrap(), b"whole");
    assert_eq!(fs::read_dir(dir.path().join(".incoming")).unwrap().count(), 0);
}

/// As after a process whose clock was a day ahead has received the message and died.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_invisible_for_a_day_is_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let stores = open(dir.path()).unwrap().stores();
    let job = job("job", "shop");
    stores.jobs.create(&job).await.unwrap();
    let sent = chunk(&job.id, 0, 0);
    stores.jobs.add_chunk(&sent).await.unwrap();
    stores.queue.send(&job, &sent, 0).await.unwrap();
    let (day, minute) = (Duration::from_secs(86_400), Duration::from_secs(60));
    assert_eq!(stores.queue.receive("shop", 1, day).await.unwrap().len(), 1);
    assert_eq!(stores.queue.receive("shop", 1, minute).await.unwrap().len(), 1);
    assert_eq!(stores.queue.receive("shop", 1, minute).await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_removed_job_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(dir.path()).unwrap();
    let (stores, remover) = (embedded.stores(), embedded.job_remover().unwrap());
    let [gone, open_job] = [job("gone", "shop"), job("open", "shop")];
    for job in [&gone, &open_job] {
        stores.jobs.create(job).await.unwrap();
        let key = ChunkRef::key(&job.platform, &job.shop_id, &job.id, 0);
        let sent = ChunkRef { key, ..chunk(&job.id, 0, 0) };
        stores.chunks.put_if_absent(&sent.key, b"{}\n").await.unwrap();
        stores.jobs.add_chunk(&sent).await.unwrap();
        stores.queue.send(job, &sent, 0).await.unwrap();
        let delivery = stores.queue.receive("shop", 1, Duration::from_secs(60)).await.unwrap().remove(0);
        stores.queue.ack(&delivery.receipt).await.unwrap();
    }
    stores.jobs.seal(&gone.id, &seal(1)).await.unwrap();
    build::complete(&*stores.jobs, &gone.id, 0, &processed(1)).await;
    for _ in 0..2 {
        remover.remove_job(&gone).await.unwrap();
    }
    assert_eq!(stores.jobs.get(&gone.id).await.unwrap(), None);
    assert_eq!(stores.jobs.chunk(&gone.id, 0).await.unwrap(), None);
    let file = Connection::open(dir.path().join("host.db")).unwrap();
    for table in ["chunk", "sample", "sent"] {
        let of_job = format!("SELECT count(*) FROM {table} WHERE job_id = 'gone'");
        assert_eq!(file.query_row(&of_job, [], |row| row.get::<_, u32>(0)).unwrap(), 0, "{table}");
    }
    let folder = |job: &Job| dir.path().join("chunks").join(job.folder());
    assert_eq!((folder(&gone).exists(), folder(&open_job).exists()), (false, true));
    // A job that has not ended stays, and so does one with a message or a dead letter.
    let dead = job("dead", "shop");
    stores.jobs.create(&dead).await.unwrap();
    let key = ChunkRef::key(&dead.platform, &dead.shop_id, &dead.id, 0);
    let sent = ChunkRef { key, ..chunk(&dead.id, 0, 0) };
    stores.chunks.put_if_absent(&sent.key, b"{}\n").await.unwrap();
    stores.jobs.add_chunk(&sent).await.unwrap();
    stores.queue.send(&dead, &sent, 0).await.unwrap();
    stores.jobs.seal(&dead.id, &seal(1)).await.unwrap();
    build::complete(&*stores.jobs, &dead.id, 0, &processed(1)).await;
    remover.remove_job(&dead).await.unwrap();
    assert!(folder(&dead).exists(), "its message waits");
    let delivery = stores.queue.receive("shop", 1, Duration::from_secs(60)).await.unwrap().remove(0);
    stores.queue.dead_letter(&delivery.receipt, &QuarantineReason::new("code", "message")).await.unwrap();
    for job in [&open_job, &dead] {
        remover.remove_job(job).await.unwrap();
        assert!(stores.jobs.get(&job.id).await.unwrap().is_some() && folder(job).exists());
    }
}

/// Runs statements, to store what another program or a newer version of host would have written.
async fn insert_raw(storage: &SqliteStorage, sql: &'static str) {
    storage.database.write(move |tx| Ok(tx.execute_batch(sql)?)).await.unwrap();
}

#[tokio::test]
async fn unreadable_messages_and_jobs_stay_are_listed_and_do_not_block_others() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path()).unwrap();
    let Stores { jobs, queue, .. } = storage.stores();
    let (job, other) = (job("a", "shop"), job("b", "shop"));
    jobs.create(&job).await.unwrap();
    for seq in 0..4 {
        jobs.add_chunk(&chunk(&job.id, seq, seq as u16)).await.unwrap();
        queue.send(&job, &chunk(&job.id, seq, seq as u16), 0).await.unwrap();
    }
    insert_raw(
        &storage,
        "UPDATE message SET chunk = 'not JSON' WHERE lane = 0;
         UPDATE message SET chunk = json_set(chunk, '$.schema', 2) WHERE lane = 1;
         INSERT INTO message (shop_id, lane, job_id, chunk) SELECT shop_id, 0, job_id, chunk FROM message WHERE lane = 2;
         INSERT INTO job (id, shop_id, created_at, fingerprint, job, status)
            SELECT 'theirs', shop_id, created_at + 1, fingerprint, 'not JSON', 'QUEUED' FROM job WHERE id = 'a';
         INSERT INTO job (id, shop_id, created_at, fingerprint, job, status)
            SELECT 'newer', shop_id, created_at + 2, fingerprint, json_set(job, '$.schema', 2), status FROM job WHERE id = 'a';
         INSERT INTO dead_letter (shop_id, letter) VALUES ('shop', 'not JSON');",
    )
    .await;

    // Of lanes 2 and 3; the second message of lane 0 waits behind the unreadable one.
    let received = queue.receive("shop", 2, Duration::from_secs(60)).await.unwrap();
    assert_eq!(received.iter().map(|delivery| delivery.chunk.lane).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(queue.depth("shop").await.unwrap(), 5);
    assert!(queue.receive("shop", 9, Duration::from_secs(60)).await.unwrap().is_empty());
    let reason = QuarantineReason::new("broken", "it is broken");
    assert!(queue.dead_letter(&received[0].receipt, &reason).await.unwrap());
    assert_eq!(queue.dead_letters("shop").await.unwrap().len(), 1);
    assert_eq!(queue.receive_dead_letters("shop", Duration::from_secs(60)).await.unwrap().len(), 1);
    let named = queue.unreadable("shop").await.unwrap();
    let places: Vec<_> =
        named.iter().map(|message| (message.place, message.body.starts_with("not"))).collect();
    use MessagePlace::{DeadLetters, Queue};
    assert_eq!(places, [(Queue, true), (Queue, false), (DeadLetters, true)], "{named:?}");
    assert!(named[1].message.contains("schema is 2"), "{named:?}");

    // Ingest, lists and removal of old jobs of the same shop still work.
    jobs.create(&other).await.unwrap();
    assert_eq!(jobs.supersede(&other).await.unwrap(), std::slice::from_ref(&job.id));
    assert_eq!(jobs.find_unfinished("shop", other.fingerprint).await.unwrap().unwrap().id, other.id);
    for shop in [Some("shop"), None] {
        let listed = jobs.list(shop, 2).await.unwrap();
        let ids: Vec<&str> = listed.iter().map(|listed| listed.job.id.as_str()).collect();
        assert_eq!(ids, ["b", "a"]);
    }
    let error = jobs.get(&JobId::new("newer").unwrap()).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unsupported);
    assert!(!storage.remove_job(&job).await.unwrap());
}

/// The test copies the file without its write-ahead log, as a power cut would leave it, while another process has it
/// open.
#[tokio::test]
async fn a_flush_puts_everything_on_disk_while_another_process_is_connected() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path()).unwrap();
    let other = Connection::open(dir.path().join("host.db")).unwrap();
    other.query_row("SELECT count(*) FROM job", [], |row| row.get::<_, i64>(0)).unwrap();
    storage.stores().jobs.create(&job("a", "shop")).await.unwrap();
    let survives = || {
        let copy = dir.path().join("copy.db");
        fs::copy(dir.path().join("host.db"), &copy).unwrap();
        let jobs = Connection::open(&copy)
            .unwrap()
            .query_row("SELECT count(*) FROM job", [], |row| row.get::<_, i64>(0));
        jobs.unwrap_or(0)
    };
    assert_eq!(survives(), 0, "it is in the file before the flush");
    storage.flush().await.unwrap();
    assert_eq!(survives(), 1);
    drop(other);
}

#[tokio::test]
async fn looking_for_a_worker_takes_no_lock_that_a_worker_needs() {
    let dir = tempfile::tempdir().unwrap();
    let (worker, watch) = (open(dir.path()).unwrap(), open(dir.path()).unwrap());
    assert!(!watch.has_active_worker());
    // As a process does that is just registering.
    let registering = fs::File::create(dir.path().join("work.lock")).unwrap();
    registering.lock().unwrap();
    assert!(!watch.has_active_worker(), "it tries the lock of workers");
    registering.unlock().unwrap();
    worker.register().await.unwrap();
    assert!(watch.has_active_worker());
    drop(worker);
    assert!(!watch.has_active_worker());
}

#[tokio::test]
async fn a_list_leaves_out_unreadable_breakers_and_ledger_records() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(dir.path()).unwrap();
    let Stores { breakers, ledger, .. } = embedded.stores();
    let (job, now) = (JobId::new("job").unwrap(), SystemClock.now());
    let scope = |index: &str| BreakerScope { shop_id: "shop".to_owned(), index_name: index.to_owned() };
    for index in ["a", "b", "c"] {
        let breaker =
            Breaker::opened(scope(index), &chunk(&job, 0, 0), ("index-refused", "401".to_owned()), now);
        assert!(breakers.replace(None, &breaker).await.unwrap());
    }
    let of_ledger =
        LedgerScope { shop_id: "shop".to_owned(), target: "marqo".into(), index_name: "products".to_owned() };
    let products: Vec<ProductId> = (0..40).map(|n| ProductId::new(format!("{n:02}")).unwrap()).collect();
    let record = |product: &ProductId| LedgerRecord::new(product.clone(), job.clone(), now);
    let records: Vec<_> = products.iter().map(record).collect();
    build::store_records(&*ledger, &of_ledger, &records).await;
    // More unreadable records in a row than a page of 4 has.
    let changes = r#"
        UPDATE breaker SET record = '{"schema":2}' WHERE index_name = 'a';
        UPDATE breaker SET record = 'a foreign text' WHERE index_name = 'c';
        UPDATE ledger SET record = '{"schema":2}' WHERE product < '10';
        UPDATE ledger SET record = 'a foreign text' WHERE product BETWEEN '10' AND '19';
        UPDATE ledger SET refusal = '{"schema":3,"code":1}' WHERE product BETWEEN '20' AND '29';
    "#;
    Connection::open(dir.path().join("host.db")).unwrap().execute_batch(changes).unwrap();

    for shop in [Some("shop"), None] {
        let listed: Vec<_> =
            breakers.list(shop).await.unwrap().into_iter().map(|breaker| breaker.scope.index_name).collect();
        assert_eq!(listed, ["b"]);
    }
    for index in ["a", "c"] {
        let error = breakers.get(&scope(index)).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Unsupported, "{error:?}");
        let cleared = Cleared { by: ClearedBy::Resume, at: now };
        let error = breakers.close(&scope(index), cleared).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Unsupported, "{error:?}");
        assert!(breakers.get(&scope(index)).await.is_err(), "it was removed");
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = ledger.page(&of_ledger, after.as_ref(), 4).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.product.clone());
        listed.extend(page.into_iter().map(|record| record.product));
    }
    assert_eq!(listed, products[30..]);
    assert_eq!(ledger.get(&of_ledger, &products[30..]).await.unwrap().len(), 10);
    for product in [&products[0], &products[10], &products[20]] {
        let error = ledger.get(&of_ledger, std::slice::from_ref(product)).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Unsupported);
        assert!(error.action.contains(product.as_str()), "{error}");
    }
}

#[tokio::test]
async fn expedite_makes_released_messages_visible_but_not_those_of_claimed_chunks() {
    const MINUTE: Duration = Duration::from_secs(60);
    let dir = tempfile::tempdir().unwrap();
    let Stores { jobs, queue, .. } = open(dir.path()).unwrap().stores();
    let job = job("a", "shop");
    jobs.create(&job).await.unwrap();
    for lane in 0..2 {
        let sent = chunk(&job.id, lane.into(), lane);
        jobs.add_chunk(&sent).await.unwrap();
        queue.send(&job, &sent, 0).await.unwrap();
    }
    let received = queue.receive("shop", 2, MINUTE).await.unwrap();
    assert!(matches!(jobs.claim(&job.id, received[0].chunk.seq, MINUTE).await.unwrap(), Claim::Acquired(_)));
    assert!(queue.release(&received[1].receipt, MINUTE).await.unwrap());
    assert!(queue.receive("shop", 2, MINUTE).await.unwrap().is_empty());
    assert!(queue.expedite("shop").await.unwrap());
    let visible = queue.receive("shop", 2, MINUTE).await.unwrap();
    assert_eq!(
        visible.iter().map(|delivery| delivery.chunk.seq).collect::<Vec<_>>(),
        [received[1].chunk.seq]
    );
}

#[tokio::test]
async fn a_breaker_that_was_closed_long_ago_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(dir.path()).unwrap();
    let (breakers, now) = (embedded.stores().breakers, SystemClock.now());
    let first = chunk(&JobId::new("job").unwrap(), 0, 0);
    let close = async |shop_id: &str, at| {
        let scope = BreakerScope { shop_id: shop_id.to_owned(), index_name: "products".to_owned() };
        let breaker = Breaker::opened(scope, &first, ("index-refused", "401".to_owned()), now);
        assert!(breakers.replace(None, &breaker).await.unwrap());
        assert!(
            breakers.close(&breaker.scope, Cleared { by: ClearedBy::Resume, at }).await.unwrap().is_some()
        );
    };
    let known = async |shop_id| breakers.last_cleared(shop_id).await.unwrap().len();
    close("old", now).await;
    close("new", now + CLEARED_RETENTION - Duration::from_secs(1)).await;
    assert_eq!((known("old").await, known("new").await), (1, 1));
    close("newest", now + CLEARED_RETENTION + Duration::from_secs(1)).await;
    assert_eq!((known("old").await, known("new").await, known("newest").await), (0, 1, 1));
}
