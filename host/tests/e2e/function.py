"""What AWS's own tools do with a function: it is created, invoked, and its log is read as CloudWatch reads it.

    function.py AWS_URL FUNCTION create ZIP ARCHITECTURE QUEUE VARIABLES
    function.py AWS_URL FUNCTION drain QUEUE
    function.py AWS_URL FUNCTION metrics

`create` attaches a queue to it, `drain` waits until that is empty, `metrics` has CloudWatch take the metrics of its log and
prints all that CloudWatch then knows of them, as JSON."""

import datetime
import json
import sys
import time

from botocore.config import Config
from botocore.session import Session

TIMEOUT_SECONDS = 300

# MetricDatum in the reference of CloudWatch's API.
SIZES = ["Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits", "Kilobits", "Megabits", "Gigabits", "Terabits"]
UNITS = {"Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "Count/Second", "None"}
UNITS |= {*SIZES, *(f"{size}/Second" for size in SIZES)}

aws_url, function, task, *given = sys.argv[1:]
session = Session()


def client(service):
    return session.create_client(service, endpoint_url=aws_url, config=Config())


def create(package, architecture, queue, variables):
    sqs, functions = client("sqs"), client("lambda")
    with open(package, "rb") as file:
        code = file.read()
    functions.create_function(
        FunctionName=function,
        Runtime="provided.al2023",
        Handler="bootstrap",
        Role="arn:aws:iam::123456789012:role/function",
        Architectures=[architecture],
        Code={"ZipFile": code},
        Timeout=900,
        MemorySize=1024,
        Environment={"Variables": json.loads(variables)},
    )
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    functions.create_event_source_mapping(
        EventSourceArn=attributes["QueueArn"],
        FunctionName=function,
        BatchSize=10,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )


def drain(queue):
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    until = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < until:
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        waiting = {key: int(value) for key, value in attributes.items() if key.startswith("ApproximateNumberOf")}
        if not any(waiting.values()):
            break
        time.sleep(0.2)
    else:
        sys.exit(f"messages stay in {queue}: {waiting}")
    # Lines that were printed too late for the last invocation's log are in this one's.
    for _ in range(3):
        answered = client("lambda").invoke(FunctionName=function, Payload=b'{"Records": []}')
        payload = json.loads(answered["Payload"].read())
        must("FunctionError" not in answered and payload == {"batchItemFailures": []}, f"no messages gave {payload}")


def must(holds, what):
    if not holds:
        sys.exit(what)


def lines():
    """What the function has printed."""
    platform = ("START RequestId:", "END RequestId:", "REPORT RequestId:")
    pages = client("logs").get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{function}")
    for page in pages:
        for event in page["events"]:
            line = event["message"]
            if not line.startswith(platform):
                try:
                    yield json.loads(line)
                except ValueError:
                    sys.exit(f"not one JSON object: {line}")


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def data(line):
    """The metrics of a line, if it bears any; ends if it breaks a rule of the specification of the embedded metric format."""
    metadata = line.get("_aws")
    if metadata is None:
        return
    timestamp = metadata["Timestamp"]
    must(isinstance(timestamp, int), f"Timestamp is not an integer: {line}")
    must(abs(timestamp / 1000 - time.time()) < 3600, f"Timestamp is not in milliseconds: {line}")
    for directive in metadata["CloudWatchMetrics"]:
        namespace, sets, metrics = directive["Namespace"], directive["Dimensions"], directive["Metrics"]
        must(isinstance(namespace, str) and 0 < len(namespace) <= 255, f"Namespace: {line}")
        must(len(sets) >= 1 and len(metrics) <= 100, f"number of sets of dimensions or of metrics: {line}")
        for keys in sets:
            must(len(keys) <= 30, f"a set has more than 30 dimensions: {line}")
            must(all(isinstance(line.get(key), str) and line[key] for key in keys), f"a dimension is not a string: {line}")
            for metric in metrics:
                value = line.get(metric["Name"])
                values = value if isinstance(value, list) else [value]
                must(0 < len(values) <= 100 and all(map(is_number, values)), f"{metric['Name']} is not a number: {line}")
                unit = metric.get("Unit", "None")
                must(unit in UNITS, f"{unit} is not a unit: {line}")
                yield namespace, {
                    "MetricName": metric["Name"],
                    "Dimensions": [{"Name": key, "Value": line[key]} for key in keys],
                    "Timestamp": timestamp / 1000,
                    "Unit": unit,
                    "Values": values,
                }


def metrics():
    cloudwatch = client("cloudwatch")
    namespaces = set()
    for line in lines():
        for namespace, datum in data(line):
            namespaces.add(namespace)
            cloudwatch.put_metric_data(Namespace=namespace, MetricData=[datum])
    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    for namespace in sorted(namespaces):
        for page in cloudwatch.get_paginator("list_metrics").paginate(Namespace=namespace):
            for metric in page["Metrics"]:
                points = cloudwatch.get_metric_statistics(
                    **metric, StartTime=now - hour, EndTime=now + hour, Period=3600, Statistics=["Sum", "SampleCount"]
                )["Datapoints"]
                yield {
                    "namespace": namespace,
                    "name": metric["MetricName"],
                    "dimensions": {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]},
                    "unit": points[0]["Unit"],
                    "sum": sum(point["Sum"] for point in points),
                    "samples": sum(point["SampleCount"] for point in points),
                }


if task == "metrics":
    print(json.dumps(list(metrics())))
else:
    {"create": create, "drain": drain}[task](*given)
