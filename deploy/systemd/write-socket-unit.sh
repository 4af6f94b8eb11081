#!/bin/sh
# write-socket-unit [--root DIR]: writes reverse-proxy.socket from /etc/reverse-proxy/config.toml, so that systemd holds the
# ports and a restart refuses no client. Leaves a unit alone that an operator has changed. Run systemctl daemon-reload next.
set -eu
root=
if [ "${1-}" = --root ]; then root=$2; fi
here=$root/opt/reverse-proxy
unit=$root/etc/systemd/system/reverse-proxy.socket
mark='# Written by write-socket-unit from /etc/reverse-proxy/config.toml'
if [ -e "$unit" ] && ! grep -q "^$mark" "$unit" && ! grep -q '^ListenStream=203\.0\.113\.10:' "$unit"; then
  echo "Left as it is: $unit, whose addresses are yours" >&2
  exit 0
fi
lines=$("$here"/current/node_modules/node*-linux-*/bin/node "$here/share/listen-streams.mjs" "$here/current" "$root/etc/reverse-proxy/config.toml")
cat >"$unit.new" <<UNIT
$mark
# To keep your own changes, remove these two lines.

[Unit]
Description=Ports of reverse-proxy
Documentation=man:reverse-proxy(1)

[Socket]
$lines
# Bind addresses that are not configured yet.
FreeBind=yes
# Bind IPv6 addresses for IPv6 only, as the proxy itself does.
BindIPv6Only=ipv6-only
Backlog=4096
NoDelay=yes

[Install]
WantedBy=sockets.target
UNIT
mv "$unit.new" "$unit"
