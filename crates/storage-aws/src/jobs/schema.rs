//! Keys of the items in the table of jobs. A shop's chunks are in lanes, each of which is worked in order; a seal is
//! what ingest stores when it has published all chunks; samples are the first refused items of a chunk.
//!
//! | partition | sort key | what |
//! | --- | --- | --- |
//! | `PLATFORM#{platform}#SHOP#{shop}` | `JOB#{created_at}#{job}` | the record; the only item with `job_id`, by which `GSI_JobLookup` finds it |
//! | `JOB#{job}` | `RECORD` | the locator: the key of the record |
//! | `JOB#{job}` | `CHUNK#{seq}` | a chunk row |
//! | `JOB#{job}` | `SEGMENT#{n}` | which of 250 consecutive chunks are counted, which are quarantined, the sum of their counts, and which counts a redrive has undone |
//! | `JOB#{job}` | `SAMPLE#{class}#{seq}`, `REPORT#{seq}` | samples and report key of a counted chunk |
//! | `JOB#{job}` | `SEAL#{digest}#{n}` | the seal as text, in parts |
//! | `OPEN` | `SHOP#{shop}#INDEX#{index}#JOB#{job}` | a job that has not ended, or has chunks that are not counted |
//! | `OPEN` | `LISTED` | when all jobs were last looked through for those |
//! | `JOBS` | `CREATED#{created_at}#{job}` | all jobs by age |
//! | `INDEXES` | `SHOP#{shop}#INDEX#{index}#TARGET#{target}` | that a job was created for an index; outlives its jobs |
//! | `SHOP#{shop}` | `PLATFORM#{platform}` | platforms of a shop |
//! | `SHOP#{shop}` | `INGEST#{index}` | the lease of the process that ingests |
//! | `SHOP#{shop}` | `SEQUENCE#{index}` | the last number that a job of the index got, in how many lanes its chunks are, and which targets are in `INDEXES` |
//! | `REMOVED#{digest of shop}` | `SHOP` | that a shop is being removed, or was |

use crate::table::Key;
use host_core::{
    model::{Digest, EntryClass, Job, JobId},
    storage::ShopRemoval,
};
use jiff::Timestamp;

/// Chunks counted in one item. DynamoDB bills a write by the item's size: this many numbers stay below 2 KB.
pub(super) const SEGMENT: u32 = 250;

/// An instant as text that sorts by time.
pub(super) fn instant(at: Timestamp) -> String {
    format!("{at:.6}")
}

pub(super) fn shop_of_platform(platform: &str, shop_id: &str) -> String {
    format!("PLATFORM#{platform}#SHOP#{shop_id}")
}

/// Prefix of the sort keys of records, and of the partitions of single jobs.
pub(super) const JOB: &str = "JOB#";

pub(super) fn record(job: &Job) -> Key {
    let sk = format!("{JOB}{}#{}", instant(job.created_at), job.id);
    Key::new(shop_of_platform(&job.platform, &job.shop_id), sk)
}

pub(super) fn of_job(id: impl std::fmt::Display) -> String {
    format!("{JOB}{id}")
}

pub(super) fn locator(id: &JobId) -> Key {
    Key::new(of_job(id), "RECORD")
}

pub(super) fn chunk(id: &JobId, seq: u32) -> Key {
    Key::new(of_job(id), format!("CHUNK#{seq:08}"))
}

pub(super) const SEGMENTS: &str = "SEGMENT#";

pub(super) fn segment(id: &JobId, number: u32) -> Key {
    Key::new(of_job(id), format!("{SEGMENTS}{number:06}"))
}

/// What the sort keys of all samples of a class begin with.
pub(super) fn samples(class: EntryClass) -> String {
    let class = match class {
        EntryClass::Skipped => "skipped",
        EntryClass::Failed => "failed",
        EntryClass::Conflict => "conflict",
        EntryClass::Warning => "warning",
    };
    format!("SAMPLE#{class}#")
}

pub(super) fn sample(id: &JobId, class: EntryClass, seq: u32) -> Key {
    Key::new(of_job(id), format!("{}{seq:08}", samples(class)))
}

pub(super) const REPORTS: &str = "REPORT#";

pub(super) fn report(id: &JobId, seq: u32) -> Key {
    Key::new(of_job(id), format!("{REPORTS}{seq:08}"))
}

/// What the sort keys of all parts of a seal begin with.
pub(super) fn seal_parts(digest: Digest) -> String {
    format!("SEAL#{}#", &digest.hex()[..16])
}

pub(super) const ALL_JOBS: &str = "JOBS";
pub(super) const CREATED: &str = "CREATED#";

pub(super) fn directory(job: &Job) -> Key {
    directory_of(&instant(job.created_at), job.id.as_str())
}

/// The same key, for a job of whose record only these attributes are read.
pub(super) fn directory_of(created_at: &str, id: &str) -> Key {
    Key::new(ALL_JOBS, format!("{CREATED}{created_at}#{id}"))
}

/// The partition of the index of open jobs.
pub(super) const OPEN: &str = "OPEN";
/// What the sort keys of its entries begin with.
pub(super) const OPEN_JOBS: &str = "SHOP#";

pub(super) fn open_of_shop(shop_id: &str) -> String {
    format!("{OPEN_JOBS}{shop_id}#INDEX#")
}

pub(super) fn open(shop_id: &str, index_name: &str, id: &JobId) -> Key {
    Key::new(OPEN, format!("{}{index_name}#JOB#{id}", open_of_shop(shop_id)))
}

pub(super) fn open_jobs_listed() -> Key {
    Key::new(OPEN, "LISTED")
}

/// What the partitions of shops begin with.
pub(super) const SHOP: &str = "SHOP#";

pub(super) fn shop(shop_id: &str) -> String {
    format!("{SHOP}{shop_id}")
}

pub(super) const PLATFORMS: &str = "PLATFORM#";

pub(super) fn platform(job: &Job) -> Key {
    Key::new(shop(&job.shop_id), format!("{PLATFORMS}{}", job.platform))
}

pub(super) const SEQUENCES: &str = "SEQUENCE#";

/// The sort key of the item that numbers the jobs of an index of this name, the same for all shops.
pub(super) fn sequence_of(index_name: &str) -> String {
    format!("{SEQUENCES}{index_name}")
}

pub(super) fn sequence(job: &Job) -> Key {
    Key::new(shop(&job.shop_id), sequence_of(&job.index_name))
}

/// The partition of the indexes of all shops.
pub(super) const INDEXES: &str = "INDEXES";

/// What the sort keys of the indexes of a shop begin with.
pub(super) fn indexes_of(shop_id: &str) -> String {
    format!("SHOP#{shop_id}#INDEX#")
}

pub(super) fn index(job: &Job) -> Key {
    let sk = format!("{}{}#TARGET#{}", indexes_of(&job.shop_id), job.index_name, job.target);
    Key::new(INDEXES, sk)
}

pub(super) fn ingest(job: &Job) -> Key {
    Key::new(shop(&job.shop_id), format!("INGEST#{}", job.index_name))
}

pub(super) fn shop_removal(shop_id: &str) -> Key {
    Key::new(format!("REMOVED#{}", ShopRemoval::key(shop_id)), "SHOP")
}
