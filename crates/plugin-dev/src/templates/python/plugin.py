"""{{name}}, a plug-in for host. `wit/deps` has the contract, README.md says how to build and test."""

import json
import traceback

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.manifest import Description, Grouping_WholeLines
# @begin transform
from wit_world.exports.transform import Removal, Transformed
# @end
# @begin version
from wit_world.exports.version import Ordering
# @end
from wit_world.imports import log
# @begin transform validate
from wit_world.imports.types import Document, Failure, Issue, Severity
# @end
# @begin !transform !validate
from wit_world.imports.types import Failure
# @end


def told(role):
    """What is raised by mistake is a trap, and a trap has no words: they go to the log, which the report of the trap shows."""

    def run(*given):
        try:
            return role(*given)
        except Err:
            raise
        except Exception as error:
            # Not `format_exc`, which looks for the sources: there are no files.
            places = [f"{frame.f_code.co_name}:{line}" for frame, line in traceback.walk_tb(error.__traceback__)]
            log.write(log.Level.ERROR, f"{type(error).__name__}: {error} in {' > '.join(places[1:])}")
            raise

    return run


# What a shop can set under `[plugin.config.{{name}}]` in host.toml.
# @begin transform
DEFAULTS = {"currency": "EUR"}
# @end
# @begin !transform
DEFAULTS = {}
# @end
config = dict(DEFAULTS)


class Manifest(exports.Manifest):
    def describe(self) -> Description:
        schema = {{schema}}
        return Description(
            name="{{name}}",
            version="0.1.0",
            platform="{{platform}}",
            grouping=Grouping_WholeLines(),
            config_schema=json.dumps(schema),
            version_fields=["updated_at"],
        )

    def configure(self, text: str) -> None:
        given = json.loads(text)
        for key in given:
            # An Err(Failure) is told to the shop; any other exception is a trap.
            if key not in DEFAULTS:
                raise Err(Failure("invalid-configuration", f"there is no setting {key}"))
        config.update(DEFAULTS | given)
# @begin transform


class Transform(exports.Transform):
    @told
    def run(self, products: list[str]) -> Transformed:
        made = Transformed(documents=[], counts=[], removals=[], issues=[])
        for item, text in enumerate(products):
            before = len(made.documents)
            product(item, json.loads(text), made)
            made.counts.append(len(made.documents) - before)
        return made


def product(item: int, source: dict, made: Transformed) -> None:
    version = {"updated_at": source["updated_at"]}
    if not source.get("published", True):
        made.removals.append(Removal(item, source["id"], json.dumps(version)))
        return
    try:
        price = float(source.get("price", ""))
    except ValueError:
        message = "The product has no price."
        made.issues.append(Issue(item, Severity.ERROR, "missing-price", message, "/price"))
        return
    fields = {
        "title": source.get("title", ""),
        "price": price,
        "currency": config["currency"],
        "tags": source.get("tags", []),
        **version,
    }
    made.documents.append(Document(source["id"], json.dumps(fields)))
# @end
# @begin validate


class Validate(exports.Validate):
    @told
    def run(self, documents: list[Document]) -> list[Issue]:
        issues = []
        for item, document in enumerate(documents):
            fields = json.loads(document.fields)
            if not fields.get("title"):
                message = "The document has no title."
                issues.append(Issue(item, Severity.ERROR, "missing-title", message, "/title"))
            if fields.get("price") == 0:
                message = "The price is zero."
                issues.append(Issue(item, Severity.WARNING, "price-is-zero", message, "/price"))
        return issues
# @end
# @begin version


class Version(exports.Version):
    @told
    def compare(self, pairs) -> list[Ordering]:
        def ordering(pair) -> Ordering:
            # Times in UTC of one format can be compared as text.
            a, b = (json.loads(text).get("updated_at") or "" for text in (pair.incoming, pair.stored))
            return Ordering.NEWER if a > b else Ordering.SAME if a == b else Ordering.OLDER

        return [ordering(pair) for pair in pairs]
# @end
