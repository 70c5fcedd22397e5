//! The status as a person reads it.

use super::{OTHER_TARGET, StatusScreen, fix, said};
use crate::cli::{
    hints::with_options,
    output::with_code,
    resume::{cleared_by, next_probe},
};
use host_core::{
    format::{count, duration, pluralize},
    storage::{AttemptError, Breaker, Cleared, JobSnapshot},
};
use host_pipeline::status::{EndedSync, IndexStatus, RECENT_JOBS, ShopStatus, Status};
use jiff::Timestamp;
use std::{fmt::Write, time::Duration};

impl StatusScreen {
    pub(super) fn text(&self, status: &Status, shop: Option<&str>) -> String {
        let mut text = String::new();
        let nothing_to_see = !status.more_jobs && status.shops.iter().all(ShopStatus::is_quiet);
        if nothing_to_see {
            let nothing = "o job is open, nothing is stopped, no dead letters";
            let place = if status.shops_left_out > 0 { " in the queues that were looked at" } else { "" };
            let _ = match shop {
                Some(shop) => writeln!(text, "{shop}: n{nothing}{place}."),
                None => writeln!(
                    text,
                    "N{nothing}{place}.\n`host status --shop SHOP{}` tells when a shop was synced last.",
                    self.options
                ),
            };
        }
        for shop in &status.shops {
            if !nothing_to_see {
                let _ = writeln!(text, "{}", shop.shop_id);
            }
            self.shop_text(&mut text, shop, status.more_jobs);
        }
        self.left_out_text(&mut text, status);
        text
    }

    fn shop_text(&self, text: &mut String, shop: &ShopStatus, more_jobs: bool) {
        let ShopStatus { shop_id, messages, dead_letters, indexes } = shop;
        for index in indexes {
            self.index_text(text, shop_id, index);
        }
        if *dead_letters > 0 {
            let (number, command) =
                (pluralize(*dead_letters, "dead letter"), self.list_dead_letters(shop_id));
            let _ = writeln!(text, "  {number}: `{command}` tells why");
        }
        if *messages > 0 {
            let is_of_no_job = !more_jobs && indexes.iter().all(|index| index.jobs.is_empty());
            let of_no_job = if is_of_no_job { ", of no open job" } else { "" };
            let _ = writeln!(text, "  {} in the queue{of_no_job}", pluralize(*messages, "message"));
        }
    }

    fn index_text(&self, text: &mut String, shop_id: &str, index: &IndexStatus) {
        let _ = writeln!(text, "  index {}", index.index_name);
        if let Some(breaker) = &index.stopped {
            self.stop_text(text, breaker, index.is_held_up);
        }
        if let Some(breaker) = index.stopped.as_ref().filter(|_| index.is_held_up) {
            let resume = self.resume(shop_id, &index.index_name);
            let _ = match fix(breaker, &self.options) {
                Some(fix) => writeln!(
                    text,
                    "             `{fix}` resumes work; where the cause is another one, `{resume}` once it is fixed"
                ),
                None => writeln!(text, "             once the cause is fixed: `{resume}`"),
            };
        }
        for job in &index.jobs {
            self.job_text(text, job, index.stopped.as_ref());
        }
        if let Some(since) = index.waiting_since() {
            let _ = writeln!(text, "    waiting  the oldest chunk's job for {}", self.age(since));
        }
        // What stops work now is worth more than what did before.
        if let Some(breaker) = index.cleared.as_ref().filter(|_| index.stopped.is_none()) {
            self.cleared_text(text, breaker, &index.jobs);
        }
        self.sync_text(text, index);
    }

    fn stop_text(&self, text: &mut String, breaker: &Breaker, is_held_up: bool) {
        let Breaker { code, message, since, probes, .. } = breaker;
        let (age, said) = (self.age(*since), with_code(&with_options(message, &self.options), code));
        let _ = writeln!(text, "    stopped  for {age}, since {since:.0}: {said}");
        if !is_held_up {
            text.push_str("             no job waits for it; the first chunk that comes is tried\n");
            return;
        }
        let tries = if *probes == 1 { "try" } else { "tries" };
        let gives_up_at = breaker.expires_at(self.stopped_after);
        let gives_up = match gives_up_at > self.now {
            true => format!("in {} at {gives_up_at:.0}", self.time_until(gives_up_at)),
            false => "at the next try that fails, if there were ten".to_owned(),
        };
        let next = match self.has_worker {
            true => next_probe(breaker, self.now),
            false => "when a worker runs".to_owned(),
        };
        let _ = writeln!(
            text,
            "             {} {tries} since, next try {next}; its chunks become dead letters {gives_up}",
            count((*probes).into())
        );
    }

