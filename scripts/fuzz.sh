#!/bin/sh
# Fuzzes the parsers, and the way of a number from an answer to the sums, with libFuzzer: for each of the two first a run with a
# planted fault, which has to be found, then the real one. Every input that ever failed is kept in Tests/Fuzz*/Corpus.
set -eu
seconds=${1:-20}
scratch=.build/fuzz

fuzz() { # TARGET FOLDER
  MASKLLM_FUZZ=1 swift build -c release --product "$1" --scratch-path $scratch
  work=$(mktemp -d)
  cp "$2"/Corpus/* "$work/"
  if MASKLLM_FUZZ_CANARY=1 $scratch/release/"$1" -max_total_time=120 -artifact_prefix="$work/canary-" "$work" >"$work.log" 2>&1; then
    echo "$1: the planted fault was not found: the fuzzer does not work" >&2
    exit 1
  fi
  grep -q "planted fault" "$work.log" || { tail -20 "$work.log" >&2; rm -rf "$work" "$work.log"; exit 1; }
  rm -f "$work.log" "$work"/canary-*
  echo "$1: the planted fault was found; now for $seconds s without it"
  $scratch/release/"$1" -max_total_time="$seconds" -max_len=4096 -print_final_stats=1 -artifact_prefix="$2/Corpus/crash-" "$work" 2>&1 | grep -E 'stat::number_of_executed_units|ERROR|SUMMARY|Fatal' || true
  rm -rf "$work"
  ! ls "$2"/Corpus/crash-* >/dev/null 2>&1 || { echo "$1: something failed; the input is in $2/Corpus" >&2; exit 1; }
}

fuzz fuzz-wire Tests/Fuzz
fuzz fuzz-usage Tests/FuzzUsage
