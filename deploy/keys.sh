#!/bin/sh
# Makes every key that is not there (see `tonghop auth init`) and gives each volume to who uses it. Each service has a volume
# of its own, mounted here as a directory of the keys directory, and sees no other. Repeating it changes nothing. With arguments it
# does what `tonghop auth` would with them: whatever takes the keys of several services.
set -eu
[ $# -gt 0 ] || set -- init
if [ "$1" = init ]; then
  for name in nats-1 nats-2 nats-3 ${TONGHOP_NAMES:-}; do set -- "$@" --name "$name"; done
fi
# As its owner: files that the operator changes later must not belong to root.
chown -R 10001:10001 /keys
ended=0
setpriv --reuid=10001 --regid=10001 --clear-groups tonghop auth "$@" --dir /keys || ended=$?
chown 10001:10001 /data/nats* /data/anchors
# The account of PostgreSQL in its image.
chown -R 999:999 /keys/postgres
chown 999:999 /data/postgres /data/backups
exit "$ended"
