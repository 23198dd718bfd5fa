"""What keeps a run of schemathesis at its work: it must not end its own token, nor have the gateway call anybody."""
import os

import schemathesis

OWN = os.environ["MASKLLM_OWN_TOKEN_ID"]


def local(value):
    """`value` with every URL in it on this machine, where nothing listens."""
    if isinstance(value, dict):
        return {k: local(v) for k, v in value.items()}
    if isinstance(value, list):
        return [local(v) for v in value]
    return "https://127.0.0.1:1" if isinstance(value, str) and "://" in value else value


@schemathesis.hook
def before_call(context, case, **kwargs):
    if (case.path_parameters or {}).get("id") == OWN:
        case.path_parameters["id"] = "ZZZZZZZZZZZZ"
    case.body = local(case.body)
    # It takes an optional body that is left out for one that does not fit.
    if case.meta and case.meta.generation.mode.is_negative and type(case.body).__name__ == "NotSet" and case.media_type:
        case.body = b"{"
