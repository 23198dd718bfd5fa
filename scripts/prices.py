#!/usr/bin/env python3
"""Builds the price list that the product ships from two public ones (both MIT): LiteLLM's and pydantic's genai-prices.

usage: scripts/prices.py LITELLM.json GENAI.json DATE > Sources/CPriceList/prices.tsv

Amounts are whole nano-dollars per million tokens (per image in `image`, per second of sound in `second`), rounded up. Where the two lists differ the higher
price is taken, because a budget must not be overspent, and the difference is said on standard error.
"""
import json
import re
import sys
from decimal import ROUND_CEILING, Decimal

COLUMNS = """provider model max_input max_output input output cache_read cache_write cache_write_1h reasoning audio_input audio_output
image second batch_input batch_output priority_input priority_output priority_cache_read tier_above tier_input tier_output tier_cache_read
tier_cache_write""".split()
# LiteLLM's provider -> the name of our list, and genai-prices' provider of the same.
LISTS = {
    "openai": "openai", "anthropic": "anthropic", "gemini": "gemini", "azure": "azure", "bedrock": "bedrock", "bedrock_converse": "bedrock",
    "mistral": "mistral", "cohere": "cohere", "cohere_chat": "cohere", "groq": "groq", "together_ai": "together", "fireworks_ai": "fireworks",
    "deepseek": "deepseek", "xai": "xai", "perplexity": "perplexity", "openrouter": "openrouter", "cerebras": "cerebras", "voyage": "voyage",
    "jina_ai": "jina", "ai21": "ai21", "databricks": "databricks", "cloudflare": "cloudflare", "watsonx": "watsonx", "replicate": "replicate",
    "nvidia_nim": "nvidia", "vertex_ai-language-models": "vertex", "vertex_ai-anthropic_models": "vertex", "vertex_ai-mistral_models": "vertex",
}
GENAI = {"openai": "openai", "anthropic": "anthropic", "mistral": "mistral", "groq": "groq", "deepseek": "deepseek", "x-ai": "xai", "cohere": "cohere",
         "voyageai": "voyage", "openrouter": "openrouter", "perplexity": "perplexity", "cerebras": "cerebras"}
PREFIXES = ("openai/", "gemini/", "azure/", "bedrock/", "mistral/", "groq/", "together_ai/", "fireworks_ai/", "deepseek/", "xai/", "perplexity/",
            "openrouter/", "cerebras/", "voyage/", "jina_ai/", "ai21/", "databricks/", "cloudflare/", "watsonx/", "replicate/", "nvidia_nim/", "vertex_ai/")
TOKENS = {
    "input": "input_cost_per_token", "output": "output_cost_per_token", "cache_read": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost", "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "reasoning": "output_cost_per_reasoning_token", "audio_input": "input_cost_per_audio_token", "audio_output": "output_cost_per_audio_token",
    "batch_input": "input_cost_per_token_batches", "batch_output": "output_cost_per_token_batches", "priority_input": "input_cost_per_token_priority",
    "priority_output": "output_cost_per_token_priority", "priority_cache_read": "cache_read_input_token_cost_priority",
}
TIERS = {"tier_input": "input_cost_per_token", "tier_output": "output_cost_per_token", "tier_cache_read": "cache_read_input_token_cost",
         "tier_cache_write": "cache_creation_input_token_cost"}


def whole(amount):
    return int(amount.to_integral_value(ROUND_CEILING))


def per_million(dollars_per_token):
    return whole(Decimal(dollars_per_token) * 10**15)


