#!/usr/bin/env python3
"""Prints deploy/grafana/maskllm.json: the dashboard, made of few words."""
import json

PANELS = [
    ("Requests a second", "reqps", [("sum by (provider) (rate(maskllm_requests_total[$__rate_interval]))", "{{provider}}")]),
    ("Not completed, a second", "reqps", [('sum by (outcome) (rate(maskllm_requests_total{outcome!="completed"}[$__rate_interval]))', "{{outcome}}")]),
    ("Refusals a second", "reqps", [("sum by (code) (rate(maskllm_refusals_total[$__rate_interval]))", "{{code}}")]),
    ("Time to the provider's first byte", "s", [(f"histogram_quantile({q}, sum by (le, provider) (rate(maskllm_first_byte_seconds_bucket[$__rate_interval])))", f"{{{{provider}}}} p{int(q * 100)}") for q in (0.5, 0.95)]),
    ("Duration", "s", [(f"histogram_quantile({q}, sum by (le, provider) (rate(maskllm_request_duration_seconds_bucket[$__rate_interval])))", f"{{{{provider}}}} p{int(q * 100)}") for q in (0.5, 0.95)]),
    ("Dollars an hour", "currencyUSD", [("sum by (provider) (rate(maskllm_cost_dollars_total[$__rate_interval])) * 3600", "{{provider}}")]),
    ("Tokens a second", "short", [("sum by (provider, kind) (rate(maskllm_tokens_total[$__rate_interval]))", "{{provider}} {{kind}}")]),
    ("Budgets: spent of what there is", "percentunit", [("maskllm_budget_spent_dollars / maskllm_budget_limit_dollars", "{{budget}}")]),
    ("Masked keys", "short", [("maskllm_masked_keys", "{{state}}")]),
    ("Provider keys", "short", [("maskllm_provider_keys", "{{provider}} {{state}}")]),
    ("Processor", "percentunit", [('rate(process_cpu_seconds_total{job="maskllm"}[$__rate_interval])', "{{instance}}")]),
    ("Memory", "bytes", [('process_resident_memory_bytes{job="maskllm"}', "{{instance}}")]),
]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def panel(n, title, unit, targets):
    return {"id": n + 1, "type": "timeseries", "title": title, "datasource": SOURCE, "gridPos": {"h": 8, "w": 12, "x": 12 * (n % 2), "y": 8 * (n // 2)},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
            "targets": [{"refId": chr(65 + i), "datasource": SOURCE, "expr": expression, "legendFormat": legend} for i, (expression, legend) in enumerate(targets)]}


DASHBOARD = {
    "uid": "maskllm", "title": "MaskLLM", "tags": ["maskllm"], "schemaVersion": 39, "editable": True, "refresh": "30s", "time": {"from": "now-6h", "to": "now"},
    "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}]},
    "panels": [panel(n, *p) for n, p in enumerate(PANELS)],
}
print(json.dumps(DASHBOARD, indent=1))
