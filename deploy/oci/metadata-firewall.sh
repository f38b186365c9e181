#!/usr/bin/env bash
# Keeps containers away from the instance metadata service, whose certificate makes anybody the
# instance: all containers but those of the agent's own bridge. The host itself is not concerned.
#   metadata-firewall.sh add|remove|show
# Docker keeps the chain DOCKER-USER over its restarts, not over a reboot: the unit
# metadata-firewall.service adds the rules again.
set -euo pipefail

AGENT_BRIDGE=${AGENT_BRIDGE:-br-agent}   # deploy/agent/compose.yaml names it so
CHAIN=DOCKER-USER

# Both addresses of the service, where the host has the protocol's tables at all.
each() {
    "$1" iptables 169.254.169.254/32
    if command -v ip6tables >/dev/null && ip6tables --wait --numeric --list "$CHAIN" >/dev/null 2>&1; then
        "$1" ip6tables fd00:c1::a9fe:a9fe/128
    fi
}

rule() { echo ! -i "$AGENT_BRIDGE" -d "$1" -j REJECT; }

# shellcheck disable=SC2046  # a rule is several words
add() { "$1" --wait --check "$CHAIN" $(rule "$2") 2>/dev/null || "$1" --wait --insert "$CHAIN" $(rule "$2"); }
# shellcheck disable=SC2046
remove() { while "$1" --wait --delete "$CHAIN" $(rule "$2") 2>/dev/null; do :; done; }
show() { "$1" --wait --list-rules "$CHAIN"; }

case ${1:-} in
add | remove | show) each "$1" ;;
*) sed -n '2,7s/^# //p' "$0" >&2 && exit 2 ;;
esac
