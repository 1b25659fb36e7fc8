#!/usr/bin/env bash
# A worker with bash, curl and jq; docs/pull-workers.md.
set -u
url=${ROOKERY_URL:-http://127.0.0.1:8080} queue=${QUEUE:-email:processing} me=sh-$$ stop=
trap 'stop=1' TERM INT # bash runs it when the command of the moment has ended

work() { # yours: a job on standard input. It may run again after a crash: make it idempotent by .id
  local job; job=$(cat)
  if jq -e '.payload.fail' >/dev/null <<<"$job"; then echo "told to fail" >&2; return 1; fi
  sleep "$(jq -r '.payload.seconds // 0' <<<"$job")"
  echo "did $(jq .id <<<"$job")"
}

post() { # path, body: prints the answer; 22 says that it was refused
  curl -sS --fail-with-body --max-time 30 --retry 5 --retry-connrefused -H 'Content-Type: application/json' \
    ${ROOKERY_KEY:+-H "Authorization: Bearer $ROOKERY_KEY"} -d "$2" "$url$1"
}

end() { # job, verb, error
  local body; body=$(jq -c --arg error "${3-}" '{lease_token} + if $error != "" then {error: {message: $error}} else {} end' <<<"$1")
  post "/v1/leases/$(jq -r .lease_id <<<"$1")/$2" "$body" >/dev/null || echo "$2 of job $(jq .id <<<"$1") failed" >&2
}

beat() { # job: thrice per lease, until killed
  trap - TERM INT
  local body; body=$(jq -c '{leases: [{lease_id, lease_token}]}' <<<"$1")
  while sleep 3; do post "/v1/workers/$me/heartbeat" "$body" >/dev/null; done
}

errors=$(mktemp); trap 'rm -f "$errors"' EXIT
while [ -z "$stop" ]; do
  answer=$(post "/v1/queues/$queue/lease" "{\"worker_id\": \"$me\", \"wait\": \"5s\", \"lease\": \"10s\"}") || { sleep 1; continue; }
  job=$(jq -c '.jobs[0] // empty' <<<"$answer")
  [ -n "$job" ] || continue
  if [ -n "$stop" ]; then end "$job" release; break; fi
  beat "$job" & beating=$!
  if work <<<"$job" 2>"$errors"; then end "$job" ack; else end "$job" nack "$(tail -c 2000 "$errors")"; fi
  kill "$beating"; wait "$beating" 2>/dev/null || :
done
