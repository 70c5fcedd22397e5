//! Names of the things in AWS, as docs/aws.md lists them: `{env}-ecom-product-data-bucket`,
//! `{env}-EcomIndexerJobsTable`, `{env}-EcomIndexSettingsTable`, `{env}-EcomIndexerProductsTable`,
//! `{env}-ecom-indexer-{shop_id}.fifo`.

use host_core::model::Digest;

/// Characters of the longest name that SQS allows for a queue.
const MAX_QUEUE_NAME: usize = 80;

/// Names of everything in one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    env: String,
    bucket: Option<String>,
}

impl Names {
    /// The names of an environment such as `dev`. `bucket` replaces the name of the bucket, which must be unique in all
    /// of AWS.
    pub fn new(env: &str, bucket: Option<&str>) -> Self {
        Self { env: env.to_owned(), bucket: bucket.map(str::to_owned) }
    }

    /// The environment.
    pub fn env(&self) -> &str {
        &self.env
    }

    /// The bucket of chunks and reports.
    pub fn bucket(&self) -> String {
        self.bucket.clone().unwrap_or_else(|| format!("{}-ecom-product-data-bucket", self.env))
    }

    /// The table of jobs.
    pub fn jobs_table(&self) -> String {
        format!("{}-EcomIndexerJobsTable", self.env)
    }

    /// The table of settings.
    pub fn settings_table(&self) -> String {
        format!("{}-EcomIndexSettingsTable", self.env)
    }

    /// The table of the ledger of products.
    pub fn products_table(&self) -> String {
        format!("{}-EcomIndexerProductsTable", self.env)
    }

    /// What the names of all queues begin with.
    pub fn queue_prefix(&self) -> String {
        format!("{}-ecom-indexer-", self.env)
    }

    /// The queue of a shop.
    pub fn queue(&self, shop_id: &str) -> String {
        format!("{}.fifo", self.stem(shop_id))
    }

    /// The queue of a shop's dead letters.
    pub fn dead_letter_queue(&self, shop_id: &str) -> String {
        format!("{}{DEAD_LETTERS}", self.stem(shop_id))
    }

    /// The queue of the dead letters of the queue with this name.
    pub fn dead_letters_of(&self, queue: &str) -> String {
        format!("{}{DEAD_LETTERS}", queue.strip_suffix(".fifo").unwrap_or(queue))
    }

    /// The shop of a queue, read from its name; none if the name has a digest in place of the shop, or is of a
    /// dead-letter queue.
    pub fn shop_of(&self, queue: &str) -> Option<String> {
        let plain = queue.strip_prefix(&self.queue_prefix())?.strip_suffix(".fifo")?;
        let has_digest = plain
            .rsplit_once("__")
            .is_some_and(|(_, end)| end.len() == DIGEST_DIGITS && end.chars().all(|c| c.is_ascii_hexdigit()));
        if has_digest {
            return None;
        }
        let shop_id = plain.replace('_', ".");
        (!queue.ends_with(DEAD_LETTERS) && self.queue(&shop_id) == queue).then_some(shop_id)
    }

    /// The name of a shop's queue without its ending. SQS allows letters, digits, `-` and `_`; dots become `_`. If the
    /// name would then be that of another shop, or too long, it ends with a digest of the shop.
    fn stem(&self, shop_id: &str) -> String {
        let prefix = self.queue_prefix();
        let plain: String = shop_id.chars().map(|c| if c == '.' { '_' } else { c }).collect();
        let budget = MAX_QUEUE_NAME.saturating_sub(prefix.len() + DEAD_LETTERS.len());
        let is_plain = !shop_id.contains('_')
            && !plain.ends_with("-dlq")
            && plain.len() <= budget
            && plain.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        if is_plain {
            return format!("{prefix}{plain}");
        }
        let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let short: String = plain.chars().map(fits).take(budget.saturating_sub(DIGEST_DIGITS + 2)).collect();
        format!("{prefix}{short}__{}", &Digest::of(shop_id.as_bytes()).hex()[..DIGEST_DIGITS])
    }
}

/// Hexadecimal digits of a shop's digest in the name of its queue.
const DIGEST_DIGITS: usize = 16;

/// What the names of all queues of dead letters end with.
pub(super) const DEAD_LETTERS: &str = "-dlq.fifo";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_the_documentation() {
        let names = Names::new("dev", None);
        assert_eq!(names.bucket(), "dev-ecom-product-data-bucket");
        assert_eq!(Names::new("dev", Some("mine")).bucket(), "mine");
        assert_eq!(names.jobs_table(), "dev-EcomIndexerJobsTable");
        assert_eq!(names.settings_table(), "dev-EcomIndexSettingsTable");
        assert_eq!(names.products_table(), "dev-EcomIndexerProductsTable");
        assert_eq!(names.queue("example.myshopify.com"), "dev-ecom-indexer-example_myshopify_com.fifo");
        assert_eq!(
            names.dead_letter_queue("example.myshopify.com"),
            "dev-ecom-indexer-example_myshopify_com-dlq.fifo"
        );
    }

    #[test]
    fn the_name_of_a_queue_says_whose_it_is() {
        let names = Names::new("dev", None);
        for shop_id in ["example.myshopify.com", "a-b.example", "A"] {
            assert_eq!(names.shop_of(&names.queue(shop_id)).as_deref(), Some(shop_id));
            assert_eq!(names.shop_of(&names.dead_letter_queue(shop_id)), None);
        }
        for shop_id in ["a_b", "a-dlq", &"a".repeat(100)] {
            assert_eq!(names.shop_of(&names.queue(shop_id)), None, "it has a digest");
        }
        for other in ["dev-ecom-indexer-", "dev-ecom-indexer-a", "prod-ecom-indexer-a.fifo", ""] {
            assert_eq!(names.shop_of(other), None, "{other}");
        }
    }

    #[test]
    fn no_two_shops_share_a_queue() {
        let names = Names::new("staging", None);
        let long = "a".repeat(100);
        let longer = "a".repeat(101);
        let shops =
            ["a.b", "a_b", "a-b", "a", "a-dlq", "a.-dlq", "A", "a..b", "a__b", &long, &longer, "ä", "ö"];
        let mut queues: Vec<String> =
            shops.iter().flat_map(|shop| [names.queue(shop), names.dead_letter_queue(shop)]).collect();
        for queue in &queues {
            assert!(queue.len() <= MAX_QUEUE_NAME, "{queue}");
            let stem = queue.strip_suffix(".fifo").unwrap();
            assert!(stem.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)), "{queue}");
        }
        queues.sort_unstable();
        queues.dedup();
        assert_eq!(queues.len(), 2 * shops.len());
    }
}
