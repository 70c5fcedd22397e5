"""{{name}}, a plug-in for host. The contract is in `wit/deps`; README.md explains how to build and test."""

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


def log_errors(role):
    """Logs unexpected exceptions before they become a trap: a trap carries no message, but its report shows the log."""

    def run(*args):
        try:
            return role(*args)
        except Err:
            raise
        except Exception as error:
            # Not `format_exc`, which reads the sources: there is no file system.
            frames = [f"{frame.f_code.co_name}:{line}" for frame, line in traceback.walk_tb(error.__traceback__)]
            log.write(log.Level.ERROR, f"{type(error).__name__}: {error} in {' > '.join(frames[1:])}")
            raise

    return run


# The settings under `[plugin.config.{{name}}]` in host.toml, with their defaults.
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
        settings = json.loads(text)
        for key in settings:
            # An Err(Failure) is reported to the user; any other exception is a trap.
            if key not in DEFAULTS:
                raise Err(Failure("invalid-configuration", f"there is no setting {key}"))
        config.update(DEFAULTS | settings)
# @begin transform


class Transform(exports.Transform):
    @log_errors
    def run(self, products: list[str]) -> Transformed:
        output = Transformed(documents=[], counts=[], removals=[], issues=[])
        for item, text in enumerate(products):
            before = len(output.documents)
            product(item, json.loads(text), output)
            output.counts.append(len(output.documents) - before)
        return output


def product(item: int, source: dict, output: Transformed) -> None:
    version = {"updated_at": source["updated_at"]}
    if not source.get("published", True):
        output.removals.append(Removal(item, source["id"], json.dumps(version)))
        return
    try:
        price = float(source.get("price", ""))
    except ValueError:
        message = "The product has no price."
        output.issues.append(Issue(item, Severity.ERROR, "missing-price", message, "/price"))
        return
    fields = {
        "title": source.get("title", ""),
        "price": price,
        "currency": config["currency"],
        "tags": source.get("tags", []),
        **version,
    }
    output.documents.append(Document(source["id"], json.dumps(fields)))
# @end
# @begin validate


class Validate(exports.Validate):
    @log_errors
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
    @log_errors
    def compare(self, pairs) -> list[Ordering]:
        def ordering(pair) -> Ordering:
            # UTC times of the same format can be compared as text.
            a, b = (json.loads(text).get("updated_at") or "" for text in (pair.incoming, pair.stored))
            return Ordering.NEWER if a > b else Ordering.SAME if a == b else Ordering.OLDER

        return [ordering(pair) for pair in pairs]
# @end