def from_litellm(entry):
    row = {name: per_million(entry[field]) for name, field in TOKENS.items() if isinstance(entry.get(field), (int, Decimal))}
    for name, field in (("max_input", "max_input_tokens"), ("max_output", "max_output_tokens")):
        if isinstance(entry.get(field), (int, Decimal)) and entry[field] > 0:
            row[name] = int(entry[field])
    if isinstance(entry.get("output_cost_per_image"), (int, Decimal)):
        row["image"] = whole(Decimal(entry["output_cost_per_image"]) * 10**9)
    if isinstance(entry.get("input_cost_per_second"), (int, Decimal)):
        row["second"] = whole(Decimal(entry["input_cost_per_second"]) * 10**9)
    # The lowest step, at the highest price of any: one step is enough never to charge too little.
    steps = {}
    for field, value in entry.items():
        found = re.fullmatch(r"(.+)_above_(\d+)k_tokens", field)
        if found and isinstance(value, (int, Decimal)):
            steps.setdefault(found[1], {})[int(found[2]) * 1000] = value
    if "input_cost_per_token" in steps:
        row["tier_above"] = min(steps["input_cost_per_token"])
        for name, field in TIERS.items():
            if field in steps:
                row[name] = per_million(max(steps[field].values()))
    return row


def in_force(prices, date):
    """The prices that hold at `date`: of those with a start the latest that has begun; of those by the time of day all."""
    if not isinstance(prices, list):
        return [prices]
    started = [p for p in prices if (p.get("constraint") or {}).get("start_date", "") <= date]
    latest = max((p.get("constraint") or {}).get("start_date", "") for p in started)
    return [p["prices"] for p in started if (p.get("constraint") or {}).get("start_date", "") == latest or "start_time" in (p.get("constraint") or {})]


def from_genai(prices, date):
    row = {}
    for part in in_force(prices, date):
        for name, field in (("input", "input_mtok"), ("output", "output_mtok"), ("cache_read", "cache_read_mtok"), ("cache_write", "cache_write_mtok")):
            value = part.get(field)
            base = value["base"] if isinstance(value, dict) else value
            if base is not None:
                row[name] = max(row.get(name, 0), whole(Decimal(base) * 10**9))
            if isinstance(value, dict) and f"tier_{name}" in COLUMNS:
                row["tier_above"] = min(int(t["start"]) for t in value["tiers"])
                row[f"tier_{name}"] = max(row.get(f"tier_{name}", 0), max(whole(Decimal(t["price"]) * 10**9) for t in value["tiers"]))
    return row


def main():
    litellm, genai = (json.load(open(path), parse_float=Decimal) for path in sys.argv[1:3])
    date = sys.argv[3]
    rows, differ = {}, 0
    for name, entry in litellm.items():
        target = LISTS.get(entry.get("litellm_provider"))
        if not target or name == "sample_spec":
            continue
        row = from_litellm(entry)
        if not any(column in row for column in ("input", "output", "image", "second")):
            continue
        model = next((name[len(p):] for p in PREFIXES if name.startswith(p)), name)
        if re.fullmatch(r"[!-~]{1,128}", model):
            rows[target, model] = row
    for provider in genai:
        target = GENAI.get(provider["id"])
        for model in provider["models"] if target else ():
            if model.get("deprecated") or not re.fullmatch(r"[!-~]{1,128}", model["id"]):
                continue
            other = from_genai(model["prices"], date)
            if not other:
                continue
            row = rows.setdefault((target, model["id"]), {"max_input": model["context_window"]} if model.get("context_window") else {})
            for column, value in other.items():
                if column in row and column != "tier_above" and row[column] != value:
                    differ += 1
                    print(f"{target} {model['id']} {column}: {row[column]} or {value}", file=sys.stderr)
                    value = max(row[column], value)
                row[column] = min(value, row.get(column, value)) if column == "tier_above" else value
    print(f"# prices of {date}; nano-dollars per million tokens (image: per image, second: per second of sound)")
    print("\t".join(COLUMNS))
    for (provider, model), row in sorted(rows.items()):
        print("\t".join([provider, model] + [str(row.get(column, "")) for column in COLUMNS[2:]]))
    print(f"{len(rows)} models; {differ} prices differ between the lists, the higher was taken", file=sys.stderr)


main()
