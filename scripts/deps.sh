#!/bin/sh
# Installs what is missing for building, testing or benchmarking: Debian's packages, as root or with sudo.
# Does nothing where everything is there; elsewhere than on Debian it says what is missing.
set -eu

missing=""
need() { # need PACKAGE COMMAND...: PACKAGE is missing when COMMAND fails
  package=$1
  shift
  "$@" >/dev/null 2>&1 || missing="$missing $package"
}
library() { need "$2" pkg-config --exists "$1"; }

case "${1:-build}" in
build)
  command -v swift >/dev/null || {
    echo "deps: swift is missing; install Swift 6.2 or newer from https://www.swift.org/install/" >&2
    exit 1
  }
  need pkg-config command -v pkg-config
  library libsodium libsodium-dev
  library openssl libssl-dev
  library sqlite3 libsqlite3-dev
  library yaml-0.1 libyaml-dev
  library libpcre2-8 libpcre2-dev
  library libcurl libcurl4-openssl-dev
  need libjs-chart.js test -s /usr/share/javascript/chart.js/chart.min.js
  need tzdata test -s /usr/share/zoneinfo/Europe/Berlin
  need ca-certificates test -s /etc/ssl/certs/ca-certificates.crt
  ;;
test)
  need python3-venv python3 -c 'import venv, ensurepip'
  need openssl command -v openssl
  need sqlite3 command -v sqlite3
  need git command -v git
  need util-linux command -v setpriv
  # The parsers of other languages, to be compared with.
  need nodejs command -v node
  need golang-go command -v go
  # A front that normalises what it passes.
  need nginx-light command -v nginx
  # What checks metrics and alert rules.
  need prometheus command -v promtool
  # A browser for the dashboard.
  need chromium command -v chromium
  need fonts-dejavu-core test -s /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
  ;;
bench)
  need nginx-light command -v nginx
  need wrk command -v wrk
  need gcc command -v cc
  need python3 command -v python3
  ;;
*)
  echo "usage: deps.sh build|test|bench" >&2
  exit 2
  ;;
esac

[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
  echo "deps: missing, by their Debian names:$missing" >&2
  echo "deps: this is no Debian; install their like with your own package manager, then run make again" >&2
  exit 1
fi
sudo=""
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || {
    echo "deps: missing:$missing" >&2
    echo "deps: run as root: apt-get install$missing" >&2
    exit 1
  }
  sudo=sudo
fi
echo "deps: installing$missing" >&2
$sudo apt-get update -q >/dev/null
# A server package must not start its service on a developer's machine.
$sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -qq -y --no-install-recommends $missing >/dev/null
