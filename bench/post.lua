-- One chat completion of about 1 KiB, with the masked key in the environment variable BENCH_KEY.
local words = string.rep("the quick brown fox jumps over the lazy dog ", 20)
wrk.method = "POST"
wrk.body = '{"model":"bench-small","messages":[{"role":"user","content":"' .. words .. '"}],"max_tokens":64}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY")
wrk.headers["User-Agent"] = "OpenAI/Python 3.54.0"
wrk.headers["Accept"] = "application/json"
wrk.headers["X-Stainless-Lang"] = "python"

function done(summary, latency, requests)
  io.write(string.format("RESULT requests=%d errors=%d us=%d p50=%d p99=%d\n", summary.requests,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout,
    summary.duration, latency:percentile(50), latency:percentile(99)))
end
