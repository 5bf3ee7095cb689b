#!/usr/bin/env bash
# Makes the files below deploy/secrets that compose.yml names; what is there already stays. The wallet's password is yours to write.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
fresh() { [ -e "secrets/$1" ] || head -c 24 /dev/urandom | base64 | tr -d '\n=+/' > "secrets/$1"; }
fresh postgres_password
fresh grafana_password
[ -e secrets/pgpass ] || printf 'postgres:5432:ponw:ponw:%s\n' "$(cat secrets/postgres_password)" > secrets/pgpass
# The users inside the containers read them: 10001 is ponw's, 472 Grafana's.
if [ "$(id -u)" = 0 ]; then
  [ ! -e secrets/wallet_password ] || chown 10001 secrets/wallet_password
  chown 10001 secrets/pgpass
  chown 472 secrets/grafana_password
else
  echo "Run this as root once more: the containers' users must own secrets/." >&2
fi
if [ ! -e secrets/wallet_password ]; then
  : > secrets/wallet_password
  [ "$(id -u)" != 0 ] || chown 10001 secrets/wallet_password
  echo "Write your wallet's password into deploy/secrets/wallet_password." >&2
fi
