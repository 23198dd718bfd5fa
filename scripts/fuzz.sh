#!/bin/sh
# Fuzzes the parsers with libFuzzer: first a run with a planted fault, which has to be found, then the real one.
# Every input that ever made a parser fail is kept in Tests/Fuzz/Corpus.
set -eu
seconds=${1:-20}
scratch=.build/fuzz
MASKLLM_FUZZ=1 swift build -c release --product fuzz-wire --scratch-path $scratch
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp Tests/Fuzz/Corpus/* "$work/"
if MASKLLM_FUZZ_CANARY=1 $scratch/release/fuzz-wire -max_total_time=120 -artifact_prefix="$work/canary-" "$work" >"$work.log" 2>&1; then
  echo "fuzz: the planted fault was not found: the fuzzer does not work" >&2
  exit 1
fi
grep -q "planted fault" "$work.log" || { tail -20 "$work.log" >&2; rm -f "$work.log"; exit 1; }
rm -f "$work.log" "$work"/canary-*
echo "fuzz: the planted fault was found; now for $seconds s without it"
$scratch/release/fuzz-wire -max_total_time="$seconds" -max_len=4096 -print_final_stats=1 -artifact_prefix=Tests/Fuzz/Corpus/crash- "$work" 2>&1 | grep -E 'stat::number_of_executed_units|ERROR|SUMMARY|Fatal' || true
! ls Tests/Fuzz/Corpus/crash-* >/dev/null 2>&1 || { echo "fuzz: a parser failed; the input is in Tests/Fuzz/Corpus" >&2; exit 1; }
