#!/usr/bin/env bash
# Every night a dump of the gateway's rows: written beside, checked, then put in its place. Old ones go after KEEP_DAYS.
set -euo pipefail
while true; do
  name="/backups/ponw-$(date -u +%Y%m%d-%H%M%S).dump"
  if pg_dump --format=custom --file="$name.part" && pg_restore --list "$name.part" > /dev/null; then
    mv "$name.part" "$name"
    find /backups -name 'ponw-*.dump' -mtime "+${KEEP_DAYS:-14}" -delete
    echo "wrote $name"
  else
    rm -f "$name.part"
    echo "the dump failed; trying again in an hour" >&2
    sleep 3600
    continue
  fi
  sleep 86400
done
