//! Measures the share of a processor core that `host work` takes while no shop has work for it. Nothing is asserted.

use crate::{
    aws::{Cloud, Server, block_on, terminate},
    support::{TestDir, setting},
};
use host_storage_aws::Names;
use marqo_stand_in::Options;
use std::{fs, process::Child, thread, time::Duration};

/// Clock ticks per second in `/proc`; 100 on every Linux.
const TICKS: f64 = 100.0;

/// Processor time of a process, in seconds.
fn cpu_seconds(process: &Child) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    // Fields are counted from the end of the process's name in parentheses, since the name may have spaces.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    // Fields 14 and 15 of the file: time in user mode and in the kernel.
    (ticks(11) + ticks(12)) / TICKS
}

/// Prints the share of a core that a worker takes, once it is past its start.
fn measure(mut worker: Child, setup: &str) {
    let seconds = setting("HOST_TEST_SECONDS", 120);
    thread::sleep(Duration::from_secs(seconds / 4));
    let before = cpu_seconds(&worker);
    thread::sleep(Duration::from_secs(seconds));
    let share = (cpu_seconds(&worker) - before) / seconds as f64;
    println!("{setup}, idle for {seconds} s: {:.2} % of a core", share * 100.0);
    terminate(&worker);
    worker.wait().unwrap();
}

#[test]
#[ignore = "measures"]
fn an_idle_worker_in_aws() {
    let shops = setting("HOST_TEST_SHOPS", 10_000);
    let cloud = Cloud::on(&Server::start(), 123_456_789_012, Options::default());
    let (client, names) = (cloud.clients().sqs, Names::new("dev", None));
    block_on(async {
        for shop in 0..shops {
            let name = names.queue(&format!("shop-{shop}.myshopify.com"));
            let create = client.create_queue().queue_name(name).attributes("FifoQueue".into(), "true");
            create.send().await.unwrap();
        }
    });
    measure(cloud.worker(), &format!("{shops} queues in AWS"));
}

#[test]
#[ignore = "measures"]
fn an_idle_worker_on_one_machine() {
    let shops = setting("HOST_TEST_SHOPS", 10_000);
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", crate::aws::sample(0, 1));
    assert_eq!(test_dir.run("export.jsonl", &[]).code, Some(0));
    let database = rusqlite::Connection::open(test_dir.path("data/host.db")).unwrap();
    let columns: Vec<String> = {
        let mut info = database.prepare("SELECT name FROM pragma_table_info('job')").unwrap();
        info.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    // Copies the job's row for each shop.
    let values = columns.iter().map(|column| match column.as_str() {
        "id" => "id || '-' || number".to_owned(),
        "shop_id" => "'shop-' || number || '.myshopify.com'".to_owned(),
        other => format!("\"{other}\""),
    });
    let values = values.collect::<Vec<_>>().join(", ");
    let copy = format!(
        "WITH RECURSIVE shops(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM shops WHERE number < {shops})
         INSERT INTO job SELECT {values} FROM job, shops"
    );
    database.execute_batch(&copy).unwrap();
    drop(database);
    let worker = test_dir.command(&["work", "--data-dir", "data"]).spawn().unwrap();
    measure(worker, &format!("{shops} shops on one machine"));
}
