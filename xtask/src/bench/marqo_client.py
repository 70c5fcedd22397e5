"""Writes documents to a Marqo server with its own client; prints seconds, processor seconds, documents."""

import json
import sys
import time

import marqo

url, path = sys.argv[1:3]
documents = []
with open(path, encoding="utf-8") as lines:
    for line in lines:
        document = json.loads(line)
        # A search index never gets them.
        document.pop("variants", None)
        documents.append(document)

index = marqo.Client(url=url).index("bench")
started, started_processor = time.perf_counter(), time.process_time()
answers = index.add_documents(documents, tensor_fields=[], client_batch_size=128)
seconds, processor = time.perf_counter() - started, time.process_time() - started_processor
written = sum(item["status"] == 200 for answer in answers for item in answer["items"])
if written != len(documents):
    sys.exit(f"{written} of {len(documents)} documents were written")
print(seconds, processor, written)