    /// What stopped work before, without the reason where a job says it.
    fn cleared_text(&self, text: &mut String, breaker: &Breaker, jobs: &[JobSnapshot]) {
        let Some(Cleared { by, at }) = breaker.cleared else { return };
        let Breaker { since, code, message, .. } = breaker;
        let is_said =
            jobs.iter().filter_map(|job| job.last_error.as_ref()).any(|error| said(error) == *message);
        let reason = match is_said {
            true => String::new(),
            false => format!(": {}", with_code(&with_options(message, &self.options), code)),
        };
        let by = cleared_by(by);
        let _ = writeln!(text, "    cleared  {at:.0} {by}; it was stopped since {since:.0}{reason}");
    }

    fn sync_text(
        &self,
        text: &mut String,
        IndexStatus { last_sync, last_success, not_archived, .. }: &IndexStatus,
    ) {
        let Some(EndedSync { job_id, status, ended_at }) = last_sync else { return };
        let ended =
            format!("{} ago, at {ended_at:.0}: {}, job {job_id}", self.age(*ended_at), status.as_str());
        let success = match last_success {
            Some(success) if success.job_id == *job_id => String::new(),
            Some(EndedSync { job_id, ended_at, .. }) => {
                format!("; without failures {} ago, at {ended_at:.0}, job {job_id}", self.age(*ended_at))
            }
            None => format!("; none of the shop's last {RECENT_JOBS} jobs was a sync without failures"),
        };
        let _ = writeln!(text, "    synced   {ended}{success}");
        if let Some((job, refused)) = not_archived {
            let (message, options) = (&refused.message, &self.options);
            let _ = writeln!(
                text,
                "    archived nothing after the full sync of job {job}: {message}; `host jobs show {job}{options}` tells how to go on"
            );
        }
    }

    fn job_text(&self, text: &mut String, job: &JobSnapshot, stopped: Option<&Breaker>) {
        let JobSnapshot { job: created, status, seal, last_error, .. } = job;
        let total = seal.as_ref().map_or(String::new(), |seal| format!(" of {}", count(seal.total_items)));
        let (progress, age) = (crate::cli::jobs::indexing(job).text, self.age(created.created_at));
        let _ =
            writeln!(text, "    job      {} {}, for {age}: {progress}{total}", created.id, status.as_str());
        // The stop, or what is missing, says it already.
        let is_said = |error: &AttemptError| {
            stopped.is_some_and(|stop| stop.message == said(error))
                || (error.code == OTHER_TARGET && self.idle_hint(job).is_some())
        };
        let error = last_error.as_ref().filter(|error| !is_said(error));
        if let Some(error) = error {
            let happened = self.error_text(error, stopped.is_some());
            let _ = writeln!(text, "             {happened}; `{}`", self.show_job(job));
        }
        if let Some(hint) = self.idle_hint(job) {
            let _ = writeln!(text, "             {hint}");
        }
    }

    /// The last error of a job, and what happens next where the work is tried again by itself.
    fn error_text(&self, error: &AttemptError, is_stopped: bool) -> String {
        let AttemptError { code, attempt, max_attempts, retry_at, at, .. } = error;
        let said = with_code(&with_options(&said(error), &self.options), code);
        match (max_attempts.filter(|_| !is_stopped), retry_at) {
            (None, _) => format!("last error {at:.0}: {said}"),
            (Some(most), None) => {
                format!("attempt {attempt} of {most} is under way, failing since {at:.0}: {said}")
            }
            (Some(most), Some(retry_at)) => {
                let next = match *retry_at > self.now {
                    _ if !self.has_worker => "when a worker runs".to_owned(),
                    true => format!("in {}", self.time_until(*retry_at)),
                    false => "now".to_owned(),
                };
                format!("attempt {attempt} of {most} failed at {at:.0}, the next one begins {next}: {said}")
            }
        }
    }

    /// How long ago that was; a clock may have been ahead.
    fn age(&self, since: Timestamp) -> String {
        duration(Duration::try_from(self.now.duration_since(since)).unwrap_or_default())
    }

    fn time_until(&self, at: Timestamp) -> String {
        duration(Duration::try_from(at.duration_since(self.now)).unwrap_or_default())
    }

    /// What was not looked at, on which nothing above says anything.
    fn left_out_text(&self, text: &mut String, status: &Status) {
        let options = &self.options;
        if status.more_jobs {
            let _ = writeln!(
                text,
                "there are more open jobs: `host status --shop SHOP{options}` shows those of one shop"
            );
        }
        if status.shops_left_out > 0 {
            let shops = pluralize(status.shops_left_out, "shop");
            let _ = writeln!(
                text,
                "the queues of {shops} without an open job were not looked at: `host dlq list{options}` looks at all of them"
            );
        }
    }
}
