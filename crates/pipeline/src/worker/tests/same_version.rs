//! Tests of documents that come in the stored version with other content: the later job decides.

use super::*;
use host_core::model::{Digest, SameVersion};
use jiff::Timestamp;

/// What a job is about: its number, the hour in which its export was taken, and its plug-in.
type About = (&'static str, i64, &'static [u8]);

/// What happens to the document of a job over that of another one, in the same version and with other content.
struct Case {
    writer: About,
    job: About,
    same_version: SameVersion,
    shop: &'static str,
    /// Whether the record of the writer is gone.
    expired: bool,
}

const CASE: Case = Case {
    writer: ("1", 10, b"A"),
    job: ("2", 11, b"A"),
    same_version: SameVersion::Newer,
    shop: SHOP,
    expired: false,
};

impl Case {
    async fn titles(&self) -> (String, Counts) {
        let harness = Harness::new();
        let job_of = |(id, hour, plugin): About| Job {
            id: JobId::new(id).unwrap(),
            exported_at: Some(Timestamp::from_second(hour * 3_600).unwrap()),
            transform_digest: Some(Digest::of(plugin)),
            same_version: self.same_version,
            ..build::job(&*harness.clock, SHOP)
        };
        let line = |title: &str| {
            format!(
                "{{\"_id\":\"1\",\"_mq_product\":\"gid/1\",\"_mq_siblings\":[],\"v\":1,\"title\":\"{title}\"}}\n"
            )
        };
        let writer = Job { shop_id: self.shop.to_owned(), ..job_of(self.writer) };
        build::publish(&harness.stores, &writer, &[(0, ADD, &line("stored"))]).await;
        let until = RunUntil::JobEnds(writer.id.clone());
        harness.worker.run(self.shop, until, &CancellationToken::new()).await.unwrap();
        let mut worker = harness.worker.clone();
        if self.expired {
            assert_eq!(harness.stores.jobs.remove_shop(SHOP, false).await.unwrap(), 1);
            // Without what the first worker remembers of the job.
            let Worker { stores, index, validate, version, clock, settings, .. } = &*harness.worker;
            let (stores, index, clock) = (stores.clone(), index.clone(), clock.clone());
            worker =
                Arc::new(Worker::new(stores, index, validate.clone(), version.clone(), clock, *settings));
        }
        let job = job_of(self.job);
        build::publish(&harness.stores, &job, &[(0, ADD, &line("incoming"))]).await;
        worker.run(SHOP, RunUntil::JobEnds(job.id.clone()), &CancellationToken::new()).await.unwrap();
        let counts = harness.stores.jobs.get(&job.id).await.unwrap().unwrap().counts;
        let state = harness.index.state();
        let document = &state.documents[&DocumentId::new("1").unwrap()].write.document;
        (document.fields["title"].as_str().unwrap().to_owned(), counts)
    }
}

#[tokio::test(start_paused = true)]
async fn other_content_of_the_same_version_is_written_by_the_later_job_alone() {
    const DAY: i64 = 24;
    for (name, is_written, case) in [
        ("a later export", true, CASE),
        ("the same export", false, Case { job: ("2", 10, b"A"), ..CASE }),
        ("an earlier export", false, Case { job: ("2", 9, b"A"), ..CASE }),
        (
            "a later export that is told to be a conflict",
            false,
            Case { same_version: SameVersion::Conflict, ..CASE },
        ),
        ("another plug-in", true, Case { job: ("2", 10, b"B"), ..CASE }),
        ("another plug-in, an earlier export", false, Case { job: ("2", 9, b"B"), ..CASE }),
        ("a time that only a wrong clock has", false, Case { job: ("2", 400 * 365 * DAY, b"A"), ..CASE }),
        ("a later export, the writer's record gone", true, Case { expired: true, ..CASE }),
        (
            "the same export, the writer's record gone",
            false,
            Case { job: ("2", 10, b"A"), expired: true, ..CASE },
        ),
        ("a later export, the document of another shop", false, Case { shop: "other.myshopify.com", ..CASE }),
        (
            "an earlier export, told to write",
            true,
            Case { job: ("2", 9, b"A"), same_version: SameVersion::Write, ..CASE },
        ),
    ] {
        let (title, counts) = case.titles().await;
        let expected = if is_written { ("incoming", 1, 0) } else { ("stored", 0, 1) };
        assert_eq!((&*title, counts.processed, counts.conflict), expected, "{name}");
    }
}

const UPDATE: Operation = Operation::UpdateDocuments;
const DELETE: Operation = Operation::DeleteDocuments;

