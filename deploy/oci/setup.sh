#!/usr/bin/env bash
# Makes what platform-agent and platform-ops need of Oracle Cloud, with Oracle's CLI, and prints the
# log's OCID last. Run it once, as somebody who may write policies; main.tf does the same for
# Terraform. Nothing that exists is changed: a second run fails at the first thing that is there.
#
#   TENANCY=ocid1.tenancy… COMPARTMENT=ocid1.compartment… BUCKET=host-backups deploy/oci/setup.sh
#
#   COMPARTMENT   holds the instance, the log and the bucket
#   BUCKET        for backups; leave it out to have logs alone
#   MULTIPART=1   allows backups larger than one part: see README.md, "Backups"; needs REGION
#   REGION        the bucket's region, such as eu-frankfurt-1
#   NAME          what the groups and policies are called (default: platform)
set -euo pipefail
: "${TENANCY:?the tenancy OCID}" "${COMPARTMENT:?the compartment OCID}"
name=${NAME:-platform}
bucket=${BUCKET:-}
[ -z "${MULTIPART:-}" ] || : "${REGION:?the region of the bucket}"

get() { oci "$@" --raw-output; }
# OCIDs are made before they can be used: new groups and policies take minutes to apply.
made() { get "$@" --query data.id; }

log_group=$(get logging log-group create --compartment-id "$COMPARTMENT" --display-name "$name" \
    --wait-for-state SUCCEEDED \
    --query "data.resources[?starts_with(identifier, 'ocid1.loggroup.')].identifier | [0]")
log=$(get logging log create --log-group-id "$log_group" --display-name docker --log-type CUSTOM \
    --is-enabled true --retention-duration 30 --wait-for-state SUCCEEDED \
    --query "data.resources[?starts_with(identifier, 'ocid1.log.')].identifier | [0]")

# Every instance of the compartment; name one alone with instance.id instead.
made iam dynamic-group create --compartment-id "$TENANCY" --name "$name" \
    --description 'Instances that ship logs and backups' \
    --matching-rule "All {instance.compartment.id = '$COMPARTMENT'}" >/dev/null

statements=("Allow dynamic-group $name to use log-content in compartment id $COMPARTMENT where target.loggroup.id = '$log_group'")
if [ -n "$bucket" ]; then
    permissions="request.permission = 'OBJECT_CREATE', request.permission = 'OBJECT_INSPECT', request.permission = 'OBJECT_READ'"
    [ -z "${MULTIPART:-}" ] || permissions+=", request.permission = 'OBJECT_OVERWRITE'"
    made os bucket create --compartment-id "$COMPARTMENT" --name "$bucket" >/dev/null
    statements+=(
        "Allow dynamic-group $name to read buckets in compartment id $COMPARTMENT where target.bucket.name = '$bucket'"
        "Allow dynamic-group $name to manage objects in compartment id $COMPARTMENT where all {target.bucket.name = '$bucket', any {$permissions}}"
    )
    # Clears away uploads that were given up: Object Storage does it itself, and needs the right to.
    [ -z "${MULTIPART:-}" ] || statements+=(
        "Allow service objectstorage-$REGION to manage object-family in compartment id $COMPARTMENT where target.bucket.name = '$bucket'"
    )
    # What is there stays as it is for so long, whatever a policy allows.
    made os retention-rule create --bucket-name "$bucket" --display-name keep --time-amount 14 --time-unit DAYS >/dev/null
fi
joined=$(printf ', "%s"' "${statements[@]}")
made iam policy create --compartment-id "$COMPARTMENT" --name "$name" \
    --description 'Least rights of platform-agent and platform-ops' --statements "[${joined#, }]" >/dev/null

if [ -n "${MULTIPART:-}" ]; then
    attempt=1
    until get os object-lifecycle-policy put --bucket-name "$bucket" --force --items '[{"name": "given-up-uploads",
            "target": "multipart-uploads", "action": "ABORT", "timeAmount": 7, "timeUnit": "DAYS", "isEnabled": true}]' >/dev/null; do
        [ $attempt -lt 20 ] || { echo "setup: no lifecycle rule yet; repeat the last command later" >&2 && break; }
        echo "setup: the policy does not apply yet, once more in 30 s" >&2
        sleep 30
        attempt=$((attempt + 1))
    done
fi

echo "$log"
