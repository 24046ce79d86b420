#!/usr/bin/env bash
# A fine-tuning job, governed in compute_seconds: it asks before it begins, says that it goes on, and says what it used.
#
#     GENOPS_URL=http://127.0.0.1:4100 GENOPS_KEY=gk-... ./fine-tuning.sh
#
# Ends with 0 where the job was done, with 3 where it was refused, and with 1 where something went wrong.
set -euo pipefail

: "${GENOPS_URL:?say where the gateway is, as in http://127.0.0.1:4100}"
: "${GENOPS_KEY:?say the key of the gateway that has the role operate}"
EPOCHS=${EPOCHS:-5}
BOUND=${BOUND:-3600} # the most compute_seconds that the job can use; so many are reserved

# Sends a body to a path of the API. Leaves the answer's status in $status and its text in $answer.
post() {
  local path=$1 body=$2
  shift 2
  # The key is handed over in a file, so that it does not stand in the list of processes.
  answer=$(curl --silent --show-error --max-time 30 --write-out '\n%{http_code}' \
    --header @<(printf 'Authorization: Bearer %s\n' "$GENOPS_KEY") \
    --header 'Content-Type: application/json' "$@" \
    --data "$body" "$GENOPS_URL/genops/v1$path")
  status=${answer##*$'\n'}
  answer=${answer%$'\n'*}
}

# The first field of the answer with this name, as long as it is text without quotation marks.
field() {
  sed -n "s/^[^}]*\"$1\":\"\([^\"]*\)\".*/\1/p" <<<"$answer"
}

# Like post, for a step that has to be taken.
step() {
  post "$@"
  if [[ $status != 200 ]]; then
    echo "$1 was answered with $status: $answer" >&2
    exit 1
  fi
}

# The work itself, in place of a trainer: an epoch that says how many compute_seconds it took.
train_epoch() {
  sleep 0.1
  echo 240
}

# 1. May it run? The key of the request makes it the same request where it is sent again.
post /awus '{
  "operation": {"name": "fine-tune", "type": "training"},
  "bound": {"quantities": {"compute_seconds": "'"$BOUND"'"}},
  "accounting_unit": "compute_seconds",
  "within_seconds": 600
}' --header "Idempotency-Key: ${JOB:-fine-tune-$(date +%s)-$$}"
case $status in
  200 | 201) ;;
  403 | 429 | 503)
    echo "refused with $(field code): $(field message)" >&2
    exit 3
    ;;
  *)
    echo "the proposal was answered with $status: $answer" >&2
    exit 1
    ;;
esac
awu=$(field id)
echo "AWU $awu may use $BOUND compute_seconds"

# 2. It begins. However it ends from here on, what it used is settled.
step "/awus/$awu/start" ''
used=0
end=failed
settle() {
  trap - EXIT
  step "/awus/$awu/settle" '{"end": "'"$end"'", "usage": {"quantities": {"compute_seconds": "'"$used"'"}}}'
  echo "settled as $end: $used compute_seconds"
}
trap settle EXIT
trap 'end=cancelled; exit 1' INT TERM

# 3. It works, and says so before its 600 seconds of silence are over.
for ((epoch = 1; epoch <= EPOCHS; epoch++)); do
  used=$((used + $(train_epoch)))
  step "/awus/$awu/extend" '{"within_seconds": 600}'
  echo "epoch $epoch of $EPOCHS: $used compute_seconds, and time until $(field deadline)"
done

# 4. It is done: what it used is charged, and the rest of the reservation given back.
end=completed
settle

# 5. How good it became.
step "/awus/$awu/evaluations" '{"metric": "validation_loss", "score": "0.41", "threshold": "0.5", "passed": true}'
echo "evaluated"