/// Works jobs of these operations and titles on one document in one version, each with the hour of its export; returns the
/// title that the index has in the end, and the number of conflicts of each job.
async fn after(jobs: &[(Operation, &str, i64)]) -> (Option<String>, Vec<u64>) {
    let harness = Harness::new();
    let mut conflicts = Vec::new();
    for (number, (operation, title, hour)) in jobs.iter().enumerate() {
        let job = Job {
            id: JobId::new(format!("job-{number}")).unwrap(),
            exported_at: Some(Timestamp::from_second(hour * 3_600).unwrap()),
            ..build::job(&*harness.clock, SHOP)
        };
        let fields = if *operation == DELETE { String::new() } else { format!(",\"title\":\"{title}\"") };
        let line = format!("{{\"_id\":\"1\",\"_mq_product\":\"gid/1\",\"v\":1{fields}}}\n");
        build::publish(&harness.stores, &job, &[(0, *operation, &line)]).await;
        conflicts.push(harness.run(&job.id).await.unwrap().counts.conflict);
    }
    let state = harness.index.state();
    let document = state.documents.get(&DocumentId::new("1").unwrap());
    let title = document.map(|indexed| indexed.write.document.fields["title"].as_str().unwrap().to_owned());
    (title, conflicts)
}

/// Regression: removals of the stored version knew no order, and only `--same-version write` brought a product back.
#[tokio::test(start_paused = true)]
async fn removals_and_updates_of_the_same_version_follow_their_exports() {
    let written = |title: &str| Some(title.to_owned());
    for (jobs, title, conflicts) in [
        (&[(ADD, "a", 2), (DELETE, "", 1)][..], written("a"), [0, 1].as_slice()),
        (&[(ADD, "a", 2), (DELETE, "", 2)], None, &[0, 0]),
        (&[(ADD, "a", 2), (DELETE, "", 3), (ADD, "b", 4)], written("b"), &[0, 0, 0]),
        (&[(ADD, "a", 2), (DELETE, "", 3), (ADD, "b", 3)], None, &[0, 0, 1]),
        (&[(ADD, "a", 2), (DELETE, "", 3), (ADD, "b", 1)], None, &[0, 0, 1]),
        (&[(ADD, "a", 1), (UPDATE, "u", 3), (ADD, "b", 2)], written("u"), &[0, 0, 1]),
        (&[(ADD, "a", 1), (UPDATE, "u", 3), (ADD, "b", 3)], written("b"), &[0, 0, 0]),
    ] {
        assert_eq!(after(jobs).await, (title, conflicts.to_vec()), "{jobs:?}");
    }
}

/// Regression: a job that found a product unchanged left the job before it as the writer, whose export an older one than
/// its own was later than.
#[tokio::test(start_paused = true)]
async fn an_export_that_had_the_product_unchanged_is_not_outdated_by_an_older_one() {
    let harness = Harness::new();
    let job_of = |id: &str, hour: i64| Job {
        id: JobId::new(id).unwrap(),
        exported_at: Some(Timestamp::from_second(hour * 3_600).unwrap()),
        ..build::job(&*harness.clock, SHOP)
    };
    let line =
        |title: &str| format!("{{\"_id\":\"1\",\"_mq_product\":\"gid/1\",\"v\":1,\"title\":\"{title}\"}}\n");
    let first = job_of("first", 1);
    build::publish(&harness.stores, &first, &[(0, ADD, &line("right"))]).await;
    harness.run(&first.id).await.unwrap();
    // The ingest of this job skipped the product: it is in no chunk, but in the list of the job's ids.
    let unchanged = job_of("unchanged", 3);
    harness.stores.jobs.create(&unchanged).await.unwrap();
    let mut ids = crate::ids::JobIds::default();
    ids.add_unchanged("gid/1", &[DocumentId::new("1").unwrap()].into());
    let ids = ids.store(harness.stores.chunks.as_ref(), &unchanged).await.unwrap();
    let seal = host_core::model::Seal { ids: Some(ids), ..build::seal(0) };
    harness.stores.jobs.seal(&unchanged.id, &seal).await.unwrap();
    // Nor does a removal from an older export hold.
    let removal = job_of("removal", 2);
    let gone = "{\"_id\":\"1\",\"_mq_product\":\"gid/1\",\"v\":1}\n";
    build::publish(&harness.stores, &removal, &[(0, DELETE, gone)]).await;
    assert_eq!(harness.run(&removal.id).await.unwrap().counts.conflict, 1);
    for (id, hour, expected) in [("older", 2, "right"), ("newer", 4, "new")] {
        let job = job_of(id, hour);
        build::publish(&harness.stores, &job, &[(0, ADD, &line("new"))]).await;
        harness.run(&job.id).await.unwrap();
        let state = harness.index.state();
        let document = &state.documents[&DocumentId::new("1").unwrap()].write.document;
        assert_eq!(document.fields["title"], expected, "{id}");
    }
}
