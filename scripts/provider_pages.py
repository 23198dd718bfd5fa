#!/usr/bin/env python3
"""Writes docs/providers/*.md from the catalogue: for each kind of provider, what its users change. `--check` only says what differs."""
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
GATEWAY = "http://127.0.0.1:8780"
TOKENS = {"google": "a service account's JSON file", "ibm": "an API key of IBM Cloud"}


def page(name, entry):
    # boto3 sends its key over TLS alone.
    url = f"{'https://llm.example.com' if name == 'bedrock' else GATEWAY}/{name}"
    fill = lambda text: text.replace("{url}", url).replace("{key}", "mk_...").rstrip("\n")
    base = entry.get("base_url")
    out = [f"# {entry['title']}", "", "Generated from the catalogue by `make pages`.", ""]
    secret = TOKENS.get(entry["key"], "the real key")
    out += ["```sh"]
    if not base or base.startswith("http://"):
        out += [f"maskllm provider add {name} --base-url {base or 'https://...'}" + (" --kind openai-compatible" if name == "openai-compatible" else "")]
    out += [f"maskllm provider-key add {name}      # reads {secret} from standard input", f"maskllm key create --name my-app --provider {name}", "```", ""]
    out += ["The masked key goes into the environment variable `MASKLLM_KEY`; it stands nowhere in code. A client differs from one that calls the provider itself in where it calls and in which key it has:", ""]
    for title, language, fence in (("Python", "python", "python"), ("Node", "node", "js"), ("curl", "curl", "sh")):
        out += [f"## {title}", "", f"```{fence}", fill(entry[language]), "```", ""]
    if entry.get("environment"):
        out += ["## Without a change to the code", "", "```sh", *(f"export {pair}" for pair in fill(entry["environment"]).split(" ")), "```", ""]
    out += ["## What passes", "", "| endpoint | class | dialect |", "|---|---|---|"]
    for line in entry["endpoints"]:
        method, path, kind, dialect = line.split()[:4]
        out += [f"| `{method} {path}` | {kind} | {dialect} |"]
    if entry.get("prefixes"):
        out += ["", f"Below {', or '.join(f'`{p}`' for p in entry['prefixes'].split())}, or without."]
    return "\n".join(out) + "\n"


def pages():
    for file in sorted((ROOT / "Sources/CCatalogue").glob("*.yaml")):
        yield ROOT / f"docs/providers/{file.stem}.md", page(file.stem, yaml.safe_load(file.read_text()))


if __name__ == "__main__":
    stale = [path for path, text in pages() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        sys.exit(f"not what the catalogue says, run 'make pages': {', '.join(p.name for p in stale)}" if stale else 0)
    (ROOT / "docs/providers").mkdir(exist_ok=True)
    for path, text in pages():
        path.write_text(text)
