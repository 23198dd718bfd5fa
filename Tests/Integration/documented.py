"""Whether an answer of the management side is one that docs/openapi.json says."""
import json, re

import jsonschema_rs
from conftest import ROOT

DOCUMENT = json.loads((ROOT / "docs/openapi.json").read_text())
PATHS = [(re.compile("^" + re.sub(r"\{\w+\}", "[^/]+", path) + "$"), path) for path in DOCUMENT["paths"]]
VALIDATORS = {}


def operation(method, target):
    """The path as the document has it and the operation; (None, None) where it has none."""
    plain = target.split("?")[0]
    for pattern, path in PATHS:
        if pattern.match(plain) and method.lower() in DOCUMENT["paths"][path]:
            return path, DOCUMENT["paths"][path][method.lower()]
    return None, None


def check(method, target, status, media, document):
    path, found = operation(method, target)
    if found is None:
        assert status in (401, 404, 405, 429), f"{method} {target} is not documented and answered {status}"
        return
    answer = found["responses"].get(str(status))
    assert answer, f"{method} {path} answered {status}, which is not documented: {document}"
    if "$ref" in answer:
        answer = DOCUMENT["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
    if "content" not in answer:
        assert document is None, f"{method} {path} answered {status} with a body"
        return
    content = answer["content"].get(media.split(";")[0])
    assert content, f"{method} {path} answered {status} as {media}"
    key = json.dumps(content["schema"], sort_keys=True)
    if key not in VALIDATORS:
        VALIDATORS[key] = jsonschema_rs.Draft202012Validator({**content["schema"], "components": DOCUMENT["components"]}, validate_formats=True)
    errors = [f"{e.instance_path}: {e.message}" for e in VALIDATORS[key].iter_errors(document)]
    assert not errors, f"{method} {path} answered {status} with what is not documented: {errors[:3]}"
