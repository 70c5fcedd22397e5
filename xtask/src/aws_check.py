"""Checks S3, SQS, DynamoDB and the index without the host, by the documented names, keys and fields.

    aws_check.py published|ended AWS_URL MARQO_URL SHOP=INDEX=PRODUCTS …

Prints a line per shop, and the first difference to standard error."""

import json
import shutil
import subprocess
import sys
import time
import urllib.request

from botocore.config import Config
from botocore.session import Session

ENV = "dev"
BUCKET = f"{ENV}-ecom-product-data-bucket"
TABLE = f"{ENV}-EcomIndexerJobsTable"
TIMEOUT_SECONDS = 1800

moment, aws_url, marqo_url, *shops = sys.argv[1:]
session = Session()


def client(service, **options):
    return session.create_client(service, endpoint_url=aws_url, config=Config(**options))


s3 = client("s3", s3={"addressing_style": "path"})
sqs = client("sqs")
dynamodb = client("dynamodb")


class Mismatch(Exception):
    pass


def expect(what, found, expected):
    if found != expected:
        raise Mismatch(f"{what}: {found!r}, expected {expected!r}")


def record_of(shop):
    """The only job of a shop."""
    found = dynamodb.query(
        TableName=TABLE,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :job)",
        ExpressionAttributeValues={":pk": {"S": f"PLATFORM#shopify#SHOP#{shop}"}, ":job": {"S": "JOB#"}},
        ConsistentRead=True,
    )["Items"]
    expect(f"{shop}: number of jobs", len(found), 1)
    return found[0]


def number(record, name):
    return int(record[name]["N"])


def ended(shop):
    """The job of a shop once it has ended."""
    until = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < until:
        record = record_of(shop)
        if record["status"]["S"] not in ("PENDING", "IN_PROGRESS"):
            return record
        time.sleep(0.5)
    raise Mismatch(f"{shop}: the job does not end: {record['status']['S']}")


def look_up(job_id):
    """The documented query, through the AWS command line if it is installed."""
    query = [
        "aws", "dynamodb", "query",
        "--table-name", TABLE,
        "--index-name", "GSI_JobLookup",
        "--key-condition-expression", "job_id = :jid",
        "--expression-attribute-values", json.dumps({":jid": {"S": job_id}}),
    ]  # fmt: skip
    program = shutil.which("aws")
    if program:
        query_run = subprocess.run(
            [program, *query[1:], "--endpoint-url", aws_url, "--output", "json"], capture_output=True, text=True
        )
        if query_run.returncode == 0:
            return "aws", json.loads(query_run.stdout)["Items"]
        print(f"`aws` is installed but fails: {query_run.stderr.strip()}", file=sys.stderr)
    found = dynamodb.query(
        TableName=TABLE,
        IndexName="GSI_JobLookup",
        KeyConditionExpression="job_id = :jid",
        ExpressionAttributeValues={":jid": {"S": job_id}},
    )
    return "botocore", found["Items"]


def queue(shop, suffix=""):
    name = f"{ENV}-ecom-indexer-{shop.replace('.', '_')}{suffix}.fifo"
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    expect(f"{name}: FifoQueue", attributes["FifoQueue"], "true")
    waiting = sum(int(value) for key, value in attributes.items() if key.startswith("ApproximateNumberOfMessages"))
    return url, attributes, waiting


def objects(shop, job_id):
    """Keys of the job's chunks, and their number of lines."""
    prefix = f"shopify/{shop}/bulk/{job_id}/"
    keys, lines = [], 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
        for item in page.get("Contents", []):
            if item["Key"].startswith(prefix + "chunk_"):
                keys.append(item["Key"])
                body = s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
                for line in body.splitlines():
                    json.loads(line)
                    lines += 1
    expect(f"{shop}: chunk objects", sorted(keys), [f"{prefix}chunk_{n:04}.jsonl" for n in range(len(keys))])
    return keys, lines


def documents(index):
    with urllib.request.urlopen(f"{marqo_url}/indexes/{index}/stats") as answer:
        return json.load(answer)["numberOfDocuments"]


def check_record(record, shop, index):
    job_id, created_at = record["job_id"]["S"], record["created_at"]["S"]
    expect(f"{shop}: sk", record["sk"]["S"], f"JOB#{created_at}#{job_id}")
    expect(f"{shop}: shop_id", record["shop_id"]["S"], shop)
    expect(f"{shop}: index_name", record["index_name"]["S"], index)
    expect(f"{shop}: operation", record["operation"]["S"], "ADD_DOCUMENTS")
    return job_id


def published(shop, index, products):
    """Checks a shop without a worker: each chunk is one message."""
    record = record_of(shop)
    job_id = check_record(record, shop, index)
    expect(f"{shop}: status", record["status"]["S"], "PENDING")
    expect(f"{shop}: total_items", number(record, "total_items"), products)
    keys, lines = objects(shop, job_id)
    expect(f"{shop}: lines of all chunks", lines, products)
    url, attributes, waiting = queue(shop)
    expect(f"{shop}: messages", waiting, len(keys))
    expect(f"{shop}: MessageRetentionPeriod", attributes["MessageRetentionPeriod"], str(14 * 86_400))
    dead, dead_attributes, _ = queue(shop, "-dlq")
    policy = json.loads(attributes["RedrivePolicy"])
    expect(f"{shop}: dead letters", policy["deadLetterTargetArn"], dead_attributes["QueueArn"])
    message = sqs.receive_message(QueueUrl=url, VisibilityTimeout=0, AttributeNames=["All"])["Messages"][0]
    body = json.loads(message["Body"])
    expect(f"{shop}: s3_key", body["s3_key"] in keys, True)
    group = message["Attributes"]["MessageGroupId"]
    expect(f"{shop}: MessageGroupId", group.rsplit("#", 1)[0], shop)
    fields = {"job_id": job_id, "shop_id": shop, "index_name": index, "s3_bucket": BUCKET}
    for name, expected in fields.items():
        expect(f"{shop}: {name} of a message", body[name], expected)
    expect(f"{shop}: operation", body["operation"] in ("ADD_DOCUMENTS", "DELETE_DOCUMENTS"), True)
    return f"{len(keys)} chunks, one message each"


def completed(shop, index, products):
    """Checks a shop whose job has ended."""
    record = ended(shop)
    job_id = check_record(record, shop, index)
    expect(f"{shop}: status", record["status"]["S"], "COMPLETED")
    expect(f"{shop}: total_items", number(record, "total_items"), products)
    expect(f"{shop}: processed", number(record, "processed"), products)
    for name in ("failed", "skipped", "conflict"):
        expect(f"{shop}: {name}", number(record, name), 0)
    keys, lines = objects(shop, job_id)
    expect(f"{shop}: lines of all chunks", lines, products)
    expect(f"{shop}: completed chunks", number(record, "completed"), len(keys))
    expect(f"{shop}: messages", queue(shop)[2], 0)
    expect(f"{shop}: dead letters", queue(shop, "-dlq")[2], 0)
    removed = number(record, "deleted")
    expect(f"{shop}: documents in {index}", documents(index), products - removed)
    client_name, found = look_up(job_id)
    expect(f"{shop}: GSI_JobLookup by {client_name}", found, [record])
    return f"job {job_id} COMPLETED, {products - removed} documents, {removed} removals, {len(keys)} chunks; found by {client_name}"


try:
    for argument in shops:
        shop, index, products = argument.split("=")
        check = {"published": published, "ended": completed}[moment]
        print(f"{shop}: {check(shop, index, int(products))}", flush=True)
except Mismatch as mismatch:
    sys.exit(str(mismatch))
